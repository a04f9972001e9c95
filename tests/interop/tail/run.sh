#!/usr/bin/env bash
# The differential test of tail_sampling: the Go processor and weir's decide the same cases. Usage: run.sh BUILD [--seed N] [--seeds N] [--keep DIR] [--verbose] [part of a case's name ...]
set -eu
cd "$(dirname "$0")/../../.."
build=${1:?usage: run.sh BUILD [option ...] [case ...]}; shift
tests/tools/deps.sh all
tests/tools/deps.sh interop
tests/interop/build.sh tailsampling
[ -x "$build/tests/interop/tail_run" ] || { echo "run make BUILD=$build $build/tests/interop/tail_run first" >&2; exit 1; }
eval "$(tests/tools/deps.sh env)"
export PYTHONDONTWRITEBYTECODE=1 LC_ALL=C.UTF-8
exec "$WEIR_PYTHON" tests/interop/tail/compare.py "$build" "${INTEROP_HOME:-$HOME/.cache/weir-interop}/bin/tailsampling" "$@"

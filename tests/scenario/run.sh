#!/usr/bin/env bash
# Scenario tests: the real binary on real sockets. Usage: run.sh BUILD [part of a scenario's name ...]   VERBOSE=1 names those that pass
set -eu
cd "$(dirname "$0")/../.."
build=${1:?usage: run.sh BUILD [name ...]}; shift
tests/tools/deps.sh all
eval "$(tests/tools/deps.sh env)"
export PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 GRPC_VERBOSITY=NONE
export ASAN_OPTIONS=${ASAN_OPTIONS-detect_leaks=1} TSAN_OPTIONS=${TSAN_OPTIONS-halt_on_error=0:suppressions=$PWD/tests/tools/tsan.supp}
[ $# -gt 0 ] || [ "${SCENARIO_SELFTEST-}" = no ] || "$WEIR_PYTHON" tests/scenario/selftest.py
exec "$WEIR_PYTHON" tests/scenario/runner.py "$build" "$@"

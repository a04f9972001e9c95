#!/usr/bin/env bash
# Interop tests: weir between real peers. Usage: run.sh BUILD [quick] [part of a case's name ...]
# quick (or INTEROP=quick): a real Jaeger, Loki and Tempo, Debian's Alertmanager and Pushgateway, the Go SDK, and the differential test of tail_sampling. Otherwise also telemetrygen, the
# Go collector on both sides, h2spec, and Prometheus 3.
# The peers are built once from pinned Go modules and kept in $INTEROP_HOME (~/.cache/weir-interop).
set -eu
cd "$(dirname "$0")/../.."
build=${1:?usage: run.sh BUILD [quick] [name ...]}; shift
quick=; [ "${INTEROP-}" != quick ] || quick=yes
if [ "${1-}" = quick ]; then quick=yes; shift; fi
tests/tools/deps.sh interop
tests/interop/build.sh jaeger loki tempo goclient
[ -n "$quick" ] || tests/interop/build.sh telemetrygen otelcol h2spec prometheus3
export WEIR_GO_CLIENT=${INTEROP_HOME:-$HOME/.cache/weir-interop}/bin/goclient
export SCENARIO_DIR=$PWD/tests/interop/cases${quick:+/quick} SCENARIO_SELFTEST=no CHECK_NAME=interop
failed=0
[ $# -gt 0 ] || tests/interop/tail/run.sh "$build" --seeds "$([ -n "$quick" ] && echo 1 || echo 10)" || failed=1
tests/scenario/run.sh "$build" "$@" || failed=1
exit $failed

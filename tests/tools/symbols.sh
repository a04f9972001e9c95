#!/bin/sh
# Each stage exports exactly one symbol, and so does the gRPC engine, which alone is linked to libgrpc. Usage: symbols.sh BUILD
bad=0 n=0
for so in "$1"/stages/*.so "$1"/template/*.so; do
  got=$(nm -D --defined-only "$so" | awk '{print $3}' | grep -v '^__\(asan\|tsan\|ubsan\|odr\)' | tr '\n' ' ')
  n=$((n + 1))
  [ "$got" = "weir_plugin_v0 " ] || { echo "$so exports: $got"; bad=1; }
done
for so in "$1"/engines/*.so; do
  [ -e "$so" ] || continue
  got=$(nm -D --defined-only "$so" | awk '{print $3}' | grep -v '^__\(asan\|tsan\|ubsan\|odr\)' | tr '\n' ' ')
  [ "$got" = "weir_grpc_core_init " ] || { echo "$so exports: $got"; bad=1; }
done
! readelf -d "$1/weir" | grep -q 'NEEDED.*libgrpc' || { echo "$1/weir is linked to libgrpc: only engines/grpc_core.so may be"; bad=1; }
[ "$n" -gt 0 ] || { echo "symbols: no stages in $1/stages"; exit 1; }
[ "$bad" -eq 0 ] && echo "symbols: $n plugins export weir_plugin_v0 alone"
exit $bad

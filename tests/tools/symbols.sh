#!/bin/sh
# Each stage exports exactly one symbol, and so does each engine; the program itself is linked to none of the engines' libraries. Usage: symbols.sh BUILD
bad=0 n=0

# exports_only FILE SYMBOL
exports_only() {
  got=$(nm -D --defined-only "$1" | awk '{print $3}' | grep -v '^__\(asan\|tsan\|ubsan\|odr\)' | tr '\n' ' ')
  n=$((n + 1))
  [ "$got" = "$2 " ] || { echo "$1 exports: $got"; bad=1; }
}

for so in "$1"/stages/*.so "$1"/template/*.so; do exports_only "$so" weir_plugin_v0; done
exports_only "$1/engines/tls.so" weir_tls_engine_v0
[ ! -e "$1/engines/grpc_core.so" ] || exports_only "$1/engines/grpc_core.so" weir_grpc_core_init
! readelf -d "$1/weir" | grep -E 'NEEDED.*lib(grpc|ssl|crypto|snappy)' || { echo "$1/weir is linked to a library that only an engine may need"; bad=1; }
[ "$bad" -eq 0 ] && echo "symbols: $n plugins and engines export one symbol each"
exit $bad

#!/bin/sh
# Each stage exports exactly one symbol. Usage: symbols.sh BUILD
bad=0 n=0
for so in "$1"/stages/*.so "$1"/template/*.so; do
  got=$(nm -D --defined-only "$so" | awk '{print $3}' | grep -v '^__\(asan\|tsan\|ubsan\|odr\)' | tr '\n' ' ')
  n=$((n + 1))
  [ "$got" = "weir_plugin_v0 " ] || { echo "$so exports: $got"; bad=1; }
done
[ "$n" -gt 0 ] || { echo "symbols: no stages in $1/stages"; exit 1; }
[ "$bad" -eq 0 ] && echo "symbols: $n plugins export weir_plugin_v0 alone"
exit $bad

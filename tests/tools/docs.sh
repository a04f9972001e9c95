#!/bin/sh
# Writes each stage's manual page to docs/stages; check-golden compares them. Usage: docs.sh BUILD
cd "$(dirname "$0")/../.." || exit 1
mkdir -p docs/stages
for so in "$1"/stages/*.so; do
  base=$(basename "$so" .so)
  "$1/weir" doc "${base%%_*}/${base#*_}" >"docs/stages/$base.md" || exit 1
done

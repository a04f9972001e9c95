#!/bin/sh
# Writes each stage's manual page to docs/stages, or with --check fails when a page there is not what the stage says. Usage: docs.sh BUILD [--check]
cd "$(dirname "$0")/../.." || exit 1
build=$1 out=docs/stages
[ "${2:-}" = --check ] && { out=$(mktemp -d); trap 'rm -rf "$out"' EXIT; }
mkdir -p "$out"
for so in "$build"/stages/*.so; do
  base=$(basename "$so" .so); role=${base%%_*}; type=${base#*_}
  "$build/weir" doc "$role/$type" >"$out/$base.md" || exit 1
done
[ "${2:-}" = --check ] || { echo "docs: $(ls "$out" | wc -l) pages in $out"; exit 0; }
diff -ru docs/stages "$out" && echo "docs: pages are up to date" || { echo "docs: run make docs"; exit 1; }

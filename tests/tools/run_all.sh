#!/bin/sh
# Runs test programs one after the other and says which failed. Usage: run_all.sh KIND BUILD PROGRAM...
# WEIR_BUILD tells the programs where build/stages is.
kind=$1 build=$2; shift 2
export WEIR_BUILD="$build" LC_ALL=C.UTF-8 TSAN_OPTIONS="${TSAN_OPTIONS-suppressions=$(dirname "$0")/tsan.supp}"
failed=0 n=0
for t in "$@"; do
  n=$((n + 1))
  if ! out=$(timeout 120 "$t" 2>&1); then
    failed=$((failed + 1)); printf '%s\nFAILED: %s\n' "$out" "$t"
  fi
done
[ "$n" -gt 0 ] || { echo "check-$kind: no test programs"; exit 1; }
echo "check-$kind: $((n - failed)) programs passed, $failed failed"
[ "$failed" -eq 0 ]

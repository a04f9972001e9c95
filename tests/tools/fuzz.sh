#!/usr/bin/env bash
# Runs each libFuzzer target (tests/fuzz/fuzz_*.c) for some seconds under address and undefined sanitizers. Usage: fuzz.sh SECONDS [target ...]
# New inputs are kept in build-fuzz/corpus, what broke something in build-fuzz/found: add the latter to tests/fuzz/corpus with its fix.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:?usage: fuzz.sh SECONDS [target ...]}; shift
./tests/tools/deps.sh all
out=build-fuzz
flags='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined'
make --no-print-directory -s -j"$(nproc)" BUILD=$out CC=clang OPT='-O1 -g' CFLAGS="$flags" "$out/libweir.a" "$out/libkit.a"
mkdir -p "$out/fuzz" "$out/found"

targets=${*:-$(for f in tests/fuzz/fuzz_*.c; do basename "$f" .c; done)}
failed=0
for t in $targets; do
  objects=$(make --no-print-directory -s BUILD=$out --eval "objects: ; @echo \$(FUZZ_OBJ_$t)" objects) # of the stage that it looks at
  # shellcheck disable=SC2086
  make --no-print-directory -s BUILD=$out CC=clang OPT='-O1 -g' CFLAGS="$flags" "$out/obj/tests/fuzz/$t.o" $objects
  # shellcheck disable=SC2046,SC2086
  clang -fsanitize=fuzzer,address,undefined -o "$out/fuzz/$t" "$out/obj/tests/fuzz/$t.o" $objects "$out/libkit.a" "$out/libweir.a" \
    $(pkg-config --libs libuv libnghttp2 yaml-0.1 libprotobuf-c libdeflate libzstd) -lm -ldl -lpthread -lcrypt -lmd
  mkdir -p "$out/corpus/$t"
  dict=; [ ! -f "tests/fuzz/$t.dict" ] || dict="-dict=tests/fuzz/$t.dict"
  echo "fuzz: $t for $seconds s"
  # shellcheck disable=SC2086
  if ! "$out/fuzz/$t" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 $dict \
    -artifact_prefix="$out/found/$t-" "$out/corpus/$t" "tests/fuzz/corpus/$t" >"$out/$t.log" 2>&1; then
    failed=$((failed + 1)); tail -n 40 "$out/$t.log"; echo "FAILED: $t (whole output: $out/$t.log)"
  else
    grep -E 'stat::(number_of_executed_units|peak_rss_mb)' "$out/$t.log" | sed "s/^/  /"
  fi
done
exit $((failed > 0))

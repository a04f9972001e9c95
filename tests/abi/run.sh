#!/bin/sh
# Deliberately bad plugins, and the sentence weir has for each. Usage: run.sh BUILD
cd "$(dirname "$0")/../.." || exit 1
build=$1 out=$1/tests/abi failed=0 n=0
case $build in *-address) san=-fsanitize=address ;; *-thread) san=-fsanitize=thread ;; *) san=${WEIR_TEST_SAN:-} ;; esac
rm -rf "$out"; mkdir -p "$out"
cc=${CC:-gcc}

config() { # $1: plugin file or directory, $2: processor
  cat <<EOF
receivers: {nop: }
processors: {$2: }
exporters: {nop: }
service:
  telemetry: {metrics: {level: none}}
  plugins: [$1]
  pipelines: {traces: {receivers: [nop], processors: [$2], exporters: [nop]}}
EOF
}

make_plugin() { # $1: fault, $2: name
  $cc -std=c11 -D_GNU_SOURCE -g $san -Iinclude -fPIC -fvisibility=hidden -shared -DFAULT="$1" -o "$out/$2.so" tests/abi/bad.c || { echo "$2: does not compile"; failed=$((failed + 1)); }
}

expect() { # $1: name, $2: text that must be in the messages, $3: file to load (default: the plugin), $4: exit code (78)
  n=$((n + 1))
  config "${3:-$out/$1.so}" bad >"$out/$1.yaml"
  text=$("$build/weir" validate --config "$out/$1.yaml" 2>&1); code=$?
  if [ "$code" -ne "${4:-78}" ] || { [ -n "$2" ] && ! printf '%s' "$text" | grep -qF -- "$2"; }; then
    printf 'abi/%s: exit code %s, expected "%s" in:\n%s\n' "$1" "$code" "$2" "$text"; failed=$((failed + 1))
  fi
}

bad() { make_plugin "$1" "$2"; expect "$2" "$3"; }

bad 1 wrong_major 'is built for stage ABI 7.1, this weir offers 0.1'
bad 2 newer_minor 'is built for stage ABI 0.4, this weir offers 0.1'
bad 3 wrong_size 'says its plugin struct has 8 bytes, which cannot be'
bad 4 wrong_role 'has the unknown role 77'
bad 5 null_name 'has a stage without a legal name'
bad 6 no_doc_field 'number'
bad 7 field_outside 'number'
bad 8 sanitizer 'mixed they crash'
bad 9 no_symbol 'does not export weir_plugin_v0'
bad 10 no_note 'is no weir plugin: it has no weir note'
bad 11 unresolved 'weir_has_no_such_function'
bad 12 constructor 'is built for stage ABI 7.1'
bad 15 no_consume 'has no consume function'
bad 16 twice 'processor_batch.so has already'

bad 18 key_without_function 'stage bad is placed by key and has no key function'
bad 19 key_without_flag 'stage bad has a key function without the flag that it is placed by key'
bad 20 key_on_one_lane 'stage bad is on one lane, so its records can not be placed by key, too'
bad 21 key_of_receiver 'receiver bad can not be placed by key: only processors and exporters can'
bad 22 prepare_alone 'stage bad has no release function to its prepare'
bad 24 prepare_fails 'processor `bad`: no table for bad'

# A refused file leaves nothing behind: its good stage can not be used, and another file may offer it.
bad 17 half 'has a stage without a legal name'
mkdir "$out/half"; cp "$out/half.so" "$out/half/processor_bad.so"; expect half_by_directory 'has a stage without a legal name' "$out/half"
mkdir "$out/half_and_good"; cp "$out/half.so" "$out/half_and_good/a.so"; make_plugin 0 half_and_good/b; expect half_and_good '' "$out/half_and_good" 0

printf 'text, not a program' >"$out/not_elf.so"; expect not_elf 'is not a shared object (no ELF file)'
: >"$out/empty.so"; expect empty 'is empty'
expect missing 'missing.so: No such file or directory'
make_plugin 0 good
head -c 2000 "$out/good.so" >"$out/truncated.so"; expect truncated 'is cut off: it is shorter than its own headers say'
cp "$out/good.so" "$out/machine.so"; printf '\050\000' | dd of="$out/machine.so" bs=1 seek=18 conv=notrunc 2>/dev/null; expect machine 'is built for another kind of machine'
cp "$out/good.so" "$out/writable.so"; chmod o+w "$out/writable.so"; expect writable 'can be written by everyone, so it is not loaded'
mkdir "$out/open"; cp "$out/good.so" "$out/open/good.so"; chmod o+w "$out/open"; expect open_dir 'can be written by everyone' "$out/open/good.so"

# What must load: a good plugin, by file and by directory; one placed by key, with prepare and release; an older, shorter stage type; one that replaces signal handlers.
expect good '' "$out/good.so" 0
mkdir "$out/dir"; cp "$out/good.so" "$out/dir/any_name.so"; expect by_directory '' "$out/dir" 0
make_plugin 23 by_key; expect by_key '' "$out/by_key.so" 0
make_plugin 14 older; expect older '' "$out/older.so" 0
make_plugin 13 signals; config "$out/signals.so" bad >"$out/signals.yaml"
n=$((n + 1)); "$build/weir" --config "$out/signals.yaml" >"$out/signals.log" 2>&1 & pid=$!
i=0; while [ $i -lt 100 ] && ! grep -q 'Everything is ready' "$out/signals.log"; do sleep 0.05; i=$((i + 1)); done
kill -TERM $pid; wait $pid; code=$?
[ "$code" -eq 0 ] || { echo "abi/signals: SIGTERM ended weir with $code: the plugin's handler was kept"; cat "$out/signals.log"; failed=$((failed + 1)); }

# Each public header compiles alone, as C11 and, where there is a compiler, as C++17.
for h in include/weir/*.h; do
  n=$((n + 1)); printf '#include <weir/%s>\nint main(void) { return 0; }\n' "$(basename "$h")" >"$out/alone.c"; cp "$out/alone.c" "$out/alone.cpp"
  { $cc -std=c11 -Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only "$out/alone.c" &&
    { ! command -v g++ >/dev/null || g++ -std=c++17 -Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only "$out/alone.cpp"; }; } || { echo "$h: does not compile alone"; failed=$((failed + 1)); }
done

echo "check-abi: $((n - failed)) cases passed, $failed failed"
[ "$failed" -eq 0 ]

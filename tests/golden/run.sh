#!/bin/sh
# Messages and manual pages, byte for byte. Usage: run.sh BUILD [--update]
#   bad/X.yaml    `weir validate --config X.yaml` says X.txt and exits 78
#   good/X.yaml   says X.txt (warnings, or nothing) and exits 0
#   print/X.yaml  `weir print-config` makes X.redacted.txt of it; `--origin --mode unredacted` X.origin.txt
#   schema.json   is what `weir schema exporter/debug` prints (all stages: tests/scenario/cases/cli/schema.yaml)
#   docs/stages/R_S.md is what `weir doc R/S` prints, and the example on it is valid
# --update writes what the program says now; read the difference before it is committed.
build=$(cd "$1" && pwd) || exit 1
here=$(cd "$(dirname "$0")" && pwd)
update=$2 failed=0 n=0
weir=$build/weir
out=$(mktemp) && trap 'rm -f "$out"' EXIT
unset WEIR_TEST_ENDPOINT WEIR_TEST_TIMEOUT WEIR_TEST_UNSET
export LC_ALL=C.UTF-8 WEIR_TEST_TOKEN=hunter2

# compare NAME EXPECTED STATUS WANTED_STATUS
compare() {
  n=$((n + 1))
  if [ "$3" -ne "$4" ]; then
    failed=$((failed + 1)); echo "FAILED: $1: exit code $3, expected $4"; cat "$out"
  elif [ "$update" = --update ]; then
    cp "$out" "$2"
  elif ! diff -u "$2" "$out"; then
    failed=$((failed + 1)); echo "FAILED: $1"
  fi
}

for kind in bad:78 good:0; do
  cd "$here/${kind%:*}" || exit 1
  for f in *.yaml; do
    timeout 20 "$weir" validate --config "$f" >"$out" 2>&1
    compare "${kind%:*}/$f" "${f%.yaml}.txt" $? "${kind#*:}"
    if grep -q hunter2 "$out"; then
      failed=$((failed + 1)); echo "FAILED: $f: a secret is shown"
    fi
  done
done

cd "$here/print" || exit 1
for f in *.yaml; do
  timeout 20 "$weir" print-config --config "$f" --set service.drain.grace=1s >"$out" 2>&1
  compare "print/$f (redacted)" "${f%.yaml}.redacted.txt" $? 0
  if grep -q hunter2 "$out"; then
    failed=$((failed + 1)); echo "FAILED: print/$f: a secret is shown"
  fi
  cp "$out" "$out.yaml" # what is printed can be read, and says the same
  timeout 20 "$weir" print-config --config "$out.yaml" >"$out" 2>&1
  compare "print/$f (again)" "${f%.yaml}.redacted.txt" $? 0
  rm -f "$out.yaml"
  timeout 20 "$weir" print-config --mode unredacted --origin --config "$f" --set service.drain.grace=1s >"$out" 2>&1
  compare "print/$f (origin)" "${f%.yaml}.origin.txt" $? 0
done
cd "$here" || exit 1
timeout 20 "$weir" schema exporter/debug >"$out" 2>&1
compare schema schema.json $? 0

cd "$here/../../docs/stages" || exit 1
for so in "$build"/stages/*.so; do
  page=$(basename "$so" .so)
  timeout 20 "$weir" doc "$(echo "$page" | sed 's,_,/,')" >"$out" 2>&1
  compare "docs/stages/$page.md" "$page.md" $? 0
done

# example FILE: the example of a manual page, in a configuration around it, is valid.
example() {
  role=${1%%_*} type=${1#*_}; type=${type%.md} from=nop to=nop extensions= more=
  case $role in receiver) from=$type ;; exporter) to=$type ;; connector) to=$type; more="traces/out: {receivers: [$type], exporters: [nop]}" ;;
  extension) extensions="extensions: [$type]" ;; esac
  signal=$(sed -n 's/^- signals: \([a-z]*\).*/\1/p' "$1") # the first that it takes
  sed -n '/^```yaml$/,/^```$/{/^```/d;p;}' "$1"
  [ "$role" = receiver ] || echo 'receivers: {nop: }'
  [ "$role" = exporter ] || echo 'exporters: {nop: }'
  printf 'service:\n  %s\n  pipelines:\n    %s: {receivers: [%s], processors: [%s], exporters: [%s]}\n    %s\n' \
    "$extensions" "${signal:-traces}" "$from" "$([ "$role" != processor ] || echo "$type")" "$to" "$more"
}

for page in *.md; do
  n=$((n + 1))
  timeout 20 "$weir" validate --config "yaml:$(example "$page")" >"$out" 2>&1 || { failed=$((failed + 1)); echo "FAILED: the example of docs/stages/$page"; cat "$out"; }
done

[ "$n" -gt 30 ] || { echo "check-golden: only $n comparisons: something is missing"; exit 1; }
echo "check-golden: $n compared, $failed failed"
[ "$failed" -eq 0 ]

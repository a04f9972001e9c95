#!/bin/bash
# bench/run.sh BUILD [case...] - CPU time per span of weir, of the floor program and, where it is installed, of the Go collector.
#
# The load (bench/load.c) sends trace requests in a closed loop: 4 connections x 4 streams, 100 spans of about 400 bytes a request,
# uncompressed unless the case names an encoding. Measured is user+sys of the process in between, from /proc/PID/stat, over the spans that were answered with success;
# for cases that send on, the sink must have got every span. Rounds alternate between the cases; the table shows the median.
#
#   SPANS=3000000 ROUNDS=3 bench/run.sh build              all cases
#   bench/run.sh build grpc-nop go:grpc-nop                some
#   OTELCOL=/path/to/otelcol bench/run.sh build            Go collector elsewhere than ~/.cache/weir-interop/bin (OTELCOL= : without)
#   PORT=14300 bench/run.sh build                          first of the ten loopback ports that are used
set -u
cd "$(dirname "$0")/.." || exit 1
BUILD=${1:?usage: bench/run.sh BUILD [case...]}
shift
SPANS=${SPANS:-3000000} GO_SPANS=${GO_SPANS:-400000} ROUNDS=${ROUNDS:-3} PORT=${PORT:-14300}
OTELCOL=${OTELCOL-$HOME/.cache/weir-interop/bin/otelcol}
LIMIT_S=60 # for one load run, and for each wait
GRPC=127.0.0.1:$PORT HTTP=127.0.0.1:$((PORT + 1)) SINK_PORT=$((PORT + 2)) FLOOR_PORT=$((PORT + 4))
SCRAPE=127.0.0.1:$((PORT + 7)) TRACES=${TRACES:-100000} # undecided, in the cases -held and -compressed
SERIES=${SERIES:-100000} # of the cases with metrics; a "span" is a data point there, and a record in those with logs
export BENCH_GRPC=$GRPC BENCH_HTTP=$HTTP BENCH_SINK=127.0.0.1:$SINK_PORT BENCH_SINK_HTTP=127.0.0.1:$((SINK_PORT + 1)) BENCH_SCRAPE=$SCRAPE
WORK=$(mktemp -d)
BENCH_DISK=$(realpath "$BUILD")/bench/disk-queue # on the disk that BUILD is on
export BENCH_DISK
TICK_US=$((1000000 / $(getconf CLK_TCK)))
STARTED=()

ALL="floor-frames floor-count floor-walk
grpc-nop grpc-nop-tls grpc-nop-envelope grpc-nop-read grpc-nop-insert http-nop http-nop-tls http-nop-envelope http-nop-read http-json-nop http-json-nop-read
grpc-nop-gzip grpc-nop-zstd http-nop-gzip http-nop-zstd http-nop-snappy
grpc-batch-grpc grpc-batch-grpc-envelope grpc-batch-grpc-read grpc-batch-grpc-insert
grpc-memory-batch-grpc grpc-disk-batch-grpc grpc-disk-os-batch-grpc
grpc-nop-core grpc-batch-grpc-core idle-core
grpc-scrape grpc-batch-rw grpc-batch-rw2 grpc-batch-loki grpc-batch1k-loki http-batch-loki
grpc-tail-whole grpc-tail-spread grpc-tail-held grpc-tail-compressed go:grpc-tail-whole go:grpc-tail-spread
go:grpc-nop go:http-nop go:http-json-nop go:grpc-batch-grpc go:grpc-batch-grpc-insert go:grpc-scrape go:grpc-batch-rw
one-by-one idle memory micro spool"

end_all() {
  for pid in "${STARTED[@]:-}"; do [ -n "$pid" ] && kill -KILL "$pid" 2>/dev/null; done
  rm -rf "$WORK" "$BENCH_DISK"
}
trap end_all EXIT
trap 'exit 130' INT TERM

# start NAME COMMAND...: in the background; PID is its pid, its output in $WORK/NAME.
start() {
  local name=$1
  shift
  "$@" >"$WORK/$name" 2>&1 &
  PID=$!
  STARTED+=("$PID")
}

# stop PID: SIGTERM, and SIGKILL after 10 s.
stop() {
  kill -TERM "$1" 2>/dev/null
  for _ in $(seq 100); do
    kill -0 "$1" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "$1" 2>/dev/null
  wait "$1" 2>/dev/null
}

wait_port() { # HOST:PORT PID
  for _ in $(seq 200); do
    (exec 3<>"/dev/tcp/${1%:*}/${1#*:}") 2>/dev/null && return 0
    kill -0 "$2" 2>/dev/null || return 1
    sleep 0.05
  done
  return 1
}

cpu_us() { awk -v t="$TICK_US" '{ sub(/^.*\) /, ""); print ($12 + $13) * t }' "/proc/$1/stat"; }
rss_kib() { awk -v k="$2:" '$1 == k { print $2 }' "/proc/$1/status"; }

# settle PID: until it has used no CPU for 0.4 s (batch timers have fired, queues are empty).
settle() {
  local last now still=0
  last=$(cpu_us "$1")
  for _ in $(seq $((LIMIT_S * 5))); do
    sleep 0.2
    now=$(cpu_us "$1") || return 1
    [ $((now - last)) -le "$TICK_US" ] && still=$((still + 1)) || still=0
    last=$now
    [ "$still" -ge 2 ] && return 0
  done
  return 1
}

note() { echo "$1 $2" >>"$WORK/results"; }
fail() { echo "bench: $1: $2" >&2; note "$1" failed; }

# measure CASE PID SPANS LOAD-ARGS...: a warm-up, then the run that counts.
measure() {
  local name=$1 pid=$2 spans=$3 before after
  shift 3
  "$BUILD/bench/load" send "$@" --spans $((spans / 10)) --limit "$LIMIT_S" >/dev/null || return 1
  settle "$pid"
  before=$(cpu_us "$pid")
  "$BUILD/bench/load" send "$@" --spans "$spans" --limit "$LIMIT_S" >"$WORK/load" || return 1
  settle "$pid"
  after=$(cpu_us "$pid")
  echo "bench: $name: $(cat "$WORK/load") rss_kib=$(rss_kib "$pid" VmRSS)" >&2
  note "$name" "$(awk -v d=$((after - before)) -v n="$spans" 'BEGIN { printf "%.3f", d / n }')"
}

# load_args CASE: what the sender is told.
load_args() {
  local tls=
  case $1 in *-tls) tls=" --tls $WORK/certs/ca.pem" ;; esac
  case $1 in
  http-json-*) echo "--http $HTTP --json$tls" ;;
  http-*) echo "--http $HTTP$tls" ;;
  *) echo "--grpc $GRPC$tls" ;;
  esac
  case $1 in *-gzip | *-zstd | *-snappy) echo "--${1##*-}" ;; *-rw | *-rw2) echo "--series $SERIES" ;; *-loki) echo --logs ;; esac
}

# weir_args CASE: configuration of weir.
weir_args() {
  local args="--set service.lanes=1"
  case $1 in
  *-memory-batch-grpc) args+=" --config bench/queue.yaml" ;;
  *-disk-*batch-grpc) args+=" --config bench/queue.yaml --config bench/queue_disk.yaml" ;;
  *batch-grpc*) args+=" --config bench/through.yaml" ;;
  *batch-rw*) args+=" --config bench/remote_write.yaml" ;;
  *-loki) args+=" --config bench/loki.yaml" ;;
  *-scrape) args+=" --config bench/scrape.yaml" ;;
  grpc-tail-held | grpc-tail-compressed) args+=" --config bench/tail.yaml --set processors.tail_sampling.decision_wait=1h --set processors.tail_sampling.max_bytes=20GiB --set service.memory_limit=20GiB" ;;
  grpc-tail-*) args+=" --config bench/tail.yaml" ;;
  *) args+=" --config bench/nop.yaml" ;;
  esac
  case $1 in
  *-nop-read | *-nop-insert) args+=" --config bench/nop_${1##*-}.yaml" ;;
  *-grpc-read | *-grpc-insert) args+=" --config bench/through_${1##*-}.yaml" ;;
  *-tls)
    local protocol=${1%%-*}
    tests/tools/certs.sh "$WORK/certs"
    args+=" --set receivers.otlp.protocols.$protocol.tls.cert_file=$WORK/certs/server.pem --set receivers.otlp.protocols.$protocol.tls.key_file=$WORK/certs/server.key"
    ;;
  *-core) args+=" --set receivers.otlp.protocols.grpc.engine=core" ;;
  *-disk-os-*) args+=" --set extensions.file_storage.sync=os" ;;
  *-envelope) args+=" --set receivers.otlp.validation=envelope" ;;
  esac
  case $1 in *-batch1k-*) args+=" --set processors.batch.send_batch_size=1000" ;; esac
  case $1 in *-rw2) args+=" --set exporters.prometheus_remote_write.protobuf_message=io.prometheus.write.v2.Request" ;; esac
  [ "$1" = grpc-batch-grpc-core ] && args+=" --set exporters.otlp_grpc.engine=core"
  case $1 in *-read | *-insert) args+=" --set service.plugins=[$BUILD/bench/stages/processor_bench_edit.so]" ;; esac
  echo "$args"
}

go_args() {
  case $1 in
  *-insert) echo "--config bench/through.yaml --config bench/through_insert_otelcol.yaml" ;;
  *batch-grpc*) echo "--config bench/through.yaml" ;;
  *batch-rw*) echo "--config bench/remote_write.yaml" ;;
  *-scrape) echo "--config bench/scrape.yaml" ;;
  grpc-tail-*) echo "--config bench/tail.yaml" ;;
  *) echo "--config bench/nop.yaml" ;;
  esac
}

run_floor() { # CASE MODE
  start "$1" "$BUILD/bench/floor" "$FLOOR_PORT" "$2"
  local pid=$PID
  wait_port "127.0.0.1:$FLOOR_PORT" "$pid" && measure "$1" "$pid" "$SPANS" --grpc "127.0.0.1:$FLOOR_PORT" || fail "$1" "$(tail -1 "$WORK/$1")"
  stop "$pid"
}

# run_between CASE SPANS LABEL COMMAND...: a process between load and, where the case sends on, the sink.
run_between() {
  local name=$1 spans=$2 label=$3 sink= pid got
  shift 3
  case $name in
  *batch-grpc* | *batch-rw* | *-loki)
    start sink "$BUILD/bench/load" sink "$SINK_PORT"
    sink=$PID
    wait_port "127.0.0.1:$SINK_PORT" "$sink" || { fail "$label" "no sink: $(tail -1 "$WORK/sink")"; return; }
    ;;
  esac
  start process "$@"
  pid=$PID
  # shellcheck disable=SC2046
  wait_port "$GRPC" "$pid" && measure "$label" "$pid" "$spans" $(load_args "$name") || fail "$label" "$(tail -3 "$WORK/process")"
  stop "$pid"
  [ -n "$sink" ] || return 0
  stop "$sink"
  got=$(sed -n 's/.* spans=\([0-9]*\).*/\1/p' "$WORK/sink")
  case $name in *batch-rw*) # beside the points there is target_info
    got=$(sed -n 's/.* points=\([0-9]*\).*/\1/p' "$WORK/sink")
    [ "$got" -ge $((spans + spans / 10)) ] || fail "$label" "the sink got $got of $((spans + spans / 10)) samples"
    return
    ;;
  *-loki) got=$(sed -n 's/.* logs=\([0-9]*\).*/\1/p' "$WORK/sink") ;;
  esac
  [ "$got" = $((spans + spans / 10)) ] || fail "$label" "the sink got $got of $((spans + spans / 10)) spans"
}

# run_scrape LABEL POINTS COMMAND...: points of SERIES series in, one page (gzip) at the end, which counts; then what a page costs alone, and what a series takes.
run_scrape() {
  local label=$1 points=$2 pid before after empty
  shift 2
  start process "$@"
  pid=$PID
  wait_port "$GRPC" "$pid" || { fail "$label" "$(tail -3 "$WORK/process")"; stop "$pid"; return; }
  settle "$pid"
  empty=$(rss_kib "$pid" VmRSS)
  "$BUILD/bench/load" send --grpc "$GRPC" --series "$SERIES" --spans "$SERIES" --limit "$LIMIT_S" >/dev/null &&
    settle "$pid" && note "$label-bytes-a-series" $((($(rss_kib "$pid" VmRSS) - empty) * 1024 / SERIES))
  before=$(cpu_us "$pid")
  "$BUILD/bench/load" send --grpc "$GRPC" --series "$SERIES" --spans "$points" --limit "$LIMIT_S" >"$WORK/load" &&
    curl -sf --compressed "http://$SCRAPE/metrics" >"$WORK/page" && settle "$pid" || fail "$label" "$(tail -3 "$WORK/process")"
  after=$(cpu_us "$pid")
  [ "$(grep -vc '^#' "$WORK/page")" -ge "$SERIES" ] || fail "$label" "the page has $(grep -vc '^#' "$WORK/page") series"
  echo "bench: $label: $(cat "$WORK/load") rss_kib=$(rss_kib "$pid" VmRSS)" >&2
  note "$label" "$(awk -v d=$((after - before)) -v n="$points" 'BEGIN { printf "%.3f", d / n }')"
  for form in gzip plain; do
    before=$(cpu_us "$pid")
    for _ in 1 2 3 4 5; do curl -sf $([ $form = gzip ] && echo --compressed) "http://$SCRAPE/metrics" -o "$WORK/page" -w '%{time_total}\n' >>"$WORK/times"; done
    settle "$pid"
    note "$label-page-$form-cpu-ms" $((($(cpu_us "$pid") - before) / 5000))
  done
  stop "$pid"
}

# run_tail LABEL SHAPE SPANS COMMAND...: from the socket to the decision, of every span: tail.yaml decides after 2 s.
run_tail() {
  local label=$1 shape=$2 spans=$3 pid before after
  shift 3
  start process "$@"
  pid=$PID
  wait_port "$GRPC" "$pid" && "$BUILD/bench/load" send --grpc "$GRPC" "--$shape" --spans $((spans / 10)) --limit "$LIMIT_S" >/dev/null || { fail "$label" "$(tail -3 "$WORK/process")"; stop "$pid"; return; }
  sleep 4
  before=$(cpu_us "$pid")
  "$BUILD/bench/load" send --grpc "$GRPC" "--$shape" --spans "$spans" --limit "$LIMIT_S" >"$WORK/load" || fail "$label" "$(tail -1 "$WORK/load") $(tail -3 "$WORK/process")"
  sleep 4
  after=$(cpu_us "$pid")
  echo "bench: $label: $(cat "$WORK/load") rss_kib=$(rss_kib "$pid" VmRSS) hwm_kib=$(rss_kib "$pid" VmHWM)" >&2
  note "$label" "$(awk -v d=$((after - before)) -v n="$spans" 'BEGIN { printf "%.3f", d / n }')"
  stop "$pid"
}

# run_held LABEL TRACES COMMAND...: memory of TRACES undecided traces of ten spans, by the spans' bytes on the wire, and the CPU from the socket into the store.
run_held() {
  local label=$1 traces=$2 pid empty before held wire
  shift 2
  start process "$@"
  pid=$PID
  wait_port "$GRPC" "$pid" || { fail "$label" "$(tail -3 "$WORK/process")"; stop "$pid"; return; }
  empty=$(rss_kib "$pid" VmRSS)
  before=$(cpu_us "$pid")
  "$BUILD/bench/load" send --grpc "$GRPC" --spread --spans $((traces * 10)) --limit $((LIMIT_S * 3)) >"$WORK/load" || fail "$label" "$(tail -1 "$WORK/load") $(tail -3 "$WORK/process")"
  settle "$pid"
  note "$label" "$(awk -v d=$(($(cpu_us "$pid") - before)) -v n="$((traces * 10))" 'BEGIN { printf "%.3f", d / n }')"
  held=$((($(rss_kib "$pid" VmRSS) - empty) * 1024))
  wire=$(sed -n 's/.*bytes_per_span=\([0-9]*\).*/\1/p' "$WORK/load")
  note "$label-mib" $((held / 1048576))
  note "$label-times-wire" "$(awk -v h="$held" -v n="$((traces * 10))" -v w="$wire" 'BEGIN { printf "%.3f", h / n / w }')"
  stop "$pid"
}

# A client that waits for each answer, with batch in the pipeline: the answer must not wait for the batch timer (200 ms).
run_one_by_one() {
  start sink "$BUILD/bench/load" sink "$SINK_PORT"
  local sink=$PID pid
  # shellcheck disable=SC2046
  start process "$BUILD/weir" run $(weir_args grpc-batch-grpc)
  pid=$PID
  if wait_port "$GRPC" "$pid" && "$BUILD/bench/load" send --grpc "$GRPC" --spans 100000 --connections 1 --streams 1 --limit "$LIMIT_S" >"$WORK/load"; then
    note one-by-one-p50-us "$(sed -n 's/.*p50_us=\([0-9]*\).*/\1/p' "$WORK/load")"
    note one-by-one-p99-us "$(sed -n 's/.*p99_us=\([0-9]*\).*/\1/p' "$WORK/load")"
  else
    fail one-by-one "$(tail -3 "$WORK/process")"
  fi
  stop "$pid"
  stop "$sink"
}

# Start time (exec to the ready line), resident memory and threads of the quickstart, on ports of our own. SUFFIX goes behind the names.
run_idle() { # SUFFIX [argument of weir...]
  local suffix=$1
  shift
  local began ready= line pid
  rm -f "$WORK/fifo" && mkfifo "$WORK/fifo" && exec 8<>"$WORK/fifo"
  : >"$WORK/idle"
  began=$(date +%s%N)
  "$BUILD/weir" run --config pipelines/quickstart.yaml --set service.lanes=1 \
    --set receivers.otlp.protocols.grpc.endpoint="$GRPC" --set receivers.otlp.protocols.http.endpoint="$HTTP" \
    --set extensions.health_check.endpoint="127.0.0.1:$((PORT + 5))" --set service.telemetry.metrics.address="127.0.0.1:$((PORT + 6))" "$@" >&8 2>&1 &
  pid=$!
  STARTED+=("$pid")
  while read -r -t 5 -u 8 line; do
    case $line in *"Everything is ready"*) ready=$(date +%s%N) && break ;; esac
    echo "$line" >>"$WORK/idle"
  done
  if [ -n "$ready" ]; then
    note "start-ms$suffix" "$(awk -v d=$((ready - began)) 'BEGIN { printf "%.1f", d / 1e6 }')"
    sleep 0.5
    note "idle-rss-mib$suffix" "$(awk -v k="$(rss_kib "$pid" VmRSS)" 'BEGIN { printf "%.2f", k / 1024 }')"
    note "idle-threads$suffix" "$(ls "/proc/$pid/task" | wc -l)"
  else
    fail idle "$(tail -3 "$WORK/idle")"
  fi
  stop "$pid"
  exec 8>&-
}

# Resident memory after one million and after ten million spans, at a rate that the sink keeps up with: batch answers before it has sent, so what comes
# faster than it goes stands in the queue.
run_memory() {
  start sink "$BUILD/bench/load" sink "$SINK_PORT"
  local sink=$PID pid
  # shellcheck disable=SC2046
  start process "$BUILD/weir" run $(weir_args grpc-batch-grpc)
  pid=$PID
  wait_port "$GRPC" "$pid" && "$BUILD/bench/load" send --grpc "$GRPC" --spans 1000000 --rate 500000 --limit "$LIMIT_S" >/dev/null &&
    note memory-1M-hwm-mib "$(($(rss_kib "$pid" VmHWM) / 1024))" &&
    "$BUILD/bench/load" send --grpc "$GRPC" --spans 9000000 --rate 500000 --limit $((LIMIT_S * 3)) >/dev/null &&
    note memory-10M-hwm-mib "$(($(rss_kib "$pid" VmHWM) / 1024))" || fail memory "$(tail -3 "$WORK/process")"
  stop "$pid"
  stop "$sink"
}

# What the data model costs, in ns of CPU a span, a batch boundary, in ns of CPU a batch, a push to Loki, in ns of CPU a record, and a condition, in ns of CPU an evaluation.
run_micro() {
  "$BUILD/bench/micro_otlp" >"$WORK/micro" && "$BUILD/bench/micro_stage" >>"$WORK/micro" && "$BUILD/bench/micro_loki" >>"$WORK/micro" && "$BUILD/bench/micro_expr" >>"$WORK/micro" || { fail micro "$(tail -1 "$WORK/micro")"; return; }
  while read -r name value; do note "$name" "$value"; done < <(sed -nE 's/^(copy|count|scan|decode|re-frame|insert\+encode|rewrite|place|json-decode|json-encode) +([0-9.]+).*/micro-\1-ns \2/p
    s/^((loki|expr)-[a-z+]+) ([0-9.]+) ns/micro-\1-ns \3/p; s/^batch boundary ([0-9.]+) ns/micro-batch-boundary-ns \1/p; s/.*tree ([0-9.]+) x the wire/micro-tree-times-wire \1/p' "$WORK/micro")
}

# The disk queue beside a bare append and fdatasync of the same sizes, on the disk that BUILD is on: records a second, and the ratios.
run_spool() {
  mkdir -p "$BUILD/bench/disk"
  "$BUILD/bench/micro_spool" "$BUILD/bench/disk" >"$WORK/spool" || { fail spool "$(tail -1 "$WORK/spool")"; return; }
  while read -r name value; do note "$name" "$value"; done < <(sed -nE 's/^(append-[^ ]+) bare ([0-9]+).* with fallocate ([0-9]+).* queue ([0-9]+)\/s ([0-9.]+) us, ratio ([0-9.]+) and ([0-9.]+)/\1-per-s \4\n\1-cpu-us \5\n\1-to-bare \6\n\1-to-bare-fallocate \7/p
    s/^(read-[^ ]+) ([0-9]+)\/s.*/\1-per-s \2/p' "$WORK/spool")
}

run_case() {
  case $1 in
  micro) run_micro ;;
  spool) run_spool ;;
  floor-frames) run_floor "$1" 1 ;;
  floor-count) run_floor "$1" 2 ;;
  floor-walk) run_floor "$1" 3 ;;
  one-by-one) run_one_by_one ;;
  idle) run_idle "" ;;
  idle-core) run_idle -core --set receivers.otlp.protocols.grpc.engine=core ;;
  memory) run_memory ;;
  # shellcheck disable=SC2046
  go:grpc-tail-*) [ -x "$OTELCOL" ] && run_tail "$1" "${1##*-}" "$GO_SPANS" "$OTELCOL" $(go_args "${1#go:}") ;;
  # shellcheck disable=SC2046
  grpc-tail-held) run_held "$1" "$TRACES" "$BUILD/weir" run $(weir_args "$1") ;;
  # shellcheck disable=SC2046
  grpc-tail-compressed) run_held "$1" "$TRACES" "$BUILD/weir" run $(weir_args "$1") --set processors.tail_sampling.max_bytes=$((TRACES * 2800)) ;;
  # shellcheck disable=SC2046
  grpc-tail-*) run_tail "$1" "${1##*-}" "$SPANS" "$BUILD/weir" run $(weir_args "$1") ;;
  # shellcheck disable=SC2046
  go:*-scrape) [ -x "$OTELCOL" ] && run_scrape "$1" "$GO_SPANS" "$OTELCOL" $(go_args "${1#go:}") ;;
  # shellcheck disable=SC2046
  *-scrape) run_scrape "$1" "$SPANS" "$BUILD/weir" run $(weir_args "$1") ;;
  # shellcheck disable=SC2046
  go:*) [ -x "$OTELCOL" ] && run_between "${1#go:}" "$GO_SPANS" "$1" "$OTELCOL" $(go_args "${1#go:}") ;;
  # shellcheck disable=SC2046
  *) run_between "$1" "$SPANS" "$1" "$BUILD/weir" run $(weir_args "$1") ;;
  esac
}

table() {
  echo "| case | median | lowest | highest |"
  echo "|---|---|---|---|"
  awk '!($1 in n) { order[++cases] = $1 } { v[$1, ++n[$1]] = $2 }
    END { for (c = 1; c <= cases; c++) { name = order[c]; k = n[name]
      for (i = 2; i <= k; i++) { x = v[name, i]; for (j = i - 1; j > 0 && v[name, j] + 0 > x + 0; j--) v[name, j + 1] = v[name, j]; v[name, j + 1] = x }
      print "| " name " | " v[name, int((k + 1) / 2)] " | " v[name, 1] " | " v[name, k] " |" } }' "$WORK/results"
}

CASES=${*:-$ALL}
: >"$WORK/results"
for round in $(seq "$ROUNDS"); do
  for c in $CASES; do
    [ "$c" = memory ] && [ "$round" -gt 1 ] && continue # once is enough: it looks for growth
    run_case "$c"
  done
done
echo "us of CPU (user+sys) per span unless the name says another unit; $ROUNDS rounds of $SPANS spans ($GO_SPANS for go:)"
table | tee "$BUILD/bench/results.md"
! grep -q ' failed$' "$WORK/results"

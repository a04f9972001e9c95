"""Steps that look: `expect` (sink, metrics, logs, memory, health) and the counting laws that hold at rest."""
import glob
import operator
import re
import time

import items
import otlp_json
import sink as sink_module
from weir_process import Failure, metric_sum

OPERATORS = {"==": operator.eq, ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "!=": operator.ne}


def compare(value, wanted):
    """wanted: a number, or a text like ">= 3"; null means absent."""
    if wanted is None or value is None:
        return value is wanted
    if isinstance(wanted, str):
        m = re.match(r"^(==|>=|<=|!=|>|<)\s*(-?[\d.]+)$", wanted)
        if not m:
            raise Failure(f"can not read the comparison {wanted!r}")
        return OPERATORS[m.group(1)](value, float(m.group(2)))
    return value == wanted


def until(within, look):
    """Calls look() until it returns None (nothing wrong) or time is up; then its last complaint is the failure."""
    end = time.monotonic() + within
    while True:
        wrong = look()
        if wrong is None:
            return
        if time.monotonic() > end:
            raise Failure(wrong)
        time.sleep(0.05)


def check_of(key):
    if key not in CHECKS:
        raise Failure(f"expect: unknown key {key!r}")
    return CHECKS[key]


def expect(scenario, spec):
    within = spec.get("within", 10) * scenario.slow
    for key, wanted in spec.items():
        if key != "within":
            until(within, lambda: check_of(key)(scenario, wanted))


def holds(scenario, spec):
    """None when all of it is so at this moment, or the first complaint."""
    return next((wrong for wrong in (check_of(key)(scenario, wanted) for key, wanted in spec.items()) if wrong is not None), None)


def expect_sinks(scenario, wanted):
    for name, one in wanted.items():
        wrong = expect_sink(scenario, one, scenario.sink(name))
        if wrong:
            return f"sink {name}: {wrong}"
    return None


def expect_sinks_together(scenario, wanted):
    """of: names of sinks; the rest as for one."""
    store = sink_module.together(scenario.sink(name).store for name in wanted["of"])
    return expect_sink(scenario, {k: v for k, v in wanted.items() if k != "of"}, store=store)


def expect_sink(scenario, wanted, sink=None, store=None):
    store = store or (sink or scenario.sink("")).store
    counts = store.counts()
    transport = wanted.get("transport")
    for key, value in wanted.items():
        if key in counts:
            if not compare(counts[key], value):
                return f"expected {key} {value}, got {counts}"
        elif key in ("equal", "alike", "covers"):
            wrong = compare_contents(scenario, store, key, value, transport)
            if wrong:
                return wrong
        elif key == "gap":  # seconds between attempt i and attempt j
            i, j, limit = value
            if len(store.attempts) <= j:
                return f"only {len(store.attempts)} attempts came in"
            gap = store.attempts[j].at - store.attempts[i].at
            if not compare(gap, limit):
                return f"{gap:.2f} s between attempts {i} and {j}, expected {limit}"
        elif key == "largest":  # bytes of the largest accepted message
            largest = max((len(a.body) for a in store.attempts if a.accepted), default=0)
            if not compare(largest, value):
                return f"the largest message has {largest} bytes, expected {value}"
        elif key == "compressed":
            if any(a.transport == "grpc" for a in store.attempts):
                raise Failure("compressed: grpcio does not tell how a gRPC message was encoded; tests/stage/test_otlp_export.c looks at that")
            plain = [a for a in store.attempts if a.headers.get("content-encoding") != value]
            if not store.attempts or plain:
                return f"expected encoding {value}, got {plain[0].headers if plain else 'nothing'}"
        elif key == "headers":
            for k, v in value.items():
                if not store.attempts or v not in store.attempts[0].headers.get(k, ""):
                    return f"header {k}: expected {v!r}, got {store.attempts[0].headers if store.attempts else None}"
        elif key == "items_by":  # {header: {value: items}}: how many items came in requests with this header, of all signals; null = without it
            for header, by_value in value.items():
                got = store.items_by(header)
                if got != by_value:
                    return f"items by {header}: expected {by_value}, got {got}"
        elif key != "transport":
            return f"unknown key {key!r}"
    return None


def compare_contents(scenario, store, how, wanted, transport):
    """wanted: "acked", "sent" or "reference", and after it the signals to look at (all)."""
    which, *signals = wanted.split()
    loosely = how == "alike"  # the Go collector writes an empty status where none was
    for signal in signals or items.REQUEST:
        found = store.collect(signal, transport, loosely)
        if which == "reference":
            expected = scenario.reference_sink().store.collect(signal, None, loosely)
        else:
            expected = scenario.ledger.collect(which, signal)
        if how == "covers":  # all there; more may have come, but not twice
            found = found & expected
        wrong = items.difference(signal, expected, found)
        if wrong:
            return wrong
    return None


def expect_metrics(scenario, wanted):
    name = wanted.get("weir", "")
    page = scenario.weir(name).metrics()
    for selector, value in wanted.items():
        if selector != "weir" and not compare(metric_sum(page, selector), value):
            return f"metric {selector}: expected {value}, got {metric_sum(page, selector)}"
    return None


def _texts(scenario, wanted, what):
    name, texts = (wanted.get("weir", ""), wanted["texts"]) if isinstance(wanted, dict) else ("", wanted)
    text = getattr(scenario.weir(name), what)()
    for t in texts:
        if t not in text:
            return f"{what} does not hold {t!r}:\n{text[-3000:]}"
    return None


def expect_stderr(scenario, wanted):
    return _texts(scenario, wanted, "stderr")


def expect_stdout(scenario, wanted):
    return _texts(scenario, wanted, "stdout")


def expect_output(scenario, wanted):
    """On the terminal, whichever stream it is."""
    return _texts(scenario, wanted, "output")


def expect_quiet(scenario, wanted):
    """None of these texts stands on stderr."""
    for t in wanted:
        if t in scenario.weir("").stderr():
            return f"stderr holds {t!r}:\n{scenario.weir('').stderr()[-3000:]}"
    return None


def expect_ended(scenario, wanted):
    """A weir that was not waited for has ended with this status."""
    w = scenario.weir(wanted["weir"])
    status = w.process.poll()
    w.ended_well = status == wanted["exit"]
    return None if w.ended_well else f"{w.name}: expected exit {wanted['exit']}, got {status}:\n{w.stderr()[-2000:]}"


def expect_lines(scenario, wanted):
    """How many lines stand on stderr."""
    n = len(scenario.weir("").stderr().splitlines())
    return None if compare(n, wanted) else f"{n} lines on stderr, expected {wanted}:\n{scenario.weir('').stderr()[-2000:]}"


def expect_file(scenario, wanted):
    """Lines of OTLP/JSON in files (glob): how many files, lines, spans ..., and whether they hold what was acked. Each line must be whole."""
    paths = sorted(glob.glob(wanted["path"]))
    lines = []
    for path in paths:
        with open(path, "rb") as f:
            text = f.read()
        if text and not text.endswith(b"\n"):
            return f"{path} ends in the middle of a line"
        lines += text.splitlines()
    requests = {signal: [] for signal in items.REQUEST}
    for line in lines:
        signal = otlp_json.signal_of(line)
        requests[signal].append(otlp_json.parse(signal, line))
    counts = {"files": len(paths), "lines": len(lines)}
    for signal, noun in items.NOUN.items():
        counts[noun] = sum(items.count(signal, r) for r in requests[signal])
    for key, value in wanted.items():
        if key in counts and not compare(counts[key], value):
            return f"{wanted['path']}: expected {key} {value}, got {counts}"
    if "equal" in wanted:
        for signal in items.REQUEST:
            wrong = items.difference(signal, scenario.ledger.collect(wanted["equal"], signal), items.collect(signal, requests[signal]))
            if wrong:
                return wrong
    return None


def expect_mapped(scenario, wanted):
    """Whether files whose name begins so are mapped into the process, as a dictionary of booleans."""
    names = {line.split("/")[-1].strip() for line in open(f"/proc/{scenario.weir('').process.pid}/maps", encoding="utf-8") if "/" in line}
    for prefix, expected in wanted.items():
        if any(name.startswith(prefix) for name in names) != expected:
            return f"{prefix} is {'not ' if expected else ''}mapped"
    return None


def expect_memory(scenario, wanted):
    """Peak resident MiB. Sanitizers multiply memory, so there it is not looked at."""
    if scenario.slow != 1:
        return None
    peak = scenario.weir("").memory_peak_mib()
    return None if compare(peak, wanted) else f"peak memory {peak:.1f} MiB, expected {wanted}"


def expect_answers(scenario, wanted):
    """How generated requests were answered: ok, retry, refused, lost, hints (retryable ones that named a delay), slowest (seconds)."""
    got = {**scenario.ledger.answers, "hints": scenario.ledger.hints, "slowest": scenario.ledger.slowest}
    for key, value in wanted.items():
        if not compare(got[key], value):
            return f"answers: expected {key} {value}, got {got} {sorted(scenario.ledger.retry_texts)[:3]}"
    return None


def expect_made(scenario, wanted):
    return None if scenario.made == wanted else f"the SDK made {scenario.made}, expected {wanted}"


def expect_process(scenario, wanted):
    """Lines of /proc/PID/status."""
    got = scenario.weir("").status()
    wrong = {k: got.get(k) for k, v in wanted.items() if got.get(k) != v}
    return f"/proc/PID/status: expected {wanted}, got {wrong}" if wrong else None


def expect_proxy(scenario, wanted):
    """Of the proxy on `port`: connections, cuts, frozen, swallowed (bytes that came on frozen connections)."""
    counts = scenario.proxies[int(wanted["port"])].counts
    wrong = [k for k, v in wanted.items() if k != "port" and not compare(counts[k], v)]
    return f"proxy: expected {wanted}, got {counts}" if wrong else None


def expect_running(scenario, wanted):
    return None if scenario.weir("").running() == wanted else f"expected running: {wanted}"


CHECKS = {
    "sink": expect_sink, "sinks": expect_sinks, "sinks_together": expect_sinks_together,
    "metrics": expect_metrics, "stderr": expect_stderr, "stdout": expect_stdout,
    "output": expect_output, "quiet": expect_quiet, "memory": expect_memory, "mapped": expect_mapped, "answers": expect_answers,
    "made": expect_made, "running": expect_running, "ended": expect_ended, "lines": expect_lines, "file": expect_file,
    "process": expect_process, "proxy": expect_proxy,
}

# total, and what it is the sum of
STAGE_LAW = ("weir_stage_items_in_total",
             ["weir_stage_items_out_total", "weir_stage_items_dropped_total", "weir_stage_items_refused_total", "weir_stage_items_held"])
SENDER_LAW = ("weir_sender_items_enqueued_total",
              ["weir_sender_items_sent_total", "weir_sender_items_rejected_total", "weir_sender_items_queued", "weir_sender_items_in_flight"])


def broken_laws(page):
    """What enters a stage or a sender is somewhere: complaints, by instance and signal."""
    wrong, seen = [], 0
    for total, parts in (STAGE_LAW, SENDER_LAW):
        instances = {}
        for name, labels, value in page:
            if name != total and name not in parts:
                continue
            key = tuple(sorted((k, v) for k, v in labels.items() if k != "reason"))
            found = instances.setdefault(key, {})
            found[name] = found.get(name, 0) + value
        for key, found in instances.items():
            seen += 1
            if total not in found:
                wrong.append(f"{dict(key)}: no {total}")
            elif found[total] != sum(v for k, v in found.items() if k != total):
                wrong.append(f"{dict(key)}: {found}")
    return wrong if seen else ["the metrics page has no weir_stage_ or weir_sender_ counters"]


def laws(scenario, weir):
    def look():
        wrong = broken_laws(weir.metrics())
        return f"counting law of {weir.name}: " + "; ".join(wrong) if wrong else None

    until(10 * scenario.slow, look)

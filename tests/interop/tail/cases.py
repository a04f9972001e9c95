"""The cases of the differential test of tail_sampling: what is configured, what traces look like, what is compared. `case` adds one; README.md says how."""
from dataclasses import dataclass, field

from spans import MS, Shape

CASES = {}
IDS, TOTALS = "ids", "totals"


@dataclass
class Case:
    name: str
    config: dict
    shape: Shape
    keys: tuple  # of docs/tail-sampling-differences.md: by which `strict` may differ on any trace, beside those that RULES knows
    compare: str = IDS  # TOTALS: which traces a rate lets through is by chance; `within` spans of each other
    within: int = 0
    alone: bool = False  # the Go processor runs in a process of its own: it panics or gets stuck
    end: int = 4600  # ms
    few: bool = False  # one trace is enough: the configuration is the point
    refused: bool = False  # by both; checked, so that such a case tests what it says


def case(name, policies, shape=None, keys=(), compare=IDS, within=0, alone=False, end=4600, few=False, refused=False, **config):
    assert name not in CASES, name
    policies = [{"name": f"p{i}", **p} if "name" not in p else p for i, p in enumerate(policies)]
    config = {"decision_wait": "1s", **config, "policies": policies}
    CASES[name] = Case(name, config, shape or Shape(), tuple(keys), compare, within, alone, end, few, refused)


def policy(type_, _name=None, **settings):
    p = {"name": _name} if _name else {}
    return {**p, "type": type_, **({type_: settings} if settings else {})}


def named(subs):
    return [{"name": f"s{i}", **p} if "name" not in p else p for i, p in enumerate(subs)]


ALWAYS, TRACE_FLAGS = policy("always_sample"), policy("trace_flags")


def latency(lo, hi=None): return policy("latency", threshold_ms=lo, **({"upper_threshold_ms": hi} if hi is not None else {}))
def numeric(key="code", **kw): return policy("numeric_attribute", key=key, **kw)
def string(key="user", values=("alice",), **kw): return policy("string_attribute", key=key, values=list(values), **kw)
def regex(*values, key="user", **kw): return string(key, values, enabled_regex_matching=True, **kw)
def boolean(value, key="flag", **kw): return policy("boolean_attribute", key=key, value=value, **kw)
def status(*codes): return policy("status_code", status_codes=list(codes))
def count(lo=None, hi=None): return policy("span_count", **({"min_spans": lo} if lo is not None else {}), **({"max_spans": hi} if hi is not None else {}))
def chance(p, **kw): return policy("probabilistic", sampling_percentage=p, **kw)
def state(*values, key="vendor"): return policy("trace_state", key=key, values=list(values))
def rate(n, **kw): return policy("rate_limiting", spans_per_second=n, **kw)
def bytes_rate(n, **kw): return policy("bytes_limiting", bytes_per_second=n, **kw)
def ottl(*span, spanevent=(), error_mode="ignore"):
    return policy("ottl_condition", error_mode=error_mode, **({"span": list(span)} if span else {}), **({"spanevent": list(spanevent)} if spanevent else {}))
def both(*subs): return {"type": "and", "and": {"and_sub_policy": named(subs)}}
def no(sub): return {"type": "not", "not": {"not_sub_policy": named([sub])[0]}}
def drop(*subs): return {"type": "drop", "drop": {"drop_sub_policy": named(subs)}}
def composite(limit, *subs, percent=(), order=None):
    subs = named(subs)
    return {"type": "composite", "composite": {"max_total_spans_per_second": limit, "policy_order": order or [s["name"] for s in subs], "composite_sub_policy": subs,
                                               "rate_allocation": [{"policy": n, "percent": p} for n, p in percent]}}


LATE = Shape(late=0.3, late_only=0.1)
ODD = Shape(odd=0.5, zero=0.2, states=0.5, mean=6)

# --- one policy, with the edges of its settings ------------------------------------------------------------------------------
case("always", [ALWAYS])
case("latency", [latency(500)])
case("latency-zero-times", [latency(500)], Shape(zero=0.3))
case("latency-0", [latency(0)], Shape(zero=0.1))
case("latency-band", [latency(120, 1999)], Shape(mean=3))
case("latency-band-zero-times", [latency(120, 1999)], Shape(zero=0.3))
case("latency-band-upside-down", [latency(2000, 500)])
case("numeric", [numeric(min_value=50, max_value=100)], ODD)
case("numeric-min", [numeric(min_value=50)], ODD)
case("numeric-max", [numeric(max_value=100)], ODD)
case("numeric-negative", [numeric(min_value=-10, max_value=-1)], ODD)
case("numeric-min-0", [numeric(min_value=0, max_value=60)], ODD)
case("numeric-upside-down", [numeric(min_value=100, max_value=50)])
case("numeric-invert", [numeric(max_value=100, invert_match=True)], Shape(mean=2))
case("numeric-invert-no-key", [numeric("nokey", min_value=1, invert_match=True)])
case("string", [string(values=["alice", ""])], ODD)
case("string-resource", [string("tenant", ["t1"])])
case("string-invert", [string(values=["alice", "bob"], invert_match=True)], Shape(mean=2))
case("regex", [regex("^al", "carol-[0-9]+$", "^x{300}$")], ODD)
case("regex-empty", [regex("^$", "^t2$", key="tenant")], ODD)
case("regex-small-cache", [regex("(a|b|c)(o|l)+", cache_max_size=1)], ODD)
case("regex-invert", [regex("^.+$", invert_match=True)], ODD)
case("regex-fold", [regex("(?i)^ALICE$", "^\\pL{5}$", "^[^ -~]")], ODD)
case("boolean-true", [boolean(True)], ODD)
case("boolean-false", [boolean(False)], ODD)
case("boolean-invert", [boolean(False, invert_match=True)], Shape(mean=2))
case("status-error", [status("ERROR")])
case("status-unset", [status("UNSET")], Shape(mean=1.5, odd=0.9))
case("status-ok-error", [status("OK", "ERROR")])
case("count-min", [count(6)])
case("count-band", [count(3, 6)])
case("count-max", [count(hi=2)])
case("count-0", [count(0)])
case("chance-25", [chance(25)], Shape(states=0.5))
case("chance-salt", [chance(33.3, hash_salt="pepper")])
case("chance-small", [chance(0.1)], Shape(traces=1500, size=1))
case("chance-0", [chance(0)])
case("chance-150", [chance(150)])
case("state", [state("a", "")], Shape(states=0.8, mean=2))
case("state-ot", [state("th:8", key="ot")], Shape(states=0.8, mean=2))
case("flags", [TRACE_FLAGS], ODD)
case("ottl-attributes", [ottl('attributes["user"] == "alice"', 'attributes["code"] == 75')], ODD)
case("ottl-compare", [ottl('attributes["code"] > 100 and attributes["code"] != nil', 'resource.attributes["tenant"] == "t2"')], ODD)
case("ottl-fields", [ottl('name == "op-3" and kind == SPAN_KIND_SERVER', "status.code == STATUS_CODE_ERROR and not (name == \"op-1\")")])
case("ottl-duration", [ottl("end_time_unix_nano - start_time_unix_nano > 1000000000")])
case("ottl-match", [ottl('IsMatch(attributes["user"], "^(car|bo).*")')], ODD)
case("ottl-events", [ottl(spanevent=['name == "exception" and attributes["level"] == "high"'])])
case("ottl-error", [ottl('attributes["code"] - 1 > 100', 'name == "op-1"', error_mode="propagate")], ODD)
case("ottl-error-ignored", [ottl('attributes["code"] - 1 > 100', 'name == "op-1"')], ODD)
case("ottl-both", [ottl('attributes["flag"] == true', spanevent=['attributes["level"] == 3'], error_mode="propagate")], ODD)

# --- rates: how much is let through, not which --------------------------------------------------------------------------------
# `within` is four standard deviations where it depends on the order which traces of errors a rate takes: the Go processor's is that of a map.
def rates(name, policies, size, within, keys=(), **shape): case(name, policies, Shape(size=size, **shape), keys, TOTALS, within)


rates("rate", [rate(40, burst_capacity=400)], 4, 40)
rates("rate-large-traces", [rate(6, burst_capacity=10)], 11, 0)
rates("rate-default-burst", [rate(100)], 5, 100)
rates("rate-0", [rate(0, burst_capacity=100)], 4, 0)
rates("rate-beside", [status("ERROR"), rate(5, burst_capacity=250)], 2, 40, ["rate"])
rates("rate-of-errors", [both(rate(5, burst_capacity=120), status("ERROR"))], 3, 45, ["rate"])
rates("rate-behind-not", [both(no(rate(5, burst_capacity=120)), status("ERROR"))], 3, 45, ["rate"])
rates("bytes-rate", [bytes_rate(2000, burst_capacity=200000)], 40, 160, ["size-of-spans"], whole=1)
rates("composite", [composite(200, ALWAYS, percent=[("s0", 50)])], 4, 0)
rates("composite-order", [composite(200, ALWAYS, string(), percent=[("s0", 10), ("s1", 50)], order=["s1", "s0"])], 4, 4, ["composite-order"])
rates("composite-fall-through", [composite(400, both(no(string())), ALWAYS, percent=[("s0", 10), ("s1", 50)])], 4, 4, ["composite-fall-through"])
rates("composite-sum", [composite(200, status("ERROR"), ALWAYS, percent=[("s0", 90)])], 4, 4, ["composite-sum"])
rates("composite-even", [composite(120, both(status("ERROR"), no(string())), both(no(status("ERROR"))))], 2, 4)
case("composite-wide", [composite(100000, string(), both(status("ERROR"), numeric(min_value=50)), percent=[("s0", 40)])], ODD)
case("composite-of-chance", [composite(100000, chance(30), status("ERROR"))])

# --- policies of policies -----------------------------------------------------------------------------------------------------
case("and", [both(string(), numeric(min_value=50))], ODD)
case("and-of-different-spans", [both(status("ERROR"), TRACE_FLAGS, count(2))], ODD)
case("and-not", [both(no(latency(900)), status("ERROR"))])
case("and-chance", [both(chance(50), status("ERROR"))])
case("and-not-ottl", [both(no(ottl('attributes["user"] == "alice"')), regex("^[a-c]"))], ODD)
case("not-latency", [no(latency(900))])
case("not-chance", [no(chance(20))])
case("not-invert", [no(string(invert_match=True))])
case("not-boolean", [no(boolean(True))])
case("drop", [ALWAYS, drop(string())])
case("drop-of-two", [drop(status("ERROR"), TRACE_FLAGS), ALWAYS], ODD)
case("drop-not", [drop(no(status("ERROR")), no(count(5))), chance(50)])
case("drop-band", [drop(latency(120, 1999)), ALWAYS])
case("drop-twice", [chance(70), drop(string()), status("ERROR"), drop(boolean(True), numeric(min_value=10))], ODD)
case("drop-alone", [drop(string())])

# --- several at once -----------------------------------------------------------------------------------------------------------
FIVE = [status("ERROR"), latency(2000), string(values=["bob"]), numeric(min_value=500), chance(5)]
case("five", FIVE)
case("five-first-match", FIVE, sample_on_first_match=True)
case("first-match-drop", [ALWAYS, drop(status("ERROR")), chance(10)], sample_on_first_match=True)
case("inverted-and-plain", [string(values=["alice"], invert_match=True), status("ERROR")], Shape(mean=2))
case("ten", FIVE + [regex("^carol"), boolean(True), state("a"), count(9), ottl('attributes["code"] == 49')], ODD)
case("ten-odd", [drop(regex("^x+$")), drop(numeric(max_value=-1))] + FIVE + [no(count(2)), both(boolean(False), no(chance(50)))], ODD)
case("shards", FIVE, num_shards=4)
case("odd-ids", FIVE + [count(4)], Shape(ids=True, odd=0.4))
case("many-spans", [count(40), status("OK")], Shape(mean=40, traces=60))

# --- time: late spans, memory of decisions, roots, the end ----------------------------------------------------------------------
MEM = dict(sampled_cache_size=10000, non_sampled_cache_size=10000)
case("late", [status("ERROR"), count(5)], LATE)
case("late-drop", [drop(string()), ALWAYS], LATE)
case("late-caches", [status("ERROR"), count(5)], LATE, decision_cache=MEM)
case("late-caches-drop", [drop(string()), status("ERROR")], LATE, decision_cache=MEM)
case("late-sampled-cache", [status("ERROR")], LATE, decision_cache=dict(sampled_cache_size=10000))
case("late-other-cache", [status("ERROR")], LATE, decision_cache=dict(non_sampled_cache_size=10000))
case("late-twins", [status("ERROR")], Shape(twins=0.5, late=0.3), ["cache-half-id"], decision_cache=MEM)
case("wait-2s", [latency(500), count(3)], Shape(times=tuple(range(120, 1651, 150))), decision_wait="2s", end=5600)
case("wait-fraction", [count(4)], Shape(late_times=(2400,), late=0.3), ["wait-ticks"], decision_wait="1900ms")
case("wait-short", [count(4)], Shape(times=tuple(range(100, 651, 50)), mean=6), ["wait-ticks"], decision_wait="300ms")
case("root", [count(3)], LATE, decision_wait="3s", decision_wait_after_root_received="1s", end=5600)
case("root-and-caches", [status("ERROR")], LATE, decision_wait="3s", decision_wait_after_root_received="1s", decision_cache=MEM, end=5600)
case("end", FIVE, end=900)
case("end-drop-pending", FIVE, keys=["early"], end=900, drop_pending_traces_on_shutdown=True)

# --- limits ----------------------------------------------------------------------------------------------------------------------
LARGE = Shape(large=0.3, late=0.3)
case("size", [status("ERROR"), count(3)], LARGE, ["early"], maximum_trace_size_bytes=25000)
case("size-caches", [ALWAYS], LARGE, ["early"], maximum_trace_size_bytes=25000, decision_cache=MEM)
case("size-drop", [drop(string()), no(latency(800))], LARGE, ["early"], maximum_trace_size_bytes=25000)
case("overflow", [count(3)], Shape(whole=0.7, one_resource_each=True, late=0.2), ["num-traces"], num_traces=60)
case("overflow-caches", [status("ERROR")], Shape(one_resource_each=True, whole=1, late=0.2), ["num-traces"], num_traces=60, decision_cache=MEM)
case("overflow-10", [latency(100)], Shape(one_resource_each=True, size=2), ["num-traces"], num_traces=10)
case("block-on-overflow", [status("ERROR")], Shape(one_resource_each=True, traces=25), block_on_overflow=True, num_traces=30, decision_cache=MEM)

# --- span-ingest -----------------------------------------------------------------------------------------------------------------
def ingest(name, policies, shape=None, **config): case("ingest" + name, policies, shape, ["span-ingest"], sampling_strategy="span-ingest", **config)


ingest("", [status("ERROR"), latency(1000)], Shape(late=0.3))
ingest("-count", [count(4)])
ingest("-invert", [string(invert_match=True)], Shape(mean=2))
ingest("-and", [both(status("ERROR"), TRACE_FLAGS)], ODD)
ingest("-not", [no(count(2)), chance(10)])
ingest("-drop", [drop(string()), ALWAYS], Shape(late=0.3))
ingest("-drop-caches", [drop(status("ERROR")), chance(50)], Shape(late=0.3), decision_cache=MEM)
ingest("-caches", [status("ERROR"), latency(1000)], Shape(late=0.3), decision_cache=MEM)
ingest("-size", [status("ERROR")], Shape(large=0.2, late=0.2), maximum_trace_size_bytes=25000)
ingest("-root", [status("ERROR")], LATE, decision_wait="3s", decision_wait_after_root_received="1s", end=5600)

# --- configurations: refused by both, or one that the Go processor takes and fails with ---------------------------------------
def refused(name, policies, **config): case("refused-" + name, policies, few=True, refused=True, end=200, **config)


def fails(name, policies, **config): case("fails-" + name, policies, keys=["fails-refused"], few=True, alone=True, end=2600, **config)


refused("same-names", [policy("always_sample", "a"), policy("always_sample", "a")])
refused("no-name", [policy("always_sample", "")] + [{"name": "", "type": "always_sample"}])
refused("type", [policy("sometimes_sample")])
refused("sub-type", [both(ALWAYS, policy("composite"))])
refused("and-in-not", [no(both(ALWAYS))])
refused("not-in-composite", [composite(10, no(ALWAYS))])
refused("not-in-not", [no(no(ALWAYS))])
refused("drop-in-and", [both(drop(ALWAYS))])
refused("and-in-drop", [drop(both(ALWAYS))])
refused("composite-in-and", [both(composite(10, ALWAYS))])
refused("status", [status("FAILED")])
refused("status-case", [status("error")])
refused("no-status", [status()])
refused("regex", [regex("(")])
refused("regex-lookahead", [regex("a(?=b)")])
refused("ottl", [ottl('attributes["a"] ==')])
refused("no-ottl", [ottl()])
refused("strategy", [ALWAYS], sampling_strategy="sometimes")
refused("ingest-rate", [rate(5)], sampling_strategy="span-ingest")
refused("ingest-band", [latency(1, 5)], sampling_strategy="span-ingest")
refused("ingest-count", [both(ALWAYS, count(1, 5))], sampling_strategy="span-ingest")
refused("shards", [ALWAYS], num_shards=257)
refused("unknown-key", [ALWAYS], decision_weight="1s")
def useless(name, policies): case("useless-" + name, policies, keys=["useless-refused"], few=True)


useless("no-policies", [])
useless("no-values", [string(values=[])])
useless("and-of-none", [both()])
useless("drop-of-none", [drop(), ALWAYS])
useless("composite-of-none", [composite(100)])
useless("shares-over-100", [composite(100, ALWAYS, percent=[("s0", 101)])])
useless("share-of-nobody", [composite(100, ALWAYS, percent=[("nobody", 50)])])
useless("order-of-nobody", [composite(100, ALWAYS, order=["nobody"])])
fails("numeric", [numeric(min_value=0, max_value=0)])
fails("numeric-in-and", [both(numeric())])
fails("block", [ALWAYS], num_traces=2, block_on_overflow=True)


# --- keys of docs/tail-sampling-differences.md: of which traces each speaks ------------------------------------------------------
def found(config, key):
    """All values of `key`, at any depth."""
    if isinstance(config, dict):
        return [v for k, v in config.items() if k == key] + [x for v in config.values() for x in found(v, key)]
    return [x for v in config for x in found(v, key)] if isinstance(config, list) else []


def types(config):
    return set(found(config, "type"))


def values_of(spans, config, of_type, resources_only=False):
    keys = {c["key"] for c in found(config, of_type)}
    return [v for s in spans for k, v in (*s.resource, *(() if resources_only else s.attrs)) if k in keys]


def is_number(v):
    return isinstance(v, (int, float)) and not isinstance(v, bool)


def cut(spans, config):
    """The duration's whole milliseconds are a threshold, and it is longer than that."""
    starts, ends = [s.start for s in spans if s.start], [s.end for s in spans if s.end]
    ns = max(ends) - min(starts) if starts and ends else 0
    return ns % MS and ns // MS in {x for c in found(config, "latency") for x in c.values()}


# By which `strict` may differ on a trace, whatever its case says. Keys without a rule here are told by the case.
RULES = {
    "latency-upper-bound": lambda spans, c: len(spans) > 1 and found(c, "upper_threshold_ms"),
    "latency-zero-times": lambda spans, c: "latency" in types(c) and any(not s.start or not s.end for s in spans),
    "latency-truncation": cut,
    "numeric-other-kinds": lambda spans, c: any(not isinstance(v, int) or isinstance(v, bool) for v in values_of(spans, c, "numeric_attribute")),
    "numeric-zero": lambda spans, c: 0 in found(c, "min_value") + found(c, "max_value") and any(is_number(v) for v in values_of(spans, c, "numeric_attribute")),
    "string-empty": lambda spans, c: "" in values_of(spans, c, "string_attribute") or any(not isinstance(v, str) for v in values_of(spans, c, "string_attribute", True)),
    "boolean-other-kinds": lambda spans, c: any(not isinstance(v, bool) for v in values_of(spans, c, "boolean_attribute")),
    "duplicate-key": lambda spans, c: any([x for x, _ in s.attrs].count(k) > 1 for s in spans for k in found(c, "key")),
    "trace-state": lambda spans, c: "trace_state" in types(c) and any(m.strip()[:1].isdigit() for s in spans for m in s.tracestate.split(",")),
    "ottl-error-order": lambda spans, c: "propagate" in found(c, "error_mode"),
    "probability": lambda spans, c: any("hash_salt" not in p for p in found(c, "probabilistic")),
}

# What the spans that come out do not show.
ELSEWHERE = {"composite-threshold": "tests/unit/processors/test_tail_policy.c: the Go processor writes no thresholds without its feature gate"}


# By which weir may keep more spans of a trace, never fewer.
MORE = {"early"}


def keys_of(generated, trace, fewer):
    """The keys by which weir may differ on this trace; `fewer`: it did not keep all that Go kept."""
    case, spans = generated.case, [s for _, _, s in generated.by_trace[trace]]
    alike = sum(t[8:] == trace[8:] for t in generated.by_trace)
    return [*(k for k in case.keys if not (k == "cache-half-id" and alike == 1) and not (k in MORE and fewer)), *(k for k, rule in RULES.items() if rule(spans, case.config))]

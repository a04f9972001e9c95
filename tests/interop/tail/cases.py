"""The cases of the differential test of tail_sampling: what is configured, what traces look like, what is compared. `case` adds one; README.md says how."""
from dataclasses import dataclass, field

from spans import Shape

CASES = {}
IDS, TOTALS = "ids", "totals"
ROUND = [c for c in range(100, 651, 50)]


@dataclass
class Case:
    name: str
    config: dict
    shape: Shape
    keys: tuple  # of docs/tail-sampling-differences.md: by which `strict` may differ
    compare: str = IDS  # TOTALS: which traces a rate lets through is by chance; `within` spans of each other
    within: int = 0
    alone: bool = False  # the Go processor runs in a process of its own: it panics or gets stuck
    end: int = 4600  # ms
    few: bool = False  # one trace is enough: the configuration is the point
    refused: bool = False  # by both; checked, so that such a case tests what it says
    full: bool = False  # not in the quick set


def case(name, policies, keys=(), shape=None, compare=IDS, within=0, alone=False, end=4600, few=False, refused=False, full=False, **config):
    assert name not in CASES, name
    policies = [{"name": f"p{i}", **p} if "name" not in p else p for i, p in enumerate(policies)]
    config = {"decision_wait": "1s", **config, "policies": policies}
    CASES[name] = Case(name, config, shape or Shape(), tuple(keys), compare, within, alone, end, few, refused, full)


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


# Keys by which policies differ under `strict`, whatever they stand in.
UPPER = ("latency-upper-bound",)
ZERO = ("latency-zero-times",)
NUMERIC = ("numeric-other-kinds", "numeric-invert")
BOOLEAN = ("boolean-other-kinds",)
STRING = ("string-empty",)
STATE = ("trace-state",)
PROB = ("probability",)
LATE = Shape(late=0.3, late_only=0.1)
ODD = Shape(odd=0.5, zero=0.2, states=0.5, mean=6)

# --- one policy, with the edges of its settings ------------------------------------------------------------------------------
case("always", [ALWAYS])
case("latency", [latency(500)])
case("latency-zero-times", [latency(500)], ZERO, Shape(zero=0.3))
case("latency-0", [latency(0)], ZERO, Shape(zero=0.1))
case("latency-band", [latency(120, 1999)], UPPER, Shape(mean=3))
case("latency-band-zero-times", [latency(120, 1999)], UPPER + ZERO, Shape(zero=0.3))
case("latency-band-upside-down", [latency(2000, 500)], UPPER)
case("numeric", [numeric(min_value=50, max_value=100)], NUMERIC, ODD)
case("numeric-min", [numeric(min_value=50)], NUMERIC, ODD)
case("numeric-max", [numeric(max_value=100)], NUMERIC, ODD)
case("numeric-negative", [numeric(min_value=-10, max_value=-1)], NUMERIC, ODD)
case("numeric-upside-down", [numeric(min_value=100, max_value=50)], NUMERIC)
case("numeric-invert", [numeric(max_value=100, invert_match=True)], NUMERIC, Shape(mean=2))
case("numeric-invert-no-key", [numeric("nokey", min_value=1, invert_match=True)], NUMERIC)
case("string", [string(values=["alice", ""])], STRING, ODD)
case("string-resource", [string("tenant", ["t1"])], STRING)
case("string-invert", [string(values=["alice", "bob"], invert_match=True)], STRING, Shape(mean=2))
case("string-no-values", [string(values=[])], STRING)
case("regex", [regex("^al", "carol-[0-9]+$", "^x{300}$")], STRING, ODD)
case("regex-empty", [regex("^$", "^t2$", key="tenant")], STRING, ODD)
case("regex-small-cache", [regex("(a|b|c)(o|l)+", cache_max_size=1)], STRING, ODD)
case("regex-invert", [regex("^.+$", invert_match=True)], STRING, ODD)
case("regex-fold", [regex("(?i)^ALICE$", "^\\pL{5}$", "^[^ -~]")], STRING, ODD)
case("boolean-true", [boolean(True)], BOOLEAN, ODD)
case("boolean-false", [boolean(False)], BOOLEAN, ODD)
case("boolean-invert", [boolean(False, invert_match=True)], BOOLEAN, Shape(mean=2))
case("status-error", [status("ERROR")])
case("status-unset", [status("UNSET")], shape=Shape(mean=1.5, odd=0.9))
case("status-ok-error", [status("OK", "ERROR")])
case("count-min", [count(6)])
case("count-band", [count(3, 6)])
case("count-max", [count(hi=2)])
case("count-0", [count(0)])
case("chance-25", [chance(25)], PROB, Shape(states=0.5))
case("chance-salt", [chance(33.3, hash_salt="pepper")], PROB)
case("chance-small", [chance(0.1)], PROB, Shape(traces=1500, size=1))
case("chance-0", [chance(0)], PROB)
case("chance-150", [chance(150)], PROB)
case("state", [state("a", "")], STATE, Shape(states=0.8, mean=2))
case("state-ot", [state("th:8", key="ot")], STATE, Shape(states=0.8, mean=2))
case("flags", [TRACE_FLAGS], shape=ODD)
case("ottl-attributes", [ottl('attributes["user"] == "alice"', 'attributes["code"] == 75')], ("ottl",), ODD)
case("ottl-compare", [ottl('attributes["code"] > 100 and attributes["code"] != nil', 'resource.attributes["tenant"] == "t2"')], ("ottl",), ODD)
case("ottl-fields", [ottl('name == "op-3" and kind == SPAN_KIND_SERVER', "status.code == STATUS_CODE_ERROR and not (name == \"op-1\")")], ("ottl",))
case("ottl-duration", [ottl("end_time_unix_nano - start_time_unix_nano > 1000000000")], ("ottl",))
case("ottl-match", [ottl('IsMatch(attributes["user"], "^(car|bo).*")')], ("ottl",), ODD)
case("ottl-events", [ottl(spanevent=['name == "exception" and attributes["level"] == "high"'])], ("ottl",))
case("ottl-both", [ottl('attributes["flag"] == true', spanevent=['attributes["level"] == 3'], error_mode="propagate")], ("ottl",), ODD)

# --- rates: how much is let through, not which ----------------------------------------------------------------------------------
case("rate", [rate(40, burst_capacity=400)], ("rate",), Shape(size=4), TOTALS, 40)
case("rate-large-traces", [rate(6, burst_capacity=10)], ("rate",), Shape(size=11), TOTALS)
case("rate-default-burst", [rate(100)], ("rate",), Shape(size=5), TOTALS, 100)
case("bytes-rate", [bytes_rate(2000, burst_capacity=40000)], ("rate",), Shape(size=4), TOTALS, 30)
case("rate-of-errors", [both(status("ERROR"), rate(5, burst_capacity=60))], ("rate",), Shape(size=3), TOTALS, 9)
case("composite", [composite(200, string(), ALWAYS, percent=[("s0", 50), ("s1", 25)])], ("rate", "composite-sum", "composite-fall-through"), Shape(size=4), TOTALS, 4)
case("composite-order", [composite(200, ALWAYS, string(), percent=[("s0", 10), ("s1", 90)], order=["s1", "s0"])], ("rate", "composite-order", "composite-sum", "composite-fall-through"),
     Shape(size=4), TOTALS, 4)
case("composite-and", [composite(120, both(status("ERROR"), no(string())), numeric(min_value=50), percent=[("s0", 100)])], ("rate", "composite-sum", "composite-fall-through") + NUMERIC,
     Shape(size=2), TOTALS, 4)
case("composite-wide", [composite(100000, string(), both(status("ERROR"), numeric(min_value=50)), percent=[("s0", 40)])], NUMERIC + STRING, ODD)

# --- policies of policies -----------------------------------------------------------------------------------------------------
case("and", [both(string(), numeric(min_value=50))], STRING + NUMERIC, ODD)
case("and-of-different-spans", [both(status("ERROR"), TRACE_FLAGS, count(2))], shape=ODD)
case("and-not", [both(no(latency(900)), status("ERROR"))])
case("and-chance", [both(chance(50), status("ERROR"))], PROB)
case("and-not-ottl", [both(no(ottl('attributes["user"] == "alice"')), regex("^[a-c]"))], STRING, ODD)
case("not-latency", [no(latency(900))])
case("not-chance", [no(chance(20))], PROB)
case("not-invert", [no(string(invert_match=True))], STRING)
case("not-boolean", [no(boolean(True))], BOOLEAN)
case("drop", [ALWAYS, drop(string())], STRING)
case("drop-of-two", [drop(status("ERROR"), TRACE_FLAGS), ALWAYS], shape=ODD)
case("drop-not", [drop(no(status("ERROR")), no(count(5))), chance(50)], PROB)
case("drop-band", [drop(latency(120, 1999)), ALWAYS], UPPER)
case("drop-twice", [chance(70), drop(string()), status("ERROR"), drop(boolean(True), numeric(min_value=10))], STRING + BOOLEAN + NUMERIC + PROB, ODD)
case("drop-alone", [drop(string())], STRING)

# --- several at once -----------------------------------------------------------------------------------------------------------
FIVE = [status("ERROR"), latency(2000), string(values=["bob"]), numeric(min_value=500), chance(5)]
case("five", FIVE, NUMERIC + STRING + PROB)
case("five-first-match", FIVE, NUMERIC + STRING + PROB, sample_on_first_match=True)
case("first-match-drop", [ALWAYS, drop(status("ERROR")), chance(10)], PROB, sample_on_first_match=True)
case("inverted-and-plain", [string(values=["alice"], invert_match=True), status("ERROR")], STRING, Shape(mean=2))
case("ten", FIVE + [regex("^carol"), boolean(True), state("a"), count(9), ottl('attributes["code"] == 49')], NUMERIC + STRING + BOOLEAN + STATE + PROB, ODD)
case("ten-odd", [drop(regex("^x+$")), drop(numeric(max_value=-1))] + FIVE + [no(count(2)), both(boolean(False), no(chance(50)))], NUMERIC + STRING + BOOLEAN + PROB, ODD)
case("shards", FIVE, NUMERIC + STRING + PROB, num_shards=4)
case("odd-ids", FIVE + [count(4)], NUMERIC + STRING + PROB, Shape(ids=True, odd=0.4))
case("many-spans", [count(40), status("OK")], shape=Shape(mean=40, traces=60))
case("no-policies", [], few=True)

# --- time: late spans, memory of decisions, roots, the end -----------------------------------------------------------------------
MEM = dict(sampled_cache_size=10000, non_sampled_cache_size=10000)
case("late", [status("ERROR"), count(5)], ("late-forgotten",), LATE)
case("late-drop", [drop(string()), ALWAYS], ("late-forgotten",) + STRING, LATE)
case("late-caches", [status("ERROR"), count(5)], (), LATE, decision_cache=MEM)
case("late-caches-drop", [drop(string()), status("ERROR")], STRING, LATE, decision_cache=MEM)
case("late-sampled-cache", [status("ERROR")], ("late-forgotten",), LATE, decision_cache=dict(sampled_cache_size=10000))
case("late-other-cache", [status("ERROR")], ("late-forgotten",), LATE, decision_cache=dict(non_sampled_cache_size=10000))
case("late-twins", [status("ERROR")], ("cache-half-id",), Shape(twins=0.5, late=0.3), decision_cache=MEM)
case("wait-2s", [latency(500), count(3)], (), Shape(times=tuple(range(100, 1651, 150)), late_times=(3400, 3500)), decision_wait="2s", end=5600)
case("wait-fraction", [count(4)], ("wait-fraction",), Shape(times=tuple(range(100, 651, 50)), late_times=(2400,), late=0.3), decision_wait="1900ms")
case("root", [count(3)], (), Shape(late=0.4, late_times=(2400, 2500, 2600)), decision_wait="3s", decision_wait_after_root_received="1s", end=5600)
case("root-and-caches", [status("ERROR")], (), Shape(late=0.4), decision_wait="3s", decision_wait_after_root_received="1s", decision_cache=MEM, end=5600)
case("end", FIVE, NUMERIC + STRING + PROB, end=900)
case("end-drop-pending", FIVE, (), end=900, drop_pending_traces_on_shutdown=True)

# --- limits --------------------------------------------------------------------------------------------------------------------
case("size", [status("ERROR"), count(3)], ("size-late",), Shape(large=0.3, late=0.3), maximum_trace_size_bytes=3000)
case("size-caches", [ALWAYS], (), Shape(large=0.3, late=0.3), maximum_trace_size_bytes=3000, decision_cache=MEM)
case("overflow", [count(3)], ("overflow",), Shape(whole=0.7, one_resource_each=True, late=0.2), num_traces=60)
case("overflow-caches", [status("ERROR")], ("overflow",), Shape(one_resource_each=True, whole=1, late=0.2), num_traces=60, decision_cache=MEM)
case("overflow-1", [ALWAYS], ("overflow",), Shape(one_resource_each=True, whole=1, size=2), num_traces=1)

# --- span-ingest ------------------------------------------------------------------------------------------------------------------
INGEST = dict(sampling_strategy="span-ingest")
case("ingest", [status("ERROR"), latency(1000)], ("ingest",), Shape(late=0.3), **INGEST)
case("ingest-count", [count(4)], ("ingest",), **INGEST)
case("ingest-invert", [string(invert_match=True)], ("ingest",) + STRING, Shape(mean=2), **INGEST)
case("ingest-and", [both(status("ERROR"), TRACE_FLAGS)], ("ingest",), ODD, **INGEST)
case("ingest-not", [no(count(2)), chance(10)], ("ingest",) + PROB, **INGEST)
case("ingest-drop", [drop(string()), ALWAYS], ("ingest",) + STRING, Shape(late=0.3), **INGEST)
case("ingest-drop-caches", [drop(status("ERROR")), chance(50)], ("ingest",) + PROB, Shape(late=0.3), decision_cache=MEM, **INGEST)

# --- configurations: refused by both, or one that the Go processor takes and fails with ---------------------------------------
def refused(name, policies, **config): case("refused-" + name, policies, few=True, refused=True, end=200, **config)


def fails(name, policies, **config): case("fails-" + name, policies, ("refused-as-it-fails",), few=True, alone=True, end=2600, **config)


refused("same-names", [policy("always_sample", "a"), policy("always_sample", "a")])
refused("no-name", [policy("always_sample", "")] + [{"name": "", "type": "always_sample"}])
refused("type", [policy("sometimes_sample")])
refused("sub-type", [both(ALWAYS, policy("composite"))])
refused("and-in-not", [no(both(ALWAYS))])
refused("composite-in-and", [both(composite(10, ALWAYS))])
refused("status", [status("FAILED")])
refused("status-case", [status("error")])
refused("no-status", [status()])
refused("regex", [regex("(")])
refused("regex-lookahead", [regex("a(?=b)")])
refused("ottl", [ottl('attributes["a"] ==')])
refused("no-ottl", [ottl()])
refused("strategy", [ALWAYS], sampling_strategy="sometimes")
refused("ingest-rate", [rate(5)], **INGEST)
refused("ingest-band", [latency(1, 5)], **INGEST)
refused("ingest-count", [both(ALWAYS, count(1, 5))], **INGEST)
refused("shards", [ALWAYS], num_shards=257)
refused("unknown-key", [ALWAYS], decision_weight="1s")
fails("numeric", [numeric(min_value=0, max_value=0)])
fails("numeric-in-and", [both(numeric())])
fails("block", [ALWAYS], num_traces=2, block_on_overflow=True)


# --- which traces a key speaks of ---------------------------------------------------------------------------------------------
SPEAKS = {}


def speaks_of(key, spans, of):
    """Whether `strict` may differ on this trace by that key. A key without a rule below speaks of all traces of its cases."""
    return SPEAKS[key](spans, of) if key in SPEAKS else True

"""The step `series`: what a store of Prometheus series shows, value by value, against what the reference sink says was sent.

`expected` reads OTLP by itself (names and labels as prom.py, buckets, times), so that a mistake in weir's mapping is not repeated here.

    series: {url: "http://127.0.0.1:9090", store: prometheus, external: {cluster: east}, native: true, exemplars: 10}

store: prometheus or victoria. same_as: the URL of another Prometheus, which must show the same of all. native: exponential histograms are there, too. exemplars: at least so many, each of which was sent. ignore: names.
"""
import json
import math
import urllib.parse

import check
import peers
from prom import label_name, metric_name, scope_of, target_of, text_of

def labels_of(attributes):
    return filled({label_name(a.key): text_of(a.value) for a in attributes})


def filled(labels):
    return {k: v for k, v in labels.items() if v}


def number(v):
    """A bound in the shortest text, without an exponent."""
    return str(int(v)) if v == int(v) and abs(v) < 1e15 else repr(v)


def ms(ns):
    return ns // 1_000_000


class Store:
    """Series: {labels: {ms: value}}; native: {labels: {ms: (count, sum, buckets)}}; exemplars: {labels: [(labels, value, ms)]}."""

    def __init__(self):
        self.samples, self.native, self.exemplars = {}, {}, {}

    def add(self, name, labels, time, value):
        self.samples.setdefault(key(name, labels), {})[time] = value

    def example(self, name, labels, x, value):
        seen = labels_of(x.filtered_attributes)
        if x.trace_id:
            seen["trace_id"] = x.trace_id.hex()
        if x.span_id:
            seen["span_id"] = x.span_id.hex()
        self.exemplars.setdefault(key(name, labels), []).append((tuple(sorted(seen.items())), value, ms(x.time_unix_nano)))


def key(name, labels):
    return tuple(sorted({"__name__": name, **labels}.items()))


def value_of(point):
    return float(point.as_int if point.WhichOneof("value") == "as_int" else point.as_double)


def add_number(store, name, labels, point, exemplars):
    store.add(name, labels, ms(point.time_unix_nano), value_of(point))
    for x in point.exemplars if exemplars else []:
        store.example(name, labels, x, value_of(x))


def add_histogram(store, name, labels, point):
    time, running = ms(point.time_unix_nano), 0
    bounds = [*point.explicit_bounds, math.inf]
    for bound, count, before in zip(bounds, point.bucket_counts, [-math.inf, *bounds]):
        running += count
        at = {**labels, "le": "+Inf" if bound == math.inf else number(bound)}
        store.add(name + "_bucket", at, time, float(running))
        for x in point.exemplars:
            if before < value_of(x) <= bound:
                store.example(name + "_bucket", at, x, value_of(x))
    store.add(name + "_sum", labels, time, point.sum)
    store.add(name + "_count", labels, time, float(point.count))


def add_native(store, name, labels, point):
    base, buckets = 2.0 ** (2.0 ** -point.scale), []
    for i, n in enumerate(point.negative.bucket_counts):
        index = point.negative.offset + i
        if n:
            buckets.append((-(base ** (index + 1)), -(base ** index), float(n)))
    if point.zero_count:
        buckets.append((-1e-128, 1e-128, float(point.zero_count)))
    for i, n in enumerate(point.positive.bucket_counts):
        index = point.positive.offset + i
        if n:
            buckets.append((base ** index, base ** (index + 1), float(n)))
    store.native.setdefault(key(name, labels), {})[ms(point.time_unix_nano)] = (float(point.count), point.sum, sorted(buckets))
    for x in point.exemplars:
        store.example(name, labels, x, value_of(x))


def add_metric(store, around, metric):
    """Returns the time of its newest point."""
    data, newest_ms = metric.WhichOneof("data"), 0
    counts = data == "sum" and metric.sum.is_monotonic
    name = metric_name(metric, "counter" if counts else "gauge" if data in ("sum", "gauge") else data)
    for point in getattr(metric, data).data_points:
        labels = {**around, **labels_of(point.attributes)}
        if data == "histogram":
            add_histogram(store, name, labels, point)
        elif data == "exponential_histogram":
            add_native(store, name, labels, point)
        else:
            add_number(store, name, labels, point, counts)
        newest_ms = max(newest_ms, ms(point.time_unix_nano))
    return newest_ms


def expected(requests, external):
    store = Store()
    for r in (r for request in requests for r in request.resource_metrics):
        target, others = target_of(r.resource)
        times = [add_metric(store, filled({**external, **target, **scope_of(s.scope, s.schema_url)}), m) for s in r.scope_metrics for m in s.metrics]
        if times and others:
            store.add("target_info", filled({**external, **others, **target}), max(times), 1.0)
    return store


# --- what is shown ----------------------------------------------------------------------------------------------

def newest(store):
    return max(t for series in [*store.samples.values(), *store.native.values()] for t in series)


def prometheus(url, want):
    got = Store()
    query = urllib.parse.urlencode({"query": '{__name__=~".+"}[1h]', "time": newest(want) / 1000 + 1})
    for r in json.loads(peers.fetch(f"{url}/api/v1/query?{query}"))["data"]["result"]:
        labels = tuple(sorted(r["metric"].items()))
        if "values" in r:
            got.samples[labels] = {round(t * 1000): float(v) for t, v in r["values"]}
        for t, h in r.get("histograms", []):
            buckets = sorted((float(low), float(high), float(n)) for _, low, high, n in h.get("buckets", []))
            got.native.setdefault(labels, {})[round(t * 1000)] = (float(h["count"]), float(h["sum"]), buckets)
    query = urllib.parse.urlencode({"query": '{__name__=~".+"}', "start": newest(want) / 1000 - 3600, "end": newest(want) / 1000 + 1})
    for r in json.loads(peers.fetch(f"{url}/api/v1/query_exemplars?{query}"))["data"]:
        got.exemplars[tuple(sorted(r["seriesLabels"].items()))] = [
            (tuple(sorted(x["labels"].items())), float(x["value"]), round(x["timestamp"] * 1000)) for x in r["exemplars"]]
    return got


def victoria(url, _):
    got = Store()
    peers.fetch(f"{url}/internal/force_flush")
    query = urllib.parse.urlencode({"match[]": '{__name__!=""}'})
    for line in peers.fetch(f"{url}/api/v1/export?{query}").splitlines():
        r = json.loads(line)
        got.samples.setdefault(tuple(sorted(r["metric"].items())), {}).update(zip(r["timestamps"], map(float, r["values"])))
    return got


# --- the comparison ------------------------------------------------------------------------------------------------

def near(a, b):
    return a == b or math.isclose(a, b, rel_tol=1e-12)


def shown(labels):
    labels = dict(labels)
    return labels.pop("__name__") + json.dumps(labels, ensure_ascii=False)


def differ(want, got, equal):
    for labels in want.keys() - got.keys():
        return f"missing: {shown(labels)}"
    for labels in got.keys() - want.keys():
        return f"unexpected: {shown(labels)}"
    for labels, series in want.items():
        if series.keys() != got[labels].keys():
            return f"{shown(labels)}: samples at {sorted(got[labels])}, expected {sorted(series)}"
        for time, value in series.items():
            if not equal(value, got[labels][time]):
                return f"{shown(labels)} at {time}: {got[labels][time]!r}, expected {value!r}"
    return None


def same_native(want, got):
    if not (want[0] == got[0] and near(want[1], got[1]) and len(want[2]) == len(got[2])):
        return False
    return all(n == m and math.isclose(a, c, rel_tol=1e-9) and math.isclose(b, d, rel_tol=1e-9) for (a, b, n), (c, d, m) in zip(want[2], got[2]))


def differ_exemplars(want, got, least):
    for labels, some in got.items():
        for x in some:
            if x not in want.get(labels, []):
                return f"{shown(labels)}: an exemplar that was not sent: {x}; sent were {want.get(labels, [])[:5]}"
    n = sum(map(len, got.values()))
    return f"{n} exemplars of {len(got)} series, expected at least {least}" if n < least else None


def run(scenario, spec):
    def look():
        want = expected(scenario.reference_sink().store.requests("metrics"), spec.get("external", {}))
        got = {"prometheus": prometheus, "victoria": victoria}[spec["store"]](spec["url"], want)
        ignore = spec.get("ignore", [])
        for name in ignore:
            got.samples = {k: v for k, v in got.samples.items() if dict(k)["__name__"] != name}
        wrong = differ(want.samples, got.samples, near if spec["store"] == "victoria" else lambda a, b: a == b)
        if not wrong and spec.get("native"):
            wrong = differ(want.native, got.native, same_native)
        if not wrong and "exemplars" in spec:
            wrong = differ_exemplars(want.exemplars, got.exemplars, spec["exemplars"])
        if not wrong and "same_as" in spec:
            other = prometheus(spec["same_as"], want)
            wrong = differ(other.samples, got.samples, lambda a, b: a == b) or differ(other.native, got.native, lambda a, b: a == b)
            wrong = wrong and f"beside {spec['same_as']}: {wrong}"
        if not wrong and len(want.samples) < spec.get("least", 1):
            wrong = f"{len(want.samples)} series were sent, expected at least {spec['least']}"
        return wrong and f"{spec['store']}: {wrong}"

    check.until(20 * scenario.slow, look)

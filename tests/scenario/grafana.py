"""Steps of the interop tests: what a real Loki (`loki`) and a real Tempo (`tempo`) show of what SDK programs sent, and where the links of docs/grafana/datasources.yaml lead (`links`)."""
import base64
import decimal
import json
import math
import re
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml

import check
import items
import peers

LABELS = ["service.name", "service.namespace", "service.instance.id", "deployment.environment", "deployment.environment.name", "cloud.region", "cloud.availability_zone",
          "k8s.cluster.name", "k8s.namespace.name", "k8s.pod.name", "k8s.container.name", "container.name", "k8s.replicaset.name", "k8s.deployment.name",
          "k8s.statefulset.name", "k8s.daemonset.name", "k8s.cronjob.name", "k8s.job.name"]


def fetch(url, tenant=None, **headers):
    if tenant:
        headers["X-Scope-OrgID"] = tenant
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        return json.loads(answer.read())


# --- values as Loki shows them: the Collector's AsString -----------------------------------------------------

def _double(d):
    if math.isnan(d) or math.isinf(d):
        return "NaN" if math.isnan(d) else "Infinity" if d > 0 else "-Infinity"
    sign, digits, exponent = decimal.Decimal(repr(d)).normalize().as_tuple()
    if d == 0 or 1e-6 <= abs(d) < 1e21:
        return format(decimal.Decimal((sign, digits, exponent)), "f")
    head, power = "".join(map(str, digits)), exponent + len(digits) - 1
    return f"{'-' if sign else ''}{head[0]}{'.' + head[1:] if len(head) > 1 else ''}e{'-' if power < 0 else '+'}{abs(power)}"


def _json(v):
    kind = v.WhichOneof("value")
    if kind == "array_value":
        return "[" + ",".join(map(_json, v.array_value.values)) + "]"
    if kind == "kvlist_value":
        return "{" + ",".join(f"{json.dumps(kv.key, ensure_ascii=False)}:{_json(kv.value)}" for kv in sorted(v.kvlist_value.values, key=lambda kv: kv.key)) + "}"
    if kind is None:
        return "null"
    return json.dumps(text(v), ensure_ascii=False) if kind in ("string_value", "bytes_value") else text(v)


def text(v):
    kind = v.WhichOneof("value")
    if kind in ("array_value", "kvlist_value"):
        return _json(v)
    if kind is None:
        return ""
    value = getattr(v, kind)
    if kind == "bool_value":
        return str(value).lower()
    if kind == "double_value":
        return _double(value)
    return base64.b64encode(value).decode() if kind == "bytes_value" else str(value)


def _name(key):
    name = re.sub("[^a-zA-Z0-9]+", "_", key)
    return "key_" + name if name[:1].isdigit() else name


def flat(attributes, prefix=""):
    for a in attributes:
        if a.value.WhichOneof("value") == "kvlist_value":
            yield from flat(a.value.kvlist_value.values, f"{prefix}{a.key}_")
        else:
            yield _name(prefix + a.key), text(a.value)


# --- Loki ------------------------------------------------------------------------------------------------------

def _entry(resource, scope, record, is_push):
    """(labels, time, line, structured metadata) of one record."""
    labels = {_name(a.key): text(a.value) for a in resource.attributes if a.key in LABELS}
    more = {"observed_timestamp": record.time_unix_nano and record.observed_time_unix_nano, "severity_number": record.severity_number, "severity_text": record.severity_text,
            "dropped_attributes_count": record.dropped_attributes_count, "flags": record.flags, "trace_id": record.trace_id.hex(), "span_id": record.span_id.hex(),
            "event_name": record.event_name if is_push else "", "scope_name": scope.name, "scope_version": scope.version}
    metadata = {**dict(flat(a for a in resource.attributes if a.key not in LABELS)), **dict(flat(scope.attributes)), **dict(flat(record.attributes)),
                **{k: str(v) for k, v in more.items() if v}}
    return labels, str(record.time_unix_nano or record.observed_time_unix_nano), text(record.body), {k: v for k, v in metadata.items() if v}


def expected(scenario, service, is_push):
    for request in scenario.reference_sink().store.requests("logs"):
        for r, s, record in items.containers("logs", request):
            entry = _entry(r.resource, s.scope, record, is_push)
            if entry[0].get("service_name") == service:
                yield entry


def _query(spec, extra="", query=None):
    now = time.time_ns()
    what = {"query": query or f'{{service_name="{spec["service"]}"}}{extra}', "limit": 5000, "start": now - 3600 * 10**9, "end": now + 3600 * 10**9}
    answer = fetch(f"{spec['url']}/loki/api/v1/query_range?{urllib.parse.urlencode(what)}", spec.get("tenant"), **{"X-Loki-Response-Encoding-Flags": "categorize-labels"})
    for stream in answer["data"]["result"]:
        for at, line, extras in stream["values"]:
            metadata = dict(extras.get("structuredMetadata", {}))
            level = metadata.pop("detected_level", None)
            yield stream["stream"], at, line, metadata, level


def _sorted(entries):
    return sorted(entries, key=lambda e: (e[1], e[2], sorted(e[3].items())))


def loki(scenario, spec):
    """What Loki shows of `service` (of `tenant`): `entries` in all, and with `equal: reference` each with its labels, line, time and structured metadata as Loki's own
    mapping of OTLP has it. `push: true`: with what the push protocol keeps beside."""
    def look():
        try:
            found = _sorted(_query(spec))
        except urllib.error.URLError as e:
            return f"Loki does not answer: {e}"
        if len(found) != spec["entries"]:
            return f"Loki shows {len(found)} entries of {spec['service']}, expected {spec['entries']}"
        return (compare(_sorted(expected(scenario, spec["service"], spec.get("push"))), found) if spec.get("equal") == "reference" else None) or linked(spec, found)

    check.until(20 * scenario.slow, look)


def compare(want, found):
    if len(want) != len(found):
        return f"Loki shows {len(found)} entries, {len(want)} were sent"
    for one, other in zip(want, found):
        for field, a, b in zip(("labels", "time", "line"), one, other):
            if a != b:
                return f"Loki: {field} is {b!r:.1500}, expected {a!r:.1500}"
        wrong = {k: (other[3].get(k), one[3].get(k)) for k in {**one[3], **other[3]} if other[3].get(k) != one[3].get(k)}
        if wrong:
            return f"Loki, structured metadata (is, expected): {wrong!r:.1500}"
        if not other[4]:
            return f"Loki has no detected_level for {one!r:.500}"
    return None


def linked(spec, found):
    """From a trace to its lines, as Grafana asks for them."""
    traces = {e[3]["trace_id"] for e in found if "trace_id" in e[3]}
    for trace in sorted(traces)[:3]:
        lines = list(_query(spec, f' | trace_id="{trace}"'))
        if not lines or any(e[3].get("trace_id") != trace for e in lines):
            return f"Loki finds {len(lines)} lines by trace_id={trace}"
    return None


# --- Tempo -------------------------------------------------------------------------------------------------------

def _hex(span):
    for one in [span, *span.get("links", [])]:
        for key in ("traceId", "spanId", "parentSpanId"):
            if key in one:
                one[key] = base64.b64decode(one[key]).hex()
    return span


def _spans(url, trace, tenant):
    try:
        answer = fetch(f"{url}/api/traces/{trace}", tenant)
    except urllib.error.HTTPError as e:
        if e.code == 404:
            return
        raise
    for r in answer.get("batches", []):
        for s in r["scopeSpans"]:
            for span in s["spans"]:
                yield peers.normal({"resource": r.get("resource", {}), "scope": s.get("scope", {})}, _hex(span))


def tempo(scenario, spec):
    """Every trace of `service` that the SDK sent, by its id: `spans` in all, each equal to what was sent."""
    def look():
        wanted = {s["traceId"] for around, s in peers.sent(scenario) if peers.attributes(around["resource"])["service.name"] == peers.text_value(spec["service"])}
        found = [n for trace in sorted(wanted) for n in _spans(spec["url"], trace, spec.get("tenant"))]
        if len(found) != spec["spans"]:
            return f"Tempo shows {len(found)} spans of {spec['service']}, expected {spec['spans']}"
        return peers.compare(scenario, spec["service"], found, "Tempo")

    check.until(20 * scenario.slow, look)


# --- Grafana's links, without Grafana ------------------------------------------------------------------------------

def provisioned(text):
    """The data sources by uid, as Grafana reads such a file: in every text $NAME and ${NAME} are environment variables, of which there are none here, and $$ is a $."""
    def read(value):
        if isinstance(value, dict):
            return {k: read(v) for k, v in value.items()}
        if isinstance(value, list):
            return [read(v) for v in value]
        if not isinstance(value, str):
            return value
        return "$".join(re.sub(r"\$\{[^}]*\}|\$\w+", "", part) for part in value.split("$$"))

    return {d["uid"]: read(d) for d in yaml.safe_load(text)["datasources"]}


def filled(template, trace="", tags=None, value="", joined=""):
    """A link's text with Grafana's variables in place."""
    for name, text_of_it in {"__trace.traceId": trace, "__value.raw": value, "__tags": joined}.items():
        template = template.replace("${" + name + "}", text_of_it)
    template = template.replace("$__tags", joined)
    return re.sub(r'\$\{__span\.tags(?:\["([^"]+)"\]|\.([\w.]+))\}', lambda m: (tags or {}).get(m.group(1) or m.group(2), ""), template)


def _link_from_lines(sources, spec, entries):
    """Lines of Loki to Tempo: the field that is derived from a label or structured metadata of that name."""
    loki_source = sources["loki"]
    for field in loki_source["jsonData"]["derivedFields"]:
        if field["matcherType"] != "label" or sources[field["datasourceUid"]]["type"] != "tempo":
            return f"no derived field that this test knows: {field}"
        values = {v for e in entries for k, v in {**e[0], **e[3]}.items() if re.fullmatch(field["matcherRegex"], k)}
        if not values:
            return f"no line has a {field['matcherRegex']}"
        for value in sorted(values)[:5]:
            if not list(_spans(spec["tempo"], filled(field["url"], value=value), None)):
                return f"Tempo has no trace {filled(field['url'], value=value)!r}, which a line names"
    return None


def _links_from_span(sources, spec, span):
    """A span of Tempo to its lines in Loki, and to series in Prometheus."""
    tags = {k: json.loads(v).get("stringValue", "") for k, v in {**span["resource"], **span["attributes"]}.items()}
    to_logs, to_metrics = sources["tempo"]["jsonData"]["tracesToLogsV2"], sources["tempo"]["jsonData"]["tracesToMetrics"]
    query = filled(to_logs["query"], span["traceId"], tags)
    found = list(_query({"url": spec["loki"]}, query=query))
    if sources[to_logs["datasourceUid"]]["type"] != "loki" or not found or any(e[3].get("trace_id") != span["traceId"] for e in found):
        return f"Loki finds {len(found)} lines of the trace by {query}"
    joined = ", ".join(f'{t["value"]}="{tags[t["key"]]}"' for t in to_metrics["tags"])
    for one in to_metrics["queries"]:
        fetch(f"{spec['prometheus']}/api/v1/query?{urllib.parse.urlencode({'query': filled(one['query'], joined=joined)})}")  # an HTTP error if it can not be read
    series = fetch(f"{spec['prometheus']}/api/v1/query?{urllib.parse.urlencode({'query': f'count({{{joined}}})'})}")["data"]["result"]
    return None if series else f"Prometheus has no series with {joined}"


def _link_from_graph(sources, spec):
    """An exemplar of Prometheus to its trace."""
    text_of_it = urllib.parse.urlencode({"query": '{__name__=~".+"}', "start": 0, "end": 4102444800})
    exemplars = [e["labels"] for s in fetch(f"{spec['prometheus']}/api/v1/query_exemplars?{text_of_it}")["data"] if s["seriesLabels"].get("job") == spec["service"] for e in s["exemplars"]]
    for to in sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]:
        traces = sorted({e[to["name"]] for e in exemplars if to["name"] in e})
        if not traces or sources[to["datasourceUid"]]["type"] != "tempo":
            return f"no exemplar has a {to['name']}: {exemplars[:3]}"
        if not any(list(_spans(spec["tempo"], t, None)) for t in traces[:5]):
            return f"Tempo has none of the traces {traces[:5]}, which exemplars name"
    return None


def links(scenario, spec):
    """{file, service, tempo, loki, prometheus: URLs}: the links of a provisioning file for Grafana, followed as Grafana does: each leads to something."""
    sources = provisioned(scenario.repository_file(spec["file"]))

    def look():
        entries = list(_query({"url": spec["loki"], "service": spec["service"]}))
        wrong = _link_from_lines(sources, spec, entries) or _link_from_graph(sources, spec)
        traces = [e[3]["trace_id"] for e in entries if "trace_id" in e[3]]
        span = next(iter(_spans(spec["tempo"], traces[0], None)), None) if traces else None
        return wrong or (_links_from_span(sources, spec, span) if span else "no span of a line's trace")

    check.until(20 * scenario.slow, look)

"""Steps about Prometheus: a page that is scraped (`scrape`), a real server (`prometheus_server`) and what its API shows (`prometheus`).

What must be there is worked out here from the requests that an SDK sent to the reference sink, by rules of its own: names, labels and values as
OpenTelemetry's compatibility specification has them. Values are compared one by one.
"""
import base64
import gzip
import http.client
import json
import math
import os
import re
import subprocess
import urllib.parse

from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

import check
import peers
from weir_process import Failure

UNITS = {"1": "", "s": "seconds", "ms": "milliseconds", "By": "bytes", "Cel": "celsius", "": ""}


# --- what must be there ----------------------------------------------------------------------------------

def text_of(value):
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value
    return "" if kind is None else json.dumps(plain(value), ensure_ascii=False, separators=(",", ":")) if kind != "bytes_value" else plain(value)


def plain(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(v) for v in value.array_value.values]
    if kind == "kvlist_value":
        return {kv.key: plain(kv.value) for kv in sorted(value.kvlist_value.values, key=lambda kv: kv.key)}
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    if kind == "double_value" and value.double_value.is_integer():
        return int(value.double_value)
    return getattr(value, kind) if kind else None


def label_name(key):
    name = re.sub("_+", "_", re.sub("[^a-zA-Z0-9_]", "_", key))
    return "key_" + name if name[0].isdigit() else "key" + name if name[0] == "_" else name


def metric_name(metric, kind):
    tokens = [t for t in re.split("[^a-zA-Z0-9:]+", metric.name) if t]
    unit = UNITS[metric.unit]
    if unit and unit not in tokens:
        tokens.append(unit)
    if kind == "counter":
        tokens = [t for t in tokens if t != "total"] + ["total"]
    if kind == "gauge" and metric.WhichOneof("data") == "gauge" and metric.unit == "1":
        tokens = [t for t in tokens if t != "ratio"] + ["ratio"]
    return "_".join(tokens)


def target_of(resource):
    known = {a.key: text_of(a.value) for a in resource.attributes}
    job = known.pop("service.name", "")
    space, instance = known.pop("service.namespace", ""), known.pop("service.instance.id", "")
    return {"job": f"{space}/{job}" if space else job, "instance": instance}, {label_name(k): v for k, v in known.items()}


def scope_of(scope, schema_url):
    labels = {f"otel_scope_{label_name(a.key)}": text_of(a.value) for a in scope.attributes}
    return {**labels, "otel_scope_name": scope.name, "otel_scope_version": scope.version, "otel_scope_schema_url": schema_url}


def points_of(name, kind, point):
    """(name, more labels, value) of each plain sample."""
    if kind == "histogram":
        count = 0
        for bound, more in zip([*point.explicit_bounds, math.inf], point.bucket_counts or [point.count]):
            count += more
            yield name + "_bucket", {"le": bound}, count
    elif kind == "exponential_histogram":
        yield name + "_bucket", {"le": math.inf}, point.count
    elif kind == "summary":
        for q in point.quantile_values:
            yield name, {"quantile": q.quantile}, q.value
    else:
        yield name, {}, point.as_double if point.WhichOneof("value") == "as_double" else float(point.as_int)
        return
    if kind == "summary" or point.HasField("sum"):
        yield name + "_sum", {}, point.sum
    yield name + "_count", {}, point.count


def key_of(name, labels):
    """Bounds as numbers: 10 and 10.0 are one."""
    same = {k: float(v) if k in ("le", "quantile") else v for k, v in labels.items() if v != ""}
    return name, tuple(sorted(same.items()))


def expected(scenario):
    out = {}
    for request in scenario.reference_sink().store.requests("metrics"):
        for rm in request.resource_metrics:
            target, others = target_of(rm.resource)
            if target["job"] and target["instance"]:
                out[key_of("target_info", {**others, **target})] = 1.0
            for sm in rm.scope_metrics:
                for metric in sm.metrics:
                    data = metric.WhichOneof("data")
                    kind = "counter" if data == "sum" and metric.sum.is_monotonic else "gauge" if data in ("sum", "gauge") else data
                    for point in getattr(metric, data).data_points:
                        labels = {label_name(a.key): text_of(a.value) for a in point.attributes}
                        for name, more, value in points_of(metric_name(metric, kind), kind, point):
                            out[key_of(name, {**labels, **scope_of(sm.scope, sm.schema_url), **target, **more})] = float(value)
    return out


def difference(found, want, what):
    if found.keys() != want.keys():
        return (f"{what}: {len(want.keys() - found.keys())} of {len(want)} series are missing, such as {sorted(want.keys() - found.keys())[:2]}; "
                f"{len(found.keys() - want.keys())} unexpected, such as {sorted(found.keys() - want.keys())[:2]}")
    for key, value in want.items():
        if found[key] != value and not (math.isnan(found[key]) and math.isnan(value)):
            return f"{what}: {key} is {found[key]!r}, expected {value!r}"
    return None


def chosen(scenario, wanted, found, what):
    """`equal: reference`, `samples: {'name{label="value"}': number or comparison; null = absent}`."""
    if wanted.get("equal") == "reference":
        want = expected(scenario)
        if not want:
            raise Failure("the reference sink has no metrics: nothing would be compared")
        wrong = difference(found, want, what)
        if wrong:
            return wrong
    for text, value in wanted.get("samples", {}).items():
        name, pairs = re.match(r"([^{]*)(?:\{(.*)\})?$", text, re.S).groups()
        labels = json.loads("{" + re.sub(r'([a-zA-Z_]\w*)="', r'"\1":"', pairs or "") + "}")
        got = [v for (n, l), v in found.items() if n == name and set(key_of(name, labels)[1]) <= set(l)]
        if not check.compare(got[0] if len(got) == 1 else None, value):
            return f"{what}: {text} is {got}, expected {value}; of that name: {[k for k in found if k[0] == name][:5]}"
    return None


# --- the page --------------------------------------------------------------------------------------------

ACCEPT = {"text": "text/plain;version=0.0.4", "openmetrics": "application/openmetrics-text;version=1.0.0"}


def fetch_page(spec, form):
    url = urllib.parse.urlsplit(spec["url"])
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=20)
    connection.request("GET", url.path or "/metrics", headers={"Accept": ACCEPT[form], "Accept-Encoding": "gzip", **spec.get("headers", {})})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status != spec.get("status", 200):
        raise Failure(f"{spec['url']}: status {answer.status}: {body[:300]}")
    if answer.status == 200 and answer.headers.get("Content-Encoding") != "gzip":
        raise Failure("the page is not compressed")
    return (gzip.decompress(body) if answer.status == 200 else body).decode()


def samples(text, form):
    parse = openmetrics.text_string_to_metric_families if form == "openmetrics" else parser.text_string_to_metric_families
    found, exemplars = {}, 0
    for family in parse(text):
        for s in family.samples:
            key = key_of(s.name, s.labels)
            if key in found:
                raise Failure(f"{form}: {key} is there twice")
            found[key] = float(s.value)
            exemplars += s.exemplar is not None
    return found, exemplars


def lint(text):
    done = subprocess.run([os.environ["WEIR_PROMTOOL"], "check", "metrics"], input=text, capture_output=True, text=True, timeout=20, check=False)
    return None if done.returncode == 0 and not done.stdout + done.stderr else f"promtool: exit {done.returncode}: {done.stdout}{done.stderr}"


def scrape(scenario, spec):
    """{url, as: [text, openmetrics], equal, samples, beside: URL (another page with the same series), exemplars: comparison (OpenMetrics), lint: true (promtool finds nothing), status, headers}"""
    def look():
        for form in spec.get("as", ["text"]):
            text = fetch_page(spec, form)
            if spec.get("status", 200) != 200:
                continue
            found, exemplars = samples(text, form)
            wrong = chosen(scenario, spec, found, form)
            if not wrong and "beside" in spec:
                other, _ = samples(fetch_page({"url": spec["beside"]}, form), form)
                wrong = difference(found, other, f"{form}, beside {spec['beside']}")
            if not wrong and form == "openmetrics" and "exemplars" in spec and not check.compare(exemplars, spec["exemplars"]):
                wrong = f"{exemplars} exemplars, expected {spec['exemplars']}"
            if not wrong and spec.get("lint"):
                wrong = lint(text)
            if wrong:
                return wrong
        return None

    check.until(spec.get("within", 10) * scenario.slow, look)


# --- a server -------------------------------------------------------------------------------------------

def server(scenario, spec):
    """{port, targets: [host:port, ...], rules: [file, ...], alertmanager: host:port}: Debian's Prometheus, which scrapes them, and looks at its rules, twice a second."""
    config = {"global": {"scrape_interval": "500ms", "scrape_timeout": "400ms", "evaluation_interval": "500ms"}, "rule_files": spec.get("rules", []),
              "alerting": {"alertmanagers": [{"static_configs": [{"targets": [spec["alertmanager"]]}]}] if "alertmanager" in spec else []},
              "scrape_configs": [{"job_name": "weir", "honor_labels": True, "metrics_path": spec.get("path", "/metrics"), "static_configs": [{"targets": spec["targets"]}]}]}
    with open(os.path.join(scenario.folder, "prometheus.json"), "w", encoding="utf-8") as f:
        json.dump(config, f)  # JSON is YAML
    peers.start(scenario, {"name": "prometheus", "ready": f"http://127.0.0.1:{spec['port']}/-/ready", "command": [
        os.environ["WEIR_PROMETHEUS"], "--config.file=prometheus.json", "--storage.tsdb.path=prometheus", f"--web.listen-address=127.0.0.1:{spec['port']}",
        "--enable-feature=exemplar-storage", "--log.level=warn"]})


def query(url, path, **text):
    answer = json.loads(peers.fetch(f"{url}{path}?{urllib.parse.urlencode(text)}", 10))
    if answer["status"] != "success":
        raise Failure(f"Prometheus: {answer}")
    return answer["data"]


OWN = ("up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling", "scrape_series_added")


def prometheus(scenario, spec):
    """{url, equal, samples, exemplars: comparison, types: {metric: type}}: what its API shows."""
    def look():
        up = query(spec["url"], "/api/v1/query", query="up")["result"]
        targets = query(spec["url"], "/api/v1/targets")["activeTargets"]
        if not up or any(s["value"][1] != "1" for s in up):
            return f"Prometheus can not scrape: {[t['lastError'] for t in targets]}"
        found = {}
        for s in query(spec["url"], "/api/v1/query", query='{__name__=~".+"}')["result"]:
            labels = dict(s["metric"])
            name = labels.pop("__name__")
            if name not in OWN:
                found[key_of(name, without_target(labels, targets))] = float(s["value"][1])
        wrong = chosen(scenario, spec, found, "Prometheus")
        if not wrong and "exemplars" in spec:
            n = sum(len(s["exemplars"]) for s in query(spec["url"], "/api/v1/query_exemplars", query='{__name__=~".+"}', start="0", end="4102444800"))
            wrong = None if check.compare(n, spec["exemplars"]) else f"Prometheus shows {n} exemplars, expected {spec['exemplars']}"
        for name, kind in spec.get("types", {}).items():
            known = query(spec["url"], "/api/v1/metadata", metric=name).get(name, [])
            wrong = wrong or (None if [m["type"] for m in known] == [kind] else f"Prometheus knows of {name}: {known}, expected the type {kind}")
        return wrong

    check.until(spec.get("within", 20) * scenario.slow, look)


def without_target(labels, targets):
    """A page's own job and instance stay; where it has none, Prometheus puts the target's."""
    for t in targets:
        labels = {k: v for k, v in labels.items() if k not in ("job", "instance") or v != t["labels"][k]}
    return labels

"""Steps of the interop tests: real programs as peers (`program`, `command`), and what a real Jaeger shows (`jaeger`)."""
import base64
import datetime
import json
import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request

from google.protobuf import json_format

import check
import items
from weir_process import Failure

BIN = os.path.join(os.environ.get("INTEROP_HOME") or os.path.expanduser("~/.cache/weir-interop"), "bin")
DEBIAN = {"prometheus": "WEIR_PROMETHEUS", "promtool": "WEIR_PROMTOOL", "victoria-metrics": "WEIR_VICTORIA_METRICS", "pushgateway": "WEIR_PUSHGATEWAY"}  # where tests/tools/deps.sh has them
BOUNDS = {"GOMEMLIMIT": "400MiB", "GOMAXPROCS": "2"}  # peers are Go programs


def fetch(url, timeout=5):
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return answer.read()


def path_of(program):
    return os.environ[DEBIAN[program]] if program in DEBIAN else os.path.join(BIN, program)


def start(scenario, spec):
    """{name, command: [program of the interop cache or of DEBIAN, arguments ...], ready: URL}: started, waited for, ended with the scenario."""
    with open(os.path.join(scenario.folder, f"{spec['name']}.log"), "wb") as out:
        process = subprocess.Popen(["nice", path_of(spec["command"][0]), *map(str, spec["command"][1:])], stdin=subprocess.DEVNULL,
                                   stdout=out, stderr=subprocess.STDOUT, cwd=scenario.folder, env={**os.environ, **BOUNDS})
    scenario.programs[spec["name"]] = process

    def look():
        try:
            fetch(spec["ready"], 2)
            return None
        except (OSError, urllib.error.URLError) as e:
            if process.poll() is not None:
                raise Failure(f"{spec['name']} ended with {process.returncode}") from None
            return f"{spec['name']} is not ready: {e}"

    check.until(30, look)


def output(scenario, name):
    with open(os.path.join(scenario.folder, f"{name}.log"), encoding="utf-8", errors="replace") as f:
        return f.read()


def stop(process):
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def command(scenario, spec):
    """Runs a program of the interop cache or of DEBIAN to its end: {run: [...], exit, within, stdout: [texts]}. Gives what it printed."""
    try:
        done = subprocess.run(["nice", path_of(spec["run"][0]), *map(str, spec["run"][1:])], capture_output=True, text=True,
                              timeout=spec.get("within", 30), check=False, cwd=scenario.folder, env={**os.environ, **BOUNDS})
    except subprocess.TimeoutExpired:
        raise Failure(f"{spec['run'][0]} is not done after {spec.get('within', 30)} s") from None
    told = f"\n{(done.stdout + done.stderr)[-6000:]}"
    if "exit" in spec and done.returncode != spec["exit"]:
        raise Failure(f"{spec['run'][0]}: exit {done.returncode}{told}")
    for text in spec.get("stdout", []):
        if text not in done.stdout:
            raise Failure(f"{spec['run'][0]} does not say {text!r}{told}")
    return done.stdout


# --- Jaeger ------------------------------------------------------------------------------------------

def jaeger(scenario, spec):
    """What Jaeger's query API shows of `service`: `spans` in all its traces, its operations, and with `equal: reference` each span as the
    SDK sent it. `attributes: {NAME: {key: text}}` are those that a span must have."""
    def look():
        found = [normal(r, span) for r, span in query(spec["url"], spec["service"])]
        if len(found) != spec["spans"]:
            return f"Jaeger shows {len(found)} spans of {spec['service']}, expected {spec['spans']}"
        names = sorted({n["name"] for n in found})
        return (lists(spec, names) or lacks(spec.get("attributes", {}), found) or
                (compare(scenario, spec["service"], found) if spec.get("equal") == "reference" else None))

    check.until(20 * scenario.slow, look)


def lists(spec, names):
    """The service and the operations as Jaeger's search page offers them."""
    services = json.loads(fetch(f"{spec['url']}/api/v3/services"))["services"]
    if spec["service"] not in services:
        return f"Jaeger lists the services {services}, not {spec['service']}"
    answer = json.loads(fetch(f"{spec['url']}/api/v3/operations?{urllib.parse.urlencode({'service': spec['service']})}"))
    listed = sorted({o["name"] for o in answer["operations"]})
    return None if listed == names else f"Jaeger lists the operations {listed}, its traces have {names}"


def lacks(wanted, found):
    for name, pairs in wanted.items():
        spans = [n["attributes"] for n in found if n["name"] == name]
        for key, text in pairs.items():
            if text_value(text) not in [s.get(key) for s in spans]:
                return f"Jaeger, span {name!r}: no attribute {key}={text!r} in {spans}"
    return None


def query(url, service):
    now, hour = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(hours=1)
    text = {"query.service_name": service, "query.start_time_min": (now - hour).isoformat("T", "seconds").replace("+00:00", "Z"),
            "query.start_time_max": (now + hour).isoformat("T", "seconds").replace("+00:00", "Z"), "query.num_traces": "1500"}
    try:
        answer = json.loads(fetch(f"{url}/api/v3/traces?{urllib.parse.urlencode(text)}"))
    except urllib.error.HTTPError as e:
        if e.code == 404:  # no trace yet
            return
        raise
    for r in answer["result"].get("resourceSpans", []):
        for s in r["scopeSpans"]:
            for span in s["spans"]:
                yield {"resource": r.get("resource", {}), "scope": s.get("scope", {})}, span


def sent(scenario):
    """The same shape from the reference sink's requests. OTLP's JSON has ids as hex, protobuf's as base64."""
    for request in scenario.reference_sink().store.requests("traces"):
        for r, s, span in items.containers("traces", request):
            plain = json_format.MessageToDict(span)
            for one in [plain, *plain.get("links", [])]:
                for key in ("traceId", "spanId", "parentSpanId"):
                    if key in one:
                        one[key] = base64.b64decode(one[key]).hex()
            yield {"resource": json_format.MessageToDict(r.resource), "scope": json_format.MessageToDict(s.scope)}, plain


KINDS = {"SPAN_KIND_INTERNAL": 1, "SPAN_KIND_SERVER": 2, "SPAN_KIND_CLIENT": 3, "SPAN_KIND_PRODUCER": 4, "SPAN_KIND_CONSUMER": 5}
CODES = {"STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}


def attributes(holder):
    """But for Jaeger's remarks on what it thinks of the times; it adds them again with each query."""
    return {a["key"]: json.dumps(a.get("value", {}), sort_keys=True) for a in holder.get("attributes", []) if a["key"] != "@jaeger@warnings"}


def text_value(text):
    return json.dumps({"stringValue": text})


def normal(around, span):
    """What Jaeger keeps of a span. It sorts attributes and forgets the tracestate of links."""
    status = span.get("status", {})
    return {
        "resource": attributes(around["resource"]), "scope": (around["scope"].get("name"), around["scope"].get("version"), attributes(around["scope"])),
        "traceId": span["traceId"], "spanId": span["spanId"], "parentSpanId": span.get("parentSpanId", ""), "name": span["name"],
        "kind": KINDS.get(span.get("kind"), span.get("kind")), "start": span["startTimeUnixNano"], "end": span["endTimeUnixNano"],
        "traceState": span.get("traceState", ""), "attributes": attributes(span),
        "status": (CODES.get(status.get("code"), status.get("code", 0)), status.get("message", "")),
        "events": sorted((e["timeUnixNano"], e["name"], sorted(attributes(e).items())) for e in span.get("events", [])),
        "links": sorted((li["traceId"], li["spanId"], sorted(attributes(li).items())) for li in span.get("links", [])),
    }


def compare(scenario, service, found, who="Jaeger"):
    expected = {(n["traceId"], n["spanId"]): n for n in (normal(a, s) for a, s in sent(scenario)) if n["resource"]["service.name"] == text_value(service)}
    shown = {(n["traceId"], n["spanId"]): n for n in found}
    if expected.keys() != shown.keys():
        return f"{who} shows other spans: {len(expected.keys() - shown.keys())} missing, {len(shown.keys() - expected.keys())} unexpected"
    for key, want in expected.items():
        for field, value in want.items():
            if shown[key][field] != value:
                return f"{who}, span {want['name']!r}: {field} is {shown[key][field]!r:.1500}, expected {value!r:.1500}"
    return None

"""Interop: what Alertmanager shows of alerts on weir's metrics (`alerts`), and a page of weir in a Pushgateway (`pushgateway`)."""
import json
import urllib.error
import urllib.parse
import urllib.request

import check
import peers
import prom
from weir_process import Failure


def alerts(scenario, spec):
    """{url: of Alertmanager, prometheus: URL, firing: {alert: {label or annotation: text}}, gone: [alert, ...], resolved: comparison}: alerts that
    are active there, those that are not any more, and how many resolutions Prometheus has told it (an alert that it hears nothing more of would end, too, but minutes later)."""
    def look():
        active = json.loads(peers.fetch(f"{spec['url']}/api/v2/alerts?active=true"))
        known = prom.query(spec["prometheus"], "/api/v1/rules", type="alert")["groups"]
        wrong = [f"{r['name']}: {r['lastError']}" for g in known for r in g["rules"] if r["health"] == "err"]
        if wrong or not known:
            return f"Prometheus can not evaluate: {wrong or 'no rules'}"
        for name, texts in spec.get("firing", {}).items():
            found = [{**a["labels"], **a["annotations"]} for a in active if a["labels"]["alertname"] == name]
            if not any(texts.items() <= f.items() for f in found):
                return f"Alertmanager has no {name} with {texts}; of that name: {found}; others: {[a['labels'] for a in active if a['labels']['alertname'] != name]}"
        there = [a["labels"] for a in active if a["labels"]["alertname"] in spec.get("gone", [])]
        if there:
            return f"still active: {there}"
        told = counter(peers.fetch(f"{spec['url']}/metrics").decode(), 'alertmanager_alerts_received_total{status="resolved",version="v2"}')
        return None if check.compare(told, spec.get("resolved", told)) else f"Alertmanager was told of {told} resolutions, expected {spec['resolved']}"

    check.until(spec.get("within", 30) * scenario.slow, look)


def counter(page, name):
    return next((float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(name)), 0.0)


def put(url, text):
    request = urllib.request.Request(url, text.encode(), {"Content-Type": "text/plain; version=0.0.4"}, method="PUT")
    try:
        urllib.request.urlopen(request, timeout=10).close()
    except urllib.error.HTTPError as e:
        raise Failure(f"the Pushgateway refuses the page: {e.code} {e.read().decode()[:500]}") from None


def pushgateway(scenario, spec):
    """{url, page: URL of weir's page, job, lint: true (promtool finds nothing), least: samples}: the page is put there as it is, for a job, and comes back sample by sample. What has no
    job or instance gets the pushed job and no instance."""
    text = peers.fetch(spec["page"]).decode()  # as curl would, uncompressed
    wrong = prom.lint(text) if spec.get("lint") else None
    if wrong:
        raise Failure(wrong)
    sent, _ = prom.samples(text, "text")
    if len(sent) < spec["least"]:
        raise Failure(f"the page has {len(sent)} samples, expected at least {spec['least']}")
    put(f"{spec['url']}/metrics/job/{urllib.parse.quote(spec['job'])}", text)
    shown, _ = prom.samples(peers.fetch(f"{spec['url']}/metrics").decode(), "text")
    want = {prom.key_of(name, {**dict(labels), "job": spec["job"]}): value for (name, labels), value in sent.items()}
    found = {key: value for key, value in shown.items() if dict(key[1]).get("job") == spec["job"] and not key[0].startswith("push_")}
    wrong = prom.difference(found, want, "Pushgateway")
    if wrong:
        raise Failure(wrong)
    failed = [v for (name, labels), v in shown.items() if name == "push_failure_time_seconds" and dict(labels).get("job") == spec["job"]]
    if failed != [0.0]:
        raise Failure(f"Pushgateway: push_failure_time_seconds of {spec['job']} is {failed}")

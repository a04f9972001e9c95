"""What weir says of sampled traces (`weir why`, its page of decisions), against what was sent and what the back end got."""
import json
import subprocess
import urllib.error
import urllib.request

import check
import peers
from weir_process import Failure


def _by_trace(store):
    """{trace id: {span id}} of what a sink took."""
    out = {}
    for request in store.requests("traces"):
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    out.setdefault(span.trace_id.hex(), set()).add(span.span_id.hex())
    return out


def _in_jaeger(spec):
    out = {}
    for service in spec["services"]:
        for _, span in peers.query(spec["jaeger"], service):
            out.setdefault(span["traceId"], set()).add(span["spanId"])
    return out


def _ask(weir, trace):
    """The newest decision about a trace, or None."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{weir.port}/why?trace_id={trace}", timeout=10) as answer:
            found = [d for d in json.load(answer)["decisions"] if d.get("reason") != "late"]
            return found[-1] if found else None
    except urllib.error.HTTPError as e:
        e.close()
        return None


def _wrong(weir, sent, got, wanted):
    outcomes = {"kept": 0, "dropped": 0}
    policies = {}
    for trace, spans in sent.items():
        decision = _ask(weir, trace)
        if not decision or decision["outcome"] not in outcomes:
            return f"trace {trace}: weir says {decision}"
        outcomes[decision["outcome"]] += 1
        policies[decision.get("policy")] = policies.get(decision.get("policy"), 0) + 1
        if got.get(trace, set()) != (spans if decision["outcome"] == "kept" else set()):
            return f"trace {trace}: {len(spans)} spans were sent, {len(got.get(trace, ()))} came out, weir says {decision}"
    if set(got) - set(sent):
        return f"traces came out that nobody sent: {sorted(set(got) - set(sent))[:3]}"
    for outcome, n in outcomes.items():
        if outcome in wanted and not check.compare(n, wanted[outcome]):
            return f"expected {outcome} {wanted[outcome]}, got {outcomes}"
    for policy, n in wanted.get("policies", {}).items():
        if not check.compare(policies.get(policy, 0), n):
            return f"expected {n} decisions by {policy}, got {policies}"
    return None


def decisions(scenario, spec):
    """Every trace that SDKs sent has an answer; kept ones came out whole, of dropped ones nothing did. kept, dropped, policies: how
    many. jaeger, services: what came out is what Jaeger shows of these, not what the sink has."""
    weir = scenario.weir(spec.get("weir"))
    got = (lambda: _in_jaeger(spec)) if "jaeger" in spec else (lambda: _by_trace(scenario.sink(spec.get("sink", "")).store))
    sent = _by_trace(scenario.reference_sink().store)
    if not sent:
        raise Failure("decisions: nothing was sent that could be asked about")
    check.until(spec.get("within", 10) * scenario.slow, lambda: _wrong(weir, sent, got(), spec))
    trace = next(iter(sent))
    said = subprocess.run([f"{weir.build}/weir", "why", trace, "--socket", scenario.fill(spec["socket"])], capture_output=True, text=True, timeout=30) if "socket" in spec else None
    if said and (said.returncode or not any(word in said.stdout for word in ("kept", "dropped"))):
        raise Failure(f"weir why {trace}: exit {said.returncode}, {said.stdout}{said.stderr}")

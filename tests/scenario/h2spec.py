"""The step `h2spec`: the conformance suite of HTTP/2 against a port of weir."""
import re

import peers
from weir_process import Failure


def run(scenario, spec):
    """{port, path, cases: how many there are, options: [...]}: all pass."""
    out = peers.command(scenario, {"run": ["h2spec", *spec.get("options", []), "-h", "127.0.0.1", "-p", spec["port"], "-P", spec["path"], "--timeout", 1],
                                   "within": 50})
    judge(spec["cases"], out)


def judge(cases, out):
    counts = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", out)
    if not counts or int(counts.group(1)) != cases or int(counts.group(3)):
        raise Failure(f"h2spec did not run its {cases} cases:\n{out[-6000:]}")
    told = out.split("Failures:")[1] if "Failures:" in out else ""
    failed = re.findall(r"^\s+× \d+: (.*\S)", told, re.MULTILINE)
    if failed or int(counts.group(4)):
        raise Failure(f"h2spec: {counts.group(0)}\n  failed: {failed}\n{told[-6000:]}")

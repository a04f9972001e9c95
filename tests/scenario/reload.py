"""Steps that change the configuration of a running weir: `write` (files, by rename as editors do) and `reload`.

`variants` of a scenario are configurations made from `weir`: NAME: {"text that stands there": "what stands there instead"}; the name weir is the original.
"""
import os
import signal
import subprocess
import time

import check
from weir_process import Failure, metric_sum

RELOADS, FAILURES = "weir_reloads_total", "weir_reload_failures_total"


def variant(scenario, name):
    text = scenario.config("weir")
    for old, new in (scenario.spec["variants"][name] if name != "weir" else {}).items():
        if old not in text:
            raise Failure(f"variant {name}: the configuration does not hold {old!r}")
        text = text.replace(old, new)
    return text


def write(scenario, files):
    for name, text in files.items():
        path = os.path.join(scenario.folder, name)
        if isinstance(text, dict) and "link" in text:  # as Kubernetes swaps a config map
            os.symlink(text["link"], path + ".new")
        else:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path + ".new", "w", encoding="utf-8") as f:
                f.write(variant(scenario, text["variant"]) if isinstance(text, dict) else text)
        os.rename(path + ".new", path)


def counts(weir):
    page = weir.metrics()
    return metric_sum(page, RELOADS) or 0, metric_sum(page, FAILURES) or 0


def ask(scenario, weir, spec):
    """`weir reload`; what it prints must hold the texts."""
    socket = spec.get("socket", os.path.join(scenario.folder, "weir.sock"))
    done = subprocess.run([os.path.join(scenario.build, "weir"), "reload", "--socket", socket], capture_output=True, text=True,
                          timeout=20 * scenario.slow, check=False)
    printed = done.stdout + done.stderr
    if done.returncode != spec.get("exit", 78 if spec.get("expect") == "refused" else 0):
        raise Failure(f"weir reload: exit {done.returncode}\n{printed}\n{weir.stderr()[-2000:]}")
    for text in spec.get("prints", []):
        if text not in printed:
            raise Failure(f"weir reload does not print {text!r}:\n{printed}")


def reload(scenario, spec):
    """use: names of variants, one after the other, `times` in all; by: signal, command or watch; expect: reloaded, refused or same."""
    weir, names = scenario.weir(spec.get("weir")), spec.get("use", [])
    for i in range(spec.get("times", max(1, len(names)))):
        before, wanted = counts(weir), spec.get("expect", "reloaded")
        if names:
            write(scenario, {f"{weir.name}.yaml": {"variant": names[i % len(names)]}})
        if spec.get("by", "signal") == "signal":
            weir.signal(signal.SIGHUP)
        elif spec["by"] == "command":
            ask(scenario, weir, spec)
        if wanted != "same":
            after = (before[0] + 1, before[1]) if wanted == "reloaded" else (before[0], before[1] + 1)
            check.until(10 * scenario.slow, lambda: None if counts(weir) == after else
                        f"reloads and failures: expected {after}, got {counts(weir)}\n{weir.stderr()[-2000:]}")
        time.sleep(spec.get("every", 0))

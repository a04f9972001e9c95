"""Runs scenario files, each in a process of its own and bounded in time. Usage: runner.py BUILD [FILE or part of a name ...]

SCENARIO_JOBS (2) at a time. Prints one line per failure with what was wrong, the slowest, and a last line with counts.
"""
import concurrent.futures
import glob
import os
import re
import signal
import socket
import subprocess
import sys
import time

from weir_process import slow_factor

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT = 60  # seconds for one scenario, without sanitizers


def limit_of(path):
    """`limit: 300`: seconds that a long one may take."""
    with open(path, encoding="utf-8") as f:
        found = re.search(r"^limit: (\d+)", f.read(), re.MULTILINE)
    return int(found.group(1)) if found else LIMIT


def run_one(build, path):
    began = time.monotonic()
    limit = limit_of(path) * min(4, slow_factor(build))
    process = subprocess.Popen([sys.executable, os.path.join(HERE, "scenario.py"), build, path], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
    try:
        out, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # the group that this test made
        out, _ = process.communicate()
        out += f"\nnot done after {limit} s"
    return path, process.returncode == 0, out, time.monotonic() - began


def choose(patterns):
    folder = os.environ.get("SCENARIO_DIR", os.path.join(HERE, "cases"))
    every = sorted(glob.glob(os.path.join(folder, "**", "*.yaml"), recursive=True))
    if not patterns:
        return every
    return [p for p in every if any(p == os.path.abspath(want) or want in os.path.relpath(p, folder) for want in patterns)]


def has_ipv6(_):
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


def has_namespaces(_):
    as_root = [] if os.getuid() == 0 else ["-r"]
    return subprocess.run(["unshare", "-m", *as_root, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0


def has_faketime(build):
    """A sanitizer's runtime wants to be the first library, so it has none."""
    return slow_factor(build) == 1 and bool(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1"))


NEEDS = {"ipv6": (has_ipv6, "IPv6 loopback address (::1)"), "namespaces": (has_namespaces, "mount namespaces (unshare -m)"),
         "faketime": (has_faketime, "libfaketime, or it does not go with this build")}


def lacks_of(path, build):
    """`needs: [ipv6]`: what of it this machine or build has not, in words."""
    with open(path, encoding="utf-8") as f:
        found = re.search(r"^needs: \[(.*)\]$", f.read(), re.MULTILINE)
    return next((words for has, words in (NEEDS[n.strip()] for n in found.group(1).split(",")) if not has(build)), None) if found else None


def main():
    build, paths = os.path.abspath(sys.argv[1]), choose(sys.argv[2:])
    if not os.access(os.path.join(build, "weir"), os.X_OK):
        sys.exit(f"no program {build}/weir: run make first")
    if "thread" in os.path.basename(build):
        for path in [p for p in paths if "\nnot_under_thread: " in open(p, encoding="utf-8").read()]:
            print(f"skipped under ThreadSanitizer: {os.path.relpath(path, HERE)} (its not_under_thread says why)")
            paths.remove(path)
    for path, lacks in [(p, lacks_of(p, build)) for p in paths]:
        if lacks:
            print(f"skipped, as there is no {lacks}: {os.path.relpath(path, HERE)}")
            paths.remove(path)
    if not paths:
        sys.exit("no such scenario")
    results = []
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("SCENARIO_JOBS", "2"))) as pool:
        for path, ok, out, took in pool.map(lambda p: run_one(build, p), paths):
            results.append((took, path, ok))
            name = os.path.relpath(path, HERE)
            if not ok:
                print(f"FAILED: {name} ({took:.1f} s)\n  " + out.strip().replace("\n", "\n  "), flush=True)
            elif os.environ.get("VERBOSE"):
                print(f"ok: {name} ({took:.1f} s)", flush=True)
    passed = sum(ok for _, _, ok in results)
    slowest = ", ".join(f"{os.path.basename(p)} {t:.0f} s" for t, p, _ in sorted(results, reverse=True)[:3])
    name = os.environ.get("CHECK_NAME", "scenario")
    print(f"check-{name}: {passed} scenarios passed, {len(results) - passed} failed (slowest: {slowest})")
    sys.exit(passed != len(results))


if __name__ == "__main__":
    main()

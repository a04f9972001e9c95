#!/usr/bin/env python3
"""Differential test of tail_sampling: the Go collector's processor and weir's decide the same cases. tests/interop/README.md tells how to use it.

    compare.py BUILD GO_PROGRAM [--seed N] [--seeds N] [--keep DIR] [--verbose] [part of a case's name ...]
"""
import argparse
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from multiprocessing import Pool
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).parent))
import cases as all_cases  # noqa: E402
from spans import Maker, descending, request  # noqa: E402

REPO = Path(__file__).resolve().parents[3]
LIST = REPO / "docs/tail-sampling-differences.md"
END = 0xFFFFFFFF
STRICT, BOTH = "strict", "both"
SHOWN = 3  # differences of a case that are shown in full
FEW = 3  # traces of a case whose point is the configuration


class Run:
    """What one program said of one case."""

    def __init__(self):
        self.spans, self.invalid = Counter(), set()
        self.refused = self.panic = ""
        self.stuck = False

    def outcome(self):
        return "refused" if self.refused else "panic" if self.panic else "stuck" if self.stuck else "ran"

    def say(self):
        return {"refused": f"refused: {self.refused}", "panic": f"panic: {self.panic}"}.get(self.outcome(), self.outcome())


class Generated:
    def __init__(self, case, seed):
        self.case = case
        if case.few:
            case.shape.traces = FEW
        self.messages = Maker(f"{seed} {case.name}", case.shape).messages()
        self.by_trace = defaultdict(list)
        for number, (ms, spans, valid) in enumerate(self.messages):
            for s in spans if valid else ():
                self.by_trace[s.trace.rjust(16, b"\0")].append((number, ms, s))

    def write(self, root):
        folder = root / self.case.name
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(self.case.config, sort_keys=False, allow_unicode=True))
        if self.case.alone:
            (folder / "alone").touch()
        with open(folder / "messages", "wb") as f:
            for number, (ms, spans, _) in enumerate(self.messages):
                m = request(spans, self.case.shape.one_resource_each)
                b = descending(m) if number % 2 else m.SerializeToString()
                f.write(struct.pack("<II", ms, len(b)) + b)
            f.write(struct.pack("<II", self.case.end, END))

    def spans(self):
        return sum(len(v) for v in self.by_trace.values())


def generate(case, seed, root):
    shutil.rmtree(root / case.name, ignore_errors=True)
    g = Generated(case, seed)
    g.write(root)
    return g


# --- running ------------------------------------------------------------------------------------------------------------------------

def read(text):
    runs, run = {}, None
    for line in text.splitlines():
        what, _, rest = line.partition(" ")
        if what == "case":
            run = runs[rest] = Run()
        elif what == "span":
            trace, _, span = rest.partition(" ")
            run.spans[bytes.fromhex(trace).rjust(16, b"\0"), bytes.fromhex(span).rjust(8, b"\0")] += 1
        elif what == "invalid":
            run.invalid.add(int(rest.split()[0]))
        elif what in ("refused", "panic"):
            setattr(run, what, rest or "?")
        elif what == "stuck":
            run.stuck = True
    return runs


def play_all(args, root, names):
    env = {**os.environ, "WEIR_BUILD": args.build}
    commands = {m: [f"{args.build}/tests/interop/tail_run", str(root), f"semantics: {m}", *names] for m in ("collector", "strict")}
    commands["go"] = [args.go, str(root), *names]
    out = {}
    for k, c in commands.items():
        r = subprocess.run(c, env=env, stdout=subprocess.PIPE, text=True, timeout=300)
        if r.returncode:
            sys.exit(f"differential: {' '.join(c[:2])} ended with {r.returncode}")
        out[k] = read(r.stdout)
    return out


# --- comparing ----------------------------------------------------------------------------------------------------------------------

def by_trace(run):
    out = defaultdict(Counter)
    for (trace, span), n in run.spans.items():
        out[trace][span] += n if n > 0 else 0
    return out


def sent(generated):
    out = defaultdict(Counter)
    for trace, spans in generated.by_trace.items():
        for _, _, s in spans:
            out[trace][s.id.rjust(8, b"\0")] += 1
    return out


def unlike(generated, go, weir):
    """Traces of which not the same came out. Spans of messages that the Go program could not read do not count."""
    g, w = by_trace(go), by_trace(weir)
    return [t for t in generated.by_trace if g[t] != w[t]]


def invented(generated, run):
    """Spans that came out and did not go in, or came out twice."""
    was, out = sent(generated), by_trace(run)
    unread = {s.trace.rjust(16, b"\0") for _, spans, valid in generated.messages if not valid for s in spans}
    return [t for t in out if t not in unread and out[t] - was[t]]


def can_fail(generated, go):
    """The comparison sees a span less and a span more, and nothing where there is nothing."""
    less, more = Run(), Run()
    less.spans, more.spans = go.spans.copy(), go.spans.copy()
    assert not unlike(generated, go, more) and not invented(generated, go)
    for key in list(go.spans)[:1]:
        less.spans[key] -= 1
        more.spans[key] += 1000
        assert unlike(generated, go, less) == [key[0]] and invented(generated, more) == [key[0]]


class Report:
    def __init__(self, args):
        self.args, self.failed, self.shown, self.written = args, set(), Counter(), written_keys()

    def fail(self, case, text):
        self.failed.add((case.name, self.seed))
        print(f"FAIL {case.name}: {text}\n  again: tests/interop/tail/run.sh BUILD --seed {self.seed} {case.name}")

    def show(self, generated, go, weir, traces, mode):
        g, w = by_trace(go), by_trace(weir)
        config = yaml.safe_dump(generated.case.config, default_flow_style=True, sort_keys=False, width=10**6).strip()
        print(f"  configuration: {config}")
        for t in traces[:SHOWN]:
            spans = generated.by_trace[t]
            print(f"  trace {t.hex()}: of {len(spans)} spans Go kept {g[t].total()}, weir ({mode}) {w[t].total()}")
            for number, ms, s in spans[:12]:
                i = s.id.rjust(8, b"\0")
                print(f"    {ms:5} ms, message {number}: {s.short()}   Go {'kept' if g[t][i] else '-'}, weir {'kept' if w[t][i] else '-'}")
            if len(spans) > 12:
                print(f"    and {len(spans) - 12} more")
            print("    " + self.why(generated.case.name, t, mode))
        if len(traces) > SHOWN:
            print(f"  and {len(traces) - SHOWN} more traces")

    def why(self, name, trace, mode):
        cmd = [f"{self.args.build}/tests/interop/tail_run", "-w", trace.hex(), str(self.root), f"semantics: {mode}", name]
        r = subprocess.run(cmd, env={**os.environ, "WEIR_BUILD": self.args.build}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        said = [x[4:] for x in r.stdout.splitlines() if x.startswith("why ")]
        return "weir says: " + ("; ".join(said) or "nothing of it")

    def may_differ(self, keys, mode):
        """Those of the keys by which this mode may differ from Go."""
        return [k for k in keys if mode == "strict" or self.written.get(k) == BOTH]

    def outcome(self, generated, go, weir, mode):
        """1 when there is nothing further to compare."""
        case = generated.case
        if weir.panic:
            self.fail(case, f"weir ({mode}) died: {weir.panic}")
            return 1
        if case.refused != bool(go.refused):
            self.fail(case, f"the Go processor should {'refuse' if case.refused else 'take'} this configuration. Go: {go.say()}")
            return 1
        if go.outcome() in ("panic", "stuck") or bool(go.refused) != bool(weir.refused):
            keys = self.may_differ(case.keys, mode)
            if keys and (weir.refused or mode == "strict"):
                self.shown.update(keys)
            else:
                self.fail(case, f"Go: {go.say()}; weir ({mode}): {weir.say()}")
            return 1
        return bool(go.refused)

    def totals(self, case, go, weir, mode):
        a, b = go.spans.total(), weir.spans.total()
        if self.args.verbose:
            print(f"  {case.name}: Go kept {a} spans, weir ({mode}) {b}")
        if abs(a - b) <= case.within:
            return
        keys = self.may_differ(case.keys, mode)
        self.shown.update(keys)
        if not keys:
            self.fail(case, f"Go kept {a} spans, weir ({mode}) {b}; they may be {case.within} apart")

    def compare(self, generated, go, weir, mode):
        case = generated.case
        if self.outcome(generated, go, weir, mode):
            return
        if bad := invented(generated, weir):
            self.fail(case, f"weir ({mode}) sent spans of {len(bad)} traces that nobody gave it, or twice")
            self.show(generated, go, weir, bad, mode)
        if case.compare == all_cases.TOTALS:
            return self.totals(case, go, weir, mode)
        g, w = by_trace(go), by_trace(weir)
        bad = [t for t in unlike(generated, go, weir) if not self.explained(generated, t, g[t] - w[t], mode)]
        if bad:
            self.fail(case, f"{len(bad)} of {len(generated.by_trace)} traces differ ({mode}), and no key of {LIST.name} that is stated for the case speaks of them")
            self.show(generated, go, weir, bad, mode)

    def explained(self, generated, trace, fewer, mode):
        """By a key that speaks of this trace."""
        keys = self.may_differ(all_cases.keys_of(generated, trace, fewer), mode)
        self.shown.update(keys)
        return keys


def written_keys():
    """The keys of the list, with what each is written under: differences of `strict`, or of both semantics."""
    keys, under = {}, STRICT
    for line in LIST.read_text().splitlines() if LIST.exists() else ():
        if line.startswith("## "):
            under = BOTH if "both" in line else STRICT
        if m := re.match(r"\| `([a-z0-9-]+)` \|", line):
            keys[m[1]] = under
    return keys


def check_list(report, whole):
    """The written list and what the cases show are the same."""
    for k in sorted(set(report.shown) - set(report.written)):
        print(f"FAIL `{k}` is shown by a case and not written in {LIST.relative_to(REPO)}")
        report.failed.add(k)
    for k in sorted(set(report.written) - set(report.shown) - set(all_cases.ELSEWHERE)) if whole else ():
        print(f"FAIL `{k}` of {LIST.relative_to(REPO)}: no case shows it")
        report.failed.add(k)


def run(args, seed, root, chosen, report):
    """One seed. How many traces and spans there were."""
    report.root, report.seed = root, seed
    with Pool(2) as pool:
        generated = pool.starmap(generate, [(c, seed, root) for c in chosen], chunksize=4)
    out = play_all(args, root, [c.name for c in chosen])
    for g in generated:
        can_fail(g, out["go"][g.case.name])
        for mode in ("collector", "strict"):
            report.compare(g, out["go"][g.case.name], out[mode][g.case.name], mode)
    return sum(len(g.by_trace) for g in generated), sum(g.spans() for g in generated)


def options():
    p = argparse.ArgumentParser()
    p.add_argument("build")
    p.add_argument("go")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--seeds", type=int, default=1, help="so many, from --seed on")
    p.add_argument("--keep", help="the cases stay in this folder")
    p.add_argument("--verbose", action="store_true", help="also the totals that agree")
    p.add_argument("names", nargs="*")
    args = p.parse_intermixed_args()
    args.build = str(Path(args.build).resolve())
    return args


def main():
    args = options()
    chosen = [c for c in all_cases.CASES.values() if not args.names or any(n in c.name for n in args.names)]
    if not chosen:
        sys.exit("differential: no case of that name")
    report, traces, spans = Report(args), 0, 0
    for seed in range(args.seed, args.seed + args.seeds):
        root = Path(args.keep or tempfile.mkdtemp(prefix="weir-tail-"))
        try:
            n = run(args, seed, root, chosen, report)
        finally:
            if not args.keep:
                shutil.rmtree(root)
        traces, spans = traces + n[0], spans + n[1]
    check_list(report, not args.names)
    if args.verbose:
        for k, n in sorted(report.shown.items()):
            print(f"  differs by `{k}`: {n} times")
    print(f"  {len(chosen)} cases, {args.seeds} seeds from {args.seed}, {traces} traces, {spans} spans")
    print(f"check-differential: {len(chosen) * args.seeds - len(report.failed)} cases passed, {len(report.failed)} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())

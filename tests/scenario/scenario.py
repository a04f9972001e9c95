"""Runs one scenario file. Usage: scenario.py BUILD FILE

A file holds `title`, the configuration of one weir (`weir: |`) or of several (`weir: {a: |, b: |}`), and `steps`. {{port.NAME}} is a free
port, {{sink.grpc}} and {{sink.http}} the back end's addresses ({{sink.NAME.grpc}} of a further one), {{dir}} a folder of its own,
{{certs}} one with certificates (tests/tools/certs.sh). `sink_tls: {cert, key, client_ca}` lets the back end speak TLS.
`names: {NAME: [SINK, ...]}` puts further back ends behind one DNS name, {{name.NAME.grpc}}, on the same port of 127.0.0.2 and so on; `{NAME: {SINK: "::1"}}` on that address.
Unless `finish: no`, every scenario ends with the counting laws on each weir that runs, SIGTERM, exit 0 and no sanitizer report.
"""
import os
import random
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time

import yaml

import alerting
import check
import decisions
import drive
import faults
import grafana
import h2spec
import hostile
import names
import peers
import prom
import reload
import series
import sink as sink_module
from weir_process import Failure, Weir, slow_factor

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PLACE = re.compile(r"\{\{([a-z]+)((?:\.\w+)*)\}\}")
FIRST_PORT, LAST_PORT = 12000, 22000  # below the range that the kernel gives to clients


claims = []


def free_port():
    """A port that nobody has, nor another scenario means to have: those that run say so by a name, until they end."""
    for _ in range(200):
        port = random.randrange(FIRST_PORT, LAST_PORT)
        claim = socket.socket(socket.AF_UNIX)
        with socket.socket() as s:
            try:
                claim.bind(f"\0weir-test-port-{port}")
                s.bind(("127.0.0.1", port))
            except OSError:
                claim.close()
                continue
        claims.append(claim)
        return port
    raise Failure("no free port")


class Scenario:
    def __init__(self, build, path):
        self.build, self.path, self.slow = os.path.abspath(build), path, slow_factor(os.path.abspath(build))
        self.folder = tempfile.mkdtemp(prefix="weir-scenario-")
        os.chmod(self.folder, 0o755)  # for a weir that runs as another user
        self.ports, self.sinks, self.weirs, self.background, self.background_errors = {}, {}, {}, {}, []
        self.ledger, self.made, self.compare, self.programs = drive.Ledger(), None, check.compare, {}
        with open(path, encoding="utf-8") as f:
            self.spec = yaml.safe_load(self.fill(f.read()))
        self.open_sinks, self.names, self.hosts, self.proxies = {}, None, {}, {}
        self.verbose = bool(os.environ.get("VERBOSE"))
        self.open_names(self.spec.get("names", {}))

    def open_names(self, behind):
        """Back ends behind a name: one port, an address each."""
        if not behind:
            return
        self.names = names.Names(self.port("dns"))
        for name, sinks in behind.items():
            for number, sink in enumerate(sinks, 2):
                self.hosts[sink] = sinks[sink] if isinstance(sinks, dict) else f"127.0.0.{number}"
                ports = (self.port(f"name.{name}.grpc"), self.port(f"name.{name}.http"))
                self.open_sinks[sink] = sink_module.Sink(*ports, up=False, host=self.hosts[sink])
                self.sinks[sink] = True
        self.step_names(behind)

    # --- what placeholders name
    def port(self, name):
        if name not in self.ports:
            self.ports[name] = free_port()
        return self.ports[name]

    def fill(self, text):
        scheme = "https" if "\nsink_tls:" in text else "http"

        def value(m):
            kind, path = m.group(1), m.group(2).split(".")[1:]
            if kind == "port":
                return str(self.port(".".join(path)))
            if kind == "sink":
                name = path[0] if len(path) > 1 else ""
                self.sinks[name] = True
                port = self.port(f"sink.{name}.{path[-1]}")
                return f"127.0.0.1:{port}" if path[-1] == "grpc" else f"{scheme}://127.0.0.1:{port}"
            if kind == "name":
                return f"dns://127.0.0.1:{self.port('dns')}/{path[0]}.test:{self.port('name.' + '.'.join(path))}"
            if kind == "dir":
                return self.folder
            if kind == "certs":
                return self.certs()
            if kind == "build":
                return self.build
            if kind == "now":
                return str(time.time_ns())
            if kind == "repo":
                return REPOSITORY
            if kind == "python":
                return os.environ["WEIR_PYTHON"]
            raise Failure(f"unknown placeholder {m.group(0)}")

        return PLACE.sub(value, text)

    def certs(self):
        folder = os.path.join(self.folder, "certs")
        subprocess.run([os.path.join(REPOSITORY, "tests/tools/certs.sh"), folder], check=True)
        return folder

    def sink(self, name):
        if name not in self.open_sinks:
            tls = self.spec.get("sink_tls") if name != "reference" else None
            self.open_sinks[name] = sink_module.Sink(self.port(f"sink.{name}.grpc"), self.port(f"sink.{name}.http"), up=False, tls=tls)
        return self.open_sinks[name]

    def reference_sink(self):
        reference = self.sink("reference")
        if not reference.servers:
            reference.up()
        return reference

    def repository_file(self, path):
        with open(os.path.join(REPOSITORY, path), encoding="utf-8") as f:
            return self.fill(f.read())

    def config(self, name):
        """weir: one text, or one per name; weir_file: a file of the repository."""
        if "weir_file" in self.spec:
            return self.repository_file(self.spec["weir_file"])
        text = self.spec["weir"]
        return text if isinstance(text, str) else text[name]

    def weir(self, name):
        name = name or "weir"
        if name not in self.weirs:
            text = self.config(name)
            args = self.spec.get("args", [])
            self.weirs[name] = Weir(self.build, self.folder, name, text, self.port(f"metrics.{name}"), args, self.spec.get("env"))
        return self.weirs[name]

    # --- steps
    def step_start(self, spec):
        spec = spec or {}
        self.weir(spec.get("weir")).start(spec.get("ready", True), under=[str(s) for s in spec.get("under", [])])

    def step_signal(self, spec):
        spec = spec if isinstance(spec, dict) else {"name": spec}
        self.weir(spec.get("weir")).signal(getattr(signal, "SIG" + spec["name"]))

    def step_stop(self, spec):
        spec = spec or {}
        w = self.weir(spec.get("weir"))
        if spec.get("laws", False):
            check.laws(self, w)
        w.stop(spec.get("within", 15), spec.get("exit", 0), told=spec.get("told", False))

    def step_kill(self, spec):
        self.weir((spec or {}).get("weir")).kill()

    def step_kills(self, spec):
        """kill -9 and start again, `times` (or $SCENARIO_KILLS) in all, each after a random time between the two of `after`."""
        w = self.weir(spec.get("weir"))
        for _ in range(int(os.environ.get("SCENARIO_KILLS", spec["times"]))):
            time.sleep(random.uniform(*spec["after"]))
            w.kill()
            w.start()

    def step_names(self, spec):
        """{NAME: [SINK, ...]}: what the name stands for from now on; also addresses where nobody is. null: there is no such name."""
        for name, sinks in spec.items():
            self.names.answers[f"{name}.test"] = None if sinks is None else [self.hosts.get(s, s) for s in sinks]

    def step_sink(self, spec):
        """{up|down|forget: true} or a fault; `name` of a further sink."""
        sink = self.sink(spec.get("name", ""))
        if spec.get("down"):
            sink.down()
        elif spec.get("up"):
            sink.up()
        elif spec.get("forget"):
            sink.store.forget()
        else:
            sink.store.set_fault(spec)

    def step_send(self, spec):
        drive.send(self, spec)

    def step_call(self, spec):
        drive.call(self, spec)

    def step_tcp(self, spec):
        for _ in range(spec.get("times", 1)):
            drive.tcp(self, spec)

    def step_expect(self, spec):
        check.expect(self, spec)

    def step_write(self, spec):
        reload.write(self, spec)

    def step_reload(self, spec):
        reload.reload(self, spec or {})

    def step_laws(self, spec):
        check.laws(self, self.weir((spec or {}).get("weir")))

    def step_join(self, name):
        self.background[name].join(self.spec.get("limit", 40) * self.slow)
        if self.background[name].is_alive():
            raise Failure(f"{name} still sends")
        self.tell_background()

    def step_wait(self, seconds):
        time.sleep(seconds)

    def step_run(self, spec):
        """A command to its end: `args` of weir (or a whole `command`), its exit status, what it prints."""
        command = spec.get("command") or [os.path.join(self.build, "weir"), *map(str, spec["args"])]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=spec.get("within", 10) * self.slow, check=False,
                              stdin=subprocess.DEVNULL, cwd=self.folder, env={**os.environ, **spec.get("env", {})})
        told = f"\n    {' '.join(command)}\n    stdout: {done.stdout[-2000:]}\n    stderr: {done.stderr[-2000:]}"
        if done.returncode != spec.get("exit", 0):
            raise Failure(f"expected exit {spec.get('exit', 0)}, got {done.returncode}{told}")
        for name, text in (("stdout", done.stdout), ("stderr", done.stderr)):
            for part in spec.get(name, []):
                if part not in text:
                    raise Failure(f"{name} does not hold {part!r}{told}")
            if spec.get(name) == [] and text:
                raise Failure(f"{name} must be empty{told}")

    def step_program(self, spec):
        peers.start(self, spec)

    def step_command(self, spec):
        peers.command(self, spec)

    def step_h2spec(self, spec):
        h2spec.run(self, spec)

    def step_damage(self, spec):
        faults.damage(self, spec)

    def step_proxy(self, spec):
        faults.proxy(self, spec)

    def step_hostile(self, spec):
        hostile.run(self, spec)

    def step_series(self, spec):
        series.run(self, spec)

    def step_jaeger(self, spec):
        peers.jaeger(self, spec)

    def step_decisions(self, spec):
        decisions.decisions(self, spec or {})

    def step_loki(self, spec):
        grafana.loki(self, spec)

    def step_tempo(self, spec):
        grafana.tempo(self, spec)

    def step_links(self, spec):
        grafana.links(self, spec)

    def step_scrape(self, spec):
        prom.scrape(self, spec)

    def step_alerts(self, spec):
        alerting.alerts(self, spec)

    def step_pushgateway(self, spec):
        alerting.pushgateway(self, spec)

    def step_prometheus_server(self, spec):
        prom.server(self, spec)

    def step_prometheus(self, spec):
        prom.prometheus(self, spec)

    # --- all of it
    def tell_background(self):
        if self.background_errors:
            raise Failure("in the background: " + self.background_errors[0])

    def write_files(self):
        for name, spec in self.spec.get("files", {}).items():
            path = os.path.join(self.folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            text, mode = (spec, None) if isinstance(spec, str) else (spec.get("text", ""), spec.get("mode"))
            if isinstance(spec, dict) and "from" in spec:
                text = self.repository_file(spec["from"])
            for old, new in spec.get("replace", {}).items() if isinstance(spec, dict) else []:
                if old not in text:
                    raise Failure(f"files: {name} has no {old!r} to replace")
                text = text.replace(old, new)
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
            if isinstance(spec, dict) and "copy" in spec:
                shutil.copy(spec["copy"], path)
            if mode is not None:
                os.chmod(path, stat.S_IMODE(int(str(mode), 8)))

    def run(self):
        self.write_files()
        for name in list(self.sinks):
            if name not in self.spec.get("sinks_down", []):
                self.sink(name).up()
        for number, step in enumerate(self.spec["steps"], 1):
            kind, spec = (step, None) if isinstance(step, str) else next(iter(step.items()))
            try:
                getattr(self, f"step_{kind}")(spec)
            except Failure as e:
                raise Failure(f"step {number} ({kind}): {e}") from None
        for name in list(self.background):
            self.step_join(name)
        if self.spec.get("finish", True):
            self.finish()

    def finish(self):
        for w in self.weirs.values():
            if w.running():
                check.laws(self, w)
        for w in self.weirs.values():
            if not w.ended_well:
                w.stop()

    def close(self, failed):
        for w in self.weirs.values():
            if w.running():
                w.kill()
            if failed and w.process:
                print(f"--- stderr of {w.name} (last lines)\n{w.stderr()[-3000:]}")
        for name, process in self.programs.items():
            peers.stop(process)
            if failed:
                print(f"--- output of {name} (last lines)\n{peers.output(self, name)[-2000:]}")
        for s in self.open_sinks.values():
            if s.servers:
                s.down()
        for p in self.proxies.values():
            p.close()
        if self.names:
            self.names.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def main():
    build, path = sys.argv[1:3]
    scenario, failed = Scenario(build, path), True
    try:
        scenario.run()
        failed = False
    except Failure as e:
        print(e)
    finally:
        scenario.close(failed)
    sys.stdout.flush()
    os._exit(1 if failed else 0)  # threads of clients may still wait for an answer


if __name__ == "__main__":
    main()

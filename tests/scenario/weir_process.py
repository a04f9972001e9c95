"""One weir process: started with a configuration, watched, ended by pid, its metrics page read."""
import http.client
import os
import re
import signal
import subprocess
import time

READY = "Everything is ready. Begin running and processing data."
SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehaviorSanitizer|runtime error:")


class Failure(Exception):
    """What a test found wrong."""


def slow_factor(build):
    """Sanitizers cost time: every time limit of a scenario is multiplied by this."""
    name = os.path.basename(build)
    return 8 if "thread" in name else 4 if "address" in name else 1


class Weir:
    def __init__(self, build, folder, name, config, metrics_port, args=(), env=None):
        self.build, self.folder, self.name, self.port = build, folder, name, metrics_port
        self.config = os.path.join(folder, f"{name}.yaml")
        self.own = os.path.join(folder, f"{name}.own.yaml")
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(config)
        with open(self.own, "w", encoding="utf-8") as f:
            f.write("service: {telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: "
                    f"{{host: 127.0.0.1, port: {metrics_port}}}}}}}}}]}}}}}}\n")
        self.out_path, self.err_path = (os.path.join(folder, f"{name}.{s}") for s in ("stdout", "stderr"))
        self.args, self.env, self.process = list(args), dict(env or {}), None
        self.ended_well = False  # as the scenario wanted it

    def start(self, ready=True, within=10, under=()):
        """under: a command that runs the program in its place, such as prlimit or setpriv."""
        command = [*under, os.path.join(self.build, "weir"), "--config", self.config, "--config", self.own, *self.args]
        with open(self.out_path, "ab") as out, open(self.err_path, "ab") as err:
            self.ended_well = False
            self.began = os.path.getsize(self.err_path)
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env={**os.environ, **self.env})
        if not ready:
            return
        end = time.monotonic() + within * slow_factor(self.build)
        while READY not in self.stderr()[self.began:]:
            if self.process.poll() is not None:
                raise Failure(f"weir {self.name} ended with {self.process.returncode} before it was ready:\n{self.stderr()[-2000:]}")
            if time.monotonic() > end:
                raise Failure(f"weir {self.name} is not ready after {within} s:\n{self.stderr()[-2000:]}")
            time.sleep(0.01)

    def stderr(self):
        with open(self.err_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def stdout(self):
        with open(self.out_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def output(self):
        return self.stdout() + self.stderr()

    def running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        if self.running():
            self.process.send_signal(number)

    def wait(self, within):
        """Exit status; Failure when it is still running."""
        try:
            return self.process.wait(within * slow_factor(self.build))
        except subprocess.TimeoutExpired:
            raise Failure(f"weir {self.name} still runs {within} s after it was told to stop:\n{self.stderr()[-2000:]}") from None

    def stop(self, within=15, exit=0, told=False):
        """told: it has had its SIGTERM."""
        if self.process is None:
            return
        if not self.running() and exit == 0 and self.process.returncode != 0:
            raise Failure(f"weir {self.name} died with {self.process.returncode}:\n{self.stderr()[-4000:]}")
        if not told:
            self.signal(signal.SIGTERM)
        status = self.wait(within)
        if status != exit:
            raise Failure(f"weir {self.name}: exit {status} after SIGTERM, expected {exit}:\n{self.stderr()[-4000:]}")
        self.ended_well = True
        self.check_sanitizers()

    def kill(self):
        self.ended_well = True
        self.signal(signal.SIGKILL)
        self.process.wait(10)

    def check_sanitizers(self):
        report = SANITIZER.search(self.stderr())
        if report:
            raise Failure(f"weir {self.name}: sanitizer report:\n{self.stderr()[max(0, report.start() - 200):][:6000]}")

    def status(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return {name: value.strip() for name, value in (line.split(":", 1) for line in f)}

    def memory_mib(self, which="VmRSS"):
        return int(self.status()[which].split()[0]) / 1024

    def memory_peak_mib(self):
        return self.memory_mib("VmHWM")

    def forget_memory_peak(self):
        """From here on the peak is counted anew."""
        with open(f"/proc/{self.process.pid}/clear_refs", "w", encoding="ascii") as f:
            f.write("5")

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as f:
            user, system = f.read().rsplit(")", 1)[1].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def metrics(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5 * slow_factor(self.build))
        try:
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status != 200:
            raise Failure(f"metrics page of {self.name}: {answer.status}\n{text[:500]}")
        return parse_metrics(text)


LINE = re.compile(r'^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')


def parse_metrics(text):
    """[(name, labels, value)] of a Prometheus text page."""
    out = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            m = LINE.match(line)
            if not m:
                raise Failure(f"metrics page: can not read: {line}")
            out.append((m.group(1), dict(LABEL.findall(m.group(2) or "")), float(m.group(3))))
    return out


def metric_sum(page, selector):
    """Sum of the samples that `name{label="value",...}` selects; None when there is none."""
    m = re.match(r"^([\w:]+)(?:\{(.*)\})?$", selector)
    wanted = dict(LABEL.findall(m.group(2) or ""))
    found = [v for name, labels, v in page if name == m.group(1) and all(labels.get(k) == w for k, w in wanted.items())]
    return sum(found) if found else None

"""The step `h2spec`: the conformance suite of HTTP/2 against a port of weir."""
import contextlib
import re
import select
import socket
import threading

import peers
from weir_process import Failure

QUIET = 0.025  # seconds


class Relay:
    """TCP in between, which hands on what the client writes as soon as the client is quiet.

    h2spec writes the frames of a case one by one and expects the error of the last. Its requests lack what OTLP demands, so weir answers them by
    their headers alone and ends the stream; frames that come later are to be ignored there (RFC 9113 section 5.1). Arriving together they are judged
    before the answer goes out, so that a case does not depend on who is faster.
    """

    def __init__(self, to):
        self.to, self.listener = to, socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self.listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                weir = socket.create_connection(("127.0.0.1", self.to), 5)
                weir.settimeout(None)
                threading.Thread(target=hand_on, args=(client, weir, QUIET), daemon=True).start()
                threading.Thread(target=hand_on, args=(weir, client, 0), daemon=True).start()

    def close(self):
        self.listener.close()


def hand_on(source, to, quiet):
    with contextlib.suppress(OSError):
        data = source.recv(65536)
        while data:
            while quiet and select.select([source], [], [], quiet)[0]:
                more = source.recv(65536)
                if not more:
                    break
                data += more
            to.sendall(data)
            data = source.recv(65536)
    with contextlib.suppress(OSError):
        to.shutdown(socket.SHUT_WR)


def run(scenario, spec):
    """{port, path, cases: how many there are, options: [...], fails: {title: reason}}: all pass but those named, and these do fail."""
    relay = Relay(spec["port"])
    try:
        out = peers.command(scenario, {"run": ["h2spec", *spec.get("options", []), "-h", "127.0.0.1", "-p", relay.port, "-P", spec["path"], "--timeout", 1],
                                       "within": 50})
    finally:
        relay.close()
    judge(spec.get("fails", {}), spec["cases"], out)


def judge(fails, cases, out):
    counts = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", out)
    if not counts or int(counts.group(1)) != cases or int(counts.group(3)):
        raise Failure(f"h2spec did not run its {cases} cases:\n{out[-6000:]}")
    told = out.split("Failures:")[1] if "Failures:" in out else ""
    failed = re.findall(r"^\s+× \d+: (.*\S)", told, re.MULTILINE)
    if len(failed) != int(counts.group(4)):
        raise Failure(f"h2spec: can not read which cases failed:\n{out[-6000:]}")
    if sorted(failed) != sorted(fails):
        raise Failure(f"h2spec: {counts.group(0)}\n  unexpected: {sorted(set(failed) - set(fails))}\n"
                      f"  named in the scenario, but passed: {sorted(set(fails) - set(failed))}\n{told[-6000:]}")

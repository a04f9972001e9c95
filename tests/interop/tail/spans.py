"""Spans for the differential test of tail_sampling: traces made by a seed, and requests made of them, in either order of fields."""
import random
from dataclasses import dataclass, field

from google.protobuf.descriptor import FieldDescriptor
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

MS = 1_000_000  # ns
BASE = 1_700_000_000_000 * MS  # Unix time at which the traces begin


@dataclass
class Span:
    trace: bytes
    id: bytes
    parent: bytes = b""
    name: str = "op"
    kind: int = 1
    start: int = BASE
    end: int = BASE + MS
    attrs: list = field(default_factory=list)  # (key, value)
    events: list = field(default_factory=list)  # (name, attrs)
    status: int | None = None
    tracestate: str = ""
    flags: int = 0
    resource: tuple = ()  # of (key, value)
    scope: str = "lib"

    def short(self):
        """One line for people; only what is not usual."""
        said = [f"{self.id.hex() or '-'} {'root' if not self.parent else 'child'} {moment(self.start)}..{moment(self.end)}"]
        said += [f"status={self.status}"] if self.status is not None else []
        said += [f"{k}={v!r}" if len(str(v)) < 40 else f"{k}={str(v)[:20]!r}...({len(v)})" for k, v in self.attrs]
        said += [f"event {n}{dict(a) if a else ''}" for n, a in self.events]
        said += [f"tracestate={self.tracestate[:60]!r}"] if self.tracestate else []
        said += [f"flags={self.flags:#x}"] if self.flags else []
        return " ".join(said) + f" of {dict(self.resource)}"


def moment(ns):
    return "0" if ns == 0 else f"{(ns - BASE) / MS:g}ms"


# --- what spans are made of: usual values, the edges of the policies in cases.py, and values of another kind -------------------

USERS = ["alice", "alice", "bob", "carol-17", "carol-x", "", "ALICE", "älice", "x" * 300, 5, 75.0, True, b"alice", ["alice"]]
CODES = [50, 49, 75, 100, 101, 0, 1, -5, 200, 500, 2**62, -(2**63), 75.0, "75", "", True, [75], None]
FLAGS = [True, True, False, False, "true", "", 1, 0, 1.0]
STATES = ["", "vendor=a", "vendor=b", "other=1,vendor=a", "ot=th:8", "ot=rv:ffffffffffffff", "ot=th:8;rv:00000000000001,vendor=a", "vendor=a,vendor=b",
          "no-equals", "UPPER=a", "vendor = a", " vendor=a ", "vendor=", "=a", "vendor=a,,other=2", "1st=x,vendor=a", "t1@sys=x,vendor=b", ",", "vendor=\x7f", "ot=th:zz",
          ",".join(f"k{i}=v" for i in range(33)), "vendor=" + "v" * 257]
STATUSES = [None, None, None, 0, 1, 2, 2]
SPANFLAGS = [0, 0, 1, 0x101, 0x301, 0x100, 2]
DURATIONS = [1, 20, 120, 499, 500, 501, 900, 1999, 2000, 2001, 4000]  # ms


@dataclass
class Shape:
    """How traces and messages look."""

    traces: int = 250
    mean: float = 4  # spans of a trace
    size: int = 0  # so many exactly
    odd: float = 0.25  # share of values that are rare or of another kind
    whole: float = 0.4  # share of traces that come in one message
    zero: float = 0.0  # share of spans with a time that is not set
    states: float = 0.15  # share of spans with a tracestate
    late: float = 0.0  # share of traces to which spans are added after the decision
    late_only: float = 0.0  # share of traces that come late as a whole
    rootless: float = 0.3
    twins: float = 0.0  # share of traces whose id ends as the one before it
    ids: bool = False  # ids that are empty, or twice in a trace; messages with ids of a wrong length
    times: tuple = tuple(range(100, 651, 50))  # ms at which messages are sent
    late_times: tuple = (2400, 2500, 2600)
    one_resource_each: bool = False  # a ResourceSpans for each trace
    large: float = 0.0  # share of traces with one long attribute


class Maker:
    def __init__(self, seed, shape):
        self.r, self.shape = random.Random(seed), shape

    def pick(self, usual, all_of):
        return self.r.choice(all_of if self.r.random() < self.shape.odd else usual)

    def chance(self, p):
        return self.r.random() < p

    def resource(self):
        attrs = [("service.name", f"svc-{self.r.randrange(6)}")]
        if self.chance(0.15):
            attrs.append(("tenant", self.pick(["t1", "t2"], ["t1", "", 7])))
        if self.chance(0.05):
            attrs.append(("user", self.pick(["alice", "dave"], USERS)))
        if self.chance(0.05):
            attrs.append(("code", self.pick([75, 300], CODES)))
        if self.chance(0.05):
            attrs.append(("flag", self.pick([True, False], FLAGS)))
        return tuple(attrs)

    def times(self, at):
        start = BASE + at * MS + self.r.randrange(MS)
        end = start + self.pick(DURATIONS[:3], DURATIONS) * MS + self.r.choice([0, 0, MS // 2])
        if self.chance(self.shape.zero):
            return self.r.choice([(0, end), (start, 0), (0, 0), (end, start)])
        return start, end

    def attrs(self):
        attrs = [("i", self.r.randrange(1000))]
        for key, share, usual, every in (("user", 0.12, ["alice", "bob", "carol-17"], USERS), ("code", 0.15, [20, 75, 200], CODES), ("flag", 0.1, [True, False], FLAGS)):
            while self.chance(share):  # now and then the same key twice
                attrs.append((key, self.pick(usual, every)))
                share = 0.05
        self.r.shuffle(attrs)
        return attrs

    def events(self):
        n = self.r.choice([0, 0, 0, 1, 2])
        return [(self.r.choice(["exception", "log", "message"]), [("level", self.r.choice(["high", "low", 3]))] if self.chance(0.5) else []) for _ in range(n)]

    def span(self, trace, parent, resource):
        start, end = self.times(self.r.choice([0, 0, 5, 50, 400]))
        return Span(trace, self.r.randbytes(8), parent, f"op-{self.r.randrange(5)}", self.r.randrange(0, 6), start, end, self.attrs(), self.events(),
                    self.pick([None, None, 1], STATUSES), self.r.choice(STATES) if self.chance(self.shape.states) else "",
                    self.pick([0], SPANFLAGS), resource, self.r.choice(["lib", "lib", "lib2", ""]))

    def trace(self, trace_id):
        s = self.shape
        n = s.size or min(60, 1 + int(self.r.expovariate(1 / (s.mean - 0.5))))
        resources = [self.resource() for _ in range(self.r.choice([1, 1, 2, 3]))]
        root = b"" if not self.chance(s.rootless) else self.r.randbytes(8)
        spans = [self.span(trace_id, root, self.r.choice(resources))]
        for _ in range(n - 1):
            parent = b"" if self.chance(0.02) else self.r.choice(spans).id
            spans.append(self.span(trace_id, parent, self.r.choice(resources)))
        if self.chance(s.large):
            spans[0].attrs.append(("text", "y" * self.r.choice([500, 40000])))
        if s.ids and self.chance(0.1):
            spans[-1].id = self.r.choice([b"", spans[0].id])
        return spans

    def trace_id(self, before):
        if before and self.chance(self.shape.twins):
            return self.r.randbytes(8) + before[8:]
        return self.r.randbytes(16)

    def messages(self):
        """A list of (ms, spans in their order, valid)."""
        s, at, before = self.shape, {}, b""
        for i in range(s.traces):
            before = self.trace_id(before)
            spans = self.trace(b"" if s.ids and i == 7 else before)
            if self.chance(s.late_only):
                self.scatter(at, spans, s.late_times)
                continue
            self.scatter(at, spans, s.times)
            if self.chance(s.late):
                root = spans[0].id
                self.scatter(at, [self.span(spans[0].trace, root if self.chance(0.7) else b"", spans[0].resource) for _ in range(self.r.choice([1, 1, 3]))], s.late_times)
        for spans in at.values():
            self.r.shuffle(spans) if self.chance(0.5) else None
        out = [(ms, at[ms], True) for ms in sorted(at)]
        if s.ids:
            out += [(s.times[2] + k, self.wrong(k), False) for k in range(4)]
        return sorted(out, key=lambda m: m[0])

    def scatter(self, at, spans, times):
        if self.chance(self.shape.whole):
            at.setdefault(self.r.choice(times), []).extend(spans)
            return
        for span in spans:
            at.setdefault(self.r.choice(times), []).append(span)

    def wrong(self, k):
        span = self.span(self.r.randbytes(16), b"", self.resource())
        if k == 0:
            span.trace = span.trace[:8]
        elif k == 1:
            span.id = span.id[:4]
        elif k == 2:
            span.parent = span.trace
        else:
            span.trace = b"\1"
        return [span]


# --- requests ---------------------------------------------------------------------------------------------------------------------

def put_value(to, v):
    if isinstance(v, bool):
        to.bool_value = v
    elif isinstance(v, int):
        to.int_value = v
    elif isinstance(v, float):
        to.double_value = v
    elif isinstance(v, bytes):
        to.bytes_value = v
    elif isinstance(v, str):
        to.string_value = v
    elif isinstance(v, list):
        to.array_value.SetInParent()
        for x in v:
            put_value(to.array_value.values.add(), x)


def put_attrs(to, attrs):
    for k, v in attrs:
        a = to.add()
        a.key = k
        a.value.SetInParent()
        put_value(a.value, v)


def put_span(to, s):
    to.trace_id, to.span_id, to.parent_span_id, to.name, to.kind = s.trace, s.id, s.parent, s.name, s.kind
    to.start_time_unix_nano, to.end_time_unix_nano, to.trace_state, to.flags = s.start, s.end, s.tracestate, s.flags
    put_attrs(to.attributes, s.attrs)
    for name, attrs in s.events:
        e = to.events.add()
        e.name, e.time_unix_nano = name, s.start
        put_attrs(e.attributes, attrs)
    if s.status is not None:
        to.status.code = s.status
        to.status.SetInParent()


def request(spans, apart=False):
    """Neighbours of one resource and scope stand together, in the order given; `apart`: and of one trace."""
    out, last = ExportTraceServiceRequest(), None
    for s in spans:
        here = (repr(s.resource), s.trace if apart else None)  # 1 == True
        if last is None or last[0] != here:
            rs = out.resource_spans.add()
            put_attrs(rs.resource.attributes, s.resource)
            last = (here, None)
        if last[1] != s.scope:
            ss = rs.scope_spans.add()
            ss.scope.name = s.scope
            last = (here, s.scope)
        put_span(ss.spans.add(), s)
    return out


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def descending(m):
    """The message with the fields of each level from the highest number down, as some SDKs write; elements of a field stay in order."""
    out = b""
    for f, v in reversed(m.ListFields()):
        if f.type == FieldDescriptor.TYPE_MESSAGE:
            for x in v if f.is_repeated else [v]:
                b = descending(x)
                out += varint(f.number << 3 | 2) + varint(len(b)) + b
        else:
            only = type(m)()
            getattr(only, f.name).extend(v) if f.is_repeated else setattr(only, f.name, v)
            out += only.SerializeToString()
    return out

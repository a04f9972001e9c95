"""Steps that do something to weir: `send` (OTLP made to measure, or an official SDK), `call` (one request), `tcp` (raw bytes)."""
import http.client
import json
import os
import socket
import subprocess
import threading
import time
import urllib.parse

import grpc
from google.protobuf import json_format
from google.protobuf import message as protobuf_message
from google.rpc import error_details_pb2, status_pb2

import check
import items
import otlp_json
import packing
import payload
from weir_process import Failure

RETRYABLE = {"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"}
HTTP_RETRYABLE = {429, 502, 503, 504}
CLIENTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "clients")


class Answer:
    """What a request came to. kind: ok | retry | refused | lost (no answer, so nobody knows)."""

    def __init__(self, kind, text, delay=None, status=None, headers=None, body=b"", code=None):
        self.kind, self.text, self.delay, self.status = kind, text, delay, status
        self.headers, self.body, self.code = headers or {}, body, code


def details(error):
    """google.rpc.Status of a failed call; an empty one when it carries none."""
    status = status_pb2.Status()
    for k, v in error.trailing_metadata() or ():
        if k == "grpc-status-details-bin":
            status.ParseFromString(v)
    return status


def retry_delay(status):
    for d in status.details:
        info = error_details_pb2.RetryInfo()
        if d.Is(info.DESCRIPTOR):
            d.Unpack(info)
            return info.retry_delay.seconds + info.retry_delay.nanos / 1e9
    return None


class GrpcClient:
    def __init__(self, port, compression="none"):
        kind = grpc.Compression.Gzip if compression == "gzip" else grpc.Compression.NoCompression
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", compression=kind, options=[("grpc.use_local_subchannel_pool", 1),
                                             ("grpc.max_send_message_length", -1), ("grpc.initial_reconnect_backoff_ms", 100),
                                             ("grpc.max_reconnect_backoff_ms", 500)])

    def call(self, method, body, timeout=10, metadata=None):
        try:
            body, call = self.channel.unary_unary(method).with_call(body, timeout=timeout, metadata=metadata)
            return Answer("ok", "OK", body=body, headers=dict(call.trailing_metadata() or ()), code="OK")
        except grpc.RpcError as e:
            name, status = e.code().name, details(e)
            delay = retry_delay(status)
            kind = "retry" if name in RETRYABLE or (name == "RESOURCE_EXHAUSTED" and delay is not None) else "refused"
            return Answer(kind, f"{name}: {e.details()}", delay, status, dict(e.trailing_metadata() or ()), code=name)

    def export(self, signal, body, timeout, metadata=None):
        return self.call(items.METHOD[signal], body, timeout, list((metadata or {}).items()) or None)

    def close(self):
        self.channel.close()


class HttpClient:
    def __init__(self, port, compression="none", encoding="proto"):
        self.port, self.compression, self.encoding, self.connection = port, compression, encoding, None

    def request(self, method, path, body, headers, timeout=10):
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
            self.connection.request(method, path, body, headers)
            answer = self.connection.getresponse()
            data = answer.read()
            if answer.will_close:
                self.close()
        except (OSError, http.client.HTTPException) as e:
            self.close()
            return Answer("lost", f"{type(e).__name__}: {e}", code=0)
        got = {k.lower(): v for k, v in answer.getheaders()}
        kind = "ok" if answer.status == 200 else "retry" if answer.status in HTTP_RETRYABLE else "refused"
        delay = float(got["retry-after"]) if got.get("retry-after", "").isdigit() else None
        return Answer(kind, f"{answer.status}: {data[:300]!r}", delay, http_status(got, data), got, data, answer.status)

    def export(self, signal, body, timeout, metadata=None):
        headers = {"Content-Type": "application/x-protobuf", **(metadata or {})}
        if self.encoding == "json":
            body, headers["Content-Type"] = otlp_json.dump(items.parse(signal, body)), "application/json; charset=utf-8"
        if self.compression != "none":
            body, headers["Content-Encoding"] = packing.pack(self.compression, body), self.compression
        return self.request("POST", f"/v1/{signal}", body, headers, timeout)

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None


def http_status(headers, data):
    status = status_pb2.Status()
    if headers.get("content-type", "").startswith("application/x-protobuf"):
        try:
            status.ParseFromString(data)
        except protobuf_message.DecodeError:
            pass
    elif headers.get("content-type") == "application/json" and "message" in data.decode(errors="replace"):
        try:
            json_format.Parse(data, status)
        except json_format.ParseError as e:
            status.message = f"not a Status: {e}"
    return status


# --- send ------------------------------------------------------------------------------------------

def send(scenario, spec):
    if "sdk" in spec:
        return send_sdk(scenario, spec)
    if "background" in spec:
        thread = threading.Thread(target=guarded, args=(scenario, send_generated, scenario, spec), daemon=True)
        scenario.background[spec["background"]] = thread
        thread.start()
        return None
    return send_generated(scenario, spec)


def guarded(scenario, fn, *args):
    try:
        fn(*args)
    except Exception as e:  # told when the scenario joins or ends
        scenario.background_errors.append(str(e))


def send_generated(scenario, spec):
    """requests x items from each of `clients` connections; `seconds` instead of requests sends as long, `until` (as in expect) until that holds."""
    clients = int(spec.get("clients", 1))
    threads, errors = [], []
    for _ in range(clients):
        t = threading.Thread(target=send_client, args=(scenario, spec, errors), daemon=True)
        t.start()
        threads.append(t)
    for t in threads:
        t.join()
    if errors:
        raise Failure("send: " + errors[0])


def send_client(scenario, spec, errors):
    via, signal = spec.get("via", "grpc"), spec.get("signal", "traces")
    to = (spec.get("port") or scenario.port(via), spec.get("compression", "none"))
    client = GrpcClient(*to) if via == "grpc" else HttpClient(*to, spec.get("encoding", "proto"))
    deadline = time.monotonic() + spec.get("within", 30) * scenario.slow
    end = time.monotonic() + spec["seconds"] if "seconds" in spec else None
    left = spec.get("requests", 1 if end is None and "until" not in spec else 10**9)
    try:
        while left > 0 and (end is None or time.monotonic() < end):
            left -= 1
            request = payload.message(signal, spec.get("items", 1), spec.get("pad", 0), spec.get("service", "generated"), trace=spec.get("trace"))
            send_one(scenario, spec, client, signal, request, deadline)
            if "until" in spec and is_reached(scenario, spec["until"], deadline):
                return
    except Exception as e:
        errors.append(f"{type(e).__name__}: {e}")
    finally:
        client.close()


def is_reached(scenario, wanted, deadline):
    wrong = check.holds(scenario, wanted)
    if wrong and time.monotonic() > deadline:
        raise Failure(f"sent all the time, but {wrong}")
    return wrong is None


def send_one(scenario, spec, client, signal, request, deadline):
    body, want = request.SerializeToString(), spec.get("expect", "ok")
    scenario.ledger.sent(signal, request)
    while True:
        began = time.monotonic()
        answer = client.export(signal, body, spec.get("timeout", 10) * scenario.slow, spec.get("metadata"))
        took = time.monotonic() - began
        scenario.ledger.answered(signal, request, answer, took)
        if "each_within" in spec and took > spec["each_within"] * scenario.slow:
            raise Failure(f"an answer took {took:.3f} s, expected at most {spec['each_within']} s")
        if answer.kind in ("retry", "lost") and spec.get("retry"):
            if time.monotonic() > deadline:
                raise Failure(f"still not accepted: {answer.text}")
            time.sleep(min(answer.delay if answer.delay is not None else 0.05, 0.5))
            continue
        if want != "any" and answer.kind != want:
            raise Failure(f"expected {want}, got {answer.text}")
        return


class Ledger:
    """What generated requests were sent, and what became of each."""

    def __init__(self):
        self.lock = threading.Lock()
        self.requests = {signal: [] for signal in items.REQUEST}
        self.acked = {signal: [] for signal in items.REQUEST}
        self.answers = {"ok": 0, "retry": 0, "refused": 0, "lost": 0}
        self.hints, self.retry_texts, self.slowest = 0, set(), 0.0

    def sent(self, signal, request):
        with self.lock:
            self.requests[signal].append(request)

    def answered(self, signal, request, answer, took):
        with self.lock:
            self.answers[answer.kind] += 1
            self.slowest = max(self.slowest, took)
            if answer.kind == "ok":
                self.acked[signal].append(request)
            if answer.kind == "retry":
                self.hints += answer.delay is not None
                self.retry_texts.add(answer.text)

    def collect(self, which, signal):
        with self.lock:
            some = list((self.requests if which == "sent" else self.acked)[signal])
        return items.collect(signal, some)


def send_sdk(scenario, spec):
    """An application with the official SDK: python, js or go. What it really sent goes to the reference sink as well."""
    via = spec.get("via", "grpc")
    reference = scenario.reference_sink()
    flags = ["--transport", via, "--endpoint", f"127.0.0.1:{spec.get('port') or scenario.port(via)}",
             "--reference", f"127.0.0.1:{reference.grpc_port if via == 'grpc' else reference.http_port}",
             "--compression", spec.get("compression", "none"), "--signals", ",".join(spec.get("signals", items.REQUEST)),
             "--count", str(spec.get("count", 100)), *(["--json"] if spec.get("encoding") == "json" else [])]
    for name, path in spec.get("tls", {}).items():  # ca, cert, key; Python alone
        flags += [f"--{name}", path]
    program = {
        "python": [os.environ["WEIR_PYTHON"], os.path.join(CLIENTS, "sdk_client.py")],
        "js": [os.environ["WEIR_NODE"], os.path.join(CLIENTS, "sdk_client.js")],
        "go": [os.environ.get("WEIR_GO_CLIENT", "goclient")],
    }[spec["sdk"]]
    env = {k: v for k, v in os.environ.items() if k not in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")}  # they win over what the SDK is told
    if "metadata" in spec:
        env["OTEL_EXPORTER_OTLP_HEADERS"] = ",".join(f"{k}={urllib.parse.quote(v)}" for k, v in spec["metadata"].items())
    done = subprocess.run(program + flags, capture_output=True, text=True, timeout=40 * scenario.slow, check=False, env=env)
    if spec.get("expect") == "refused":
        if done.returncode == 0:
            raise Failure(f"{spec['sdk']} SDK: nothing was refused\n{done.stdout[-1500:]}")
        return
    if done.returncode != 0:
        raise Failure(f"{spec['sdk']} SDK: exit {done.returncode}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}")
    scenario.made = json.loads(done.stdout.splitlines()[-1])["made"]


# --- one request -------------------------------------------------------------------------------------

def call(scenario, spec):
    """One request and what its answer must be."""
    timeout = spec.get("within", 10) * scenario.slow
    times = spec.get("times", 1)
    for _ in range(times):
        if "grpc" in spec:
            answer = call_grpc(scenario, spec["grpc"], timeout)
        else:
            answer = call_http(scenario, spec["http"], timeout)
        check_answer(scenario, spec, answer)
        if "json" in spec:  # the body is OTLP/JSON of this signal: what Google's parser reads of it was sent
            request = otlp_json.parse(spec["json"], payload.body(spec["http"]["body"]))
            scenario.ledger.sent(spec["json"], request)
            scenario.ledger.answered(spec["json"], request, answer, 0)


def call_grpc(scenario, request, timeout):
    client = GrpcClient(request.get("port") or scenario.port("grpc"), request.get("compression", "none"))
    method = request.get("method") or items.METHOD[request.get("signal", "traces")]
    metadata = [(k, v * request.get("metadata_times", 1)) for k, v in request.get("metadata", {}).items()] * request.get("metadata_lines", 1)
    try:
        return client.call(method, payload.body(request.get("body", "")), min(timeout, request.get("deadline", timeout)), metadata or None)
    finally:
        client.close()


def call_http(scenario, request, timeout):
    client = HttpClient(request.get("port") or scenario.port("http"))
    headers = {k: str(v) for k, v in request.get("headers", {}).items()}
    method, path = request.get("method", "POST" if "body" in request else "GET"), request.get("path", "/v1/traces")
    body = payload.body(request["body"]) if "body" in request else None
    if body is not None and not any(k.lower() == "content-type" for k in headers):
        headers["Content-Type"] = "application/x-protobuf"
    try:
        return client.request(method, path, body, headers, timeout)
    finally:
        client.close()


def check_answer(scenario, spec, answer):
    def wrong(what):
        raise Failure(f"{what}\n    answer: {answer.text}\n    headers: {answer.headers}\n    status: {answer.status}")

    if "answer" in spec and answer.code != spec["answer"]:
        wrong(f"expected {spec['answer']}, got {answer.code}")
    for k, v in spec.get("headers", {}).items():
        if answer.headers.get(k.lower()) != (None if v is None else str(v)):
            wrong(f"header {k}: expected {v!r}, got {answer.headers.get(k.lower())!r}")
    for text in spec.get("body", []):
        if text not in answer.body.decode(errors="replace"):
            wrong(f"the body does not hold {text!r}")
    message = answer.status.message if answer.status is not None and answer.status.message else answer.text
    for text in spec.get("message", []):
        if text not in message:
            wrong(f"the message does not hold {text!r}")
    if "retry_after" in spec and not scenario.compare(answer.delay, spec["retry_after"]):
        wrong(f"RetryInfo / Retry-After: expected {spec['retry_after']}, got {answer.delay}")
    if "response" in spec:  # signal whose empty success response the body must be
        response = items.RESPONSE[spec["response"]]()
        if answer.headers.get("content-type") == "application/json":
            json_format.Parse(answer.body, response)
        else:
            response.ParseFromString(answer.body)
        if response.HasField("partial_success"):
            wrong("full success must not carry partial_success")


# --- raw bytes ------------------------------------------------------------------------------------------

def tcp(scenario, spec):
    """Writes bytes and says what must come back: `reply` texts, and whether the peer closes within `closes_within` seconds."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", spec.get("port") or scenario.port("http")), timeout=10) as s:
        for part in spec["write"]:
            try:
                write_part(s, part)
            except OSError:
                break  # refused before everything was written: what came back decides
        if spec.get("leave"):
            return
        got, closed = read_reply(s, spec, time.monotonic() + spec.get("closes_within", spec.get("within", 5)) * scenario.slow)
    for text in spec.get("reply", []):
        if text.encode() not in got:
            raise Failure(f"tcp: the reply does not hold {text!r}: {got[:500]!r}")
    if "closes_within" in spec and not closed:
        raise Failure(f"tcp: still open after {time.monotonic() - began:.1f} s; reply: {got[:500]!r}")
    if "not_before" in spec and time.monotonic() - began < spec["not_before"]:
        raise Failure(f"tcp: closed after {time.monotonic() - began:.1f} s, expected not before {spec['not_before']} s")


def write_part(s, part):
    if isinstance(part, str):
        s.sendall(part.replace("\r\n", "\n").replace("\n", "\r\n").encode())
    elif "repeat" in part:
        chunk = part["repeat"].replace("\n", "\r\n").encode()
        for _ in range(part["times"]):
            s.sendall(chunk)
    elif "wait" in part:
        time.sleep(part["wait"])
    elif "drip" in part:  # one byte at a time
        for byte in part["drip"].replace("\n", "\r\n").encode():
            s.sendall(bytes([byte]))
            time.sleep(part["every"])
    else:
        s.sendall(payload.body(part))


def read_reply(s, spec, end):
    got = b""
    while time.monotonic() < end:
        s.settimeout(max(0.05, end - time.monotonic()))
        try:
            data = s.recv(65536)
        except TimeoutError:
            break
        except ConnectionError:
            return got, True
        if not data:
            return got, True
        got += data
        if "closes_within" not in spec and all(t.encode() in got for t in spec.get("reply", [])):
            return got, False
    return got, False

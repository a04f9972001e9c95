"""An OTLP back end that remembers all it got and can misbehave on demand: gRPC on grpcio, HTTP on the standard library. It takes Loki's push API, too.

    sink.py --grpc PORT --http PORT     runs one by hand and prints counts

A fault is a dict: {mode: M, ...}, applied to every request until another is set, or to the first `times` requests.
  ok
  unavailable  UNAVAILABLE / 503         delay: seconds for RetryInfo / Retry-After
  exhausted    RESOURCE_EXHAUSTED / 429  delay: the same
  invalid      INVALID_ARGUMENT / 400
  too_large    RESOURCE_EXHAUSTED / 413 for messages over `limit` bytes
  partial      success with partial_success: `rejected` items, `message`
  slow         answers after `delay` seconds
  hang         answers nothing until the sink is closed
  reset        takes the request and cuts the connection (gRPC: cancels the call) without an answer
  status       any: `code` (gRPC name), `http` (status)
"""
import argparse
import http.server
import socket
import ssl
import struct
import threading
import time
from concurrent import futures

import grpc
from google.protobuf import any_pb2, duration_pb2, json_format
from google.rpc import error_details_pb2, status_pb2

import items
import loki_push
import otlp_json
import packing

SIGNAL_OF_METHOD = {method: signal for signal, method in items.METHOD.items()}
SIGNAL_OF_PATH = {"/v1/traces": "traces", "/v1/metrics": "metrics", "/v1/logs": "logs", "/otlp/v1/logs": "logs", loki_push.PATH: "logs"}
HTTP_STATUS = {"unavailable": 503, "exhausted": 429, "invalid": 400, "too_large": 413}
GRPC_CODE = {"unavailable": grpc.StatusCode.UNAVAILABLE, "exhausted": grpc.StatusCode.RESOURCE_EXHAUSTED,
             "invalid": grpc.StatusCode.INVALID_ARGUMENT, "too_large": grpc.StatusCode.RESOURCE_EXHAUSTED}


class Attempt:
    """One request that came in."""

    def __init__(self, signal, transport, body, headers, wire_bytes):
        self.at, self.signal, self.transport, self.body, self.headers = time.monotonic(), signal, transport, body, headers
        self.wire_bytes, self.accepted = wire_bytes, False


class Store:
    """What came in, and which fault is on. Shared by both transports."""

    def __init__(self):
        self.lock, self.attempts, self.fault, self.closing = threading.Lock(), [], {"mode": "ok"}, threading.Event()

    def set_fault(self, fault):
        with self.lock:
            self.fault = dict(fault)

    def forget(self):
        """What came in so far counts no more."""
        with self.lock:
            self.attempts = []

    def take(self, signal, transport, body, headers, wire_bytes):
        """Notes the request; returns it and the fault that applies to it."""
        attempt = Attempt(signal, transport, body, headers, wire_bytes)
        with self.lock:
            self.attempts.append(attempt)
            fault = dict(self.fault)
            if fault.get("mode") == "too_large" and len(body) <= fault["limit"]:
                fault = {"mode": "ok"}
            elif "times" in self.fault:
                self.fault["times"] -= 1
                if self.fault["times"] <= 0:
                    self.fault = {"mode": "ok"}
        if fault["mode"] == "hang":
            self.closing.wait(120)
        if fault["mode"] == "slow":
            self.closing.wait(fault["delay"])
        attempt.accepted = fault["mode"] in ("ok", "slow", "partial", "reset")
        return attempt, fault

    def requests(self, signal, transport=None, all_attempts=False):
        with self.lock:
            some = [a for a in self.attempts if a.signal == signal and (a.accepted or all_attempts) and transport in (None, a.transport)]
        return [items.parse(signal, a.body) for a in some]

    def collect(self, signal, transport=None, loosely=False):
        return items.collect(signal, self.requests(signal, transport), loosely)

    def items_by(self, header):
        """How many items came in accepted requests, by the value of a header; None where it was not there."""
        out = {}
        with self.lock:
            some = [a for a in self.attempts if a.accepted]
        for a in some:
            value = a.headers.get(header)
            out[value] = out.get(value, 0) + items.count(a.signal, items.parse(a.signal, a.body))
        return out

    def counts(self):
        out = {"attempts": len(self.attempts), "requests": sum(a.accepted for a in list(self.attempts))}
        for signal, noun in items.NOUN.items():
            found = self.collect(signal)
            out[noun] = sum(found.values())
            out["duplicates"] = out.get("duplicates", 0) + sum(found.values()) - len(found)
        return out


def together(stores):
    """What came in at several, as one."""
    all_of_them = Store()
    all_of_them.attempts = sorted((a for s in stores for a in list(s.attempts)), key=lambda a: a.at)
    return all_of_them


def success(signal, fault):
    response = items.RESPONSE[signal]()
    if fault["mode"] == "partial":
        setattr(response.partial_success, items.REJECTED_FIELD[signal], fault.get("rejected", 1))
        response.partial_success.error_message = fault.get("message", "some were not liked")
    return response


def status_message(code, message, delay=None):
    status = status_pb2.Status(code=code, message=message)
    if delay is not None:
        info = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=int(delay), nanos=int(delay % 1 * 1e9)))
        detail = any_pb2.Any()
        detail.Pack(info)
        status.details.append(detail)
    return status


def content(path):
    with open(path, "rb") as f:
        return f.read()


def credentials(tls):
    ca = tls.get("client_ca")
    return grpc.ssl_server_credentials([(content(tls["key"]), content(tls["cert"]))], content(ca) if ca else None, bool(ca))


class GrpcSink(grpc.GenericRpcHandler):
    def __init__(self, store, port, host, tls=None):
        self.store = store
        self.server = grpc.server(futures.ThreadPoolExecutor(64), handlers=[self], options=[("grpc.so_reuseport", 0),
                                  ("grpc.max_receive_message_length", 64 << 20)])
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.port = self.server.add_secure_port(address, credentials(tls)) if tls else self.server.add_insecure_port(address)
        if self.port == 0:
            raise OSError(f"sink: port {port} is taken")
        self.server.start()

    def service(self, details):
        signal = SIGNAL_OF_METHOD.get(details.method)
        if signal is None:
            return None
        return grpc.unary_unary_rpc_method_handler(lambda body, context: self.export(signal, body, context))

    def export(self, signal, body, context):
        headers = {k: v for k, v in context.invocation_metadata()}
        _, fault = self.store.take(signal, "grpc", body, headers, len(body))
        mode = fault["mode"]
        if mode in ("reset", "hang"):
            context.cancel()
            return b""
        code = grpc.StatusCode[fault["code"]] if mode == "status" else GRPC_CODE.get(mode)
        if code is not None:
            text = f"grpc: received message larger than max ({len(body)} vs. {fault['limit']})" if mode == "too_large" else f"sink: {mode}"
            status = status_message(code.value[0], fault.get("message", text), fault.get("delay"))
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
            context.abort(code, status.message)
        return success(signal, fault).SerializeToString()

    def stop(self):
        self.server.stop(0).wait()


class HttpHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "sink"
    timeout = 120

    def log_message(self, *_):
        pass

    def read_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                chunk = self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    return body
                body += chunk
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status, message, headers=()):
        """In the request's form, as OTLP's specification says; Loki's push API answers in text."""
        kind = "text/plain" if self.path == loki_push.PATH else self.headers.get("Content-Type")
        body = message if isinstance(message, bytes) else \
            json_format.MessageToJson(message).encode() if kind == "application/json" else message.SerializeToString()
        self.send_response(status)
        self.send_header("Content-Type", kind or "text/plain")
        self.send_header("Content-Length", str(len(body)))
        for k, v in headers:
            self.send_header(k, v)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        wire = self.read_body()
        signal = SIGNAL_OF_PATH.get(self.path)
        if signal is None or self.headers.get("Content-Type") not in ("application/x-protobuf", "application/json"):
            return self.answer(404 if signal is None else 415, b"")
        body = packing.unpack(self.headers.get("Content-Encoding"), wire)
        is_push, is_json = self.path == loki_push.PATH, self.headers.get("Content-Type") == "application/json"
        if is_push:
            body = loki_push.logs(body, is_json).SerializeToString()
        elif is_json:
            body = otlp_json.parse(signal, body).SerializeToString()
        _, fault = self.server.store.take(signal, "http", body, {k.lower(): v for k, v in self.headers.items()}, len(wire))
        mode = fault["mode"]
        if mode in ("reset", "hang"):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return None
        status = fault.get("http", 500) if mode == "status" else HTTP_STATUS.get(mode)
        if status is None:
            return self.answer(204, b"") if is_push else self.answer(200, success(signal, fault))
        headers, message = [("Retry-After", str(fault["delay"]))] if "delay" in fault else [], fault.get("message", f"sink: {mode}")
        return self.answer(status, message.encode() if is_push else status_message(0, message), headers)


class HttpSink(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, store, port, host, tls=None):
        self.store = store
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), HttpHandler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls["cert"], tls["key"])
            if tls.get("client_ca"):
                context.load_verify_locations(tls["client_ca"])
                context.verify_mode = ssl.CERT_REQUIRED
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.port, self.open = self.server_address[1], set()
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def process_request(self, request, client_address):
        self.open.add(request)
        super().process_request(request, client_address)

    def handle_error(self, request, client_address):
        pass  # peers that go away are part of the tests

    def stop(self):
        self.shutdown()
        self.server_close()
        for connection in self.open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Sink:
    """Both servers on one store; may be down and up again on the same ports."""

    def __init__(self, grpc_port=0, http_port=0, up=True, fault=None, host="127.0.0.1", tls=None):
        self.tls = tls
        self.store, self.grpc_port, self.http_port, self.servers, self.host = Store(), grpc_port, http_port, [], host
        if fault:
            self.store.set_fault(fault)
        if up:
            self.up()

    def up(self):
        self.store.closing.clear()
        self.servers = [GrpcSink(self.store, self.grpc_port, self.host, self.tls), HttpSink(self.store, self.http_port, self.host, self.tls)]
        self.grpc_port, self.http_port = (s.port for s in self.servers)

    def down(self):
        self.store.closing.set()
        for s in self.servers:
            s.stop()
        self.servers = []


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--grpc", type=int, default=0)
    p.add_argument("--http", type=int, default=0)
    args = p.parse_args()
    sink = Sink(args.grpc, args.http)
    print(f"sink: gRPC on 127.0.0.1:{sink.grpc_port}, HTTP on 127.0.0.1:{sink.http_port}", flush=True)
    last = None
    while True:
        time.sleep(1)
        now = sink.store.counts()
        if now != last:
            print(now, flush=True)
            last = now


if __name__ == "__main__":
    main()

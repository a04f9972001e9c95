"""Steps that do harm between and below the programs: `damage` (bytes of a queue on disk), `proxy` (a TCP proxy that cuts connections or lets them hang)."""
import glob
import os
import select
import socket
import struct
import threading

from weir_process import Failure

# Where fields stand: docs/design/queue.md, "Files".
SEGMENT = {"magic": 0, "checksum": 4, "version": 8, "zero": 12, "uuid": 16, "first": 32, "items_before": 40, "epoch": 48, "made": 56}
RECORD = {"magic": 0, "checksum": 4, "number": 8, "items_before": 16, "time": 24, "length": 32, "items": 36, "data_checksum": 40, "context_length": 44,
          "signal": 46, "flags": 47, "data": 48}
SEGMENT_BYTES, RECORD_BYTES = 64, 48


def records_of(text):
    """(place, size) of each record of an undamaged segment."""
    at, out = SEGMENT_BYTES, []
    while text[at:at + 4] == b"WQRE":
        size = RECORD_BYTES + struct.unpack_from("<I", text, at + 32)[0]
        out.append((at, size))
        at += (size + 7) // 8 * 8
    return out


def flip(text, at):
    text[at] ^= 0x10


def damage_segments(segments, spec):
    """Changes the texts of segments, in order; returns the numbers of the records that are gone with that."""
    places = [(text, *place) for text in segments for place in records_of(text)]
    gone = set()
    for number, field in spec.get("records", {}).items():
        text, at, size = places[number]
        flip(text, at + (RECORD[field] if field != "data" else RECORD_BYTES + (size - RECORD_BYTES) // 2))
        gone.add(number)
    for number, field in spec.get("segments", {}).items():
        flip(segments[number], SEGMENT[field])
        gone.update(i for i, place in enumerate(places) if place[0] is segments[number])
    if "cut" in spec:
        text, at, size = places[-1]
        del text[at + size - spec["cut"]:]
        gone.add(len(places) - 1)
    if "tail" in spec:  # the beginning of one more, as of an append that the crash interrupted
        text, at, _ = places[-1]
        text += text[at:at + spec["tail"]]
    return gone


def damage(scenario, spec):
    """queue: its folder, whose records are the acknowledged requests of `signal`, in order; those that are damaged no longer count as acknowledged."""
    paths = sorted(glob.glob(os.path.join(spec["queue"], "*.seg")))
    segments = []
    for path in paths:
        with open(path, "rb") as f:
            segments.append(bytearray(f.read()))
    acked, there = scenario.ledger.acked[spec.get("signal", "traces")], sum(len(records_of(s)) for s in segments)
    if there != len(acked):
        raise Failure(f"damage: {there} records in {paths}, {len(acked)} requests were acknowledged")
    gone = damage_segments(segments, spec)
    for path, text in zip(paths, segments):
        with open(path, "wb") as f:
            f.write(text)
    acked[:] = [request for number, request in enumerate(acked) if number not in gone]


class Proxy:
    """Forwards connections to an address. `cut`: resets both sides once so many bytes came from the client, `times` times. `freeze`: forwards nothing more on the
    connections that are open, and leaves them open."""

    def __init__(self, port, to):
        self.to, self.lock, self.pairs, self.cut, self.times = to, threading.Lock(), [], 0, 0
        self.counts = {"connections": 0, "cuts": 0, "frozen": 0, "swallowed": 0}
        self.listener = socket.create_server(("127.0.0.1", port), backlog=64)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return  # closed
            with self.lock:
                self.counts["connections"] += 1
            threading.Thread(target=self.forward, args=(client,), daemon=True).start()

    def forward(self, client):
        try:
            back = socket.create_connection(self.to, timeout=10)
        except OSError:
            return client.close()
        pair = {"client": client, "back": back, "frozen": False, "bytes": 0}
        with self.lock:
            self.pairs.append(pair)
        try:
            while self.pump(pair):
                pass
        except OSError:
            pass
        with self.lock:
            self.pairs.remove(pair)
        client.close()
        back.close()

    def pump(self, pair):
        client, back = pair["client"], pair["back"]
        for s in select.select([client, back], [], [])[0]:
            data = s.recv(16384)
            if pair["frozen"]:
                with self.lock:
                    self.counts["swallowed"] += len(data)
                if not data:
                    return False
                continue
            if not data:
                return False
            if s is client and self.cuts(pair, len(data)):
                for side in (client, back):
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            (back if s is client else client).sendall(data)
        return True

    def cuts(self, pair, n):
        with self.lock:
            pair["bytes"] += n
            if not self.times or pair["bytes"] < self.cut:
                return False
            self.times -= 1
            self.counts["cuts"] += 1
            return True

    def do(self, spec):
        with self.lock:
            if "cut" in spec:
                self.cut, self.times = spec["cut"], spec["times"]
                for pair in self.pairs:
                    pair["bytes"] = 0
            if spec.get("freeze"):
                for pair in self.pairs:
                    self.counts["frozen"] += not pair["frozen"]
                    pair["frozen"] = True

    def close(self):
        self.listener.close()


def proxy(scenario, spec):
    """port, and `to` at first; then what it does."""
    port = int(spec["port"])
    if port not in scenario.proxies:
        host, to_port = spec["to"].split("//")[-1].rsplit(":", 1)
        scenario.proxies[port] = Proxy(port, (host, int(to_port)))
    scenario.proxies[port].do(spec)

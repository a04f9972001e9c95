"""A DNS server on loopback for scenarios: a few names in .test, their IPv4 and IPv6 addresses, a short TTL. What it does not know has no name."""
import socket
import struct
import threading


class Names:
    def __init__(self, port):
        self.answers = {}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                query, peer = self.socket.recvfrom(512)
            except OSError:
                return  # closed
            if len(query) > 16:
                self.socket.sendto(self.answer(query), peer)

    def answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("ascii", "replace"))
            at += 1 + query[at]
        kind = struct.unpack("!H", query[at + 1:at + 3])[0]
        addresses = self.answers.get(".".join(labels).lower())
        family = {1: socket.AF_INET, 28: socket.AF_INET6}.get(kind)
        raw = [socket.inet_pton(family, a) for a in addresses or () if family == (socket.AF_INET6 if ":" in a else socket.AF_INET)]
        records = b"".join(struct.pack("!HHHIH", 0xC00C, kind, 1, 5, len(r)) + r for r in raw)
        flags = 0x8180 if addresses is not None else 0x8183
        return query[:2] + struct.pack("!HHHHH", flags, 1, len(raw), 0, 0) + query[12:at + 5] + records

    def close(self):
        self.socket.close()

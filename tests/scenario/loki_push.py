"""Loki's push API for the sink: a request, in protobuf or JSON, as the OTLP logs that it stands for.

Labels become attributes of the resource, structured metadata those of the record; all values are text, as Loki keeps them.
"""
import json
import re

from opentelemetry.proto.collector.logs.v1 import logs_service_pb2

PATH = "/loki/api/v1/push"


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
        if byte < 0x80:
            return value, at


def _fields(data):
    """(number, value) of each field; values are numbers or bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        value, at = _varint(data, at)
        if tag & 7 == 2:
            value, at = data[at:at + value], at + value
            assert at <= len(data), "a field ends behind its message"
        yield tag >> 3, value


def _pairs(entry):
    for pair in (value for number, value in entry if number == 3):
        both = dict(_fields(pair))
        yield both[1].decode(), both.get(2, b"").decode()


def _labels(text):
    """{a="b", c="d"}: the quoting is JSON's but for \\xNN."""
    text = re.sub(r"\\(.)", lambda m: "\\u00" if m[1] == "x" else m[0], text)
    at, out = 1, {}
    while text[at] != "}":
        name, _, rest = text[at:].partition("=")
        value, n = json.JSONDecoder().raw_decode(rest)
        out[name], at = value, at + len(name) + 1 + n
        if text[at] == ",":
            at += 2
    assert at == len(text) - 1, text
    return out


def _of_protobuf(body):
    for number, stream in _fields(body):
        assert number == 1, f"field {number} of PushRequest"
        parts = list(_fields(stream))
        entries = []
        for entry in (list(_fields(value)) for number, value in parts if number == 2):
            fields = dict(entry)
            time = dict(_fields(fields[1]))
            entries.append((time.get(1, 0) * 10**9 + time.get(2, 0), fields.get(2, b"").decode(), list(_pairs(entry))))
        yield _labels(dict(parts)[1].decode()), entries


def _of_json(body):
    for stream in json.loads(body)["streams"]:
        yield stream["stream"], [(int(time), line, list(pairs.items())) for time, line, pairs in stream["values"]]


def logs(body, is_json):
    request = logs_service_pb2.ExportLogsServiceRequest()
    for labels, entries in (_of_json if is_json else _of_protobuf)(body):
        times = [time for time, _, _ in entries]
        assert times == sorted(times), "entries of a stream are not sorted by time"
        r = request.resource_logs.add()
        for k, v in labels.items():
            r.resource.attributes.add(key=k).value.string_value = v
        s = r.scope_logs.add()
        for time, line, pairs in entries:
            record = s.log_records.add(time_unix_nano=time)
            record.body.string_value = line
            for k, v in pairs:
                record.attributes.add(key=k).value.string_value = v
    return request

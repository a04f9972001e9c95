#!/usr/bin/env python3
"""Compares tests/unit/oracle/otlp.proto with the descriptors in PyPI's opentelemetry-proto: names, numbers, types, repeated, oneofs, enum values.

Usage: check_descriptors.py        (needs protoc and the opentelemetry-proto package; exit 0 when they agree)
Deliberate differences: strings are bytes; a proto3 `optional` is a oneof of one member called optional_NAME; the fields in LEFT_OUT are newer or
for profiles only: weir keeps them as unknown fields.
"""
import os
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

MODULES = [common_pb2, resource_pb2, trace_pb2, metrics_pb2, logs_pb2, trace_service_pb2, metrics_service_pb2, logs_service_pb2]
# Published, and unknown to weir on purpose: development status, or for profiles only.
LEFT_OUT = {("Resource", "entity_refs"), ("AnyValue", "string_value_strindex"), ("KeyValue", "key_strindex")}
F = descriptor_pb2.FieldDescriptorProto


def ours():
    here = os.path.dirname(os.path.abspath(__file__))
    with tempfile.TemporaryDirectory() as tmp:
        out = os.path.join(tmp, "set")
        subprocess.run(["protoc", "-I" + here, "--descriptor_set_out=" + out, "otlp.proto"], check=True)
        with open(out, "rb") as f:
            return list(descriptor_pb2.FileDescriptorSet.FromString(f.read()).file)


def theirs():
    for module in MODULES:
        proto = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(proto)
        yield proto


def short(type_name):
    """The last name of a type: packages differ."""
    return type_name.rsplit(".", 1)[-1]


def field_key(message, field):
    kind = F.TYPE_BYTES if field.type == F.TYPE_STRING else field.type
    group = ""
    if field.HasField("oneof_index"):
        group = message.oneof_decl[field.oneof_index].name
        if field.proto3_optional or group == "optional_" + field.name:
            group = "optional"
    return (field.number, kind, field.label, short(field.type_name), group)


def collect(files):
    messages, enums = {}, {}

    def message(m, prefix):
        name = prefix + m.name
        messages[name] = {f.name: field_key(m, f) for f in m.field if (name, f.name) not in LEFT_OUT}
        for e in m.enum_type:
            enums[e.name] = {v.name: v.number for v in e.value}
        for nested in m.nested_type:
            message(nested, name + ".")

    for file in files:
        for m in file.message_type:
            message(m, "")
        for e in file.enum_type:
            enums[e.name] = {v.name: v.number for v in e.value}
    return messages, enums


def main():
    our_messages, our_enums = collect(ours())
    their_messages, their_enums = collect(theirs())
    wrong = []
    for kind, a, b in (("message", our_messages, their_messages), ("enum", our_enums, their_enums)):
        for name in sorted(a):
            if name not in b:
                wrong.append(f"{kind} {name} is not in opentelemetry-proto")
                continue
            for member in sorted(set(a[name]) | set(b[name])):
                if a[name].get(member) != b[name].get(member):
                    wrong.append(f"{kind} {name}.{member}: here {a[name].get(member)}, published {b[name].get(member)}")
    for line in wrong:
        print(line)
    print(f"otlp.proto: {len(our_messages)} messages and {len(our_enums)} enums compared with opentelemetry-proto, {len(wrong)} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

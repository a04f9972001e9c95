"""Checks `weir schema` itself, that it takes the shipped pipelines and every stage's example, and that it refuses what weir refuses.

Usage: check_schema.py WEIR REPOSITORY
"""
import glob
import json
import os
import re
import subprocess
import sys

import jsonschema
import yaml

WEIR, REPOSITORY = sys.argv[1:3]

def schema(*stage):
    text = subprocess.run([WEIR, "schema", *stage], check=True, capture_output=True, text=True).stdout
    document = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(document)
    return document


def complaints(validator, document):
    return [f"{'/'.join(map(str, e.absolute_path))}: {e.message[:300]}" for e in validator.iter_errors(document)]


def check_files(validator):
    files = sorted([p for p in glob.glob(os.path.join(REPOSITORY, "pipelines", "*.yaml")) if not p.endswith(".test.yaml")] + glob.glob(os.path.join(REPOSITORY, "tests", "golden", "good", "*.yaml")))
    assert len(files) > 6, files
    wrong = []
    for path in files:
        with open(path, encoding="utf-8") as f:
            wrong += [f"{path}: {c}" for c in complaints(validator, yaml.safe_load(f))]
    return wrong


def check_refused(validator):
    def refused(document, part):
        got = complaints(validator, document)
        return [] if any(part in c for c in got) else [f"not refused with {part!r}: {document}: {got}"]

    base = {"receivers": {"otlp": {"protocols": {"grpc": None}}}, "exporters": {"debug": None},
            "service": {"pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["debug"]}}}}
    assert not complaints(validator, base), complaints(validator, base)
    wrong = refused({**base, "exporters": {"debug": {"verbos": "basic"}}}, "unexpected")
    wrong += refused({**base, "exporters": {"debug/2": {"verbosity": "loud"}}}, "not valid under any")
    wrong += refused({**base, "receivers": {"otlp": None}}, "None is not of type")
    wrong += refused({**base, "receivers": {"otlp": {}}}, "'protocols' is a required property")
    wrong += refused({**base, "processors": {"batch": {"timeout": 5}}}, "not valid under any")
    wrong += refused({**base, "processors": {"batch": {"timeout": "5"}}}, "not valid under any")
    wrong += refused({**base, "service": {"pipelines": {"trace": {}}}}, "does not match any of the regexes")
    wrong += refused({**base, "service": {"lanes": 65}}, "not valid under any")
    wrong += refused({**base, "sevice": {}}, "unexpected")
    return wrong


def check_examples():
    """The example on each stage's page, by that stage's own schema."""
    wrong, seen = [], 0
    for page in sorted(glob.glob(os.path.join(REPOSITORY, "docs", "stages", "*.md"))):
        role, name = os.path.basename(page)[:-3].split("_", 1)
        with open(page, encoding="utf-8") as f:
            example = re.search(r"```yaml\n(.*?)```", f.read(), re.S).group(1)
        body = next(iter(next(iter(yaml.safe_load(example).values())).values()))
        wrong += [f"{page}: {c}" for c in complaints(jsonschema.Draft202012Validator(schema(f"{role}/{name}")), body)]
        seen += 1
    assert seen > 5
    return wrong


def main():
    validator = jsonschema.Draft202012Validator(schema())
    wrong = check_files(validator) + check_refused(validator) + check_examples()
    print("\n".join(wrong) or "schema: ok")
    sys.exit(bool(wrong))


main()

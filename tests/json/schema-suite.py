#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run the draft-04 part of Debian's json-schema-test-suite through our validator.

usage: schema-suite.py PATH/TO/json-schema

Skips (77) when the package is not installed.  What we refuse on purpose is counted
by itself.
"""

import glob
import json
import os
import subprocess
import sys

SUITE = "/usr/share/json-schema-test-suite/tests/draft4"
MINIMUM = 250  # a suite that shrinks to nothing must not pass


def is_refused(schema):
    """Whether a schema holds what ours refuses: multipleOf, or a $ref to elsewhere."""
    if isinstance(schema, list):
        return any(is_refused(item) for item in schema)
    if not isinstance(schema, dict):
        return False
    ref = schema.get("$ref")
    if isinstance(ref, str) and ref != "#" and not ref.startswith("#/"):
        return True
    return "multipleOf" in schema or any(is_refused(item) for item in schema.values())


def groups():
    paths = sorted(glob.glob(SUITE + "/**/*.json", recursive=True))
    for path in paths:
        name = os.path.relpath(path, SUITE)[: -len(".json")]
        # Formats are not checked, in no draft.
        if "format" in name or name.endswith("ecmascript-regex"):
            continue
        with open(path, encoding="utf-8") as file:
            for group in json.load(file):
                yield name, group


def main():
    if not os.path.isdir(SUITE):
        print("SKIP: json-schema-test-suite is not installed")
        return 77
    work = list(groups())
    lines = []
    for _, group in work:
        values = [test["data"] for test in group["tests"]]
        lines.append(json.dumps({"schema": group["schema"], "values": values}))
    result = subprocess.run(
        [sys.argv[1]], input="\n".join(lines).encode() + b"\n", stdout=subprocess.PIPE, check=True
    )
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(answers) == len(work)
    passed = failed = refused = 0
    for (name, group), answer in zip(work, answers):
        where = f"{name}: {group['description']}"
        if isinstance(answer, str):
            if is_refused(group["schema"]):
                refused += len(group["tests"])
            else:
                failed += len(group["tests"])
                print(f"FAIL {where}: {answer}")
            continue
        for test, found in zip(group["tests"], answer):
            if isinstance(found, list) and (not found) == test["valid"]:
                passed += 1
            else:
                failed += 1
                print(f"FAIL {where}: {test['description']}: {found}")
    print(f"{passed} passed, {failed} failed, {refused} of unsupported keywords refused")
    return 1 if failed or passed < MINIMUM else 0


if __name__ == "__main__":
    sys.exit(main())

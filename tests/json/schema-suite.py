#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run the draft-04 part of Debian's json-schema-test-suite through our validator.

usage: schema-suite.py PATH/TO/json-schema

Skips (77) when the package is not installed.  Tests of what we refuse on purpose are
counted as skipped, and checked to be refused.
"""

import glob
import json
import os
import subprocess
import sys

SUITE = "/usr/share/json-schema-test-suite/tests/draft4"
MINIMUM = 250  # a suite that shrinks to nothing must not pass

# What the validator does not know, by name of the file or of the group.
NO_FORMAT = {"format", "ecmascript-regex"}
REFUSED_FILES = {"multipleOf", "refRemote"}
REFUSED_GROUPS = {
    "remote ref, containing refs itself": "a $ref out of the schema",
    "Recursive references between schemas": "a $ref out of the schema",
    "Location-independent identifier": "a $ref to an id",
    "Location-independent identifier with absolute URI": "a $ref to an id",
    "Location-independent identifier with base URI change in subschema": "a $ref to an id",
    "valid definition": "a $ref out of the schema",
    "invalid definition": "a $ref out of the schema",
}


def groups():
    paths = sorted(glob.glob(SUITE + "/**/*.json", recursive=True))
    for path in paths:
        name = os.path.basename(path)[: -len(".json")]
        with open(path, encoding="utf-8") as file:
            for group in json.load(file):
                yield name, group


def main():
    if not os.path.isdir(SUITE):
        print("SKIP: json-schema-test-suite is not installed")
        return 77
    work = [(name, group) for name, group in groups() if name not in NO_FORMAT]
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
        expected = name in REFUSED_FILES or REFUSED_GROUPS.get(group["description"])
        if isinstance(answer, str):
            if expected:
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

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""sizes.py TOP: no file over 700 lines, no function over 100.

Functions are found by the house's own shape: a body begins with '{' in the first column
and ends with '}' there.
"""
import pathlib
import re
import sys

FILE_LINES = 700
FUNCTION_LINES = 100
NAME = re.compile(r"(\w+)\(")


def functions(lines):
    begin, name = None, "?"
    for number, line in enumerate(lines, 1):
        if line.startswith("{"):
            begin = number
        elif line.startswith("}") and begin:
            yield name, begin, number - begin + 1
            begin = None
        elif begin is None and line[:1].isalpha() and (match := NAME.search(line)):
            name = match.group(1)


def main():
    top = pathlib.Path(sys.argv[1])
    bad = 0
    files = sorted(p for room in ("src", "modules", "include") for p in (top / room).rglob("*.[ch]"))
    for path in files:
        lines = path.read_text().splitlines()
        if len(lines) > FILE_LINES:
            print(f"{path}: {len(lines)} lines, at most {FILE_LINES}")
            bad += 1
        for name, line, length in functions(lines):
            if length > FUNCTION_LINES:
                print(f"{path}:{line}: {name} has {length} lines, at most {FUNCTION_LINES}")
                bad += 1
    print(f"{len(files)} files")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

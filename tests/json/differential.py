#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compare coppice's JSON with Python's on documents from a seeded generator.

usage: differential.py PATH/TO/json-canonical [SEED]

Well-formed documents, most with numbers and strings at the edges, must give the text of
json.dumps(sort_keys=True), repr() and json.dumps(indent=2); damaged ones must be refused
exactly when Python refuses them.
"""

import json
import random
import re
import struct
import subprocess
import sys

N_DOCUMENTS = 2000
N_DAMAGED = 1000

CHARACTERS = (
    list("abcXYZ09 /'\"\\\n\t\r\b\f\x7f\u00e9\u00ad\u00a0\u0378\u2028\ufeff\uffff")
    + ["\ue000", "\U0001f600", "\U0010ffff", "\U000e0001", "\u0000", "\u0001", "'", '"']
)
INTEGERS = [0, -1, 2**53, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 10**18, 10**19, 10**40]
NUMBERS = ["-0", "-0.0", "1e999", "-1e999", "1e-999", "0.1", "1.0", "1E5", "1e+22", "1e-07"]
NUMBERS += ["1e15", "1e16", "123456789012345678.0", "0.0001", "0.00001", "5e-324", "2.5e-5"]
NUMBERS += ["1.7976931348623157e308", "1.7976931348623159e308", "9007199254740993.0"]
NUMBERS += ["NaN", "Infinity", "-Infinity", "1" + "0" * 4299, "-" + "9" * 4300]
NUMBERS += ["1" + "0" * 400 + ".5", "0." + "0" * 400 + "1"]


def character(rng):
    """One character of a JSON string, escaped in one of the ways there are."""
    kind = rng.randrange(12)
    if kind == 0:
        return "\\u%04x" % rng.randrange(0xD800, 0xE000)
    if kind == 1:
        return "\\u%04X" % rng.choice([0, 1, 0x7F, 0xD83D, 0xDE00, 0xFFFF])
    if kind == 2:
        return rng.choice(["\\/", "\\n", "\\\\", '\\"', "\\b", "\\f"])
    if kind == 3:
        return "\\ud83d\\ude%02x" % rng.randrange(256)
    c = rng.choice(CHARACTERS) if kind < 8 else chr(rng.randrange(32, 127))
    if c in '"\\' or c < " " or c == "\x7f" or rng.randrange(4) == 0:
        return json.dumps(c)[1:-1]
    return c


def string(rng):
    return '"' + "".join(character(rng) for _ in range(rng.randrange(6))) + '"'


def number(rng):
    kind = rng.randrange(4)
    if kind == 0:
        return str(rng.choice(INTEGERS) + rng.randrange(-2, 3))
    if kind == 1:
        return rng.choice(NUMBERS)
    if kind == 2:
        return repr(2.0 ** rng.randrange(-1074, 1024))
    value = struct.unpack("d", rng.randbytes(8))[0]
    return json.dumps(value)


def space(rng):
    return rng.choice(["", "", "", " ", "\t", "\r", "  "])


def value(rng, depth):
    kind = rng.randrange(8 if depth < 5 else 6)
    if kind == 0:
        return rng.choice(["true", "false", "null"])
    if kind < 3:
        return number(rng)
    if kind < 6:
        return string(rng)
    items = range(rng.randrange(5))
    if kind == 6:
        inside = [space(rng) + value(rng, depth + 1) + space(rng) for _ in items]
        return "[" + (",".join(inside) or space(rng)) + "]"
    keys = [rng.choice(['"a"', string(rng)]) for _ in items]
    inside = [space(rng) + k + space(rng) + ":" + value(rng, depth + 1) for k in keys]
    return "{" + (",".join(inside) or space(rng)) + "}"


def damage(rng, text):
    """A document with a few characters removed, doubled, swapped or put in."""
    for _ in range(rng.randrange(1, 3)):
        at = rng.randrange(len(text) + 1)
        kind = rng.randrange(3)
        if kind == 0:
            text = text[:at] + text[at + 1:]
        elif kind == 1:
            text = text[:at] + rng.choice('{}[],:"\\-+.eE0123nN;\x01') + text[at:]
        else:
            text = text[:at]
    return text


def expected(text):
    try:
        parsed = json.loads(text)
    except ValueError:
        return "error"
    indented = json.dumps(json.dumps(parsed, indent=2))
    return "\t".join([json.dumps(parsed, sort_keys=True), repr(parsed), indented])


def main():
    program = sys.argv[1]
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    rng = random.Random(seed)
    documents = [value(rng, 0) for _ in range(N_DOCUMENTS)]
    documents += [damage(rng, value(rng, 0)) for _ in range(N_DAMAGED)]
    documents = [re.sub("\n", " ", document) for document in documents]
    # A blank line is not a document.
    documents = [document for document in documents if document]
    result = subprocess.run(
        [program], input="\n".join(documents).encode() + b"\n", stdout=subprocess.PIPE, check=True
    )
    lines = result.stdout.decode().split("\n")[:-1]
    if len(lines) != len(documents):
        print(f"{len(documents)} documents gave {len(lines)} lines")
        return 1
    wrong = 0
    for document, line in zip(documents, lines):
        if line != expected(document):
            wrong += 1
            if wrong <= 5:
                print(f"document {document!r}\n  ours   {line!r}\n  python {expected(document)!r}")
    n_errors = sum(line == "error" for line in lines)
    print(f"seed {seed}: {len(documents)} documents, {n_errors} refused, {wrong} different")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The layer law: src/LAYERS against every #include in src and modules.

Also: no cycle in the law itself, every quoted include names its room, and public headers
include nothing but public headers.  Prints each breach as FILE:LINE and exits 1.
"""
import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')
PUBLIC = re.compile(r'^\s*#\s*include\s*<coppice/([^>]+)>')


def read_law(path):
    law = {}
    for line in path.read_text().splitlines():
        line = line.split("#")[0].strip()
        if not line:
            continue
        room, _, below = line.partition(":")
        law[room.strip()] = below.split()
    return law


def check_law(law):
    done = []
    for room, below in law.items():
        for other in below:
            if other not in done:
                yield f"src/LAYERS: '{room}' may include '{other}', which does not stand above it in the file"
        done.append(room)


def includes(path):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1)


def check_rooms(top, law):
    for folder in sorted((top / "src").iterdir()):
        if folder.is_dir() and folder.name not in law:
            yield f"{folder}: room is missing in src/LAYERS"
    places = [(p, p.relative_to(top / "src").parts[0]) for p in (top / "src").rglob("*.[ch]")]
    places += [(p, "modules") for p in (top / "modules").rglob("*.[ch]")]
    for path, room in sorted(places):
        allowed = set(law.get(room, [])) | {room}
        for number, target in includes(path):
            other, slash, _ = target.partition("/")
            if not slash:
                yield f"{path}:{number}: \"{target}\" does not name its room"
            elif other not in allowed:
                yield f"{path}:{number}: {room} must not include {other} (\"{target}\")"


def check_public(top):
    for path in sorted((top / "include").rglob("*.h")):
        for number, target in includes(path):
            yield f"{path}:{number}: a public header includes \"{target}\""


def main():
    top = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    law = read_law(top / "src" / "LAYERS")
    breaches = [*check_law(law), *check_rooms(top, law), *check_public(top)]
    for breach in breaches:
        print(breach)
    print(f"{len(law)} rooms, {len(breaches)} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())

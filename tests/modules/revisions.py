#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does every stage whose sources changed have a new revision?

The revision of a stage is part of the key under which its results are kept, so it must be
raised whenever the same input gives another output.  revisions.txt keeps, for each stage,
its revision and a hash of its sources: its own file and every file of modkit, tar and
modules/stages that it includes, directly or not (stages.h only declares the stages).

  revisions.py TOP                           check; exit 1 with what to do
  revisions.py TOP --update                  take the new state of stages with a new revision
  revisions.py TOP --unchanged WHY [STAGE]...  their sources changed but not their output;
                                             without a name: all whose sources changed
"""
import hashlib
import json
import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*"((?:modkit|modules|tar)/[^"]+)"', re.M)


def place(top, include):
    return top / include if include.startswith("modules/") else top / "src" / include


def sources(top, first):
    """@first and what it includes, with the .c file of every header."""
    todo, seen = [first], set()
    while todo:
        path = todo.pop()
        if path in seen or path.name in ("stages.h", "assemblers.h") or not path.exists():
            continue
        seen.add(path)
        todo += [place(top, name) for name in INCLUDE.findall(path.read_text())]
        todo.append(path.with_suffix(".c"))
    return sorted(seen)


def state(top):
    """{stage: (revision, hash)}"""
    found = {}
    metas = [("", meta) for meta in (top / "modules" / "stages").glob("*.meta.json")]
    metas += [("assembler:", meta) for meta in (top / "modules" / "assemblers").glob("*.meta.json")]
    for prefix, meta in sorted(metas):
        name = meta.name.removesuffix(".meta.json")
        digest = hashlib.sha256()
        for path in sources(top, meta.with_name(name + ".c")):
            digest.update(path.relative_to(top).as_posix().encode() + b"\0")
            digest.update(path.read_bytes() + b"\0")
        revision = json.loads(meta.read_text())["org.coppice.revision"]
        found[prefix + name] = (revision, digest.hexdigest()[:32])
    return found


def read_table(path):
    table = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        if line and not line.startswith("#"):
            name, revision, digest, *why = line.split(None, 3)
            table[name] = (int(revision), digest, why[0] if why else "")
    return table


def write_table(path, table):
    lines = ["# stage, revision, hash of its sources, why they changed and its output did not;"
             " see revisions.py"]
    lines += [" ".join(str(part) for part in (name, *row)).rstrip() for name, row in sorted(table.items())]
    path.write_text("\n".join(lines) + "\n")


def check(now, table):
    for name, (revision, digest) in now.items():
        row = table.get(name)
        if row is None:
            yield f"{name}: not in the table; run revisions.py TOP --update"
        elif digest != row[1] and revision <= row[0]:
            yield (f"{name}: its sources changed; raise org.coppice.revision in {name}.meta.json and run"
                   f" revisions.py TOP --update, or, if its output is the same, --unchanged WHY {name}")
        elif (revision, digest) != row[:2]:
            yield f"{name}: the table is behind; run revisions.py TOP --update"
    for name in table.keys() - now.keys():
        yield f"{name}: in the table but gone; run revisions.py TOP --update"


def update(now, table):
    new = {}
    for name, (revision, digest) in now.items():
        row = table.get(name)
        if row and digest != row[1] and revision <= row[0]:
            sys.exit(f"{name}: its sources changed but not its revision; --unchanged WHY {name}?")
        new[name] = row if row and row[:2] == (revision, digest) else (revision, digest, "")
    return new


def main():
    top = pathlib.Path(sys.argv[1]).resolve()
    path = top / "tests" / "modules" / "revisions.txt"
    now, table = state(top), read_table(path)
    words = sys.argv[2:]
    if words[:1] == ["--update"]:
        write_table(path, update(now, table))
    elif words[:1] == ["--unchanged"] and len(words) >= 2:
        for name in words[2:] or [name for name in now if name in table and table[name][1] != now[name][1]]:
            table[name] = (*now[name], "output unchanged: " + words[1])
        write_table(path, table)
    elif words:
        sys.exit(__doc__)
    problems = list(check(now, read_table(path)))
    print("\n".join(problems + [f"{len(now)} stages, {len(problems)} problems"]))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

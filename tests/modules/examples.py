#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""examples.py COPPICE LIBDIR TOP: docs/stages.md has every stage, and its examples are valid.

Each row `| names | options | ... | {example} |` gives a manifest of one stage, which is inspected.
"""
import json
import pathlib
import re
import subprocess
import sys

COPPICE, LIBDIR, TOP = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
SUM = "sha256:" + "0" * 64
FILES = {"type": "org.osbuild.files", "origin": "org.osbuild.source", "references": [SUM]}
TREE = {"type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": ["name:other"]}
DEVICE = {"type": "org.osbuild.loopback", "options": {"filename": "disk.img"}}


def parts_of(name):
    """What the stage cannot be without, beside its options."""
    schema = json.loads((TOP / "modules" / "stages" / f"{name}.meta.json").read_text()).get("schema_2", {})
    inputs = schema.get("inputs", {})
    found = {key: TREE if "org.osbuild.tree" in json.dumps(inputs["properties"][key]) else FILES
             for key in inputs.get("required", [])}
    devices = {key: DEVICE for key in schema.get("devices", {}).get("required", [])}
    return {**({"inputs": found} if found else {}), **({"devices": devices} if devices else {})}


def check(name, options):
    stage = {"type": name, "options": options, **parts_of(name)}
    manifest = {"version": "2", "sources": {"org.osbuild.inline": {"items": {
        SUM: {"encoding": "base64", "data": ""}}}},
        "pipelines": [{"name": "other", "stages": []}, {"name": "tree", "stages": [stage]}]}
    run = subprocess.run([COPPICE, "osbuild", "--libdir", LIBDIR, "--inspect", "-"], input=json.dumps(manifest),
                         capture_output=True, text=True, check=False)
    return [] if run.returncode == 0 else [f"{name}: {json.dumps(options)}: {run.stdout}{run.stderr}"]


def main():
    wrong, seen = [], set()
    section = ""
    for line in (TOP / "docs" / "stages.md").read_text().splitlines():
        section = line[3:] if line.startswith("## ") else section
        row = re.match(r"\| ([a-z0-9., -]+) \|", line)
        if not row or section.startswith("Where they differ") or row[1] in ("stage", "assembler", "stage of ours"):
            continue
        place = "org.coppice." if section.startswith("Debian") else "org.osbuild."
        kind = "assembler:" if section.startswith("Assemblers") else ""
        names = [place + name for name in row[1].split(", ")]
        seen.update(kind + name for name in names)
        example = re.search(r"`(\{.*\})` \|$", line)
        if example and not kind:
            wrong += check(names[-1], json.loads(example[1]))
    there = {path.name.removesuffix(".meta.json") for path in (TOP / "modules" / "stages").glob("*.meta.json")}
    there |= {"assembler:" + path.name.removesuffix(".meta.json")
              for path in (TOP / "modules" / "assemblers").glob("*.meta.json")}
    wrong += [f"docs/stages.md does not have {name}" for name in sorted(there - seen)]
    wrong += [f"docs/stages.md has {name}, which is no module" for name in sorted(seen - there)]
    print("\n".join(wrong))
    return 1 if wrong or not seen else 0


sys.exit(main())

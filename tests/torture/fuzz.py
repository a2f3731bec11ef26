#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fuzz.py [--points N] [--seed S]: what comes from outside, damaged at random: images,
dumps, manifests, archives, names, and what a store keeps about itself.

Nothing crashes, hangs or trips a sanitizer; a failure is one line; what a command said 0 to
is whole afterwards; and nothing in the store that was sound is lost.
"""
import argparse
import json
import os
import random
import sys

import lab

SEEDS = {}
STORE = None


def mutate(data, rng):
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(6)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(data):
            data[at] = rng.choice([0, 1, 0x7f, 0x80, 0xff, 0x2f, 0x2e, 0x0a])
        elif kind == 2:
            del data[at:at + rng.choice([1, 4, 32, 512])]
        elif kind == 3:
            data[at:at] = rng.randbytes(rng.choice([1, 4, 32]))
        elif kind == 4:
            other = rng.randrange(len(data) + 1)
            data[at:at + 16] = data[other:other + 16]
        else:
            data[at:at + 8] = rng.choice([0, 1, 0xffffffff, 1 << 31, 1 << 62]).to_bytes(8, "little")
    return bytes(data)


def check(result, where):
    text = result.stderr.decode(errors="replace")
    if result.returncode not in (0, 1, 2) or "Sanitizer" in text or "runtime error" in text:
        raise lab.Violation(f"{where}: {result.returncode}: {text[:1500]}")
    if result.returncode and text.count("\n") != 1:
        raise lab.Violation(f"{where}: not one line: {text[:500]!r}")
    return result.returncode


def coppice(place, *args, **options):
    return check(lab.run(place, *args, status=None, env={**lab.QUIET, "COPPICE_THREADS": "1"}, timeout=30,
                         **options), args)


def fuzz_image(place, rng):
    """An object whose digest is right and whose bytes are not an image that coppice wrote."""
    data = mutate(SEEDS["image"], rng)
    data += bytes(-len(data) % 4096) if rng.random() < 0.8 else b""
    if data == SEEDS["image"]:
        return
    digest = lab.oracle.verity(data)
    path = place / "objects" / digest[:2] / digest[2:]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    os.chmod(path, 0o444)
    link = place / "refs/name/fuzz"
    link.symlink_to(f"../../objects/{digest[:2]}/{digest[2:]}")
    for args in (["dump", "fuzz"], ["ls", "-lR", "fuzz"], ["diff", "fuzz", "a"], ["export", "fuzz", "-"],
                 ["gc", "--dry-run"], ["log", "fuzz"]):
        coppice(place, *args)
    link.unlink()
    path.unlink()


def fuzz_dump(place, rng):
    coppice(place, "digest", "--from-dump", "-", input=mutate(SEEDS["dump"], rng))


def fuzz_manifest(place, rng):
    path = place.parent / f"m-{os.getpid()}.json"
    path.write_bytes(mutate(SEEDS["manifest"], rng))
    coppice(place, "inspect", path)


def fuzz_archive(place, rng):
    for name in ("tar", "oci"):
        if coppice(place, "import", "-", "fuzz", input=mutate(SEEDS[name], rng)) == 0:
            coppice(place, "ref", "rm", "fuzz")


def fuzz_ref(place, rng):
    """Links that no coppice makes, and words that are no names."""
    target = os.readlink(place / "refs/name/a")
    link = place / "refs" / rng.choice(["name", "stage", "failed"]) / \
        mutate(b"0123456789abcdef" * 4, rng).translate(None, b"\0/").decode("latin-1")[:200]
    try:
        link.symlink_to(mutate(target.encode(), rng).translate(None, b"\0")[:1000].decode("latin-1") or "x")
    except OSError:
        return
    for args in (["refs", "--all"], ["dump", link.name], ["gc", "--dry-run"], ["ref", "set", "a2", "a"],
                 ["ref", "rm", "a2"]):
        coppice(place, *[os.fsencode(arg).decode("utf-8", "surrogateescape") for arg in args if arg])
    link.unlink()


def fuzz_meta(place, rng):
    """Notes of the store: whatever stands there, no tree is lost."""
    victims = [path for path in (place / "meta").rglob("*") if path.is_file()] + [place / "format"]
    path = rng.choice(sorted(victims))
    before = path.read_bytes()
    os.chmod(path, 0o600)
    path.write_bytes(mutate(before or b"{}", rng))
    for args in (["refs"], ["log", "a"], ["status"], ["gc", "--explain"], ["export", "a", "-"]):
        coppice(place, *args)
    if path.name == "format":
        path.write_bytes(before)
    lab.remove(place / "meta" / "refs" if "refs" in path.parts else "/nonexistent")
    coppice(place, "gc")


def fuzz_moves(place, rng):
    """What a killed commit left, with words in it that no commit wrote."""
    work = place / "tmp" / "commit-0123456789abcdef"
    work.mkdir(parents=True)
    digest = os.readlink(place / "refs/name/a").replace("../../objects/", "").replace("/", "")
    other = lab.oracle.verity(b"z" * 100)
    (work / "in").mkdir()
    (work / "in" / "1").write_bytes(b"z" * 100)
    (work / "image").write_bytes(SEEDS["image"])
    text = f"coppice-moves 1\nobject {digest} {len(SEEDS['image'])}\nfile {other} 100 in/1\nend\n"
    if rng.random() < 0.3:
        # Nothing to be seen from outside, but not what the list says.
        (work / "in" / "1").write_bytes(b"z" * 99 + b"!")
        (work / "moves").write_bytes(text.encode())
    else:
        (work / "moves").write_bytes(mutate(text.encode(), rng))
    coppice(place, "ref", "set", "again", "a")
    coppice(place, "ref", "rm", "again")


KINDS = [fuzz_image, fuzz_dump, fuzz_manifest, fuzz_archive, fuzz_ref, fuzz_meta, fuzz_moves]


def try_one(point):
    kind, seed = point
    place = STORE.parent / f"copy-{os.getpid()}"
    lab.remove(place)
    lab.copy(STORE, place)
    before = lab.refs(place)
    try:
        kind(place, random.Random(seed))
        after = lab.refs(place)
        if after != before:
            raise lab.Violation("names changed")
        lab.judge(place)
    except (lab.Violation, lab.subprocess.TimeoutExpired) as problem:
        return point, str(problem)
    return point, None


def main():
    global STORE
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("COPPICE_SEED", "1")))
    parser.add_argument("--at", help="KIND:SEED, as it is printed with a violation")
    args = parser.parse_args()
    report = lab.Report("fuzz", args.seed)
    lab.own_mounts()
    top = lab.in_memory("fuzz")
    STORE = top / "store"
    digest = lab.out(STORE, "commit", lab.make_tree(top / "tree", 1), "a")
    SEEDS["image"] = (STORE / "objects" / digest[:2] / digest[2:]).read_bytes()
    SEEDS["dump"] = lab.run(STORE, "dump", "a").stdout
    SEEDS["tar"] = lab.run(STORE, "export", "a", "-").stdout
    SEEDS["oci"] = lab.run(STORE, "export", "a", "-", "--format", "oci").stdout
    SEEDS["manifest"] = json.dumps({"version": "2", "pipelines": [{"name": "tree", "stages": [
        {"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/etc", "mode": 493}]}},
        {"type": "org.osbuild.hostname", "options": {"hostname": "torture"}}]}],
        "sources": {"org.osbuild.inline": {"items": {}}}}).encode()
    rng = random.Random(args.seed)
    points = [(KINDS[number % len(KINDS)], rng.random()) for number in range(args.points)]
    if args.at:
        name, seed = args.at.split(":")
        points = [(globals()[name], float(seed))]
    for (kind, seed), complaint in lab.in_parallel(try_one, points):
        report.count(kind.__name__.removeprefix("fuzz_"))
        if complaint:
            report.violation(f"--at {kind.__name__}:{seed}", complaint)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())

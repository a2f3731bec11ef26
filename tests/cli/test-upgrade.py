#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test-upgrade.py COPPICE GOLDEN: stores that earlier versions wrote.

Each GOLDEN/stores/VERSION.tar.xz holds `store`, and `expected.json`: {ref: digest} and the
SHA-256 of the tar archive that each tree is exported as.  They are read, written to and
collected by this version, and judged by the oracle.  A release adds its own, for ever:

    test-upgrade.py COPPICE GOLDEN --add VERSION
"""
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tarfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "torture"))
os.environ["COPPICE"] = sys.argv[1]
import lab  # noqa: E402

STORES = pathlib.Path(sys.argv[2]) / "stores"
MANIFEST = {"version": "2", "pipelines": [{"name": "tree", "source-epoch": 1_700_000_000, "stages": [
    {"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/etc"}, {"path": "/srv", "mode": 448}]}},
    {"type": "org.osbuild.hostname", "options": {"hostname": "golden"}}]}]}


def exported(store, name):
    return hashlib.sha256(lab.run(store, "export", name, "-").stdout).hexdigest()


def add(version):
    top = lab.scratch("golden")
    store = top / "store"
    for seed, name in ((1, "one"), (2, "dir/two"), (3, "dir/three")):
        lab.out(store, "commit", lab.make_tree(top / f"tree-{seed}", seed, 4, (20, 100, 3000)), name)
    (top / "m.json").write_text(json.dumps(MANIFEST))
    lab.run(store, "build", top / "m.json", "--checkpoint", "all")
    lab.run(store, "pin", "one")
    lab.run(store, "gc", "--max-size", "1G", "--save")
    refs = lab.refs(store)
    expected = {"refs": refs, "archives": {name: exported(store, digest) for name, digest in refs.items()}}
    (top / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True))
    with tarfile.open(STORES / f"{version}.tar.xz", "w:xz", format=tarfile.PAX_FORMAT) as archive:
        archive.add(store, "store")
        archive.add(top / "expected.json", "expected.json")


def check(path):
    top = lab.scratch("upgrade")
    subprocess.run(["tar", "-C", top, "--no-same-owner", "-pxJf", path], check=True)
    store, expected = top / "store", json.loads((top / "expected.json").read_text())
    lab.judge(store)
    assert lab.refs(store) == expected["refs"]
    for name, digest in expected["refs"].items():
        word = name.split("/", 1)[1] if name.startswith("name/") else digest
        assert exported(store, word) == expected["archives"][name], name
        assert exported(store, digest) == expected["archives"][name], name
    new = lab.out(store, "commit", lab.make_tree(top / "new", 7), "new")
    lab.out(store, "export", "one", top / "same")
    lab.out(store, "commit", top / "same", "same")
    assert lab.refs(store) == {**expected["refs"], "name/new": new, "name/same": expected["refs"]["name/one"]}
    lab.run(store, "gc")
    assert lab.refs(store).keys() >= expected["refs"].keys()
    lab.run(store, "ref", "rm", "dir/two")
    lab.run(store, "gc")
    lab.judge(store, complete=True)


def main():
    if sys.argv[3:4] == ["--add"]:
        add(sys.argv[4])
        return 0
    if os.geteuid() != 0:
        print("skipped: their trees have files of several owners, which takes root")
        return 77
    failed = 0
    paths = sorted(STORES.glob("*.tar.xz"))
    assert paths, "no stores"
    for path in paths:
        try:
            check(path)
            print(f"[       OK ] a_store_of_{path.name.removesuffix('.tar.xz')}_is_read_and_written")
        except (AssertionError, lab.Violation, subprocess.CalledProcessError) as problem:
            failed += 1
            print(f"[  FAILED  ] a_store_of_{path.name.removesuffix('.tar.xz')}: {problem!r}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

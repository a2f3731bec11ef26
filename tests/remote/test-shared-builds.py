#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test-shared-builds.py COPPICE: build --remote, and who may be believed."""
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from remotelib import Skipped, run_claims  # noqa: E402


def stage(name):
    return {"type": "org.osbuild.mkdir", "options": {"paths": [{"path": f"/{name}"}]}}


def manifest(place, *names):
    if os.geteuid() != 0:
        raise Skipped("stages are run as root")
    path = place.top / "manifest.json"
    path.write_text(json.dumps({"version": "2", "pipelines": [
        {"name": "tree", "source-epoch": 1_700_000_000, "stages": [stage(n) for n in names]}]}))
    return path


def build(place, store, path, *options, **more):
    return place.run(store, "build", path, "--checkpoint", "all", *options, **more)


def add(place, store, *options):
    place.run(store, "remote", "add", "team", f"file://{place.place()}", *options)


def key(place, name):
    private, public = place.top / f"{name}.key", place.top / f"{name}.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True,
                   capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True,
                   capture_output=True)
    return private, public


def what_one_has_built_another_fetches(p):
    path = manifest(p, "a", "b", "c")
    add(p, "a")
    first = build(p, "a", path, "--remote", "team")
    assert first.stderr.count(" ran ") == 3 and "sent 3 checkpoints" in first.stderr, first.stderr
    add(p, "b")
    second = build(p, "b", path, "--remote", "team", "--export", "tree", "--output-directory",
                   p.top / "out")
    assert " ran " not in second.stderr and second.stderr.count("cached") == 3, second.stderr
    assert second.stdout == first.stdout
    assert sorted(os.listdir(p.top / "out" / "tree")) == ["a", "b", "c"]


def only_what_is_new_is_run(p):
    add(p, "a")
    build(p, "a", manifest(p, "a", "b"), "--remote", "team")
    add(p, "b")
    second = build(p, "b", manifest(p, "a", "b", "z"), "--remote", "team")
    assert second.stderr.count("cached") == 2 and second.stderr.count(" ran ") == 1, second.stderr


def a_build_without_the_remote_says_so_once_and_goes_on(p):
    path = manifest(p, "a", "b", "c")
    add(p, "a")
    p.place().rename(p.top / "elsewhere")
    result = build(p, "a", path, "--remote", "team")
    assert result.stderr.count(" ran ") == 3, result.stderr
    assert result.stderr.count("going on without remote 'team'") == 1, result.stderr
    assert "no remote 'nil'" in p.error("a", "build", path, "--remote", "nil")


def a_remote_that_breaks_off_does_not_fail_the_build(p):
    path = manifest(p, "a", "b")
    add(p, "a")
    add(p, "b")
    build(p, "a", path, "--remote", "team")
    for pack in (p.place() / "v1" / "p").rglob("*"):
        if pack.is_file():
            pack.write_bytes(b"\0" * pack.stat().st_size)
    result = build(p, "b", path, "--remote", "team")
    assert result.stderr.count(" ran ") == 2 and "is run instead" in result.stderr, result.stderr


def a_stage_can_be_pushed_by_hand(p):
    path = manifest(p, "a")
    ids = build(p, "a", path).stdout.split("\t")
    add(p, "a")
    p.run("a", "push", "team", ids[1])
    add(p, "b")
    assert "cached" in build(p, "b", path, "--remote", "team").stderr


def another_tree_for_the_same_key_is_reported_and_not_replaced(p):
    path = manifest(p, "a")
    add(p, "a")
    build(p, "a", path, "--remote", "team")
    entry = next(f for f in (p.place() / "v1" / "k").rglob("*") if f.is_file())
    text = json.loads(entry.read_text())
    text["object"] = "0" * 63 + "1"
    entry.write_text(json.dumps(text))
    p.tree.mkdir()
    build(p, "c", path)
    add(p, "c")
    identifier = build(p, "c", path).stdout.split("\t")[1]
    assert "not reproducible" in p.run("c", "push", "team", identifier).stderr
    assert json.loads(entry.read_text()) == text


def what_is_not_signed_by_a_trusted_key_is_a_miss(p):
    ours, ours_public = key(p, "ours")
    theirs, _ = key(p, "theirs")
    path = manifest(p, "a", "b")
    add(p, "none")
    build(p, "none", path, "--remote", "team")
    add(p, "reader", "--trust", ours_public, "--require-signatures")
    result = build(p, "reader", path, "--remote", "team")
    assert "is not signed; it is not used" in result.stderr, result.stderr
    assert result.stderr.count(" ran ") == 2, result.stderr

    p.place().rename(p.top / "unsigned")
    add(p, "wrong", "--sign-key", theirs, "--builder", "ours")
    build(p, "wrong", path, "--remote", "team")
    add(p, "reader2", "--trust", ours_public, "--require-signatures")
    result = build(p, "reader2", path, "--remote", "team")
    assert "not signed by a key of the keyring" in result.stderr, result.stderr
    assert result.stderr.count(" ran ") == 2, result.stderr

    p.place().rename(p.top / "wrong-place")
    add(p, "right", "--sign-key", ours, "--builder", "ours")
    build(p, "right", path, "--remote", "team")
    add(p, "reader3", "--trust", ours_public, "--require-signatures")
    assert " ran " not in build(p, "reader3", path, "--remote", "team").stderr


def names_are_signed_and_a_signature_speaks_of_one_name_only(p):
    ours, public = key(p, "ours")
    p.grow(small=5, large=0)
    p.commit("a", "one")
    add(p, "a", "--sign-key", ours, "--builder", "ours")
    p.run("a", "push", "team", "one")
    add(p, "b", "--trust", public, "--require-signatures")
    p.run("b", "pull", "team", "one")
    refs = p.place() / "v1" / "r"
    (refs / "two").write_text((refs / "one").read_text())
    assert "not signed by a key" in p.error("b", "pull", "team", "two")
    text = (refs / "one").read_text()
    (refs / "one").write_text(text.replace('"object": "', '"object": "').replace(
        json.loads(text)["object"], "0" * 64))
    assert "not signed by a key" in p.error("b", "pull", "team", "one")


def wrong_keys_are_refused_when_they_are_given(p):
    _, public = key(p, "ours")
    place = f"file://{p.place()}"
    for options, words in (
            (["--sign-key", p.top / "nil", "--builder", "x"], "nil"),
            (["--sign-key", public, "--builder", "x"], "no private key"),
            (["--sign-key", public], "name of the builder"),
            (["--trust", p.top / "ours.key"], "no public key"),
            (["--require-signatures"], "keys that are trusted")):
        assert words in p.error("a", "remote", "add", "team", place, *options), (options, words)
    assert p.out("a", "remote", "list") == ""


if __name__ == "__main__":
    sys.exit(run_claims(globals()))

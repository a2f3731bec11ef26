#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test-hostile.py COPPICE: remotes that were written to do harm.

What is written well by the same hand can be pulled; so it is the harm that is refused.
"""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from handmade import Remote, bomb, frame  # noqa: E402
from remotelib import COPPICE, noise, run_claims, verity  # noqa: E402

MEMORY = 500_000  # KiB; what declares gigabytes must not get them


def remote(at):
    """A remote with a tree, not yet written, and its text."""
    (at.tree / "usr").mkdir(parents=True)
    contents = [noise(3000, 1), noise(90_000, 2)]
    for number, content in enumerate(contents):
        (at.tree / "usr" / f"f{number}").write_bytes(content)
    digest = at.commit("a", "one")
    text = at.out("a", "dump", "one").encode()
    place = at.place("handmade")
    return Remote(place, digest, text, {verity(content): content for content in contents}), text


def pull(at):
    """One line, exit 1, nothing in the store, and little memory."""
    at.run("b", "remote", "add", "r", f"file://{at.top}/handmade")
    before = at.snapshot("b")
    process = subprocess.Popen([COPPICE, "--store", at.top / "b", "pull", "r", "one"], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process.stderr as stream:
        lines = stream.read().strip().splitlines()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    assert process.returncode == 1 and len(lines) == 1, (process.returncode, lines)
    assert usage.ru_maxrss < MEMORY, usage.ru_maxrss
    after = [entry for entry in at.snapshot("b") if entry not in before]
    assert not [name for name, _ in after if name.startswith(("refs/", "objects/"))], after
    at.check_pool("b")
    at.run("b", "remote", "rm", "r")
    return lines[0]


def what_is_written_after_the_documentation_can_be_pulled(p):
    made, _ = remote(p)
    made.write()
    p.run("b", "remote", "add", "r", f"file://{p.top}/handmade")
    p.run("b", "pull", "r", "one")
    p.same_tree("a", "b", "one")


def names_that_lead_out_of_the_tree_are_refused(p):
    made, text = remote(p)
    for bad in (b"/../f0", b"/usr/../f0", b"/usr/./f0", b"/usr//f0", b"f0", b"/usr/..", b"/usr/.",
                b"/usr/f\\x000", b"/nowhere/f0", b"/usr/f1", b"/usr/a\\x2fb"):
        damaged = text.replace(b"/usr/f0", bad)
        made.stored, made.text_size = bytes(32) + frame(damaged), len(damaged)
        made.write()
        assert "the tree is damaged" in pull(p), bad


def paths_in_places_of_digests_are_refused(p):
    made, _ = remote(p)
    made.write()
    key = made.root / "v1" / "r" / "one"
    good = key.read_text()
    for bad in ("../../../../etc/passwd", "ab/" + "c" * 61, "A" * 64, "0" * 63, ""):
        key.write_text(good.replace(made.object, bad))
        pull(p)
    key.write_text(good)
    plan = made.root / "v1" / "m" / made.object[:2] / made.object
    good = plan.read_text()
    for bad in ("../../../../etc/passwd", "A" * 64, "0" * 65):
        plan.write_text(good.replace(made.plan["segments"][0], bad))
        pull(p)
        plan.write_text(good.replace(f'["{made.object}"]', f'["{bad}"]'))
        pull(p)


def more_than_there_can_be_is_not_believed(p):
    made, text = remote(p)
    digest = min(made.files)
    for size in (1 << 31, (1 << 32) - 1):
        made.text_size = size
        made.write()
        pull(p)
    made.text_size = 100
    made.write()
    assert "damaged" in pull(p)
    made = Remote(made.root, made.object, text, made.files)
    for size in ((1 << 32) - 1, 1 << 20):
        made.sizes[digest] = size
        made.write()
        pull(p)
    made.sizes.clear()
    for size in ((1 << 32) - 1, 1 << 30, 1):
        made.tables_size = size
        made.write()
        pull(p)


def what_grows_without_end_is_stopped(p):
    made, text = remote(p)
    for claimed in (len(text), 1 << 30, 1 << 60):
        made.stored = bytes(32) + bomb(1 << 30, claimed)
        made.write()
        pull(p)
    made.stored = bytes(32) + frame(text)
    for claimed in (None, 1 << 30):
        made.pack_tables = lambda tables, claimed=claimed: bomb(1 << 30, claimed or len(tables))
        made.write()
        pull(p)


def bodies_that_do_not_end_are_not_read(p):
    made, _ = remote(p)
    made.write()
    for path in (made.root / "v1" / "config", made.root / "v1" / "r" / "one",
                 made.root / "v1" / "m" / made.object[:2] / made.object):
        good = path.read_bytes()
        os.truncate(path, 1 << 32)
        if path.name == "config":
            assert "larger" in p.error("b", "remote", "add", "x", f"file://{made.root}")
        else:
            assert "larger" in pull(p)
        path.write_bytes(good)


def content_of_another_digest_is_refused(p):
    made, text = remote(p)
    first, second = sorted(made.files)
    made.files[first] = noise(len(made.files[first]), 99)
    made.write()
    assert "is something else" in pull(p)
    made.files[first] = made.files[second]
    made.write()
    pull(p)
    other = text.replace(b" 100644 ", b" 104755 ")
    assert other != text
    made.stored, made.text_size = bytes(32) + frame(other), len(other)
    made.write()
    assert "another one" in pull(p)


if __name__ == "__main__":
    sys.exit(run_claims(globals()))

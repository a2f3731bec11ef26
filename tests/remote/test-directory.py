#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test-directory.py COPPICE: sharing through a directory, and what every kind of remote does."""
import os
import pathlib
import re
import shutil
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from remotelib import noise, run_claims, words  # noqa: E402


def add(p, store, name="shared", place="place", *options):
    p.run(store, "remote", "add", name, f"file://{p.place(place)}", *options)


def keys(p, prefix):
    return sorted(str(f.relative_to(p.top / "place")) for f in (p.top / "place" / prefix).rglob("*")
                  if f.is_file())


def what_one_store_pushes_another_pulls(p):
    p.grow()
    digest = p.commit("a", "one")
    add(p, "a")
    assert p.out("a", "push", "shared", "one") == f"one\t{digest}\n"
    add(p, "b")
    assert p.out("b", "pull", "shared", "one") == f"one\t{digest}\n"
    p.same_tree("a", "b", "one")
    assert p.check_pool("b") > 50


def nothing_is_sent_or_fetched_twice(p):
    p.grow()
    p.commit("a", "one")
    add(p, "a")
    first = p.json("a", "push", "shared", "one")
    again = p.json("a", "push", "shared", "one")
    assert first["files"] > 50 and again["files"] == 0 and again["sent"] < 2000, again
    add(p, "b")
    p.run("b", "pull", "shared", "one")
    assert p.json("b", "pull", "shared", "one")["received"] < 2000


def what_the_first_version_wrote_is_read_for_ever(p):
    golden = pathlib.Path(__file__).resolve().parents[1] / "golden" / "remote"
    p.run("a", "remote", "add", "golden", f"file://{golden}")
    assert p.out("a", "pull", "golden", "two", "one") == (
        "two\ta30972b0b0f6951b217064f907ec630f021f2e9f6d213a1aca74b671c66eadd2\n"
        "one\t7be16f388912d0017e462a383208e9eae41a3986dddfc5f49582ef36fac943ac\n")


def a_small_change_costs_little(p):
    p.grow(small=400)
    p.commit("a", "one")
    add(p, "a")
    p.run("a", "push", "shared", "one")
    add(p, "b")
    p.run("b", "pull", "shared", "one")
    (p.tree / "usr" / "bin" / "new").write_bytes(words(20_000, 5))
    p.commit("a", "two")
    sent = p.json("a", "push", "shared", "two")
    assert sent["requests"] <= 8 and sent["sent"] < 15_000 and sent["files"] == 1, sent
    got = p.json("b", "pull", "shared", "two")
    assert got["received"] < 15_000 and got["files"] == 1, got
    p.same_tree("a", "b", "two")


def a_store_that_knows_nothing_gets_the_last_of_many_changes(p):
    p.grow(large=1)
    add(p, "a")
    # More than a chain of dictionaries and a plan may have.
    for i in range(18):
        (p.tree / "usr" / "bin" / f"f{i}").write_bytes(words(300 + i, 9000 + i))
        p.commit("a", "moving")
        p.run("a", "push", "shared", "moving")
    add(p, "b")
    p.run("b", "pull", "shared", "moving")
    p.same_tree("a", "b", "moving")


def a_changed_block_of_a_large_file_is_all_that_is_sent(p):
    p.tree.mkdir()
    content = bytearray(noise(12_000_000, 3))
    (p.tree / "disk").write_bytes(content)
    p.commit("a", "one")
    add(p, "a")
    p.run("a", "push", "shared", "one")
    content[5_000_000:5_000_100] = bytes(100)
    (p.tree / "disk").write_bytes(content)
    p.commit("a", "two")
    sent = p.json("a", "push", "shared", "two")["sent"]
    assert sent < 1_200_000, sent
    add(p, "b")
    p.run("b", "pull", "shared", "two")
    p.same_tree("a", "b", "two")


def an_empty_tree_and_a_tree_of_small_files_can_be_shared(p):
    p.tree.mkdir()
    p.commit("a", "empty")
    (p.tree / "name").write_text("here\n")
    p.commit("a", "tiny")
    add(p, "a")
    p.run("a", "push", "shared", "empty", "tiny")
    add(p, "b")
    p.run("b", "pull", "shared", "tiny", "empty")
    for name in ("empty", "tiny"):
        assert p.out("a", "dump", name) == p.out("b", "dump", name)


def a_tree_can_be_pushed_and_pulled_by_digest_and_under_another_name(p):
    p.grow(large=0)
    digest = p.commit("a", "one")
    add(p, "a")
    p.run("a", "push", "shared", digest[:12])
    add(p, "b")
    assert digest in p.out("b", "pull", "shared", digest)
    assert p.out("b", "refs") == ""
    p.run("a", "push", "shared", "one", "--as", "debian/12")
    p.run("b", "pull", "shared", "debian/12", "--as", "mine")
    assert p.out("b", "refs") == f"mine\t{digest}\n"
    assert "has no name 'one'" in p.error("b", "pull", "shared", "one")


def a_push_that_was_killed_goes_on_where_it_was(p):
    p.tree.mkdir()
    for i in range(9):
        (p.tree / f"f{i}").write_bytes(noise(8_000_000, i))
    for i in range(100):
        (p.tree / f"s{i}").write_bytes(noise(30_000, 100 + i))
    p.commit("a", "one")
    add(p, "a")
    push = p.start("a", "push", "shared", "one")
    deadline = time.monotonic() + 60
    while len(keys(p, "v1/p")) < 2 and time.monotonic() < deadline and push.poll() is None:
        time.sleep(0.01)
    push.send_signal(signal.SIGKILL)
    push.communicate()
    before = [k for k in keys(p, "v1/p") if "/." not in k]
    assert before and not keys(p, "v1/r"), before
    sent = p.json("a", "push", "shared", "one")["sent"]
    assert sent < 75_000_000 - 22_000_000, sent
    assert not keys(p, "v1/w")
    add(p, "b")
    p.run("b", "pull", "shared", "one")
    p.same_tree("a", "b", "one")


def wrong_bytes_are_refused_and_leave_the_store_as_it_was(p):
    p.grow()
    p.commit("a", "one")
    add(p, "a")
    p.run("a", "push", "shared", "one")
    add(p, "b")
    before = p.snapshot("b")
    for prefix in ("v1/p", "v1/i", "v1/m", "v1/r"):
        path = p.top / "place" / keys(p, prefix)[0]
        good = path.read_bytes()
        bad = bytearray(good)
        for i in range(len(bad) // 3, len(bad), 4096):
            bad[i] ^= 0x55
        path.write_bytes(bad)
        shutil.rmtree(p.top / "b" / "remotes" / "shared" / "index", ignore_errors=True)
        line = p.error("b", "pull", "shared", "one")
        assert "one" in line, line
        path.write_bytes(good[:len(good) * 2 // 3])
        shutil.rmtree(p.top / "b" / "remotes" / "shared" / "index", ignore_errors=True)
        p.error("b", "pull", "shared", "one")
        path.write_bytes(good)
    assert not [n for n, _ in p.snapshot("b") if n.startswith(("refs/name/", "objects/"))
                and (n, _) not in before]
    p.check_pool("b")
    p.run("b", "pull", "shared", "one")
    p.same_tree("a", "b", "one")


def one_tree_in_the_place_of_another_is_refused(p):
    p.grow(large=0)
    p.commit("a", "one")
    add(p, "a")
    p.run("a", "push", "shared", "one")
    (p.tree / "usr" / "bin" / "f1").write_text("something else\n" * 20)
    p.commit("a", "two")
    p.run("a", "push", "shared", "two")
    one, two = keys(p, "v1/m")
    (p.top / "place" / one).write_bytes((p.top / "place" / two).read_bytes())
    add(p, "b")
    results = [p.run("b", "pull", "shared", n, status=s) for n, s in
               (("one", 1 if p.out("a", "refs").split()[1] in one else 0),
                ("two", 1 if p.out("a", "refs").split()[3] in one else 0))]
    assert sum("another object's" in r.stderr for r in results) == 1


def a_damaged_file_of_the_store_is_not_sent(p):
    p.grow()
    p.commit("a", "one")
    victim = next(f for f in (p.top / "a" / "files").rglob("*")
                  if f.is_file() and f.stat().st_size > 3000)
    os.chmod(victim, 0o644)
    victim.write_bytes(b"x" * victim.stat().st_size)
    add(p, "a")
    assert "damaged" in p.error("a", "push", "shared", "one")
    assert not keys(p, "v1/r")


def a_remote_of_a_later_format_is_refused_by_name(p):
    add(p, "a")
    config = p.top / "place" / "v1" / "config"
    text = config.read_text()
    config.write_text(text.replace('"coppice-remote": 1', '"coppice-remote": 7'))
    assert "format 7" in p.error("b", "remote", "add", "x", f"file://{p.place()}")
    config.write_text(text.replace('"needs": []', '"needs": ["wings"]'))
    assert "'wings'" in p.error("b", "remote", "add", "x", f"file://{p.place()}")
    config.write_text("hello")
    assert "not that of a remote" in p.error("b", "remote", "add", "x", f"file://{p.place()}")
    assert p.out("b", "remote", "list") == ""


def remotes_are_added_listed_and_forgotten(p):
    add(p, "a")
    assert p.out("a", "remote", "list") == f"shared\tfile://{p.top}/place\n"
    assert "remote rm shared" in p.error("a", "remote", "add", "shared", f"file://{p.place()}")
    assert "file:///DIRECTORY" in p.error("a", "remote", "add", "x", "ftp://somewhere")
    assert "no remote 'nil'" in p.error("a", "pull", "nil", "one")
    p.error("a", "remote", "add", "../x", f"file://{p.place()}")
    p.error("a", "remote", "add", "x", f"file://{p.top}/missing")
    assert p.json("a", "remote", "probe", "shared") == {
        "write": True, "list": True, "range": True, "conditions": True}
    p.run("a", "remote", "rm", "shared")
    assert p.out("a", "remote", "list") == ""


def a_collection_takes_what_no_name_needs(p):
    p.grow(seed=1)
    p.commit("a", "one")
    add(p, "a")
    p.run("a", "push", "shared", "one")
    shutil.rmtree(p.tree)
    p.grow(seed=2)
    p.commit("a", "two")
    p.run("a", "push", "shared", "two")
    (p.top / "place" / "v1" / "r" / "one").unlink()
    dry = p.json("a", "remote", "gc", "shared", "--dry-run")
    assert dry["removed-files"] == 3 and dry["names"] == 1, dry
    assert p.json("a", "remote", "gc", "shared") == dry
    assert p.json("a", "remote", "gc", "shared")["removed-files"] == 0
    add(p, "b")
    p.run("b", "pull", "shared", "two")
    p.same_tree("a", "b", "two")
    assert "has no name" in p.error("b", "pull", "shared", "one")
    p.run("a", "push", "shared", "one")
    p.run("b", "pull", "shared", "one")


def size_of(p, prefix):
    return sum((p.top / "place" / key).stat().st_size for key in keys(p, prefix))


def a_collection_makes_packs_smaller_of_which_little_is_needed(p):
    add(p, "a")
    for _ in range(2):
        p.shrink()
        p.commit("a", "one")
        p.run("a", "push", "shared", "one")
    before = size_of(p, "v1/p")
    live = sum(f.stat().st_size for f in p.tree.iterdir())
    assert before > 2 * live, (before, live)
    dry = p.json("a", "remote", "gc", "shared", "--dry-run")
    assert dry["rewritten-packs"] == 1 and size_of(p, "v1/p") == before, dry
    add(p, "old")
    p.run("old", "pull", "shared", "one")
    done = p.json("a", "remote", "gc", "shared")
    assert done["rewritten-packs"] == 1, done
    assert done["removed-bytes"] == dry["removed-bytes"], (dry, done)
    assert size_of(p, "v1/p") < live * 1.1, (size_of(p, "v1/p"), live)
    add(p, "b")
    p.run("b", "pull", "shared", "one")
    p.same_tree("a", "b", "one")
    again = p.json("a", "remote", "gc", "shared")
    assert again["rewritten-packs"] == 0 and again["removed-files"] == 0, again
    # Only what is new is sent, also by a store that knew where all was before.
    (p.tree / "new").write_bytes(words(5000, 3))
    p.commit("old", "two")
    assert p.json("old", "push", "shared", "two")["files"] == 1
    p.run("b", "pull", "shared", "two")
    p.same_tree("old", "b", "two")
    # What had been dropped is sent again.
    shutil.rmtree(p.tree)
    p.shrink()
    p.commit("old", "three")
    assert p.json("old", "push", "shared", "three")["files"] > 60
    add(p, "c")
    p.run("c", "pull", "shared", "three")
    p.same_tree("old", "c", "three")


def a_collection_that_cannot_read_all_leaves_packs_as_they_are(p):
    add(p, "a")
    for _ in range(2):
        p.shrink()
        p.commit("a", "one")
        p.run("a", "push", "shared", "one")
    for name in keys(p, "v1/p"):
        path = p.top / "place" / name
        data = bytearray(path.read_bytes())
        for at in range(24, len(data), 64):
            data[at] ^= 1
        path.write_bytes(data)
    before = keys(p, "v1/p")
    shutil.rmtree(p.top / "a" / "remotes" / "shared" / "index", ignore_errors=True)
    add(p, "b")
    result = p.run("b", "remote", "gc", "shared")
    assert "no pack is made smaller" in result.stderr, result.stderr
    assert keys(p, "v1/p") == before


def a_collection_refuses_while_a_push_is_young(p):
    p.grow(large=0)
    p.commit("a", "one")
    add(p, "a")
    marker = p.place() / "v1" / "w" / ("0" * 16)
    marker.parent.mkdir(parents=True)
    marker.write_text("push from somewhere\n")
    assert "somebody pushes" in p.error("a", "remote", "gc", "shared")
    assert not (p.top / "place" / "v1" / "i" / "collecting").exists()
    os.utime(marker, (time.time() - 90000, time.time() - 90000))
    p.run("a", "remote", "gc", "shared")
    assert not marker.exists()


def a_push_refuses_while_a_collection_runs(p):
    p.grow(large=0)
    p.commit("a", "one")
    add(p, "a")
    lock = p.place() / "v1" / "i" / "collecting"
    lock.parent.mkdir(parents=True)
    lock.write_text("another")
    assert "remote gc shared" in p.error("a", "push", "shared", "one")
    assert "under way" in p.error("a", "remote", "gc", "shared")
    os.utime(lock, (time.time() - 90000, time.time() - 90000))
    p.run("a", "remote", "gc", "shared", "--young", "3600")
    p.run("a", "push", "shared", "one")


def another_remote_in_the_same_place_is_noticed(p):
    p.grow(large=0)
    p.commit("a", "one")
    add(p, "a")
    p.run("a", "push", "shared", "one")
    shutil.rmtree(p.place())
    add(p, "b")
    assert "is another remote" in p.error("a", "push", "shared", "one")
    assert "is another remote" in p.error("a", "pull", "shared", "one")


def a_push_says_what_it_cost(p):
    p.grow(large=0)
    p.commit("a", "one")
    add(p, "a")
    p.run("a", "push", "shared", "one")
    text = p.run("a", "push", "shared", "one").stderr
    assert re.search(r"sent 0 files .*: \d+ requests", text), text


if __name__ == "__main__":
    sys.exit(run_claims(globals()))

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test-care.py COPPICE: what keeps a store well, as a person meets it: gc, verify, pins."""
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from claims import load  # noqa: E402

COPPICE = sys.argv[1]


testcli = load(pathlib.Path(__file__).resolve().with_name("test-cli.py"))


def fill(tree, seed, size=100_000):
    """One file of its own for every seed."""
    tree.mkdir(exist_ok=True)
    (tree / "blob").write_bytes(random.Random(seed).randbytes(size))


def du(place, *parts):
    out = subprocess.run(["du", "-s", "-B1", *parts], cwd=place.store, check=True, text=True,
                         capture_output=True).stdout
    return sum(int(line.split()[0]) for line in out.splitlines())


def names(place):
    return [line.split("\t")[0] for line in place.out("refs").splitlines()]


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(0o444)


def blob(place):
    return max((path for path in (place.store / "files").rglob("*") if path.is_file()),
               key=lambda path: path.stat().st_size)


def gc_frees_what_no_name_needs_and_counts_as_du(p):
    fill(p.tree, 1)
    p.run("commit", p.tree, "one")
    fill(p.tree, 2)
    p.run("commit", p.tree, "two")
    p.run("ref", "rm", "two")
    before = du(p, "objects", "files", "sources")
    result = json.loads(p.out("--json", "gc"))
    assert result["gone"]["object"]["count"] == 1 and result["gone"]["file"]["count"] == 1, result
    assert result["kept-bytes"]["total"] == du(p, "objects", "files", "sources") < before
    assert p.out("cat", "one", "link") == "here\n"
    assert p.out("gc").startswith("freed 0 B: nothing\n")


def a_dry_run_and_an_explanation_say_what_and_why(p):
    for name in ("old", "new"):
        fill(p.tree, name)
        p.run("commit", p.tree, name)
    p.run("pin", "old")
    p.run("commit", p.tree, "gone")
    fill(p.tree, "more")
    p.run("commit", p.tree, "gone")
    p.run("ref", "rm", "gone")
    lines = p.out("gc", "--dry-run", "--explain", "--max-size", "1").splitlines()
    words = [tuple(line.split("\t")) for line in lines]
    assert ("stays", "name", "old", "-", "pinned") in words, words
    assert ("goes", "name", "new", "-", "not used for the longest time") in words, words
    assert any(w[:2] == ("goes", "object") and w[-1] == "nothing needs it" for w in words), words
    assert names(p) == ["new", "old"]
    result = json.loads(p.out("--json", "gc", "--max-size", "1"))
    assert {"old": False, "new": True} == {d["name"]: d["goes"] for d in result["decisions"]
                                          if d["kind"] == "name"}
    assert result["over-cap"] and names(p) == ["old"]


def a_saved_cap_takes_names_only_when_asked(p):
    p.run("gc", "--max-size", "250k", "--save")
    for number in range(4):
        fill(p.tree, number)
        p.run("commit", p.tree, f"n{number}")
        time.sleep(0.02)
    assert len(names(p)) == 4
    assert json.loads(p.out("--json", "status"))["max-size"] == 250000
    p.run("gc")
    assert names(p) == ["n3"], names(p)
    p.run("gc", "--max-size", "none", "--save")
    assert json.loads(p.out("--json", "status"))["max-size"] is None


def a_pin_holds_until_it_is_taken_off(p):
    p.run("commit", p.tree, "team/one")
    p.run("pin", "team/one")
    p.run("gc", "--max-size", "1")
    assert names(p) == ["team/one"]
    assert "unpin" in p.error("ref", "rm", "team/one")
    assert json.loads(p.out("--json", "status"))["pins"] == ["team/one"]
    p.run("unpin", "team/one")
    p.run("gc", "--max-size", "1")
    assert names(p) == []
    assert "no tree" in p.error("pin", "team/one")


def a_digest_cannot_be_pinned(p):
    digest = p.out("commit", p.tree, "one").strip()
    assert "name first" in p.error("pin", digest)


def a_wrong_size_is_a_usage_error(p):
    for size in ("0", "much", "5X", "-1", "99999999999999999999", "1.5G"):
        assert "--max-size" in p.error("gc", "--max-size", size, status=2)
    p.error("gc", "--save", status=2)
    p.error("gc", "more", status=2)


def status_adds_up_to_du(p):
    p.run("commit", p.tree, "one")
    p.run("gc")
    status = json.loads(p.out("--json", "status"))
    assert sum(part["bytes"] for part in status["usage"].values()) == status["bytes"] == du(p, ".")
    assert status["last-gc"]["removed"] == 0 and status["last-verify"] is None


def small_disk(p, size):
    small = p.top / "small"
    small.mkdir()
    result = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", small], check=False,
                            capture_output=True)
    if os.geteuid() != 0 or result.returncode:
        return None
    p.store = small / "store"
    return small


def a_full_disk_is_collected_once_and_said(p):
    small = small_disk(p, "2m")
    if not small:
        raise testcli.Skipped("mounting takes root")
    try:
        for number in range(3):
            fill(p.tree, number, 450_000)
            p.run("commit", p.tree, "garbage")
            p.run("commit", p.tree, f"keep{number}") if number == 0 else None
        fill(p.tree, 7, 700_000)
        result = p.run("commit", p.tree, "one")
        assert "the disk is full: collected" in result.stderr, result.stderr
        assert names(p) == ["garbage", "keep0", "one"]
        p.run("verify")
        fill(p.tree, 8, 1_900_000)
        assert "No space left" in p.error("commit", p.tree, "huge")
        assert p.run("verify").returncode == 0
        assert list((p.store / "tmp").iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=False)
    return None


def damage_is_told_healed_and_repaired(p):
    p.run("commit", p.tree, "one")
    p.run("commit", p.tree, "two")
    other = p.top / "other"
    subprocess.run(["cp", "-a", p.store, other], check=True)
    assert "verified" in p.out("verify")
    flip(blob(p))
    result = p.run("verify", status=1)
    assert " as /big: one, two" in result.stdout and "is wrong" in result.stdout, result.stdout
    assert "1 damaged" in result.stderr
    assert "damaged" in p.error("cat", "one", "big")
    p.run("commit", p.tree, "one")
    p.run("verify")
    flip(blob(p))
    report = json.loads(p.run("--json", "verify", "--repair", "--from", other).stdout)
    assert report["damaged"] == report["repaired"] == 1, report
    assert report["damage"][0]["repaired-from"] == str(other)
    p.run("verify")
    assert p.out("cat", "two", "big") == "0123456789" * 1000
    assert json.loads(p.out("--json", "status"))["last-verify"]["damaged"] == 0


def what_is_given_away_is_hashed_before(p):
    p.run("commit", p.tree, "one")
    flip(blob(p))
    assert p.out("--no-verify", "cat", "one", "big") != "0123456789" * 1000
    assert "cat one 'big': its content is damaged" in p.error("cat", "one", "big")
    p.run("--no-verify", "export", "one", p.top / "trusting")
    line = p.error("export", "one", p.top / "out")
    assert "'/big' is wrong" in line and "verify --repair" in line, line
    assert not (p.top / "out").exists()


def a_repair_needs_a_store_to_look_into(p):
    p.run("commit", p.tree, "one")
    p.error("verify", "--from", p.top / "x", status=2)
    assert "nowhere" in p.error("verify", "--repair", "--from", p.top / "nowhere")
    assert "no tree" in p.error("verify", "no-such")


def log_tells_where_a_tree_came_from(p):
    digest = p.out("commit", p.tree, "one").strip()
    found = json.loads(p.out("--json", "log", "one"))[0]
    assert found["name"] == "one" and found["digest"] == digest and found["meta"]["created"] > 0
    assert found["last-used"] >= found["meta"]["created"] - 1 and found["pinned"] is False
    p.run("pin", "one")
    text = p.out("log", "one")
    assert "last used" in text and "pinned" in text, text


def the_doctor_looks_at_everything(p):
    found = {c["check"]: c for c in json.loads(p.out("--json", "doctor"))}
    for check in ("kernel", "view", "mount namespaces", "user namespaces", "erofs", "overlayfs",
                  "loop devices", "kvm", "kernel keyring", "sandbox", "reflinks", "free space"):
        assert found[check]["state"] in ("yes", "no", "unknown"), (check, found.get(check))
        assert found[check]["state"] == "yes" or found[check]["remedy"], found[check]
    assert p.out("doctor").count("\n") >= len(found)
    assert not p.store.exists() or list((p.store / "tmp").iterdir()) == []


def a_running_command_keeps_its_tree(p):
    if os.geteuid() != 0:
        raise testcli.Skipped("the sandbox of another user's tree takes root")
    needed = subprocess.run(["ldd", "/bin/sh"], check=True, text=True, capture_output=True).stdout
    for path in ["/bin/sh", *re.findall(r"(/\S+) \(", needed)]:
        target = p.tree / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    p.run("commit", p.tree, "one")
    with subprocess.Popen([COPPICE, "--store", p.store, "run", "one", "--", "/bin/sh", "-c",
                           "echo begun; read line; read -r big </big; echo ${#big}"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        begun = process.stdout.readline()
        if begun != "begun\n":
            raise testcli.Skipped("no sandbox here: " + process.communicate()[1])
        p.run("ref", "rm", "one")
        result = json.loads(p.out("--json", "gc", "--explain"))
        out, words = process.communicate("\n", timeout=60)
    assert out.strip() == "10000", (out, words)
    assert any(d["why"].startswith("in use by tmp/") for d in result["decisions"]), result
    p.run("gc")
    assert not any(path.is_file() for path in (p.store / "objects").rglob("*"))
    return None


WORKER = """
import json, random, subprocess, sys, time
coppice, store, kind, number, seconds, top = sys.argv[1:]
def run(*args):
    return subprocess.run([coppice, "-q", "--store", store, *args], text=True, capture_output=True)
end = time.monotonic() + float(seconds)
rng = random.Random(int(number))
done = {}
turn = 0
while time.monotonic() < end:
    turn += 1
    if kind == "commit":
        import pathlib
        tree = pathlib.Path(top) / f"tree{number}"
        tree.mkdir(exist_ok=True)
        # Half of the contents are everybody's: they come and go all the time.
        for i in range(6):
            seed = rng.randrange(8) if i % 2 else f"{number}.{turn}.{i}"
            (tree / str(i)).write_bytes(random.Random(seed).randbytes(2000))
        name = f"w{number}/{rng.randrange(3)}"
        result = run("commit", str(tree), name)
        assert result.returncode == 0, result.stderr
        done[name] = result.stdout.strip()
        if turn % 4 == 0:
            gone = f"w{number}/{rng.randrange(3)}"
            if gone in done:
                result = run("ref", "rm", gone)
                assert result.returncode == 0, result.stderr
                del done[gone]
    elif kind == "gc":
        result = run("gc")
        assert result.returncode == 0, result.stderr
    else:
        result = run("verify")
        assert result.returncode == 0, (result.stdout, result.stderr)
print(json.dumps(done))
"""


def eight_at_once_lose_nothing(p):
    p.run("init")
    kinds = ["commit"] * 4 + ["gc"] * 2 + ["verify"] * 2
    workers = [subprocess.Popen([sys.executable, "-c", WORKER, COPPICE, p.store, kind, str(number), "5", p.top],
                                text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
               for number, kind in enumerate(kinds)]
    wanted = {}
    for worker in workers:
        out, err = worker.communicate(timeout=240)
        assert worker.returncode == 0, err
        wanted.update(json.loads(out))
    assert dict(line.split("\t") for line in p.out("refs").splitlines()) == wanted
    assert len(wanted) >= 4
    p.run("verify")
    p.run("gc")
    oracle = pathlib.Path(__file__).resolve().parent.parent / "oracle.py"
    subprocess.run([sys.executable, oracle, p.store, "--complete",
                    *[f"--ref={name}={digest}" for name, digest in wanted.items()]], check=True)
    assert list((p.store / "tmp").iterdir()) == []


if __name__ == "__main__":
    sys.exit(testcli.run_claims(globals(), testcli.Place))

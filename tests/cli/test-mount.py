#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test-mount.py COPPICE: views that stay, as a person meets them.

Works in a mount namespace of its own; exits 77 where overlay views cannot be had.
"""
import ctypes
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from claims import run_claims  # noqa: E402

COPPICE = sys.argv[1]
ID = re.compile(r"^[0-9a-f]{16}$")
CLONE_NEWNS, MS_REC, MS_SLAVE = 0x20000, 0x4000, 0x80000


class Place:
    def __init__(self):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="coppice-test-mount-"))
        self.tree, self.dir = self.top / "tree", self.top / "a dir,with:more"
        (self.tree / "etc").mkdir(parents=True)
        (self.tree / "etc" / "hostname").write_text("here\n")
        (self.tree / "big").write_bytes(b"0123456789" * 1000)
        self.dir.mkdir()
        self.digest = self.out("commit", self.tree, "one").strip()

    def run(self, *args, status=0, **options):
        result = subprocess.run([COPPICE, "--store", self.top / "store", *map(str, args)],
                                text=True, capture_output=True, check=False, timeout=120, **options)
        assert result.returncode == status, (args, result.returncode, result.stdout, result.stderr)
        return result

    def out(self, *args, **options):
        return self.run(*args, **options).stdout

    def error(self, *args, status=1):
        lines = self.run(*args, status=status).stderr.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("coppice: "), lines
        return lines[0]

    def mount(self, *options):
        view = self.out("mount", *options, "one", self.dir).strip()
        assert ID.match(view), view
        return view

    def left(self):
        return [entry for part in ("views", "tmp") for entry in os.listdir(self.top / "store" / part)]

    def close(self):
        with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
            paths = [line.split()[4].replace("\\040", " ") for line in mounts if str(self.top) in line]
        for path in paths:
            subprocess.run(["umount", "-l", path], check=False)
        shutil.rmtree(self.top)


def a_collection_takes_nothing_from_a_view(p):
    """Neither what a mount shows, nor the base of what was changed in one."""
    p.mount()
    other = p.top / "other"
    other.mkdir()
    p.out("mount", "--write", "one", other)
    (other / "new").write_text("n" * 100)
    p.run("ref", "rm", "one")
    p.run("gc")
    subprocess.run(["sysctl", "-q", "vm.drop_caches=2"], check=False, capture_output=True)
    assert (p.dir / "big").read_bytes() == (other / "big").read_bytes() == b"0123456789" * 1000
    p.run("umount", p.dir)
    p.run("gc")
    assert (other / "big").read_bytes() == b"0123456789" * 1000
    p.run("umount", other, "--commit", "two")
    p.run("gc")
    p.run("verify")
    assert p.out("cat", "two", "big") == "0123456789" * 1000 and p.out("cat", "two", "new") == "n" * 100


def an_image_mounted_by_others_stays(p):
    """As `mount -t composefs` would: a mount that coppice knows nothing of."""
    image = p.top / "store" / "objects" / p.digest[:2] / p.digest[2:]
    result = subprocess.run(["mount", "-t", "erofs", "-o", "ro", image, p.dir], check=False, capture_output=True)
    if result.returncode:  # before Linux 6.12
        subprocess.run(["mount", "-t", "erofs", "-o", "ro,loop", image, p.dir], check=True)
    p.run("ref", "rm", "one")
    p.run("gc")
    assert image.exists()
    subprocess.run(["umount", p.dir], check=True)
    p.run("gc")
    assert not image.exists()


def a_tree_is_mounted_and_unmounted(p):
    view = p.mount()
    assert (p.dir / "etc" / "hostname").read_text() == "here\n"
    assert p.out("mount") == f"{view}\t{p.digest}\tread\tmounted\t{p.dir}\n"
    assert p.out("umount", p.dir).strip() == p.digest
    assert not os.listdir(p.dir) and not p.left()
    assert p.out("mount") == ""


def changes_are_committed_by_umount(p):
    p.mount("--write")
    (p.dir / "etc" / "hostname").write_text("there\n")
    digest = p.out("umount", p.dir, "--commit", "two").strip()
    assert p.out("refs", "two") == f"two\t{digest}\n"
    assert p.out("cat", "two", "etc/hostname") == "there\n"
    assert p.out("cat", "one", "etc/hostname") == "here\n"
    assert not p.left()


def a_changed_view_is_not_ended_by_accident(p):
    view = p.mount("--write")
    (p.dir / "new").write_text("new")
    assert "--commit NAME keeps them, --discard drops them" in p.error("umount", p.dir)
    assert (p.dir / "new").exists()
    assert p.out("umount", "--view", view, "--discard").strip() == p.digest
    assert not p.left()


def whoever_uses_a_view_is_named(p):
    p.mount("--write")
    with open(p.dir / "big", "a", encoding="ascii"):
        line = p.error("umount", p.dir, "--commit", "two")
        assert f"process {os.getpid()} " in line and "'/big'" in line, line
    p.run("umount", p.dir, "--commit", "two")


def a_view_is_mounted_again(p):
    view = p.mount("--write")
    (p.dir / "new").write_text("new")
    subprocess.run(["umount", p.dir], check=True)
    entry, = json.loads(p.out("--json", "mount"))
    assert entry["id"] == view and entry["mounted"] is False and entry["mode"] == "write", entry
    p.run("mount", "--view", view)
    assert (p.dir / "new").read_text() == "new"
    p.run("umount", p.dir, "--commit", "two")
    assert p.out("cat", "two", "new") == "new"


def mistakes_are_usage_errors(p):
    view = p.mount("--write")
    for args in (["mount", "one"], ["mount", "--view", view, "--write"], ["umount"],
                 ["umount", p.dir, "--view", view], ["umount", p.dir, "--commit", ".x"],
                 ["umount", p.dir, "--commit", "x", "--discard"]):
        p.error(*args, status=2)
    assert "there is no view" in p.error("umount", "--view", "0123456789abcdef")
    assert "no view" in p.error("umount", p.top)
    p.run("umount", p.dir)


def status_says_which_view_is_in_use(p):
    assert re.search("^view: +overlay", p.out("status"), re.M)
    copy = {**os.environ, "COPPICE_VIEW": "copy"}
    assert re.search("^view: +copy .*COPPICE_VIEW", p.out("status", env=copy), re.M)
    result = p.run("mount", "one", p.dir, env=copy, status=1)
    assert "it takes overlay views" in result.stderr


def a_store_can_be_made_for_one_kind_of_view(p):
    plain = {k: v for k, v in os.environ.items() if k != "COPPICE_VIEW"}
    p.run("init", "--view", "copy", env=plain)
    assert re.search("^view: +copy .*setting 'view'", p.out("status", env=plain), re.M)
    overlay = {**plain, "COPPICE_VIEW": "overlay"}
    assert re.search("^view: +overlay", p.out("status", env=overlay), re.M)
    assert "no kind of view 'fast'" in p.error("init", "--view", "fast", status=2)
    assert re.search("^view: +copy", p.out("status", env=plain), re.M)
    p.run("init", "--view", "auto", env=plain)
    assert re.search("^view: +overlay", p.out("status", env=plain), re.M)


def main():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) < 0 or libc.mount(None, b"/", None, MS_REC | MS_SLAVE, None) < 0:
        print(f"skipped: no mounts here: {os.strerror(ctypes.get_errno())}")
        return 77
    place = Place()
    view = place.out("status")
    place.close()
    if not re.search("^view: +overlay", view, re.M):
        print("skipped:", view)
        return 77
    return run_claims(globals(), Place)


if __name__ == "__main__":
    sys.exit(main())

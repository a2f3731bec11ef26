#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test-archive.py COPPICE: archives in and out.

What import and export do is judged by GNU tar, by Python's tarfile, and by the digest of the
directory that the archive was made of.  Each function is a claim.
"""
import gzip
import hashlib
import io
import json
import os
import pathlib
import random
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from claims import Skipped, run_claims  # noqa: E402

COPPICE = sys.argv[1]
SEED = int(os.environ.get("COPPICE_SEED", "7"))


class Place:
    def __init__(self):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="coppice-test-archive-"))
        self.store = self.top / "store"

    def run(self, *args, status=0, **options):
        result = subprocess.run([COPPICE, "--store", self.store, *map(str, args)], check=False,
                                capture_output=True, timeout=120, **options)
        assert result.returncode == status, (args, result.returncode, result.stderr)
        return result

    def out(self, *args, **options):
        return self.run(*args, **options).stdout.decode().strip()

    def error(self, *args, status=1, **options):
        lines = self.run(*args, status=status, **options).stderr.decode().strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("coppice: "), lines
        return lines[0]

    def tar(self, *args, **options):
        subprocess.run(["tar", "--warning=no-timestamp", *map(str, args)], check=True, **options)

    def snapshot(self):
        return sorted(str(path) for part in ("refs", "objects", "files", "meta", "tmp")
                      for path in (self.store / part).rglob("*") if not path.is_dir())

    def rich_tree(self):
        """One of everything that a tree can hold and tar can, too."""
        tree = self.top / "rich"
        tree.mkdir()
        names = [b"plain", b"caf\xc3\xa9", b"cafe\xcc\x81", b"bad-\xff\xfe", b"new\nline", b"a=b",
                 b"x" * 255, b" ", b"-rf", b"*"]
        for number, name in enumerate(names):
            (tree / os.fsdecode(name)).write_bytes(b"%d" % number * (number * 40 + 1))
        deep = tree
        for _ in range(12):
            deep = deep / ("d" * 40)
            deep.mkdir()
        (deep / "leaf").write_text("leaf")
        (tree / "link").symlink_to("../up/../there")
        (tree / ("l" * 130)).symlink_to("t" * 300)
        os.link(tree / "plain", tree / "other-name")
        os.link(tree / "plain", deep / "third-name")
        os.mkfifo(tree / "fifo", 0o640)
        (tree / "empty").touch()
        (tree / "inline").write_bytes(b"z" * 64)
        (tree / "pool").write_bytes(b"z" * 65)
        with open(tree / "sparse", "wb") as file:
            for offset, text in ((0, b"begin"), (5 << 20, b"middle"), ((9 << 20) + 17, b"later")):
                file.seek(offset)
                file.write(text)
            file.truncate((12 << 20) + 3)
        with open(tree / "all-zero", "wb") as file:
            file.truncate(3 << 20)
        (tree / "zeros-at-the-end").write_bytes(b"a" * 8192 + bytes(8192))
        (tree / "big").write_bytes(random.Random(SEED).randbytes(3 << 20))
        os.setxattr(tree / "plain", "user.note", b"with\0nul")
        os.setxattr(tree / "plain", "user.empty", b"")
        os.setxattr(tree / "pool", "user.caf\u00e9", b"\xff\xfe")
        os.utime(tree / "pool", ns=(0, -7_250_000_001))
        os.utime(tree / "inline", ns=(0, 1_700_000_000_123_456_789))
        os.utime(tree / "empty", ns=(0, 20_000_000_000 * 10**9))
        os.chmod(tree / "empty", 0o4755)
        subprocess.run(["setfacl", "-m", "u:1234:rwx,g:77:r--,m:rx", tree / "pool"], check=True)
        subprocess.run(["setfacl", "-d", "-m", "u:1234:rwx,g:5:x", deep], check=True)
        if os.geteuid() == 0:
            os.mknod(tree / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
            os.mknod(tree / "disk", 0o600 | stat.S_IFBLK, os.makedev(259, 70000))
            os.mknod(tree / "whiteout", 0o600 | stat.S_IFCHR, 0)
            os.lchown(tree / "link", 1000, 3_000_000_000)
            os.chown(tree / "big", 4_000_000_000, 5)
            os.chmod(tree / "big", 0o2711)
            os.setxattr(tree / "big", "trusted.thing", b"t")
            os.setxattr(tree / "big", "security.capability",
                        bytes.fromhex("0100000200040000000000000000000000000000"))
        return tree

    def make_tar(self, name, *entries):
        """A tar archive of (TarInfo or name, content)."""
        path = self.top / name
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
            for info, data in entries:
                if isinstance(info, str):
                    info = tarfile.TarInfo(info)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        return path

    def close(self):
        shutil.rmtree(self.top)


def entry(name, kind=tarfile.REGTYPE, link="", mode=0o644, **pax):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.pax_headers = kind, link, mode, pax
    return info


def what_was_exported_comes_back_with_the_same_digest(p):
    digest = p.out("commit", p.rich_tree(), "rich")
    for form in ("tar", "oci"):
        file = p.top / f"rich.{form}"
        assert p.out("export", "rich", file, "--format", form) == digest
        assert p.out("import", file, f"back-{form}") == digest
        again = p.run("export", "rich", "-", "--format", form).stdout
        if form == "tar":
            assert again == file.read_bytes(), "two exports differ"
            assert file.stat().st_size < 8 << 20, "holes were written out"
        assert p.out("import", "-", "from-pipe", input=again) == digest
    other = p.top / "elsewhere"
    assert subprocess.run([COPPICE, "--store", other, "import", p.top / "rich.tar", "x"], check=True,
                          capture_output=True, text=True).stdout.strip() == digest


def a_directory_that_was_exported_is_imported_as_it_was(p):
    digest = p.out("commit", p.rich_tree(), "rich")
    assert p.out("export", "rich", p.top / "out") == digest
    assert p.out("import", p.top / "out", "back") == digest


def gnu_tar_lays_out_what_was_exported(p):
    if os.geteuid() != 0:
        raise Skipped("not root")
    digest = p.out("commit", p.rich_tree(), "rich")
    p.run("export", "rich", p.top / "a.tar", "--format", "tar")
    (p.top / "laid").mkdir()
    p.tar("-C", p.top / "laid", "-xpf", p.top / "a.tar", "--xattrs", "--xattrs-include=*", "--acls",
          "--numeric-owner")
    assert p.out("digest", p.top / "laid") == digest


def an_archive_of_gnu_tar_is_what_it_was_made_of(p):
    tree = p.rich_tree()
    digest = p.out("digest", tree)
    for form in (["--format=posix"], ["--format=posix", "--sparse"],
                 ["--format=posix", "--sparse", "--sparse-version=0.1"]):
        p.tar("-C", tree, "-cf", p.top / "g.tar", *form, "--xattrs", "--xattrs-include=*", "--acls",
              "--numeric-owner", ".")
        assert p.out("import", p.top / "g.tar", "g") == digest, form
    for path in sorted(tree.rglob("*")):
        if not path.is_symlink():
            subprocess.run(["setfacl", "-bk", path], check=True)
        for key in [] if path.is_symlink() else os.listxattr(path):
            os.removexattr(path, key)
    subprocess.run(["find", tree, "-exec", "touch", "-h", "-d", "@1000000000", "{}", "+"], check=True)
    digest = p.out("digest", tree)
    p.tar("-C", tree, "-cSf", p.top / "g.tar", "--format=gnu", "--numeric-owner", ".")
    assert p.out("import", p.top / "g.tar", "g") == digest


def compressed_archives_are_told_by_their_content(p):
    digest = p.out("commit", p.rich_tree(), "rich")
    plain = p.run("export", "rich", "-").stdout
    for tool in (["gzip"], ["xz", "-0"], ["zstd", "-q"]):
        packed = subprocess.run(tool, input=plain, capture_output=True, check=True).stdout
        assert p.out("import", "-", "x", input=packed) == digest, tool
        before = p.snapshot()
        for cut in (len(packed) - 1, len(packed) // 2):
            p.error("import", "-", "cut", input=packed[:cut])
        torn = bytearray(packed)
        torn[-3 if tool == ["zstd", "-q"] else -8] ^= 0x20  # in what proves the data
        p.error("import", "-", "torn", input=bytes(torn))
        assert p.snapshot() == before, tool


def python_reads_what_was_exported(p):
    tree = p.rich_tree()
    p.run("commit", tree, "rich")
    p.run("export", "rich", p.top / "a.tar", "--format", "tar")
    with tarfile.open(p.top / "a.tar") as archive:
        found = {os.fsencode(info.name): info for info in archive}
        wanted = {b"."} | {os.fsencode(path.relative_to(tree)) for path in tree.rglob("*")}
        assert set(found) == wanted, set(found) ^ wanted
        for name in ("sparse", "all-zero", "big", "pool", "inline"):
            data = archive.extractfile(found[name.encode()]).read()
            assert data == (tree / name).read_bytes(), name
        for name, info in found.items():
            st = os.lstat(os.fsencode(tree) + b"/" + name)
            assert (info.uid, info.gid) == (st.st_uid, st.st_gid) or info.islnk(), name


def the_last_entry_of_a_name_counts(p):
    path = p.make_tar("a.tar", ("f", b"old"), ("d/x", b"x"), ("f", b"new"), (entry("d", tarfile.DIRTYPE), b""))
    p.run("import", path, "a")
    assert p.run("cat", "a", "f").stdout == b"new"
    assert p.run("cat", "a", "d/x").stdout == b"x"


def directories_without_an_entry_are_plain(p):
    p.run("import", p.make_tar("a.tar", ("a/b/c", b"x")), "a")
    line = [line for line in p.out("dump", "a").splitlines() if line.startswith("/a/b ")][0]
    assert line.split()[2:5] == ["40755", "2", "0"] and line.split()[7] == "0.0", line


def hostile_names_are_refused(p):
    p.run("import", p.make_tar("good.tar", ("f", b"x")), "good")
    before = p.snapshot()
    cases = {
        "leads upwards": [[("../x", b"")], [("a/../../x", b"")], [("a/..", b"")]],
        "absolute": [[("/etc/passwd", b"")]],
        "is no directory": [[(entry("l", tarfile.SYMTYPE, "/etc"), b""), ("l/passwd", b"")],
                            [("f", b""), ("f/x", b"")]],
        "not there": [[(entry("h", tarfile.LNKTYPE, "none"), b"")]],
        "hard link": [[(entry("h", tarfile.LNKTYPE, "../x"), b"")],
                      [(entry("h", tarfile.LNKTYPE, "/etc/passwd"), b"")]],
        "was a directory": [[("d/f", b""), ("d", b"")]],
        "a name of 256 bytes": [[("y" * 256, b"")]],
        "too many levels": [[("d/" * 1500 + "f", b"")]],
        "root of a tree": [[(entry(".", tarfile.SYMTYPE, "/"), b"")]],
        "not a number": [], "of a kind": [[(entry("f", **{"SCHILY.xattr.weird.x": "1"}), b"")]],
        "without a number": [[(entry("f", **{"SCHILY.acl.access": "user::rwx,user:nobody-such:r--,"
                                             "group::r--,mask::r--,other::---"}), b"")]],
    }
    for words, archives in cases.items():
        for number, entries in enumerate(archives):
            text = p.error("import", p.make_tar("bad.tar", *entries), "bad")
            assert words in text, (words, text)
            assert "\n" not in text
    assert p.snapshot() == before


def what_is_cut_off_is_refused(p):
    rng = random.Random(SEED)
    path = p.make_tar("a.tar", ("a", b"a" * 700), ("b", b"b" * 5000), (entry("n" * 200), b"c"))
    whole = path.read_bytes()
    end = len(whole.rstrip(b"\0")) // 512 * 512 + 1536
    p.run("import", "-", "whole", input=whole[:end])
    before = p.snapshot()
    cuts = {*range(512, end - 511, 512), *(rng.randrange(end - 512) for _ in range(10)), 0, 1}
    for cut in sorted(cuts):
        p.error("import", "-", "cut", input=whole[:cut])
    p.error("import", "-", "noise", input=rng.randbytes(20000))
    assert p.snapshot() == before


def oversized_headers_are_refused(p):
    huge = tarfile.TarInfo("f")
    huge.pax_headers = {"comment": "x" * (64 << 20)}
    p.error("import", p.make_tar("a.tar", (huge, b"")), "a")
    whole = bytearray(p.make_tar("b.tar", ("f", b"x" * 100)).read_bytes())
    header = tarfile.TarInfo("f")
    header.size = 1 << 60
    whole[:512] = header.tobuf(tarfile.GNU_FORMAT)
    p.error("import", "-", "b", input=bytes(whole))


def descriptor(kind, data):
    return {"mediaType": "application/vnd.oci.image." + kind,
            "digest": "sha256:" + hashlib.sha256(data).hexdigest(), "size": len(data)}


def make_image(p, name, layers, damage=False, **index):
    packed = [gzip.compress(path.read_bytes()) for path in layers]
    config = b"{}"
    manifest = json.dumps({"schemaVersion": 2, "config": descriptor("config.v1+json", config),
                           "layers": [descriptor("layer.v1.tar+gzip", data) for data in packed]}).encode()
    blobs = {hashlib.sha256(data).hexdigest(): data for data in [config, manifest, *packed]}
    if damage:
        key = hashlib.sha256(packed[0]).hexdigest()
        blobs[key] = packed[-1] + b"\0"
    entries = [("blobs/sha256/" + key, data) for key, data in blobs.items()]
    top = {"schemaVersion": 2, "manifests": [descriptor("manifest.v1+json", manifest)]}
    entries += [("index.json", json.dumps({**top, **index}).encode()),
                ("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')]
    return p.make_tar(name, *entries)


def layers_of_an_image_lie_on_top_of_each_other(p):
    one = p.make_tar("1.tar", ("keep/a", b"a"), ("gone", b"g"), ("dir/old", b"old"), ("opaque/x", b"x"),
                     ("opaque/sub/y", b"y"), ("replaced/z", b"z"), ("linked", b"linked"),
                     (entry("becomes-dir", tarfile.SYMTYPE, "keep"), b""))
    two = p.make_tar("2.tar", (".wh.gone", b""), ("dir/.wh.old", b""), ("dir/new", b"new"),
                     ("opaque/.wh..wh..opq", b""), ("opaque/fresh", b"fresh"), ("replaced", b"now a file"),
                     (entry("link", tarfile.LNKTYPE, "linked"), b""), (".wh..wh.plnk", b""),
                     (".wh.never-was", b""), ("becomes-dir/f", b"f"))
    text = p.error("import", make_image(p, "bad.tar", [one, two]), "x")
    assert "is no directory" in text, text
    two = p.make_tar("2.tar", (".wh.gone", b""), ("dir/.wh.old", b""), ("dir/new", b"new"),
                     ("opaque/.wh..wh..opq", b""), ("opaque/fresh", b"fresh"), ("replaced", b"now a file"),
                     (entry("link", tarfile.LNKTYPE, "linked"), b""), (".wh..wh.plnk", b""),
                     (".wh.never-was", b""), (entry("becomes-dir", tarfile.DIRTYPE, mode=0o755), b""),
                     ("becomes-dir/f", b"f"))
    three = p.make_tar("3.tar", ("gone", b"is back"))
    p.run("import", make_image(p, "image.tar", [one, two, three]), "image")
    paths = [line.split()[0] for line in p.out("dump", "image").splitlines()]
    assert paths == ["/", "/becomes-dir", "/becomes-dir/f", "/dir", "/dir/new", "/gone", "/keep", "/keep/a",
                     "/link", "/linked", "/opaque", "/opaque/fresh", "/replaced"], paths
    assert p.run("cat", "image", "gone").stdout == b"is back"
    p.run("import", p.top / "image.tar", "as-is", "--format", "tar")
    assert "index.json" in p.out("ls", "as-is")


def an_image_that_is_not_sound_is_refused(p):
    one = p.make_tar("1.tar", ("a", b"a" * 100))
    p.run("import", one, "fine")
    before = p.snapshot()
    for image, words in (
            (make_image(p, "a.tar", [one], damage=True), "is damaged"),
            (make_image(p, "b.tar", [one], manifests=[]), "0 images"),
            (make_image(p, "c.tar", [one], manifests=[descriptor("manifest.v1+json", b"?")]), "lacks"),
            (make_image(p, "d.tar", [one], manifests=[{"digest": "sha256:../../x"}]), "not a sha256"),
            (make_image(p, "e.tar", [one], manifests=7), "manifests")):
        text = p.error("import", image, "image")
        assert words in text, text
    assert "no OCI image" in p.error("import", one, "x", "--format", "oci")
    assert p.snapshot() == before


def damage_is_found_before_it_is_exported(p):
    tree = p.top / "tree"
    tree.mkdir()
    (tree / "a").write_bytes(b"good" * 1000)
    (tree / "b").write_bytes(b"fine" * 400_000)
    p.run("commit", tree, "t")
    for size in (4000, 1_600_000):
        victim = [path for path in (p.store / "files").rglob("*")
                  if path.is_file() and path.stat().st_size == size][0]
        whole = victim.read_bytes()
        os.chmod(victim, 0o644)
        victim.write_bytes(whole[:17] + b"!" + whole[18:])
        text = p.error("export", "t", p.top / "t.tar", "--format", "tar")
        assert "damaged" in text, text
        assert not (p.top / "t.tar").exists() and not list(p.top.glob(".tmp*"))
        victim.write_bytes(whole)
        os.chmod(victim, 0o444)
        p.run("commit", tree, "t")


def what_tar_cannot_hold_is_refused_by_name(p):
    import socket
    tree = p.top / "tree"
    tree.mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tree / "sock"))
    p.run("commit", tree, "t")
    text = p.error("export", "t", p.top / "t.tar", "--format", "tar")
    assert "'sock': it is a socket" in text, text


def a_full_pipe_is_an_error(p):
    tree = p.top / "tree"
    tree.mkdir()
    (tree / "a").write_bytes(b"x" * 10000)
    p.run("commit", tree, "t")
    if os.path.exists("/dev/full"):
        with open("/dev/full", "wb") as full:
            result = subprocess.run([COPPICE, "--store", p.store, "export", "t", "-"], stdout=full,
                                    stderr=subprocess.PIPE, check=False)
        assert result.returncode == 1 and b"No space left" in result.stderr, result
    p.error("export", "t", p.top / "none" / "t.tar", "--format", "tar")
    p.error("export", "t", tree, "--format", "tar")


def plain_users_keep_what_they_could_not_make(p):
    if os.geteuid() != 0:
        raise Skipped("not root")
    digest = p.out("commit", p.rich_tree(), "rich")
    data = p.run("export", "rich", "-").stdout
    os.chmod(p.top, 0o755)
    other = p.top / "nobody"
    other.mkdir()
    os.chown(other, 65534, 65534)
    result = subprocess.run([COPPICE, "--store", other / "store", "import", "-", "x"], input=data, user=65534,
                            group=65534, capture_output=True, check=False, timeout=60)
    assert result.stdout.decode().strip() == digest, result.stderr


def random_damage_never_crashes(p):
    rng = random.Random(SEED)
    p.run("commit", p.rich_tree(), "rich")
    for name in ("plain", "big", "sparse", "all-zero"):
        os.unlink(p.top / "rich" / name)
    p.run("commit", p.top / "rich", "rich")
    whole = p.run("export", "rich", "-").stdout
    refs = p.out("refs")
    for _ in range(int(os.environ.get("COPPICE_FUZZ_COUNT", "60"))):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(data))
            data[at] ^= 1 << rng.randrange(8)
        result = subprocess.run([COPPICE, "--store", p.store, "import", "-", "fuzz"], input=bytes(data),
                                capture_output=True, check=False, timeout=60)
        assert result.returncode in (0, 1), (SEED, result)
        assert result.returncode == 0 or result.stderr.count(b"\n") == 1, (SEED, result.stderr)
        if result.returncode == 0:
            p.run("ref", "rm", "fuzz")
    assert p.out("refs") == refs


def main():
    if os.geteuid() != 0:
        print("skipped: files of several owners take root")
        return 77
    return run_claims(globals(), Place, sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test-cli.py COPPICE: the program as a person or a script meets it.

Each function is a claim.  Prints cmocka's marks, so that the summary counts claims.
"""
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from claims import Skipped, run_claims  # noqa: E402

COPPICE = sys.argv[1]
# A plain user, whoever runs this.
PLAIN = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
HEX = re.compile(r"^[0-9a-f]{64}$")


class Place:
    """A scratch directory with a store and a small tree to commit."""

    def __init__(self):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="coppice-test-cli-"))
        self.store = self.top / "store"
        self.tree = self.top / "tree"
        (self.tree / "etc").mkdir(parents=True)
        (self.tree / "etc" / "hostname").write_text("here\n")
        (self.tree / "big").write_bytes(b"0123456789" * 1000)
        (self.tree / "link").symlink_to("etc/hostname")

    def run(self, *args, status=0, environment=None, stdin=None):
        result = subprocess.run([COPPICE, "--store", self.store, *map(str, args)], text=True,
                                input=stdin, capture_output=True, check=False, timeout=120,
                                env={**os.environ, **(environment or {})})
        assert result.returncode == status, (args, result.returncode, result.stdout, result.stderr)
        return result

    def out(self, *args, **options):
        return self.run(*args, **options).stdout

    def error(self, *args, status=1, **options):
        """The one line of an error."""
        result = self.run(*args, status=status, **options)
        lines = result.stderr.strip().splitlines()
        assert len(lines) == 1, lines
        assert lines[0].startswith("coppice: "), lines
        return lines[0]

    def snapshot(self):
        """Everything a store promises: refs, objects and files by name."""
        found = []
        for part in ("refs", "objects", "files"):
            for path in sorted((self.store / part).rglob("*")):
                text = os.readlink(path) if path.is_symlink() else path.stat().st_size \
                    if path.is_file() else ""
                found.append((str(path.relative_to(self.store)), text))
        return found

    def close(self):
        subprocess.run(["chmod", "-R", "u+rwx", self.top], check=False)
        shutil.rmtree(self.top)


def commit_prints_the_digest_and_sets_the_name(p):
    digest = p.out("commit", p.tree, "one").strip()
    assert HEX.match(digest)
    assert p.out("refs") == f"one\t{digest}\n"
    assert p.out("digest", p.tree).strip() == digest


def an_equal_tree_is_one_object(p):
    first = p.out("commit", p.tree, "one")
    copy = p.top / "copy"
    subprocess.run(["cp", "-a", p.tree, copy], check=True)
    assert p.out("commit", copy, "two") == first
    assert len(list((p.store / "objects").rglob("??*/*"))) == 1


def a_tree_is_found_by_name_digest_and_prefix(p):
    digest = p.out("commit", p.tree, "a/b").strip()
    for name in ("a/b", digest, digest[:6], digest[:20]):
        assert p.out("cat", name, "etc/hostname") == "here\n"
    assert "no-such" in p.error("ls", "no-such")


def dump_and_digest_agree(p):
    digest = p.out("commit", p.tree, "one")
    dump = p.out("dump", "one")
    assert p.out("digest", "--from-dump", "-", stdin=dump) == digest


def ls_and_cat_look_through_symlinks(p):
    p.run("commit", p.tree, "one")
    assert p.out("ls", "one").split() == ["big", "etc", "link"]
    assert p.out("cat", "one", "/link") == "here\n"
    assert p.out("cat", "one", "big") == "0123456789" * 1000
    assert "link -> etc/hostname" in p.out("ls", "-l", "one")
    assert "/etc/hostname" in p.out("ls", "-R", "one").split()
    assert "'nope'" in p.error("cat", "one", "nope")


def diff_names_paths_and_fields(p):
    p.run("commit", p.tree, "one")
    (p.tree / "new").write_text("n")
    (p.tree / "link").unlink()
    (p.tree / "big").chmod(0o600)
    p.run("commit", p.tree, "two")
    lines = p.out("diff", "one", "two").splitlines()
    assert "A\t/new" in lines and "D\t/link" in lines and "M\t/big\tmode" in lines, lines
    changes = json.loads(p.out("--json", "diff", "one", "two"))
    assert {"change": "M", "path": "/big", "fields": ["mode"]} in changes
    assert p.out("diff", "one", "one") == ""


def json_is_one_document_for_every_verb_that_prints_data(p):
    digest = json.loads(p.out("--json", "commit", p.tree, "one"))["digest"]
    assert json.loads(p.out("--json", "digest", p.tree))["digest"] == digest
    assert json.loads(p.out("--json", "refs")) == [{"name": "one", "digest": digest}]
    assert json.loads(p.out("--json", "init"))["store"] == str(p.store)
    assert json.loads(p.out("--json", "status"))["refs"]["names"] == 1
    entries = json.loads(p.out("--json", "ls", "one"))
    assert [entry["path"] for entry in entries] == ["big", "etc", "link"]
    assert json.loads(p.out("--json", "log", "one"))[0]["name"] == "one"


def refs_are_set_listed_by_pattern_and_removed(p):
    digest = p.out("commit", p.tree, "team/one").strip()
    p.run("ref", "set", "team/two", digest[:12])
    p.run("ref", "set", "other", "team/one")
    assert [l.split("\t")[0] for l in p.out("refs", "team/*").splitlines()] == ["team/one", "team/two"]
    p.run("ref", "rm", "team/one", "team/two")
    assert p.out("refs") == f"other\t{digest}\n"
    assert "team/one" in p.error("ref", "rm", "team/one")


def a_bad_name_is_a_usage_error(p):
    for name in (".hidden", "-x", "a//b", "deadbeef", "a/../b", "a b", "x" * 256):
        assert "ref name" in p.error("ref", "set", name, "x", status=2) if name != "-x" else True
    assert "ref name" in p.error("commit", p.tree, "deadbeef01", status=2)


def a_name_and_a_directory_of_names_cannot_be_the_same(p):
    p.run("commit", p.tree, "a/b")
    before = p.snapshot()
    line = p.error("commit", p.tree, "a")
    assert "'a'" in line and "a/b" in line, line
    line = p.error("ref", "set", "a/b/c", "a/b")
    assert "'a/b/c'" in line and "'a/b'" in line, line
    assert [e for e in p.snapshot() if e[0].startswith("refs")] == \
        [e for e in before if e[0].startswith("refs")]


def export_and_import_are_inverse(p):
    digest = p.out("commit", p.tree, "one")
    assert p.out("export", "one", p.top / "out") == digest
    assert p.out("import", p.top / "out", "again") == digest
    assert "not empty" in p.error("export", "one", p.top / "out")
    assert p.out("digest", p.top / "out") == digest


def a_failed_export_leaves_what_was_there(p):
    digest = p.out("commit", p.tree, "one").strip()
    pool = next(path for path in (p.store / "files").rglob("*") if path.is_file())
    pool.unlink()
    assert "export" in p.error("export", digest, p.top / "out")
    assert not (p.top / "out").exists()


def source_epoch_clamps_later_times(p):
    early = p.out("commit", p.tree, "one", "--source-epoch", "1000")
    os.utime(p.tree / "big", (5000, 5000))
    assert p.out("commit", p.tree, "two", "--source-epoch", "1000") == early
    assert "--source-epoch" in p.error("commit", p.tree, "x", "--source-epoch", "soon", status=2)


def wrong_usage_is_exit_2_and_one_line(p):
    for args in (["nope"], ["commit"], ["commit", "a"], ["ls", "--nope", "x"], ["--nope"], ["digest"],
                 ["export", "a", "b", "--format", "zip"], ["ref"], ["commit", "a", "b", "c"],
                 ["build", "m.json", "--export", "x"], ["lock", "r.yaml", "package"]):
        p.error(*args, status=2)


def help_comes_from_the_table(p):
    text = p.out("--help")
    for verb in ("commit DIR NAME", "build RECIPE|MANIFEST", "ref set NAME TREE"):
        assert verb in text
    assert "--source-epoch" in p.out("help", "commit")
    assert p.out("commit", "--help") == p.out("help", "commit")
    assert p.out("help", "--man").startswith(".TH COPPICE 1")
    assert p.out("--version").startswith("coppice ")


def what_only_needs_the_store_loads_neither_network_nor_archives(p):
    libraries = subprocess.run(["ldd", COPPICE], check=True, capture_output=True, text=True).stdout
    assert "libnettle" in libraries and "libcrypto" not in libraries, libraries
    assert "libcurl" not in libraries, libraries
    assert "libarchive" not in libraries, libraries


def without_the_other_program_its_verbs_name_what_is_missing(p):
    alone = p.top / "coppice"
    shutil.copy(COPPICE, alone)
    command = [alone, "--store", p.store]
    assert subprocess.run([*command, "commit", p.tree, "one"], capture_output=True).returncode == 0
    result = subprocess.run([*command, "push", "one", "there"], capture_output=True, text=True)
    if "no remote" in result.stderr:
        return skip("the program is installed on this machine")
    assert result.returncode == 1 and "coppice-whole', which has the other verbs" in result.stderr, result
    return None


def unreadable_files_are_errors_and_leave_no_trace(p):
    (p.tree / "secret").write_text("x" * 100)
    (p.tree / "secret").chmod(0)
    p.top.chmod(0o777)
    result = subprocess.run([*PLAIN, COPPICE, "--store", p.store, "commit", p.tree, "x"], text=True,
                            capture_output=True, check=False)
    assert result.returncode == 1, result
    assert "'secret'" in result.stderr and "Permission denied" in result.stderr, result.stderr
    assert "commit" in result.stderr
    assert [e for e in p.snapshot() if e[1] != ""] == []


def a_new_user_needs_no_place_for_the_store(p):
    """Who has no ~/.local/share yet gets one; a place that was chosen is not made up."""
    home = p.top / "home"
    home.mkdir()
    for path in (p.top, home):
        path.chmod(0o777)
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("COPPICE_STORE", "XDG_DATA_HOME")} | {"HOME": str(home)}

    def init(**more):
        return subprocess.run([*PLAIN, COPPICE, "init"], text=True, capture_output=True, check=False,
                              env=environment | more)
    result = init()
    assert result.stdout == f"{home}/.local/share/coppice\n", result
    assert [(home / part).stat().st_mode & 0o777 for part in (".local", ".local/share")] == [0o700, 0o700]
    assert init(XDG_DATA_HOME=f"{home}/a/b").stdout == f"{home}/a/b/coppice\n"
    result = init(COPPICE_STORE=f"{home}/disk/store")
    assert result.returncode == 1 and "No such file" in result.stderr, result
    assert not (home / "disk").exists()
    home.chmod(0o555)
    result = init(HOME=f"{home}/x")
    assert result.returncode == 1 and f"make '{home}/x': Permission denied" in result.stderr, result


def a_look_by_a_plain_user_leaves_nothing_and_takes_no_time(p):
    """The view that is tried cannot be mounted; to wait for it to end took ten seconds."""
    p.top.chmod(0o777)
    for verb in ("init", "status"):
        subprocess.run([*PLAIN, COPPICE, "--store", p.store, verb], check=True, capture_output=True, timeout=9)
    assert list((p.store / "tmp").iterdir()) == []


def a_store_of_another_owner_is_refused_by_name(p):
    if os.geteuid() != 0:
        raise Skipped("another owner takes root")
    p.run("init")
    os.chown(p.store, 1234, 1234)
    line = p.error("refs")
    assert str(p.store) in line and ("1234" in line or "another user" in line), line
    return None


def a_store_of_a_newer_version_is_refused(p):
    p.run("commit", p.tree, "one")
    form = p.store / "format"
    form.chmod(0o644)
    form.write_text("coppice-store 1\nneeds tardis\n")
    assert "tardis" in p.error("refs")
    form.write_text("coppice-store 2\n")
    assert "2" in p.error("refs")
    form.write_text("coppice-store 1\nwrites-need tardis\n")
    assert p.out("refs").startswith("one\t")
    assert "tardis" in p.error("commit", p.tree, "two")


def a_directory_that_is_no_store_is_refused(p):
    p.store.mkdir()
    (p.store / "something").write_text("x")
    assert str(p.store) in p.error("init")
    assert (p.store / "something").exists()


def a_path_that_is_no_directory_is_named(p):
    assert "'/nonexistent'" in p.error("commit", "/nonexistent", "x")
    assert "etc/hostname" in p.error("commit", p.tree / "etc" / "hostname", "x")


def progress_is_shown_on_a_terminal_only(p):
    big = p.tree / "many"
    big.mkdir()
    for number in range(4000):
        (big / f"f{number}").write_bytes(os.urandom(300))
    result = p.run("commit", p.tree, "one")
    assert "\r" not in result.stderr and "\033" not in result.stderr
    primary, secondary = pty.openpty()
    with subprocess.Popen([COPPICE, "--store", p.store, "digest", p.tree], stdout=subprocess.PIPE,
                          stderr=secondary, env={**os.environ, "TERM": "xterm"}) as process:
        os.close(secondary)
        out, _ = process.communicate(timeout=60)
    assert HEX.match(out.decode().strip())
    text = b""
    while select.select([primary], [], [], 0)[0]:
        try:
            chunk = os.read(primary, 65536)
        except OSError:
            break
        if not chunk:
            break
        text += chunk
    os.close(primary)
    # Quick work shows nothing; whatever was shown is taken away again.
    assert not text or text.endswith(b"\033[K"), text[-80:]


def two_commits_at_once_both_succeed(p):
    other = p.top / "other"
    subprocess.run(["cp", "-a", p.tree, other], check=True)
    (other / "more").write_text("x" * 500)
    jobs = [subprocess.Popen([COPPICE, "-q", "--store", p.store, "commit", tree, name],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for tree, name in ((p.tree, "a"), (other, "b"), (p.tree, "c"), (other, "d"))]
    outputs = [job.communicate(timeout=120) for job in jobs]
    assert all(job.returncode == 0 for job in jobs), outputs
    names = dict(line.split("\t") for line in p.out("refs").splitlines())
    assert names["a"] == names["c"] and names["b"] == names["d"] and names["a"] != names["b"]


def ctrl_c_leaves_a_store_that_works(p):
    big = p.tree / "many"
    big.mkdir()
    for number in range(3000):
        (big / f"f{number}").write_bytes(os.urandom(5000))
    p.run("init")
    with subprocess.Popen([COPPICE, "--store", p.store, "commit", p.tree, "x"],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
    if process.returncode != 0:
        assert process.returncode in (-signal.SIGINT, 130), process.returncode
        assert p.out("refs") == ""
    p.run("commit", p.tree, "y")
    assert list((p.store / "tmp").iterdir()) == []


def a_full_disk_is_one_line_and_changes_nothing(p):
    if os.geteuid() != 0:
        raise Skipped("mounting takes root")
    small = p.top / "small"
    small.mkdir()
    result = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", small], check=False,
                            capture_output=True)
    if result.returncode:
        raise Skipped("mounting is not permitted here")
    try:
        p.store = small / "store"
        p.run("commit", p.tree, "one")
        before = p.snapshot()
        (p.tree / "huge").write_bytes(os.urandom(4 << 20))
        line = p.error("commit", p.tree, "one")
        assert "No space left" in line and "commit" in line, line
        after = p.snapshot()
        assert after == before, (before, after)
        assert p.out("cat", "one", "link") == "here\n"
    finally:
        subprocess.run(["umount", small], check=False)
    return None


def output_that_cannot_be_written_is_an_error(p):
    p.run("commit", p.tree, "one")
    with open("/dev/full", "w", encoding="ascii") as full:
        result = subprocess.run([COPPICE, "--store", p.store, "dump", "one"], stdout=full,
                                stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 1 and "standard output" in result.stderr, result


def a_directory_that_holds_its_own_store_is_refused(p):
    p.run("commit", p.tree, "one")
    before = p.snapshot()
    for place in (p.top, p.store, "/"):
        assert "itself lies in it" in p.error("commit", place, "two")
    assert p.snapshot() == before
    beside = p.top / "tree" / "store"
    subprocess.run([COPPICE, "--store", beside, "init"], check=True, capture_output=True)
    p.run("commit", p.tree, "with-another-store")


def names_with_newlines_leave_an_error_in_one_line(p):
    name = "two\nlines\x1b[31m"
    (p.tree / name).mkdir()
    assert "two\\nlines\\x1b[31m" in p.error("import", p.top / (name + "?"), "x")
    p.run("commit", p.tree, "one")
    assert "two\\nlines" in p.error("cat", "one", name)


if __name__ == "__main__":
    sys.exit(run_claims(globals(), Place))

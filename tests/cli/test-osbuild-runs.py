#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test-osbuild-runs.py COPPICE LIBDIR: how runs of the command osbuild end, and go on beside others.

Each function is a claim.  They need root, bubblewrap and, some of them, loop devices, and skip without.
"""
import contextlib
import json
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from claims import Skipped, run_claims  # noqa: E402
from left import held  # noqa: E402
from osbuild_place import SHELL, Place, add_module, need_sandbox, sh, two  # noqa: E402

SIZE = 20 * 2048  # sectors of the disk that stages write to


def command(place, *args):
    return [place.program, "--store", place.store, "--libdir", place.libdir, "--output-directory", place.output, "-",
            *map(str, args)]


@contextlib.contextmanager
def started(p, manifest, *args):
    """A build, up to the line `begun` of its stage; killed at the end if it still runs."""
    process = subprocess.Popen(command(p, "--export", "tree", *args), stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watchdog = threading.Timer(120, process.kill)
    watchdog.start()
    try:
        process.stdin.write(json.dumps(manifest))
        process.stdin.close()
        for line in process.stdout:
            if line == "begun\n":
                break
        else:
            error = process.stderr.read()
            if "loop" in error:
                raise Skipped("needs loop devices: " + error.strip())
            raise AssertionError(f"ended before its stage began: {error}")
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def with_disk(p, script):
    """A stage with everything that has to be undone: a loop device, a mount, an input."""
    image = f"{p.top.name}.img"  # as the kernel will name it, beside those of other tests
    disk = {"type": "org.osbuild.loopback", "options": {"filename": image, "size": SIZE}}
    return two({"name": "other", "stages": [{"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/d"}]}}]},
               {"name": "tree", "source-epoch": 1000000, "stages": [
                   {"type": "org.osbuild.truncate", "options": {"filename": image, "size": str(SIZE * 512)}},
                   {"type": "org.osbuild.mkfs.ext4", "options": {"uuid": "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"},
                    "devices": {"device": disk}},
                   {"type": "org.test.sh", "options": {"command": script}, "devices": {"disk": disk},
                    "mounts": [{"name": "root", "type": "org.osbuild.ext4", "source": "disk", "target": "/"}],
                    "inputs": {"other": {"type": "org.osbuild.tree", "origin": "org.osbuild.pipeline",
                                         "references": ["name:other"]}}}]})


def only_plain_modules(place):
    """Those of coppice, and the stage that runs a command."""
    place.libdir = place.top / "plain"
    add_module(place.libdir, "stages", "org.test.sh", SHELL,
               {"schema_2": {"options": {}, "devices": {}, "mounts": {}, "inputs": {}}})


def work_directories(place):
    return [str(path) for path in (place.store / "tmp").rglob("*")]


def still_running(place):
    return held(place.top)


def leftovers(place):
    return work_directories(place) + still_running(place)


def await_nothing_left(p, look=leftovers, seconds=10):
    end = time.monotonic() + seconds
    while look(p) and time.monotonic() < end:
        time.sleep(0.1)
    assert not look(p), look(p)


def an_interrupt_ends_a_build_at_once(p):
    need_sandbox()
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        with subprocess.Popen([p.program, "--store", p.store, "--libdir", p.libdir, "--output-directory",
                               p.output, "-", "--export", "tree"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            process.stdin.write(json.dumps(two(sh("echo begun; sleep 100"))))
            process.stdin.close()
            while process.stdout.readline() != "begun\n":
                pass
            start = time.monotonic()
            process.send_signal(number)
            rest = process.stdout.read()
            assert process.wait(30) == status, process.returncode
            assert time.monotonic() - start < 10, (number, time.monotonic() - start)
            assert rest.endswith("Aborted\n"), rest
    left = [str(path) for path in (p.store / "tmp").rglob("*")]
    assert p.snapshot() == [] and not left, (p.snapshot(), left)
    assert str(p.store) not in pathlib.Path("/proc/mounts").read_text()


def a_stage_that_takes_too_long_is_ended(p):
    need_sandbox()
    start = time.monotonic()
    result = p.build(two(sh("while :; do echo x; sleep 0.2; done")), "--export", "tree", "--stage-timeout", "2",
                     status=1)
    assert time.monotonic() - start < 30 and "2 s" in result.stderr, result.stderr


def an_interrupt_undoes_devices_mounts_and_inputs(p):
    need_sandbox()
    only_plain_modules(p)
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        with started(p, with_disk(p, "echo begun; cd /run/osbuild/mounts; sleep 100")) as process:
            start = time.monotonic()
            process.send_signal(number)
            process.stdout.read()
            assert process.wait(60) == status, process.returncode
            assert time.monotonic() - start < 20, time.monotonic() - start
        await_nothing_left(p)


def a_stage_that_ignores_a_signal_is_ended_too(p):
    need_sandbox()
    with started(p, two(sh("trap '' TERM INT; echo begun; while :; do sleep 1; done"))) as process:
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert process.wait(30) == 143, process.returncode
    await_nothing_left(p)


def a_killed_run_is_cleaned_up_by_the_next(p):
    need_sandbox()
    only_plain_modules(p)
    with started(p, with_disk(p, "echo begun; sleep 100")) as process:
        process.kill()
        process.wait(30)
    # A view that is still mounted would be left for the run after the next.
    await_nothing_left(p, still_running)
    assert work_directories(p), "this test proves nothing"
    p.build(two(sh("echo 1 > f")), "--export", "tree")
    await_nothing_left(p)
    assert (p.output / "tree" / "f").read_text() == "1\n"
    result = p.build(with_disk(p, "ls /run/osbuild/inputs/other; touch /run/osbuild/mounts/made"), "--export", "tree")
    assert "\nd\n" in result.stdout, result.stdout


class Terminal:
    """A build on a terminal of its own, as a person sees it."""

    def __init__(self, p, manifest, *args):
        path = p.top / "manifest.json"
        path.write_text(json.dumps(manifest))
        words = [str(path) if word == "-" else str(word) for word in command(p, "--export", "tree", *args)]
        self.seen = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(words[0], words)

    def expect(self, pattern, seconds=60):
        """Everything that was shown up to what matches, which is taken."""
        end = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.seen)
            if found:
                before, self.seen = self.seen[:found.end()], self.seen[found.end():]
                return before
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            assert ready, f"not shown within {seconds} s: {pattern!r}; but: {self.seen!r}"
            try:
                part = os.read(self.fd, 4096)
            except OSError:  # everyone has left the terminal
                part = b""
            assert part, f"never shown: {pattern!r}; but: {self.seen!r}"
            self.seen += part.decode(errors="replace")

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        """Its exit status; what it still shows is read."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            ready, _, _ = select.select([self.fd], [], [], 0.1)
            try:
                if ready:
                    self.seen += os.read(self.fd, 4096).decode(errors="replace")
            except OSError:
                pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError(f"did not end; shown: {self.seen!r}")


def a_break_gives_a_shell_where_the_stage_would_run(p):
    need_sandbox()
    terminal = Terminal(p, two(sh("echo first; touch a", "echo second; ls")), "--break", "org.test.sh")
    terminal.expect("# $")
    terminal.type("echo tree: $(ls /run/osbuild/tree) args: $(ls /run/osbuild/api)\n")
    terminal.expect("tree: args: arguments osbuild")
    terminal.type("sleep 1000\n")
    time.sleep(0.5)
    terminal.type("\x03")  # ends what runs in the shell, and nothing else
    terminal.type("echo still $((40 + 2))\n")
    terminal.expect("still 42")
    terminal.type("touch /run/osbuild/tree/by-hand; exit 0\n")
    terminal.expect("first\r\n")
    terminal.expect("# $")
    terminal.type("exit 0\n")
    terminal.expect("second\r\na\r\nby-hand\r\n")
    assert terminal.end() == 0, terminal.seen
    assert sorted(os.listdir(p.output / "tree")) == ["a", "by-hand"]


def a_break_stops_at_the_stages_that_it_names(p):
    need_sandbox()
    manifest = two(sh("echo first", "echo second"))
    path = p.top / "m.json"
    path.write_text(json.dumps(manifest))
    stages = json.loads(p.run("--libdir", p.libdir, "--inspect", path).stdout)["pipelines"][0]["stages"]
    terminal = Terminal(p, manifest, f"--break={stages[1]['id']}")
    assert "first" in terminal.expect("# $")
    terminal.type("exit 0\n")
    terminal.expect("second\r\n")
    assert terminal.end() == 0, terminal.seen
    terminal = Terminal(p, manifest, "--break=org.test.other")
    terminal.expect("second\r\n")
    assert terminal.end() == 0, terminal.seen


def a_shell_that_fails_ends_the_build(p):
    need_sandbox()
    terminal = Terminal(p, two(sh("echo first")), "--break")
    terminal.expect("# $")
    terminal.type("exit 3\n")
    assert terminal.end() == 1, terminal.seen
    assert "the shell before the stage said no" in terminal.seen and "first" not in terminal.seen, terminal.seen
    await_nothing_left(p)


def the_terminal_is_ours_again_after_a_shell(p):
    need_sandbox()
    terminal = Terminal(p, two(sh("echo begun; sleep 100")), "--break")
    terminal.expect("# $")
    terminal.type("exit 0\n")
    terminal.expect("begun\r\n")
    terminal.type("\x03")
    assert terminal.end() == 130, terminal.seen
    await_nothing_left(p)


def a_signal_ends_a_shell_too(p):
    need_sandbox()
    terminal = Terminal(p, two(sh("echo first")), "--break")
    terminal.expect("# $")
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.end() == 143, terminal.seen
    await_nothing_left(p)


def race(p, manifest, *args, libdirs=(None, None)):
    """Two processes at once, each with a directory for its exports; their results."""
    processes = []
    for number, libdir in enumerate(libdirs):
        words = [p.program, "--store", p.store, "--libdir", libdir or p.libdir, "--output-directory",
                 p.top / f"out-{number}", "-", "--export", "tree", "--json", *args]
        processes.append(subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                          stderr=subprocess.PIPE, text=True))
    for process in processes:
        process.stdin.write(json.dumps(manifest))
        process.stdin.flush()
    for process in processes:
        process.stdin.close()
        process.stdin = None
    results = []
    for process in processes:
        out, error = process.communicate(timeout=300)
        assert process.returncode == 0, (out, error)
        results.append(json.loads(out))
    return results


def read_both(p, name):
    return [(p.top / f"out-{number}" / "tree" / name).read_text() for number in range(2)]


def two_runs_of_one_id_end_on_the_winners_tree(p):
    """What a stage makes differs each time: who comes second takes what the first has made."""
    need_sandbox()
    first = "head -c 100000 /dev/urandom | base64 > random; sleep 0.5"
    manifest = two(sh(first, "sha256sum random > sum; sleep 0.3"))
    for patterns in (["tree"], ["*"]):
        arguments = [word for pattern in patterns for word in ("--checkpoint", pattern)]
        results = race(p, manifest, *arguments)
        one, other = read_both(p, "random")
        assert one == other, "each has a tree of its own"
        assert len({text for text in read_both(p, "sum")}) == 1
        ran = sum(len(result["log"].get("tree", [])) for result in results)
        assert ran == 2, f"{ran} stages ran, each of the two should once"
        manifest["pipelines"][0]["stages"][0]["options"]["command"] += " "  # other ids


def two_runs_of_one_id_with_other_modules_keep_their_own(p):
    """The id is the same, what it stands for is not: neither is served the other's tree."""
    need_sandbox()
    libdirs = []
    for word in ("one", "other"):
        libdir = p.top / word
        add_module(libdir, "stages", "org.test.sh", SHELL.replace(
            "sys.exit(", f"open('made', 'a').write('{word}\\n')\nsys.exit("), {"schema": {"type": "object"}})
        libdirs.append(libdir)
    manifest = two(sh("sleep 0.3", "sleep 0.3", "cat made > seen"))
    for _ in range(2):  # built, then served
        race(p, manifest, "--checkpoint", "*", libdirs=libdirs)
        assert read_both(p, "made") == ["one\n" * 3, "other\n" * 3], read_both(p, "made")
        assert read_both(p, "seen") == ["one\n" * 3, "other\n" * 3]


def runs_that_keep_nothing_do_not_wait_for_each_other(p):
    need_sandbox()
    manifest = two(sh("echo begun; until [ -e /run/osbuild/lib/go ]; do sleep 0.05; done"))
    with started(p, manifest) as one, started(p, manifest) as other:
        (p.libdir / "go").touch()
        for process in (one, other):
            process.stdout.read()
            assert process.wait(60) == 0, process.stderr.read()


if __name__ == "__main__":
    sys.exit(run_claims(globals(), Place, sys.argv[3:]))

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""sweep.py kill|error [--points N] [--seed S] [--operation NAME]... [--at CALL:N[:ERROR]]

Every operation is run once under strace to learn its system calls.  Then, for each of them
(or N that are drawn), it is run on a fresh copy of a store and stopped right before that
call (kill), or that call fails (error).  Whatever happens:

  - the store is judged by the oracle; every ref is what it was or what it was to become
  - an operation that said 0 has done all it says; one that failed says why, in one line
  - a sandbox ends with who made it
  - done again, the operation works; then nothing is left in tmp, and after a collection
    there is nothing in the store that no ref needs

--at repeats one point, as it is printed with a violation.
"""
import argparse
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import time

import lab

# Calls that reach into a file system, where a disk can fail; and with what.
FAILING = {
    "openat": ["EIO", "EMFILE", "ENOSPC"], "openat2": ["EIO", "EMFILE"], "open": ["EMFILE"],
    "mkdir": ["ENOSPC"], "mkdirat": ["ENOSPC", "EIO"], "rename": ["EIO"], "renameat": ["EIO", "ENOSPC"],
    "renameat2": ["EIO", "ENOSPC"], "linkat": ["EIO", "ENOSPC"], "symlinkat": ["ENOSPC", "EIO"],
    "unlinkat": ["EIO"], "unlink": ["EIO"], "write": ["ENOSPC", "EIO", "EINTR"], "writev": ["EIO"],
    "pwrite64": ["ENOSPC", "EIO", "EINTR"], "read": ["EIO", "EINTR"], "pread64": ["EIO", "EINTR"],
    "ftruncate": ["ENOSPC", "EIO"], "fsync": ["EIO", "ENOSPC"], "syncfs": ["EIO", "ENOSPC"],
    "fchmod": ["EIO"], "fchmodat": ["EIO"], "fchown": ["EIO"], "fchownat": ["EIO"], "newfstatat": ["EIO"],
    "fstat": ["EIO"], "statx": ["EIO"], "getdents64": ["EIO"], "lseek": ["EIO"], "readlinkat": ["EIO"],
    "readlink": ["EIO"], "fcntl": ["EINTR", "ENOLCK"], "flock": ["EINTR", "ENOLCK"], "ioctl": ["EIO"],
    "utimensat": ["EIO"], "flistxattr": ["EIO"], "llistxattr": ["EIO"], "fgetxattr": ["EIO"],
    "copy_file_range": ["EIO", "ENOSPC"], "sync_file_range": ["EIO"], "fremovexattr": ["EIO"],
    "fsetxattr": ["ENOSPC", "EIO"], "mount": ["EIO"], "fsopen": ["EIO"], "fsmount": ["EIO"],
    "fsconfig": ["EIO"], "move_mount": ["EIO"], "memfd_create": ["EMFILE"], "mmap": ["ENOMEM"],
    "pipe2": ["EMFILE"], "clone3": ["EAGAIN"], "vfork": ["EAGAIN"], "socketpair": ["EMFILE"], "socket": ["EMFILE"],
}


class Operation:
    """@args of coppice, in a place with a store; @changes: {ref: digest} when it is done."""

    def __init__(self, name, args, changes, fresh=False, env=None, output=None,
                 has_sandbox=False):
        self.name, self.args, self.changes = name, args, changes
        self.fresh = fresh  # begins without a store
        self.env = env or {}
        self.has_sandbox = has_sandbox
        self.output = output  # a file that is whole or not there


class World:
    """Trees, archives and a store from which every point begins."""

    def __init__(self, views):
        self.top = lab.in_memory("sweep")
        self.store = self.top / "store"
        self.writer = os.environ.get("COPPICE_WRITER")
        a, b, c = (lab.make_tree(self.top / name, seed) for seed, name in enumerate("abc"))
        self.ids = {name: lab.out(self.store, "commit", tree, name) for name, tree in (("a", a), ("b", b))}
        lab.out(self.store, "commit", c, "garbage")
        self.tar = self.top / "c.tar"
        lab.out(self.store, "export", "garbage", self.tar, "--format", "tar")
        self.new = lab.out(self.store, "digest", c)
        self.operations = [
            Operation("init", ["init"], {}, fresh=True),
            Operation("commit", ["commit", c, "a"], {"name/a": self.new}),
            Operation("ref-set", ["ref", "set", "a", "b"], {"name/a": self.ids["b"]}),
            Operation("ref-rm", ["ref", "rm", "a"], {"name/a": None}),
            Operation("gc", ["gc"], {}),
            Operation("verify", ["verify"], {}),
            Operation("import", ["import", self.tar, "a"], {"name/a": self.new}),
            Operation("export", ["export", "b", "DIR/out.tar", "--format", "tar"], {}, output="out.tar"),
        ]
        self.add_build()
        if self.writer:
            for view in views:
                self.add_view(view)
        lab.out(self.store, "ref", "rm", "garbage")
        self.before = lab.refs(self.store)

    def add_build(self):
        manifest = self.top / "m.json"
        stages = [{"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/etc"}, {"path": "/srv"}]}},
                  {"type": "org.osbuild.hostname", "options": {"hostname": "torture"}}]
        manifest.write_text(json.dumps({"version": "2", "pipelines": [
            {"name": "tree", "source-epoch": 1_700_000_000, "stages": stages}]}))
        args = ["build", manifest, "--checkpoint", "all"]
        probe = self.top / "probe"
        if lab.run(probe, *args, status=None, env=lab.QUIET).returncode:
            print("no build: the sandbox does not work here")
            return
        self.operations.append(Operation("build", args, lab.refs(probe), has_sandbox=True))

    def add_view(self, view):
        """A tree in which a static program writes, committed by coppice run."""
        tree = self.top / f"view-{view}"
        lab.make_tree(tree, 9)
        lab.copy(self.writer, tree / "writer")
        env = {"COPPICE_VIEW": view}
        lab.out(self.store, "commit", tree, "base-" + view)
        args = ["run", "base-" + view, "--commit", "a", "--", "/writer"]
        probe = self.top / f"probe-{view}"
        lab.copy(self.store, probe)
        if lab.run(probe, *args, status=None, env={**lab.QUIET, **env}).returncode:
            print(f"no view of kind {view}: it does not work here")
            return
        digest = lab.refs(probe)["name/a"]
        self.operations.append(Operation("view-" + view, args, {"name/a": digest}, env=env, has_sandbox=True))


def command(operation, place):
    return [str(arg).replace("DIR/", f"{place}/") for arg in operation.args]


def make_place(world, operation, name):
    place = world.top / name
    lab.remove(place)
    place.mkdir()
    if not operation.fresh:
        lab.copy_store(world.store, place / "store")
    return place


def trace(world, operation):
    """{call: (first, last)}, counted from the first call that names the store: what the
    loader does before is not ours."""
    place = make_place(world, operation, "trace")
    log = world.top / "strace.log"
    result = subprocess.run(["strace", "-o", log, lab.COPPICE, "--store", place / "store",
                             *command(operation, place)], capture_output=True, check=False,
                            env={**os.environ, **lab.QUIET, **operation.env})
    assert result.returncode == 0, (operation.name, result.stderr)
    calls, begun = {}, False
    for line in log.read_text(errors="replace").splitlines():
        match = re.match(r"(\w+)\(", line)
        if not match:
            continue
        begun = begun or f'"{place}' in line and match[1] != "execve"
        first, last = calls.get(match[1], (1, 0))
        calls[match[1]] = (first if begun else last + 2, last + 1)
    calls.pop("exit_group", None)
    if operation.output and not hasattr(operation, "bytes"):
        operation.bytes = (place / operation.output).read_bytes()
    lab.remove(place)
    return calls


def points(world, operation, mode):
    calls = dict(trace(world, operation))
    # A sanitizer's own memory is not ours to miss.
    if b"__asan_init" in pathlib.Path(lab.COPPICE).read_bytes():
        calls.pop("mmap", None)
    for call, (first, last) in calls.items():
        for error in [None] if mode == "kill" else FAILING.get(call, []):
            yield from ((operation.name, call, n, error) for n in range(first, last + 1))


WORLD = None  # before the fork


def check_refs(operation, before, now, finished):
    allowed = {**before}
    for name, digest in operation.changes.items():
        old = before.get(name)
        found = now.get(name)
        if found not in ((digest,) if finished else (old, digest)):
            raise lab.Violation(f"ref {name} is {found}, not {digest}" + ("" if finished else f" nor {old}"))
        allowed.pop(name, None)
    for name, digest in allowed.items():
        if now.get(name) != digest:
            raise lab.Violation(f"ref {name} was {digest} and is {now.get(name)}")


def check_words(result):
    """A failure says why, in one line that is ours."""
    text = result.stderr.decode(errors="replace")
    if result.returncode < 0:
        raise lab.Violation(f"died of signal {-result.returncode}: {text}")
    if "Sanitizer" in text or "Assertion" in text:
        raise lab.Violation(text[:1500])
    if result.returncode and not re.search(r"^coppice: .*\S.*$", text.strip(), re.M):
        raise lab.Violation(f"exit status {result.returncode} without a reason: {text!r}")


def check_output(operation, place, finished):
    if not operation.output:
        return
    path = place / operation.output
    if path.exists() and path.read_bytes() != operation.bytes:
        raise lab.Violation("half an archive has its final name")
    if finished and not path.exists():
        raise lab.Violation("it said 0 and wrote nothing")


def is_store(store):
    return (store / "format").exists()


def living(place):
    """Processes that have anything of this place on their command line: sandboxes, guards."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if os.fsencode(place) + b"/" in path.read_bytes() and int(path.parent.name) != os.getpid():
                found.append(int(path.parent.name))
        except OSError:
            pass
    return found


def check_processes(place):
    """All that it started ends with it, and soon."""
    end = time.monotonic() + 30
    while left := living(place):
        if time.monotonic() > end:
            for pid in left:
                os.kill(pid, 9)
            raise lab.Violation(f"{len(left)} processes outlived it")
        time.sleep(0.002)


def try_point(point):
    """(point, complaint or None)."""
    name, call, n, error = point
    world = WORLD
    operation = next(one for one in world.operations if one.name == name)
    place = make_place(world, operation, f"p{os.getpid()}")
    store = place / "store"
    before = lab.refs(store)
    inject = f"inject={call}:{'error=' + error if error else 'signal=KILL'}:when={n}"
    try:
        # Not pipes: a sandbox that outlives us would keep them open.
        with open(place / "words", "w+b") as words:
            result = subprocess.run(["strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject,
                                     lab.COPPICE, "--store", store, *command(operation, place)],
                                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=words, check=False,
                                    timeout=100, env={**os.environ, **lab.QUIET, **operation.env})
            words.seek(0)
            result.stderr = words.read()
        if operation.has_sandbox:
            check_processes(place)
        if error:
            check_words(result)
        finished = result.returncode == 0
        if is_store(store):
            lab.judge(store, allow_marks=True)
            check_refs(operation, before, lab.refs(store), finished)
        elif finished or not operation.fresh:
            raise lab.Violation("the store is gone")
        check_output(operation, place, finished)
        recover(operation, place, before)
    except (lab.Violation, subprocess.TimeoutExpired) as problem:
        return point, str(problem)
    finally:
        lab.remove(place)
    return point, None


def check_tmp(store):
    """The next command sweeps; while the sandbox of the killed one still ends, the one after."""
    for _ in range(20):
        left = os.listdir(store / "tmp") if (store / "tmp").exists() else []
        if not left:
            return
        time.sleep(0.2)
        lab.run(store, "ref", "set", "name-for-a-sweep", "b", env=lab.QUIET)
        lab.run(store, "ref", "rm", "name-for-a-sweep", env=lab.QUIET)
    raise lab.Violation(f"left in tmp: {left}")


def recover(operation, place, before):
    store = place / "store"
    env = {**lab.QUIET, **operation.env}
    done = operation.name == "ref-rm" and "name/a" not in lab.refs(store)
    if not done:
        lab.run(store, *command(operation, place), env=env)
    check_refs(operation, before, lab.refs(store), True)
    check_output(operation, place, True)
    check_tmp(store)
    left = [name for name in os.listdir(place) if name not in ("store", operation.output)
            and not name.startswith(".tmp-") and name != "words"]
    if left:
        raise lab.Violation(f"left beside the store: {left}")
    lab.run(store, "gc", env=lab.QUIET)
    lab.judge(store, complete=True)


def main():
    global WORLD
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=["kill", "error"])
    parser.add_argument("--points", type=int)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("COPPICE_SEED", "1")))
    parser.add_argument("--operation", action="append")
    parser.add_argument("--at")
    args = parser.parse_args()
    try:
        subprocess.run(["strace", "-o", "/dev/null", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        lab.skip("strace does not work here")
    if args.mode == "error" and os.geteuid() != 0:
        lab.skip("to judge a store with files that are marked as damaged takes root")
    report = lab.Report(args.mode, args.seed)
    lab.own_mounts()
    WORLD = World(["copy", "overlay"])
    chosen = [one for one in WORLD.operations if not args.operation or one.name in args.operation]
    every = [point for operation in chosen for point in points(WORLD, operation, args.mode)]
    report.count("points in all", len(every))
    if args.at:
        call, n, *error = args.at.split(":")
        every = [(chosen[0].name, call, int(n), error[0] if error else None)]
    elif args.points and args.points < len(every):
        every = random.Random(args.seed).sample(every, args.points)
    for point, complaint in lab.in_parallel(try_point, every):
        report.count(point[0])
        if complaint:
            name, call, n, error = point
            report.violation(f"{name} --at {call}:{n}" + (f":{error}" if error else ""), complaint)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())

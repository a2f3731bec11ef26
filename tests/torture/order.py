#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""order.py: syncs that none of the file systems here needs, as they keep that order anyway.

No power cut can show that one of them is missing, so it is read off the system calls of init,
commit, ref, pin and gc: what must be on disk before what.
"""
import os
import re
import subprocess
import sys

import lab

CALLS = "fsync,syncfs,rename,renameat,renameat2,unlink,unlinkat"


def trace(store, *args):
    """[(call, [paths])] of the calls that worked; of a rename both paths."""
    log = store.parent / "order.log"
    result = subprocess.run(["strace", "-y", "-s", "4096", "-o", log, "-e", "trace=" + CALLS, lab.COPPICE, "--store",
                             store, *args], capture_output=True, check=False, env={**os.environ, **lab.QUIET})
    if result.returncode:
        raise lab.Violation(f"{args}: {result.stderr.decode()}")
    calls = []
    for line in log.read_text().splitlines():
        match = re.match(r"(\w+)\((.*)\) += 0$", line)
        if match:
            paths = re.findall(r'<([^>]*)>(?:, "([^"]*)")?', match[2])
            calls.append((match[1], [os.path.normpath(os.path.join(*part)) for part in paths]))
    return calls


def places(calls, names, test):
    """Where in the trace a call of @names is that has a path for which @test is true."""
    return [i for i, (name, paths) in enumerate(calls) if name.startswith(names) and any(map(test, paths))]


def demand(calls, what, after, names, test, before=None):
    """Behind @after, and before @before, there is such a call."""
    end = len(calls) if before is None else before
    if not [i for i in places(calls, names, test) if after < i < end]:
        raise lab.Violation(f"{what}: {calls}")


def below(top):
    return lambda path: path.startswith(f"{top}/")


def check_init(store):
    calls = trace(store, "init")
    named = places(calls, ("rename",), lambda path: path == f"{store}/format")[-1]
    demand(calls, "init: the store's directory is not synced", named, ("fsync",), lambda path: path == str(store))
    demand(calls, "init: the directory above is not synced", named, ("fsync",), lambda path: path == str(store.parent))


def check_commit(store, tree):
    calls = trace(store, "commit", tree, "a")
    told = places(calls, ("rename",), lambda path: path == f"{store}/meta/refs/name/a")[-1]
    named = places(calls, ("rename",), lambda path: path == f"{store}/refs/name/a")[-1]
    # Where it is new both directories are; where it is not the inner one has to do.
    synced = places(calls, ("fsync",), lambda path: path == f"{store}/refs/name")
    if not synced or synced[0] < named:
        raise lab.Violation(f"commit: the directory of names is not synced: {calls}")
    demand(calls, "commit: what is known of a name is not synced before it", max(told, named), ("fsync",),
           lambda path: path == f"{store}/meta/refs/name", synced[0])


def check_ref(store):
    calls = trace(store, "ref", "set", "b", "a")
    named = places(calls, ("rename",), lambda path: path == f"{store}/refs/name/b")[-1]
    demand(calls, "ref set: what the name leads to is not synced before it", -1, ("syncfs",),
           lambda path: path == str(store), named)
    calls = trace(store, "ref", "rm", "b")
    gone = places(calls, ("unlink",), lambda path: path == f"{store}/refs/name/b")[-1]
    demand(calls, "ref rm: the directory of names is not synced", gone, ("fsync",),
           lambda path: path == f"{store}/refs/name")


def check_settings(store):
    calls = trace(store, "pin", "a")
    named = places(calls, ("rename",), lambda path: path == f"{store}/settings.json")[-1]
    demand(calls, "pin: the settings are not synced before they have their name", -1, ("syncfs",),
           lambda path: path == str(store), named)
    demand(calls, "pin: the name of the settings is not synced", named, ("fsync",), lambda path: path == str(store))
    lab.run(store, "unpin", "a")


def check_gc(store):
    calls = trace(store, "gc", "--max-size", "1")
    named = places(calls, ("unlink",), below(store / "refs"))
    removed = places(calls, ("unlink",), lambda path: below(store / "objects")(path) or below(store / "files")(path))
    if not named or not removed:
        raise lab.Violation(f"gc removed no name or nothing that it named: {calls}")
    demand(calls, "gc: what a name led to is removed before that is gone for good", named[-1], ("syncfs",),
           lambda path: path == str(store), removed[0])


def main():
    try:
        subprocess.run(["strace", "-o", "/dev/null", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        lab.skip("strace does not work here")
    report = lab.Report("order", 0)
    top = lab.scratch("order")
    store, tree = top / "store", lab.make_tree(top / "tree", 1)
    for check, *args in ((check_init, store), (check_commit, store, tree), (check_ref, store),
                         (check_settings, store), (check_gc, store)):
        try:
            check(*args)
            report.count("orders kept")
        except lab.Violation as problem:
            report.violation(check.__name__, str(problem))
    return report.end()


if __name__ == "__main__":
    sys.exit(main())

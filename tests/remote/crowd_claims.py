# SPDX-License-Identifier: Apache-2.0
"""Builders that push and pull the same names at once, are killed and begin again, through a
server that fails now and then.

Whatever a name leads to can be pulled and is right, at any time and at the end.
COPPICE_REMOTE_SECONDS=N goes on for N seconds (12), COPPICE_REMOTE_SEED=N begins otherwise.
"""
import os
import random
import signal
import subprocess
import threading
import time

from proxy import Proxy
from remotelib import COPPICE, Skipped, noise, words
from servers import ceph

SECONDS = float(os.environ.get("COPPICE_REMOTE_SECONDS", "12"))
SEED = int(os.environ.get("COPPICE_REMOTE_SEED", "1"))
NAMES = ["debian/a", "debian/b", "image", "other"]


class Builder(threading.Thread):
    """One store that changes its tree, pushes, pulls, and is killed now and then."""

    def __init__(self, place, number, end):
        super().__init__()
        self.place, self.end = place, end
        self.random = random.Random(SEED * 1000 + number)
        self.store = place.top / f"builder{number}"
        self.tree = place.top / f"tree{number}"
        self.tree.mkdir()
        self.counts = {"push": 0, "pull": 0, "killed": 0, "failed": 0}
        self.odd = []

    def change(self):
        pick = self.random
        for _ in range(pick.randrange(1, 6)):
            path = self.tree / f"f{pick.randrange(30)}"
            size = pick.choice((10, 500, 20_000, 300_000, 1_500_000))
            make = noise if pick.random() < 0.2 else words
            path.write_bytes(make(size, pick.randrange(50)))

    def coppice(self, *args, may_kill=True):
        """The exit status and the words; None: it was killed."""
        process = subprocess.Popen([COPPICE, "-q", "--store", self.store, *args], text=True,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   env={**os.environ, **self.place.environment})
        if may_kill and self.random.random() < 0.25:
            try:
                process.wait(timeout=self.random.random() * 1.5)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                self.counts["killed"] += 1
                return None, ""
        _, text = process.communicate(timeout=150)
        return process.returncode, text

    def step(self):
        name = self.random.choice(NAMES)
        if self.random.random() < 0.55:
            self.change()
            status, _ = self.coppice("commit", self.tree, name, may_kill=False)
            if status == 0:
                status, text = self.coppice("push", "crowd", name)
                what = "push"
        else:
            status, text = self.coppice("pull", "crowd", name)
            what = "pull"
        if status == 0:
            self.counts[what] += 1
        elif status is not None:
            self.counts["failed"] += 1
            if status < 0 or "damaged" in text or "another" in text or "Sanitizer" in text:
                self.odd.append(text)

    def run(self):
        try:
            while time.monotonic() < self.end:
                self.step()
        except Exception as problem:  # or nobody hears of it
            self.odd.append(repr(problem))


def check(place, environment, number):
    """Every name that there is, into a store that knows nothing."""
    store = f"check{number}"
    place.run(store, "remote", "add", "crowd", place.url, environment=environment)
    found = 0
    for name in NAMES:
        pull = subprocess.run([COPPICE, "--store", place.top / store, "pull", "crowd", name],
                              text=True, capture_output=True, check=False, timeout=150,
                              env={**os.environ, **place.environment, **environment})
        if pull.returncode == 0:
            found += 1
        else:
            assert "has no name" in pull.stderr, pull.stderr
    place.check_pool(store)
    return found


def a_crowd_of_builders_never_leaves_a_name_that_cannot_be_pulled(p):
    n = random.Random(SEED).randrange(2, 9) if SECONDS > 60 else 3
    try:
        p.environment = dict(ceph().environment)
        proxy = Proxy(ceph().port, SEED, 0.04)
        p.closers.append(proxy.close)
        p.environment["AWS_ENDPOINT_URL"] = proxy.url
        p.url, direct = f"s3://{ceph().make_bucket()}/x", {"AWS_ENDPOINT_URL": ceph().endpoint}
    except Skipped:
        p.url, direct = f"file://{p.place()}", {}
    builders = [Builder(p, i, time.monotonic() + SECONDS) for i in range(n)]
    for i in range(n):
        p.run(f"builder{i}", "remote", "add", "crowd", p.url, environment=direct)
    for builder in builders:
        builder.start()
    checks = 0
    while any(builder.is_alive() for builder in builders):
        time.sleep(min(5, SECONDS / 3))
        check(p, direct, checks)
        checks += 1
    for builder in builders:
        builder.join()
    total = {key: sum(b.counts[key] for b in builders) for key in builders[0].counts}
    print(f"{n} builders, seed {SEED}: {total}, {checks} checks", flush=True)
    odd = [odd for builder in builders for odd in builder.odd]
    assert not odd, odd
    assert total["push"] > 0 and check(p, direct, checks) > 0, total


# SPDX-License-Identifier: Apache-2.0
"""Servers that fail, lie, and are slow.

COPPICE_REMOTE_SEEDS=N tries N seeds in place of a few.
"""
import os
import signal
import threading
import time

from proxy import PASSING, Proxy
from remotelib import noise
from servers import Nginx, ceph

SEEDS = int(os.environ.get("COPPICE_REMOTE_SEEDS", "3"))
# Servers that fail by order need not be given time to recover.
SOON = ("--pause", "2")


def through(place, seed, rate, faults=PASSING, only=None):
    """A bucket behind a proxy."""
    bucket = ceph().make_bucket()
    place.environment = dict(ceph().environment)
    proxy = Proxy(ceph().port, seed, rate, faults, only)
    place.closers.append(proxy.close)
    place.environment["AWS_ENDPOINT_URL"] = proxy.url
    return proxy, f"s3://{bucket}/x"


def direct():
    return {"AWS_ENDPOINT_URL": ceph().endpoint}


def add(place, store, url, **options):
    place.run(store, "remote", "add", "r", url, *SOON, **options)


def served(place):
    """A pushed tree behind nginx and a proxy."""
    place.grow(small=40, large=1)
    place.commit("a", "one")
    place.run("a", "remote", "add", "out", f"file://{place.place()}")
    place.run("a", "push", "out", "one")
    server = Nginx(place.top, place.place())
    place.closers.append(server.close)
    proxy = Proxy(server.port)
    place.closers.append(proxy.close)
    return proxy


def what_fails_now_and_then_is_tried_again(p):
    broken = 0
    for seed in range(1, SEEDS + 1):
        proxy, url = through(p, seed, 0.25)
        p.grow(seed=seed, small=40, large=1)
        a, b = f"a{seed}", f"b{seed}"
        p.commit(a, "one")
        add(p, a, url, environment=direct())
        p.run(a, "push", "r", "one")
        add(p, b, url, environment=direct())
        p.run(b, "pull", "r", "one")
        p.same_tree(a, b, "one")
        broken += len(proxy.faults_seen())
    assert broken > SEEDS, broken


def every_fault_by_itself_is_survived(p):
    proxy = served(p)
    add(p, "b", proxy.url)
    for i, fault in enumerate(PASSING):
        store = f"b{i}"
        add(p, store, proxy.url)
        proxy.seen.clear()
        proxy.faults, proxy.rate = (fault,), 0.3
        p.run(store, "pull", "r", "one")
        proxy.rate = 0
        p.same_tree("a", store, "one")


def a_server_that_says_wait_is_given_time(p):
    proxy = served(p)
    add(p, "b", proxy.url)
    first = []
    proxy.only = lambda method, path: not first and not first.append(path)
    proxy.faults, proxy.rate, proxy.retry_after = ("503",), 1.0, "2"
    begun = time.monotonic()
    p.run("b", "pull", "r", "one")
    assert 2 <= time.monotonic() - begun < 60
    assert proxy.faults_seen() == ["503"]
    p.same_tree("a", "b", "one")


def answers_that_are_lost_do_not_mislead_a_probe(p):
    sent = []
    proxy, url = through(p, 1, 1.0, ("lost",), lambda method, path:
                         method == "PUT" and (sent.append(path) or len(sent) % 2 == 1))
    add(p, "a", url)
    assert all(p.json("a", "remote", "probe", "r").values())
    assert len(proxy.faults_seen()) >= 8, proxy.seen


def a_server_that_only_fails_is_given_up_with_its_words(p):
    proxy = served(p)
    add(p, "b", proxy.url)
    proxy.faults, proxy.rate = ("500",), 1.0
    proxy.seen.clear()
    line = p.error("b", "pull", "r", "one")
    assert "the server answers 500" in line, line
    assert len(proxy.seen) == 8, len(proxy.seen)


def frauds_are_never_taken_for_what_they_say_to_be(p):
    proxy = served(p)
    for seed in range(SEEDS * 4):
        store = f"b{seed}"
        add(p, store, proxy.url)
        proxy.random.seed(seed)
        proxy.faults, proxy.rate = ("wrong", "short"), 0.5
        result = p.start(store, "pull", "r", "one")
        _, text = result.communicate(timeout=100)
        proxy.rate = 0
        assert len(text.strip().splitlines()) == 1, text
        if result.returncode == 0:
            p.same_tree("a", store, "one")
            continue
        assert result.returncode == 1, text
        assert p.out(store, "refs") == ""
        p.check_pool(store)
        p.run(store, "pull", "r", "one")
        p.same_tree("a", store, "one")


def a_condition_that_fails_by_a_lie_names_nothing_that_is_not_there(p):
    for seed in range(SEEDS):
        proxy, url = through(p, seed, 0.0, ("412",),
                             lambda method, path: method == "PUT")
        p.grow(seed=seed, small=20, large=1)
        a, b = f"a{seed}", f"b{seed}"
        p.commit(a, "one")
        add(p, a, url)
        proxy.rate = 0.4
        push = p.start(a, "push", "r", "one")
        push.communicate(timeout=100)
        proxy.rate = 0
        add(p, b, url)
        pull = p.start(b, "pull", "r", "one")
        _, text = pull.communicate(timeout=100)
        assert pull.returncode == 0 or (push.returncode != 0 and "has no name" in text), text


def a_pull_that_was_interrupted_goes_on_where_it_was(p):
    p.tree.mkdir()
    for i in range(40):
        (p.tree / f"f{i}").write_bytes(noise(900_000, i))
    p.commit("a", "one")
    p.run("a", "remote", "add", "out", f"file://{p.place()}")
    p.run("a", "push", "out", "one")
    server = Nginx(p.top, p.place())
    p.closers.append(server.close)
    proxy = Proxy(server.port, 1, 0.0, ("slow",))
    p.closers.append(proxy.close)
    # On a busy machine the signal may come too late: once more then.
    for number in range(5):
        store = f"b{number}"
        add(p, store, proxy.url)
        if not interrupt_pull(p, proxy, store):
            continue
        n_kept = kept(p, store)
        got = p.json(store, "pull", "r", "one")
        assert got["files"] == 40 - n_kept, (n_kept, got)
        p.same_tree("a", store, "one")
        if n_kept > 0:
            return
    raise AssertionError("no pull could be interrupted so that something was kept")


def killed_pull(p, n_parts, has_come):
    """The tree is pulled into the store b; after @n_parts parts nothing comes, and when @has_come
    the pull is killed.  What is asked for later comes."""
    p.commit("a", "one")
    p.run("a", "remote", "add", "out", f"file://{p.place()}")
    p.run("a", "push", "out", "one")
    server = Nginx(p.top, p.place())
    p.closers.append(server.close)
    asked, go_on = [], threading.Event()

    def wait_behind(_, path):
        """The first part is the text of the tree."""
        asked.extend([path] if "/v1/p/" in path else [])
        if len(asked) > n_parts + 1:
            go_on.wait(100)
        return False

    proxy = Proxy(server.port, only=wait_behind)
    p.closers.append(proxy.close)
    add(p, "b", proxy.url)
    pull = p.start("b", "pull", "r", "one")
    deadline = time.monotonic() + 60
    while not has_come() and time.monotonic() < deadline:
        time.sleep(0.02)
    pull.send_signal(signal.SIGKILL)
    pull.communicate()
    go_on.set()


def a_pull_that_was_killed_has_lost_little(p):
    p.tree.mkdir()
    for i in range(80):
        (p.tree / f"f{i}").write_bytes(noise(900_000, i))
    killed_pull(p, 5, lambda: kept(p, "b") >= 30)
    n_kept = kept(p, "b")
    assert 30 <= n_kept < 80, n_kept
    got = p.json("b", "pull", "r", "one")
    assert got["files"] == 80 - n_kept, (n_kept, got)
    assert got["received"] < (80 - n_kept) * 900_000 + 2_000_000, (n_kept, got)
    p.same_tree("a", "b", "one")


def a_large_file_that_was_killed_half_way_goes_on_there(p):
    p.tree.mkdir()
    (p.tree / "large").write_bytes(noise(48 << 20, 1))
    killed_pull(p, 3, lambda: on_its_way(p, "b") >= 23 << 20)
    assert 23 << 20 <= on_its_way(p, "b") < 48 << 20, on_its_way(p, "b")
    got = p.json("b", "pull", "r", "one")
    assert got["received"] < 27 << 20, got
    assert on_its_way(p, "b") == 0
    p.same_tree("a", "b", "one")


def on_its_way(place, store):
    """Bytes that the disk has of large files."""
    return sum(f.stat().st_blocks * 512 for f in (place.top / store / "partial").iterdir())


def kept(place, store):
    """How many files the pool has."""
    return sum(1 for f in (place.top / store / "files").rglob("*") if f.is_file())


def interrupt_pull(p, proxy, store):
    """Ctrl-C as soon as a file has come over a slow line.  False: all had come by then."""
    proxy.rate = 1.0
    pull = p.start(store, "pull", "r", "one")
    while pull.poll() is None and not has_file(p.top / store / "tmp", 900_000):
        time.sleep(0.005)
    pull.send_signal(signal.SIGINT)
    _, text = pull.communicate(timeout=60)
    proxy.rate = 0
    assert pull.returncode in (0, 130), (pull.returncode, text)
    return pull.returncode == 130


def has_file(folder, size):
    for here, _, files in os.walk(folder):
        for name in files:
            try:
                if os.lstat(os.path.join(here, name)).st_size == size:
                    return True
            except FileNotFoundError:
                pass
    return False


def a_collection_that_breaks_off_anywhere_leaves_what_is_needed(p):
    allowed, seen = [0], []
    proxy, url = through(p, 1, 0.0, ("drop",), lambda method, path: method in ("PUT", "DELETE") and
                         (seen.append(path) or len(seen) > allowed[0]))
    add(p, "a", url)
    for _ in range(2):
        p.shrink()
        p.commit("a", "one")
        p.run("a", "push", "r", "one")
    proxy.rate = 1.0
    for allowed[0] in range(30):
        seen.clear()
        gc = p.start("a", "remote", "gc", "r", "--young", "0")
        _, text = gc.communicate(timeout=100)
        check = f"check{allowed[0]}"
        p.run(check, "remote", "add", "r", url, environment=direct())
        p.run(check, "pull", "r", "one", environment=direct())
        p.same_tree("a", check, "one")
        if gc.returncode == 0:
            break
        assert "drop" not in text and len(text.splitlines()) == 1, text
    # A pack, a segment, a plan; one each is removed, and the lock.
    assert gc.returncode == 0 and allowed[0] >= 6, (allowed, text)


def a_pull_goes_on_while_packs_are_made_smaller(p):
    reports = []

    def collect_first(_, path):
        if "/v1/p/" in path and not reports:
            reports.append(p.json("a", "remote", "gc", "r", environment=direct()))
        return False

    proxy, url = through(p, 1, 0.0)
    add(p, "a", url)
    for _ in range(2):
        p.shrink()
        p.commit("a", "one")
        p.run("a", "push", "r", "one")
    add(p, "b", url)
    proxy.only = collect_first
    p.run("b", "pull", "r", "one")
    assert reports[0]["rewritten-packs"] == 1, reports
    p.same_tree("a", "b", "one")


def a_remote_that_goes_away_while_it_is_pushed_to_leaves_no_name(p):
    proxy, url = through(p, 1, 0.0, ("drop",))
    p.grow(small=30, large=2)
    p.commit("a", "one")
    add(p, "a", url)
    proxy.rate, proxy.only = 1.0, lambda method, path: "/v1/m/" in path
    p.error("a", "push", "r", "one")
    add(p, "b", url, environment=direct())
    assert "has no name" in p.error("b", "pull", "r", "one", environment=direct())
    proxy.rate = 0
    assert p.json("a", "push", "r", "one")["files"] == 0
    p.run("b", "pull", "r", "one")
    p.same_tree("a", "b", "one")


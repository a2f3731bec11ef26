# SPDX-License-Identifier: Apache-2.0
"""What every bench uses: a command's cost, contestants that take turns, rows of the table."""
import mmap
import os
import pathlib
import platform
import resource
import statistics
import struct
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
COPPICE = TOP / "build" / "coppice"


class Group:
    """A control group for one command, which counts the time of all that ever ran in it.

    What a sandbox runs in another process namespace is reaped there, so that rusage misses
    it.  Where there is no control group to be had, `counts` is false and rusage has to do.
    """

    counts = True

    def __init__(self):
        self.folder = None
        for root, file in (("/sys/fs/cgroup/cpuacct", "cpuacct.usage"),
                           ("/sys/fs/cgroup", "cpu.stat")):
            folder = pathlib.Path(root) / f"coppice-bench-{os.getpid()}"
            try:
                folder.mkdir()
            except OSError:
                continue
            if (folder / file).exists():
                self.folder, self.file = folder, folder / file
                return
            folder.rmdir()
        Group.counts = False

    def join(self):
        if self.folder:
            (self.folder / "cgroup.procs").write_text("0", encoding="ascii")

    def close(self):
        """Seconds; None without a group."""
        if not self.folder:
            return None
        words = self.file.read_text(encoding="ascii").split()
        for _ in range(50):
            try:
                self.folder.rmdir()
                break
            except OSError:  # the last one is still on its way out
                time.sleep(0.1)
        return int(words[0]) / 1e9 if len(words) == 1 else int(words[1]) / 1e6


class Run:
    """Wall and CPU seconds of one command and all that it starts.

    The clock starts in the child, before it becomes the command: to fork Python and to move
    a process into a control group takes up to 40 ms, which are not the command's.
    """

    def __init__(self, argv, **options):
        sync()
        group = Group()
        started = mmap.mmap(-1, mmap.PAGESIZE)

        def prepare_child():
            group.join()
            started[:8] = struct.pack("d", time.monotonic())

        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              preexec_fn=prepare_child, **options) as process:
            out, err = process.communicate()
        self.wall = time.monotonic() - struct.unpack("d", started[:8])[0]
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu = group.close()
        if self.cpu is None:
            self.cpu = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
        self.out = out.decode()
        if process.returncode:
            sys.exit(f"bench: {' '.join(map(str, argv))}: {err.decode()[-2000:]}")


def copy_synced(tree, target):
    """What the disk alone takes for the files of a tree."""
    return Run(["sh", "-c", 'cp -a "$0" "$1" && sync -f "$1"', tree, target])


def sync():
    os.sync()


def remove(path):
    subprocess.run(["rm", "-rf", path], check=True)


def warm(tree):
    subprocess.run(f"find '{tree}' -xdev -type f -print0 | xargs -0 cat >/dev/null", shell=True,
                   check=True)


def prepare(tree):
    """A page cache with @tree in it and nothing else."""
    drop_caches(1)
    warm(tree)


def drop_caches(what):
    """1: the page cache, 2: names and inodes, 3: both; as anyone but root: nothing."""
    sync()
    try:
        pathlib.Path("/proc/sys/vm/drop_caches").write_text(f"{what}\n", encoding="ascii")
    except OSError:
        pass


def count(tree):
    entries = size = 0
    for folder, dirs, files in os.walk(tree):
        entries += len(dirs) + len(files)
        for name in files:
            size += os.lstat(os.path.join(folder, name)).st_size
    return entries, size


def rotate(contestants, rounds):
    """{name: [Run]} with the contestants taking turns, each round beginning with another."""
    results = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(rounds):
        for name in names[number % len(names):] + names[:number % len(names)]:
            results[name].append(contestants[name]())
            print(f"  round {number + 1}: {name}: {results[name][-1].wall:.2f} s", flush=True)
    return results


def median(runs, what="wall"):
    return statistics.median(getattr(run, what) for run in runs)


def disk_speed(work):
    target = work / "raw"
    block = os.urandom(1 << 20)
    sync()
    start = time.monotonic()
    with open(target, "wb") as out:
        for _ in range(1024):
            out.write(block)
        out.flush()
        os.fsync(out.fileno())
    seconds = time.monotonic() - start
    target.unlink()
    return 1024 / seconds


def ratio(name, reached, wanted):
    return f"| {name} | {reached:.2f} | {wanted} |"


def memory_row(peak, entries):
    limit = 64 + entries / 1024
    return f"| peak memory, {entries} entries | {peak:.0f} MiB | {limit:.0f} MiB |"


def peak_memory(argv):
    """MiB, as the kernel counted it for this one process."""
    pid = os.posix_spawn(argv[0], [str(a) for a in argv], os.environ,
                         file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
    _, status, usage = os.wait4(pid, 0)
    if status:
        sys.exit(f"bench: {argv}: status {status}")
    return usage.ru_maxrss / 1024


def machine():
    cpu = "unknown processor"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return f"{os.cpu_count()} x {cpu}, {memory:.0f} GiB, Linux {platform.release()}"

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test-modules.py COPPICE LIBDIR GOLDEN: modules that are not ours, and what they need to run.

Devices, mounts, inputs and runners as others write them, in Python (foreign.py), and ours beside
them.  Needs root, bubblewrap, loop devices and mkfs.ext4.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import foreign  # noqa: E402
from claims import run_claims  # noqa: E402
from left import held  # noqa: E402

COPPICE, OURS, GOLDEN = (os.path.abspath(path) for path in sys.argv[1:4])
GOLDEN = pathlib.Path(GOLDEN) / "osbuild" / "runs"
SH = """#!/usr/bin/python3
import json, subprocess, sys
arguments = json.load(open("/run/osbuild/api/arguments"))
sys.exit(subprocess.call(["/bin/sh", "-c", arguments["options"]["command"]], cwd=arguments["tree"]))
"""
LOOPBACK = {"type": "org.osbuild.loopback", "options": {"filename": "disk.img"}}
ROOT = {"name": "root", "type": "org.osbuild.ext4", "source": "disk", "target": "/"}
MKFS = "truncate -s 16M disk.img && PATH=$PATH:/usr/sbin mkfs.ext4 -q -O ^has_journal disk.img"


class Place:
    """A store, a libdir of foreign modules and their log."""

    def __init__(self):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="coppice-test-"))
        self.libdir = self.top / "libdir"
        self.store = self.top / "store"
        self.log_file = self.top / "log"
        self.log_file.touch()
        self.libdirs = [self.libdir]
        self.add("stages", "org.test.sh", SH)

    def add(self, kind, name, body, **more):
        return foreign.install(self.libdir, kind, name, body, self.log_file, **more)

    def command(self, manifest, *args, globals=()):
        path = self.top / "manifest.json"
        path.write_text(manifest if isinstance(manifest, str) else json.dumps(manifest))
        libdirs = [word for libdir in self.libdirs for word in ("--libdir", libdir)]
        return [str(word) for word in (COPPICE, "--store", self.store, *globals, "build", path, *libdirs, *args)]

    def run(self, manifest, *args, globals=(), env=None):
        return subprocess.run(self.command(manifest, *args, globals=globals), capture_output=True, text=True,
                              env={**os.environ, **(env or {})}, timeout=120)

    def build(self, manifest, *args, **more):
        done = self.run(manifest, *args, **more)
        assert done.returncode == 0, f"{done.returncode}: {done.stderr}"
        return done

    def fail(self, manifest, *args, status=1, **more):
        done = self.run(manifest, *args, **more)
        assert done.returncode == status, f"{done.returncode}: {done.stderr}"
        return done.stderr

    def log(self):
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]

    def leftovers(self):
        """Of a run nothing is left: no mount, no loop device, no work directory."""
        top = str(self.top)
        mounts = pathlib.Path("/proc/mounts").read_text().splitlines()
        loops = subprocess.run(["losetup", "-a"], capture_output=True, text=True).stdout.splitlines()
        return [line for line in [*mounts, *loops] if top in line] + [str(p) for p in (self.store / "tmp").iterdir()]

    def close(self):
        assert not self.leftovers(), f"left behind: {self.leftovers()}"
        shutil.rmtree(self.top)


def pipeline(*stages, name="tree", **more):
    return {"name": name, "source-epoch": 1, "stages": list(stages), **more}


def manifest(*stages):
    return {"version": "2", "pipelines": [pipeline(*stages)]}


def sh(command, **more):
    return {"type": "org.test.sh", "options": {"command": command}, **more}


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def text(done):
    return done.stdout + done.stderr


# Ours: loop devices and file systems.

def a_file_of_the_tree_is_a_device_and_its_file_system_a_mount(p):
    disk = {"devices": {"disk": LOOPBACK}, "mounts": [ROOT]}
    p.build(manifest(sh(MKFS), sh("echo hello > /run/osbuild/mounts/x", **disk),
                     sh("cat /run/osbuild/mounts/x > copy", **disk)),
            "--export", "tree", "--output-directory", p.top / "out")
    assert (p.top / "out/tree/copy").read_text() == "hello\n"
    shown = subprocess.run(["debugfs", "-R", "cat x", p.top / "out/tree/disk.img"], capture_output=True, text=True)
    assert shown.stdout == "hello\n", shown


def a_part_of_a_file_is_a_device(p):
    p.build(manifest(sh("truncate -s 1M disk.img"),
                     sh("tr '\\0' x < /dev/zero | head -c 100000 | tee /dev/loop* >/dev/null 2>error; true",
                        devices={"disk": {**LOOPBACK, "options": {"filename": "/disk.img", "start": 3,
                                                                  "size": 4.0}}})),
            "--export", "tree", "--output-directory", p.top / "out")
    image = (p.top / "out/tree/disk.img").read_bytes()
    assert image == bytes(3 * 512) + b"x" * (4 * 512) + bytes(1024 * 1024 - 7 * 512)
    assert "No space left on device" in (p.top / "out/tree/error").read_text()


def the_arguments_name_devices_and_mounts(p):
    p.build(manifest(sh(MKFS), sh("cp /run/osbuild/api/arguments arguments", devices={"disk": LOOPBACK},
                                  mounts=[ROOT, {**ROOT, "name": "other", "type": "org.osbuild.noop",
                                                 "target": "/a/b/"}])),
            "--export", "tree", "--output-directory", p.top / "out")
    arguments = json.loads((p.top / "out/tree/arguments").read_text())
    device = arguments["devices"]["disk"]
    assert re.fullmatch(r"/dev/loop[0-9]+", device["path"]), device
    assert device["node"] == {"major": 7, "minor": int(device["path"][len("/dev/loop"):])}
    assert arguments["mounts"] == {"root": {"path": "/run/osbuild/mounts/."},
                                   "other": {"path": "/run/osbuild/mounts/a/b/"}}, arguments["mounts"]


def a_mount_is_bound_into_the_tree_and_leaves_nothing_there(p):
    bind = {"name": "b", "type": "org.osbuild.bind", "target": "tree://place",
            "options": {"source": "mount://inner"}}
    p.build(manifest(sh(f"mkdir place; {MKFS}"),
                     sh("mkdir /run/osbuild/mounts/inner", devices={"disk": LOOPBACK}, mounts=[ROOT]),
                     sh("echo hello > place/x", devices={"disk": LOOPBACK}, mounts=[ROOT, bind]),
                     sh("cat /run/osbuild/mounts/inner/x > copy; ls place > list", devices={"disk": LOOPBACK},
                        mounts=[ROOT])),
            "--export", "tree", "--output-directory", p.top / "out")
    assert (p.top / "out/tree/copy").read_text() == "hello\n"
    assert (p.top / "out/tree/list").read_text() == ""


def a_read_only_mount_refuses_to_be_written(p):
    p.build(manifest(sh(MKFS), sh("! touch /run/osbuild/mounts/x 2>/dev/null", devices={"disk": LOOPBACK},
                                  mounts=[{**ROOT, "options": {"readonly": True}}])))


def a_device_must_be_a_file_inside_the_tree(p):
    for command, reason in (("mkdir disk.img", "Is a directory"), ("ln -s /etc/passwd disk.img", "No such file"),
                            ("mkfifo disk.img", "is not a file"),
                            ("true", "No such file")):
        said = p.fail(manifest(sh(command), sh("true", devices={"disk": LOOPBACK})))
        assert "device/disk: " in said and reason in said, said


def stages_that_differ_in_their_device_do_not_share_trees(p):
    def write(start):
        return manifest(sh("truncate -s 1M disk.img"),
                        sh("echo hello | tee /dev/loop*",
                           devices={"disk": {**LOOPBACK, "options": {"filename": "disk.img", "start": start}}}))

    results = [json.loads(p.build(write(start), globals=["--json"]).stdout) for start in (0, 8, 0)]
    trees = [result["pipelines"][0] for result in results]
    assert trees[0]["id"] == trees[1]["id"], "devices are part of osbuild's ids now?"
    assert trees[0]["digest"] != trees[1]["digest"]
    assert trees[0]["digest"] == trees[2]["digest"]


def pipelines_that_differ_in_their_device_have_trees_of_their_own(p):
    def write(name, start):
        return pipeline(sh("truncate -s 1M disk.img"),
                        sh("echo hello | tee /dev/loop*",
                           devices={"disk": {**LOOPBACK, "options": {"filename": "disk.img", "start": start}}}),
                        name=name)

    def look(name):
        tree = {"type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": [f"name:{name}"]}
        return pipeline(sh("cp /run/osbuild/inputs/t/disk.img .", inputs={"t": tree}), name=f"copy-{name}")

    names = {"a": 0, "b": 8, "c": 0}
    both = {"version": "2", "pipelines": [write(*entry) for entry in names.items()] + [look(name) for name in names]}
    for policy in ("none", "all", "auto"):
        shutil.rmtree(p.top / "out", ignore_errors=True)
        exports = [word for name in names for export in (name, f"copy-{name}") for word in ("--export", export)]
        p.build(both, *exports, "--output-directory", p.top / "out", "--checkpoint", policy)
        for name, start in names.items():
            for export in (name, f"copy-{name}"):
                image = (p.top / "out" / export / "disk.img").read_bytes()
                assert image.find(b"hello") == start * 512, (policy, export)


def of_an_assembler_the_output_is_kept(p):
    seed = {"pipeline": {"stages": [{"name": "org.test.sh", "options": {"command": "echo a > a"}}],
                         "assembler": {"name": "org.test.pack", "options": {}}}}
    p.add("assemblers", "org.test.pack", "#!/bin/sh\ncp /run/osbuild/inputs/tree/a /run/osbuild/tree/b\n",
          description={"schema": {}})
    for policy, kept in (("none", set()), ("org.nothing", None), ("org.test.pack", {"assembler"}),
                         ("tree", {"tree", "assembler"}), ("auto", {"tree", "assembler"})):
        shutil.rmtree(p.store, ignore_errors=True)
        args = ["--checkpoint", policy, "--export", "assembler", "--output-directory", p.top / "out"]
        if kept is None:
            p.fail(seed, *args)
            continue
        result = json.loads(p.build(seed, *args, globals=["--json"]).stdout)
        assert (p.top / "out/assembler/b").read_text() == "a\n"
        ids = {entry["id"]: entry["name"] for entry in result["pipelines"]}
        assert {ids[name] for name in os.listdir(p.store / "refs/stage")} == kept, policy


def old_modules_describe_themselves_in_their_text(p):
    p.add("stages", "org.test.old", "#!/usr/bin/python3\n\"\"\"Old\n\"\"\"\nSCHEMA = \"\"\"\n\"additionalProperties\": "
          "false, \"properties\": {\"a\": {\"type\": \"string\"}}\n\"\"\"\n", description=False)
    p.build(manifest({"type": "org.test.old", "options": {"a": "b"}}))
    said = p.fail(manifest({"type": "org.test.old", "options": {"a": 1}}), status=2)
    assert "1 is not of type 'string'" in said, said
    p.add("stages", "org.test.older", "#!/usr/bin/python3\nSTAGE_OPTS = ''\n", description=False)
    p.build(manifest({"type": "org.test.older", "options": {"a": 1}}))
    p.add("stages", "org.test.none", "#!/bin/sh\n", description=False)
    assert "it has no description" in p.fail(manifest({"type": "org.test.none"}), status=2)


# Others': services.

DEVICE = """
def call(name, args):
    log("open", ID, args["parent"], args["options"])
    return {"path": args["options"]["path"], "more": [1]}

def stop():
    log("close", ID)
"""
MOUNT = """
def call(name, args):
    log("mount", ID, args["source"], args["target"])
    return None

def stop():
    log("unmount", ID)
"""


def services_follow_their_parents_and_stop_in_reverse(p):
    p.add("devices", "org.test.device", DEVICE)
    p.add("mounts", "org.test.mount", MOUNT)

    def device(path, **more):
        return {"type": "org.test.device", "options": {"path": path}, **more}

    p.build(manifest(sh("grep -o '\"more\": \\[1\\]' /run/osbuild/api/arguments | wc -l > n",
                        devices={"c": device("sub/c", parent="b"), "b": device("b", parent="a"), "a": device("a")},
                        mounts=[{"name": name, "type": "org.test.mount", "source": name, "target": "/"}
                                for name in ("c", "a")])),
            "--export", "tree", "--output-directory", p.top / "out")
    log = p.log()
    work = log[3][2][:-len("/dev/sub/c")]
    assert log == [["open", "device/a", None, {"path": "a"}],
                   ["open", "device/b", "a", {"path": "b"}],
                   ["open", "device/c", "b", {"path": "sub/c"}],
                   ["mount", "mount/c", f"{work}/dev/sub/c", "/"],
                   ["mount", "mount/a", f"{work}/dev/a", "/"],
                   ["unmount", "mount/a"], ["unmount", "mount/c"],
                   ["close", "device/c"], ["close", "device/b"], ["close", "device/a"]], log
    assert (p.top / "out/tree/n").read_text() == "3\n"


def an_exception_of_a_service_is_the_error_and_all_services_stop(p):
    p.add("devices", "org.test.device", DEVICE)
    p.add("mounts", "org.test.mount", "def call(name, args):\n    raise ValueError('no such thing')\n")
    said = p.fail(manifest(sh("true", devices={"a": {"type": "org.test.device", "options": {"path": "a"}}},
                              mounts=[{"name": "m", "type": "org.test.mount", "source": "a"}])))
    assert "stage 1 of pipeline 'tree', org.test.sh: mount/m: no such thing" in said, said
    assert p.log()[-1] == ["close", "device/a"]


def a_service_that_cannot_clean_up_fails_the_stage(p):
    p.add("devices", "org.test.device", DEVICE + "    sys.exit('the device is stuck')\n")
    said = p.fail(manifest(sh("true", devices={"a": {"type": "org.test.device", "options": {"path": "a"}}})))
    assert "device/a: the device is stuck" in said, said


def wrong_answers_of_services_are_named(p):
    for body, reason in (("    return {}\n", "device 'a': the module's answer has no path"),
                         ("    os._exit(3)\n", "device/a: ended without an answer"),
                         ("    SOCKET.send(b'nonsense')\n", "device/a: ")):
        p.add("devices", "org.test.device", "def call(name, args):\n" + body)
        said = p.fail(manifest(sh("true", devices={"a": {"type": "org.test.device"}})))
        assert reason in said, said
    p.add("mounts", "org.test.mount", "def call(name, args):\n    return args['root'] + '/../x'\n")
    p.add("devices", "org.test.device", DEVICE)
    said = p.fail(manifest(sh("true", devices={"a": {"type": "org.test.device", "options": {"path": "a"}}},
                              mounts=[{"name": "m", "type": "org.test.mount", "source": "a"}])))
    assert "mount 'm': the module's answer is no path below" in said, said


def large_messages_go_both_ways(p):
    p.add("devices", "org.test.device", "def call(name, args):\n    return {'path': 'a', 'x': args['options']['x']}\n")
    p.build(manifest(sh("wc -c < /run/osbuild/api/arguments > n",
                        devices={"a": {"type": "org.test.device", "options": {"x": "x" * 3000000}}})),
            "--export", "tree", "--output-directory", p.top / "out")
    assert int((p.top / "out/tree/n").read_text()) > 3000000


def inputs_see_what_they_asked_for(p):
    p.add("inputs", "org.test.look", """
def call(name, args):
    (tree,) = args["refs"]
    extra = ask(args["api"]["store"], {"method": "mkdtemp", "prefix": "a-", "suffix": "-z"})["path"]
    log("made", os.path.basename(extra)[:2], extra[-2:], os.path.isdir(extra))
    for target, subtree in ((args["target"], "/"), (extra, "/d")):
        answer = ask(args["api"]["store"], {"method": "read-tree-at", "object-id": tree, "target": target,
                                            "subtree": subtree})
        log(answer == {"path": target}, sorted(os.listdir(target)))
    log(ask(args["api"]["store"], {"method": "read-tree", "object-id": "0" * 64}))
    log("error" in ask(args["api"]["store"], {"method": "read-tree-at", "object-id": tree, "target": "/mnt"}))
    log("error" in ask(args["api"]["store"], {"method": "nonsense"}))
    return {"path": args["target"], "data": {"a": 1}}
""")
    p.build({"version": "2", "pipelines": [
        pipeline(sh("mkdir d; touch d/e"), name="other"),
        pipeline(sh("cat /run/osbuild/api/arguments > arguments; ls /run/osbuild/inputs/i > list", inputs={
            "i": {"type": "org.test.look", "origin": "org.osbuild.pipeline", "references": ["name:other"]}}))]},
        "--export", "tree", "--output-directory", p.top / "out")
    assert p.log() == [["made", "a-", "-z", True], [True, ["d"]], [True, ["e"]], [{"path": None}], [True],
                       [True]], p.log()
    inputs = json.loads((p.top / "out/tree/arguments").read_text())["inputs"]
    assert inputs == {"i": {"path": "/run/osbuild/inputs/i", "data": {"a": 1}}}, inputs
    assert (p.top / "out/tree/list").read_text() == "d\n"


def modules_get_loop_devices_for_their_files(p):
    p.add("stages", "org.test.loops", foreign.SERVICE.split("def stop", maxsplit=1)[0]
          .replace("ARGV = ", "if False: ARGV = ").replace("ID = ", "if False: ID = ")
          .replace("SOCKET = ", "if False: SOCKET = ").replace("LOG = @LOG@", "") + """
tree = json.load(open("/run/osbuild/api/arguments"))["tree"]
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect("/run/osbuild/api/remoteloop")
os.truncate(os.open(tree + "/a", os.O_CREAT | os.O_RDWR), 1 << 20)
names = []
for offset in (512, 4096):
    fds = [os.open(tree + "/a", os.O_RDWR), os.open("/dev", os.O_DIRECTORY)]
    send(s, {"fd": 0, "dir_fd": 1, "offset": offset, "sizelimit": 1024, "sector_size": 512}, fds)
    names.append(receive(s)["devname"])
    with open("/dev/" + names[-1], "r+b") as f:
        f.write(names[-1].encode() + b" was here")
assert len(set(names)) == 2, names
send(s, {"fd": 0, "dir_fd": 7}, [os.open(tree + "/a", os.O_RDWR)])
answer = receive(s)
assert answer["method"] == "exception" and answer["exception"]["value"], answer
for name in names:
    os.unlink("/dev/" + name)
""")
    p.build(manifest({"type": "org.test.loops"}), "--export", "tree", "--output-directory", p.top / "out")
    image = (p.top / "out/tree/a").read_bytes()
    assert re.match(rb"loop[0-9]+ was here", image[512:]) and re.match(rb"loop[0-9]+ was here", image[4096:])


def metadata_of_a_stage_is_in_the_result(p):
    result = json.loads(p.build(manifest(sh("echo '{\"answer\": 42}' > /run/osbuild/meta")),
                                globals=["--json"]).stdout)
    assert result["pipelines"][0]["stages"][0]["metadata"] == {"answer": 42}, result


# The same requests as in a run of osbuild.

def normal(value, places):
    """Paths by what they are, so that two runs can be compared."""
    if isinstance(value, dict):
        return {key: normal(entry, places) for key, entry in value.items()}
    if not isinstance(value, str):
        return value
    for pattern, name in places:
        value = re.sub(pattern, name, value)
    return value


def golden_requests():
    places = [(r"/RUN/store2/tmp/buildroot-tmp-[^/]*", "WORK"), (r"/run/osbuild/osbuild-dev-[^/]*", "WORK/dev"),
              (r"/RUN/store2/stage/uuid-[^/]*/data/tree", "TREE"), (r"/run/osbuild/api-[^/]*/store", "SOCKET"),
              (r"/RUN/store2", "STORE")]
    service, found = None, []
    for line in (GOLDEN / "parts.trace").read_text().splitlines():
        kind, rest = line.split(" ", 1)
        value = json.JSONDecoder().raw_decode(rest)[0]
        if kind == "EXEC":
            service = value[value.index("--service-id") + 1]
        elif kind == "SEND" and "type" in value:
            found.append([service, normal(value, places)])
    return found


RECORDER = """
def call(name, args):
    log(ID, {"type": "method", "data": {"name": name, "args": args}})
    log("environment", os.environ["PYTHONPATH"], os.environ["PYTHONUNBUFFERED"], os.readlink("/proc/self/fd/0"))
    if name == "download":
        with open(args["cache"] + "/org.osbuild.files/" + list(args["items"])[0], "w") as f:
            f.write("foo")
        return {"name": ID, "source_type": ID, "success": True, "output": "", "results": []}
    if name == "map":
        return {"path": args["target"]}
    if name == "open":
        return {"path": "loop1", "node": {"major": 7, "minor": 1}}
    return args["root"] + "/"
"""


def services_are_asked_as_osbuild_asks_them(p):
    for kind, names in (("sources", ["inline"]), ("inputs", ["files", "tree"]), ("devices", ["loopback"]),
                        ("mounts", ["ext4"])):
        for name in names:
            p.add(kind, f"org.osbuild.{name}", RECORDER)
    for name in ("noop", "truncate", "mkfs.ext4", "t.dump"):
        p.add("stages", f"org.osbuild.{name}", "#!/bin/sh\n")
    (p.store / "sources/org.osbuild.files").mkdir(parents=True)
    p.build((GOLDEN / "parts.json").read_text())
    work = r"/tmp/coppice-test-[^/]*/store/tmp/build[^/]*/stage-[0-9]*"
    places = [(f"{work}/store", "SOCKET"), (work, "WORK"), (r"/tmp/coppice-test-[^/]*/store/tmp/[^/]*/tree", "TREE"),
              (str(p.store), "STORE")]
    asked = [normal_entry for entry in p.log() if entry[0] != "environment"
             for normal_entry in [[entry[0], normal(entry[1], places)]]]
    expected = golden_requests()
    # What depends on nothing works at the same time: the order among inputs and devices is open.
    order = lambda entries: sorted(entries, key=json.dumps)  # noqa: E731
    assert order(asked) == order(expected), f"{json.dumps(asked, indent=1)}\n{json.dumps(expected, indent=1)}"
    assert asked[-1][0] == "mount/root"
    assert {tuple(entry[1:]) for entry in p.log() if entry[0] == "environment"} == {
        (str(p.libdir), "1", "/dev/null")}


# The sandbox.

CALLS = r"""#!/usr/bin/python3
import ctypes, ctypes.util, errno, os, platform, subprocess, time
libc = ctypes.CDLL(None, use_errno=True)
numbers = {"x86_64": {"keyctl": 250, "add_key": 248, "request_key": 249, "kexec_load": 246, "init_module": 175,
                      "finit_module": 313, "delete_module": 176, "clock_settime": 227, "settimeofday": 164,
                      "adjtimex": 159, "reboot": 169, "swapon": 167, "acct": 163, "bpf": 321, "syslog": 103,
                      "open_by_handle_at": 304, "process_vm_readv": 310, "perf_event_open": 298},
           "aarch64": {"keyctl": 219, "kexec_load": 104, "init_module": 105, "clock_settime": 112,
                       "open_by_handle_at": 265, "bpf": 280}}[platform.machine()]
for name, number in numbers.items():
    assert libc.syscall(number, -1, -1, -1, -1, -1) == -1 and ctypes.get_errno() == errno.EPERM, name
assert libc.syscall(425, 1, 0) == -1 and ctypes.get_errno() == errno.ENOSYS, "io_uring"
child = subprocess.Popen(["sleep", "100"])
assert libc.ptrace(16, child.pid, 0, 0) == -1 and ctypes.get_errno() == errno.EPERM, "attach"
child.kill()
if os.fork() == 0:
    os._exit(0 if libc.ptrace(0, 0, 0, 0) == 0 else 1)
assert os.wait()[1] == 0 or os.wait()[1] == 0, "a child must be traceable"
assert sorted(int(p) for p in os.listdir("/proc") if p.isdigit())[0] == 1
assert not any("store" in line.split()[1] for line in open("/proc/mounts")), "the store is visible"
"""


def what_no_stage_needs_is_refused(p):
    p.add("stages", "org.test.calls", CALLS)
    p.build(manifest({"type": "org.test.calls"}))


def a_store_inside_a_libdir_is_not_seen(p):
    p.store = p.libdir / "deep" / "store"
    p.store.parent.mkdir()
    p.build(manifest(sh("ls -A /run/osbuild/lib/deep/store > list; test -d /run/osbuild/lib/stages")),
            "--export", "tree", "--output-directory", p.top / "out")
    assert (p.top / "out/tree/list").read_text() == ""


def where_something_cannot_be_isolated_it_is_refused_or_allowed_by_name(p):
    (p.top / "bin").mkdir()
    fake = p.top / "bin" / "bwrap"
    fake.write_text("#!/bin/sh\nfor word; do case $word in --unshare-net|--proc) "
                    "echo 'bwrap: not here' >&2; exit 1;; esac; done\n"
                    f"exec {shutil.which('bwrap')} \"$@\"\n")
    fake.chmod(0o755)
    path = {"PATH": f"{p.top / 'bin'}:{os.environ['PATH']}"}
    said = p.fail(manifest(sh("true")), env=path)
    assert "bwrap: not here (--allow-weak-sandbox runs stages without" in said, said
    done = p.build(manifest(sh("true")), "--allow-weak-sandbox", env=path)
    assert "weak sandbox: stages are not isolated in the network, processes" in text(done), text(done)
    done = p.build(manifest(sh("false || true")), "--allow-weak-sandbox")
    assert "weak sandbox" not in text(done), text(done)


# Runners.

def host_id():
    for line in open("/etc/os-release", encoding="utf-8"):
        if line.startswith("ID="):
            return line[3:].strip().strip('"')
    return "linux"


def a_runner_comes_before_modules_that_are_not_ours(p):
    p.add("runners", f"org.osbuild.{host_id()}", "#!/bin/sh\necho prepared by $0 > /etc/prepared\nexec \"$@\"\n",
          description=False)
    p.build(manifest(sh("cat /etc/prepared > prepared; ls /etc/passwd > passwd 2>/dev/null; true"),
                     {"type": "org.osbuild.noop"}),
            "--export", "tree", "--output-directory", p.top / "out")
    assert (p.top / "out/tree/prepared").read_text() == f"prepared by /run/osbuild/runner/org.osbuild.{host_id()}\n"
    assert (p.top / "out/tree/passwd").read_text() == "", "a runner of others makes its own users"


LOOK = ("cat /etc/passwd /etc/group > users; ls /run /var > list; stat -c '%a %u %g' /run/x/y > mode; "
        "cat /run/text > text; readlink /etc/link > link; stat -c %a '/var/with blank' > blank; "
        "readlink /etc/mtab >> link")


def our_runner_makes_users_and_files_of_the_build_tree(p):
    if host_id() != "debian":
        print("skipped: not Debian")
        return
    build = r"""set -e
    mkdir -p usr/lib/sysusers.d usr/lib/tmpfiles.d usr/bin
    for name in sh cat ls stat readlink; do cp -L /usr/bin/$name usr/bin/; done
    for library in $(ldd usr/bin/* | grep -oE '[[:space:]]/[^ ]+' | sort -u); do
        library=${library#/usr}; mkdir -p usr${library%/*}; cp -L /usr$library usr$library; done
    printf '%s\n' '# no' 'u root 0 "Super User" /root /bin/bash' 'g named 77' 'u named 77 "The Named"' \
        'g wheel -' 'u! dyn - - /var/dyn' 'u with 55:wheel' 'm dyn wheel' 'u root 5' > usr/lib/sysusers.d/a.conf
    printf '%s\n' 'd /run/x/y 0750 named named 10d' 'L /etc/link - - - - ../run/x' 'f /run/text 0600 - - - a b c' \
        'd /run/no 0755 nobodyknows - -' 'd! /run/boot' 'd /run/%m' 'D "/var/with blank" 1777' 'L+ /etc/mtab - - - - here' \
        > usr/lib/tmpfiles.d/a.conf"""
    p.add("stages", "org.test.look", f"#!/bin/sh\nset -e\ncd /run/osbuild/tree\n{LOOK}\n")
    p.build({"version": "2", "pipelines": [
        {**pipeline(sh(build), name="build"), "runner": "org.osbuild.debian13"},
        {**pipeline({"type": "org.test.look"}), "build": "name:build"}]}, "--export", "tree", "--output-directory", p.top / "out")
    out = {path.name: path.read_text() for path in (p.top / "out/tree").iterdir()}
    users = out["users"].splitlines()
    for line in ("root:x:0:0:Super User:/root:/bin/bash", "named:x:77:77:The Named:/:/usr/sbin/nologin",
                 "wheel:x:999:dyn", "dyn:x:998:998::/var/dyn:/usr/sbin/nologin",
                 "with:x:55:999::/:/usr/sbin/nologin", "nobody:x:65534:65534::/:/usr/sbin/nologin",
                 "nogroup:x:65534:", "named:x:77:"):
        assert line in users, (line, users)
    assert out["mode"] == "750 77 77\n" and out["text"] == "a b c" and out["blank"] == "1777\n", out
    assert out["link"] == "../run/x\nhere\n", out
    assert "no" not in out["list"].split() and "boot" not in out["list"].split(), out["list"]


# Ends that nobody planned.

SLEEP = sh("touch /run/osbuild/mounts/here; sleep 1000", devices={"disk": LOOPBACK}, mounts=[ROOT])


def has_descendant(pid, words):
    """Does a process below @pid run the command @words?"""
    listed = [line.split(None, 2) for line in subprocess.run(
        ["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout.splitlines()]
    below, found = {str(pid)}, True
    while found:
        found = {child for child, parent, _ in listed if parent in below} - below
        below |= found
    return any(child in below and args == words for child, _, args in listed)


def start_sleeping(place):
    running = subprocess.Popen(place.command(manifest(sh(MKFS), SLEEP)), stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)
    wait_for(lambda: has_descendant(running.pid, "sleep 1000"))
    return running


def an_interrupt_ends_a_stage_at_once_and_cleans_up(p):
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        running = start_sleeping(p)
        running.send_signal(number)
        said = running.communicate(timeout=60)[1]
        assert running.returncode == status, f"{running.returncode}: {said}"
        assert not p.leftovers(), f"left behind: {p.leftovers()}"


def after_a_kill_the_next_run_cleans_up(p):
    running = start_sleeping(p)
    running.kill()
    running.communicate(timeout=60)
    # A view that is still mounted would be left for the run after the next.
    wait_for(lambda: not held(p.top))
    assert any((p.store / "tmp").iterdir()), "this test proves nothing"
    p.build(manifest(sh("true")))
    assert not p.leftovers(), f"left behind: {p.leftovers()}"


def missing():
    if os.geteuid() != 0:
        return "needs root"
    for program in ("bwrap", "losetup", "mkfs.ext4", "debugfs", "ps"):
        if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            return f"needs {program}"
    if subprocess.run(["bwrap", "--ro-bind", "/", "/", "--unshare-pid", "--unshare-net", "true"],
                      capture_output=True).returncode != 0:
        return "needs a working bubblewrap"
    if not os.path.exists("/dev/loop-control"):
        return "needs loop devices"
    return None


def main():
    why = missing()
    if why:
        print(f"skipped: {why}")
        return 77
    return run_claims(globals(), Place, sys.argv[4:])


if __name__ == "__main__":
    sys.exit(main())

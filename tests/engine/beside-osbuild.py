#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""beside-osbuild.py COPPICE: osbuild's own modules, run by coppice and by osbuild itself.

$COPPICE_OSBUILD_LIBDIR names a libdir of osbuild's, like /usr/lib/osbuild or a checkout.  Each
manifest is built by both, and the trees must be the same: types, modes, owners, times of what a
stage wrote, links, xattrs and contents, file systems inside of images included.  Where there is no
such libdir nothing is compared, and that is said.
"""
import functools
import hashlib
import json
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tempfile

COPPICE = os.path.abspath(sys.argv[1])
LIBDIR = os.environ.get("COPPICE_OSBUILD_LIBDIR", "")
HELLO = "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
EPOCH = 1000000
UUID = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
SOURCES = {"org.osbuild.inline": {"items": {HELLO: {"encoding": "base64", "data": "Zm9v"}}}}
FILE = {"type": "org.osbuild.files", "origin": "org.osbuild.source", "references": [HELLO]}
DISK = {"type": "org.osbuild.loopback", "options": {"filename": "disk.img", "start": 2048, "size": 40960}}


def stage(name, options=None, **more):
    return {"type": f"org.osbuild.{name}", **({"options": options} if options else {}), **more}


def tree(name):
    return {"type": "org.osbuild.tree", "origin": "org.osbuild.pipeline", "references": [f"name:{name}"]}


def image(kind, options, megabytes=20):
    disk = {**DISK, "options": {**DISK["options"], "size": megabytes * 2048}}
    return [stage("truncate", {"filename": "disk.img", "size": f"{megabytes + 10}M"}),
            stage(f"mkfs.{kind}", options, devices={"device": disk}),
            stage("copy", {"paths": [{"from": f"input://f/{HELLO}", "to": "mount://root/file"}]},
                  inputs={"f": FILE}, devices={"disk": disk},
                  mounts=[{"name": "root", "type": f"org.osbuild.{kind}", "source": "disk", "target": "/"}])]


SETTINGS = [
    stage("mkdir", {"paths": [{"path": "/etc"}, {"path": "/a/b/c", "parents": True, "mode": 0o700},
                              *({"path": f"/usr/lib/{name}", "parents": True}
                                for name in ("systemd/system", "sysctl.d", "modprobe.d", "tmpfiles.d"))]}),
    stage("copy", {"paths": [{"from": f"input://f/{HELLO}", "to": "tree:///etc/file"}]}, inputs={"f": FILE}),
    stage("chmod", {"items": {"/etc/file": {"mode": "0640"}, "/a": {"mode": "g+w", "recursive": True}}}),
    stage("hostname", {"hostname": "some-host"}),
    stage("fstab", {"filesystems": [{"uuid": UUID, "vfs_type": "ext4", "path": "/", "options": "defaults"}]}),
    stage("kernel-cmdline", {"root_fs_uuid": UUID, "kernel_opts": "ro quiet"}),
    stage("sysctld", {"filename": "a.conf", "config": [{"key": "kernel.x", "value": "1"}]}),
    stage("modprobe", {"filename": "a.conf", "commands": [{"command": "blacklist", "modulename": "b"}]}),
    stage("tmpfilesd", {"filename": "a.conf", "config": [{"type": "d", "path": "/x"}]}),
    stage("systemd.unit.create", {"filename": "a.service", "unit-path": "usr", "unit-type": "system",
                                  "config": {"Unit": {"Description": "a"},
                                             "Service": {"Type": "oneshot", "ExecStart": ["/bin/true"]},
                                             "Install": {"WantedBy": ["multi-user.target"]}}}),
    stage("machine-id", {"first-boot": "yes"}),
]
MORE_SETTINGS = [
    stage("mkdir", {"paths": [{"path": f"/{name}", "parents": True} for name in (
        "etc/udev/rules.d", "usr/lib/systemd/system", "etc/cron.daily", "etc/profile.d", "etc/security/limits.d",
        "usr/lib/systemd/journald.conf.d", "usr/lib/systemd/logind.conf.d", "usr/lib/systemd/system-preset")]}),
    stage("systemd-journald", {"filename": "10-a.conf", "config": {"Journal": {"Storage": "persistent"}}}),
    stage("systemd-logind", {"filename": "10-a.conf", "config": {"Login": {"NAutoVTs": 0, "ReserveVT": 2}}}),
    stage("shell.init", {"files": {"a": {"env": [{"key": "VAR", "value": "val"}]}}}),
    stage("resolv-conf", {"nameserver": ["1.2.3.4"], "search": ["example.org"]}),
    stage("pam.limits.conf", {"filename": "99-a.conf", "config": [
        {"domain": "@a", "type": "hard", "item": "nofile", "value": 65536}]}),
    stage("systemd.preset", {"presets": [{"name": "ssh.service", "state": "enable"}]}),
    stage("cron.script", {"filename": "a", "interval": "daily", "simple": {"comment": ["a"], "command": "true"}}),
    stage("udev.rules", {"filename": "/etc/udev/rules.d/a.rules", "rules": [{"comment": ["a"]}, [
        {"key": "SUBSYSTEM", "op": "==", "val": "net"},
        {"key": {"name": "ENV", "arg": "A"}, "op": "=", "val": "1"}]]}),
    stage("gzip", {"filename": "a.gz"}, inputs={"file": FILE}),
    stage("xz", {"filename": "a.xz"}, inputs={"file": FILE}),
    stage("zstd", {"filename": "a.zst"}, inputs={"file": FILE}),
]
PARTITIONS = stage("sfdisk", {"label": "gpt", "uuid": UUID, "partitions": [
    {"size": 8192, "start": 2048, "type": "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "uuid": UUID},
    {"start": 10240, "type": "0FC63DAF-8483-4772-8E79-3D69D8477DE4", "uuid": "bbbbbbbb-bbbb-4ccc-8ddd-eeeeeeeeeeee"}]},
    devices={"device": {"type": "org.osbuild.loopback", "options": {"filename": "disk.img"}}})
MANIFESTS = {
    "more": [{"name": "tree", "stages": MORE_SETTINGS}],
    "disk": [{"name": "tree", "stages": [stage("truncate", {"filename": "disk.img", "size": "20M"}), PARTITIONS]}],
    "settings": [{"name": "tree", "stages": SETTINGS}],
    "ext4": [{"name": "tree", "stages": image("ext4", {"uuid": UUID, "label": "root"})}],
    "xfs": [{"name": "tree", "stages": image("xfs", {"uuid": UUID}, 320)}],
    "archives": [{"name": "os", "stages": SETTINGS[:3]},
                 {"name": "tree", "stages": [
                     stage("tar", {"filename": "a.tar"}, inputs={"tree": tree("os")}),
                     stage("copy", {"paths": [{"from": "input://os/", "to": "tree:///os"}]},
                           inputs={"os": tree("os")})]}],
    "seed": {"pipeline": {"stages": [{"name": "org.osbuild.noop"}],
                          "assembler": {"name": "org.osbuild.tar", "options": {"filename": "a.tar"}}}},
}


def look(path):
    """Everything that is to be the same, by name."""
    found = {}
    for name in [".", *sorted(str(p.relative_to(path)) for p in path.rglob("*"))]:
        here = path / name
        info = here.lstat()
        entry = [stat.filemode(info.st_mode), info.st_uid, info.st_gid,
                 {n: os.getxattr(here, n, follow_symlinks=False).hex()
                  for n in os.listxattr(here, follow_symlinks=False)}]
        if stat.S_ISLNK(info.st_mode):
            entry.append(os.readlink(here))
        elif stat.S_ISREG(info.st_mode):
            entry += [info.st_size, hashlib.sha256(here.read_bytes()).hexdigest()]
        found[name] = [*entry, info.st_mtime if name != "." else None]
    return found


def inside(disk, kind):
    """What is in the file system of an image, whose bytes hold times and counters of this run."""
    with tempfile.TemporaryDirectory() as mount:
        subprocess.run(["mount", "-t", kind, "-o", f"ro,loop,offset={2048 * 512}", disk, mount], check=True)
        try:
            entries = look(pathlib.Path(mount))
        finally:
            subprocess.run(["umount", mount], check=True)
    return {name: entry[:-1] for name, entry in entries.items()}


def compare(ours, theirs, kind):
    one, other = look(ours), look(theirs)
    if kind:
        for entries, path in ((one, ours), (other, theirs)):
            entries["inside"] = inside(path / "disk.img", kind)
            del entries["disk.img"][5]
    for name, entry in one.items():
        # osbuild leaves times from before it began to build, such as those of downloads; ours are the
        # epoch at most, so that two runs are the same.
        if name in other and name != "inside" and entry[-1] == EPOCH:
            other[name][-1] = min(other[name][-1], EPOCH)
    wrong = {name: (one.get(name), other.get(name)) for name in {*one, *other} if one.get(name) != other.get(name)}
    assert not wrong, json.dumps(wrong, indent=1, default=str)


def run_both(top, name, pipelines):
    manifest = top / "manifest.json"
    if isinstance(pipelines, dict):
        document, export = pipelines, "assembler"
    else:
        document = {"version": "2", "sources": SOURCES, "pipelines": [{**p, "source-epoch": EPOCH} for p in pipelines]}
        export = "tree"
    manifest.write_text(json.dumps(document))
    commands = {
        "coppice": [COPPICE, "--store", top / "store", "build", manifest, "--libdir", LIBDIR, "--export", export,
                    "--output-directory", top / "coppice"],
        "osbuild": [sys.executable, "-m", "osbuild", "--libdir", LIBDIR, "--store", top / "osbuild-store",
                    "--output-directory", top / "osbuild", "--export", export, manifest]}
    for program, command in commands.items():
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300,
                              env={**os.environ, "PYTHONPATH": LIBDIR})
        assert done.returncode == 0, f"{program}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    if name == "archives":  # tar stores names as the directory has them, which is any order
        for program in commands:
            archive = top / program / export / "a.tar"
            listed = subprocess.run(["tar", "tvf", archive], capture_output=True, text=True, check=True).stdout
            archive.write_text("\n".join(sorted(" ".join(line.split()[:3] + line.split()[5:])
                                                for line in listed.splitlines())))
            os.utime(archive, (0, 0))
    kind = name if name in ("ext4", "xfs") else None
    if name == "seed":  # version 1 has no epoch: what is in the archive are times of this run
        names = [subprocess.run(["tar", "tf", top / program / export / "a.tar"], capture_output=True, text=True,
                                check=True).stdout for program in commands]
        assert names[0] == names[1], names
        return
    compare(top / "coppice" / export, top / "osbuild" / export, kind)


def in_a_place(name, pipelines):
    top = pathlib.Path(tempfile.mkdtemp(prefix="coppice-test-"))
    run_both(top, name, pipelines)
    shutil.rmtree(top)


def files_of_osbuild(store):
    return sorted(str(path.relative_to(store)) for path in store.rglob("*")
                  if "coppice" not in path.relative_to(store).parts and path.name not in ("cache.lock", "object.lock"))


def one_store_for_both():
    """In a store that osbuild made ours is a subdirectory, and osbuild goes on with its own."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="coppice-test-"))
    store, manifest = top / "store", top / "manifest.json"
    manifest.write_text(json.dumps({"version": "2", "pipelines": [
        {"name": "tree", "source-epoch": EPOCH, "stages": SETTINGS[:1]}]}))
    more = ["--libdir", LIBDIR, "--store", store, "--export", "tree", "--checkpoint", "tree", "--cache-max-size",
            "unlimited", "--json", manifest]
    environment = {**os.environ, "PYTHONPATH": LIBDIR}

    def run(*command):
        done = subprocess.run([str(word) for word in [*command, *more]], capture_output=True, text=True, timeout=300,
                              env=environment)
        assert done.returncode == 0, f"{command[0]}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return json.loads(done.stdout)["log"]

    assert run(sys.executable, "-m", "osbuild", "--output-directory", top / "osbuild") != {}, "was built"
    before = files_of_osbuild(store)
    assert run(COPPICE, "osbuild", "--output-directory", top / "coppice") != {}, "was built"
    assert files_of_osbuild(store) == before and (store / "coppice").is_dir()
    assert run(COPPICE, "osbuild", "--output-directory", top / "coppice") == {}, "comes from our part"
    assert run(sys.executable, "-m", "osbuild", "--output-directory", top / "osbuild") == {}, "comes from osbuild's"
    compare(top / "coppice" / "tree", top / "osbuild" / "tree", None)
    shutil.rmtree(top)


def missing():
    if not LIBDIR:
        return "COPPICE_OSBUILD_LIBDIR names no libdir of osbuild's"
    if os.geteuid() != 0:
        return "needs root"
    if subprocess.run([sys.executable, "-m", "osbuild", "--version"], capture_output=True, check=False,
                      env={**os.environ, "PYTHONPATH": LIBDIR}).returncode != 0:
        return "osbuild itself cannot be run"
    return None


def main():
    why = missing()
    if why:
        print(f"[  ABSENT  ] osbuild's modules beside osbuild: {why}")
        return 0
    failed = 0
    made = not os.path.exists("/etc/containers")  # osbuild does not run without it
    if made:
        os.mkdir("/etc/containers")
    try:
        claims = {name: functools.partial(in_a_place, name, pipelines) for name, pipelines in MANIFESTS.items()}
        claims["one store for both"] = one_store_for_both
        for name, claim in claims.items():
            print(f"[ RUN      ] {name}", flush=True)
            try:
                claim()
                print(f"[       OK ] {name}", flush=True)
            except Exception as problem:  # a comparison that breaks has failed, and the next still runs
                failed += 1
                print(f"{type(problem).__name__}: {problem}\n[  FAILED  ] {name}", flush=True)
    finally:
        if made:
            os.rmdir("/etc/containers")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

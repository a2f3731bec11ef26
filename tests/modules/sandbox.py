#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""sandbox.py PROGRAM: the Debian stages and org.coppice.run as a sandbox runs them.

A tiny distribution is packed from programs of this machine: enough for its dpkg to run.
Needs root, bubblewrap and dpkg-deb; else it is skipped, and says so.
"""
import hashlib
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile

EPOCH = 1700000000
TOOLS = ["dpkg", "dpkg-deb", "dpkg-split", "dpkg-query", "dpkg-trigger", "tar", "rm", "cat", "diff", "env", "id",
         "ldconfig", "start-stop-daemon", "ls", "mkdir", "touch", "uname", "grep", "chown"]
CAPABILITIES = ["AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "MKNOD", "SETFCAP",
                "SETGID", "SETPCAP", "SETUID", "SYS_ADMIN", "SYS_CHROOT"]

program = None
architecture = None
shared = []


class World:
    """A scratch directory with packages and trees."""

    def __init__(self):
        self.top = tempfile.mkdtemp(prefix="coppice-sandbox-")
        self.debs = self.top + "/debs"
        os.mkdir(self.debs)

    def tree(self, name):
        path = f"{self.top}/{name}"
        os.mkdir(path, 0o755)
        return path

    def package(self, name, version="1", files=None, links=None, scripts=None, folder=None, folders=(),
                fields=""):
        """Make a package; returns what the options of deb.unpack say about it."""
        root = folder or tempfile.mkdtemp(dir=self.top)
        os.chmod(root, 0o755)
        for path, text in (files or {}).items():
            os.makedirs(os.path.dirname(f"{root}/{path}"), exist_ok=True)
            with open(f"{root}/{path}", "w") as file:
                file.write(text)
        for path in folders:
            os.makedirs(f"{root}/{path}", exist_ok=True)
        for path, target in (links or {}).items():
            os.symlink(target, f"{root}/{path}")
        os.mkdir(root + "/DEBIAN", 0o755)
        with open(root + "/DEBIAN/control", "w") as file:
            file.write(f"Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n"
                       f"Maintainer: nobody <nobody@example.org>\n{fields}Description: test\n")
        for script, text in (scripts or {}).items():
            with open(f"{root}/DEBIAN/{script}", "w") as file:
                file.write(text)
            os.chmod(f"{root}/DEBIAN/{script}", 0o755 if script.endswith(("inst", "rm")) else 0o644)
        deb = f"{self.top}/{name}.deb"
        environment = dict(os.environ, SOURCE_DATE_EPOCH=str(EPOCH - 1000))
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", root, deb], check=True,
                       stdout=subprocess.DEVNULL, env=environment)
        shutil.rmtree(root)
        with open(deb, "rb") as file:
            checksum = "sha256:" + hashlib.sha256(file.read()).hexdigest()
        os.rename(deb, f"{self.debs}/{checksum}")
        return {"name": name, "version": version, "architecture": architecture, "checksum": checksum}

    def stage(self, name, tree, options, inputs=(), mask=0o022, data=None):
        """Returns (exit status, output, exception or None).  @data goes with every input."""
        scratch = tempfile.mkdtemp(dir=self.top)
        arguments = {"tree": "/run/osbuild/tree", "options": options, "meta": {"id": "0" * 64, "source-epoch": EPOCH},
                     "inputs": {key: {"path": "/run/osbuild/inputs/" + key, **({"data": data} if data else {})}
                                for key in inputs}}
        with open(scratch + "/arguments", "w") as file:
            json.dump(arguments, file)
        server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        server.bind(scratch + "/socket")
        server.listen(1)
        server.settimeout(0.01)
        command = ["bwrap", "--die-with-parent", "--unshare-ipc", "--unshare-pid", "--unshare-net",
                   "--cap-drop", "ALL", *[word for cap in CAPABILITIES for word in ("--cap-add", "CAP_" + cap)],
                   "--dev", "/dev", "--proc", "/proc", "--ro-bind", "/sys", "/sys", "--tmpfs", "/tmp", "--tmpfs", "/run",
                   "--bind", tree, "/run/osbuild/tree", "--ro-bind", scratch + "/arguments",
                   "/run/osbuild/api/arguments", "--bind", scratch + "/socket", "/run/osbuild/api/osbuild",
                   "--ro-bind", program, "/run/osbuild/bin/" + name]
        for key in inputs:
            command += ["--ro-bind", self.debs, "/run/osbuild/inputs/" + key]
        run = subprocess.run(command + ["--", "/run/osbuild/bin/" + name], stdout=subprocess.PIPE, text=True,
                             stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, umask=mask)
        exception = None
        try:
            exception = json.loads(server.accept()[0].recv(65536))
        except OSError:
            pass
        server.close()
        return run.returncode, run.stdout, exception

    def install(self, tree, packages, automatic=(), mask=0o022, **options):
        """Unpack and configure, with more @options; the first failure's (status, output, exception)."""
        result = self.stage("org.coppice.deb.unpack", tree, {"packages": packages, "architecture": architecture},
                            ["packages"], mask)
        if result[0] == 0:
            result = self.stage("org.coppice.deb.configure", tree,
                                {"packages": [package["name"] for package in packages],
                                 "automatic": list(automatic), **options}, (), mask)
        return result


def copy_tools(root):
    """The tools and the libraries they need; everything below usr."""
    for name in TOOLS + ["sh"]:
        path = os.path.realpath(shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin"))
        folder = root + ("/usr/sbin/" if "sbin" in path else "/usr/bin/")
        os.makedirs(folder, exist_ok=True)
        shutil.copy2(path, folder + name)
        out = subprocess.run(["ldd", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        for library in re.findall(r"(/\S+) \(0x", out):
            target = library if library.startswith("/usr") else "/usr" + library
            os.makedirs(os.path.dirname(root + target), exist_ok=True)
            shutil.copy2(os.path.realpath(library), root + target)


def base(world, with_links, fields=""):
    """base-files, with or without the links of the merged /usr, and the tools."""
    folders = ["proc", "sys", "dev", "run", "tmp", "etc", "var/lib", "root", "usr"]
    links = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"} if with_links else {}
    if not with_links:
        folders += ["bin", "sbin", "lib"]
    files = world.package("base-files", "13", {"etc/debian_version": "13\n"}, links, folders=folders,
                          fields=fields)
    root = tempfile.mkdtemp(dir=world.top)
    copy_tools(root)
    tools = world.package("tools", "1:2.0-1~x+b1", folder=root, fields=fields)
    return [tools, files]


def listing(tree):
    """Everything that is to be the same in the next build."""
    found = {}
    for folder, folders, files in os.walk(tree):
        for name in folders + files:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            content = os.readlink(path) if stat.S_ISLNK(st.st_mode) else ""
            if stat.S_ISREG(st.st_mode):
                with open(path, "rb") as file:
                    content = hashlib.sha256(file.read()).hexdigest()
            found[os.path.relpath(path, tree)] = (oct(st.st_mode), st.st_uid, st.st_gid, st.st_nlink,
                                                  min(st.st_mtime_ns, EPOCH * 10**9), content)
    return found


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def ready(place):
    """A tree with the base installed: made once, copied for every test."""
    if not shared:
        shared.append(World())
        status, output, _ = shared[0].install(shared[0].tree("tree"), base(shared[0], True))
        expect(status == 0, output)
    tree = place.top + "/tree"
    subprocess.run(["cp", "-a", shared[0].top + "/tree", tree], check=True)
    return tree


def an_empty_tree_gets_its_packages_and_nothing_else(world):
    tree = ready(world)
    expect(os.readlink(tree + "/bin") == "usr/bin", "no merged /usr")
    expect(open(tree + "/etc/debian_version").read() == "13\n", "no content")
    status = open(tree + "/var/lib/dpkg/status").read()
    expect(status.count("Status: install ok installed") == 2, status)
    for path in ("dev/null", "usr/sbin/policy-rc.d", "var/log/dpkg.log", "var/lib/dpkg/lock",
                 "var/lib/dpkg/status-old", "run/coppice"):
        expect(not os.path.lexists(f"{tree}/{path}"), path + " was left behind")


def a_tree_whose_base_files_has_no_links_gets_them(world):
    tree = world.tree("tree")
    status, output, _ = world.install(tree, base(world, False))
    expect(status == 0, output)
    for name in ("bin", "sbin", "lib"):
        expect(os.path.islink(f"{tree}/{name}"), name + " is no symlink")
    expect(os.path.exists(tree + "/bin/dpkg"), "the links lead nowhere")


def two_builds_are_equal_whatever_the_umask(world):
    packages = base(world, True)
    random = world.package("random", scripts={"postinst": "#!/bin/sh\nmkdir -p /etc/ssh\n"
                                              "echo $$ > /etc/ssh/ssh_host_key\numask > /etc/umask\n"})
    first, second = world.tree("first"), world.tree("second")
    for tree, mask in ((first, 0o022), (second, 0o077)):
        status, output, _ = world.install(tree, packages, mask=mask)
        expect(status == 0, output)
        status, output, _ = world.install(tree, [random], mask=mask)
        expect(status == 0, output)
    left, right = listing(first), listing(second)
    differing = [path for path in sorted(left.keys() | right.keys()) if left.get(path) != right.get(path)]
    expect(not differing, f"they differ in {differing}")
    expect(open(first + "/etc/umask").read() == "0022\n", "the umask came through")
    expect(not os.path.exists(first + "/etc/ssh/ssh_host_key"), "a host key was left")


def scripts_see_a_private_world_and_the_fixed_environment(world):
    script = ("#!/bin/sh\nset -e\nenv > /etc/seen\nuname -n >> /etc/seen\ntouch /run/x /tmp/x\n"
              "test -d /proc/self\ntest -c /dev/null\ntest -d /sys/class\n! test -e /sys/firmware/efi\n"
              "code=0; /usr/sbin/policy-rc.d || code=$?; echo policy $code >> /etc/seen\n"
              "ls /sys/class/net > /etc/net\n")
    tree = ready(world)
    status, output, _ = world.install(tree, [world.package("look", scripts={"postinst": script})])
    expect(status == 0, output)
    seen = open(tree + "/etc/seen").read().splitlines()
    for line in ("HOME=/root", "LC_ALL=C.UTF-8", f"SOURCE_DATE_EPOCH={EPOCH}", "DEBIAN_FRONTEND=noninteractive",
                 "localhost", "policy 101"):
        expect(line in seen, f"'{line}' is not in {seen}")
    expect(not os.listdir(tree + "/run") and not os.listdir(tree + "/tmp"), "/run or /tmp was used")


def a_script_that_fails_is_told_with_its_last_lines(world):
    tree = ready(world)
    good = world.package("good")
    bad = world.package("bad", scripts={"postinst": "#!/bin/sh\necho the disk is made of cheese\nexit 3\n"})
    status, _, exception = world.install(tree, [good, bad])
    expect(status == 1, f"exit status {status}")
    expect(exception["method"] == "exception", exception)
    value = exception["exception"]["value"]
    expect("package 'bad' failed" in value and "made of cheese" in value and "exit status 3" in value, value)


def a_version_that_is_not_the_expected_one_is_refused(world):
    tree = ready(world)
    package = world.package("odd", "1.0")
    status, _, exception = world.install(tree, [{**package, "version": "2.0"}])
    value = exception["exception"]["value"]
    expect(status == 1 and "Version is '1.0' in the file but '2.0' in the options" in value, value)
    expect("odd" not in open(tree + "/var/lib/dpkg/status").read(), "it was unpacked")


def a_package_that_is_cut_off_is_refused(world):
    tree = ready(world)
    package = world.package("cut", files={"usr/share/cut": "x" * 100000})
    with open(f"{world.debs}/{package['checksum']}", "r+b") as file:
        file.truncate(50000)
    status, _, exception = world.install(tree, [package])
    expect(status == 1 and exception and "cut" in exception["exception"]["value"], exception)


def a_package_that_was_never_unpacked_is_missed(world):
    tree = ready(world)
    status, _, exception = world.stage("org.coppice.deb.configure", tree, {"packages": ["ghost"]})
    expect(status == 1 and "package 'ghost' is not installed" in exception["exception"]["value"], exception)


def a_policy_of_the_trees_own_is_covered_and_stays(world):
    tree = ready(world)
    text = "#!/bin/sh\nexit 0\n"
    own = world.package("own", files={"usr/sbin/policy-rc.d": text})
    status, output, _ = world.install(tree, [own])
    expect(status == 0, output)
    ask = world.package("ask", scripts={"postinst": "#!/bin/sh\ncode=0; sh /usr/sbin/policy-rc.d || code=$?\n"
                                        "echo $code > /etc/policy\n"})
    status, output, _ = world.install(tree, [ask])
    expect(status == 0, output)
    expect(open(tree + "/etc/policy").read() == "101\n", "services could have started")
    expect(open(tree + "/usr/sbin/policy-rc.d").read() == text, "the package's own policy is gone")


INITRAMFS = "boot/initrd.img-6.1"
RECORD = "var/lib/coppice-initramfs"


def with_initramfs(place, **options):
    """A tree with a kernel and an initramfs, which counts how often it was made, and its record."""
    tree = ready(place)
    tools = place.package("initramfs-tools", files={"boot/vmlinuz-6.1": "kernel\n",
                                                    "usr/share/initramfs-tools/hooks/udev": "copy\n"},
                          folders=["etc/initramfs-tools/conf.d", "usr/sbin", "etc/systemd/network"])
    status, output, _ = place.install(tree, [tools])
    expect(status == 0, output)
    with open(tree + "/usr/sbin/update-initramfs", "w") as file:
        file.write("#!/bin/sh\n[ \"$1 $2\" = '-c -k' ] && echo made >> \"/boot/initrd.img-$3\"\n")
    os.chmod(tree + "/usr/sbin/update-initramfs", 0o755)
    expect(initramfs(place, tree, record=True, **options) == 1, "it was not made once")
    expect(os.path.getsize(f"{tree}/{RECORD}") > 0, "there is no record")
    return tree


def initramfs(world, tree, **options):
    """Run the stage; how often the initramfs was made until now."""
    status, output, _ = world.stage("org.coppice.initramfs", tree, options)
    expect(status == 0, output)
    return made(tree)


def made(tree):
    with open(f"{tree}/{INITRAMFS}") as file:
        return file.read().count("made\n")


def again(place, tree, change, **options):
    """How often it is made when @change comes behind the record; the tree stays as it was."""
    copy = place.top + "/copy"
    subprocess.run(["cp", "-a", tree, copy], check=True)
    change(copy)
    count = initramfs(place, copy, **options) - made(tree)
    expect(not os.path.exists(f"{copy}/{RECORD}"), "the record is in the tree for good")
    shutil.rmtree(copy)
    return count


def written(path, text="x\n"):
    """A change that writes a file."""
    def change(copy):
        os.makedirs(os.path.dirname(f"{copy}/{path}"), exist_ok=True)
        with open(f"{copy}/{path}", "w") as file:
            file.write(text)
    return change


def an_initramfs_of_a_lower_layer_is_kept_by_what_does_not_reach_it(world):
    tree = with_initramfs(world)
    other = world.package("other", files={"usr/share/other/x": "x\n", "etc/other": "y\n"},
                          scripts={"postinst": "#!/bin/sh\necho hello\n"})

    def install(copy):
        status, output, _ = world.install(copy, [other], **{"skip-initramfs": True})
        expect(status == 0, output)

    def settings(copy):
        for path in ("etc/hostname", "etc/systemd/network/eth.network", "usr/lib/other.link"):
            with open(f"{copy}/{path}", "w") as file:
                file.write("x\n")

    expect(again(world, tree, lambda copy: None) == 0, "it was made again for nothing")
    expect(again(world, tree, install) == 0, "a package that did not ask had it made again")
    expect(again(world, tree, settings) == 0, "settings that do not reach it had it made again")


def an_initramfs_of_a_lower_layer_is_made_again_where_a_package_asks(world):
    tree = with_initramfs(world)
    asking = world.package("asking", scripts={"postinst": "#!/bin/sh\nupdate-initramfs -u\n"})

    def install(copy):
        status, output, _ = world.install(copy, [asking], **{"skip-initramfs": True})
        expect(status == 0, output)
        expect(made(copy) == 1, "the package itself made one")

    expect(again(world, tree, install) == 1, "the package asked in vain")


def an_initramfs_of_a_lower_layer_is_made_again_where_a_setting_reaches_it(world):
    tree = with_initramfs(world)

    for path in ("etc/fstab", "etc/crypttab", "etc/modprobe.d/own.conf", "etc/initramfs-tools/modules",
                 "etc/udev/rules.d/own.rules", "etc/systemd/network/eth.link", "usr/lib/firmware/own/card.bin",
                 "usr/lib/modules/6.1/own.ko", "usr/share/initramfs-tools/hooks/own",
                 "usr/share/initramfs-tools/hooks/udev", "usr/share/initramfs-tools/udev"):
        expect(again(world, tree, written(path)) == 1, f"{path} did not reach it")
    expect(again(world, tree, lambda copy: os.unlink(copy + "/usr/share/initramfs-tools/hooks/udev")) == 1,
           "a hook that is gone is still in it")
    expect(again(world, tree, lambda copy: os.chmod(copy + "/usr/share/initramfs-tools/hooks/udev", 0o755)) == 1,
           "a hook that may run now did not reach it")
    expect(again(world, tree, lambda copy: os.symlink("/x", copy + "/etc/modules")) == 1, "a symlink is no setting")
    expect(again(world, tree, written("boot/vmlinuz-6.2")) == 1, "the second kernel has none")


def ids_of_devices_reach_an_initramfs_only_where_it_reads_them(world):
    known = {"root-filesystem": "ext4"}
    tree = with_initramfs(world, **known)
    fstab = written("etc/fstab", "UUID=1 / ext4\n")

    expect(again(world, tree, fstab, **known) == 0, "the ids of an image reached it")
    expect(again(world, tree, fstab) == 1, "the root's file system was not looked up")
    for path in ("etc/crypttab", "etc/initramfs-tools/hooks/own"):
        written(path)(tree)
        initramfs(world, tree, record=True, **known)
        expect(again(world, tree, fstab, **known) == 1, f"it did not reach it beside {path}")
        os.unlink(f"{tree}/{path}")


def automatic_marks_are_merged_and_sorted(world):
    tree = ready(world)
    for names in (["zz:all", "b:amd64"], ["a:amd64", "b:amd64"]):
        status, output, _ = world.stage("org.coppice.deb.configure", tree, {"packages": [], "automatic": names})
        expect(status == 0, output)
    text = open(tree + "/var/lib/apt/extended_states").read()
    expect(re.findall("Package: (.*)", text) == ["a", "b", "zz"], text)


def commands_run_in_the_tree(world):
    tree = ready(world)
    os.rmdir(tree + "/sys")
    status, output, _ = world.stage("org.coppice.run", tree, {"commands": ["echo a > /etc/a", "cat /etc/a /etc/a"]})
    expect(status == 0 and output.count("a\n") >= 2, output)
    expect(open(tree + "/etc/a").read() == "a\n", "nothing was written")
    expect(not os.path.exists(tree + "/sys"), "a mount point was left behind")


def the_first_command_that_fails_ends_the_stage(world):
    tree = ready(world)
    status, _, exception = world.stage("org.coppice.run", tree,
                                       {"commands": ["false || { echo no luck; exit 4; }", "touch /etc/b"]})
    value = exception["exception"]["value"]
    expect(status == 1 and "exit status 4" in value and "no luck" in value, value)
    expect(not os.path.exists(tree + "/etc/b"), "the next command ran")


def a_symlink_in_place_of_a_mount_point_stays_inside(world):
    tree = ready(world)
    os.rmdir(tree + "/tmp")
    os.symlink("/etc", tree + "/tmp")
    status, output, _ = world.stage("org.coppice.run", tree, {"commands": ["touch /tmp/hidden"]})
    expect(status == 0, output)
    expect(not os.path.exists(tree + "/etc/hidden") and not os.path.exists("/etc/hidden"), "it was written for real")


def names_of_users_never_reach_the_trees_plugins(world):
    """A tree whose nsswitch.conf asks for plug-ins, with every module that is given a user's name."""
    tree = world.tree("names")
    for path, text in {"etc/nsswitch.conf": "passwd: files systemd\ngroup: files systemd\nshadow: files systemd\n",
                       "etc/passwd": "root:x:0:0::/root:/bin/sh\nme:x:7:8::/home/me:/bin/sh\n",
                       "etc/group": "root:x:0:\nstaff:x:50:\n", "etc/shadow": "root:*:1::::::\nme:!:1::::::\n",
                       "srv/file": "x\n"}.items():
        os.makedirs(os.path.dirname(f"{tree}/{path}"), exist_ok=True)
        with open(f"{tree}/{path}", "w") as file:
            file.write(text)
    stages = [
        ("org.osbuild.chown", {"items": {"/srv/file": {"user": "me", "group": "staff"}}}),
        ("org.osbuild.groups", {"groups": {"new": {}}}),
        ("org.osbuild.users", {"users": {"joe": {"groups": ["staff"], "home": "/home/joe", "key": "k"},
                                         "me": {"groups": ["new"], "home": "/home/me", "password": "p"}}}),
    ]
    for name, options in stages:
        status, output, _ = world.stage(name, tree, options)
        expect(status == 0, f"{name}: {output}")
    expect(os.stat(tree + "/srv/file").st_uid == 7 and os.stat(tree + "/srv/file").st_gid == 50, "chown")
    expect(os.stat(tree + "/home/joe/.ssh/authorized_keys").st_uid == 1000, "users")
    for name, options in [("org.osbuild.chown", {"items": {"/srv/file": {"user": "nobody"}}}),
                          ("org.osbuild.users", {"users": {"x": {"groups": ["nogroup"]}}})]:
        status, output, _ = world.stage(name, tree, options)
        expect(status == 1 and "has no" in output, f"{name}: {output}")


def names_in_archives_stay_bytes(world):
    source, tree = world.tree("source"), world.tree("unpacked")
    names = [b"\xc3\xa9t\xc3\xa9", b"latin\xe9", b"plain"]
    for name in names:
        with open(os.fsencode(source) + b"/" + name, "w"):
            pass
    subprocess.run(["tar", "--format=posix", "-cf", world.debs + "/names.tar", "-C", source, "."], check=True)
    status, output, _ = world.stage("org.osbuild.untar", tree, {}, ["file"], data={"files": {"names.tar": {}}})
    expect(status == 0, output)
    expect(sorted(os.listdir(os.fsencode(tree))) == sorted(names), str(os.listdir(os.fsencode(tree))))


TESTS = [value for value in list(globals().values()) if callable(value) and getattr(value, "__code__", None) and
         value.__code__.co_varnames[:1] == ("world",) and value.__code__.co_argcount == 1]


def main():
    global program, architecture
    program = os.path.abspath(sys.argv[1])
    wanted = sys.argv[2:]
    if os.geteuid() != 0 or not all(shutil.which(name) for name in ("bwrap", "dpkg-deb", "dpkg")):
        print("skipped: this needs root, bubblewrap and dpkg")
        return 77
    probe = subprocess.run(["bwrap", "--ro-bind", "/", "/", "--unshare-pid", "--proc", "/proc", "unshare", "-m", "true"],
                           stderr=subprocess.DEVNULL)
    if probe.returncode != 0:
        print("skipped: mount namespaces cannot be made here")
        return 77
    architecture = subprocess.run(["dpkg", "--print-architecture"], stdout=subprocess.PIPE, check=True,
                                  text=True).stdout.strip()
    failed = 0
    for test in TESTS:
        if wanted and test.__name__ not in wanted:
            continue
        world = World()
        try:
            test(world)
            print("ok", test.__name__, flush=True)
        except AssertionError as error:
            failed += 1
            print("not ok", test.__name__, "-", error, flush=True)
        finally:
            shutil.rmtree(world.top)
    for world in shared:
        shutil.rmtree(world.top)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

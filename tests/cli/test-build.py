#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test-build.py COPPICE TOP [CLAIM...]: recipe -> lock -> build, without a network.

A tiny distribution is packed from programs of this machine (tests/modules/sandbox.py),
signed, and offered at a file: address.  Needs root, bubblewrap, dpkg-deb and gpg.
"""
import base64
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from claims import Skipped, load, run_claims  # noqa: E402

COPPICE = os.path.abspath(sys.argv[1])
TOP = pathlib.Path(sys.argv[2])


sandbox = load(TOP / "tests" / "modules" / "sandbox.py")
ARCHITECTURE = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True,
                              text=True).stdout.strip()
sandbox.architecture = ARCHITECTURE


class Archive:
    """A signed archive of one suite with its updates and security updates."""

    def __init__(self, top):
        self.top = pathlib.Path(top)
        self.home = self.top / "gnupg"
        self.home.mkdir(mode=0o700)
        self.gpg("--quick-generate-key", "archive <archive@example.org>", "ed25519", "sign", "never")
        self.keyring = self.top / "archive.gpg"
        self.keyring.write_bytes(self.gpg("--export", "archive@example.org"))
        for name, label, suites in (("main", "Debian", ("trixie", "trixie-updates")),
                                    ("security", "Debian-Security", ("trixie-security",))):
            (self.top / name / "pool").mkdir(parents=True)
            for suite in suites:
                self.release(self.top / name, suite, label)

    def gpg(self, *args):
        return subprocess.run(["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase",
                               "", *map(str, args)], check=True, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL,
                              env={**os.environ, "GNUPGHOME": str(self.home)}).stdout

    def add(self, debs):
        """Every package of @debs (sha256:... files) enters the pool."""
        for deb in sorted(pathlib.Path(debs).iterdir()):
            name = subprocess.run(["dpkg-deb", "-f", deb, "Package"], check=True, capture_output=True,
                                  text=True).stdout.strip()
            shutil.copy(deb, self.top / "main" / "pool" / f"{name}.deb")
        self.release(self.top / "main", "trixie", "Debian")

    def release(self, root, suite, label):
        dists = root / "dists" / suite
        lists = dists / "main" / f"binary-{ARCHITECTURE}"
        lists.mkdir(parents=True, exist_ok=True)
        text = ""
        for deb in sorted((root / "pool").iterdir()) if suite == "trixie" else []:
            control = subprocess.run(["dpkg-deb", "-f", deb], check=True, capture_output=True, text=True).stdout
            digest = sandbox.hashlib.sha256(deb.read_bytes()).hexdigest()
            text += f"{control}Filename: pool/{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n\n"
        (lists / "Packages").write_text(text)
        digest = sandbox.hashlib.sha256(text.encode()).hexdigest()
        (dists / "Release").write_text(
            f"Origin: Debian\nLabel: {label}\nSuite: {suite}\nCodename: {suite}\n"
            f"Date: Mon, 02 Nov 2026 12:00:00 UTC\nArchitectures: {ARCHITECTURE}\nComponents: main\n"
            f"SHA256:\n {digest} {len(text.encode())} main/binary-{ARCHITECTURE}/Packages\n")
        (dists / "InRelease").unlink(missing_ok=True)
        self.gpg("--local-user", "archive@example.org", "--clearsign", "--output", dists / "InRelease",
                 dists / "Release")
        (dists / "Release").unlink()


class Place:
    """A scratch directory with the archive, a recipe and a store."""

    shared = None

    def __init__(self):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="coppice-test-build-"))
        if not Place.shared:
            world = sandbox.World()
            fields = "Essential: yes\nPriority: required\nSection: base\n"
            sandbox.base(world, True, fields)
            world.package("debian-archive-keyring", files={
                "usr/share/keyrings/debian-archive-keyring.gpg": "not a key\n"}, fields=fields)
            script = "#!/bin/sh\nset -e\nuname -n > /etc/seen\numask >> /etc/seen\nls /proc/self/fd >/dev/null\n"
            world.package("extra", "1.0", {"usr/share/extra": "e" * 100}, scripts={"postinst": script})
            world.package("more", "2.0", {"usr/share/more": "m" * 100})
            # Each takes the lowest number that is free, as adduser does.
            make = ("#!/bin/sh\nset -e\nn=100\nwhile grep -q \"^[^:]*:x:$n:\" /etc/passwd /etc/group; do n=$((n + 1)); done\n"
                    "echo \"$1:x:$n:$n::/nonexistent:/usr/sbin/nologin\" >> /etc/passwd\necho \"$1:x:$n:\" >> /etc/group\n")
            world.package("accounts", "1", {"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\nusers:x:100:\n",
                                            "usr/sbin/adduser": make}, fields=fields,
                          scripts={"preinst": "#!/bin/sh\nexit 0\n"})
            for name in ("alpha", "beta", "gamma", "delta"):
                world.package("daemon-" + name, "1", scripts={
                    "postinst": f"#!/bin/sh\nset -e\nUSER=d-{name}\nsh /usr/sbin/adduser $USER\n"
                                f"mkdir -p /var/lib/{name}\nchown d-{name}:d-{name} /var/lib/{name}\n"})
            world.package("daemon-hidden", "1", scripts={
                "postinst": "#!/bin/sh\nset -e\nfor user in d-hid den; do sh /usr/sbin/adduser \"$user\"; done\n"})
            for name in ("e2fsprogs", "dosfstools", "mtools", "fdisk", "qemu-utils", "squashfs-tools", "erofs-utils"):
                world.package(name)
            world.package("broken", "1", scripts={"postinst": "#!/bin/sh\necho made of cheese\nexit 3\n"})
            Place.shared = (world, Archive(tempfile.mkdtemp(dir=world.top)))
            Place.shared[1].add(world.debs)
        self.archive = self.top / "archive"
        shutil.copytree(Place.shared[1].top, self.archive, ignore=shutil.ignore_patterns("gnupg"))
        self.store = self.top / "store"
        self.recipe = self.top / "recipe.yaml"
        self.write()

    def write(self, packages="[extra]", hostname="one", more=""):
        self.recipe.write_text(
            f"suite: trixie\nmirror: file:{self.archive}/main\nsecurity-mirror: file:{self.archive}/security\n"
            f"keyring: archive/archive.gpg\nhostname: {hostname}\npackages: {packages}\n"
            "files:\n  - path: /etc/motd\n    content: |\n      " + "a message of the day, over the limit of inline\n      "
            "contents, so that the pool sees it\n" + more)

    def run(self, *args, status=0, store=None, command=(), environment=None, umask=0o022):
        result = subprocess.run([*command, COPPICE, "--store", store or self.store, *map(str, args)], text=True,
                                capture_output=True, check=False, timeout=300, umask=umask,
                                env={**os.environ, **(environment or {})}, stdin=subprocess.DEVNULL)
        assert result.returncode == status, (args, result.returncode, result.stdout, result.stderr)
        return result

    def error(self, *args, status=1, **options):
        """The last line of standard error; the words before it are the story of the build."""
        lines = self.run(*args, status=status, **options).stderr.strip().splitlines()
        assert lines[-1].startswith("coppice: "), lines
        return lines[-1]

    def build(self, **options):
        """{stage type: state} of one build, and the result lines."""
        result = self.run("build", self.recipe, **options)
        states = re.findall(r"^\[\d+/\d+\] (\S+) +[0-9a-f]{12}  (ran|cached)", result.stderr, re.M)
        return states, result.stdout

    def close(self):
        shutil.rmtree(self.top)


def ran(states):
    return [kind for kind, state in states if state == "ran"]


def a_recipe_is_locked_and_built_without_a_network(p):
    changes = p.run("lock", p.recipe).stdout
    assert "+ extra 1.0\n" in changes and "+ tools 1:2.0-1~x+b1\n" in changes, changes
    states, out = p.build(command=["unshare", "-n"])
    assert len(states) == len(ran(states)) and "org.coppice.deb.configure" in ran(states), states
    tree = out.splitlines()[0].split("\t")[2]
    assert p.run("cat", tree, "etc/hostname").stdout == "one\n"
    assert p.run("cat", tree, "etc/seen").stdout == "localhost\n0022\n"
    assert str(p.archive) not in (p.top / "recipe.yaml.lock").read_text()


def who_cannot_make_other_owners_is_told_before_the_first_stage(p):
    p.run("lock", p.recipe)
    result = p.run("build", p.recipe, status=1, command=["unshare", "--user", "--map-root-user"])
    assert "pipeline 'tree': files of Debian packages belong to several users" in result.stderr, result
    assert "[1/" not in result.stderr and not p.run("refs", "--all").stdout, result
    tree = p.build()[1].splitlines()[0].split("\t")[2]
    # What is there already is nobody's to make.
    assert tree in p.run("build", p.recipe, command=["unshare", "--user", "--map-root-user"]).stdout


def a_plain_user_with_ids_of_his_own_builds_what_root_builds(p):
    """Not root's namespaces, no overlay: every stage and the very same digests."""
    if os.geteuid() != 0:
        raise Skipped("to become another user takes root")
    p.write(packages="[extra, accounts, daemon-alpha]")
    p.run("lock", p.recipe)
    home, theirs, ids = p.top / "home", p.top / "home" / "store", p.top / "ids"
    home.mkdir()
    os.chown(home, 65534, 65534)
    for path in (p.top, p.archive):
        path.chmod(0o755)
    ids.write_text("65534:200000:65536\n")
    script = f"mount --bind {ids} /etc/subuid && mount --bind {ids} /etc/subgid && "
    for closed in reversed(TOP.parents):
        if not closed.stat().st_mode & 1:  # root's own home: the way through it is opened, here alone
            (p.top / "hold").mkdir()
            script += (f"mount --bind {TOP} {p.top}/hold && mount -t tmpfs -o mode=755 open {closed} && "
                       f"mkdir -p {TOP} && mount --bind {p.top}/hold {TOP} && ")
            break
    plain = ["unshare", "-m", "sh", "-c", script + 'exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"', "-"]
    words = ["build", p.recipe, "--checkpoint", "all", "--export", "tree", "--output-directory"]
    tree = p.run(*words, p.top / "out").stdout.split("\t")[2].strip()
    p.run(*words, home / "out", store=theirs, command=plain)
    stages = p.run("refs", "--all", store=theirs, command=plain).stdout
    assert tree in stages and stages == p.run("refs", "--all").stdout, (tree, stages)
    assert list((theirs / "tmp").iterdir()) == []
    alpha, = re.findall(r"^d-alpha:x:(\d+):", p.run("cat", tree, "etc/passwd").stdout, re.M)
    # His own id is root; the first of the others is 1.
    assert (home / "out" / "tree" / "var" / "lib" / "alpha").stat().st_uid == 200000 + int(alpha) - 1


def two_builds_of_a_lock_in_two_stores_are_equal_stage_by_stage(p):
    p.run("lock", p.recipe)
    p.run("build", p.recipe, "--checkpoint", "all")
    other = p.top / "other"
    p.run("build", p.recipe, "--checkpoint", "all", store=other, umask=0o077,
          command=["unshare", "-u", "sh", "-c", 'hostname elsewhere && exec "$@"', "-"],
          environment={"TZ": "Pacific/Auckland", "LANG": "C", "HOME": "/nonexistent"})
    first = p.run("refs", "--all").stdout
    assert first and first == p.run("refs", "--all", store=other).stdout
    assert len(first.splitlines()) >= 8, first


def an_unchanged_request_touches_neither_file_nor_network(p):
    p.run("lock", p.recipe)
    lock = p.top / "recipe.yaml.lock"
    before = lock.stat()
    shutil.rmtree(p.archive / "main")
    assert p.run("lock", p.recipe).stdout == ""
    assert (lock.stat().st_mtime_ns, lock.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    p.run("lock", "--check", p.recipe)
    p.write(packages="[extra, more]")
    assert "recipe.yaml" in p.error("lock", "--check", p.recipe)


def nothing_changed_means_nothing_runs(p):
    _, out = p.build()
    shutil.rmtree(p.archive / "main" / "pool")
    states, again = p.build()
    assert ran(states) == [] and again == out


def a_new_host_name_reruns_what_is_cheap(p):
    p.build()
    p.write(hostname="two")
    states, out = p.build()
    assert "org.coppice.deb.unpack" not in ran(states) and "org.osbuild.hostname" in ran(states), states
    assert p.run("cat", out.splitlines()[0].split("\t")[2], "etc/hostname").stdout == "two\n"


def a_package_more_leaves_the_base_layer_alone(p):
    p.build()
    p.write(packages="[extra, more]")
    states, out = p.build()
    assert states[0] == ("org.coppice.deb.unpack", "cached"), states
    assert states[1] == ("org.coppice.deb.configure", "cached"), states
    assert states[2] == ("org.coppice.deb.unpack", "ran"), states
    assert p.run("cat", out.splitlines()[0].split("\t")[2], "usr/share/more").stdout == "m" * 100


def a_stage_that_fails_is_told_kept_and_can_be_entered(p):
    p.write(packages="{good: [extra], bad: [broken]}")
    result = p.run("build", p.recipe, status=1)
    last = result.stderr.strip().splitlines()[-1]
    assert "org.coppice.deb.configure" in last and "broken" in last, last
    assert "made of cheese" in result.stderr, result.stderr
    assert f"coppice --store {p.store} build {p.recipe}\n" in result.stderr, result.stderr
    failed = re.search(r"failed/([0-9a-f]{64})", result.stderr).group(0)
    assert f"coppice --store {p.store} run {failed}\n" in result.stderr, result.stderr
    assert p.run("run", failed, "--", "cat", "/usr/share/extra").stdout == "e" * 100
    assert "made of cheese" in p.run("log", failed).stdout
    states, _ = (lambda: (p.write(packages="{good: [extra]}"), p.build())[1])()
    assert states[3] == ("org.coppice.deb.configure", "cached"), states


def a_package_that_is_not_the_locked_one_is_refused(p):
    p.run("lock", p.recipe)
    deb = p.archive / "main" / "pool" / "extra.deb"
    deb.write_bytes(deb.read_bytes()[:-1] + b"x")
    fresh = p.top / "fresh"
    line = p.error("build", p.recipe, store=fresh)
    assert "extra.deb" in line, line
    assert p.run("refs", "--all", store=fresh).stdout == ""


def a_package_beside_the_recipe_is_built_in_and_watched(p):
    other = sandbox.World()
    other.package("mine", "1.0", {"usr/share/mine": "first"}, fields="Depends: more\n")
    deb = p.top / "mine.deb"
    shutil.move(next(pathlib.Path(other.debs).iterdir()), deb)
    p.write(packages="{own: [./mine.deb]}")
    _, out = p.build()
    tree = out.splitlines()[0].split("\t")[2]
    assert p.run("cat", tree, "usr/share/mine").stdout == "first"
    assert p.run("cat", tree, "usr/share/more").stdout == "m" * 100
    lock = (p.top / "recipe.yaml.lock").read_text()
    assert " local mine.deb manual\n" in lock and str(p.top) not in lock, lock
    p.run("lock", "--check", p.recipe)
    # In another store it is brought by the recipe, and by nobody else.
    p.run("build", p.recipe, store=p.top / "other")
    (p.top / "m.json").write_text(p.run("manifest", p.recipe).stdout)
    line = p.error("build", p.top / "m.json", store=p.top / "third")
    assert "'mine.deb' lies beside a recipe and is not in the store" in line, line
    # Another file is no reason to lock anew by itself.
    other.package("mine", "1.0", {"usr/share/mine": "second"}, fields="Depends: more\n")
    shutil.move(next(pathlib.Path(other.debs).iterdir()), deb)
    for command in (("build", p.recipe), ("manifest", p.recipe), ("lock", "--check", p.recipe)):
        line = p.error(*command)
        assert "recipe.yaml:6:18: 'mine.deb' is not what it was when it was locked; run 'coppice lock " in line, line
    assert p.run("lock", p.recipe).stdout == "~ mine 1.0: another file\n"
    _, out = p.build()
    assert p.run("cat", out.splitlines()[0].split("\t")[2], "usr/share/mine").stdout == "second"
    shutil.rmtree(other.top)


def another_repository_is_built_from_and_known_to_the_tree(p):
    other = sandbox.World()
    other.package("vendor-tool", "3", {"usr/share/vendor-tool": "v" * 100}, fields="Depends: more\n")
    vendor = Archive(tempfile.mkdtemp(dir=other.top))
    vendor.add(other.debs)
    key = vendor.gpg("--armor", "--export", "archive@example.org").decode()
    text = ("repositories:\n  - id: vendor\n    baseurls: file:%s/main\n    suites: trixie\n    components: main\n"
            "    priority: 400\n    gpgkeys: |\n%s" % (vendor.top, "".join(f"      {x}\n" for x in key.splitlines())))
    p.write(packages="{a: [extra], b: [vendor-tool]}", more=text)
    _, out = p.build()
    tree = out.splitlines()[0].split("\t")[2]
    assert p.run("cat", tree, "usr/share/vendor-tool").stdout == "v" * 100
    assert p.run("cat", tree, "etc/apt/keyrings/vendor.asc").stdout == key
    sources = p.run("cat", tree, "etc/apt/sources.list.d/vendor.sources").stdout
    assert "Signed-By: /etc/apt/keyrings/vendor.asc\n" in sources and "Suites: trixie\n" in sources, sources
    assert "Pin-Priority: 400\n" in p.run("cat", tree, "etc/apt/preferences.d/vendor.pref").stdout
    assert str(vendor.top) not in (p.top / "recipe.yaml.lock").read_text()
    # A fresh store fetches from there, and takes nothing that is not what was locked.
    deb = vendor.top / "main" / "pool" / "vendor-tool.deb"
    deb.write_bytes(deb.read_bytes()[:-1] + b"x")
    line = p.error("build", p.recipe, store=p.top / "fresh")
    assert "vendor-tool.deb" in line, line
    shutil.rmtree(other.top)


def newer(place, **versions):
    """These versions in the archive in place of what was there."""
    other = sandbox.World()
    for name, version in versions.items():
        other.package(name, version, {f"usr/share/{name}": version})
        shutil.move(next(pathlib.Path(other.debs).iterdir()), place.archive / "main" / "pool" / f"{name}.deb")
    Place.shared[1].release(place.archive / "main", "trixie", "Debian")
    shutil.rmtree(other.top)


def an_update_takes_new_versions_of_all_packages_or_of_those_named(p):
    p.write(packages="[extra, more]")
    p.run("lock", p.recipe)
    lock = p.top / "recipe.yaml.lock"
    newer(p, extra="1.1", more="2.1")
    before = lock.read_bytes()
    assert p.run("lock", p.recipe).stdout == "" and lock.read_bytes() == before
    result = p.run("lock", "--update", p.recipe, "more")
    assert result.stdout == "~ more 2.0 -> 2.1\n", result.stdout
    assert "'extra' 1.0 is no longer in the archive: kept from the store of sources" in result.stderr, result.stderr
    assert p.run("lock", "--update", p.recipe).stdout == "~ extra 1.0 -> 1.1\n"
    before = lock.read_bytes()
    assert p.run("lock", "--update", p.recipe).stdout == "" and lock.read_bytes() == before
    assert "has no such package" in p.error("lock", "--update", p.recipe, "nothing")
    assert lock.read_bytes() == before
    _, out = p.build()
    assert p.run("cat", out.splitlines()[0].split("\t")[2], "usr/share/extra").stdout == "1.1"


def a_check_tells_and_changes_nothing(p):
    lock = p.top / "recipe.yaml.lock"
    assert "there is no '" in p.error("lock", "--check", p.recipe) and not lock.exists()
    p.run("lock", p.recipe)
    before = lock.read_bytes()
    shutil.rmtree(p.archive)
    (p.top / "archive").mkdir()
    shutil.copy(Place.shared[1].keyring, p.top / "archive")
    assert p.run("lock", "--check", p.recipe).stdout == ""
    assert "is not of 20261102T000000Z; run: coppice lock --snapshot 2" in p.error("lock", "--check", "--snapshot",
                                                                                 "2026-11-02", p.recipe)
    p.write(packages="[extra, more]")
    assert f"'{lock}' does not answer '{p.recipe}'; run: coppice lock " in p.error("lock", "--check", p.recipe)
    assert lock.read_bytes() == before
    for wrong in (("--check", "--update", p.recipe), (p.recipe, "more"), ("--snapshot", "yesterday", p.recipe),
                  ("--snapshot", "20260230", p.recipe)):
        p.error("lock", *wrong, status=2)
    assert lock.read_bytes() == before


def a_lock_of_a_date_is_built_from_the_archive_of_that_date(p):
    then = p.archive / "20261102T000000Z"
    then.mkdir()
    for name in ("main", "security"):
        shutil.copytree(p.archive / name, then / name)
    newer(p, extra="1.1")
    p.write(more=f"snapshot: file:{p.archive}/@SNAPSHOTID@/main\n"
                 f"security-snapshot: file:{p.archive}/@SNAPSHOTID@/security\n")
    assert "+ extra 1.0\n" in p.run("lock", "--snapshot", "2026-11-02", p.recipe).stdout
    lock = (p.top / "recipe.yaml.lock").read_text()
    assert "\nsnapshot 20261102T000000Z\n" in lock and str(p.archive) not in lock, lock
    # In a store that has nothing, and from mirrors that have another version.
    result = p.run("build", p.recipe, store=p.top / "fresh")
    tree = result.stdout.splitlines()[0].split("\t")[2]
    assert p.run("cat", tree, "usr/share/extra", store=p.top / "fresh").stdout == "e" * 100
    assert p.run("lock", "--update", p.recipe).stdout == "~ extra 1.0 -> 1.1\n"
    assert "\nsnapshot " not in (p.top / "recipe.yaml.lock").read_text()


def every_key_is_documented_with_an_example_that_is_read(p):
    text = (TOP / "docs" / "recipe.md").read_text()
    examples = re.findall(r"^\| `([a-z-]+)(: [^`]*)` \|", text, re.M)
    table = (TOP / "src" / "recipe" / "recipe.c").read_text().split("static int take_keys(")[1].split("};")[0]
    keys = re.findall(r'\{"([a-z-]+)",', table)
    assert len(keys) > 20 and sorted(keys) == sorted(key for key, _ in examples), (keys, examples)
    other = sandbox.World()
    other.package("mine")
    shutil.move(next(pathlib.Path(other.debs).iterdir()), p.top / "mine.deb")
    shutil.rmtree(other.top)
    shutil.copy(Place.shared[1].keyring, p.top / "vendor.asc")
    (p.top / "www").mkdir()
    (p.top / "base.yaml").write_text("suite: trixie\n")
    for key, value in examples:
        more = {"suite": "", "kernel": "suite: trixie\nimage: {boot: uefi}\n"}.get(key, "suite: trixie\n")
        p.recipe.write_text(more + key + value + "\n")
        # It is read before its lock is looked for.
        line = p.error("manifest", p.recipe)
        assert "there is no '" in line and ".lock'; run: coppice lock " in line, (key, value, line)
    # The larger ones are read too, with what they name.
    (p.top / "site.conf").write_text("")
    for block in re.findall(r"^```yaml\n(.*?)^```", text, re.M | re.S):
        p.recipe.write_text(("" if "suite:" in block else "suite: trixie\n") + block)
        line = p.error("manifest", p.recipe)
        assert "there is no '" in line, (block, line)


def a_dead_mirror_is_named(p):
    p.run("lock", p.recipe)
    p.recipe.write_text(p.recipe.read_text().replace(f"file:{p.archive}/main", "http://127.0.0.1:9/debian"))
    line = p.error("build", p.recipe, store=p.top / "fresh")
    assert "127.0.0.1:9" in line or ".deb" in line, line


def wrong_recipes_name_line_and_column_and_exit_2(p):
    for text, words in (("suite: trixie\npakages: []\n", ":2:1:"), ("suite: woody\n", ":1:8:"),
                        ("suite: trixie\nsuite: trixie\n", ":2:1:"), ("suite: [\n", ":"), ("", "nothing in it")):
        p.recipe.write_text(text)
        line = p.error("build", p.recipe, status=2)
        assert words in line and "recipe.yaml" in line, (text, line)


def wrong_manifests_are_one_line_and_exit_2(p):
    manifest = p.top / "m.json"
    for text, words in (("{", "line 1"), ("[]", "object"), ('{"version": 2}', "version"), ('{"version": "2", "x": 1}', "'x'"),
                        ('{"version": "2", "pipelines": [{"name": "a", "stages": [{"type": "org.osbuild.nope"}]}]}',
                         "org.osbuild.nope"),
                        ('{"version": "2", "pipelines": [{"name": "a", "stages": [{"type": "org.osbuild.hostname",'
                         ' "options": {"hostnam": "x"}}]}]}', "hostnam"),
                        ('{"version": "2", "pipelines": [{"name": "a", "build": "name:b"}]}', "b")):
        manifest.write_text(text)
        for verb in ("build", "inspect"):
            result = p.run(verb, manifest, status=2)
            lines = result.stderr.strip().splitlines()
            assert len(lines) == 1 and words in lines[0] and "m.json" in lines[0], (text, lines)


def manifest_is_a_pure_function_of_recipe_and_lock(p):
    p.run("lock", p.recipe)
    first = p.run("manifest", p.recipe).stdout
    assert first == p.run("manifest", p.recipe, command=["unshare", "-n"], store=p.top / "other").stdout
    inspected = json.loads(p.run("inspect", p.recipe).stdout)
    assert [s["type"] for s in inspected["pipelines"][0]["stages"]][:2] == ["org.coppice.deb.unpack",
                                                                           "org.coppice.deb.configure"]
    assert "recipe.yaml.lock" in p.error("manifest", (p.write(), p.recipe.rename(p.top / "other.yaml"))[1],
                                         status=1).replace("other", "recipe")


def exports_are_whole_and_the_tar_is_the_same_twice(p):
    out = p.top / "out"
    p.run("build", p.recipe, "--export", "tar", "--export", "tree", "--output-directory", out)
    first = (out / "tar" / "rootfs.tar").read_bytes()
    assert (out / "tree" / "etc" / "hostname").read_text() == "one\n"
    p.run("build", p.recipe, "--export", "tar", "--output-directory", p.top / "again", store=p.top / "other",
          umask=0o077)
    assert (p.top / "again" / "tar" / "rootfs.tar").read_bytes() == first
    assert "'nope'" in p.error("build", p.recipe, "--export", "nope", "--output-directory", out)


def without_network_and_archive_the_sources_in_the_store_give_the_same_bits(p):
    p.run("lock", p.recipe)
    p.run("build", p.recipe, "--checkpoint", "all")
    other = p.top / "other"
    p.run("status", store=other)
    shutil.copytree(p.store / "sources" / "org.osbuild.files", other / "sources" / "org.osbuild.files")
    shutil.rmtree(p.archive / "main")
    shutil.rmtree(p.archive / "security")
    p.run("build", p.recipe, "--checkpoint", "all", store=other, command=["unshare", "-n"])
    first = p.run("refs", "--all").stdout
    assert len(first.splitlines()) >= 8 and first == p.run("refs", "--all", store=other).stdout, first
    # Must fail: with one package less there is nothing to build from, and nowhere to get it.
    third = p.top / "third"
    p.run("status", store=third)
    shutil.copytree(p.store / "sources" / "org.osbuild.files", third / "sources" / "org.osbuild.files")
    max((third / "sources").rglob("sha256:*"), key=lambda path: path.stat().st_size).unlink()
    assert ".deb" in p.error("build", p.recipe, store=third, command=["unshare", "-n"])


def each_format_is_the_same_bits_twice(p):
    programs = ["mksquashfs", "mkfs.erofs", "qemu-img", "mke2fs", "mcopy", "sfdisk"]
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    assert all(shutil.which(program, path=path) for program in programs), "tools/install-packages brings them"
    formats = {"tar": "rootfs.tar", "oci": "image.oci", "squashfs": "rootfs.squashfs", "erofs": "rootfs.erofs",
               "raw": "disk.raw", "qcow2": "disk.qcow2", "vmdk": "disk.vmdk", "vhd": "disk.vhd"}
    (p.top / "out").mkdir()
    for name, file in formats.items():
        free = ", boot: none, free: 1M" if file.startswith("disk") else ""
        p.write(more=f"image: {{format: {name}{free}}}\n")
        sums = []
        for store, mask in ((p.store, 0o022), (p.top / f"other-{name}", 0o077)):
            out = p.top / "out" / f"{name}-{mask}"
            p.run("build", p.recipe, "--host-tools", "--export", "image", "--output-directory", out, store=store, umask=mask)
            with open(out / "image" / file, "rb") as result:
                sums.append(hashlib.file_digest(result, "sha256").hexdigest())
        assert sums[0] == sums[1], name
        shutil.rmtree(p.top / f"other-{name}")
    with tarfile.open(p.top / "out" / "oci-18" / "image" / "image.oci") as archive:
        index = json.load(archive.extractfile("index.json"))
        manifest = json.load(archive.extractfile("blobs/sha256/" + index["manifests"][0]["digest"][7:]))
        config = json.load(archive.extractfile("blobs/sha256/" + manifest["config"]["digest"][7:]))
    assert config["architecture"] == ARCHITECTURE and config["os"] == "linux", config
    p.write(more="image: {format: directory}\n")
    out = p.top / "out" / "directory"
    p.run("build", p.recipe, "--export", "tree", "--output-directory", out)
    assert (out / "tree" / "etc" / "hostname").read_text() == "one\n"
    p.write(more="image: {format: ova}\n")
    assert "'ova' is none of raw, qcow2" in p.error("build", p.recipe, status=2)


def accounts(place, **options):
    """{name: number} of the tree's system users, after a build; groups and owners must agree."""
    p = place
    _, out = p.build(**options)
    tree = out.splitlines()[0].split("\t")[2]
    lines = [line.split(":") for line in p.run("cat", tree, "etc/passwd", **options).stdout.splitlines()]
    groups = dict(line.split(":")[:3:2] for line in p.run("cat", tree, "etc/group", **options).stdout.splitlines())
    for name, _, number, group, *_ in lines:
        assert groups[name] == group and (name == "root" or number == group), lines
        if name.startswith("d-") and name != "d-hid":
            assert re.search(fr" {number} +{number} .* {name[2:]}$", p.run("ls", "-l", tree, "var/lib", **options).stdout, re.M), name
    assert groups["users"] == "100", groups
    return {name: int(number) for name, _, number, *_ in lines if name != "root"}


def a_package_more_changes_no_users_number(p):
    p.write(packages="{first: [daemon-beta], second: [daemon-gamma]}")
    before = accounts(p)
    lock = (p.top / "recipe.yaml.lock").read_text()
    for name, number in before.items():
        assert f"\naccount {name} {number} daemon-{name[2:]}\n" in lock, lock
    assert sorted(before) == ["d-beta", "d-gamma"] and all(100 < n < 900 for n in before.values()), before
    # One that is configured before the others, in the same layer and in one of its own.
    p.write(packages="{first: [daemon-alpha, daemon-beta], second: [daemon-gamma]}")
    more = accounts(p)
    assert {**more, **before} == more and len(set(more.values())) == 3, (before, more)
    p.write(packages="{zero: [daemon-delta], first: [daemon-alpha, daemon-beta], second: [daemon-gamma]}")
    assert {**accounts(p), **more} == accounts(p)
    # Without the lock from before, in another order and in one layer: the same again.
    (p.top / "recipe.yaml.lock").unlink()
    p.write(packages="[daemon-gamma, daemon-beta, daemon-alpha]")
    assert accounts(p, store=p.top / "other") == more


def a_number_of_the_lock_stays_when_the_lock_is_made_again(p):
    p.write(packages="[daemon-beta]")
    p.run("lock", p.recipe)
    lock = p.top / "recipe.yaml.lock"
    lock.write_text(re.sub(r"account d-beta \d+", "account d-beta 777", lock.read_text()))
    p.write(packages="[daemon-beta, daemon-alpha]")
    p.run("lock", p.recipe)
    assert "\naccount d-beta 777 daemon-beta\n" in lock.read_text(), lock.read_text()
    p.run("lock", "--update", p.recipe)
    assert accounts(p)["d-beta"] == 777


def users_that_no_lock_foresees_have_numbers_of_their_letters(p):
    p.write(packages="[daemon-hidden]")
    first = accounts(p)
    assert sorted(first) == ["d-hid", "den"] and all(900 <= n <= 999 for n in first.values()), first
    p.write(packages="[daemon-alpha, daemon-hidden]")
    assert {**accounts(p), **first} == accounts(p)


TOKEN = "a token of more than sixty-five bytes: correct horse battery staple\nand a second line\n"
HASH = "$6$rounds=5000$somesalt$whoever/reads/this/knows/more/than/she/should"


def with_secrets(p):
    p.write(more="  - path: /etc/token\n    secret: token\n"
                 "user:\n  - name: anna\n    password: {secret: anna-pw}\n"
                 "commands:\n  - run: cat /etc/token\n    late: true\n")
    file = p.top / "token.txt"
    file.write_text(TOKEN)
    return {"environment": {"COPPICE_SECRET_ANNA_PW": HASH}}, ("--secret", f"token={file}")


def holds(path):
    """Do the bytes of a file, or of all files below, speak of a secret?"""
    forms = [form.encode() for text in (*TOKEN.splitlines(), HASH) for form in
             (text, text.encode().hex(), hashlib.sha256(text.encode()).hexdigest(),
              base64.b64encode(text.encode()).decode()[:-4])]
    forms += [hashlib.sha256(TOKEN.encode()).hexdigest().encode()]
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file() and not one.is_symlink()]
    return [str(one) for one in files if any(form in one.read_bytes() for form in forms)]


def a_secret_is_in_the_tree_and_nowhere_else(p):
    how, given = with_secrets(p)
    remote = p.top / "remote"
    remote.mkdir()
    p.run("remote", "add", "team", f"file://{remote}")
    result = p.run("build", p.recipe, *given, "--checkpoint", "all", "--remote", "team", **how)
    tree = result.stdout.splitlines()[0].split("\t")[2]
    assert p.run("cat", tree, "etc/token").stdout == TOKEN
    assert f"\nanna:{HASH}:" in p.run("cat", tree, "etc/passwd").stdout
    said = p.top / "said"
    said.mkdir()
    for i, words in enumerate((("manifest", p.recipe), ("inspect", p.recipe), ("explain", p.recipe, *given),
                               ("--json", "explain", p.recipe), ("log", tree), ("refs", "--all"))):
        (said / str(i)).write_text(p.run(*words, **how).stdout)
    (said / "build").write_text(result.stdout + result.stderr)
    (said / "verbose").write_text(p.run("-v", "build", p.recipe, *given, store=p.top / "other", **how).stderr)
    assert "[secret token]" in (said / "verbose").read_text()
    for store in (p.store, p.top / "other"):
        kept = [path for path in store.iterdir() if path.name not in ("files", "objects")]
        assert not [line for path in kept for line in holds(path)], kept
    assert holds(p.store / "files"), "the search finds nothing anywhere"
    for path in (p.top / "recipe.yaml", p.top / "recipe.yaml.lock", said, remote):
        assert not holds(path), holds(path)
    # The remote has what comes before, for the next store; the rest it neither has nor gets.
    for words in (("push", "team", tree), ("push", "team", p.run("refs", "--all").stdout and result.stdout.split("\t")[1])):
        assert "holds secrets" in p.error(*words), words
    third = p.top / "third"
    p.run("remote", "add", "team", f"file://{remote}", store=third)
    assert "no" in p.error("pull", "team", tree, store=third)
    states = re.findall(r"^\[\d+/\d+\] (\S+) +[0-9a-f]{12}  (ran|cached)",
                        p.run("build", p.recipe, *given, "--remote", "team", store=third, **how).stderr, re.M)
    assert ("org.osbuild.hostname", "cached") in states and ("org.coppice.secrets", "ran") in states, states


def another_value_of_a_secret_is_another_checkpoint(p):
    how, given = with_secrets(p)
    p.run("build", p.recipe, *given, **how)
    assert " ran" not in p.run("build", p.recipe, *given, **how).stderr
    (p.top / "token.txt").write_text("another token\n")
    result = p.run("build", p.recipe, *given, **how)
    states = re.findall(r"^\[\d+/\d+\] (\S+) +[0-9a-f]{12}  (ran|cached)", result.stderr, re.M)
    assert ("org.coppice.secrets", "ran") in states and ("org.coppice.deb.configure", "cached") in states, states
    assert p.run("cat", result.stdout.split("\t")[2].split()[0], "etc/token").stdout == "another token\n"
    assert "secrets" in p.run("explain", p.recipe).stdout


def a_secret_without_a_value_is_named_before_anything_runs(p):
    how, given = with_secrets(p)
    p.run("lock", p.recipe)
    line = p.error("build", p.recipe, **how)
    assert "secret 'token' has no value; give --secret token=FILE, or set COPPICE_SECRET_TOKEN" in line, line
    assert p.run("refs", "--all").stdout == ""
    assert "nothing wants a secret" in p.error("build", p.recipe, *given, "--secret", f"tokn={p.recipe}", **how)
    assert "is not NAME=FILE" in p.error("build", p.recipe, "--secret", "token", status=2, **how)
    assert "No such file" in p.error("build", p.recipe, "--secret", f"token={p.top}/nowhere", **how)
    line = p.error("build", p.recipe, *given, environment={"COPPICE_SECRET_ANNA_PW": "plain words of hers"})
    assert "secret 'anna-pw' is no hash of a password" in line and "plain words" not in line, line
    p.write(more="  - path: /etc/token\n    secret: A value?\n")
    assert "recipe.yaml:" in p.error("build", p.recipe, status=2)
    p.write(more="  - path: /etc/token\n    secret: token\n    content: x\n")
    assert "give one of content, source and secret" in p.error("build", p.recipe, status=2)


def the_packages_of_a_tree_are_listed(p):
    _, out = p.build()
    tree = out.splitlines()[0].split("\t")[2]
    plain = p.run("sbom", tree).stdout
    assert plain == p.run("sbom", tree, environment={"TZ": "Pacific/Auckland"}).stdout
    document = json.loads(plain)
    assert document["spdxVersion"] == "SPDX-2.3" and document["dataLicense"] == "CC0-1.0", document
    assert document["SPDXID"] == "SPDXRef-DOCUMENT" and tree in document["documentNamespace"], document
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", document["creationInfo"]["created"]), document
    assert document["creationInfo"]["creators"][0].startswith("Tool: coppice-"), document
    packages = {package["name"]: package for package in document["packages"]}
    names = re.findall(r"^Package: (.*)", p.run("cat", tree, "var/lib/dpkg/status").stdout, re.M)
    assert sorted(packages) == sorted([*names, "debian"]) and len(names) > 3, packages.keys()
    ids = [package["SPDXID"] for package in document["packages"]]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", one) for one in ids), ids
    tools = packages["tools"]
    assert tools["versionInfo"] == "1:2.0-1~x+b1" and tools["licenseDeclared"] == "NOASSERTION", tools
    assert tools["supplier"] == "Person: nobody (nobody@example.org)", tools
    assert tools["externalRefs"][0]["referenceLocator"] == f"pkg:deb/debian/tools@1:2.0-1~x%2Bb1?arch={ARCHITECTURE}", tools
    for package in document["packages"]:
        assert package["downloadLocation"] == "NOASSERTION" and package["filesAnalyzed"] is False, package
    related = {(one["spdxElementId"], one["relationshipType"], one["relatedSpdxElement"])
               for one in document["relationships"]}
    assert related == {("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Tree"),
                       *(("SPDXRef-Tree", "CONTAINS", one) for one in ids if one != "SPDXRef-Tree")}, related
    locked = json.loads(p.run("sbom", tree, "--lock", p.top / "recipe.yaml.lock").stdout)
    assert locked["documentNamespace"] != document["documentNamespace"]
    lock = (p.top / "recipe.yaml.lock").read_text()
    for package in locked["packages"][1:]:
        assert f" {package['checksums'][0]['checksumValue']} " in lock, package
    empty = p.top / "empty"
    empty.mkdir()
    p.run("commit", empty, "empty")
    assert "lacks 'var/lib/dpkg/status'" in p.error("sbom", "empty")
    assert "not a lock" in p.error("sbom", tree, "--lock", p.recipe, status=2)


def an_architecture_that_does_not_run_here_is_told_before_the_first_stage(p):
    manifest = p.top / "foreign.json"
    foreign = "s390x" if ARCHITECTURE != "s390x" else "amd64"
    first = {"type": "org.osbuild.hostname", "options": {"hostname": "x"}}
    inputs = {"packages": {"type": "org.osbuild.files", "origin": "org.osbuild.source", "references": {}}}
    runs = pathlib.Path(f"/proc/sys/fs/binfmt_misc/qemu-{foreign}").exists()
    for architecture in (ARCHITECTURE, foreign):
        unpack = {"type": "org.coppice.deb.unpack", "inputs": inputs,
                  "options": {"architecture": architecture, "packages": []}}
        manifest.write_text(json.dumps({"version": "2", "pipelines": [
            {"name": "tree", "source-epoch": 1, "stages": [
                {"type": "org.osbuild.mkdir", "options": {"paths": [{"path": "/etc"}]}}, first, unpack]}]}))
        if architecture == ARCHITECTURE or runs:
            p.run("build", manifest)
            continue
        result = p.run("build", manifest, status=1)
        lines = result.stderr.strip().splitlines()
        assert len(lines) == 1 and "org.osbuild" not in lines[0], lines
        assert f"programs for {foreign} do not run here" in lines[0] and "qemu-user-static" in lines[0], lines


def two_builds_at_once_do_each_stage_once(p):
    p.run("lock", p.recipe)
    jobs = [subprocess.Popen([COPPICE, "--store", p.store, "build", p.recipe], text=True, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) for _ in range(2)]
    texts = [job.communicate(timeout=300) for job in jobs]
    assert all(job.returncode == 0 for job in jobs), texts
    assert texts[0][0] == texts[1][0]
    both = texts[0][1] + texts[1][1]
    assert len(re.findall(r"org.coppice.deb.unpack +[0-9a-f]{12}  ran", both)) == 2, both


def missing():
    if os.geteuid() != 0:
        return "building takes root"
    for program in ("bwrap", "dpkg-deb", "gpg", "apt-get", "unshare", "hostname"):
        if not shutil.which(program):
            return f"there is no {program}"
    return None


def main():
    why = missing()
    if why:
        print(f"skipped: {why}")
        return 77
    status = run_claims(globals(), Place, sys.argv[3:])
    shutil.rmtree(Place.shared[0].top)
    return status


if __name__ == "__main__":
    sys.exit(main())

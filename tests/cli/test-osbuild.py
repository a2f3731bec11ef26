#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test-osbuild.py COPPICE LIBDIR: the program under the name osbuild.

Each function is a claim.  The golden files hold what osbuild itself gave.  Builds need
root and bubblewrap, and skip without.
"""
import hashlib
import json
import os
import pathlib
import re
import stat
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from claims import Skipped, run_claims  # noqa: E402
from osbuild_place import COPPICE, SHELL, Place, add_module, need_sandbox, sh, two  # noqa: E402

GOLDEN = pathlib.Path(os.environ["COPPICE_GOLDEN"]) / "osbuild"
FOO = "sha256:" + hashlib.sha256(b"foo").hexdigest()


def every_golden_manifest_is_inspected_as_osbuild_does(p):
    names = sorted(path for path in (GOLDEN / "hand").glob("*.json") if ".inspect." not in path.name)
    assert len(names) == 26, len(names)
    for path in names:
        expected = path.with_suffix(".inspect.json").read_text()
        assert p.inspect(path).stdout == expected, path.name


def every_invalid_manifest_ends_as_with_osbuild(p):
    names = sorted((GOLDEN / "invalid").glob("*.json"))
    assert len(names) == 20, len(names)
    for path in names:
        lines = path.with_suffix(".expected").read_text().splitlines()
        status = int(lines[0].removeprefix("rc="))
        output = "\n".join(line for line in lines[1:] if line and not re.match(r"\w+Error: ", line))
        result = p.inspect(path, status=status)
        assert result.stdout.strip() == output, (path.name, result.stdout, output)
        if status == 1:
            assert result.stderr.startswith("coppice: ") and result.stderr.count("\n") == 1, result.stderr


def errors_are_shown_to_people_with_their_places(p):
    text = p.run("--libdir", p.libdir, GOLDEN / "invalid" / "bad-type.json", status=2).stdout
    assert text == (f"{GOLDEN}/invalid/bad-type.json has errors:\n\n"
                    ".pipelines[0].stages[0].options.hostname:\n  42 is not of type 'string'\n\n"), text
    text = p.run("-", manifest="{\"version\": \"2\", \"a b\": 1}", status=2).stdout
    assert text.startswith("<stdin> has errors:\n\n.:\n  Additional properties"), text


def a_manifest_that_is_no_json_is_one_line(p):
    for text in ("", "{", "[]", "[1]", "null", "\"2\"", "{\"pipelines\": nul}"):
        result = p.run("-", manifest=text, status=1)
        assert result.stdout == "" and result.stderr.count("\n") == 1, result


def the_version_is_one_that_clients_take(p):
    text = p.run("--version").stdout
    assert re.fullmatch(r"osbuild \d+\n", text) and int(text.split()[1]) >= 191, text


def options_may_stand_anywhere_and_be_cut_short(p):
    manifest = p.top / "m.json"
    manifest.write_text(json.dumps(two({"name": "a"})))
    for args in (["--inspect", manifest], [manifest, "--insp"], ["--store=x", manifest, "--inspect"],
                 ["--store", "x", "--inspect", "--", manifest], ["-ql", p.libdir, manifest, "--inspect"],
                 [f"-l{p.libdir}", "--cache-max-size=20 GiB", "--inspect", manifest],
                 ["--ex", "a", "--out", "y", "--inspect", manifest], [manifest, "--inspect", "--break"],
                 ["--cache-max-size", "unlimited", "--inspect", manifest, "--rundir", "/x"]):
        assert json.loads(p.run(*args).stdout)["pipelines"] == [{"name": "a"}], args


def a_wrong_command_line_is_refused(p):
    for args, word in ((["--c", "x", "-"], "ambiguous option: --c could match --cache"),
                       (["--inspect"], "the following arguments are required: MANIFEST"),
                       (["-", "x"], "unrecognized arguments: x"), (["--nope", "-"], "--nope"),
                       (["-", "--export"], "argument --export: expected one argument"),
                       (["-", "--json=1"], "argument --json: ignored explicit argument '1'"),
                       (["-", "--cache-max-size", "5 parsecs"], "invalid size"),
                       (["-", "--monitor-fd", "x"], "invalid int value: 'x'"),
                       (["--break", "-"], "required: MANIFEST")):
        result = p.run(*args, manifest="{}", status=2)
        assert word in result.stderr, (args, result.stderr)


def an_unknown_export_or_checkpoint_is_told_first(p):
    manifest = two({"name": "a"}, {"name": "b"})
    result = p.run("-", "--export", "x", "--inspect", manifest=manifest, status=1)
    assert result.stdout == "Export x not found in ['a', 'b']\nFailed\n", result.stdout
    result = p.run("-", "--checkpoint", "x*", "--inspect", manifest=manifest, status=1)
    assert result.stdout == "No checkpoints matched provided patterns!\nFailed\n", result.stdout
    result = p.run("-", "--export", "a", manifest=manifest, status=1)
    assert result.stdout == "Need --output-directory for --export\n", result.stdout
    assert not (p.top / ".osbuild").exists()


def without_an_export_nothing_is_built(p):
    result = p.build(two(sh("false")), status=0)
    assert "Pipeline tree" not in result.stdout and result.stdout.startswith("starting -manifest - finished"), \
        result.stdout


def the_text_of_a_build_is_osbuilds(p):
    need_sandbox()
    result = p.build(two(sh("echo hello")), "--export", "tree", "--checkpoint", "tree")
    ident = re.search(r"Pipeline tree: ([0-9a-f]{64})", result.stdout).group(1)
    text = re.sub(r"Duration: \d+\.\d\ds", "Duration: N", result.stdout)
    text = re.sub(r"\n  runner: [^\n]*", "", text)
    assert text == (f"starting -Pipeline tree: {ident}\nBuild\n  root: <host>\n"
                    "  source-epoch: Mon Jan 12 13:46:40 1970 [1000000]\n"
                    f"org.test.sh: {ident} {{\n  \"command\": \"echo hello\"\n}}\nhello\n"
                    "\n⏱  Duration: N\nmanifest - finished successfully\n\n\nPipelines\n"
                    f"  tree:     \t{ident}\n\nCheckpoints\n  {ident}: cached\n").replace("\n\n\nP", "\n\nP"), text


def a_result_has_osbuilds_fields(p):
    need_sandbox()
    manifest = two(sh("echo hello", "echo '{\"a\": 1}' > /run/osbuild/meta"))
    result = p.result(manifest, "--export", "tree", "--checkpoint", "*")
    stages = result["log"]["tree"]
    assert list(result) == ["type", "success", "metadata", "sources", "log"], result
    assert result["metadata"] == {"tree": {"org.test.sh": {"a": 1}}}, result
    assert [list(stage) for stage in stages] == [["id", "type", "output"]] * 2, stages
    assert stages[0]["output"] == "hello\n" and result["sources"] == {"success": True}
    again = p.result(manifest, "--export", "tree")
    assert again["log"] == {} and again["metadata"] == result["metadata"], again


def a_failure_has_osbuilds_fields(p):
    need_sandbox()
    result = p.result(two(sh("true", "echo no; exit 3")), "--export", "tree", status=1)
    stage = result["error"]["details"]["stage"]
    assert list(result) == ["type", "success", "error", "sources", "log"] and result["type"] == "error"
    assert result["error"]["type"] == "org.osbuild.error.stage"
    assert list(stage) == ["id", "type", "output", "error"] and stage["output"] == "no\n", stage
    assert [s.get("success", True) for s in result["log"]["tree"]] == [True, False]
    assert not p.output.exists() or not list(p.output.iterdir())
    text = p.build(two(sh("exit 3")), "--export", "tree", status=1).stdout
    assert text.endswith("manifest - failed\nFailed\n"), text


def a_source_that_fails_is_an_error_of_the_source(p):
    manifest = two({"name": "a"}, sources={"org.osbuild.inline": {"items": {
        FOO: {"encoding": "base64", "data": "YmFy"}}}})
    result = p.result(manifest, status=1)
    assert result["error"]["type"] == "org.osbuild.error.source", result
    assert result["error"]["details"]["source"]["type"] == "org.osbuild.inline"
    assert result["sources"]["success"] is False and result["log"] == {}


def sources_of_version_1_have_keys_of_their_own(p):
    (p.top / "foo").write_text("foo")
    manifest = {"sources": {"org.osbuild.files": {"urls": {FOO: f"file://{p.top}/foo"}}}}
    assert json.loads(p.run("--inspect", "-", manifest=manifest).stdout) == {"pipeline": {}, **manifest}
    assert p.result(manifest) == {"success": True}
    assert (p.store / "sources" / "org.osbuild.files" / FOO).read_text() == "foo"
    p.run("--inspect", "-", manifest={"sources": {"org.osbuild.files": {"items": {}}}}, status=1)
    p.run("--inspect", "-", manifest={"sources": {"org.osbuild.nope": {}}}, status=2)
    p.run("--inspect", "-", manifest={"sources": manifest["sources"] | {"org.osbuild.nope": {}}}, status=2)


def the_assembler_of_version_1_is_reported_apart(p):
    need_sandbox()
    add_module(p.libdir, "assemblers", "org.test.list",
               SHELL.replace("options[\"command\"]", "\"ls /run/osbuild/inputs/tree; touch made\""),
               {"schema": {}})
    manifest = {"pipeline": {"stages": [{"name": "org.test.sh", "options": {"command": "touch a b"}}],
                             "assembler": {"name": "org.test.list"}}}
    result = p.result(manifest, "--export", "assembler")
    assert list(result) == ["success", "stages", "assembler"], result
    assert list(result["assembler"]) == ["id", "type", "success", "error", "output", "metadata"]
    assert result["assembler"]["output"] == "a\nb\n" and (p.output / "assembler" / "made").exists()
    result = p.result({"pipeline": {"stages": [{"name": "org.test.sh", "options": {"command": "exit 1"}}],
                                    "assembler": {"name": "org.test.list"}}}, "--export", "assembler",
                      status=1)
    assert result["success"] is False and "assembler" not in result, result


def nothing_is_kept_that_was_not_asked_for(p):
    need_sandbox()
    p.build(two(sh("echo 1 > f; head -c 100000 /dev/urandom > big", "echo 2 > g")), "--export", "tree")
    assert p.snapshot() == [], p.snapshot()
    p.build(two(sh("exit 1")), "--export", "tree", status=1)
    assert p.snapshot() == [], p.snapshot()
    p.build(two(sh("echo 1 > f")), "--export", "tree", "--checkpoint", "tree", "--cache-max-size", "0")
    assert p.snapshot() == [], p.snapshot()
    p.build(two(sh("echo 1 > f")), "--export", "tree", "--checkpoint", "tree")
    assert p.snapshot() == [], "0 is remembered"
    p.build(two(sh("echo 1 > f")), "--export", "tree", "--checkpoint", "tree", "--cache-max-size", "1 GiB")
    assert p.snapshot() != []


def an_assemblers_output_is_not_kept_unless_it_was_asked_for(p):
    need_sandbox()
    manifest = {"pipeline": {"stages": [{"name": "org.test.sh", "options": {"command": "touch a"}}],
                             "assembler": {"name": "org.osbuild.noop"}}}
    kept = []
    for names in (["tree"], ["assembler"]):
        options = [word for name in names for word in ("--checkpoint", name)]
        p.build(manifest, "--export", "assembler", *options)
        kept.append(len([name for name in p.snapshot() if name.startswith("refs/") and "meta" not in name]))
    assert kept == [1, 2], (kept, p.snapshot())


def exports_are_merged_into_what_is_there(p):
    need_sandbox()
    there = p.output / "tree" / "d"
    there.mkdir(parents=True)
    (there / "kept").write_text("kept")
    (there / "f").write_text("old")
    p.build(two(sh("mkdir -m 750 d; echo new > d/f; chown 5:6 d/f; ln -s f d/l")), "--export", "tree")
    assert (there / "kept").read_text() == "kept" and (there / "f").read_text() == "new\n"
    assert (there / "f").stat().st_uid == 5 and stat.S_IMODE(there.stat().st_mode) == 0o750
    p.build(two(sh("mkdir -m 750 d; echo new > d/f; chown 5:6 d/f; ln -s f d/l")), "--export", "tree",
            env={**os.environ, "OSBUILD_EXPORT_FORCE_NO_PRESERVE_OWNER": "1"})
    assert (there / "f").stat().st_uid == 0 and not [n for n in os.listdir(p.output) if n != "tree"]


def the_stream_has_osbuilds_fields(p):
    need_sandbox()
    manifest = two(sh("echo hello; head -c 40000 /dev/zero | tr '\\0' x"))
    stream = p.top / "stream"
    with stream.open("w") as file:
        result = p.build(manifest, "--export", "tree", "--monitor=JSONSeqMonitor",
                         f"--monitor-fd={file.fileno()}", "--json", pass_fds=[file.fileno()])
    records = stream.read_text().split("\x1e")
    assert records[0] == "" and all(record.endswith("\n") for record in records[1:])
    records = [json.loads(record) for record in records[1:]]
    messages = [record.get("message", "") for record in records]
    assert messages[:3] == ["starting -", "Starting pipeline tree", "Starting module org.test.sh"], messages
    assert messages[-3:] == ["Finished module org.test.sh", "Finished pipeline tree",
                             "manifest - finished successfully\n"]
    assert [list(record)[:1] for record in records].count(["context"]) == 1, "the end of the output"
    done = records[-3]
    assert list(done) == ["message", "result", "context", "progress", "options", "timestamp", "duration"], done
    assert list(done["result"]) == ["name", "id", "success", "output"]
    assert done["result"]["output"].startswith("[...9006 bytes hidden...]\nxxx"), done["result"]["output"][:40]
    assert len(done["result"]["output"]) == 31000 + len("[...9006 bytes hidden...]\n")
    assert done["progress"] == {"name": "pipelines/sources", "total": 1, "done": 0, "progress": {
        "name": "pipeline: tree", "total": 1, "done": 1}}
    assert json.loads(result.stdout)["log"]["tree"][0]["output"] == done["result"]["output"]
    known = set()
    for record in records:
        context = record["context"]
        if "pipeline" in context:
            full = {"origin": context["origin"], "pipeline": {
                "name": context["pipeline"].get("name"), "id": context["pipeline"].get("id"), "stage": {
                    key: context["pipeline"]["stage"].get(key) for key in ("name", "id")}}}
            assert hashlib.sha256(json.dumps(full, sort_keys=True).encode()).hexdigest() == context["id"]
            known.add(context["id"])
        assert context["id"] in known, record


def the_stream_of_the_golden_run_comes_again(p):
    """The same records as osbuild's, as far as modules do not differ."""
    need_sandbox()
    golden = [json.loads(record) for record in
              (GOLDEN / "runs" / "example.jsonseq").read_text().split("\x1e")[1:]]
    manifest = json.loads((GOLDEN / "runs" / "example.json").read_text())
    stream = p.top / "stream"
    with stream.open("w") as file:
        result = p.run("--store", p.store, "--output-directory", p.output, "-", "--export", "image",
                       "--monitor", "JSONSeqMonitor", "--monitor-fd", file.fileno(), "--json",
                       manifest=json.dumps(manifest), status=None, pass_fds=[file.fileno()])
    if result.returncode != 0 and "loop" in result.stderr:
        raise Skipped("needs loop devices: " + result.stderr.strip())
    assert result.returncode == 0, result
    ours = [json.loads(record) for record in stream.read_text().split("\x1e")[1:]]

    def words(records):
        """What is said by osbuild itself, with what it is said about."""
        found, contexts = [], {}
        for record in records:
            context = record["context"]
            contexts.setdefault(context["id"], context)
            origin = contexts[context["id"]]["origin"]
            if origin in ("osbuild.monitor", "osbuild.main_cli"):
                found.append((re.sub(r"/RUN/a.json", "-", record["message"]), context["id"],
                              contexts[context["id"]], record["progress"], record.get("options"),
                              sorted(set(record.get("result", {})) - {"output"})))
        return found

    assert words(ours) == words(golden)
    expected = json.loads((GOLDEN / "runs" / "example.result.json").read_text())
    got = json.loads(result.stdout)
    for document in (expected, got):
        for stages in document["log"].values():
            for stage in stages:
                del stage["output"]
    assert got == expected, got


def explain(p, manifest):
    path = p.top / "explained.json"
    path.write_text(json.dumps(manifest))
    result = subprocess.run([COPPICE, "--json", "--store", p.store, "explain", "--libdir", p.libdir, path],
                            check=True, capture_output=True, text=True)
    text = subprocess.run([COPPICE, "--store", p.store, "explain", "--libdir", p.libdir, path],
                          check=True, capture_output=True, text=True).stdout
    return json.loads(result.stdout)["pipelines"][0]["stages"], text


def checkpoints_of_one_id_with_other_keys_stay(p):
    """A module that changes and changes back finds what it made before."""
    need_sandbox()
    module = p.libdir / "stages" / "org.test.sh"
    manifest = two(sh("echo 1 > f"))
    ran = []
    for text in (SHELL, SHELL + "# changed\n", SHELL, SHELL + "# changed\n"):
        module.write_text(text)
        ran.append("tree" in p.result(manifest, "--export", "tree", "--checkpoint", "tree")["log"])
    assert ran == [True, True, False, False], ran


def explain_names_what_differs(p):
    need_sandbox()
    module = p.libdir / "stages" / "org.test.sh"
    stages, text = explain(p, two(sh("echo 1 > f", "echo 2 > g")))
    assert not stages[0]["cached"] and "nearest" not in stages[0] and "nothing like it" in text, text
    p.build(two(sh("echo 1 > f", "echo 2 > g")), "--export", "tree", "--checkpoint", "*")
    stages, text = explain(p, two(sh("echo 1 > f", "echo 2 > g")))
    assert [stage["cached"] for stage in stages] == [True, True] and text.count("cached") == 2, text
    stages, text = explain(p, two(sh("echo 3 > f", "echo 2 > g")))
    assert stages[0]["differs"] == ["option command differs"], stages
    assert stages[1]["differs"] == ["the stage before it differs"], stages
    module.write_text(SHELL + "# changed\n")
    stages, text = explain(p, two(sh("echo 1 > f", "echo 2 > g")))
    assert len(stages[0]["differs"]) == 1 and stages[0]["differs"][0].startswith(
        "module stage org.test.sh: file "), stages
    assert "would run: module stage org.test.sh" in text, text


def a_store_of_osbuilds_is_left_alone(p):
    need_sandbox()
    p.store.mkdir()
    (p.store / "cache.info").write_text("{\"version\": 1}")
    (p.store / "objects").mkdir()
    (p.store / "objects" / "x").write_text("osbuild's")
    p.build(two(sh("echo 1 > f")), "--export", "tree", "--checkpoint", "tree")
    assert sorted(os.listdir(p.store)) == ["cache.info", "coppice", "objects"]
    assert os.listdir(p.store / "objects") == ["x"]
    refs = subprocess.run([COPPICE, "--store", p.store, "refs", "--all"], check=True, capture_output=True)
    assert refs.stdout.count(b"\n") == 1, refs


def a_verb_is_the_same_program(p):
    one = subprocess.run([COPPICE, "osbuild", "--inspect", GOLDEN / "hand" / "03-noop.json"],
                         check=True, capture_output=True, text=True)
    assert one.stdout == (GOLDEN / "hand" / "03-noop.inspect.json").read_text()


if __name__ == "__main__":
    sys.exit(run_claims(globals(), Place, sys.argv[3:]))

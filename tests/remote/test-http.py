#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test-http.py COPPICE: reading from a static web server."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from remotelib import run_claims, words  # noqa: E402
from servers import Nginx  # noqa: E402


def publish(p, tls=False):
    """A tree pushed to a directory that nginx serves."""
    p.grow()
    p.commit("a", "one")
    p.run("a", "remote", "add", "out", f"file://{p.place()}")
    p.run("a", "push", "out", "one")
    server = Nginx(p.top, p.place(), tls)
    p.closers.append(server.close)
    return server


def a_directory_that_is_served_can_be_pulled_from(p):
    server = publish(p)
    p.run("b", "remote", "add", "web", server.url + "/")
    got = p.json("b", "pull", "web", "one")
    p.same_tree("a", "b", "one")
    assert got["requests"] <= 8, got
    assert any(" 206 " in line for line in server.requests()), server.requests()
    (p.tree / "usr" / "bin" / "f1").write_bytes(words(9000, 44))
    p.commit("a", "two")
    p.run("a", "push", "out", "two")
    got = p.json("b", "pull", "web", "two")
    assert got["files"] == 1 and got["received"] < 10_000, got
    p.same_tree("a", "b", "two")


def what_is_served_cannot_be_pushed_to(p):
    server = publish(p)
    p.run("b", "remote", "add", "web", server.url)
    p.run("b", "pull", "web", "one")
    assert "can only be read" in p.error("b", "push", "web", "one")
    assert "can only be read" in p.error("b", "remote", "gc", "web")


def a_missing_name_or_remote_is_told_in_one_line(p):
    server = publish(p)
    assert "there is no remote at" in p.error("b", "remote", "add", "web", server.url + "/deeper")
    p.run("b", "remote", "add", "web", server.url)
    assert "has no name 'nil'" in p.error("b", "pull", "web", "nil")
    server.close()
    assert "onnect" in p.error("b", "pull", "web", "one")


def a_certificate_that_nobody_vouches_for_is_refused(p):
    server = publish(p, tls=True)
    assert "certificate" in p.error("b", "remote", "add", "web", server.url)
    trusted = {"CURL_CA_BUNDLE": str(server.directory / "cert.pem")}
    p.run("b", "remote", "add", "web", server.url, environment=trusted)
    p.run("b", "pull", "web", "one", environment=trusted)
    p.same_tree("a", "b", "one")


if __name__ == "__main__":
    sys.exit(run_claims(globals()))

# SPDX-License-Identifier: Apache-2.0
"""Sharing through S3, against the Ceph gateway."""
from proxy import Proxy
from remotelib import words
from servers import ceph


def bucket(place):
    place.environment = dict(ceph().environment)
    return f"s3://{ceph().make_bucket()}/team/cache"


def two_stores_share_a_tree_through_the_gateway(p):
    url = bucket(p)
    p.grow(small=200)
    digest = p.commit("a", "debian/one")
    added = p.json("a", "remote", "add", "team", url)
    assert added == {"write": True, "list": True, "range": True, "conditions": True}, added
    sent = p.json("a", "push", "team", "debian/one")
    assert sent["requests"] <= 12, sent
    p.run("b", "remote", "add", "team", url)
    assert digest in p.out("b", "pull", "team", "debian/one")
    p.same_tree("a", "b", "debian/one")
    (p.tree / "usr" / "bin" / "new").write_bytes(words(30_000, 3))
    p.commit("b", "debian/two")
    sent = p.json("b", "push", "team", "debian/two")
    assert sent["requests"] <= 8 and sent["sent"] < 20_000, sent
    p.run("a", "pull", "team", "debian/two")
    p.same_tree("b", "a", "debian/two")


def two_stores_that_push_the_same_name_both_succeed(p):
    url = bucket(p)
    for store, seed in (("a", 1), ("b", 2)):
        p.grow(seed=seed, small=30, large=0)
        p.commit(store, "name")
        p.run(store, "remote", "add", "team", url)
    pushes = [p.start(store, "push", "team", "name") for store in ("a", "b") for _ in range(3)]
    for push in pushes:
        _, text = push.communicate(timeout=100)
        assert push.returncode == 0, text
    p.run("c", "remote", "add", "team", url)
    p.run("c", "pull", "team", "name")
    assert p.out("c", "refs") in (p.out("a", "refs"), p.out("b", "refs"))


def a_collection_leaves_what_is_needed(p):
    url = bucket(p)
    p.run("a", "remote", "add", "team", url)
    for seed in (1, 2):
        p.grow(seed=seed, small=30, large=1)
        p.commit("a", "one")
        p.run("a", "push", "team", "one")
    report = p.json("a", "remote", "gc", "team")
    assert report["names"] == 1 and report["removed-files"] >= 1, report
    p.run("b", "remote", "add", "team", url)
    p.run("b", "pull", "team", "one")
    p.same_tree("a", "b", "one")


def wrong_credentials_and_missing_buckets_are_told_in_one_line(p):
    url = bucket(p)
    p.run("a", "remote", "add", "team", url)
    for environment, words_ in (
            # One that looks for tokens, too, does not say which of the two is wrong.
            ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "the server answers 403, AccessDenied"),
            ({"AWS_ACCESS_KEY_ID": "nobody"}, "403"),
            ({"AWS_ACCESS_KEY_ID": "", "HOME": str(p.top)}, "no credentials"),
            ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "onnect")):
        line = p.error("a", "pull", "team", "x", environment=environment)
        assert words_ in line, (environment, line)
    line = p.error("a", "remote", "add", "other", "s3://there-is-none/x")
    assert "NoSuchBucket" in line, line


def credentials_come_from_the_shared_file(p):
    url = bucket(p)
    keys = p.environment
    (p.top / "credentials").write_text(
        f"[default]\naws_access_key_id=x\naws_secret_access_key=y\n[mine]\n"
        f"aws_access_key_id={keys['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key={keys['AWS_SECRET_ACCESS_KEY']}\nregion=default\n")
    p.environment = {"AWS_SHARED_CREDENTIALS_FILE": str(p.top / "credentials")}
    p.run("a", "remote", "add", "team", url, "--profile", "mine", "--endpoint",
          keys["AWS_ENDPOINT_URL"])
    assert "403" in p.error("a", "remote", "add", "wrong", url, "--endpoint",
                            keys["AWS_ENDPOINT_URL"])


def buckets_can_be_part_of_the_host_name(p):
    url = bucket(p)
    proxy = Proxy(ceph().port)
    p.closers.append(proxy.close)
    place = {"AWS_ENDPOINT_URL": f"http://localhost:{proxy.server_port}"}
    p.grow(small=20, large=1)
    p.commit("a", "one")
    p.run("a", "remote", "add", "team", url, "--style", "virtual", environment=place)
    p.run("a", "push", "team", "one", environment=place)
    # The bucket is nowhere else: also a listing asks the root.
    assert proxy.seen and all(path.startswith(("/team/cache/v1/", "/?"))
                              for _, path, _ in proxy.seen), proxy.seen
    p.run("b", "remote", "add", "team", url)
    p.run("b", "pull", "team", "one")
    p.same_tree("a", "b", "one")
    assert "--style" in p.error("c", "remote", "add", "x", url, "--style", "odd", status=2)


def a_session_is_known_by_its_token(p):
    url = bucket(p)
    session = ceph().make_session()
    p.grow(small=20, large=1)
    p.commit("a", "one")
    p.run("a", "remote", "add", "team", url, environment=session)
    p.run("a", "push", "team", "one", environment=session)
    p.run("b", "remote", "add", "team", url)
    p.run("b", "pull", "team", "one")
    p.same_tree("a", "b", "one")
    without = {**session, "AWS_SESSION_TOKEN": ""}
    assert "403" in p.error("b", "pull", "team", "one", environment=without)
    wrong = {**session, "AWS_SESSION_TOKEN": session["AWS_SESSION_TOKEN"][::-1]}
    assert "the server answers 4" in p.error("b", "pull", "team", "one", environment=wrong)

    text = "".join(f"{key.lower()} = {value}\n" for key, value in session.items())
    (p.top / "credentials").write_text(f"[session]\n{text}")
    p.environment = {"AWS_SHARED_CREDENTIALS_FILE": str(p.top / "credentials"),
                     "AWS_PROFILE": "session", "AWS_ENDPOINT_URL": ceph().endpoint}
    p.run("b", "pull", "team", "one")

# SPDX-License-Identifier: Apache-2.0
"""Real servers for the tests of remotes: nginx for reading, the Ceph gateway for S3."""
import atexit
import functools
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request

from remotelib import Skipped

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"


def free_port(n=1):
    """The first of n ports that are free now."""
    for base in range(20000 + os.getpid() % 20000, 60000, 97):
        try:
            for port in range(base, base + n):
                with socket.socket() as s:
                    s.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base
    raise RuntimeError("no free ports")


def wait_for(url):
    for _ in range(100):
        try:
            urllib.request.urlopen(url, timeout=2)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"nothing answers at {url}")


class Nginx:
    """nginx that serves a directory, on a port of its own; ended by its process id."""

    def __init__(self, top, root, tls=False):
        self.program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        if not self.program:
            raise Skipped("there is no nginx")
        self.port = free_port()
        self.directory = pathlib.Path(top) / "nginx"
        self.directory.mkdir()
        listen = f"127.0.0.1:{self.port}"
        if tls:
            self.make_certificate()
            listen += f""" ssl;
                ssl_certificate {self.directory}/cert.pem;
                ssl_certificate_key {self.directory}/key.pem"""
        (self.directory / "conf").write_text(f"""
            daemon off; master_process off; pid {self.directory}/pid; user root;
            error_log {self.directory}/error.log;
            events {{}}
            http {{ access_log {self.directory}/access.log; sendfile on;
                client_body_temp_path {self.directory}/a; proxy_temp_path {self.directory}/b;
                fastcgi_temp_path {self.directory}/c; uwsgi_temp_path {self.directory}/d;
                scgi_temp_path {self.directory}/e;
                server {{ listen {listen}; root {root}; }} }}""")
        self.process = subprocess.Popen([self.program, "-c", self.directory / "conf", "-e",
                                         self.directory / "error.log"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        if not tls:
            wait_for(self.url + "/")
        else:
            time.sleep(0.5)

    def make_certificate(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                        "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", self.directory / "key.pem", "-out",
                        self.directory / "cert.pem"], check=True, capture_output=True)

    def requests(self):
        return (self.directory / "access.log").read_text().splitlines()

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=10)


class Ceph:
    """A Ceph gateway of our own; ceph() starts the one that a test program has."""

    def __init__(self):
        self.top = tempfile.mkdtemp(prefix="coppice-ceph-")
        self.directory = pathlib.Path(self.top) / "ceph"
        atexit.register(self.close)
        result = subprocess.run([TOOLS / "ceph-up", self.directory, str(free_port(64))], text=True,
                                capture_output=True, check=False, timeout=150)
        if result.returncode == 77:
            raise Skipped(result.stderr.strip())
        if result.returncode != 0:
            raise RuntimeError(f"ceph-up: {result.stdout} {result.stderr}")
        self.n_buckets = 0
        lines = (self.directory / "env").read_text().split()
        self.environment = dict(line.split("=", 1) for line in lines)
        self.endpoint = self.environment["AWS_ENDPOINT_URL"]
        self.port = int(self.endpoint.rsplit(":", 1)[1])

    def curl(self, *args):
        return subprocess.run(
            ["curl", "-s", "--aws-sigv4", "aws:amz:default:s3", "--user",
             self.environment["AWS_ACCESS_KEY_ID"] + ":" +
             self.environment["AWS_SECRET_ACCESS_KEY"], *map(str, args)],
            check=True, capture_output=True, timeout=60).stdout

    def ask(self, service, **fields):
        """The answer of another service than S3."""
        return self.curl("--aws-sigv4", f"aws:amz:default:{service}", *(
            word for name, value in fields.items()
            for word in ("--data-urlencode", f"{name}={value}")), self.endpoint + "/").decode()

    def make_session(self):
        """Credentials that are good for an hour, with a token."""
        self.ask("iam", Action="PutUserPolicy", UserName="coppice", PolicyName="tokens",
                 PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [{
                     "Effect": "Allow", "Action": "sts:GetSessionToken", "Resource": "*"}]}))
        answer = self.ask("sts", Action="GetSessionToken", Version="2011-06-15")
        parts = dict(re.findall(r"<(\w+)>([^<]+)</", answer))
        return {"AWS_ACCESS_KEY_ID": parts["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": parts["SecretAccessKey"],
                "AWS_SESSION_TOKEN": parts["SessionToken"]}

    def make_bucket(self):
        """The name of a new one."""
        self.n_buckets += 1
        name = f"bucket{self.n_buckets}"
        self.curl("-X", "PUT", "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD",
                  f"{self.endpoint}/{name}")
        return name

    def close(self):
        subprocess.run([TOOLS / "ceph-down", self.directory], check=False, timeout=60)
        shutil.rmtree(self.top, ignore_errors=True)


@functools.cache
def ceph():
    """The gateway of this program, started by the first claim that asks; Skipped without."""
    return Ceph()

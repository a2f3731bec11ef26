# SPDX-License-Identifier: Apache-2.0
"""A proxy before a real server that breaks some of what passes through it.

What it breaks follows from a seed and from what came before, so that a run can be told by its
seed.  "Host" is handed on as it came: signatures stay right.
"""
import http.client
import http.server
import random
import threading
import time

# What a client has to live with, and what only a fraud or a broken cache does.
PASSING = ("cut", "500", "503", "409", "drop", "lost", "slow")
FRAUDS = ("wrong", "short", "412")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, *args):
        pass

    def forward(self, body):
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=60)
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in ("connection", "expect"):
                upstream.putheader(name, value)
        upstream.endheaders(body)
        answer = upstream.getresponse()
        data = answer.read()
        upstream.close()
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in
                   ("connection", "transfer-encoding", "content-length")]
        return answer.status, headers, data, answer.getheader("Content-Length")

    def answer(self, status, headers, data, length=None):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def spoil(self, fault, status, data):
        if status >= 300 or not data:
            return data
        if fault == "wrong":
            at = self.server.random.randrange(len(data))
            return data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1:]
        return data[:len(data) // 2] if fault == "short" else data

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.choose(self.command, self.path)
        if fault in ("500", "503", "409", "412"):
            extra = [("Retry-After", self.server.retry_after)] if fault == "503" else []
            self.answer(int(fault), extra, b"<Error><Code>Injected</Code></Error>")
            return
        if fault != "drop":
            status, headers, data, length = self.forward(body)
        if fault in ("drop", "lost"):
            self.close_connection = True
            return
        if fault == "slow":
            time.sleep(0.4)
        if fault == "cut" and len(data) > 1:
            self.answer(status, headers, data[:len(data) // 2], str(len(data)))
            self.close_connection = True
            return
        data = self.spoil(fault, status, data)
        self.answer(status, headers, data, length if self.command == "HEAD" else None)

    do_GET = do_HEAD = do_PUT = do_DELETE = serve


class Proxy(http.server.ThreadingHTTPServer):
    """Breaks a part of the requests, by @rate, with one of @faults; @only(method, path) says
    which may be broken."""
    daemon_threads = True

    def __init__(self, upstream, seed=0, rate=0.0, faults=PASSING, only=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream, self.rate, self.faults, self.only = upstream, rate, faults, only
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.retry_after = "0"
        self.seen = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def choose(self, method, path):
        with self.lock:
            fault = self.random.choice(self.faults) if self.random.random() < self.rate else None
        if self.only and not self.only(method, path):
            fault = None
        with self.lock:
            self.seen.append((method, path, fault))
        return fault

    def faults_seen(self):
        return [fault for _, _, fault in self.seen if fault]

    def handle_error(self, request, client_address):
        pass

    def close(self):
        self.shutdown()
        self.server_close()

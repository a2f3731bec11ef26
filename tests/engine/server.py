#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A web server that can misbehave.  Prints its port; ends when its standard input does."""
import http.server
import sys
import threading
import time

tries = {}


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        tries[self.path] = tries.get(self.path, 0) + 1
        if self.path == "/foo":
            self.answer(200, b"foo")
        elif self.path == "/flaky":
            self.answer(503 if tries[self.path] < 3 else 200, b"foo")
        elif self.path == "/moved":
            self.answer(302, b"", [("Location", "/foo")])
        elif self.path == "/inwards":
            self.answer(302, b"", [("Location", "file:///etc/hostname")])
        elif self.path == "/half":
            self.send_response(200)
            self.send_header("Content-Length", "3")
            self.end_headers()
            self.wfile.write(b"fo" if tries[self.path] < 2 else b"foo")
            self.close_connection = True
        elif self.path == "/slow":
            self.send_response(200)
            self.end_headers()
            for _ in range(600):
                self.wfile.write(b"x" * 1000)
                time.sleep(0.1)
        elif self.path.startswith("/number/"):
            self.answer(200, self.path.rsplit("/", 1)[1].encode())
        else:
            self.answer(404, b"nothing here")

    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()

# SPDX-License-Identifier: Apache-2.0
"""Modules as somebody else would write them, in Python and without anybody's library, for the
tests of the engine: install(libdir, class, name, body) writes one that speaks the protocol."""
import json
import pathlib

DESCRIPTION = {"summary": "for tests", "description": ["for tests"]}

# The other end of a service: osbuild's messages over a SEQPACKET socket, large ones in a memfd.
# BODY defines call(name, args), which returns the reply, and may define stop().
SERVICE = r'''#!/usr/bin/python3
import array, json, os, socket, sys
ARGV = sys.argv[1:]
ID = ARGV[ARGV.index("--service-id") + 1]
SOCKET = socket.socket(fileno=int(ARGV[ARGV.index("--service-fd") + 1]))
LOG = @LOG@


def log(*words):
    with open(LOG, "a") as f:
        f.write(json.dumps(words, ensure_ascii=False) + "\n")


def send(s, message, fds=()):
    data = json.dumps(message).encode()
    if len(data) > 60000:
        memory = os.memfd_create("jsoncomm/payload")
        os.write(memory, data)
        os.lseek(memory, 0, 0)
        data, fds = b"<args-via-fd>", [memory, *fds]
    socket.send_fds(s, [data], list(fds))


def receive(s):
    data, fds, _, _ = socket.recv_fds(s, 1 << 24, 253)
    if data == b"<args-via-fd>":
        data = os.fdopen(fds[0], "rb").read()
    return json.loads(data) if data else None


def ask(path, message):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(path)
    send(s, message)
    return receive(s)


def stop():
    pass


@BODY@

while True:
    message = receive(SOCKET)
    if message is None:
        break
    try:
        answer = {"type": "reply", "data": {"reply": call(message["data"]["name"], message["data"]["args"])}}
    except Exception as problem:
        answer = {"type": "exception", "data": {"name": type(problem).__name__, "value": str(problem),
                                                "backtrace": ""}}
    send(SOCKET, answer)
stop()
'''


def install(libdir, kind, name, body, log, description=None, service=None):
    """Write LIBDIR/KIND/NAME, executable; services get the protocol around their body."""
    directory = pathlib.Path(libdir) / kind
    directory.mkdir(parents=True, exist_ok=True)
    if service if service is not None else kind in ("inputs", "devices", "mounts", "sources"):
        body = SERVICE.replace("@LOG@", repr(str(log))).replace("@BODY@", body)
    path = directory / name
    path.write_text(body)
    path.chmod(0o755)
    if description is None:
        anything = {"type": "object"}
        description = {"schema_2": {"options": anything, "inputs": anything} if kind == "stages"
                       else {"additionalProperties": True}}
    if description:
        (directory / f"{name}.meta.json").write_text(json.dumps({**DESCRIPTION, **description}))
    return path

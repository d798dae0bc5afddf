"""What is not HTTP has no spans: redis, greetings as of ssh and mail, random bytes, and what only looks like it.

(postgres: test_servers.py.)
"""
import random
import socket
import threading

import pytest
from observe import bare, free_port, need
from trace_run import PYTHON, Place, Watched, http_spans, watch


def no_http(recording):
    assert http_spans(recording, "server") == [] and http_spans(recording, "client") == []
    assert not recording.total("http.server.request.duration") and not recording.total("http.client.request.duration")


def test_redis():
    need("redis-server"), need("redis-benchmark")
    with Place() as place:
        port = free_port()
        with Watched(["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", place], place, port) as server:
            done, client = watch(["redis-benchmark", "-p", port, "-n", "2000", "-c", "5", "-P", "4", "-t", "set,get,lpush", "-q"], place, "client")
            assert done.returncode == 0
            assert bare(["redis-cli", "-p", port, "set", "GET / HTTP/1.1", "HTTP/1.1 200 OK"]).stdout == b"OK\n"
            server.stop()
        no_http(server.recording)
        no_http(client)
        assert server.recording.drops() == {} and client.drops() == {}


TALK = """
import socket, sys
at, first, mine, theirs = int(sys.argv[1]), sys.argv[2] == "first", bytes.fromhex(sys.argv[3]), int(sys.argv[4])
with socket.create_connection(("127.0.0.1", at)) as s:
    got = 0
    if not first: s.sendall(mine)
    while got < theirs: got += len(s.recv(4096)) or sys.exit("it left")
    if first: s.sendall(mine)
    s.shutdown(socket.SHUT_WR)
    while s.recv(100): pass
"""

# (what the server greets with, what the client says); each is said as one, and byte by byte
TALKS = {
    "ssh": (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", b"SSH-2.0-PuTTY_Release_0.78\r\n" + bytes(range(256))),
    "smtp": (b"220 mail.example ESMTP\r\n", b"EHLO me\r\nMAIL FROM:<a@b>\r\nQUIT\r\n"),
    "ftp": (b"220 ready\r\n", b"USER anonymous\r\nPASS x\r\nGET file\r\n"),
    "http-0.9": (b"<html>", b"GET /\r\n"),
    "looks-like": (b"HTTP/1.1 is a fine protocol\r\n\r\n", b"GET out of here, please\r\n\r\n"),
    "rtsp": (b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n", b"OPTIONS rtsp://a/b RTSP/1.0\r\nCSeq: 1\r\n\r\n"),
    "sip": (b"SIP/2.0 200 OK\r\n\r\n", b"OPTIONS sip:a@b SIP/2.0\r\n\r\n"),
    "binary": (b"\x00\x00\x00\x10" + b"GET / HTTP/1.1\r\n", b"\x00\x00\x00\x12POST / HTTP/1.1\r\n\r\n"),
}


def answer(listening, greeting, apart):
    connection, _ = listening.accept()
    with connection:
        for piece in ([bytes([b]) for b in greeting] if apart else [greeting]):
            connection.sendall(piece)
        while connection.recv(4096):
            pass


def talk(greeting, said, apart, place, name):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        other = threading.Thread(target=answer, args=(listening, greeting, apart))
        other.start()
        done, recording = watch([PYTHON, "-c", TALK, listening.getsockname()[1], "first" if greeting else "", said.hex(), len(greeting)], place, name)
        other.join()
    assert done.returncode == 0, done.stderr
    return recording


@pytest.mark.parametrize("apart", [False, True], ids=["whole", "bytes"])
@pytest.mark.parametrize("protocol", TALKS)
def test_greetings(protocol, apart, tmp_path):
    no_http(talk(*TALKS[protocol], apart, tmp_path, "talk"))


def test_random_bytes(tmp_path):
    rng = random.Random(4)
    for number in range(12):
        start = rng.choice([b"", b"G", b"GET", b"HTTP", b"PRI * HT", b"\x16\x03", b"POST "])
        ours, theirs = start + rng.randbytes(rng.randrange(1, 3000)), rng.randbytes(rng.randrange(1, 3000))
        no_http(talk(theirs, ours, False, tmp_path, f"random-{number}"))


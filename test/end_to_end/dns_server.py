"""A name server for tests: `dns_server.py ADDRESS PORT [LOG]`, UDP and TCP, prints a line when it listens.

LOG gets a line for each question: the transport, the type's number, the name, and "cut" or "whole".

Every name has the addresses 192.0.2.1 and 2001:db8::1, but: names under `no.` do not exist, names under
`fail.` get SERVFAIL, names under `big.` are cut over UDP so that the client asks again over TCP.
"""
import socket
import struct
import sys
import threading


log = None


def reply(query, tcp):
    at = 12
    while query[at]:
        at += 1 + query[at]
    question, name = query[12:at + 5], query[12:at].lower()
    kind = struct.unpack(">H", query[at + 1:at + 3])[0]
    rcode = 3 if name.startswith(b"\2no") else 2 if name.startswith(b"\4fail") else 0
    value = {1: bytes([192, 0, 2, 1]), 28: bytes.fromhex("20010db8" + "00" * 11 + "01"),
             12: b"\4name\7example\0"}.get(kind)
    answer = b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(value)) + value if value and not rcode else b""
    cut = not tcp and name.startswith(b"\3big")
    if log:
        text = b".".join(question_parts(name)).decode()
        print("tcp" if tcp else "udp", kind, text, "cut" if cut else "whole", file=log, flush=True)
    flags = 0x8180 | rcode | (0x0200 if cut else 0)
    head = query[:2] + struct.pack(">5H", flags, 1, 1 if answer and not cut else 0, 0, 0)
    return head + question + (b"" if cut else answer)


def question_parts(name):
    while name:
        yield name[1:1 + name[0]]
        name = name[1 + name[0]:]


def exactly(connection, count):
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def converse(connection):
    with connection:
        try:
            while True:
                message = reply(exactly(connection, struct.unpack(">H", exactly(connection, 2))[0]), True)
                connection.sendall(struct.pack(">H", len(message)) + message)
        except (EOFError, OSError):
            pass


def main(address, port, log_to=None):
    global log
    log = log_to and open(log_to, "a")
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((address, int(port)))
    tcp = socket.create_server(udp.getsockname())
    print("listening", udp.getsockname()[1], flush=True)

    def accept():
        while True:
            threading.Thread(target=converse, args=(tcp.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    while True:
        query, sender = udp.recvfrom(4096)
        udp.sendto(reply(query, False), sender)


if __name__ == "__main__":
    main(*sys.argv[1:4])

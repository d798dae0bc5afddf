"""Sinks over TLS: what is delivered, and that nothing is where the server is not who it should be.

Certificates are made by openssl, the server is Python's. The library's own words come from its diagnostics.
"""
import socket
import ssl
import subprocess
import threading

import pytest
from hostile_server import HostileServer
from observe import Recording, need, scope_environment

MESSAGE = "a line that travels"


def certificate(directory, name, names="DNS:localhost,IP:127.0.0.1", days="2", sign=()):
    need("openssl")
    key, cert = directory / f"{name}.key", directory / f"{name}.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", days,
                    "-subj", f"/CN={name}", "-addext", f"subjectAltName={names}", *sign], check=True, capture_output=True)
    return str(cert), str(key)


@pytest.fixture
def https():
    """https(cert, key, ...) starts a server."""
    servers = []

    def start(cert, key, **how):
        servers.append(HostileServer(tls=(cert, key), **how))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def send(tmp_path, url, ca, **sets):
    """One short program whose line goes to `url`; returns the library's diagnostics."""
    said = tmp_path / "diagnostics"
    env = scope_environment("", {"SCOPE_OTLP_TO": url, "SCOPE_OTLP_CA_FILE": ca, "SCOPE_DIAGNOSTICS_TO": str(said),
                                 "SCOPE_EXIT_BOUND": "3s"}, sets)
    del env["SCOPE_NDJSON_TO"]
    done = subprocess.run(["echo", MESSAGE], env=env, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, MESSAGE.encode() + b"\n", b"")
    return said.read_text() if said.exists() else ""


def test_what_is_verified_is_delivered(tmp_path, https):
    cert, key = certificate(tmp_path, "localhost")
    server = https(cert, key)
    assert send(tmp_path, f"https://localhost:{server.port}", cert) == ""
    assert {r.path for r in server.requests} == {"/v1/metrics", "/v1/logs"}
    assert any(MESSAGE.encode() in r.body for r in server.requests)
    assert {r.tls for r in server.requests} == {"TLSv1.3"}


def test_tls_1_2_is_enough(tmp_path, https):
    cert, key = certificate(tmp_path, "localhost")
    server = https(cert, key, tls_most=ssl.TLSVersion.TLSv1_2)
    assert send(tmp_path, f"https://127.0.0.1:{server.port}/", cert) == ""
    assert {r.tls for r in server.requests} == {"TLSv1.2"}


@pytest.mark.parametrize("what", ["unknown CA", "wrong name"])
def test_who_is_not_verified_gets_nothing(tmp_path, https, what):
    cert, key = certificate(tmp_path, "localhost", "DNS:elsewhere" if what == "wrong name" else "DNS:localhost")
    other, _ = certificate(tmp_path, "other")
    server = https(cert, key)
    said = send(tmp_path, f"https://localhost:{server.port}", cert if what == "wrong name" else other)
    assert server.requests == []
    assert ("certificate problem" if what == "unknown CA" else "subject name") in said
    assert "still wait for a sink" in said


def test_a_certificate_that_has_expired(tmp_path, https):
    authority, authority_key = certificate(tmp_path, "authority")
    key, request, cert = tmp_path / "old.key", tmp_path / "old.csr", tmp_path / "old.pem"
    (tmp_path / "names").write_text("subjectAltName=DNS:localhost\n")
    subprocess.run(["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-subj", "/CN=localhost"],
                   check=True, capture_output=True)
    subprocess.run(["openssl", "x509", "-req", "-in", request, "-CA", authority, "-CAkey", authority_key, "-CAcreateserial",
                    "-days", "-1", "-extfile", tmp_path / "names", "-out", cert], check=True, capture_output=True)
    server = https(str(cert), str(key))
    assert "certificate has expired" in send(tmp_path, f"https://localhost:{server.port}", authority)
    assert server.requests == []


def test_a_client_certificate_is_shown(tmp_path, https):
    cert, key = certificate(tmp_path, "localhost")
    ours, our_key = certificate(tmp_path, "client")
    server = https(cert, key, client_ca=ours)
    url = f"https://localhost:{server.port}"
    send(tmp_path, url, cert)
    assert server.requests == []
    send(tmp_path, url, cert, **{"otlp.client_cert": ours, "otlp.client_key": our_key})
    assert any(MESSAGE.encode() in r.body for r in server.requests)


def test_lines_over_tls(tmp_path):
    """tls:// for NDJSON: whole lines, all of them, more than any buffer holds."""
    cert, key = certificate(tmp_path, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    listener = socket.create_server(("127.0.0.1", 0))
    got = bytearray()

    def take():
        raw, _ = listener.accept()
        with context.wrap_socket(raw, server_side=True, suppress_ragged_eofs=True) as connection:
            while data := connection.recv(65536):
                got.extend(data)

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    count = 3000
    env = scope_environment(f"tls://localhost:{listener.getsockname()[1]}", sets={"tls.ca_file": cert, "logs.rate": "0"})
    code = f"import time\nfor i in range({count}): print(i, 'x' * 200, flush=True); time.sleep(0.0003)"
    done = subprocess.run(["/usr/bin/python3", "-c", code], env=env, capture_output=True, timeout=60)
    assert done.returncode == 0
    thread.join(20)
    listener.close()
    (tmp_path / "received").write_bytes(got)
    recording = Recording(tmp_path / "received")
    assert [int(l["body"].split()[0]) for l in recording.logs()] == list(range(count))
    assert not recording.drops()

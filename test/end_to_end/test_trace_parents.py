"""Parents under concurrency: a call that a handler makes is the child of the request that caused it, or of none.

Every request has an id of its own, which the handler puts into the address that it asks; so whatever parent a client span
has can be told to be right or wrong. None may be wrong. How many have one is printed, and is at least what the model
promises for that server.
"""
import http.client
import http.server
import re
import threading
import time

import pytest
from trace_callers import CALLERS
from trace_run import Place, http_spans, target

AT_ONCE, ROUNDS = 10, 30


class Behind(http.server.ThreadingHTTPServer):
    """Answers late, each by a time of its own, so that the answers come in another order than the requests."""

    daemon_threads, request_queue_size = True, 200

    def __init__(self):
        self.asked = []
        super().__init__(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        number = int(self.path.split("/")[2])
        self.server.asked.append(number)
        time.sleep(number * 7 % 11 * 0.002)
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

    def log_message(self, *about):
        pass


def drive(port):
    """AT_ONCE connections, each with ROUNDS requests one after the other; ids never come twice."""
    failed = []

    def one(number):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            for turn in range(ROUNDS):
                connection.request("GET", f"/in/{number * 1000 + turn}")
                answer = connection.getresponse()
                if answer.status != 200 or not answer.read():
                    failed.append(answer.status)
        except (OSError, http.client.HTTPException) as error:
            failed.append(error)
        connection.close()

    threads = [threading.Thread(target=one, args=(n,)) for n in range(1, AT_ONCE + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed[:5]


def number_of(span):
    return int(re.search(r"/(?:in|out)/(\d+)", target(span)).group(1))


@pytest.mark.parametrize("caller", CALLERS)
def test_no_parent_is_wrong(caller, capsys):
    start, promised = CALLERS[caller]
    with Place() as place, Behind() as behind:
        with start(place, behind.url) as site:
            drive(site.port)
            for server in site.servers:
                server.stop()
        behind.shutdown()
        recordings = [server.recording for server in site.servers]
        served = [s for r in recordings for s in http_spans(r, "server")]
        asked = [s for r in recordings for s in http_spans(r, "client")]
        assert not any(r.drops() for r in recordings), [r.drops() for r in recordings]
        assert len(served) == AT_ONCE * ROUNDS
        assert sorted(number_of(s) for s in asked) == sorted(behind.asked)
        by_id = {(s["trace_id"], s["span_id"]): s for s in served}
        with_parent = [s for s in asked if "parent_span_id" in s]
        wrong = [(target(s), target(by_id[s["trace_id"], s["parent_span_id"]])) for s in with_parent
                 if number_of(by_id[s["trace_id"], s["parent_span_id"]]) != number_of(s)]
        share = len(with_parent) / len(asked)
        with capsys.disabled():
            print(f"\n{caller}: {len(served)} requests, {len(asked)} calls, {share:.1%} with a parent, {len(wrong)} wrong")
        assert not wrong, wrong[:5]
        assert share >= promised

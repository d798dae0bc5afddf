"""The clients that ask, each with what it counts itself: run under the library against a port of 127.0.0.1.

A client gives the requests that it made as (method, target, status, size of the body that it got), None where it
does not say; or only how many were answered. Every target ends with ?by=NAME, so that a server's records can be told apart.
"""
import collections
import re

from observe import need
from trace_run import PYTHON, watch

# counted: how many answers it says that it got. requests: them one by one, where it says. more: how many may be under way beyond.
Said = collections.namedtuple("Said", "recording counted requests more")


def url(port, path, name):
    return f"http://127.0.0.1:{port}{path}?by={name}"


def clean(done, statuses=(0,)):
    assert done.returncode in statuses, (done.returncode, done.stdout[-1000:], done.stderr[-1000:])
    return done


def parsed(text):
    """Lines `METHOD TARGET STATUS SIZE` that our own programs print."""
    out = []
    for line in text.decode().splitlines():
        method, target, status, size = line.split()
        out.append((method, target, int(status), int(size)))
    return out


def curl(port, place):
    """Several addresses on one connection, then every kind of request."""
    name, said, command = "curl", [], [need("curl"), "-s"]
    upload = place / "upload"
    upload.write_bytes(b"u" * 5000)
    asks = [(["-o", "/dev/null"], "/page"), (["-o", "/dev/null"], "/small"), (["-I", "-o", "/dev/null"], "/page"), (["-o", "/dev/null"], "/missing"),
            (["-o", "/dev/null", "--data", "a=1"], "/small"), (["-o", "/dev/null", "-T", str(upload), "-H", "Transfer-Encoding: chunked"], "/small"),
            (["-o", "/dev/null", "--data-binary", f"@{upload}", "-H", "Expect: 100-continue"], "/small"),
            (["-o", "/dev/null", "-r", "100-299"], "/page"), (["-o", "/dev/null", "-r", "99999-"], "/page"), (["-o", "/dev/null", "-X", "PUT", "-d", "x"], "/missing"),
            (["-o", "/dev/null"], "/slow"), (["-o", "/dev/null", "-0"], "/page")]
    for number, (how, path) in enumerate(asks):
        command += (["--next", "-s"] if number else []) + how + ["-w", "%{method} %{url_effective} %{http_code} %{size_download}\\n", url(port, path, name)]
    done, recording = watch(command, place, name)
    for line in clean(done).stdout.decode().splitlines():
        method, address, status, size = line.split()
        said.append((method, address.partition(str(port))[2], int(status), int(size)))
    assert len(said) == len(asks)
    return Said(recording, len(said), said, 0)


def curl_reused(port, place):
    """The same connection for forty requests."""
    form = "%{method} /small?by=curl-reused %{http_code} %{size_download}\\n"
    asks = ["-o", "/dev/null", url(port, "/small", "curl-reused")] * 40
    done, recording = watch([need("curl"), "-s", "-w", form, *asks], place, "curl-reused")
    said = parsed(clean(done).stdout)
    return Said(recording, len(said), said, 0)


def wget(port, place):
    """What wget says of itself: a line of status for each."""
    paths = ["/page", "/small", "/missing", "/page"]
    done, recording = watch([need("wget"), "-S", "-O", "/dev/null", *(url(port, p, "wget") for p in paths)], place, "wget")
    statuses = [int(s) for s in re.findall(rb"^  HTTP/1\.[01] (\d+)", clean(done, (0, 8)).stderr, re.M)]
    assert len(statuses) == len(paths)
    return Said(recording, len(paths), [("GET", f"{p}?by=wget", s, None) for p, s in zip(paths, statuses)], 0)


# As fast as it can, wrk outruns any reporter on a small machine: what is not kept is counted, but cannot be compared.
SLOWLY = "delay = function() return 3 end\n"


def wrk(port, place):
    (place / "slowly.lua").write_text(SLOWLY)
    done, recording = watch([need("wrk"), "-t", "2", "-c", "8", "-d", "1", "-s", place / "slowly.lua", url(port, "/small", "wrk")], place, "wrk")
    found = re.search(rb"(\d+) requests in", clean(done).stdout)
    return Said(recording, int(found.group(1)), None, 8)


PIPELINE = """
init = function(args) local r = {} for i = 1, 4 do r[i] = wrk.format(nil, "/small?by=wrk-pipelined") end all = table.concat(r) end
request = function() return all end
"""


def wrk_pipelined(port, place):
    (place / "pipeline.lua").write_text(PIPELINE + SLOWLY)
    done, recording = watch([need("wrk"), "-t", "1", "-c", "4", "-d", "1", "-s", place / "pipeline.lua", url(port, "/small", "wrk-pipelined")], place, "wrk-pipelined")
    found = re.search(rb"(\d+) requests in", clean(done).stdout)
    return Said(recording, int(found.group(1)), None, 16)


def ab(port, place):
    done, recording = watch([need("ab"), "-q", "-n", "500", "-c", "8", "-k", url(port, "/page", "ab")], place, "ab")
    complete = int(re.search(rb"Complete requests: +(\d+)", clean(done).stdout).group(1))
    wrong = re.search(rb"Non-2xx responses: +(\d+)", done.stdout)
    assert complete == 500 and not wrong
    return Said(recording, complete, [("GET", "/page?by=ab", 200, 30000)] * complete, 8)


def ab_closing(port, place):
    """A new connection for each; posts."""
    (place / "body").write_bytes(b"b" * 300)
    done, recording = watch([need("ab"), "-q", "-n", "100", "-c", "8", "-p", place / "body", url(port, "/missing", "ab-closing")], place, "ab-closing")
    complete = int(re.search(rb"Complete requests: +(\d+)", clean(done).stdout).group(1))
    return Said(recording, complete, None, 8)


NODE_FETCH = """
(async () => { const at = process.argv[2], paths = ['/page', '/small', '/missing', '/small', '/slow'];
  const one = async (method, path, body) => { const target = path + '?by=node-fetch'; const a = await fetch(at + target, {method, body});
    console.log(method, target, a.status, (await a.arrayBuffer()).byteLength); };
  for (const p of paths) await one('GET', p);
  await one('HEAD', '/page'); await one('POST', '/small', 'x'.repeat(2000));
  await Promise.all(Array(20).fill().map(() => one('GET', '/page')));
})();
"""

NODE_HTTP = """
const http = require('http'), agent = new http.Agent({keepAlive: true, maxSockets: 4}); const at = process.argv[2];
const one = (method, path, body) => new Promise(ok => { const target = path + '?by=node-http';
  const q = http.request(at + target, {method, agent}, a => { let n = 0; a.on('data', d => n += d.length); a.on('end', () => { console.log(method, target, a.statusCode, n); ok(); }); });
  if (body) { q.write(body); q.write(body); } q.end(); });
(async () => { for (const p of ['/page', '/small', '/missing', '/slow']) await one('GET', p);
  await one('HEAD', '/page'); await one('POST', '/small', 'y'.repeat(3000));
  await Promise.all(Array(30).fill().map(() => one('GET', '/page'))); agent.destroy(); })();
"""

URLLIB = """
import sys, urllib.error, urllib.request
def one(method, path, data=None):
    target = path + "?by=urllib"
    try: answer = urllib.request.urlopen(urllib.request.Request(sys.argv[1] + target, data=data, method=method))
    except urllib.error.HTTPError as error: answer = error
    print(method, target, answer.status, len(answer.read()))
for path in "/page", "/small", "/missing", "/slow": one("GET", path)
one("HEAD", "/page"); one("POST", "/small", b"z" * 4000); one("PUT", "/missing", b"p")
"""

REQUESTS = """
import concurrent.futures, requests, sys
at, session = sys.argv[1], requests.Session()
def one(method, path, session=session, **how):
    target = path + "?by=requests"
    answer = session.request(method, at + target, **how)
    return f"{method} {target} {answer.status_code} {len(answer.content)}"
for path in "/page", "/small", "/missing", "/slow": print(one("GET", path))
print(one("HEAD", "/page")); print(one("POST", "/small", data=b"z" * 4000))
def stream():
    for _ in range(4): yield b"c" * 1000
print(one("POST", "/small", data=stream()))
with concurrent.futures.ThreadPoolExecutor(6) as pool:
    for line in pool.map(lambda n: one("GET", "/page", requests.Session()), range(24)): print(line)
"""

JAVA_HTTP_CLIENT = """
import java.net.*; import java.net.http.*; import java.util.*; import java.util.concurrent.*;
public class Asks { public static void main(String[] a) throws Exception {
  HttpClient c = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build(); List<CompletableFuture<?>> all = new ArrayList<>();
  for (String p : new String[]{"/page", "/small", "/missing", "/slow", "/small"}) show("GET", p, c.send(ask("GET", a[0], p), HttpResponse.BodyHandlers.ofByteArray()));
  show("HEAD", "/page", c.send(ask("HEAD", a[0], "/page"), HttpResponse.BodyHandlers.ofByteArray()));
  show("POST", "/small", c.send(ask("POST", a[0], "/small"), HttpResponse.BodyHandlers.ofByteArray()));
  for (int r = 0; r < 10; r++) { all.clear();
    for (int i = 0; i < 8; i++) all.add(c.sendAsync(ask("GET", a[0], "/page"), HttpResponse.BodyHandlers.ofByteArray()).thenAccept(x -> show("GET", "/page", x)));
    for (CompletableFuture<?> f : all) f.get(); }
  System.exit(0); }
  static HttpRequest ask(String m, String at, String p) { return HttpRequest.newBuilder(URI.create(at + p + "?by=java-client"))
    .method(m, m.equals("POST") ? HttpRequest.BodyPublishers.ofString("q".repeat(3000)) : HttpRequest.BodyPublishers.noBody()).build(); }
  static synchronized void show(String m, String p, HttpResponse<byte[]> x) { System.out.println(m + " " + p + "?by=java-client " + x.statusCode() + " " + x.body().length); } }
"""

JAVA_URL = """
import java.io.*; import java.net.*;
public class Asks { public static void main(String[] a) throws Exception {
  for (int i = 0; i < 10; i++) for (String p : new String[]{"/page", "/small", "/missing"}) one(a[0], "GET", p);
  one(a[0], "GET", "/slow"); one(a[0], "HEAD", "/page"); one(a[0], "POST", "/small"); }
  static void one(String at, String m, String p) throws Exception {
    HttpURLConnection c = (HttpURLConnection) new URL(at + p + "?by=java-url").openConnection(); c.setRequestMethod(m);
    if (m.equals("POST")) { c.setDoOutput(true); c.getOutputStream().write(new byte[2500]); }
    int s = c.getResponseCode(); InputStream in = s >= 400 ? c.getErrorStream() : c.getInputStream(); int n = in == null ? 0 : in.readAllBytes().length;
    System.out.println(m + " " + p + "?by=java-url " + s + " " + n); } }
"""


def program(name, text, suffix, command):
    def run(port, place):
        directory = place / name
        directory.mkdir()
        source = directory / f"Asks{suffix}"
        source.write_text(text)
        done, recording = watch([*command(), source, f"http://127.0.0.1:{port}"], place, name)
        said = parsed(clean(done).stdout)
        return Said(recording, len(said), said, 0)
    return run


CLIENTS = {
    "curl": curl,
    "curl-reused": curl_reused,
    "wget": wget,
    "wrk": wrk,
    "wrk-pipelined": wrk_pipelined,
    "ab": ab,
    "ab-closing": ab_closing,
    "node-fetch": program("node-fetch", NODE_FETCH, ".js", lambda: [need("node")]),
    "node-http": program("node-http", NODE_HTTP, ".js", lambda: [need("node")]),
    "urllib": program("urllib", URLLIB, ".py", lambda: [PYTHON]),
    "requests": program("requests", REQUESTS, ".py", lambda: [PYTHON]),
    "java-client": program("java-client", JAVA_HTTP_CLIENT, ".java", lambda: [need("java"), "-Xmx128m"]),
    "java-url": program("java-url", JAVA_URL, ".java", lambda: [need("java"), "-Xmx128m"]),
}

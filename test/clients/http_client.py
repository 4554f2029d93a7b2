# What users of http.client and urllib do: python3 http_client.py HOST:PORT FOLDER
import http.client
import os
import socket
import sys
import urllib.error
import urllib.request

address, folder = sys.argv[1:]
url = "http://%s/" % address
big = open(os.path.join(folder, "big"), "rb").read()

# http.client: one connection, bodies read in pieces, methods with and without bodies.
c = http.client.HTTPConnection(address, timeout=30)
c.connect()
socket_before = c.sock
for method, path, status in (("GET", "/a.txt", 200), ("HEAD", "/big", 200), ("GET", "/none", 404),
                             ("HEAD", "/none", 404), ("OPTIONS", "*", 204), ("OPTIONS", "/a.txt", 204),
                             ("TRACE", "/a.txt", 405), ("PROPFIND", "/", 405),
                             ("GET", "/folder", 301), ("GET", "/a.txt", 200)):
    c.request(method, path)
    r = c.getresponse()
    body = r.read()
    assert r.status == status, (method, path, r.status)
    assert method != "HEAD" or body == b"", (path, body)
    assert c.sock is socket_before, "%s %s: the connection was closed" % (method, path)
c.request("POST", "/a.txt", body=iter([b"one", b"two"]), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
r = c.getresponse()
assert r.status == 405 and r.getheader("Allow") == "GET, HEAD, OPTIONS", r.status
assert r.read() and c.sock is socket_before
c.request("GET", "/big")
r = c.getresponse()
assert r.length == len(big) and r.read(1000) == big[:1000]
into = bytearray(len(big) - 1000)
view, n = memoryview(into), 0
while n < len(into):
    n += r.readinto(view[n:])
assert bytes(into) == big[1000:] and r.read() == b"" and c.sock is socket_before
c.request("GET", "/a.txt", headers={"Connection": "close"})
r = c.getresponse()
assert r.read() == b"hello, world\n" and c.sock is None

# HTTP/1.0, as http.client speaks it when told to: the end of the body is the end of the connection.
class Old(http.client.HTTPConnection):
    _http_vsn, _http_vsn_str = 10, "HTTP/1.0"
c = Old(address, timeout=30)
c.request("GET", "/big")
r = c.getresponse()
assert r.read() == big and r.will_close
c.request("GET", "/?format=text")  # without a length a listing ends with its connection
r = c.getresponse()
assert b"a.txt" in r.read() and r.will_close

# urllib.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
with opener.open(url + "a.txt", timeout=30) as r:
    assert r.status == 200 and r.headers.get_content_charset() == "utf-8" and r.read() == b"hello, world\n"
with opener.open(url + "folder", timeout=30) as r:
    assert r.geturl() == url + "folder/" and r.read() == b"index"
with opener.open(urllib.request.Request(url + "big", headers={"Range": "bytes=5-9"}), timeout=30) as r:
    assert r.status == 206 and r.read() == big[5:10]
for path, status in (("none", 404), ("%00", 400), ("..%2f..%2fetc/passwd", 400)):
    try:
        opener.open(url + path, timeout=30)
        raise AssertionError(path)
    except urllib.error.HTTPError as e:
        assert e.code == status and e.read().startswith(b"%d: " % status), (path, e.code)
urllib.request.install_opener(opener)
name, head = urllib.request.urlretrieve(url + "big")
assert open(name, "rb").read() == big and int(head["Content-Length"]) == len(big)
urllib.request.urlcleanup()

# A raw socket whose single recv holds head and body, in 1.0 and 1.1, by CRLF as books have it.
host, port = address.rsplit(":", 1)
for request in (b"GET /a.txt HTTP/1.0\r\n\r\n", b"GET /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\n",
                b"GET /a.txt HTTP/1.1\r\nHost: localhost\r\nUser-Agent: x\r\nConnection: close\r\n\r\n"):
    with socket.create_connection((host, int(port)), timeout=30) as s:
        s.sendall(request)
        got = s.recv(4096)
        assert got.startswith(b"HTTP/1.1 200 OK\r\n") and got.endswith(b"\r\n\r\nhello, world\n"), got
# Until the end, as makefile() reads it.
with socket.create_connection((host, int(port)), timeout=30) as s, s.makefile("rb") as f:
    s.sendall(b"GET /a.txt HTTP/1.0\r\n\r\n")
    assert f.readline() == b"HTTP/1.1 200 OK\r\n" and f.read().endswith(b"hello, world\n")
print("fine")

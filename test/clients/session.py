# What users of python3-requests do: python3 session.py URL FOLDER
import hashlib
import io
import os
import shutil
import sys
import threading

try:
    import requests
except ImportError:
    print("requests is not installed")
    sys.exit(0)

url = sys.argv[1]
big = open(os.path.join(sys.argv[2], "big"), "rb").read()

# A session keeps its connection: through errors, redirects, 304 and HEAD.
s = requests.Session()
s.trust_env = False
r = s.get(url + "a.txt", timeout=30)
assert r.ok and r.text == "hello, world\n" and r.encoding == "utf-8", (r.status_code, r.text, r.encoding)
assert r.headers["content-type"] == "text/plain; charset=utf-8", r.headers
tag, modified = r.headers.get("ETag"), r.headers["Last-Modified"]
r = s.get(url + "a.txt", headers={"If-None-Match": tag}, timeout=30)
assert r.status_code == 304 and r.content == b"", (r.status_code, r.content)
r = s.get(url + "a.txt", headers={"If-Modified-Since": modified}, timeout=30)
assert r.status_code == 304, r.status_code
r = s.head(url + "big", timeout=30)
assert int(r.headers["Content-Length"]) == len(big) and r.content == b""
r = s.get(url + "folder", timeout=30)
assert r.url == url + "folder/" and r.text == "index", r.url
assert [h.status_code for h in r.history] == [301], r.history
r = s.get(url + "none", timeout=30)
try:
    r.raise_for_status()
    raise AssertionError("404 is no error")
except requests.HTTPError:
    assert r.status_code == 404
r = s.options(url, timeout=30)
assert r.status_code == 204 and "GET" in r.headers["Allow"]
for method in ("POST", "PUT", "DELETE", "PATCH"):
    r = s.request(method, url + "a.txt", data=b"x" * 1000, timeout=30)
    assert r.status_code == 405, r.status_code
r = s.post(url + "a.txt", files={"file": ("name", io.BytesIO(b"y" * 20000))}, timeout=30)
assert r.status_code == 405, r.status_code
r = s.post(url + "a.txt", data=(b"z" * 100 for _ in range(100)), timeout=30)  # in chunks
assert r.status_code == 405, r.status_code
r = s.get(url + "ü ñ/%41?.txt".replace("%", "%25").replace("?", "%3F"), timeout=30)
assert r.content == b"odd", (r.status_code, r.url)
r = s.get(url + "page.html", timeout=30)  # Accept-Encoding: gzip, deflate: a stored sibling
assert r.headers["Content-Encoding"] == "gzip" and r.text == "<p>compressed</p>" * 100, r.headers
r = s.get(url + "page.html", headers={"Accept-Encoding": None}, timeout=30)
assert "Content-Encoding" not in r.headers and r.text == "<p>compressed</p>" * 100, r.headers

# Streams and ranges.
digest = hashlib.sha256()
with s.get(url + "big", stream=True, timeout=30) as r:
    for part in r.iter_content(7777):
        digest.update(part)
assert digest.digest() == hashlib.sha256(big).digest()
with s.get(url + "big", stream=True, timeout=30) as r:
    whole = io.BytesIO()
    shutil.copyfileobj(r.raw, whole)
assert whole.getvalue() == big
for value, want in (("0-0", big[:1]), ("100-199", big[100:200]), ("-7", big[-7:]), ("%d-" % (len(big) - 9), big[-9:])):
    r = s.get(url + "big", headers={"Range": "bytes=" + value}, timeout=30)
    assert r.status_code == 206 and r.content == want, (value, r.status_code)
r = s.get(url + "big", headers={"Range": "bytes=%d-" % len(big)}, timeout=30)
assert r.status_code == 416 and r.headers["Content-Range"] == "bytes */%d" % len(big)
pools = s.get_adapter(url).poolmanager.pools
pool, = [pools[key] for key in pools.keys()]
assert pool.num_connections == 1 < pool.num_requests, "%d connections for %d requests" % (
    pool.num_connections, pool.num_requests)

# A download given up in its middle costs that connection alone.
with s.get(url + "big", stream=True, timeout=30) as r:
    next(r.iter_content(1000))
assert s.get(url + "a.txt", timeout=30).ok

# Many at a time, each with what it asked for.
wrong = []
def fetch(n):
    with requests.Session() as own:
        own.trust_env = False
        for i in range(20):
            first = (n * 20 + i) * 100
            r = own.get(url + "big", headers={"Range": "bytes=%d-%d" % (first, first + 99)}, timeout=30)
            if r.content != big[first:first + 100]:
                wrong.append((n, i, r.status_code))
threads = [threading.Thread(target=fetch, args=(n,)) for n in range(16)]
[t.start() for t in threads]
[t.join() for t in threads]
assert not wrong, wrong

# JSON of the listing.
rows = s.get(url, params={"format": "json", "sort": "size", "order": "desc"}, timeout=30).json()
names = [row["name"] for row in rows if row["type"] == "file"]
assert names[0] == "big", names
names = [row["name"] for row in s.get(url, headers={"Accept": "application/json"}, timeout=30).json()]
assert "a.txt" in names, names
print("fine")

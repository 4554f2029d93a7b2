// What users of Node's http, and of its fetch, do: node node.js URL FOLDER
'use strict';
const assert = require('assert');
const { createHash } = require('crypto');
const fs = require('fs');
const http = require('http');
const path = require('path');
const { pipeline } = require('stream/promises');

const [url, folder] = process.argv.slice(2);
const big = fs.readFileSync(path.join(folder, 'big'));
const agent = new http.Agent({ keepAlive: true, maxSockets: 1, timeout: 30000 });

// ask resolves with the answer and its whole body, or rejects.
function ask(method, target, { headers = {}, body, using = agent } = {}) {
  return new Promise((resolve, reject) => {
    const req = http.request(url + target, { method, headers, agent: using, timeout: 30000 }, (res) => {
      const parts = [];
      res.on('data', (part) => parts.push(part));
      res.on('error', reject);
      res.on('end', () => resolve({ res, req, status: res.statusCode, body: Buffer.concat(parts), complete: res.complete }));
    });
    req.on('error', reject);
    req.on('timeout', () => req.destroy(new Error(`timeout: ${method} ${target}`)));
    req.end(body);
  });
}

async function keepAlive() {
  let first = true;
  for (const [method, target, status, length] of [
    ['GET', 'a.txt', 200, 13], ['HEAD', 'big', 200, 0], ['GET', 'big', 200, big.length], ['GET', 'none', 404], ['HEAD', 'none', 404, 0],
    ['OPTIONS', 'a.txt', 204, 0], ['DELETE', 'a.txt', 405], ['GET', 'folder', 301, 0], ['GET', 'folder/', 200, 5], ['GET', 'a.txt', 200, 13],
  ]) {
    const got = await ask(method, target);
    assert.strictEqual(got.status, status, `${method} ${target}`);
    assert(length === undefined || got.body.length === length, `${method} ${target}: ${got.body.length}`);
    assert(got.complete && (first || got.req.reusedSocket), `${method} ${target} took a new connection`);
    first = false;
  }
  const head = await ask('HEAD', 'big');
  assert.strictEqual(head.res.headers['content-length'], String(big.length));
  const fresh = await ask('GET', 'a.txt', { headers: { 'If-None-Match': (await ask('GET', 'a.txt')).res.headers.etag } });
  assert.strictEqual(fresh.status, 304);
  const posted = await ask('POST', 'a.txt', { body: Buffer.alloc(50000, 'x'), headers: { 'Content-Type': 'text/plain' } });
  assert.strictEqual(posted.status, 405);
}

// A HEAD that is refused has no body, which the client would take for the next answer.
async function refusedHead() {
  for (const [target, headers, status] of [
    ['x'.repeat(9000), {}, 414], ['a.txt', { 'X-Long': 'x'.repeat(40000) }, 431], ['a.txt', { Host: 'a b' }, 400],
    ['a.txt', { 'Transfer-Encoding': 'zip' }, 501], ['a.txt', { 'Content-Length': '70000' }, 413],
  ]) {
    const got = await ask('HEAD', target, { headers });
    assert.strictEqual(got.status, status, `HEAD ${target.slice(0, 20)}`);
    assert(got.complete && got.body.length === 0 && got.res.headers['content-length'] > 0);
    assert.strictEqual((await ask('GET', 'a.txt')).status, 200);
  }
}

async function ranges() {
  for (const [range, want] of [['0-0', big.subarray(0, 1)], ['1000-299999', big.subarray(1000, 300000)], ['-5', big.subarray(-5)]]) {
    const got = await ask('GET', 'big', { headers: { Range: `bytes=${range}` } });
    assert.strictEqual(got.status, 206);
    assert(got.body.equals(want), range);
  }
}

// A download that is given up in its middle ends its connection; the next takes a new one.
async function abort() {
  await new Promise((resolve, reject) => {
    const req = http.get(url + 'big', { agent }, (res) => {
      res.once('data', () => req.destroy());
      res.on('error', () => {});
      res.on('close', () => (res.complete ? reject(new Error('it was read whole')) : resolve()));
    });
    req.on('error', () => {});
  });
  assert.strictEqual((await ask('GET', 'a.txt')).status, 200);
}

// Who reads slowly gets it all: the stream is held back, the server waits.
async function backpressure() {
  const hash = createHash('sha256');
  const res = await new Promise((resolve, reject) => http.get(url + 'big', { agent }, resolve).on('error', reject));
  await pipeline(res, async function (source) {
    for await (const part of source) {
      hash.update(part);
      await new Promise(setImmediate);
    }
  });
  assert.strictEqual(hash.digest('hex'), createHash('sha256').update(big).digest('hex'));
}

async function many() {
  const using = new http.Agent({ keepAlive: true, maxSockets: 50 });
  const all = Array.from({ length: 500 }, (_, i) => ask('GET', 'big', { using, headers: { Range: `bytes=${i * 100}-${i * 100 + 99}` } }));
  (await Promise.all(all)).forEach((got, i) => assert(got.body.equals(big.subarray(i * 100, i * 100 + 100)), `range ${i}`));
  using.destroy();
}

// The answer to what expects 100 is the final one, before the body is sent.
async function continues() {
  const req = http.request(url + 'a.txt', { method: 'PUT', agent, headers: { Expect: '100-continue', 'Content-Length': 5 } });
  const status = await new Promise((resolve, reject) => {
    req.on('continue', () => reject(new Error('the body was asked for')));
    req.on('response', (res) => res.resume().on('end', () => resolve(res.statusCode)));
    req.on('error', reject);
    req.flushHeaders();
  });
  assert.strictEqual(status, 405);
}

async function fetches() {
  if (typeof fetch !== 'function') return; // before Node 18
  let res = await fetch(url + 'folder');
  assert(res.redirected && res.url === url + 'folder/' && (await res.text()) === 'index');
  res = await fetch(url + 'page.html'); // with Accept-Encoding of its own: a stored sibling
  assert.strictEqual(await res.text(), '<p>compressed</p>'.repeat(100));
  res = await fetch(url + '?format=json');
  assert((await res.json()).some((row) => row.name === 'big' && row.size === big.length));
  const control = new AbortController();
  res = await fetch(url + 'big', { signal: control.signal });
  control.abort();
  await assert.rejects(res.arrayBuffer(), { name: 'AbortError' });
  assert.strictEqual((await fetch(url + 'a.txt')).status, 200);
}

(async () => {
  for (const part of [keepAlive, refusedHead, ranges, abort, backpressure, many, continues, fetches]) await part();
  agent.destroy();
  console.log('fine');
  process.exit(0); // fetch keeps its connections
})().catch((e) => {
  console.error(e);
  process.exit(1);
});

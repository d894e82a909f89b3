/**
 * What stands before the cache: checks a link and rewrites its address to one that all links to the same view share.
 *
 * CloudFront Functions 2.0, viewer request; the same text runs in nginx (njs 0.7.9) and in Node. So: no `for...of`,
 * no closure and no `await` in arguments inside async functions. It says the same as zarrlink/edge/addresses.py and
 * http/routes.py; cases/*.json holds all to it. Why it is so: docs/decisions/0030-the-edge.md.
 *
 * Entries of the store: `k:{key id}` a key in base64, `k:` the ids of all keys, `l:{link id}` `-` for a revoked link, else
 * `{expiry in ms, base 36, or -} {view id}/{revision}`.
 */

import cf from 'cloudfront';
import crypto from 'crypto';

const kvs = cf.kvs();

const ADDRESS = /^\/(?:zarr|data(?:\/v([0-9]{1,4}))?\/annotations\/(zarr|zarr3_experimental))\/([^\/]*)(\/[\s\S]*)?$/;
const ID = /^[0-9a-fA-F]{24}$/;
const TOKEN = /^[A-Za-z0-9][A-Za-z0-9_-]{32}$/;
const KEY = /^[A-Za-z0-9+\/]{43,684}={0,2}$/;
const ENTRY = /^(-|[0-9a-z]{1,10}) ([A-Za-z0-9_-]{22}\/[A-Za-z0-9_-]{11})$/;
const PINNED = /^(?:v[23]\/[^\/]*\.zarr|w[23]\/[^\/]+)\/(?![0-9-]*\/?$)/;
const DOCUMENT = /\/(?:zarr\.json|\.zarray|\.zgroup|\.zattrs|\.zmetadata)$/;
const BARE = /[^\x21-\x7e]|["#<>?\\`{}]/;
const BAD_ESCAPE = /%(?![0-9A-F]{2})|%(?:00|2[DEF]|3[0-9]|[46][1-9A-F]|[57][0-9A]|5[CF]|7E)/;
const EMPTY_OR_DOTTED = /(?:^|\/)\.{0,2}(?:\/|$)/;
const INTERNAL = /^(?:\/(?:[cu](?:\/|$)|\/|[^\/]*[%\\])|[^\/]|$)/i;
const DOTTED = /(?:\/|\\|%(?:25)*(?:2f|5c))(?:\.|%(?:25)*2e){1,2}(?:\/|\\|%(?:25)*(?:2f|5c)|$)/i;
// Nobody but us says these to the origin; some servers read `_` as `-`.
const OURS = /^x[-_]zarrlink[-_]/i;

const GONE = 'this link is not valid (any more)';
const WORDS = {
  400: ['invalid-request', 'The request makes no sense'],
  405: ['method-not-allowed', 'The method is not accepted here'],
  410: ['link-gone', 'The link does not open this'],
};
const METHODS = 'GET, HEAD, OPTIONS';

async function handler(event) {
  const request = event.request;
  const id = event.context.requestId;
  forgetOurs(request.headers);
  const found = ADDRESS.exec(request.uri);
  if (!found || (found[2] && ID.test(found[3]))) return passOn(request, id);
  const token = found[3];
  const below = found[4] || '';
  const rest = found[2] ? (found[2] === 'zarr' && +found[1] <= 14 ? 'w2' : 'w3') + below : below.slice(1);
  if (request.method === 'OPTIONS') return preflight();
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return refuse(request, id, 405, `method ${request.method.slice(0, 16)} is not accepted here; accepted: ${METHODS}`);
  }
  const page = rest === '' && !wantsFacts(request.headers.accept);

  const key = TOKEN.test(token) ? await findKey(token[0]) : null;
  if (key === null || (key && !equal(mac(key, token.slice(0, 17)), token.slice(17)))) {
    return page ? goneForPeople(request) : refuse(request, id, 410, GONE);
  }
  const link = token.slice(1, 17);
  const entry = key ? await read(`l:${link}`) : undefined;
  const life = entry === undefined ? null : ENTRY.exec(entry);
  const dead = entry === '-' || (life !== null && life[1] !== '-' && parseInt(life[1], 36) < Date.now());
  if (rest === '') {
    // People with a dead link get the origin's page, which says so better.
    if (page && !below && !dead) return toFolder(token);
  } else if (dead) {
    return refuse(request, id, 410, GONE);
  } else if (!isCanonical(rest)) {
    return refuse(request, id, 400, 'the address has empty, dotted, broken or needlessly escaped segments');
  }

  const pinned = PINNED.test(rest);
  request.querystring = {};
  if (life && pinned) {
    request.uri = `/c/${life[2]}/${rest}`;
  } else {
    request.uri = `/u/${key ? link : '-'}/${rest}`;
    setAlone(request, id);
  }
  if (key) request.headers['x-zarrlink-link'] = { value: link };
  else request.headers['x-zarrlink-token'] = { value: token };
  if (pinned && request.method === 'GET' && DOCUMENT.test(rest)) cf.logCustomData(link);
  return request;
}

/** The key of an id; null: there is no such key; '': there is one, and the store has lost it. */
async function findKey(keyId) {
  const text = await read(`k:${keyId}`);
  if (text !== undefined && KEY.test(text)) return Buffer.from(text, 'base64');
  const ids = text === undefined ? await read('k:') : undefined;
  return ids === undefined || ids.indexOf(keyId) >= 0 ? '' : null;
}

/** An entry; undefined where it is not there or the store fails: the origin looks itself. */
async function read(name) {
  try {
    return await kvs.get(name);
  } catch (error) {
    return undefined;
  }
}

function mac(key, text) {
  return crypto.createHmac('sha256', key).update(text).digest('base64url').slice(0, 16);
}

/** In a time that does not tell where two texts differ. */
function equal(a, b) {
  let difference = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return difference === 0;
}

function isCanonical(rest) {
  if (EMPTY_OR_DOTTED.test(rest.replace(/\/$/, '')) || BARE.test(rest) || BAD_ESCAPE.test(rest)) return false;
  if (rest.indexOf('%') < 0) return true;
  try {
    decodeURIComponent(rest);
    return true;
  } catch (error) {
    return false;
  }
}

function wantsFacts(accept) {
  if (!accept) return false;
  const all = accept.multiValue ? accept.multiValue.map((one) => one.value).join() : accept.value;
  return all.indexOf('application/json') >= 0 && all.indexOf('text/html') < 0;
}

function forgetOurs(headers) {
  for (const name in headers) {
    if (OURS.test(name)) delete headers[name];
  }
}

/** Nothing of a request that is alone is shared: this is part of the cache key. */
function setAlone(request, id) {
  request.headers['x-zarrlink-alone'] = { value: id };
  if (request.headers.host) request.headers['x-zarrlink-host'] = { value: request.headers.host.value };
}

function passOn(request, id) {
  if (INTERNAL.test(request.uri)) {
    return refuse(request, id, 410, 'this address is not for readers: links begin with /zarr/');
  }
  if (DOTTED.test(request.uri)) return refuse(request, id, 400, 'the address has empty or dotted segments');
  setAlone(request, id);
  return request;
}

function answer(status, more, type, text) {
  const headers = {
    'access-control-allow-origin': { value: '*' },
    'access-control-expose-headers': { value: 'Accept-Ranges, Content-Length, Content-Range, ETag, Retry-After' },
  };
  for (const name in more) headers[name] = { value: more[name] };
  const made = { statusCode: status, headers: headers };
  if (type) headers['content-type'] = { value: type };
  if (text) made.body = { encoding: 'text', data: text };
  return made;
}

function refuse(request, id, status, detail) {
  const words = WORDS[status];
  const problem = {
    type: `about:blank#${words[0]}`,
    title: words[1],
    status: status,
    detail: detail,
    instance: `urn:zarrlink:${id}`,
    messages: [{ error: detail }],
  };
  const more = { 'cache-control': 'no-store' };
  if (status === 405) more.allow = METHODS;
  return answer(status, more, 'application/problem+json', request.method === 'HEAD' ? '' : JSON.stringify(problem));
}

function goneForPeople(request) {
  const more = {
    'cache-control': 'no-store',
    'content-security-policy': "default-src 'none'",
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    vary: 'Accept',
  };
  const html = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Link</title><p>Sorry, ${GONE}.</p></html>`;
  return answer(410, more, 'text/html; charset=utf-8', request.method === 'HEAD' ? '' : html);
}

function toFolder(token) {
  return answer(308, { location: `./${token}/`, 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' });
}

function preflight() {
  return answer(204, {
    'access-control-allow-methods': METHODS,
    'access-control-allow-headers': 'Accept, Cache-Control, If-Match, If-None-Match, If-Range, Range',
    'access-control-max-age': '86400',
  });
}

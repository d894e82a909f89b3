/**
 * Two clocks: the CDN keeps what is under /c/ for a year, a browser for `LINK_VIEWER_MAX_AGE`, since it is asked nothing
 * when a link is revoked. CloudFront Functions 2.0, viewer response; the same text runs in nginx (njs) and in Node.
 *
 * `age` and `date` say how long the CDN has had the answer, and a browser takes that off what it may keep: it would keep
 * nothing of what the CDN has for longer than that. CloudFront does not run this for statuses from 400 on; the 404 of a
 * chunk that was never written keeps the origin's header, which browsers read alike.
 */

const FOR_BOTH = /^public, max-age=([0-9]+), s-maxage=/;

function handler(event) {
  const response = event.response;
  const headers = response.headers;
  const found = headers['cache-control'] && FOR_BOTH.exec(headers['cache-control'].value);
  if (found) {
    headers['cache-control'] = { value: +found[1] ? `private, max-age=${found[1]}` : 'private, no-cache' };
    delete headers.age;
    headers.date = { value: new Date().toUTCString() };
  }
  return response;
}


// What follows the function in nginx: a request as CloudFront's event, its answer as nginx's. All names but `judge` begin
// with nginx, since the function's are beside them.
function nginxQuery(text) {
    const query = {};
    text.split('&').forEach(function (pair) {
        const at = pair.indexOf('=');
        const name = at < 0 ? pair : pair.slice(0, at);
        if (name !== '') {
            query[name] = { value: at < 0 ? '' : pair.slice(at + 1) };
        }
    });
    return query;
}

function nginxEvent(r, uri, query) {
    const headers = {};
    r.rawHeadersIn.forEach(function (header) {
        const name = header[0].toLowerCase();
        const before = headers[name];
        if (before) {
            before.multiValue = (before.multiValue || [{ value: before.value }]).concat({ value: header[1] });
        } else if (name !== 'cookie') {
            // CloudFront has cookies in a field of their own; no function of ours looks at them.
            headers[name] = { value: header[1] };
        }
    });
    return {
        version: '1.0',
        context: { eventType: 'viewer-request', requestId: r.variables.request_id },
        viewer: { ip: r.remoteAddress },
        request: { method: r.method, uri: uri, querystring: nginxQuery(query), headers: headers, cookies: {} },
    };
}

function nginxAnswer(r, made) {
    const headers = made.headers || {};
    Object.keys(headers).forEach(function (name) {
        r.headersOut[name] = headers[name].value;
    });
    const body = (made.body && made.body.data) || '';
    r.status = made.statusCode;
    if (r.status !== 204) {
        r.headersOut['Content-Length'] = String(Buffer.byteLength(body));
    }
    r.sendHeader();
    if (body !== '') {
        r.send(body);
    }
    r.finish();
}

function nginxPassOn(r, request) {
    const value = function (name) {
        return request.headers[name] ? request.headers[name].value : '';
    };
    r.variables.edge_path = request.uri;
    // Dropped whole or left as it is.
    r.variables.edge_query = Object.keys(request.querystring).length ? r.variables.is_args + r.variables.args : '';
    // Sent to the origin in place of whatever the viewer sent by these names.
    r.variables.edge_host = value('x-zarrlink-host');
    r.variables.edge_link = value('x-zarrlink-link');
    r.variables.edge_token = value('x-zarrlink-token');
    r.variables.edge_alone = value('x-zarrlink-alone');
    r.internalRedirect(request.uri.startsWith('/c/') ? '@cached' : '@alone');
}

async function judge(r) {
    let made;
    try {
        const raw = r.variables.request_uri;
        const at = raw.indexOf('?');
        made = await handler(nginxEvent(r, at < 0 ? raw : raw.slice(0, at), at < 0 ? '' : raw.slice(at + 1)));
        r.variables.edge_log = cf.logged();
    } catch (failure) {
        // Said nowhere: it may hold the address.
        r.internalRedirect('/=failed');
        return;
    }
    if (made.statusCode) {
        nginxAnswer(r, made);
    } else {
        nginxPassOn(r, made);
    }
}

export default { judge };

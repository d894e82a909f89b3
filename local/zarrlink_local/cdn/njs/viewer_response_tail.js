
// What follows the function in nginx: the headers of an answer as CloudFront's event, and back.
function adapt(r) {
    if (r.status >= 400) {
        return; // CloudFront runs it for no error either
    }
    const headers = {};
    for (const name in r.headersOut) {
        headers[name.toLowerCase()] = { value: String(r.headersOut[name]) };
    }
    const seen = Object.assign({}, headers);
    const response = { statusCode: r.status, headers: headers, cookies: {} };
    const made = handler({ version: '1.0', context: { eventType: 'viewer-response' }, response: response }).headers;
    // nginx says by itself when it answers.
    delete made.date;
    Object.keys(seen).forEach(function (name) {
        if (!made[name]) {
            delete r.headersOut[name];
        }
    });
    Object.keys(made).forEach(function (name) {
        if (made[name] !== seen[name]) {
            r.headersOut[name] = made[name].value;
        }
    });
}

export default { adapt };

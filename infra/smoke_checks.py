"""What a reader needs of a link, as checks from outside. A check raises Failed; its name is what it makes sure of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from smoke_client import Answer, Failed, Sample, Site, decode_frame, expect, shard_index

Check = Callable[[], None]
# Of the right form, and made by nobody.
MADE_UP_TOKEN: Final = "a" + "0" * 32
_FAR: Final = 9_999_999
# Readers in a browser see no other headers, and send these.
EXPOSED: Final = {"accept-ranges", "content-length", "content-range", "etag"}
ASKED: Final = {"range", "if-none-match"}


def checks(site: Site) -> Iterator[tuple[str, Check]]:
    """Every check by its name, in the order of a reader's first visit."""
    yield "page: HTML by Accept", lambda: page_is_html(site)
    yield "page: kept by no cache", lambda: page_is_not_cached(site)
    for sample in site.samples:
        yield from _of_sample(site, sample)
    yield "chunk: Blosc frame decodes to its size", lambda: chunk_decodes(site)
    yield "shard: index and Blosc frames decode", lambda: shard_decodes(site)
    if site.comparable:
        yield "chunk: same voxels in v2 and v3", lambda: dialects_agree(site)
    yield "absent chunk: 404 with CORS", lambda: absent_is_404(site)
    yield "unknown key: 404 with CORS", lambda: unknown_is_404(site)
    yield "made-up token: 410 with CORS", lambda: made_up_is_410(site)
    yield "made-up token: kept by no cache", lambda: made_up_is_not_cached(site)
    yield "preflight: OPTIONS allows what readers send", lambda: preflight(site)
    yield "other methods: 405 with CORS", lambda: other_methods_are_405(site)


def _of_sample(site: Site, sample: Sample) -> Iterator[tuple[str, Check]]:
    size, kind = len(sample.whole.body), sample.kind
    # Long enough that bytes from another place differ.
    start, end, tail = size // 3, size // 2, max(1, size // 4)
    yield f"{kind}: GET with length and ETag", lambda: get_is_whole(sample)
    yield f"{kind}: CORS on 200", lambda: exposed(sample.whole)
    yield f"{kind}: HEAD length equals GET length", lambda: head_is_get(site, sample)
    yield f"{kind}: range a-b is 206", lambda: part(site, sample, f"{start}-{end - 1}", start, end)
    yield f"{kind}: range a- is 206", lambda: part(site, sample, f"{start}-", start, size)
    yield f"{kind}: range -n is 206", lambda: part(site, sample, f"-{tail}", size - tail, size)
    yield f"{kind}: a range behind the end is 416", lambda: behind_the_end(site, sample)
    yield f"{kind}: a known ETag is 304", lambda: known_is_304(site, sample)
    if sample is not site.metadata:
        yield f"{kind}: not compressed once more", lambda: not_compressed(site, sample)


def cors(answer: Answer) -> None:
    expect("access-control-allow-origin", "*", answer.headers.get("access-control-allow-origin"))


def exposed(answer: Answer) -> None:
    """That a reader in a browser may see what it needs."""
    cors(answer)
    lacking = EXPOSED - _words(answer, "access-control-expose-headers")
    expect("headers that are not exposed", set(), lacking)


def _words(answer: Answer, header: str) -> set[str]:
    return {word.strip().lower() for word in answer.headers.get(header, "").split(",")}


def _not_cached(answer: Answer) -> None:
    expect("cache-control", "no-store", answer.headers.get("cache-control"))


def page_is_html(site: Site) -> None:
    answer = site.client.send("GET", "", Accept="text/html,application/xhtml+xml,*/*;q=0.8")
    expect("status", 200, answer.status)
    expect("content-type", "text/html; charset=utf-8", answer.headers.get("content-type"))


def page_is_not_cached(site: Site) -> None:
    for accept in ("text/html", "application/json"):
        _not_cached(site.client.send("GET", "", Accept=accept))


def get_is_whole(sample: Sample) -> None:
    answer = sample.whole
    expect("status", 200, answer.status)
    expect("content-length", str(len(answer.body)), answer.headers.get("content-length"))
    expect("accept-ranges", "bytes", answer.headers.get("accept-ranges"))
    etag = answer.headers.get("etag", "")
    if not (etag.startswith('"') and etag.endswith('"') and len(etag) > 2):
        raise Failed(f"etag: expected a strong one, got {etag!r}")


def head_is_get(site: Site, sample: Sample) -> None:
    head = site.client.send("HEAD", sample.path)
    expect("status", 200, head.status)
    expect("content-length", str(len(sample.whole.body)), head.headers.get("content-length"))
    expect("etag", sample.whole.headers.get("etag"), head.headers.get("etag"))
    exposed(head)


def part(site: Site, sample: Sample, asked: str, start: int, end: int) -> None:
    """`end` exclusive."""
    whole = sample.whole.body
    answer = site.client.send("GET", sample.path, Range=f"bytes={asked}")
    expect("status", 206, answer.status)
    expect("content-range", f"bytes {start}-{end - 1}/{len(whole)}", answer.headers.get("content-range"))
    expect("content-length", str(end - start), answer.headers.get("content-length"))
    expect("body", whole[start:end], answer.body)
    exposed(answer)


def behind_the_end(site: Site, sample: Sample) -> None:
    size = len(sample.whole.body)
    answer = site.client.send("GET", sample.path, Range=f"bytes={size}-{size + 9}")
    expect("status", 416, answer.status)
    expect("content-range", f"bytes */{size}", answer.headers.get("content-range"))
    cors(answer)


def known_is_304(site: Site, sample: Sample) -> None:
    etag = sample.whole.headers.get("etag", "")
    answer = site.client.send("GET", sample.path, If_None_Match=etag)
    expect("status", 304, answer.status)
    expect("body", b"", answer.body)
    cors(answer)
    other = site.client.send("GET", sample.path, If_None_Match='"another"')
    expect("status with another ETag", 200, other.status)


def not_compressed(site: Site, sample: Sample) -> None:
    """A proxy that compresses loses length and ranges, and readers that ask for gzip do not always undo it."""
    answer = site.client.send("GET", sample.path, Accept_Encoding="gzip, deflate, br")
    expect("content-encoding", None, answer.headers.get("content-encoding"))
    expect("body", sample.whole.body, answer.body)


def chunk_decodes(site: Site) -> None:
    decode_frame(site.chunk.whole.body, site.chunk_bytes)


def shard_decodes(site: Site) -> None:
    """Every chunk in it; where nothing is sharded it is a chunk."""
    body = site.shard.whole.body
    spans = shard_index(body, site.chunks_per_shard) if site.chunks_per_shard else [(0, len(body))]
    for start, length in filter(None, spans):
        decode_frame(body[start : start + length], site.frame_bytes)


def dialects_agree(site: Site) -> None:
    v2, v3 = (decode_frame(frame, site.chunk_bytes) for frame in (site.chunk.whole.body, site.frame))
    expect("voxels", v3, v2)


def absent_is_404(site: Site) -> None:
    for sample in (site.chunk, site.shard):
        folder, _, _ = sample.path.rpartition("/")
        answer = site.client.send("GET", f"{folder}/{_FAR}")
        expect("status", 404, answer.status)
        exposed(answer)


def unknown_is_404(site: Site) -> None:
    """Readers of v2 look for such keys, and take another status for a failure."""
    answer = site.client.send("GET", f"{site.layer}/.zattrs")
    expect("status", 404, answer.status)
    exposed(answer)


def _by_made_up_token(site: Site) -> Iterator[Answer]:
    for path in (site.metadata.path, site.chunk.path, site.shard.path):
        yield site.client.send("GET", path, token=MADE_UP_TOKEN)
    yield site.client.send("GET", "", token=MADE_UP_TOKEN, Accept="application/json")


def made_up_is_410(site: Site) -> None:
    """Not 403 or 404, which readers paint as fill value."""
    for answer in _by_made_up_token(site):
        expect("status", 410, answer.status)
        cors(answer)


def made_up_is_not_cached(site: Site) -> None:
    for answer in _by_made_up_token(site):
        _not_cached(answer)


def preflight(site: Site) -> None:
    headers = {"Access_Control_Request_Method": "GET", "Access_Control_Request_Headers": "range"}
    answer = site.client.send("OPTIONS", site.chunk.path, **headers)
    if answer.status not in (200, 204):
        raise Failed(f"status: expected 200 or 204, got {answer.status}")
    cors(answer)
    expect("methods that are not allowed", set(), {"get", "head"} - _words(answer, "access-control-allow-methods"))
    expect("headers that are not allowed", set(), ASKED - _words(answer, "access-control-allow-headers"))


def other_methods_are_405(site: Site) -> None:
    answer = site.client.send("DELETE", site.chunk.path)
    expect("status", 405, answer.status)
    cors(answer)

"""Cached chunks through the edge that checks a link, against the same cache unchecked and against static files."""

from __future__ import annotations

import http.client
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import servers
import wrk
from data import BLOCK
from measure import Scale, interleaved
from report import Part, Table
from servers import Server
from serving import check_same, copy_chunks
from wrk import Sample

from zarrlink.errors import InvalidRequest
from zarrlink_local.cdn.nginx import find_nginx, running_cdn
from zarrlink_local.cdn.pushes import Pushes
from zarrlink_local.machine import open_machine
from zarrlink_local.server import listen

FUNCTIONS = Path(__file__).parents[1] / "functions/edge"
SECRET = "a-secret-of-these-benchmarks-long-enough"
PATH = "/v2/em.zarr/0"
CONCURRENCY = 16
_PLAIN = """
daemon off; worker_processes 1; pid nginx.pid; error_log stderr error; {user}
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; default_type application/octet-stream; keepalive_requests 100000000;
  client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t; scgi_temp_path t;
  proxy_cache_path cache levels=1:2 keys_zone=plain:32m use_temp_path=off;
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_cache plain; proxy_cache_valid 1d; proxy_ignore_headers Cache-Control Expires;
    }}
  }}
}}
"""


def run(dataset: Path, scale: Scale) -> Part:
    part = Part(
        "The edge: cached chunks behind a check of the link",
        f"One nginx worker each, loopback, `wrk -t1 -c{CONCURRENCY}`, random chunks of EM in the same order, {scale.rounds} rounds of"
        f" {scale.seconds} s, everything cached before; the chunks were compared byte for byte first. CPU: user + system time of"
        " nginx's processes. Refused: tokens that nobody made, which ask neither cache nor server.",
    )
    grid = [length // BLOCK for length in scale.size_xyz[::-1]]
    keys = [f"{PATH}/{z}/{y}/{x}" for z, y, x in product(*map(range, grid))]
    with TemporaryDirectory() as scratch, ExitStack() as running:
        folder = Path(scratch)
        origin = running.enter_context(servers.zarrlink_serve(dataset, folder / "state.sqlite"))
        files = folder / "chunks"
        copy_chunks(origin, keys, files)
        (folder / "static").mkdir()
        contestants = {
            "static files": running.enter_context(servers.nginx(files, folder / "static")),
            "cache alone": running.enter_context(plain_cache(origin, folder / "plain")),
            "cache behind the edge's function": running.enter_context(edge(dataset, folder)),
        }
        for server in contestants.values():
            check_same(server, files, keys)
        rounds = interleaved(
            {name: load(server, grid, scale) for name, server in contestants.items()}
            | {"forged tokens, refused": refusals(contestants["cache behind the edge's function"], scale)},
            scale.rounds,
        )
    found = {name: wrk.median(samples) for name, samples in rounds.items()}
    plain = found["cache alone"]
    rows = [
        [
            name,
            f"{sample.rate:.0f} ({min(one.rate for one in rounds[name]):.0f} to {max(one.rate for one in rounds[name]):.0f})",
            f"{sample.rate / plain.rate:.3g}",
            f"{sample.p50_ms:.2f} / {sample.p99_ms:.2f}",
            f"{1000 * sample.cpu_ms:.0f}",
            f"{1000 * (sample.cpu_ms - plain.cpu_ms):+.0f}",
        ]
        for name, sample in found.items()
    ]
    head = (
        "nginx",
        "requests/s",
        "of the cache alone",
        "p50 / p99 ms",
        "us of CPU a request",
        "more than the cache alone",
    )
    part.tables.append(Table(f"em, v2 chunks {BLOCK}^3; {plain.answer_bytes / 1000:.1f} kB an answer", head, rows))
    part.notes = [
        "Behind the function: MAC, two entries read from files, expiry, rewriting, and the second function on the way out.",
        "wrk and the servers share two cores, so look at the CPU first.",
    ]
    return part


@contextmanager
def plain_cache(origin: Server, home: Path) -> Iterator[Server]:
    """nginx with a cache and nothing else in front of a link."""
    home.mkdir()
    with servers.nginx_with(
        "cache alone", home, lambda user, port: _PLAIN.format(user=user, port=port, origin=origin.port)
    ) as server:
        yield Server(server.name, server.pid, server.port, origin.prefix)


@contextmanager
def edge(dataset: Path, folder: Path) -> Iterator[Server]:
    """The local CDN in front of a server that answers nobody else, with a link of its own."""
    secret = folder / "secret"
    secret.touch(0o600)
    secret.write_text(SECRET)
    state = folder / "behind.sqlite"
    with (
        servers.zarrlink_serve(dataset, state, "--behind-cdn", str(secret)) as origin,
        running_cdn(listen(0), origin.port, SECRET, FUNCTIONS, workers="1", log=False) as cdn,
        Pushes(open_machine(state), cdn.entries),
    ):
        yield Server("edge", cdn.pid, cdn.port, origin.prefix)


def load(server: Server, grid: list[int], scale: Scale) -> Callable[[], Sample]:
    return wrk.random_chunks(server, PATH, grid, concurrency=CONCURRENCY, seconds=scale.seconds)


def refusals(server: Server, scale: Scale) -> Callable[[], Sample]:
    """A contestant that asks with a token whose MAC is wrong. Raises AssertionError where it is not refused."""
    root, token = server.prefix.rsplit("/", 1)
    forged = Server(server.name, server.pid, server.port, f"{root}/{token[:-1]}{'A' if token[-1] != 'A' else 'B'}")
    with closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection:
        connection.request("GET", f"{forged.prefix}{PATH}/0/0/0")
        assert connection.getresponse().status == 410, "a forged token is not refused"
    return wrk.random_chunks(forged, PATH, [1, 1, 1], concurrency=CONCURRENCY, seconds=scale.seconds, refused=True)


def missing() -> list[str]:
    """Programs that are needed and not installed."""
    found = [program for program in ("wrk",) if shutil.which(program) is None]
    try:
        find_nginx()
    except InvalidRequest:
        found.append("nginx with its JavaScript module")
    return found

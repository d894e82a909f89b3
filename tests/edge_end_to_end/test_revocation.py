"""What a link may still do is asked at each request, however warm the cache is; and nobody gets past the edge."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorstore
import zarr

from builders.edge_cases import load_world
from builders.local_cdn import FUNCTIONS, LocalEdge, ask, skip_without_nginx
from builders.local_jobs import until
from builders.wkw_files import LayerFiles, dataset, noise, write_tree
from edge_end_to_end.conftest import EM, ONE
from end_to_end.clients import CLIENTS
from zarrlink.links.model import Link
from zarrlink_local.cdn.nginx import running_cdn
from zarrlink_local.machine import now_ms
from zarrlink_local.server import listen

GONE = r"410|Gone"
KNOWN_WITHIN_S = 1.0
"""How soon the edge of one machine refuses a link that any process has revoked."""


def zarrlink(edge: LocalEdge, *arguments: str) -> None:
    """A command, in a process of its own."""
    command = [sys.executable, "-c", "from zarrlink_local.cli import main; main()", *arguments]
    subprocess.run([*command, "--state", str(edge.machine.file.path)], check=True, capture_output=True)


def expire(edge: LocalEdge, link: Link, expires_ms: int | None) -> None:
    assert edge.machine.links.change(link.id, None, expires_ms=expires_ms)


def test_a_revoked_link_is_refused_although_its_chunks_are_cached(edge: LocalEdge) -> None:
    """By another process; arrays that are open raise, and so do new ones."""
    link, other = edge.link("mouse"), edge.link("mouse")
    layer = edge.layer(link, "em")
    chunk = f"{layer['v2']}/0/0/0/0"
    arrays = {dialect: zarr.open_group(layer[dialect], mode="r")["0"] for dialect in layer}
    drivers = {"v2": "zarr", "v3": "zarr3"}
    stores = [
        tensorstore.open({"driver": driver, "kvstore": f"{layer[dialect]}/0/"}).result()
        for dialect, driver in drivers.items()
    ]
    assert all(array[:8, :8, :8].any() for array in arrays.values())
    assert all(store[:8, :8, :8].read().result().any() for store in stores)
    assert ask(chunk).is_hit

    zarrlink(edge, "links", "revoke", link.id)
    revoked_s = time.monotonic()
    refused = until(lambda: (reply := ask(chunk)).status == 410 and reply)
    assert time.monotonic() - revoked_s < KNOWN_WITHIN_S

    assert (refused.headers["cache-control"], refused.headers["access-control-allow-origin"]) == ("no-store", "*")
    edge.asked.clear()
    for array in arrays.values():
        with pytest.raises(Exception, match=GONE):
            array[:8, :8, :8]
    for store in stores:
        with pytest.raises(ValueError, match=GONE):
            store[:8, :8, :8].read().result()
    for name in ("zarr-python v2", "zarr-python v3", "tensorstore v2", "tensorstore v3"):
        with pytest.raises(Exception, match=rf"(?i){GONE}|not valid|error"):
            CLIENTS[name](layer, 0)
    assert edge.reads() == []
    # The page says it to people, and the other link to the same view still has the cache.
    assert ask(edge.page(link)).status == 410
    assert ask(f"{edge.layer(other, 'em')['v2']}/0/0/0/0").is_hit


def test_an_extended_link_opens_again_and_a_shortened_one_no_more(edge: LocalEdge) -> None:
    link = edge.link("mouse")
    chunk = f"{edge.layer(link, 'em')['v2']}/0/0/0/1"
    assert ask(chunk).status == 200
    expire(edge, link, 1_000_000)
    until(lambda: ask(chunk).status == 410)
    expire(edge, link, now_ms() + 3_600_000)
    until(lambda: ask(chunk).status == 200)
    assert ask(chunk).is_hit
    assert edge.entry(link).split()[1].startswith(link.view.id)


def test_a_link_ends_by_itself_without_anybody_telling_the_edge(edge: LocalEdge) -> None:
    link = edge.link("mouse")
    chunk = f"{edge.layer(link, 'em')['v2']}/0/0/0/2"
    expire(edge, link, now_ms() + 1_000)
    assert ask(chunk).status == 200
    until(lambda: ask(chunk).status == 410)


def test_without_its_store_the_server_judges(new_edge: Callable[..., LocalEdge], tmp_path: Path) -> None:
    """All entries lost, keys too: slower, but nobody reads more or less than before."""
    volume = noise((32, 32, 32))
    write_tree(dataset(LayerFiles("em", {ONE: volume}, block_side=8)), tmp_path / "data/mouse")
    edge = new_edge(tmp_path / "state.sqlite", tmp_path / "data")
    open_link, revoked = edge.link("mouse"), edge.link("mouse")
    edge.machine.links.revoke(revoked.id, "ann", now_ms())
    until(lambda: edge.entry(revoked) == "-")
    token = edge.machine.keys.token(open_link.id)
    forged = f"{edge.address}/zarr/{token[:-1]}{'A' if token[-1] != 'A' else 'B'}/v2/em.zarr/0/0/0/0"
    for lost in ("l_*", "*"):
        for entry in edge.cdn.entries.glob(lost):
            entry.unlink()
        edge.asked.clear()
        layer = edge.layer(open_link, "em")
        np.testing.assert_array_equal(CLIENTS["zarr-python v3"](layer, 0), volume)
        assert [path for path in edge.reads() if not path.startswith("/u/")] == []
        for refused in (f"{edge.layer(revoked, 'em')['v2']}/0/0/0/0", forged):
            reply = ask(refused)
            assert (reply.status, reply.headers["cache-control"]) == (410, "no-store")
        kept = ask(f"{layer['v2']}/0/0/0/0")
        assert (kept.status, "x-cache" in kept.headers) == (200, False)


def test_forged_tokens_never_reach_the_server(edge: LocalEdge) -> None:
    token = edge.machine.keys.token(edge.link("mouse").id)
    other = edge.machine.keys.token(edge.link("mouse").id)
    forged = [
        *(token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in range(33)),
        token[:17] + other[17:],
        token[:-1],
        f"{token}A",
        "x",
        "A" * 33,
    ]
    edge.asked.clear()
    for wrong in forged:
        for address in (f"/zarr/{wrong}/v3/em.zarr/zarr.json", f"/data/annotations/zarr/{wrong}/em/1/0.0.0.0"):
            assert ask(edge.address + address).status == 410
    assert edge.reads() == []
    assert ask(f"{edge.address}/zarr/{token}/v3/em.zarr/zarr.json").status == 200


def test_the_cdns_own_addresses_are_refused_and_its_headers_taken_away(edge: LocalEdge) -> None:
    link = edge.link("mouse")
    view, revision = edge.entry(link).split()[1].split("/")
    edge.asked.clear()
    for path in (
        f"/c/{view}/{revision}/v3/em.zarr/zarr.json",
        f"/u/{link.id}/v3/em.zarr/zarr.json",
        f"//c/{view}/{revision}/v3/em.zarr/zarr.json",
        f"/%63/{view}/{revision}/v3/em.zarr/zarr.json",
    ):
        typed = {"x-zarrlink-edge": edge.secret, "x-zarrlink-link": link.id}
        reply = ask(edge.address + path, headers=typed)
        assert (reply.status, reply.headers["cache-control"]) == (410, "no-store")
    assert edge.reads() == []
    typed = {f"x-zarrlink-{name}": "typed" for name in ("edge", "link", "host", "token", "alone")}
    ask(f"{edge.address}/api/buildinfo", headers=typed)
    ask(f"{edge.layer(link, 'em')['v2']}/0/1/1/1", headers=typed)
    assert len(edge.asked) == 2
    assert not any("typed" in value for one in edge.asked for value in one.headers.values())
    assert edge.asked[0].headers["x-zarrlink-host"] == edge.address.removeprefix("http://")
    assert edge.asked[1].headers["x-zarrlink-link"] == link.id


def test_past_the_edge_the_server_says_nothing(edge: LocalEdge) -> None:
    link = edge.link("mouse")
    view_and_revision = edge.entry(link).split()[1]
    for path in (
        "/",
        "/api/buildinfo",
        "/web/link.js",
        f"/zarr/{edge.machine.keys.token(link.id)}/v3/em.zarr/zarr.json",
        f"/c/{view_and_revision}/v3/em.zarr/zarr.json",
        f"/u/{link.id}/v3/em.zarr/zarr.json",
    ):
        for headers in ({}, {"x-zarrlink-edge": "guessed", "x-zarrlink-link": link.id}):
            reply = ask(edge.origin + path, headers=headers)
            assert (reply.status, reply.headers["cache-control"]) == (410, "no-store")
            assert reply.headers["access-control-allow-origin"] == "*"
    # And the secret goes no further than there.
    replies = [ask(edge.layer(link, "em")["v3"] + "/zarr.json"), ask(f"{edge.address}/api/buildinfo")]
    assert not any(edge.secret in value for reply in replies for value in reply.headers.values())


def test_no_token_reaches_the_server(edge: LocalEdge) -> None:
    link = edge.link("mouse")
    token = edge.machine.keys.token(link.id)
    edge.asked.clear()
    np.testing.assert_array_equal(CLIENTS["zarr-python v3"](edge.layer(link, "em"), 0)[:32], EM[:32])
    ask(edge.page(link), headers={"Accept": "application/json"})
    assert edge.reads() != []
    assert not any(token in text for one in edge.asked for text in (one.path, *one.headers.values()))


def test_a_server_that_is_down_is_an_error_in_every_reader() -> None:
    """Without CORS headers a browser would take it for a chunk that was never written."""
    skip_without_nginx()
    world = load_world()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with running_cdn(listen(0), nobody.getsockname()[1], "s" * 32, FUNCTIONS) as cdn:
            for key, value in world["entries"].items():
                (cdn.entries / key.replace(":", "_")).write_text(value)
            for path in (f"/zarr/{world['names']['open']}/v3/color.zarr/0/c/0/0/0", "/api/buildinfo"):
                failed = ask(f"http://127.0.0.1:{cdn.port}{path}")
                assert (failed.status, failed.headers["cache-control"]) == (502, "no-store")
                assert failed.headers["access-control-allow-origin"] == "*"
                assert json.loads(failed.body)["detail"] == "the origin does not answer"

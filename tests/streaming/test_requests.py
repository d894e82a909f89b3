"""What the store is asked for, and what happens when it changes or fails."""

import json

import pytest

from builders.door import Door, header, open_door
from builders.wkw_files import LayerFiles, dataset, noise, ramp
from zarrlink.errors import SourceUnavailable
from zarrlink.formats.wkw import BlockType
from zarrlink.geometry import BoundingBox, Mag

ONE = Mag(1, 1, 1)


def lz4_door(**kwargs) -> Door:
    """A layer of four files, each with a table within 64 KiB; its layer is open."""
    layer = LayerFiles("a", {ONE: noise((60, 60, 30))}, block_side=8, file_side=4, **kwargs)
    door = open_door(dataset(layer))
    door.opened("a")
    return door


CHUNK, OTHER_CHUNK, SHARD = "v2/a.zarr/0/0/0/0", "v2/a.zarr/0/0/0/1", "v3/a.zarr/0/c/0/0/0"


def test_a_compressed_file_costs_two_requests_when_new_and_one_when_known() -> None:
    door = lz4_door()
    with door.counted() as cold:
        assert door.get(CHUNK).status == 200
    with door.counted() as known:
        assert door.get(OTHER_CHUNK).status == 200
    with door.counted() as shard:
        assert door.get(SHARD).status == 200

    assert cold == [("read", "a/1/z0/y0/x0.wkw")] * 2
    assert known == shard == [("read", "a/1/z0/y0/x0.wkw")]


def test_a_raw_file_costs_one_request() -> None:
    door = lz4_door(block_type=BlockType.RAW)
    for path in (CHUNK, SHARD, "v2/a.zarr/0/3/3/3"):
        with door.counted() as seen:
            assert door.get(path).status == 200
        assert seen == [("read", "a/1/z0/y0/x0.wkw")]


@pytest.mark.parametrize("block_type", [BlockType.RAW, BlockType.LZ4])
def test_an_absent_file_costs_three_requests(block_type: BlockType) -> None:
    """The second makes sure that the mag is still stored as it was, under the names that are asked for; the third that the file
    was not away for the first alone."""
    door = lz4_door(block_type=block_type)
    del door.source.inner.objects["a/1/z0/y1/x1.wkw"]
    with door.counted() as seen:
        assert door.get("v2/a.zarr/0/0/5/5").status == 404
    assert seen == [("read", "a/1/z0/y1/x1.wkw"), ("read", "a/1/header.wkw"), ("stat", "a/1/z0/y1/x1.wkw")]


def test_what_lies_outside_the_shape_costs_nothing() -> None:
    door = lz4_door()
    with door.counted() as seen:
        assert door.get("v2/a.zarr/0/4/0/0").status == 404
        assert door.get("v3/a.zarr/0/c/0/0/9").status == 404
    assert seen == []


@pytest.mark.parametrize("block_type", [BlockType.RAW, BlockType.LZ4])
@pytest.mark.parametrize("path", [CHUNK, SHARD])
def test_head_says_what_get_says_and_costs_one_request(path: str, block_type: BlockType) -> None:
    door = lz4_door(block_type=block_type)
    with door.counted() as cold:
        head = door.head(path.removeprefix("/"))
    with door.counted() as known:
        again = door.head(path)
    get = door.get(path)

    assert (head.status, head.body) == (200, b"")
    assert head.headers == again.headers == get.headers
    assert header(head, "content-length") == str(len(get.body))
    assert len(cold) == len(known) == 1


@pytest.mark.parametrize("block_type", [BlockType.RAW, BlockType.LZ4])
def test_a_known_etag_is_answered_without_a_body(block_type: BlockType) -> None:
    door = lz4_door(block_type=block_type)
    etag = header(door.get(SHARD), "etag")
    for held in (etag, f'"x", {etag}', f"W/{etag}", "*"):
        with door.counted() as seen:
            reply = door.get(SHARD, if_none_match=held)
        assert (reply.status, reply.body, header(reply, "etag")) == (304, b"", etag)
        assert [kind for kind, _ in seen] == ["stat"]
    assert door.get(SHARD, if_none_match='"other"').status == 200


@pytest.mark.parametrize("asked", ["bytes=0-99", "bytes=-1028", "bytes=20000-20099"])
def test_a_range_of_a_raw_file_costs_one_request_new_or_known(asked: str) -> None:
    door = lz4_door(block_type=BlockType.RAW)
    for _ in range(2):
        with door.counted() as seen:
            assert door.get(SHARD, range=asked).status == 206
        assert len(seen) == 1


def test_a_description_is_parsed_once_for_all_its_layers(monkeypatch) -> None:
    from zarrlink.formats import datasource

    calls = []
    parse = datasource.parse_description
    monkeypatch.setattr(
        datasource, "parse_description", lambda *args, **kwargs: calls.append(1) or parse(*args, **kwargs)
    )
    layers = [LayerFiles(f"layer {n}", {ONE: ramp((8, 8, 8))}) for n in range(20)]
    open_door(dataset(*layers))
    assert len(calls) == 1


def test_the_index_of_a_known_shard_costs_one_request_and_no_block() -> None:
    door = lz4_door()
    whole = door.get(SHARD).body
    index_bytes = 16 * 64 + 4
    with door.counted() as seen:
        reply = door.get(SHARD, range=f"bytes=-{index_bytes}")
    assert (reply.status, reply.body) == (206, whole[-index_bytes:])
    assert seen == [("stat", "a/1/z0/y0/x0.wkw")]


def test_etags_tell_views_dialects_keys_and_contents_apart() -> None:
    door = lz4_door()
    etags = {header(door.get(path), "etag") for path in (CHUNK, OTHER_CHUNK, SHARD)}
    door.make_link()
    same_view = header(door.get(CHUNK), "etag")
    assert len(etags) == 3
    assert same_view in etags, "links to one view share their answers"
    door.source.inner.objects |= {
        key: data for key, data in dataset(LayerFiles("a", {ONE: noise((60, 60, 30), seed=9)})).items() if "z0" in key
    }
    assert header(door.get(CHUNK), "etag") not in etags


@pytest.mark.parametrize("block_type", [BlockType.RAW, BlockType.LZ4])
def test_a_file_replaced_while_its_table_is_cached_is_read_anew(block_type: BlockType) -> None:
    door = lz4_door(block_type=block_type)
    old = door.get(SHARD)
    replaced = dataset(LayerFiles("a", {ONE: ramp((60, 60, 30))}, block_type=block_type))
    door.source.inner.objects |= {key: data for key, data in replaced.items() if key.endswith(".wkw")}
    fresh = open_door(replaced)

    for reply in (door.get(SHARD), door.get(SHARD, range="bytes=-1028"), door.head(SHARD)):
        assert reply.status in (200, 206)
        assert header(reply, "etag") != header(old, "etag")
    assert door.get(SHARD).body == fresh.get(SHARD).body
    assert door.get(SHARD, if_none_match=header(old, "etag")).status == 200


def test_a_file_that_goes_on_changing_is_said_to_be_busy() -> None:
    door = lz4_door()
    door.get(CHUNK)
    objects, read = door.source.inner.objects, door.source.read

    async def changing(key, part=None, *, if_match=None, head_bytes=0):
        if key.endswith("x0.wkw"):
            objects[key] = objects[key][:-1] + bytes([objects[key][-1] ^ 1])
        return await read(key, part, if_match=if_match)

    door.source.read = changing
    reply = door.get(CHUNK)
    assert reply.status == 503
    assert header(reply, "cache-control") == "no-store"


@pytest.mark.parametrize("path", [CHUNK, SHARD, "v3/a.zarr/zarr.json"])
@pytest.mark.parametrize("known", [True, False])
def test_a_store_that_fails_is_never_fill_value(path: str, known: bool) -> None:
    door = lz4_door()
    if known:
        door.get(path)
    door.source.failures = {"x0.wkw": SourceUnavailable("denied"), "properties.json": SourceUnavailable("denied")}
    door.library.doubt(door.link.view, "a")

    reply = door.get(path)
    assert reply.status == 503
    assert header(reply, "retry-after") == "2"
    assert header(reply, "access-control-allow-origin") == "*"


def test_a_missing_file_in_a_missing_folder_is_not_absence() -> None:
    """An unmounted disk: every file is missing, and so is the header of the mag."""
    door = lz4_door()
    kept = {key: data for key, data in door.source.inner.objects.items() if key.endswith("properties.json")}
    door.source.inner.objects.clear()
    door.source.inner.objects.update(kept)

    assert door.get("v2/a.zarr/0/0/5/5").status == 503


def test_a_dataset_whose_geometry_changed_ends_its_links() -> None:
    layer = LayerFiles("a", {ONE: ramp((60, 60, 30))}, block_side=8)
    door = open_door(dataset(layer), freshness_s=1.0)
    assert door.get(CHUNK).status == 200
    shifted = LayerFiles("a", {ONE: ramp((60, 60, 30))}, (8, 0, 0), block_side=8)
    door.source.inner.objects.clear()
    door.source.inner.objects.update(dataset(shifted))
    door.clock.monotonic_s += 2

    for path in (CHUNK, SHARD, "v3/a.zarr/zarr.json", "v2/a.zarr/.zattrs"):
        reply = door.get(path)
        assert reply.status == 410
        assert "replaced" in json.loads(reply.body)["detail"]
    door.make_link()
    assert door.get(CHUNK).status == 200


def test_a_dataset_replaced_by_one_of_equal_geometry_keeps_its_links() -> None:
    door = open_door(dataset(LayerFiles("a", {ONE: ramp((60, 60, 30))})), freshness_s=1.0)
    before = door.get(SHARD).body
    door.source.inner.objects.update(dataset(LayerFiles("a", {ONE: noise((60, 60, 30))}), scale=[4, 4, 4]))
    door.clock.monotonic_s += 2

    after = door.get(SHARD)
    assert after.status == 200
    assert after.body != before
    assert b"4.0" in door.get("v3/a.zarr/zarr.json").body


def test_a_dataset_that_is_registered_no_more_ends_its_links() -> None:
    door = open_door(dataset(LayerFiles("a", {ONE: ramp((60, 60, 30))})), freshness_s=1.0)
    door.catalogue.remove(door.record.id)
    door.clock.monotonic_s += 2
    assert door.get(CHUNK).status == 410


def test_a_view_opens_its_layers_box_and_mags_and_nothing_else() -> None:
    from zarrlink.links.service import LinkRequest

    mags = {ONE: ramp((64, 64, 32)), Mag(2, 2, 2): ramp((32, 32, 16))}
    objects = dataset(LayerFiles("a", mags), LayerFiles("b", mags))
    door = open_door(
        objects, wish=LinkRequest(layers=("a",), box=BoundingBox((16, 16, 0), (16, 16, 16)), finest=Mag(2, 2, 2))
    )
    assert door.get("v3/a.zarr/0/zarr.json").status == 200
    assert json.loads(door.get("v3/a.zarr/0/zarr.json").body)["shape"] == [8, 8, 8]
    for path in (
        "v3/a.zarr/1/zarr.json",
        "v3/b.zarr/zarr.json",
        "v2/b.zarr/0/0/0/0",
        "v2/a.zarr/1/0/0/0",
        "v2/a.zarr/1/",
    ):
        assert door.get(path).status == 410

"""The fuzz targets: bytes from strangers go in, and nothing but answers and our own errors may come out.

`python tests/fuzz/targets.py NAME FOLDER [libFuzzer options]` runs one of them; `run.py` runs all.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import logging
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).parents[1]))

import atheris
import numcodecs

with atheris.instrument_imports(include=["zarrlink"], enable_loader_override=False):
    import fuzzed_api

    from builders.annotation_zips import Volume, annotation_zip, blosc, nml, voxels, wkw_data, zarr3_data, zip_of
    from builders.door import open_door
    from builders.nml_files import sample
    from builders.wkw_files import LayerFiles, dataset, description, noise, pyramid, ramp, volume_header, wkw_file
    from builders.zarr_trees import answer
    from zarrlink.annotations.imports import import_annotation
    from zarrlink.annotations.manifest import Manifest
    from zarrlink.annotations.safe_zip import SafeZip, ZipLimits
    from zarrlink.annotations.sink import MemorySink
    from zarrlink.annotations.upload import ImportLimits
    from zarrlink.annotations.zarr3_chunks import ChunkForm
    from zarrlink.byte_range import ByteRange, parse_range
    from zarrlink.errors import (
        CorruptFile,
        InvalidRequest,
        LinkGone,
        RangeNotSatisfiable,
        UnknownKey,
        UnsupportedLayer,
        ZarrlinkError,
    )
    from zarrlink.formats import source_n5, source_ngff, source_precomputed, source_zarr
    from zarrlink.formats.block_pack import ENTRY_BYTES, Kind, PackHeader, PackIndex, encode_index
    from zarrlink.formats.block_pack import HEADER_BYTES as PACK_HEADER_BYTES
    from zarrlink.formats.datasource import LayerDescription, MagDescription, parse_description
    from zarrlink.formats.nml import Limits, normalise, parse, write
    from zarrlink.formats.wkw import HEADER_BYTES, BlockType, WkwHeader
    from zarrlink.formats.wkw_writer import wkw_header
    from zarrlink.formats.zarr_keys import ChunkKey, Dialect, chunk_key, parse_key
    from zarrlink.geometry import BoundingBox, Mag, Vec3, VoxelSize
    from zarrlink.http.message import Request
    from zarrlink.layer import StoredMag, lay_out
    from zarrlink.links.token import KeyRing
    from zarrlink.metadata import documents
    from zarrlink.sources.permission import AllowedSources
    from zarrlink.sources.recognise import PROBES, kind_of
    from zarrlink.transcode import ArrayForm

DIALECTS: tuple[Dialect, ...] = ("v2", "v3")
MAG = Mag(1, 1, 1)
CONTROL_BYTES = 16
# What a header may promise is checked without making it.
MAX_BLOCK_BYTES = 2**16
MAX_BLOCKS = 2**9
ELEMENT_CLASSES = {"float32": "float", "float64": "double"}
DATASET = dataset(
    LayerFiles("em", pyramid(ramp((40, 40, 20)), (MAG, Mag(2, 2, 1)), (5, 0, 9)), (5, 0, 9)),
    LayerFiles("rgb", {MAG: ramp((12, 12, 12), channels=3)}, block_type=BlockType.RAW),
)


class Finding(Exception):
    """Something that may not be."""


@dataclass(frozen=True)
class Target:
    """`check` raises on a finding. `seeds`: inputs to start from."""

    check: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]


# --- WKW: header, table, blocks, chunks ---


def check_wkw(data: bytes) -> None:
    """The first bytes choose a box and a chunk; the others are a data file, and its header that of its folder."""
    control, file = data[:CONTROL_BYTES], data[CONTROL_BYTES:]
    if len(control) < CONTROL_BYTES:
        return
    try:
        header = WkwHeader.from_bytes(file)
        if header.to_bytes() != file[:HEADER_BYTES]:
            raise Finding("a header does not write the bytes that it was read from")
        if header.block_bytes > MAX_BLOCK_BYTES or header.blocks > MAX_BLOCKS:
            return
        corner, size = (control[0], control[1], control[2]), (control[3] + 1, control[4] + 1, control[5] + 1)
        for dialect in DIALECTS:
            form = array_form(header, BoundingBox(corner, size), dialect)
            width, height, depth = form.grid
            position = (control[6] % width, control[7] % height, control[8] % depth)
            check_chunk(file, form, position, control)
    except ZarrlinkError:
        return


def array_form(header: WkwHeader, box: BoundingBox, dialect: Dialect) -> ArrayForm:
    element_class = ELEMENT_CLASSES.get(header.dtype, header.dtype)
    described = LayerDescription(
        "em", "color", box, element_class, "wkw", header.channels, (MagDescription(MAG, ("em/1",)),), {}
    )
    layer = lay_out(described, VoxelSize((1.0, 1.0, 1.0)), [StoredMag(MAG, "em/1", header)])
    return ArrayForm(layer, layer.levels[0], dialect)


def check_chunk(file: bytes, form: ArrayForm, position: Vec3, control: bytes) -> None:
    x, y, z = form.shape(position).file_xyz
    objects = {f"em/1/z{z}/y{y}/x{x}.wkw": file}
    whole = answer(objects, form, position)
    if whole is None:
        return
    start = int.from_bytes(control[10:13], "little") % len(whole)
    end = start + 1 + int.from_bytes(control[13:16], "little") % (len(whole) - start)
    if answer(objects, form, position, ByteRange(start, end)) != whole[start:end]:
        raise Finding("a range is not that slice of the whole")


def wkw_seeds() -> list[bytes]:
    seeds = []
    for block_type in BlockType:
        for dtype, channels in (("uint8", 1), ("uint16", 3), ("float64", 1)):
            volume = noise((8, 8, 8), dtype, channels=channels)
            volume[4:] = ramp((8, 8, 4), dtype, channels=channels)
            header = volume_header(volume, block_side=4, file_side=2, block_type=block_type)
            blocks = {
                (x, y, z): volume[4 * z : 4 * z + 4, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4].tobytes()
                for z in range(2)
                for y in range(2)
                for x in range(2)
            }
            seeds += [
                control + wkw_file(header, blocks) for control in (bytes(16), bytes([0, 0, 0, 7, 7, 7, *range(10)]))
            ]
    one = wkw_header(block_side=1, file_side=1, block_type=BlockType.LZ4, voxel_type=1)
    return [*seeds, bytes(16) + wkw_file(one, {}), bytes(16) + one.to_bytes()]


# --- keys and addresses ---

_DOOR = open_door(DATASET)
_LOOP = asyncio.new_event_loop()
_METHODS = ("GET", "HEAD", "OPTIONS", "POST")


def check_keys(data: bytes) -> None:
    """The first byte chooses a method and where the rest is put: a key, an address below a link, a whole address."""
    if not data:
        return
    text = data[1:].decode("utf-8", "surrogateescape")
    for dialect in DIALECTS:
        try:
            key = parse_key(dialect, text)
        except (InvalidRequest, UnknownKey):
            continue
        if isinstance(key, ChunkKey) and chunk_key(dialect, key.level, key.position) != text:
            raise Finding(f"two addresses of one chunk: {text!r}")
    below = ("", "v3/em.zarr/", "v2/em.zarr/", "v3/rgb.zarr/", "v2/", "0")[data[0] // 4 % 6]
    path = f"/zarr/{text}" if below == "0" else f"{_DOOR.base}/{below}{text}"
    # The door of a server hands over bytes of the request line, one character each.
    request = Request(_METHODS[data[0] % 4], path.encode("utf-8", "surrogateescape").decode("latin-1"), {})
    reply = _LOOP.run_until_complete(_DOOR.path.respond(request))
    if reply.status not in (200, 204, 400, 404, 405, 410):
        raise Finding(f"{request.method} {path!r} is answered with {reply.status}")
    if request.method == "HEAD" and reply.body:
        raise Finding("HEAD has a body")


def keys_seeds() -> list[bytes]:
    words = (
        "", "zarr.json", ".zattrs", ".zmetadata", "0/zarr.json", "1/.zarray", "0/c/0/0/0", "0/0/0/0", "0/c/0/0/0/0", "0",
        "1/", "v3/em.zarr/0/c/0/0/0", "v2/em.zarr/.zattrs", "../", "%2e%2e/", "c.0.0.0", "labels/.zattrs", "%65m.zarr/0",
    )  # fmt: skip
    return [bytes([4 * place + method]) + word.encode() for word in words for place in range(6) for method in range(2)]


# --- datasource-properties.json ---


def check_datasource(data: bytes) -> None:
    """A description is read, and whatever of it can be laid out has documents.

    Where the first byte is even the rest is a description; else the second one chooses a place of a good description,
    at which the rest is put: few random bytes are JSON that gets as far as the layers.
    """
    if len(data) < 2:
        return
    if data[0] % 2 == 0:
        check_description(data[1:])
        return
    document: dict[str, Any] = json.loads(_DESCRIPTION)
    part, key = places(document)[data[1] % len(_PLACES)]
    try:
        part[key] = json.loads(data[2:])
    except (ValueError, RecursionError):
        part[key] = data[2:].decode("latin-1")
    check_description(json.dumps(document).encode())


def places(part: Any) -> list[tuple[Any, Any]]:
    """Every container and key in a document."""
    keys = list(part) if isinstance(part, dict) else list(range(len(part))) if isinstance(part, list) else []
    return [(part, key) for key in keys] + [place for key in keys for place in places(part[key])]


def check_description(data: bytes) -> None:
    try:
        found = parse_description(data)
    except InvalidRequest:
        return
    for layer in found.layers:
        kind = wkw_header(block_side=8, file_side=4, block_type=BlockType.LZ4, voxel_type=1)
        # Mags outside of the dataset have no folder.
        stored = [StoredMag(mag.mag, mag.folders[0], kind) for mag in layer.mags if mag.folders]
        try:
            laid_out = lay_out(layer, found.voxel_size, stored)
        except UnsupportedLayer:
            continue
        for dialect in DIALECTS:
            documents(laid_out, dialect)


def datasource_seeds() -> list[bytes]:
    old = b"""{"id": {"name": "old", "team": ""}, "scale": [11.24, 11.24, 28], "dataLayers": [{"name": "c", "category":
    "color", "boundingBox": {"topLeft": [0, 0, 0], "width": 64, "height": 64, "depth": 64}, "elementClass": "uint8",
    "wkwResolutions": [{"resolution": 1, "cubeLength": 1024}, {"resolution": [2, 2, 1], "cubeLength": 1024}]}]}"""
    view = {"color": [255, 0, 0], "intensityRange": [0, 200], "min": 0, "max": 255, "isInverted": True}
    layer = LayerFiles("em", {MAG: ramp((4, 4, 4))}, described={"defaultViewConfiguration": view, "mags": [{"mag": 1}]})
    rgb = LayerFiles("rgb", {MAG: ramp((4, 4, 4), channels=3)}, category="segmentation")
    whole = [old, description([layer, rgb]), description([layer], scale=[1, 2, 3]), b'{"dataLayers": []}']
    values = [b"null", b"true", b"-1", b"1e999", b"[]", b"{}", b"[1, 1, 1]", b'"../x"', b"1" + b"0" * 400]
    wounds = [bytes([1, place]) + value for place in range(len(_PLACES)) for value in values]
    return [b"\0" + document for document in whole] + wounds


_DESCRIPTION = description(
    [LayerFiles("em", {MAG: ramp((4, 4, 4))}, described={"defaultViewConfiguration": {"intensityRange": [0, 200]}})]
)
_PLACES = places(json.loads(_DESCRIPTION))


# --- byte ranges ---


def check_byte_range(data: bytes) -> None:
    length = int.from_bytes(data[:2], "little")
    wanted = parse_range(data[2:].decode("latin-1"))
    if wanted is None:
        return
    try:
        found = wanted.resolve(length)
    except RangeNotSatisfiable:
        return
    if not 0 <= found.start < found.end <= length:
        raise Finding(f"{found} of {length} bytes")


def byte_range_seeds() -> list[bytes]:
    headers = (b"bytes=0-9", b"bytes=5-", b"bytes=-5", b"Bytes= 1-2 ", b"bytes=0-1,3-4", b"bytes=9-1", b"items=0-1")
    return [b"\x64\x00" + header for header in headers]


# --- tokens ---

_RING = KeyRing({"a": b"\x01" * 32, "B": b"\x02" * 32}, "a")
_TOKEN = _RING.token("AbCdEfGh01234_-z")


def check_token(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    try:
        link_id = _RING.link_id(text)
    except LinkGone:
        return
    if _RING.token(link_id) != text:
        raise Finding(f"two tokens of one link: {text!r}")


def token_seeds() -> list[bytes]:
    return [_TOKEN.encode(), b"B" + _TOKEN[1:].encode(), _TOKEN[:-1].encode(), b"", "\u00e9".encode() * 17]


# --- NML ---

_NML_LIMITS = Limits(file_bytes=2**16, memory_bytes=2**22)


def check_nml(data: bytes) -> None:
    """The first byte chooses how the rest is cut in pieces. What is read is written, and then reads back equal.

    Where that byte is odd, the rest stands inside an element of a good file, which the second byte chooses.
    """
    if len(data) < 2:
        return
    text = data[2:]
    if data[0] % 2:
        text = _NML_PARTS[data[1] % len(_NML_PARTS)].replace(b"@", text)
    step = data[0] // 2 + 1
    try:
        document = parse((text[start : start + step] for start in range(0, len(text), step)), _NML_LIMITS)
    except InvalidRequest:
        return
    written = b"".join(write(document))
    if parse(written) != document:
        raise Finding("what is written does not read back equal")
    if b"".join(write(parse(written))) != written:
        raise Finding("the same document is written in two ways")
    try:
        normalised = normalise(document)
    except InvalidRequest:
        return
    if normalise(normalised) != normalised or normalised.node_count != document.node_count:
        raise Finding("normalising goes on and on, or loses nodes")


_NML_PARTS = (
    b"<things>@</things>",
    b"<things><parameters>@</parameters></things>",
    b"<things><thing id='1'><nodes>@</nodes></thing></things>",
    b"<things><thing id='1'><nodes><node id='1' x='0' y='0' z='0' @/></nodes></thing></things>",
    b"<things><thing id='1' @><nodes><node id='1' x='0' y='0' z='0'/></nodes></thing></things>",
    b"<things><thing id='1'><metadata><metadataEntry @/></metadata></thing></things>",
    b"<things><volume @><segments><segment id='1'/></segments></volume></things>",
    b"<things><new @>text</new></things>",
)


def nml_seeds() -> list[bytes]:
    whole = b"".join(write(sample()))
    lines = [line.strip() for line in whole.splitlines() if line.strip().endswith(b"/>")]
    inside = [bytes([255, place]) + line for place in range(3) for line in lines]
    attributes = [bytes([255, place]) + line.split(b" ", 1)[1][:-3] for place in range(3, 8) for line in lines]
    return [b"\xfe\0" + whole, b"\0\0" + whole, *inside, *attributes]


# --- metadata of foreign arrays ---

_ZARR2 = {"zarr_format": 2, "shape": [9, 9], "chunks": [4, 4], "dtype": "<u2", "compressor": None, "fill_value": 0,
          "order": "C", "filters": None}  # fmt: skip
_BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
_SHARDING = {"chunk_shape": [2, 2], "codecs": [_BYTES], "index_codecs": [_BYTES, {"name": "crc32c"}]}
_ZARR3 = {"zarr_format": 3, "node_type": "array", "shape": [9, 9], "data_type": "uint16", "fill_value": 0,
          "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 4]}},
          "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
          "codecs": [{"name": "sharding_indexed", "configuration": _SHARDING}]}  # fmt: skip
_N5 = {"dimensions": [9, 9, 9], "blockSize": [4, 4, 4], "dataType": "uint16", "compression": {"type": "gzip"},
       "downsamplingFactors": [[1, 1, 1]], "axes": ["x", "y", "z"]}  # fmt: skip
_SCALE = {"key": "1", "size": [9, 9, 9], "resolution": [1, 1, 1], "chunk_sizes": [[4, 4, 4]], "encoding": "raw"}
_INFO = {"type": "image", "data_type": "uint8", "num_channels": 1, "scales": [_SCALE]}
_IMAGE = {"multiscales": [{"axes": [{"name": "y"}, {"name": "x"}], "datasets": [{"path": "0", "coordinateTransformations":
          [{"type": "scale", "scale": [1, 1]}]}]}], "omero": {"channels": [{"color": "FF0000"}]}}  # fmt: skip


def _parse_group(data: bytes) -> None:
    attributes = source_n5.parse_attributes(data)
    source_n5.parse_group(attributes)
    source_ngff.label_names(attributes)
    if source_ngff.is_image(attributes):
        source_ngff.parse_image(attributes)


_PARSERS: list[tuple[Callable[[bytes], Any], dict[str, Any]]] = [
    (source_zarr.parse_v2, _ZARR2),
    (source_zarr.parse_v3, _ZARR3),
    (source_n5.parse_array, _N5),
    (source_precomputed.parse_info, _INFO),
    (_parse_group, _IMAGE),
    (_parse_group, _N5),
]


def check_arrays(data: bytes) -> None:
    """The first byte chooses a parser; where the second is even the rest is a document, else the third one chooses a
    place of a good document, at which the rest is put."""
    if len(data) < 3:
        return
    parse, good = _PARSERS[data[0] % len(_PARSERS)]
    document = data[3:]
    if data[1] % 2:
        changed = json.loads(json.dumps(good))
        found = places(changed)
        part, key = found[data[2] % len(found)]
        try:
            part[key] = json.loads(document)
        except (ValueError, RecursionError):
            part[key] = document.decode("latin-1")
        document = json.dumps(changed).encode()
    for probe in PROBES:
        kind_of({probe: document})
    try:
        parse(document)
    except (CorruptFile, UnsupportedLayer):
        return


def arrays_seeds() -> list[bytes]:
    values = [b"null", b"-1", b"1e999", b"[]", b"{}", b"[1, 1]", b'"../x"', b"1" + b"0" * 400]
    whole = [bytes([number, 0, 0]) + json.dumps(good).encode() for number, (_, good) in enumerate(_PARSERS)]
    return whole + [
        bytes([number, 1, place]) + value
        for number, (_, good) in enumerate(_PARSERS)
        for place in range(len(places(good)))
        for value in values
    ]


# --- addresses outside of a dataset ---

_ALLOWED = AllowedSources.of(["/data/volumes", "https://example.org/em", "s3://bucket/public"])


def check_address(data: bytes) -> None:
    try:
        found = _ALLOWED.check(data.decode("utf-8", "surrogateescape"))
    except UnsupportedLayer:
        return
    if {"", ".", ".."} & set(found.segments) or not any(
        found.text == prefix.text or found.text.startswith(f"{prefix.text}/") for prefix in _ALLOWED.prefixes
    ):
        raise Finding(f"{found} may be read")


def address_seeds() -> list[bytes]:
    return [
        start + rest
        for start in (b"/data/volumes/", b"file:///data/volumes/", b"https://example.org/em/", b"s3://bucket/public/")
        for rest in (b"", b"a/1", b"../x", b"%2e%2e/x", b"a%2fb", b"a\\b", b"@x/", b"?x", b"%252e")
    ]


# --- annotations: packs, uploads, manifests ---

_LIMITS = ZipLimits(entries=100, directory_bytes=2**14, unpacked_bytes=2**20)
_SCRATCH = Path(tempfile.gettempdir())
_MAGS = {"1": {(0, 0, 0): voxels(1, side=2), (3, 1, 0): bytes(32)}, "2-2-1": {(1, 0, 1): voxels(3, side=2)}}


def check_block_pack(data: bytes) -> None:
    try:
        index = PackIndex.from_bytes(data, index_bytes=len(data))
        part = index.page_range(range(index.header.pages))
        entries = index.read_pages(range(index.header.pages), b"" if part is None else data[part.start : part.end])
    except CorruptFile:
        return
    blocks = [(entry.morton, entry.kind, entry.length) for entry in entries]
    written = encode_index(index.header.block_side, index.header.block_bytes, blocks)
    if (written if index.header.checked else _as_version_1(written)) != data:
        raise Finding("an index does not write the bytes that it was read from")


def _as_version_1(index: bytes) -> bytes:
    """An index as it was before there were checks, which is read still and written no more."""
    header = replace(PackHeader.from_bytes(index, index_bytes=len(index)), checked=False)
    entries = index[len(index) - ENTRY_BYTES * header.entries :]
    unchecked = [entries[at : at + ENTRY_BYTES - 3] + bytes(3) for at in range(0, len(entries), ENTRY_BYTES)]
    return header.to_bytes() + index[PACK_HEADER_BYTES : header.directory_end] + b"".join(unchecked)


def block_pack_seeds() -> list[bytes]:
    many = [(3 * code, Kind(code % 3), code % 3 == 0 and 1 + code % 8) for code in range(600)]
    written = [
        encode_index(2, 8, blocks)
        for blocks in ([], [(5, Kind.DATA, 7)], [(0, Kind.ERASED, 0), (1, Kind.REVERTED, 0)], many[:100], many)
    ]
    return [*written, *map(_as_version_1, written)]


def check_zip(data: bytes) -> None:
    try:
        archive = SafeZip(io.BytesIO(data), _LIMITS)
    except InvalidRequest:
        return
    total = 0
    for entry in archive.entries.values():
        try:
            total += len(archive.read(entry, 2**20))
        except InvalidRequest:
            continue
    if total > _LIMITS.unpacked_bytes:
        raise Finding(f"{total} bytes were unpacked")


def zip_seeds() -> list[bytes]:
    files = {"a": b"hello" * 10, "folder/": b"", "folder/b": bytes(100), "\u00e9": b""}
    return [zip_of(files), zip_of(files, method=zipfile.ZIP_STORED), zip_of({}), *_uploads()]


def check_annotation(data: bytes) -> None:
    sink = MemorySink()
    try:
        import_annotation(io.BytesIO(data), sink, scratch=_SCRATCH, limits=ImportLimits(_LIMITS, 2**16))
    except InvalidRequest:
        if sink.objects:
            raise Finding("something of a refused upload is left") from None
        return
    Manifest.from_json(sink.objects["annotation.json"])


def _uploads() -> list[bytes]:
    data_zips = [("wkw", wkw_data(_MAGS, side=2)), ("zarr3", zarr3_data(_MAGS, side=2))]
    return [
        annotation_zip(Volume(data=zip_of(files, method=method), format=form), method=method)
        for form, files in data_zips
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    ]


def annotation_seeds() -> list[bytes]:
    return [*_uploads(), nml(Volume(location=None)), nml()]


def check_zarr3_chunk(data: bytes) -> None:
    """The first byte chooses the form, the others are a chunk."""
    if not data:
        return
    packing: Literal["none", "blosc", "gzip"] = ("none", "blosc", "gzip")[data[0] % 3]
    form = ChunkForm(8, 4, bool(data[0] & 128), packing)
    try:
        form.block(0, data[1:], key="k")
    except CorruptFile:
        return


def chunk_seeds() -> list[bytes]:
    block = voxels(1, side=8)
    return [b"\x01" + blosc(block), b"\x82" + gzip.compress(block), b"\0" + block, b"\x01\0"] + [
        b"\x81" + bytes(numcodecs.Blosc(codec, 5, shuffle).encode(block))
        for codec in ("lz4", "lz4hc", "zstd", "zlib", "blosclz")
        for shuffle in (0, 1, 2)
    ]


def check_manifest(data: bytes) -> None:
    try:
        manifest = Manifest.from_json(data)
    except CorruptFile:
        return
    if Manifest.from_json(manifest.to_json()) != manifest:
        raise Finding("a manifest is not read as it was written")


def manifest_seeds() -> list[bytes]:
    seeds = []
    for upload in annotation_seeds():
        sink = MemorySink()
        import_annotation(io.BytesIO(upload), sink, scratch=_SCRATCH)
        seeds.append(sink.objects["annotation.json"])
    return seeds


# --- the API, by its own description ---

_SITE: list[fuzzed_api.Site] = []


def check_openapi(data: bytes) -> None:
    if not data:
        return
    # Made where it is wanted: it takes a while.
    if not _SITE:
        logging.disable()
        _SITE.append(fuzzed_api.Site())
    if wrong := fuzzed_api.check(_SITE[0], data):
        raise Finding(wrong)


TARGETS = {
    "openapi": Target(check_openapi, fuzzed_api.seeds),
    "block_pack": Target(check_block_pack, block_pack_seeds),
    "zip": Target(check_zip, zip_seeds),
    "annotation": Target(check_annotation, annotation_seeds),
    "chunk": Target(check_zarr3_chunk, chunk_seeds),
    "manifest": Target(check_manifest, manifest_seeds),
    "arrays": Target(check_arrays, arrays_seeds),
    "address": Target(check_address, address_seeds),
    "wkw": Target(check_wkw, wkw_seeds),
    "keys": Target(check_keys, keys_seeds),
    "datasource": Target(check_datasource, datasource_seeds),
    "byte_range": Target(check_byte_range, byte_range_seeds),
    "token": Target(check_token, token_seeds),
    "nml": Target(check_nml, nml_seeds),
}


def main() -> None:
    name, folder, *options = sys.argv[1:]
    target = TARGETS[name]
    for number, seed in enumerate(target.seeds()):
        (Path(folder) / f"seed-{number}").write_bytes(seed)
    atheris.Setup([sys.argv[0], folder, *options], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

"""What an export is made from: enough to plan it anywhere again, as one JSON document."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from zarrlink.errors import InvalidRequest
from zarrlink.geometry import BoundingBox, Mag, Vec3, VoxelSize, vec3

Kind = Literal["ome_tiff", "tiff_stack"]
Compression = Literal["deflate", "zstd", "none"]
# What becomes of 64-bit numbers, which hardly any reader takes: made narrow where all of them fit 32 bits (an export
# with one that does not fails), replaced by the numbers of a table, or kept in a TIFF that is no OME-TIFF.
Wide = Literal["narrow", "renumber", "keep"]
# Changes whenever the same request would give other bytes.
LAYOUT_VERSION: Final = "zarrlink-tiff-2"
_NAMESPACE: Final = uuid.UUID("6f3f2f0c-53f0-5d0c-9a52-0d3f4b6b2f57")
_MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What somebody asked for. `box` in mag-1 voxels, exported aligned outward at `mag`.

    `levels` of the pyramid, None until the larger side has at most 1024 pixels. `tile`: side of a tile, a multiple of
    16. `extra`: one coordinate for each additional axis.
    """

    kind: Kind
    box: BoundingBox
    mag: Mag
    compression: Compression = "deflate"
    wide: Wide = "narrow"
    levels: int | None = None
    tile: int = 512
    extra: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in ("ome_tiff", "tiff_stack"):
            raise InvalidRequest("an export is an ome_tiff or a tiff_stack")
        if self.compression not in ("deflate", "zstd", "none"):
            raise InvalidRequest("a TIFF is compressed by deflate, zstd or none")
        if self.kind == "tiff_stack" and self.compression == "zstd":
            raise InvalidRequest("ImageJ opens no zstd: choose deflate or none for a TIFF stack")
        if self.wide not in ("narrow", "renumber", "keep"):
            raise InvalidRequest("64-bit numbers are made narrow, renumbered or kept")
        if self.levels is not None and not 1 <= self.levels <= 32:
            raise InvalidRequest("a pyramid has 1 to 32 levels")
        if self.levels is not None and self.kind == "tiff_stack":
            raise InvalidRequest("a TIFF stack has no pyramid: leave out the number of levels, or choose an OME-TIFF")
        if self.tile % 16 or not 16 <= self.tile <= 4096:
            raise InvalidRequest("a tile's side is a multiple of 16 from 16 to 4096")


@dataclass(frozen=True, slots=True)
class ExportSource:
    """What is known of the layer at the request's mag.

    `box`: the layer's, in mag-1 voxels. `mags`: all that could be asked for. `chunk`, `chunk_start`: (x, y, z) in the
    mag's own voxels, what is best read together and where its grid begins. `revision`: changes with the
    layer's description and headers, `content` with its data files (`zarrlink.exports.originals`); `revised_at`: when the
    dataset or annotation was last made known, ISO 8601 in UTC. `channel_colors` as RRGGBB. `annotation`: id of
    the one that is exported with its dataset. `axes`: names of the additional axes.
    """

    dataset: str
    layer: str
    box: BoundingBox
    mags: tuple[Mag, ...]
    dtype: str
    channels: int
    voxel_size: VoxelSize
    revision: str
    revised_at: str
    chunk: Vec3
    chunk_start: Vec3 = (0, 0, 0)
    is_labels: bool = False
    is_rgb: bool = False
    channel_names: tuple[str, ...] = ()
    channel_colors: tuple[str, ...] = ()
    mapping: str = ""
    annotation: str = ""
    content: str = ""
    axes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the store and of a worker, in bytes unless said otherwise.

    S3 (user guide, "Amazon S3 multipart upload limits", 2026-10): objects of 5 TiB in 10 000 `parts` of at least 5 MiB
    except the last. Local files have no smallest part. `unit`: voxels of one unit, `aimed_unit`: as many where there
    are many units. `slab`: voxels that a worker reads at a time, `largest_slab` where a chunk asks for it.
    """

    object_bytes: int = 5 * 2**40
    parts: int = 10_000
    least_part: int = 5 * _MIB
    unit: int = 1024 * _MIB
    aimed_unit: int = 256 * _MIB
    smallest_unit: int = 32 * _MIB
    slab: int = 16 * _MIB
    largest_slab: int = 32 * _MIB


@dataclass(frozen=True, slots=True)
class ExportSpec:
    """A request, what it is of, and what it is bound by: from it follows the plan, everywhere the same.

    `ratio`: encoded bytes for a byte of voxels, as a few sampled tiles had it (`zarrlink.exports.sampling`).
    `encoder`: what encodes, with its version.
    """

    request: ExportRequest
    source: ExportSource
    encoder: str
    limits: Limits = field(default_factory=Limits)
    ratio: float = 1.0

    @property
    def uuid(self) -> str:
        """Equal for equal files: of the source's revision and content, the request and the encoder's version."""
        facts = [LAYOUT_VERSION, self.source.revision, self.source.content, asdict(self.request), self.encoder]
        return str(uuid.uuid5(_NAMESPACE, json.dumps(facts, sort_keys=True)))

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, document: str | bytes) -> ExportSpec:
        """Of what `to_json` gave."""
        found = json.loads(document)
        request, source = found["request"], found["source"]
        request |= {"box": _box(request["box"]), "mag": Mag(**request["mag"]), "extra": tuple(request["extra"])}
        source |= {
            "box": _box(source["box"]),
            "mags": tuple(Mag(**mag) for mag in source["mags"]),
            "voxel_size": VoxelSize(tuple(source["voxel_size"]["factor"]), source["voxel_size"]["unit"]),
            **{key: vec3(source[key]) for key in ("chunk", "chunk_start")},
            **{key: tuple(source[key]) for key in ("channel_names", "channel_colors", "axes")},
        }
        limits = Limits(**found["limits"])
        return cls(ExportRequest(**request), ExportSource(**source), found["encoder"], limits, found["ratio"])


def _box(found: dict[str, Any]) -> BoundingBox:
    return BoundingBox(vec3(found["top_left"]), vec3(found["size"]))

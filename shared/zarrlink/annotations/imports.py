"""Importing a WEBKNOSSOS download: an NML, or a zip of one NML and the data zips that it names.

Nothing is trusted, memory is bounded by the list of files, and nothing of an import that fails is left. Block bytes of
`wkw` downloads are kept untouched; each block is decoded once to see that it can be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

from zarrlink.annotations.blocks import FoundMag
from zarrlink.annotations.manifest import (
    ELEMENT_CLASS_OF,
    ITEM_BYTES,
    MANIFEST_KEY,
    NML_KEY,
    EditedMapping,
    Manifest,
    PackedVolume,
    edited_mapping_key,
)
from zarrlink.annotations.nml_facts import NmlFacts, VolumeFacts
from zarrlink.annotations.pack_writer import write_mag
from zarrlink.annotations.safe_zip import PIECE_BYTES, SafeZip
from zarrlink.annotations.sink import PackSink
from zarrlink.annotations.upload import ImportLimits, OpenUpload, open_upload
from zarrlink.annotations.wkw_zip import wkw_mags
from zarrlink.annotations.zarr3_zip import zarr3_mags
from zarrlink.annotations.zip_directory import ZipEntry
from zarrlink.errors import CorruptFile, InvalidRequest, brief

Progress = Callable[[int, int], None]
"""Told how many bytes of volume data are done, of how many."""
MAX_MAGS: Final = 64


def import_annotation(
    upload: BinaryIO,
    sink: PackSink,
    *,
    scratch: Path,
    limits: ImportLimits | None = None,
    progress: Progress = lambda _done, _total: None,
    name: str = "annotation",
) -> Manifest:
    """Read a download (seekable; a zip or an NML) and write its packs, NML and manifest to `sink`.

    `scratch`: a folder for what a compressed data zip unpacks to; the files have no names and go by themselves.
    `name`: the annotation's, where the upload is a bare NML. Finishes the sink, or aborts it on any error.
    Raises InvalidRequest for what is wrong with the upload, SourceUnavailable where the sink fails.
    """
    limits = limits or ImportLimits()
    return import_opened(open_upload(upload, limits, name), sink, scratch=scratch, limits=limits, progress=progress)


def import_opened(
    upload: OpenUpload, sink: PackSink, *, scratch: Path, limits: ImportLimits, progress: Progress
) -> Manifest:
    """The same for an upload that was opened before."""
    try:
        manifest = _Import(upload, sink, scratch, limits, progress).run()
        sink.write(MANIFEST_KEY, [manifest.to_json()])
        sink.finish()
    except CorruptFile as error:
        sink.abort()
        raise InvalidRequest(f"the upload is damaged: {error.what} ({brief(error.key)})") from error
    except BaseException:
        sink.abort()
        raise
    return manifest


class _Import:
    def __init__(
        self, upload: OpenUpload, sink: PackSink, scratch: Path, limits: ImportLimits, progress: Progress
    ) -> None:
        self._upload = upload
        self._sink = sink
        self._scratch = scratch
        self._limits = limits
        self._progress = progress
        self._unpacked = self._done = self._total = 0

    def run(self) -> Manifest:
        facts, files, source = self._upload.facts, self._upload.files, self._upload.zip
        wanted = _data_files(facts, files, bare=source is None)
        edited = _edited_files(facts, files)
        for unknown in files.keys() - {entry.name for entry in [*wanted.values(), *edited.values()]}:
            raise InvalidRequest(f"the upload has {brief(unknown)}, which no volume of its NML names")
        self._total = sum(entry.unpacked_bytes for entry in wanted.values())
        volumes = []
        for place, volume in enumerate(facts.volumes):
            packed = _without_data(volume)
            if source and place in wanted:
                packed = self._volume(source, wanted[place], place, packed)
            if source and place in edited:
                packed = replace(packed, edited_mapping=self._edited(source, edited[place], place))
            volumes.append(packed)
        self._progress(self._total, self._total)
        self._sink.write(NML_KEY, self._upload.nml_pieces())
        return Manifest(
            name=self._upload.name,
            dataset_name=facts.dataset_name,
            organization=facts.organization,
            dataset_id=facts.dataset_id,
            annotation_id=facts.annotation_id,
            username=facts.username,
            voxel_size=facts.voxel_size,
            volumes=tuple(volumes),
            trees=facts.trees,
            nodes=facts.nodes,
        )

    def _volume(self, upload: SafeZip, entry: ZipEntry, place: int, volume: PackedVolume) -> PackedVolume:
        with upload.open(entry, self._scratch) as file:
            left = self._limits.zip.unpacked_bytes - self._unpacked
            data_zip = SafeZip(file, replace(self._limits.zip, unpacked_bytes=left), label=brief(entry.name))
            self._unpacked += data_zip.unpacked_bytes
            found = wkw_mags(data_zip, self._scratch) if volume.format == "wkw" else zarr3_mags(data_zip)
            if not found:
                return volume
            found.sort(key=lambda mag: (mag.mag.x * mag.mag.y * mag.mag.z, mag.mag))
            side, element_class = _common_kind(found, entry.name)
            done = self._done
            packed = tuple(
                write_mag(self._sink, place, mag, side**3 * ITEM_BYTES[element_class], self._tick) for mag in found
            )
            self._done = done + entry.unpacked_bytes
        return replace(volume, element_class=element_class, block_side=side, mags=packed)

    def _tick(self, packed_bytes: int) -> None:
        self._done += packed_bytes
        self._progress(min(self._done, self._total), self._total)

    def _edited(self, upload: SafeZip, entry: ZipEntry, place: int) -> EditedMapping:
        """Kept as it came; only that it is a zip in itself, and whole, is looked at."""
        with upload.open(entry, self._scratch) as file:
            SafeZip(file, self._limits.zip, label=brief(entry.name))
            file.seek(0)
            key = edited_mapping_key(place)
            return EditedMapping(key, entry.name, self._sink.write(key, _pieces(file)))


def _data_files(facts: NmlFacts, files: dict[str, ZipEntry], *, bare: bool) -> dict[int, ZipEntry]:
    """The data zip of each volume that has one, by the volume's place in the NML."""
    wanted: dict[int, ZipEntry] = {}
    for place, volume in enumerate(facts.volumes):
        if volume.format not in ("wkw", "zarr3"):
            raise InvalidRequest(f"a volume of the NML has the format {brief(volume.format)}; accepted: wkw, zarr3")
        if volume.location is None:
            continue
        entry = files.get(volume.location)
        if entry is None:
            where = "upload the zip it came in" if bare else "the upload is not complete"
            raise InvalidRequest(f"the NML names the volume data {brief(volume.location)}, which is missing: {where}")
        if entry in wanted.values():
            raise InvalidRequest(f"two volumes of the NML name the same data, {brief(volume.location)}")
        wanted[place] = entry
    return wanted


def _edited_files(facts: NmlFacts, files: dict[str, ZipEntry]) -> dict[int, ZipEntry]:
    """The proofreading file of each volume that has one: named by the NML (newer servers), or by its own name."""
    edited: dict[int, ZipEntry] = {}
    for place, volume in enumerate(facts.volumes):
        named = volume.edited_mapping_location
        label = volume.name or "Volume"
        names = [named] if named else [f"editedMappingEdges_{volume.id}_{label}.zip", f"editedMappingEdges_{label}.zip"]
        found = [files[candidate] for candidate in names if candidate in files]
        # With such names a download can never have two files of one name.
        if named and (not found or not (named.startswith("editedMappingEdges") and named.endswith(".zip"))):
            raise InvalidRequest(f"the NML names the edited mapping {brief(named)}, which is missing or oddly called")
        if found and found[0] in edited.values():
            raise InvalidRequest(f"two volumes of the NML name the same edited mapping, {brief(found[0].name)}")
        if found:
            edited[place] = found[0]
    return edited


def _without_data(volume: VolumeFacts) -> PackedVolume:
    return PackedVolume(
        id=volume.id,
        name=volume.name,
        format=volume.format,
        element_class=None,
        fallback_layer=volume.fallback_layer,
        largest_segment_id=volume.largest_segment_id,
        mapping_name=volume.mapping_name,
        mapping_is_locked=volume.mapping_is_locked,
        edited_mapping=None,
        block_side=None,
        mags=(),
        nml_offset=volume.nml_offset,
    )


def _common_kind(found: list[FoundMag], label: str) -> tuple[int, str]:
    """Block side and element class, which all mags must share."""
    if len(found) > MAX_MAGS:
        raise InvalidRequest(f"{brief(label)} has {len(found)} mags; at most {MAX_MAGS} are accepted")
    first = found[0]
    for mag in found[1:]:
        if (mag.block_side, mag.dtype) != (first.block_side, first.dtype):
            raise InvalidRequest(
                f"{brief(label)} has blocks of {first.block_side}^3 {first.dtype} in mag {first.mag.literal} "
                f"and of {mag.block_side}^3 {mag.dtype} in mag {mag.mag.literal}"
            )
    return first.block_side, ELEMENT_CLASS_OF[first.dtype]


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(PIECE_BYTES):
        yield piece

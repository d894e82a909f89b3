"""Downloads kept in S3 beside what they are made of: a function's answer is limited in size and time."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

from zarrlink.annotations.download import Download, download
from zarrlink.annotations.downloads import Elsewhere, Holdings, disposition
from zarrlink.annotations.manifest import Manifest
from zarrlink.annotations.nml_identity import Identity
from zarrlink.annotations.s3_sink import S3Sink
from zarrlink.annotations.s3_vault import TOP
from zarrlink.annotations.volume_zip import VolumeData
from zarrlink.aws_errors import NO_OBJECT, ask
from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.errors import NotReady

# What a function may answer is 6 MB with base64, which makes 4 of 3.
DIRECT_BYTES: Final = 4 * 2**20
ADDRESS_S: Final = 300
# What is made within a request of 25 s: so many blocks took 2 (wkw) to 4 s (zarr3) of one processor, and a function of
# 1 GB has a bit more than half of one.
AT_ONCE_BYTES: Final = 16 * 2**20
AT_ONCE_BLOCKS: Final = 10_000
# As long as a function runs at most: after that, whoever was making it is not any more.
MAKING_S: Final = 900


class S3Downloads:
    """`annotations/ID/REVISION/downloads/FORMAT`, which goes with its revision. See `downloads.Downloads`.

    `make_elsewhere`: has one made that takes longer than a request, by `keep`. `client`: boto3's of S3; it signs.
    """

    def __init__(
        self,
        holdings: Holdings,
        client: Any,
        bucket: str,
        *,
        now_ms: Callable[[], int],
        make_elsewhere: Callable[[AnnotationRecord, VolumeData | None], None],
    ) -> None:
        self._holdings = holdings
        self._client = client
        self._bucket = bucket
        self._now_ms = now_ms
        self._make_elsewhere = make_elsewhere

    async def get(
        self, record: AnnotationRecord, volume_data: VolumeData | None, identity: Identity | None = None
    ) -> Download | Elsewhere:
        source, manifest = await self._holdings(record)
        made = download(manifest, source, volume_data=volume_data, name=record.name, identity=identity)
        key = _key(record, volume_data, identity)
        length = await asyncio.to_thread(self._length, key)
        if length is None:
            if _takes_long(manifest, volume_data):
                await asyncio.to_thread(self._have_it_made, record, volume_data)
                raise NotReady("the download is being made: ask again in a few seconds")
            length = await self.keep(record, volume_data, identity)
        if length > DIRECT_BYTES:
            return Elsewhere(self._address(key, made))
        data = await asyncio.to_thread(self._read, key)
        return Download(made.media_type, made.file_name, _once(data))

    async def keep(
        self, record: AnnotationRecord, volume_data: VolumeData | None, identity: Identity | None = None
    ) -> int:
        """Make a download and keep it; gives its length. It is there when it is whole, and not before."""
        source, manifest = await self._holdings(record)
        made = download(manifest, source, volume_data=volume_data, name=record.name, identity=identity)
        prefix, _, name = _key(record, volume_data, identity).rpartition("/")
        sink = S3Sink(self._client, self._bucket, prefix)
        pieces = _pulled(made.body, asyncio.get_running_loop())
        return await asyncio.to_thread(sink.write, name, pieces)

    def made(self, record: AnnotationRecord, volume_data: VolumeData | None) -> None:
        """Nobody is making it any more: the next who asks may have it made again."""
        ask(lambda: self._client.delete_object(Bucket=self._bucket, Key=_marker(record, volume_data)))

    def _have_it_made(self, record: AnnotationRecord, volume_data: VolumeData | None) -> None:
        """Once, however many ask meanwhile; two who ask at one moment have it made twice, with the same outcome."""
        marker = _marker(record, volume_data)
        begun = self._head(marker)
        if begun is None or self._now_ms() - begun["LastModified"].timestamp() * 1000 > MAKING_S * 1000:
            ask(lambda: self._client.put_object(Bucket=self._bucket, Key=marker, Body=b""))
            self._make_elsewhere(record, volume_data)

    def _address(self, key: str, made: Download) -> str:
        wanted = {
            "Bucket": self._bucket,
            "Key": key,
            "ResponseContentType": made.media_type,
            "ResponseContentDisposition": disposition(made.file_name),
            "ResponseCacheControl": "no-store",
        }
        signed = ask(lambda: self._client.generate_presigned_url("get_object", Params=wanted, ExpiresIn=ADDRESS_S))
        return str(signed)

    def _length(self, key: str) -> int | None:
        found = self._head(key)
        return None if found is None else int(found["ContentLength"])

    def _head(self, key: str) -> Any:
        return ask(lambda: self._client.head_object(Bucket=self._bucket, Key=key), or_none=NO_OBJECT)

    def _read(self, key: str) -> bytes:
        def whole() -> Any:
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()

        data: bytes = ask(whole)
        return data


def _key(record: AnnotationRecord, volume_data: VolumeData | None, identity: Identity | None = None) -> str:
    name: str = volume_data or "without-volume-data"
    if identity is not None:
        # The dataset may be called otherwise tomorrow.
        name += f"-{hashlib.sha256(repr(identity).encode()).hexdigest()[:16]}"
    return f"{TOP}/{record.id}/{record.revision}/downloads/{name}"


def _marker(record: AnnotationRecord, volume_data: VolumeData | None) -> str:
    return _key(record, volume_data) + ".being-made"


def _takes_long(manifest: Manifest, volume_data: VolumeData | None) -> bool:
    if volume_data is None:
        return False
    mags = [mag for volume in manifest.volumes for mag in volume.mags]
    edited = [volume.edited_mapping.file_bytes for volume in manifest.volumes if volume.edited_mapping is not None]
    stored = sum(mag.data_bytes for mag in mags) + sum(edited)
    return stored > AT_ONCE_BYTES or sum(mag.blocks for mag in mags) > AT_ONCE_BLOCKS


def _pulled(body: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop) -> Iterator[bytes]:
    """An asynchronous body for a thread that writes it while `loop` runs."""

    async def following() -> bytes | None:
        return await anext(body, None)

    while (piece := asyncio.run_coroutine_threadsafe(following(), loop).result()) is not None:
        yield piece


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data

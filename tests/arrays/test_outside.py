"""Arrays outside of their dataset's folder: another folder, a web server, S3; and what may not be read."""

from __future__ import annotations

import asyncio
import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from builders.foreign_arrays import numbered, write_precomputed, write_zarr2, write_zarr3
from builders.foreign_layers import layer, opened, read
from builders.moto_aws import REGION, moto_aws
from zarrlink.arrays.foreign import Stores, open_array
from zarrlink.errors import SourceUnavailable, UnsupportedLayer
from zarrlink.sources.permission import AllowedSources
from zarrlink.storage.files import LocalFiles

DATA = numbered((8, 9, 10))


class Web:
    """A server of a folder, which counts; `redirect` is where it sends everybody instead, `status` what it answers."""

    def __init__(self, folder: Path) -> None:
        self.seen: list[str] = []
        self.redirect: str | None = None
        self.status: int | None = None
        web = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                web.seen.append(self.path)
                if web.redirect is not None:
                    self.send_response(302)
                    self.send_header("Location", web.redirect + self.path)
                    self.end_headers()
                elif web.status is not None:
                    self.send_response(web.status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                else:
                    super().do_GET()

            def log_message(self, *args) -> None:
                pass

        handler = functools.partial(Handler, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    server = Web(tmp_path / "web")
    yield server
    server.stop()


def dataset(tmp_path: Path) -> Path:
    (tmp_path / "ds").mkdir()
    write_zarr3(tmp_path / "web/deep/one two/1", DATA, (4, 4, 4), names=["z", "y", "x"])
    return tmp_path / "ds"


def test_another_folder_that_is_allowed(tmp_path: Path) -> None:
    root = dataset(tmp_path)
    described = layer("zarr3", order="zyx", address=str(tmp_path / "web/deep/one two/1"))
    stores = Stores(allowed=AllowedSources.of([str(tmp_path / "web")]))
    np.testing.assert_array_equal(read(opened(root, described, stores), (0, 0, 0), (10, 9, 8))[0], DATA)


@pytest.mark.parametrize("form", ["zarr", "zarr3", "n5", "neuroglancerPrecomputed"])
@pytest.mark.parametrize(
    "address", ["/etc", "file:///etc", "s3://bucket/x", "http://169.254.169.254/latest", "gs://b/x"]
)
def test_nothing_outside_is_read_unless_it_is_allowed(tmp_path: Path, form: str, address: str) -> None:
    with pytest.raises(UnsupportedLayer, match=r"layer 'a', mag 1: it lies outside .*--allow-source PREFIX.*ZARRLINK_"):
        opened(tmp_path, layer(form, address=address))


def test_a_web_server_that_is_allowed(tmp_path: Path, web: Web) -> None:
    root = dataset(tmp_path)
    described = layer("zarr3", order="zyx", address=f"{web.address}/deep/one%20two/1")
    array = opened(root, described, Stores(allowed=AllowedSources.of([f"{web.address}/deep"])))
    np.testing.assert_array_equal(read(array, (0, 0, 0), (10, 9, 8))[0], DATA)
    assert list(array.witnesses) == ["zarr.json"]
    (seen,) = array.witnesses.values()
    assert asyncio.run(array.source.stat("zarr.json")).etag == seen


def test_a_redirect_is_not_followed(tmp_path: Path, web: Web) -> None:
    root = dataset(tmp_path)
    other = Web(tmp_path / "web")
    web.redirect = other.address
    described = layer("zarr3", order="zyx", address=f"{web.address}/deep/one%20two/1")
    with pytest.raises(SourceUnavailable):
        opened(root, described, Stores(allowed=AllowedSources.of([web.address])))
    other.stop()
    assert web.seen
    assert not other.seen


@pytest.mark.parametrize("status", [403, 500, 503])
def test_a_web_server_that_refuses_is_not_fill_value(tmp_path: Path, web: Web, status: int) -> None:
    root = dataset(tmp_path)
    described = layer("zarr3", order="zyx", address=f"{web.address}/deep/one two/1")
    array = opened(root, described, Stores(allowed=AllowedSources.of([web.address])))
    web.status = status
    with pytest.raises(SourceUnavailable):
        read(array, (0, 0, 0), (10, 9, 8))


def test_a_web_server_that_lost_everything_is_not_fill_value(tmp_path: Path, web: Web) -> None:
    root = dataset(tmp_path)
    described = layer("zarr3", order="zyx", address=f"{web.address}/deep/one two/1")
    array = opened(root, described, Stores(allowed=AllowedSources.of([web.address])))
    web.status = 404
    with pytest.raises(SourceUnavailable):
        read(array, (0, 0, 0), (10, 9, 8))


def test_the_info_above_an_allowed_scale_is_not_read_unless_allowed(tmp_path: Path, web: Web) -> None:
    root = tmp_path / "ds"
    root.mkdir()
    write_precomputed(tmp_path / "web/seg", {"4_4_40": DATA[..., None]})
    described = layer("neuroglancerPrecomputed", address=f"{web.address}/seg/4_4_40")
    with pytest.raises(UnsupportedLayer, match="info file lies above"):
        opened(root, described, Stores(allowed=AllowedSources.of([f"{web.address}/seg/4_4_40"])))
    assert not web.seen
    array = opened(root, described, Stores(allowed=AllowedSources.of([f"{web.address}/seg"])))
    np.testing.assert_array_equal(read(array, (0, 0, 0), (8, 9, 10))[0], DATA.transpose(2, 1, 0))


def test_arrays_in_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "secret")):
        monkeypatch.setenv(name, value)
    write_zarr2(tmp_path / "a", DATA, (4, 4, 4), order="F")
    with moto_aws() as aws:
        bucket = aws.new_bucket()
        for file in (tmp_path / "a").iterdir():
            aws.client("s3").put_object(Bucket=bucket, Key=f"x/a/{file.name}", Body=file.read_bytes())
        environ = {"AWS_ENDPOINT_URL": aws.endpoint, "AWS_REGION": REGION, "AWS_ACCESS_KEY_ID": "key"}
        stores = Stores(allowed=AllowedSources.of([f"s3://{bucket}/x"]), environ=environ)
        array = opened(tmp_path, layer("zarr", order="zyx", address=f"s3://{bucket}/x/a"), stores)
        np.testing.assert_array_equal(read(array, (0, 0, 0), (10, 9, 8))[0], DATA)

        described = layer("zarr", order="zyx", address=f"s3://{bucket}/x/none")
        assert (
            asyncio.run(open_array(LocalFiles(tmp_path), str(tmp_path), described, described.mags[0], stores)) is None
        )


def test_a_bucket_that_is_gone_is_not_fill_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "secret")):
        monkeypatch.setenv(name, value)
    write_zarr2(tmp_path / "a", DATA, (4, 4, 4))
    with moto_aws() as aws:
        client, bucket = aws.client("s3"), aws.new_bucket()
        client.put_object(Bucket=bucket, Key="a/.zarray", Body=(tmp_path / "a/.zarray").read_bytes())
        environ = {"AWS_ENDPOINT_URL": aws.endpoint, "AWS_REGION": REGION, "AWS_ACCESS_KEY_ID": "key"}
        stores = Stores(allowed=AllowedSources.of([f"s3://{bucket}"]), environ=environ)
        array = opened(tmp_path, layer("zarr", order="zyx", address=f"s3://{bucket}/a"), stores)
        client.delete_object(Bucket=bucket, Key="a/.zarray")
        client.delete_bucket(Bucket=bucket)
        with pytest.raises(SourceUnavailable):
            read(array, (0, 0, 0), (10, 9, 8))

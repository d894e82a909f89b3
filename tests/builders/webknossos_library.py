"""What the `webknossos` library reads of an annotation: an oracle that shares no code with us.

In a process and an environment of its own (`make setup-webknossos`): it asks for old releases of what we use, and
importing it prints, warns and changes environment variables. The library is AGPL: it is called in tests, nowhere else.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from zarrlink.geometry import Mag, Vec3

Blocks = dict[Vec3, NDArray[Any]]
PYTHON = Path(__file__).parents[2] / ".venv-webknossos" / "bin" / "python"
NOT_THERE = f"no webknossos library to compare with: `make setup-webknossos` makes {PYTHON.parts[-3]}"


@dataclass(frozen=True)
class LibraryVolume:
    """`mags`: block position (x, y, z) -> voxels [x, y, z], for each block that is stored."""

    name: str
    fallback_layer: str | None
    largest_segment_id: int | None
    has_data: bool
    mags: dict[Mag, Blocks]


@dataclass(frozen=True)
class LibraryAnnotation:
    """`skeleton`: trees by name, each its nodes (id, position, radius) and edges."""

    name: str
    dataset_name: str
    voxel_size: tuple[float, ...]
    skeleton: dict[str, Any]
    bounding_boxes: list[Any]
    volumes: dict[int, LibraryVolume]


def read_by_library(file: Path) -> LibraryAnnotation:
    """An NML or zip as the library's `Annotation.load` reads it."""
    found: LibraryAnnotation = pickle.loads(_run("read", str(file)))
    return found


def write_by_library(file: Path, blocks: dict[Vec3, NDArray[Any]], *, fallback_layer: str | None = None) -> None:
    """An annotation with one volume layer of mag 1 and 2, edited and saved by the library. `blocks`: by voxel."""
    with tempfile.NamedTemporaryFile(suffix=".pickle") as given:
        given.write(pickle.dumps((blocks, fallback_layer)))
        given.flush()
        _run("write", str(file), given.name)


def download_by_library(address: str, token: str, annotation_id: str) -> LibraryAnnotation:
    """An annotation of a server as the library's `Annotation.download` gets it."""
    found: LibraryAnnotation = pickle.loads(_run("download", address, token, annotation_id))
    return found


def upload_by_library(address: str, token: str, file: Path) -> str:
    """Load a file and send it to a server with the library's `Annotation.upload`; gives the id that it has there."""
    found: str = pickle.loads(_run("upload", address, token, str(file)))
    return found


def stream_by_library(address: str, token: str, name: str) -> dict[str, dict[Mag, NDArray[Any]]]:
    """All voxels [c, x, y, z] of a server's dataset by layer and mag, each within its box, as `RemoteDataset` reads them."""
    found: dict[str, dict[Mag, NDArray[Any]]] = pickle.loads(_run("stream", address, token, name))
    return found


def download_dataset_by_library(
    address: str, token: str, name: str, folder: Path
) -> dict[str, dict[Mag, NDArray[Any]]]:
    """As `stream_by_library`, of what `Dataset.download` put into a folder."""
    found: dict[str, dict[Mag, NDArray[Any]]] = pickle.loads(_run("dataset", address, token, name, str(folder)))
    return found


def open_annotation_by_library(address: str, token: str, annotation_id: str) -> dict[str, dict[Mag, NDArray[Any]]]:
    """As `stream_by_library`, of what `Annotation.open_as_remote_dataset` opens; by WK_URL and WK_TOKEN alone."""
    given = {"WK_URL": address, "WK_TOKEN": token}
    found: dict[str, dict[Mag, NDArray[Any]]] = pickle.loads(_run("annotation", annotation_id, given=given))
    return found


def open_dataset_by_library(address: str, token: str, name: str) -> dict[str, dict[Mag, NDArray[Any]]]:
    """As `stream_by_library`, by `Dataset.open_remote`, WK_URL and WK_TOKEN alone."""
    given = {"WK_URL": address, "WK_TOKEN": token}
    found: dict[str, dict[Mag, NDArray[Any]]] = pickle.loads(_run("environment", name, given=given))
    return found


def open_link_by_library(address: str) -> dict[str, dict[Mag, NDArray[Any]]]:
    """As `stream_by_library`, of what `Dataset.open` finds at an address, with no server's name and no token."""
    found: dict[str, dict[Mag, NDArray[Any]]] = pickle.loads(_run("link", address))
    return found


def info_by_library(address: str, token: str, annotation_id: str) -> tuple[str, str, str | None, str | None]:
    """Id, owner, organization and dataset id of an annotation, as the library's `Annotation.open_remote` has them."""
    given = {"WK_URL": address, "WK_TOKEN": token}
    found: tuple[str, str, str | None, str | None] = pickle.loads(_run("info", annotation_id, given=given))
    return found


def _run(*arguments: str, given: Mapping[str, str] | None = None) -> bytes:
    with tempfile.NamedTemporaryFile(suffix=".pickle") as answer:
        environment = {
            **os.environ,
            "WEBKNOSSOS_SKIP_VERSION_CHECK": "True",
            "PYTHONWARNINGS": "ignore",
            **(given or {}),
        }
        command = [str(PYTHON), str(Path(__file__)), *arguments, answer.name]
        paths = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "shared")]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            raise AssertionError(f"the webknossos library refused: {done.stderr[-3000:]}")
        return Path(answer.name).read_bytes()


def _read(file: str) -> LibraryAnnotation:
    from webknossos import Annotation

    return _facts(Annotation.load(file))


def _download(address: str, token: str, annotation_id: str) -> LibraryAnnotation:
    from webknossos import Annotation, webknossos_context

    with webknossos_context(address, token=token):
        return _facts(Annotation.download(annotation_id))


def _upload(address: str, token: str, file: str) -> str:
    from webknossos import Annotation, webknossos_context

    with webknossos_context(address, token=token):
        return str(Annotation.load(file).upload()).rpartition("/")[2]


def _stream(address: str, token: str, name: str) -> Any:
    from webknossos import RemoteDataset, webknossos_context

    with webknossos_context(address, token=token):
        return _voxels(RemoteDataset.open(name))


def _annotation(annotation_id: str) -> Any:
    from webknossos import Annotation

    return _voxels(Annotation.open_as_remote_dataset(annotation_id))


def _environment(name: str) -> Any:
    from webknossos import Dataset

    return _voxels(Dataset.open_remote(name))


def _link(address: str) -> Any:
    from upath import UPath
    from webknossos import Dataset

    return _voxels(Dataset.open(UPath(address), read_only=True))


def _info(annotation_id: str) -> Any:
    from webknossos import Annotation

    found = Annotation.open_remote(annotation_id)
    return found.annotation_id, found.owner_name, found.organization_id, found.dataset_id


def _dataset(address: str, token: str, name: str, folder: str) -> Any:
    from webknossos import Dataset, webknossos_context

    with webknossos_context(address, token=token):
        return _voxels(Dataset.download(name, path=folder))


def _voxels(dataset: Any) -> Any:
    return {
        name: {Mag(*view.mag.to_list()): view.read() for view in layer.mags.values()}
        for name, layer in dataset.layers.items()
    }


def _facts(annotation: Any) -> LibraryAnnotation:
    from webknossos import Dataset

    volumes = {}
    for layer in annotation._volume_layers:
        mags: dict[Mag, Blocks] = {}
        if layer.zip is not None:
            with tempfile.TemporaryDirectory() as folder:
                dataset = Dataset(Path(folder) / "d", voxel_size=(1, 1, 1))
                exported = layer.export_to_dataset(dataset, layer_name=layer.layer_name)
                for view in exported.mags.values():
                    blocks = mags.setdefault(Mag(*view.mag.to_list()), {})
                    side = view.info.chunk_shape.x
                    for stored in view.get_views_on_disk(read_only=True):
                        start = stored.bounding_box.in_mag(view.mag).topleft
                        voxels = stored.read()[0]
                        if voxels.shape != (side, side, side):
                            raise AssertionError(f"a block has the shape {voxels.shape}")
                        blocks[start.x // side, start.y // side, start.z // side] = voxels
        has_data, largest = layer.zip is not None, layer.largest_segment_id
        volumes[layer.id] = LibraryVolume(layer.name, layer.fallback_layer_name, largest, has_data, mags)
    return LibraryAnnotation(
        annotation.name,
        annotation.dataset_name,
        tuple(annotation.voxel_size),
        {
            f"{tree.name}#{tree.id}": (
                sorted((node.id, tuple(node.position), node.radius, node.comment) for node in tree.nodes),
                sorted((one.id, other.id) for one, other in tree.edges),
            )
            for tree in annotation.skeleton.flattened_trees()
        },
        [(box.name, tuple(box.topleft), tuple(box.size)) for box in annotation.user_bounding_boxes],
        volumes,
    )


def _write(file: str, given: str) -> None:
    import numpy as np
    from webknossos import Annotation, BoundingBox
    from webknossos import Mag as LibraryMag

    blocks, fallback_layer = pickle.loads(Path(given).read_bytes())
    dtype = next(iter(blocks.values())).dtype
    annotation = Annotation(name="by_library", dataset_name="ds", voxel_size=(11, 11, 28))
    layer = annotation.add_volume_layer("Volume", dtype=dtype, fallback_layer=fallback_layer)
    with layer.edit() as edited:
        edited.bounding_box = BoundingBox((0, 0, 0), (512, 512, 512))
        for mag in (1, 2):
            view = edited.add_mag(LibraryMag(mag), chunk_shape=(32, 32, 32), shard_shape=(32, 32, 32))
            for corner, voxels in blocks.items():
                view.write(
                    np.asarray(voxels), absolute_offset=tuple(place * mag for place in corner), allow_unaligned=True
                )
    annotation.save(file)


if __name__ == "__main__":
    sys.modules["builders.webknossos_library"] = sys.modules["__main__"]
    LibraryAnnotation.__module__ = LibraryVolume.__module__ = "builders.webknossos_library"
    verbs: Any = {"read": _read, "write": _write, "download": _download, "upload": _upload}
    verbs |= {"stream": _stream, "dataset": _dataset, "annotation": _annotation}
    verb = (verbs | {"environment": _environment, "info": _info, "link": _link})[sys.argv[1]]
    Path(sys.argv[-1]).write_bytes(pickle.dumps(verb(*sys.argv[2:-1])))

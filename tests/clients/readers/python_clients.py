"""Python's Zarr clients, each as people use it: from an address to a function that reads a level as (c, z, y, x) or (z, y, x).

Runs in an environment of its own, without zarrlink. Nothing is caught here: what a client raises is what is reported.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Reader = Callable[[int], Any]
"""Level number -> voxels."""


def zarr_fsspec(address: str, version: str) -> Reader:
    import zarr

    return _levels(zarr.open_group(address, mode="r"), ("0", "1", "2"))


def _levels(group: Any, paths: Sequence[str]) -> Reader:
    """The finest level is an open array, whose metadata is not read again."""
    finest = group[paths[0]]
    return lambda level: (group[paths[level]] if level else finest)[...]


def zarr_obstore(address: str, version: str) -> Reader:
    import zarr

    return _levels(zarr.open_group(_obstore(address), mode="r"), ("0", "1", "2"))


def tensorstore_explicit(address: str, version: str) -> Reader:
    return _tensorstore(address, {"v2": "zarr", "v3": "zarr3"}[version])


def tensorstore_auto(address: str, version: str) -> Reader:
    return _tensorstore(address, "auto")


def _tensorstore(address: str, driver: str) -> Reader:
    import tensorstore

    # It would go on asking a failing server for minutes.
    context = tensorstore.Context({"http_request_retries": {"max_retries": 2, "initial_delay": "1ms"}})
    opened: dict[int, Any] = {}

    def array(level: int) -> Any:
        if level not in opened:
            spec = {"driver": driver, "kvstore": f"{address}/{level}/"}
            opened[level] = tensorstore.open(spec, context=context, read=True).result()
        return opened[level]

    array(0)
    return lambda level: array(level).read().result()


def dask_array(address: str, version: str) -> Reader:
    import dask.array

    arrays = {0: dask.array.from_zarr(address, component="0")}
    return lambda level: (arrays[0] if level == 0 else dask.array.from_zarr(address, component=str(level))).compute()


def xarray_fsspec(address: str, version: str) -> Reader:
    return _xarray(address)


def xarray_obstore(address: str, version: str) -> Reader:
    return _xarray(_obstore(address))


def _obstore(address: str) -> Any:
    from obstore.store import HTTPStore
    from zarr.storage import ObjectStore

    return ObjectStore(HTTPStore.from_url(address, client_options={"allow_http": True}), read_only=True)


def _xarray(store: Any) -> Reader:
    import xarray

    def array(level: int) -> Any:
        # Levels have the same dimension names and other lengths, so one at a time.
        others = [str(other) for other in range(3) if other != level]
        # In Zarr v2 it takes the fill value for a mark of missing data, and would make numbers of 0 into NaN.
        return xarray.open_zarr(store, drop_variables=others, mask_and_scale=False)[str(level)]

    finest = array(0)
    return lambda level: (array(level) if level else finest).values


def ome_zarr_py(address: str, version: str) -> Reader:
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader as OmeReader

    location = parse_url(address)
    if location is None:
        raise RuntimeError("ome_zarr.io.parse_url found no OME-Zarr at the address")
    (node,) = OmeReader(location)()
    return lambda level: node.data[level].compute()


def napari_ome_zarr(address: str, version: str) -> Reader:
    from napari_ome_zarr._reader import napari_get_reader

    read = napari_get_reader(address)
    if read is None:
        raise RuntimeError("napari_get_reader does not take the address")
    # One layer for each channel.
    channels = [data if isinstance(data, list) else [data] for data, *_ in read(address)]

    def voxels(level: int) -> Any:
        found = [np.asarray(levels[level]) for levels in channels]
        return found[0] if len(found) == 1 else np.stack(found)

    return voxels


def ngff_zarr(address: str, version: str) -> Reader:
    from ngff_zarr import from_ngff_zarr

    images = from_ngff_zarr(address, validate=True).images
    return lambda level: np.asarray(images[level].data)


def ome_zarr_models(address: str, version: str) -> Reader:
    import zarr
    from ome_zarr_models import open_ome_zarr

    group = zarr.open_group(address, mode="r")
    model = open_ome_zarr(group)
    multiscales = model.ome_attributes if version == "v3" else model.attributes
    datasets = multiscales.multiscales[0].datasets
    return _levels(group, [dataset.path for dataset in datasets])


def cloud_volume(address: str, version: str) -> Reader:
    from cloudvolume import CloudVolume

    def volume(level: int) -> Any:
        kind = {"v2": "zarr2", "v3": "zarr3"}[version]
        # Otherwise a chunk that was never written is an error to it, and its message says to ask for this.
        return CloudVolume(f"{kind}://{address}", mip=level, progress=False, cache=False, fill_missing=True)

    finest = volume(0)

    def read(level: int) -> Any:
        voxels = np.asarray((volume(level) if level else finest)[:, :, :])
        turned = voxels.transpose(3, 2, 1, 0)
        return turned[0] if turned.shape[0] == 1 else turned

    return read


def gdal(address: str, version: str) -> Reader:
    # Its cache of what it has fetched is the whole process's; after a revocation it would answer in place of the server.
    os.environ["CPL_VSIL_CURL_NON_CACHED"] = "/vsicurl/http://127.0.0.1"
    # As over any HTTP: it would look for a listing of each folder.
    os.environ["GDAL_DISABLE_READDIR_ON_OPEN"] = "EMPTY_DIR"
    import rasterio

    def opened(level: int) -> Any:
        return rasterio.open(f'ZARR:"/vsicurl/{address}/{level}"')

    finest = opened(0)

    def read(level: int) -> Any:
        array = opened(level) if level else finest
        # Block by block, as it caches no more than one: a plane at a time would ask for each block as often as it has planes.
        bands = np.empty((array.count, *array.shape), array.dtypes[0])
        for _, window in array.block_windows(1):
            bands[:, *window.toslices()] = array.read(window=window)
        # Planes of all channels after each other; two axes are numbered then, `c` and `z` or `dim0` and `dim1`.
        numbered = sorted(tag for tag in array.tags(1) if tag.startswith("DIM_") and tag.endswith("_INDEX"))
        if len(numbered) < 2:
            return bands
        channels = {array.tags(band)[numbered[0]] for band in array.indexes}
        return bands.reshape(len(channels), -1, *bands.shape[1:])

    return read


def webknossos(address: str, version: str) -> Reader:
    """`address`: of a folder; or as JSON what a WEBKNOSSOS server would be asked by: url, token, layer, dataset or annotation."""
    os.environ["WEBKNOSSOS_SKIP_VERSION_CHECK"] = "True"
    from upath import UPath
    from webknossos import Annotation, Dataset, RemoteDataset, webknossos_context

    if not address.startswith("{"):
        dataset = Dataset.open(UPath(address))
        return lambda level: dataset.layers[""].mags[level].read()
    asked = json.loads(address)
    with webknossos_context(asked["url"], token=asked["token"]):
        if "annotation" in asked:
            layers = Annotation.open_as_remote_dataset(asked["annotation"]).layers
        else:
            layers = RemoteDataset.open(dataset_id=asked["dataset"]).layers
    mags = sorted(layers[asked["layer"]].mags.values(), key=lambda view: view.mag)

    def read(level: int) -> Any:
        with webknossos_context(asked["url"], token=asked["token"]):
            turned = mags[level].read().transpose(0, 3, 2, 1)
        return turned[0] if turned.shape[0] == 1 else turned

    return read


CLIENTS: dict[str, tuple[Callable[[str, str], Reader], tuple[str, ...]]] = {
    "zarr-python (fsspec)": (zarr_fsspec, ("zarr", "fsspec", "aiohttp")),
    "zarr-python (obstore)": (zarr_obstore, ("zarr", "obstore")),
    "tensorstore": (tensorstore_explicit, ("tensorstore",)),
    "tensorstore (auto)": (tensorstore_auto, ("tensorstore",)),
    "dask": (dask_array, ("dask", "zarr")),
    "xarray (fsspec)": (xarray_fsspec, ("xarray", "zarr")),
    "xarray (obstore)": (xarray_obstore, ("xarray", "zarr")),
    "ome-zarr-py": (ome_zarr_py, ("ome-zarr",)),
    "napari-ome-zarr": (napari_ome_zarr, ("napari-ome-zarr", "napari")),
    "ngff-zarr (validate)": (ngff_zarr, ("ngff-zarr",)),
    "ome-zarr-models": (ome_zarr_models, ("ome-zarr-models",)),
    "cloud-volume": (cloud_volume, ("cloud-volume",)),
    "GDAL (rasterio)": (gdal, ("rasterio",)),
    "webknossos": (webknossos, ("webknossos",)),
}
"""Name -> how it opens a layer, and the packages whose versions the page tells."""


def versions(packages: tuple[str, ...]) -> str:
    """`zarr 3.4.2, fsspec 2026.9.0`."""
    metadata = importlib.import_module("importlib.metadata")
    told = [f"{package} {metadata.version(package)}" for package in packages]
    if "rasterio" in packages:
        told.append(f"GDAL {importlib.import_module('rasterio').__gdal_version__}")
    return ", ".join([*told, f"Python {sys.version_info.major}.{sys.version_info.minor}"])

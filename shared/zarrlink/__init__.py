"""zarrlink: private Zarr links to WEBKNOSSOS volumes, converted on the fly."""

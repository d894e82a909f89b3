"""Volume annotations: how they come in (WEBKNOSSOS downloads), how they are kept (block packs), how they go out."""

"""Volumes and tables as arrays. Needs the extra `arrays`; imported only where a layer asks for it."""

"""Bytes in, values out: the file formats, without any I/O."""

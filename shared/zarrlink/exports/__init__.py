"""Boxes of layers as TIFF files, made in parallel and in bounded memory."""

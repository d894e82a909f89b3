"""Voxels as NumPy arrays: for what cannot go out as it is stored. Imported only when such a chunk is asked for."""

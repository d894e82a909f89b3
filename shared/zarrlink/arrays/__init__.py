"""The decode path: arrays of foreign formats as voxels. Only `foreign` and what it imports load NumPy and tensorstore."""

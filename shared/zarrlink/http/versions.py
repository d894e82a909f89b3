"""Versions of WEBKNOSSOS's API, which an address may name: /api/v14/..., /data/v15/..."""

from __future__ import annotations

from typing import Final

OLDEST_VERSION: Final = 10
CURRENT_VERSION: Final = 16
API_VERSION: Final = "zarrlink.api_version"
"""In the scope that the API is given: the version that the address names, None where it names none."""

"""Where this machine's datasets may be registered from afar, by an admin who is not at its keyboard."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zarrlink.errors import InvalidRequest
from zarrlink.sources.permission import AllowedSources, parse_address
from zarrlink.storage.reach import Reach


@dataclass(frozen=True, slots=True)
class FolderPlaces:
    """Folders at or below those that are served, or that may be read besides (`--allow-source`)."""

    allowed: AllowedSources
    reach: Reach

    @classmethod
    def of(cls, served: tuple[Path, ...], allowed: AllowedSources, reach: Reach) -> FolderPlaces:
        """Raises InvalidRequest for a folder with a name that is no address."""
        folders = AllowedSources.of([str(folder.resolve()) for folder in served])
        return cls(AllowedSources((*folders.prefixes, *allowed.prefixes)), reach)

    def place_of(self, text: str) -> str:
        """The location of a folder as `register_below` writes it. Raises InvalidRequest where it may not be registered."""
        address = parse_address(text)
        if address.scheme != "file":
            raise InvalidRequest(f"a dataset of this machine lies in a folder, not at {address.scheme}://")
        # Where it really is: symbolic links must not lead out. What lies outside is not even looked for.
        place = Path(address.text).resolve() if self.allowed.permits(address) else None
        if (
            place is None
            or not self.allowed.permits(parse_address(str(place)))
            or self.reach.refusal(str(place), f"{place}/")
        ):
            raise InvalidRequest(
                "a dataset can be registered in the folders that are served: those of zarrlink serve --data, and of "
                "--allow-source"
            )
        return str(place)

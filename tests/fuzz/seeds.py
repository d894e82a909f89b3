"""Write the corpus that lies beside the targets: a few inputs of each, made by the builders, that fuzzing begins with.

`python tests/fuzz/seeds.py` writes `corpus/TARGET/`, at most so many inputs of a target and so many bytes each.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from targets import TARGETS

CORPUS = Path(__file__).with_name("corpus")
MOST, LONGEST_BYTES = 12, 2048


def main() -> None:
    for name, target in TARGETS.items():
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        seeds = sorted(
            {seed for seed in target.seeds() if len(seed) <= LONGEST_BYTES}, key=lambda seed: (-len(seed), seed)
        )
        for seed in seeds[:: max(1, len(seeds) // MOST)][:MOST]:
            (folder / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)


if __name__ == "__main__":
    main()

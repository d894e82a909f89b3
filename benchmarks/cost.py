"""What chunks cost that go out through the CDN: `python benchmarks/cost.py` writes the tables of docs/cost.md."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

DOCUMENT = Path(__file__).parents[1] / "docs/cost.md"
MARKED = re.compile(r"(<!-- computed: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
GB = 10**9
# us-east-1, US dollars, list prices without free tiers; what they are and where they come from stands in docs/cost.md.
PRICES = {
    "request": ("CloudFront, 1 million HTTPS requests", 1.00),
    "gigabyte": ("CloudFront, 1 GB to viewers (the first 10 TB of a month)", 0.085),
    "run": ("CloudFront Functions, 1 million runs", 0.10),
    "read": ("KeyValueStore, 1 million reads by the function", 0.03),
    "gateway": ("API Gateway (REST), 1 million requests", 3.50),
    "gateway gigabyte": ("API Gateway, 1 GB to viewers (where there is no CDN)", 0.09),
    "lambda": ("Lambda, 1 million requests", 0.20),
    "gigabyte-seconds": ("Lambda, 1 million GB-seconds (arm64)", 13.3334),
    "s3": ("S3, 1 million GETs", 0.40),
    "row": ("DynamoDB, 1 million reads on demand (where there is no CDN)", 0.25),
}
FUNCTION_RUNS = 2  # on the way in, and on the way out
STORE_READS = 2  # the key and the link
LAMBDA_S, LAMBDA_GB = 0.030, 1769 / 1024
# Bytes of an answer, measured: benchmarks/results.md.
ANSWERS = {"v2 chunk 32^3": 32_900, "v3 shard 128^3": 2_104_100}


@dataclass(frozen=True, slots=True)
class Cost:
    """US dollars for a million answers: for requests, and for bytes that go out."""

    requests: float
    bytes: float

    @property
    def total(self) -> float:
        return self.requests + self.bytes

    def per_terabyte(self, answer_bytes: int) -> float:
        return self.total * 1e12 / (1e6 * answer_bytes)


def price(name: str) -> float:
    return PRICES[name][1]


def hit(answer_bytes: int) -> Cost:
    """From the CDN's cache."""
    requests = price("request") + FUNCTION_RUNS * price("run") + STORE_READS * price("read")
    return Cost(requests, 1e6 * answer_bytes / GB * price("gigabyte"))


def making() -> float:
    """A million chunks made by the functions, before anybody has got them."""
    return price("gateway") + price("lambda") + LAMBDA_S * LAMBDA_GB * price("gigabyte-seconds") + price("s3")


def miss(answer_bytes: int) -> Cost:
    """Made, and sent through the CDN, to which AWS's own bytes are free."""
    cached = hit(answer_bytes)
    return Cost(cached.requests + making(), cached.bytes)


def without_cdn(answer_bytes: int) -> Cost:
    return Cost(making() + price("row"), 1e6 * answer_bytes / GB * price("gateway gigabyte"))


def refused() -> Cost:
    """A token that nobody made: one entry is read."""
    return Cost(price("request") + price("run") + price("read"), 0)


def tables() -> dict[str, str]:
    return {"prices": _prices(), "answers": _answers(), "shares": _shares()}


def _prices() -> str:
    return _table(("what", "$"), [(name, f"{dollars:g}") for name, dollars in PRICES.values()])


def _answers() -> str:
    kinds = {"hit": hit, "miss": miss, "without a CDN": without_cdn}
    rows = [
        (
            f"{name} ({size / 1000:,.1f} kB)",
            kind,
            f"{cost(size).requests:.2f}",
            f"{cost(size).bytes:.2f}",
            f"{cost(size).total:.2f}",
            f"{cost(size).per_terabyte(size):.0f}",
        )
        for name, size in ANSWERS.items()
        for kind, cost in kinds.items()
    ]
    rows.append(("forged token", "refused", f"{refused().requests:.2f}", "0.00", f"{refused().total:.2f}", "-"))
    return _table(("answer", "", "requests, $", "bytes, $", "1 million, $", "1 TB, $"), rows)


def _shares() -> str:
    """A million answers, by how many of them come from the cache."""
    rows = []
    for share in (0, 50, 90, 99):
        cells = [
            f"{(hit(size).total * share + miss(size).total * (100 - share)) / 100:.2f}" for size in ANSWERS.values()
        ]
        rows.append((f"{share} %", *cells))
    return _table(("from the cache", *(f"{name}, $" for name in ANSWERS)), rows)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def filled(text: str) -> str:
    """The document with its tables as they are computed."""
    made = tables()
    return MARKED.sub(lambda found: found[1] + made[found[2]] + found[3], text)


if __name__ == "__main__":
    DOCUMENT.write_text(filled(DOCUMENT.read_text()))

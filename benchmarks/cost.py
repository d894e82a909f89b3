"""What chunks cost: `python benchmarks/cost.py` writes the tables of docs/cost.md, and that of docs/deploy.md."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

DOCUMENTS = [Path(__file__).parents[1] / "docs" / name for name in ("cost.md", "deploy.md")]
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
    "row": ("DynamoDB, 1 million reads on demand (where there is no CDN)", 0.125),
    "log": ("CloudWatch Logs, 1 GB written", 0.50),
    "trace": ("X-Ray, 1 million traces", 5.00),
}
FUNCTION_RUNS = 2  # on the way in, and on the way out
STORE_READS = 2  # the key and the link
LAMBDA_GB = 1769 / 1024
# For S3, and the link's row where it is read: assumed. What the processor does comes on top.
WAITING_S = 0.050
# Of a million requests: our two lines and Lambda's own three, as counted on LocalStack, with 26 bytes more for each.
LOG_GB = 1e6 * 1500 / GB
TRACED = 0.05  # of all requests, by X-Ray's own rule, beside one a second


@dataclass(frozen=True, slots=True)
class Answer:
    """Bytes that are sent, and processor time that it takes to make them, measured: benchmarks/results.md."""

    size: int
    processor_s: float


ANSWERS = {"v2 chunk 32^3": Answer(32_900, 0.0065), "v3 shard 128^3": Answer(2_104_100, 0.0409)}


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


def hit(answer: Answer) -> Cost:
    """From the CDN's cache."""
    requests = price("request") + FUNCTION_RUNS * price("run") + STORE_READS * price("read")
    return Cost(requests, _gigabytes(answer) * price("gigabyte"))


def lambda_requests(answer: Answer) -> float:
    """A million invocations that make it, at the size that the template has by default."""
    return price("lambda") + (WAITING_S + answer.processor_s) * LAMBDA_GB * price("gigabyte-seconds")


def making(answer: Answer) -> float:
    """A million made by the functions, before anybody has got them."""
    return price("gateway") + lambda_requests(answer) + price("s3") + LOG_GB * price("log") + TRACED * price("trace")


def miss(answer: Answer) -> Cost:
    """Made, and sent through the CDN, to which AWS's own bytes are free."""
    cached = hit(answer)
    return Cost(cached.requests + making(answer), cached.bytes)


def without_cdn(answer: Answer) -> Cost:
    return Cost(making(answer) + price("row"), _gigabytes(answer) * price("gateway gigabyte"))


def refused() -> Cost:
    """A token that nobody made: one entry is read."""
    return Cost(price("request") + price("run") + price("read"), 0)


def _gigabytes(answer: Answer) -> float:
    """Of a million."""
    return 1e6 * answer.size / GB


def tables() -> dict[str, str]:
    return {"prices": _prices(), "answers": _answers(), "shares": _shares(), "parts": _parts()}


def _prices() -> str:
    return _table(("what", "$"), [(name, f"{dollars:g}") for name, dollars in PRICES.values()])


def _answers() -> str:
    kinds = {"hit": hit, "miss": miss, "without a CDN": without_cdn}
    rows = [
        (
            f"{name} ({answer.size / 1000:,.1f} kB)",
            kind,
            f"{cost(answer).requests:.2f}",
            f"{cost(answer).bytes:.2f}",
            f"{cost(answer).total:.2f}",
            f"{cost(answer).per_terabyte(answer.size):.0f}",
        )
        for name, answer in ANSWERS.items()
        for kind, cost in kinds.items()
    ]
    rows.append(("forged token", "refused", f"{refused().requests:.2f}", "0.00", f"{refused().total:.2f}", "-"))
    return _table(("answer", "", "requests, $", "bytes, $", "1 million, $", "1 TB, $"), rows)


def _shares() -> str:
    """A million answers, by how many of them come from the cache."""
    rows = []
    for share in (0, 50, 90, 99):
        cells = [f"{(hit(it).total * share + miss(it).total * (100 - share)) / 100:.2f}" for it in ANSWERS.values()]
        rows.append((f"{share} %", *cells))
    return _table(("from the cache", *(f"{name}, $" for name in ANSWERS)), rows)


def _parts() -> str:
    """Of what a million cost without a CDN."""
    parts = [
        ("API Gateway, requests", lambda _: price("gateway")),
        ("Lambda, requests and time at 1769 MB on arm64", lambda_requests),
        ("S3, one read each", lambda _: price("s3")),
        ("DynamoDB, one read each", lambda _: price("row")),
        ("CloudWatch, 1.5 kB of log each", lambda _: LOG_GB * price("log")),
        ("X-Ray, one in twenty", lambda _: TRACED * price("trace")),
        ("transfer to the internet", lambda answer: without_cdn(answer).bytes),
        ("**together**", lambda answer: without_cdn(answer).total),
    ]
    rows = [(name, *(f"{part(answer):.2f}" for answer in ANSWERS.values())) for name, part in parts]
    return _table(("1 million without a CDN", *(f"{name}, $" for name in ANSWERS)), rows)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def filled(text: str) -> str:
    """The document with its tables as they are computed."""
    made = tables()
    return MARKED.sub(lambda found: found[1] + made[found[2]] + found[3], text)


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(filled(document.read_text()))

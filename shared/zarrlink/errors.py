"""The error tree. It knows nothing of HTTP: `http/problems.py` holds the one table that does.

Absent is a value (`None`), failure is one of these: a Zarr reader paints absence as fill value, so a
failure that looked like absence would show a scientist black voxels.
"""

from __future__ import annotations

from typing import Literal

RowKind = Literal["annotation", "dataset", "job", "link", "upload", "user"]


def brief(value: object) -> str:
    """A value as it may stand in a sentence: its repr, cut short."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


class ZarrlinkError(Exception):
    """Base of all our errors. `str(error)` is a sentence for the person who asked; it holds no secret,
    no folder of the server and no text of an upstream service."""


class InvalidRequest(ZarrlinkError):
    """What was asked makes no sense; the sentence names what was wrong and what is accepted."""


class UnknownKey(ZarrlinkError):
    """An address that names nothing we know (not: a chunk without data, which is `None`)."""


class MethodNotAllowed(ZarrlinkError):
    """A method other than the address takes."""

    def __init__(self, method: str, allowed: tuple[str, ...]) -> None:
        super().__init__(f"method {method[:16]} is not accepted here; accepted: {', '.join(allowed)}")
        self.allowed = allowed


class RangeNotSatisfiable(ZarrlinkError):
    """A byte range that holds no byte of the object."""

    def __init__(self, length: int) -> None:
        super().__init__(f"the range holds no byte of this object of {length} bytes")
        self.length = length


class BodyTooLarge(ZarrlinkError):
    """A request whose body is longer than its door takes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body of a request may have at most {limit} bytes here")


class NotSignedIn(ZarrlinkError):
    """No user token, or one that is not known."""


class NotPermitted(ZarrlinkError):
    """What only others may do. Not for what one may not even know of: that is UnknownKey, as what is not there."""


class SignInUnavailable(ZarrlinkError):
    """Who asks could not be told: the server that vouches for people did not answer as it should. `reason`: for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__("the server that knows your token cannot be asked at the moment")
        self.reason = reason


class LinkGone(ZarrlinkError):
    """The link does not open this: expired, revoked, unknown, malformed, another layer.

    Outside there is one answer for all of them; `reason` is for the log.
    """

    def __init__(self, reason: str, sentence: str = "this link is not valid (any more)") -> None:
        super().__init__(sentence)
        self.reason = reason


class SourceReplaced(LinkGone):
    """The data behind a link now has another geometry, so a reader holding old metadata would mix voxels."""

    def __init__(self, layer: str) -> None:
        super().__init__("replaced", f"the data behind layer {layer!r} was replaced: make a new link")


class UnsupportedLayer(ZarrlinkError):
    """A layer that cannot be streamed; the sentence names the layer and the reason."""


class AnswerTooLarge(ZarrlinkError):
    """An answer that its door cannot carry, in bytes. The shard rule keeps chunks below; this is the last net.

    `way`: what to ask for instead.
    """

    def __init__(self, length: int, limit: int, way: str) -> None:
        super().__init__(f"the answer has {length} bytes, more than the {limit} that can be sent here: {way}")


class NotReady(ZarrlinkError):
    """What was asked for is being made: it will be there when one asks again."""


class CorruptFile(ZarrlinkError):
    """Damage that is visible in a file's header, table, length or codec stream.

    `key` and the numbers are for the log and for `datasets verify`; the sentence names no path.
    """

    def __init__(self, what: str, *, key: str = "", expected: object = None, found: object = None) -> None:
        detail = "" if expected is None and found is None else f" (expected {expected}, found {found})"
        super().__init__(f"a stored file is damaged: {what}{detail}")
        self.what = what
        self.key = key
        self.expected = expected
        self.found = found


class DamagedRow(ZarrlinkError):
    """A row of a table that nothing can be made of: changed by hand, or written by a version of long ago.

    `row_kind` and `row_id` are for the log and the operator. The sentence names no id: whoever opens a link may not know
    what it is of.
    """

    def __init__(self, row_kind: RowKind, row_id: str) -> None:
        super().__init__(f"the row of this {row_kind} cannot be read")
        self.row_kind = row_kind
        self.row_id = row_id


class SourceChanged(ZarrlinkError):
    """An object is no longer the one that was planned with (its ETag differs)."""

    def __init__(self, key: str) -> None:
        super().__init__("the stored data is being replaced")
        self.key = key


class SourceUnavailable(ZarrlinkError):
    """The store refused, failed or did not answer: whether data exists could not be told.

    `place`: which data it is, for whoever may know; without it the sentence names no path.
    """

    def __init__(self, reason: str, *, key: str = "", place: str = "") -> None:
        told = f": {place}" if place else ""
        super().__init__(f"the stored data cannot be reached at the moment{told}")
        self.reason = reason
        self.key = key


class ExportTooLarge(InvalidRequest):
    """An export that no store would take, or that is too large for what was allowed.

    `fits`: the nearest coarser mag at which the same box fits, None where there is none.
    """

    def __init__(self, sentence: str, fits: str | None) -> None:
        way = f"mag {fits} fits" if fits else "choose a smaller box"
        super().__init__(f"{sentence}: {way}")
        self.fits = fits


class TooManyJobs(ZarrlinkError):
    """More jobs at the same time than one owner may have."""

    def __init__(self, running: int, limit: int) -> None:
        super().__init__(f"{running} of your jobs run already, and at most {limit} may: wait for one, or cancel it")


class ExportFailed(ZarrlinkError):
    """An export that cannot go on here, through no fault of its source: the worker's disk is full, for example."""


class UploadGone(ZarrlinkError):
    """An upload that was completed or aborted meanwhile: whoever still writes to it is late."""

    def __init__(self) -> None:
        super().__init__("this export was ended meanwhile")


class JobEnded(ZarrlinkError):
    """An attempt at a job that is over: it was cancelled, it failed elsewhere, or another attempt has begun."""

    def __init__(self) -> None:
        super().__init__("this job was ended meanwhile")


class PartsDiffer(ZarrlinkError):
    """Parts of an upload that are missing, or are not those which their workers told of; `numbers` are theirs.

    The units behind them are to be run again.
    """

    def __init__(self, numbers: tuple[int, ...]) -> None:
        shown = ", ".join(str(number) for number in numbers[:5]) + (", ..." if len(numbers) > 5 else "")
        what = f"part {shown} of the export is" if len(numbers) == 1 else f"parts {shown} of the export are"
        super().__init__(f"{what} missing or damaged: start the export again")
        self.numbers = numbers

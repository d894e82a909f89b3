"""By which ids an NML names an annotation and its dataset, when it is opened from here."""

from __future__ import annotations

import asyncio

import pytest

from builders.annotation_zips import TREE, Volume, nml
from zarrlink.annotations.nml_identity import DatasetIdentity, Identity, identity_edits
from zarrlink.annotations.nml_tags import PIECE_BYTES, read_nml
from zarrlink.errors import CorruptFile
from zarrlink.formats.nml import parse
from zarrlink.storage.memory import MemorySource

OURS = Identity("a" * 24, "wk:ann@lab.org", DatasetIdentity("d" * 24, 'mouse "1" & <2>', "zarrlink"))


def named(data: bytes, identity: Identity = OURS) -> bytes:
    async def joined() -> bytes:
        source = MemorySource({"annotation.nml": data})
        edits = await identity_edits(source, identity)
        return b"".join([piece async for piece in read_nml(source, edits)])

    return asyncio.run(joined())


def names_of(data: bytes) -> tuple[str | None, ...]:
    found = parse(data)
    return found.meta("annotationId"), found.meta("username"), found.dataset_id, found.dataset_name, found.organization


NAMES = (OURS.annotation, OURS.username, "d" * 24, 'mouse "1" & <2>', "zarrlink")


def test_ids_are_ours_and_nothing_else_changes() -> None:
    data = nml(Volume(), skeleton=TREE)
    found = named(data)
    assert names_of(found) == NAMES
    changed = [b"annotationId", b"username", b"<experiment"]
    kept = [[line for line in text.split(b"\n") if not any(word in line for word in changed)] for text in (data, found)]
    assert kept[0] == kept[1]
    assert b'description=""' in found.split(b"<experiment")[1].split(b">")[0]
    assert named(found) == found


def test_what_is_not_registered_here_keeps_its_name() -> None:
    found = named(nml(), Identity(OURS.annotation, OURS.username))
    assert names_of(found) == (OURS.annotation, OURS.username, "65a0c1f2e4b0a1b2c3d4e5f6", "sample_ds", "sample_org")


@pytest.mark.parametrize(
    "data",
    [
        b'<things><parameters><experiment name="x"/></parameters></things>',
        b'<?xml version="1.0"?>\n<!-- <meta name="username"/> -->\n<things>\n<parameters>\n<experiment/></parameters></things>',
        b'<things><meta content=\'1\' name="username"></meta><parameters><experiment name="x"></experiment></parameters></things>',
        # In another order, and what only looks like it.
        b'<things><parameters><experiment datasetId="1" name="x"/></parameters><experiment name="y"/><meta name="username"/></things>',
        '<things><meta name="username" content="\u00e4\u00f6" /><parameters><experiment name=\'\u00fc\'/></parameters></things>'.encode(),
    ],
)
def test_what_is_missing_is_added(data: bytes) -> None:
    assert names_of(named(data)) == NAMES


def test_an_nml_without_parameters_near_its_start_keeps_its_dataset() -> None:
    far = b"<things><!--" + b"x" * PIECE_BYTES + b'--><parameters><experiment name="x"/></parameters></things>'
    assert named(far) == far
    trees = b'<things><thing id="1"><nodes/></thing><parameters><experiment name="x"/></parameters></things>'
    assert names_of(named(trees)) == (OURS.annotation, OURS.username, None, "x", None)


def test_a_piece_may_end_within_a_tag() -> None:
    start = b"<things><!--" + b"x" * (PIECE_BYTES - 40) + b'--><meta name="username" content="'
    data = start + b'u" /><parameters><experiment name="x"/></parameters></things>'
    found = named(data)
    assert found == data


def test_a_damaged_nml_is_said_to_be() -> None:
    with pytest.raises(CorruptFile):
        named(b"<things><meta name='a'</things>")

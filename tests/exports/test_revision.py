"""What an export is made from, summed up."""

from __future__ import annotations

import itertools

from builders.foreign_layers import layer
from zarrlink.exports.source import _revision
from zarrlink.library import Subject
from zarrlink.opening.opened import Witness
from zarrlink.opening.volumes import LayerVolumes
from zarrlink.storage.memory import MemorySource


def revision(*witnesses: Witness) -> str:
    return _revision(Subject(None), LayerVolumes(layer("zarr"), [], {}, list(witnesses)))


def test_a_file_that_was_there_for_one_look_and_not_for_another_does_not_stop_an_export() -> None:
    """As where two mags are looked for in one place while a folder is exchanged."""
    source = MemorySource({})
    there, gone = Witness(source, "a/1/.zarray", "e"), Witness(source, "a/1/.zarray", None)
    other = Witness(source, "a/2/.zarray", "e")
    orders = itertools.permutations((there, gone, gone, other))
    assert {revision(*order) for order in orders} == {revision(there, other)}


def test_a_file_that_comes_makes_another_revision() -> None:
    source = MemorySource({})
    there = Witness(source, "a/1/.zarray", "e")
    away, back = (Witness(source, "a/2/.zarray", etag) for etag in (None, "e"))
    assert revision(there, away) != revision(there, back)

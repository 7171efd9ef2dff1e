"""Which opinions an encoder has seen, and on which images it may be judged all the same.

An encoder that learnt from opinions lists them in its card (encoder.json) under ``opinions``, one entry or several for
each database:

    {"database": "koniq10k", "images": ["1.jpg", "2.jpg"]}        the opinions of these images
    {"database": "koniq10k", "split": 3, "test": ["7.jpg"]}       all opinions but those of this split's test part
    {"database": "koniq10k"}                                      all opinions

``split`` is a number or a name, for people; ``images`` or ``test`` (image ids) must stand beside it, since a split's
number means other images after a change of seed or protocol. ``provenance.labelled_on`` names the databases that
training read opinions of; each must have an entry.

A test image is refused if its own opinion was seen, or that of an equal image or of an image of its group, or if its
group shares a picture with groups of another database whose opinions were seen (equal bytes, or hashes a few bits
apart: Kodak's photographs are in LIVE and in TID2013). Near duplicates between groups of one database are counted and
not refused (leaks.pictures.near_across_groups).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.encoder import lineage
from pipeline.evaluation.leaks.pictures import LeakError, groups_in_common
from pipeline.evaluation.splits import Split, listed

LEARNING_FROM_OPINIONS = ("joint", "regression", "finetune")  # values of provenance.method
_KEYS = {"database", "images", "split", "test"}


@dataclass(frozen=True)
class SeenOpinions:
    """``images``: image_id -> why it can't be a test image; ``unknown``: what could not be looked at."""

    encoder: str = ""
    images: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()

    def judged(self, image_ids: Sequence[str]) -> np.ndarray:
        """Whether each image may be judged, bool [n]."""
        return np.array([name not in self.images for name in image_ids], dtype=bool)

    def permitted(self, splits: Sequence[Split], image_ids: Sequence[str]) -> tuple[list[Split], dict[str, str]]:
        """The splits without such an image in their test part; and split's number -> why it is refused.

        :class:`LeakError` names the images if every split is refused.
        """
        refused: dict[str, str] = {}
        for split in splits:
            names = [image_ids[row] for row in split.test if image_ids[row] in self.images]
            if names:
                reasons = listed([f"{name} ({self.images[name]})" for name in names], most=3)
                refused[str(split.index)] = f"{len(names)} of {len(split.test)} test images: {reasons}"
        if len(refused) == len(splits):
            number, why = next(iter(refused.items()))
            raise LeakError(f"{self.encoder}: it has seen opinions of every split's test part; split {number}, {why}")
        return [split for split in splits if str(split.index) not in refused], refused


def seen_opinions(
    encoder: str,
    card: Mapping[str, Any],
    database: pa.Table,
    name: str,
    databases: Callable[[str], pa.Table | None],
    *,
    bits: int = 6,
    shares_groups: bool = False,
) -> SeenOpinions:
    """What an encoder's card says of opinions, as far as it matters to the database ``name`` (its table).

    ``databases(other)`` gives another database's table, or None where it is not here; ``bits``: hashes at most so far
    apart are of one picture (-1: only equal bytes are); ``shares_groups``: the manifest declares that the official
    parts share groups, so that seen images of a test image's group do not count. :class:`LeakError` for an encoder that
    learnt from opinions and does not say which, and for entries that can't be read or name images that the database
    does not have.
    """
    entries = list(_entries(encoder, card))
    missing = sorted(set(_labelled_on(card)) - {entry["database"] for entry in entries})
    methods = [made["method"] for made in lineage(card) if made.get("method") in LEARNING_FROM_OPINIONS]
    if missing or (not entries and methods):
        whose = f"opinions of {listed(missing)}" if missing else f"opinions ({methods[0]})"
        raise LeakError(
            f"{encoder}: it learnt from {whose}, and its card (encoder.json) does not list them under `opinions`, so "
            "it can't be judged on any database"
        )
    reasons: dict[str, str] = {}
    unknown = []
    for other in dict.fromkeys(entry["database"] for entry in entries):
        mine = [entry for entry in entries if entry["database"] == other]
        table = database if other == name else databases(other)
        if table is None:
            unknown.append(f"the table of {other}, whose opinions it has seen, is not here")
        elif other == name:
            reasons |= _own_reasons(_seen(encoder, name, table, mine), database, shares_groups)
        else:
            reasons = _reasons(other, table, _seen(encoder, other, table, mine), database, bits) | reasons
    return SeenOpinions(encoder, reasons, tuple(unknown))


def _entries(encoder: str, card: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The card's entries, each with known keys."""
    entries = card.get("opinions") or []
    for entry in entries if isinstance(entries, list) else [entries]:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("database"), str) or set(entry) - _KEYS:
            raise LeakError(
                f"{encoder}: `opinions` of its card has {entry!r}; expected {{database, images}}, "
                "{database, split, test} or {database}"
            )
        lists = [entry[key] for key in ("images", "test") if key in entry]
        if not all(isinstance(ids, list) and all(isinstance(name, str) for name in ids) for ids in lists):
            raise LeakError(f"{encoder}: `opinions` of its card, {entry['database']}: images and test are lists of ids")
        if "split" in entry and not {"images", "test"} & set(entry):
            raise LeakError(
                f"{encoder}: its card names split {entry['split']} of {entry['database']} without `images` or `test`: "
                "which images it may be judged on can't be known"
            )
        yield entry


def _labelled_on(card: Mapping[str, Any]) -> list[str]:
    """Databases whose opinions the encoder, or one that it began from, has read."""
    every = [made.get("labelled_on") or [] for made in lineage(card)]
    return [name for names in every for name in ([names] if isinstance(names, str) else names)]


def _seen(encoder: str, name: str, table: pa.Table, entries: Sequence[Mapping[str, Any]]) -> set[str]:
    """The images of a database (its table) whose opinions the entries list."""
    scored = set(table.filter(pc.invert(table["is_reference"]))["image_id"].to_pylist())
    seen: set[str] = set()
    for entry in entries:
        named = {*entry.get("images", ()), *entry.get("test", ())}
        if named - scored:
            raise LeakError(
                f"{encoder}: its card names {listed(sorted(named - scored))}, which the table of {name} does not have: "
                "it was made from another version of that database"
            )
        seen |= set(entry["images"]) if "images" in entry else scored - set(entry.get("test", ()))
    return seen


def _reasons(name: str, table: pa.Table, seen: set[str], database: pa.Table, bits: int) -> dict[str, str]:
    """image_id -> why, of ``database``'s images whose group has a picture of another database's groups with seen
    opinions, references too: two distorted versions of one picture may look different, their references don't.
    """
    groups = set(table.filter(pc.is_in(table["image_id"], pa.array(sorted(seen), pa.string())))["group"].to_pylist())
    pictures = table.filter(pc.is_in(table["group"], pa.array(sorted(groups), pa.string())))
    shared = groups_in_common(database, pictures, bits)
    return {
        image: f"its group {group} has a picture of {name} whose opinion was seen"
        for image, group in zip(database["image_id"].to_pylist(), database["group"].to_pylist(), strict=True)
        if group in shared
    }


def _own_reasons(seen: set[str], database: pa.Table, shares_groups: bool) -> dict[str, str]:
    """image_id -> why, of the images of the database whose opinions were seen."""
    rows = list(zip(*(database[name].to_pylist() for name in ("image_id", "group", "sha256")), strict=True))
    groups = set() if shares_groups else {group for image, group, _ in rows if image in seen}
    hashes = {sha256 for image, _, sha256 in rows if image in seen}
    reasons = {
        image: f"its group {group} has images whose opinions were seen" for image, group, _ in rows if group in groups
    }
    reasons |= {image: "the opinion of an equal image was seen" for image, _, sha256 in rows if sha256 in hashes}
    return reasons | dict.fromkeys(seen, "its opinion was seen")

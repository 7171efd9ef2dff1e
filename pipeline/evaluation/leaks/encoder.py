"""An encoder and a database: what of the database the encoder may know.

Each of these stops the stage with an error that names the images or the encoder: images of the encoder's sources (or
files that gave them their colours) among the database's, by sha256; near duplicates of its sources by perceptual hash;
an embedded database made of a set that the encoder was trained on; an encoder that was chosen by opinions that its card
does not list. Groups in two parts and features made by other weights are refused where splits and features are read
(evaluation.splits, features).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.encoder import lineage, provenance, seen_sets
from pipeline.evaluation.leaks.opinions import SeenOpinions, seen_opinions
from pipeline.evaluation.leaks.pictures import LeakError, near_across_groups, near_pairs
from pipeline.evaluation.splits import listed

OPINION_FREE = ("last", "fixed", "loss", "probe")  # rules of choosing weights that see no opinion


@dataclass(frozen=True)
class EncoderCheck:
    """``seen``: the images that the encoder may not be judged on; ``report``: what was looked at, for the metrics."""

    seen: SeenOpinions
    report: dict[str, object]


def check_encoder(
    encoder: str,
    card: Mapping[str, Any],
    database: pa.Table,
    database_name: str,
    sources: Callable[[str], pa.Table | None],
    databases: Callable[[str], pa.Table | None],
    *,
    embedded: bool = False,
    shares_groups: bool = False,
    bits: int = 6,
) -> EncoderCheck:
    """All checks of an encoder (its card, encoder.json) against a database table. Raises :class:`LeakError`.

    ``sources(name)`` gives the source table of a set and ``databases(name)`` the table of a database, or None where it
    is not here. The manifest declares the rest: ``embedded``, the database was made from the set of its own name;
    ``shares_groups``, its official parts share groups. Hashes at most ``bits`` of 64 apart are of one picture.
    """
    sets, unknown = seen_sets(card), list[str]()
    rule = check_selection(encoder, card)
    made = [one for one in lineage(card) if one.get("trained_on")]
    if sets and card.get("kind") == "resnet" and (rule is None or any(one.get("selection") is None for one in made)):
        unknown.append("how the weights were chosen is not recorded")
    if embedded and database_name in sets:
        raise LeakError(f"{encoder} on {database_name}: it was trained on the images that the database is made of")
    least: dict[str, int] = {}
    for name in sets:
        table = sources(name)
        if table is None:
            unknown.append(f"the sources of {name} are not here")
        else:
            least[name] = check_sources(encoder, name, table, database, database_name, bits)
    seen = seen_opinions(encoder, card, database, database_name, databases, bits=bits, shares_groups=shares_groups)
    across = near_across_groups(database, bits)
    checked = {"selection": rule, "nearest_source_bits": least, "near_pairs_across_groups": across, "bits": bits}
    return EncoderCheck(seen, {"checked": checked, "unknown": [*unknown, *seen.unknown]})


def check_selection(encoder: str, card: Mapping[str, Any]) -> str | None:
    """The rule by which the encoder's weights were chosen, as encoder.json records it (None: not recorded).

    :class:`LeakError` if that rule, or that of an encoder that it began from, sees opinions and the card does not list
    them (``opinions``).
    """
    for made in lineage(card):
        rule = made.get("selection")
        if rule is not None and rule not in OPINION_FREE and not card.get("opinions"):
            raise LeakError(
                f"{encoder}: its weights were chosen by {rule!r} (encoder.json); only {', '.join(OPINION_FREE)} see no "
                "opinions, and the card lists none under `opinions`, so its figures would be training figures"
            )
    rule = provenance(card).get("selection")
    return None if rule is None else str(rule)


def check_sources(encoder: str, name: str, sources: pa.Table, database: pa.Table, database_name: str, bits: int) -> int:
    """Compare a set's source table with a database table; the least distance of two hashes (64 if there are none).

    :class:`LeakError` names the pairs: equal sha256 (of a source's file, its pixels or its palette's file), or hashes
    that differ in at most ``bits`` (-1: not looked at).
    """
    known, (hashes, images) = _hashes_of(sources), _columns(database, "sha256", "image_id")
    equal = [f"{known[sha]} = {image}" for sha, image in zip(hashes, images, strict=True) if sha in known]
    _refuse(encoder, name, database_name, "have equal bytes", equal)
    least, pairs = near_pairs(sources["phash"].to_numpy(), database["phash"].to_numpy(), bits)
    (ids,) = _columns(sources, "id")
    named = [f"{ids[i]} ~ {images[j]}" for i, j in pairs]
    _refuse(encoder, name, database_name, f"are near duplicates (at most {bits} of 64 bits)", named)
    return least


def _hashes_of(sources: pa.Table) -> dict[str, str]:
    """sha256 -> the source's name: of its pixels, and all that its recipe records (its file's, its palette's)."""
    known: dict[str, str] = {}
    for name, pixels, recipe in zip(*_columns(sources, "id", "sha256", "recipe"), strict=True):
        known.setdefault(pixels, name)
        content = json.loads(recipe)
        for part in (content, content.get("palette") or {}):
            known |= {part[key]: name for key in ("sha256", "pixels_sha256") if part.get(key)}
    return known


def _refuse(encoder: str, name: str, database: str, what: str, pairs: Sequence[str]) -> None:
    if pairs:
        raise LeakError(
            f"{encoder} on {database}: {len(pairs)} sources of its set {name} {what} with images of the database: "
            f"{listed(pairs)}"
        )


def _columns(table: pa.Table, *names: str) -> list[list[Any]]:
    return [table[name].to_pylist() for name in names]

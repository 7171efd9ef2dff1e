"""Leaks that make a figure worthless, each an error that stops the stage and names the images, groups or encoder.

Looked for: an image of equal bytes in two parts of a split; images of the encoder's sources (or files that gave them
their colours) among the database's, by sha256; near duplicates of its sources by perceptual hash; an embedded database
made of a set that the encoder was trained on; an encoder that was chosen by opinions. Groups in two parts and features
made by other weights are refused where splits and features are read (evaluation.splits, features.table).

The hash has 64 bits, half of them set. Of 750,000 pairs of 300 BSDS and 2,500 BIQ2021 photographs none differs in fewer
than 10 bits, and pairs grow about fivefold with every 2 bits more. Against its own version, an image differs in at most
6 after JPEG of quality 10, halving or quartering, blur (sigma 3), noise (20 levels), half contrast, gamma 0.6 (99 %) or
a border of 2 % cut off (94 %); 5 % cut off passes unseen (21 %), as do mirrored images. So 6 is the default.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import Refusal
from pipeline.evaluation.splits import Split

OPINION_FREE = ("last", "fixed", "loss", "probe")  # rules of choosing weights that see no opinion
_BLOCK = 512  # rows compared at once: 40 MB of distances against 10,000
_LEAST_BITS = 24  # a flat or symmetric picture has fewer bits set, and resembles all others of its kind


class LeakError(Refusal, ValueError):
    """What an encoder or a training part knew of the test part."""


def check_parts(splits: Sequence[Split], sha256: Sequence[str] | np.ndarray) -> None:
    """:class:`LeakError` if an image of equal bytes (``sha256`` of every position) is in two parts of a split."""
    hashes = np.asarray(sha256)
    for split in splits:
        for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
            equal = np.intersect1d(hashes[getattr(split, first)], hashes[getattr(split, second)])
            if len(equal):
                rows = [int(np.flatnonzero(hashes == value)[0]) for value in equal]
                raise LeakError(f"split {split.index}: rows {_some(rows)} have equal images in {first} and {second}")


def check_selection(encoder: str, card: Mapping[str, Any]) -> str | None:
    """The rule by which the encoder's weights were chosen, as encoder.json records it (None: not recorded).

    :class:`LeakError` if that rule is none of those that see no opinion.
    """
    rule = _provenance(card).get("selection")
    if rule is not None and rule not in OPINION_FREE:
        raise LeakError(
            f"{encoder}: its weights were chosen by {rule!r} (encoder.json); only {', '.join(OPINION_FREE)} see no "
            "opinions, so its figures on human-scored databases would be training figures"
        )
    return None if rule is None else str(rule)


def trained_on(card: Mapping[str, Any]) -> list[str]:
    """The sets whose images the encoder has seen: trained on (the authentic ones too), calibrated on or fitted on."""
    names: list[str] = []
    for about in (card, _provenance(card)):
        for key in ("trained_on", "authentic_set", "calibrated_on", "fitted_on"):
            value = about.get(key) or []
            names += [value] if isinstance(value, str) else list(value)
    return sorted(set(names))


def check_encoder(
    encoder: str,
    card: Mapping[str, Any],
    database: pa.Table,
    database_name: str,
    sources: Callable[[str], pa.Table | None],
    *,
    embedded: bool = False,
    bits: int = 6,
) -> dict[str, object]:
    """All checks of an encoder (its card, encoder.json) against a database table; what was looked at, for the metrics.

    ``sources(name)`` gives the source table of a set, or None where it is not here. ``embedded``: the database was made
    from the set of its own name. Raises :class:`LeakError`.
    """
    seen, unknown = trained_on(card), []
    rule = check_selection(encoder, card)
    if rule is None and seen and card.get("kind") == "resnet":
        unknown.append("how the weights were chosen is not recorded")
    if embedded and database_name in seen:
        raise LeakError(f"{encoder} on {database_name}: it was trained on the images that the database is made of")
    least: dict[str, int] = {}
    for name in seen:
        table = sources(name)
        if table is None:
            unknown.append(f"the sources of {name} are not here")
        else:
            least[name] = check_sources(encoder, name, table, database, database_name, bits)
    across = near_across_groups(database, bits)
    checked = {"selection": rule, "nearest_source_bits": least, "near_pairs_across_groups": across, "bits": bits}
    return {"checked": checked, "unknown": unknown}


def check_sources(encoder: str, name: str, sources: pa.Table, database: pa.Table, database_name: str, bits: int) -> int:
    """Compare a set's source table with a database table; the least distance of two hashes (64 if there are none).

    :class:`LeakError` names the pairs: equal sha256 (of a source's file, its pixels or its palette's file), or hashes
    that differ in at most ``bits`` (-1: not looked at).
    """
    known, (hashes, images) = _hashes_of(sources), _columns(database, "sha256", "image_id")
    equal = [f"{known[sha]} = {image}" for sha, image in zip(hashes, images, strict=True) if sha in known]
    _refuse(encoder, name, database_name, "have equal bytes", equal)
    least, pairs = near(sources["phash"].to_numpy(), database["phash"].to_numpy(), bits)
    (ids,) = _columns(sources, "id")
    named = [f"{ids[i]} ~ {images[j]}" for i, j in pairs]
    _refuse(encoder, name, database_name, f"are near duplicates (at most {bits} of 64 bits)", named)
    return least


def near(first: np.ndarray, second: np.ndarray, bits: int) -> tuple[int, list[tuple[int, int]]]:
    """The least distance between two vectors of 64-bit hashes, and the pairs (i, j) at most ``bits`` apart."""
    rows, columns = (np.flatnonzero(np.bitwise_count(hashes) >= _LEAST_BITS) for hashes in (first, second))
    least, pairs = 64, list[tuple[int, int]]()
    for start in range(0, len(rows), _BLOCK):
        some = rows[start : start + _BLOCK]
        distance = np.bitwise_count(first[some][:, None] ^ second[columns][None, :])
        least = min(least, int(distance.min(initial=64)))
        pairs += [(int(some[i]), int(columns[j])) for i, j in np.argwhere(distance <= bits)]
    return least, pairs


def near_across_groups(database: pa.Table, bits: int) -> int:
    """Pairs of scored images of different groups whose hashes differ in at most ``bits``: told, not refused, since a
    burst of photographs is a matter of how the manifest cuts the groups.
    """
    scored = database.filter(pc.invert(database["is_reference"]))
    groups = np.unique(np.asarray(scored["group"].to_pylist()), return_inverse=True)[1]
    hashes, count = scored["phash"].to_numpy(), 0
    enough = np.bitwise_count(hashes) >= _LEAST_BITS
    for start in range(0, len(hashes), _BLOCK):
        some = slice(start, start + _BLOCK)
        close = np.bitwise_count(hashes[some, None] ^ hashes[None, :]) <= bits
        close &= groups[some, None] != groups[None, :]
        count += int((close & enough[some, None] & enough[None, :]).sum())
    return count // 2


def shares(train: pa.Table, test: pa.Table, bits: int) -> set[str]:
    """Groups of the database table ``train`` with an image (references too) that ``test`` has as well: of equal bytes,
    or with a hash at most ``bits`` away.
    """
    groups = np.asarray(train["group"].to_pylist())
    same = np.isin(train["sha256"].to_pylist(), test["sha256"].to_pylist())
    first, second = train["phash"].to_numpy(), np.unique(test["phash"].to_numpy())
    second = second[np.bitwise_count(second) >= _LEAST_BITS]
    for start in range(0, len(first), _BLOCK):
        some = slice(start, start + _BLOCK)
        near_by = (np.bitwise_count(first[some, None] ^ second[None, :]) <= bits).any(axis=1)
        same[some] |= near_by & (np.bitwise_count(first[some]) >= _LEAST_BITS)
    return set(groups[same].tolist())


def _provenance(card: Mapping[str, Any]) -> Mapping[str, Any]:
    found = card.get("provenance")
    return found if isinstance(found, Mapping) else {}


def _hashes_of(sources: pa.Table) -> dict[str, str]:
    """sha256 -> the source's name: of its pixels, and all that its recipe records (its file's, its palette's)."""
    known: dict[str, str] = {}
    for name, pixels, recipe in zip(*_columns(sources, "id", "sha256", "recipe"), strict=True):
        known.setdefault(pixels, name)
        content = json.loads(recipe)
        for part in (content, content.get("palette") or {}):
            known |= {part[key]: name for key in ("sha256", "pixels_sha256") if part.get(key)}
    return known


def _columns(table: pa.Table, *names: str) -> list[list[Any]]:
    return [table[name].to_pylist() for name in names]


def _refuse(encoder: str, name: str, database: str, what: str, pairs: Sequence[str]) -> None:
    if pairs:
        raise LeakError(
            f"{encoder} on {database}: {len(pairs)} sources of its set {name} {what} with images of the database: "
            f"{_some(pairs)}"
        )


def _some(values: Sequence[object]) -> str:
    shown = ", ".join(str(value) for value in list(values)[:10])
    return shown + (f" and {len(values) - 10} more" if len(values) > 10 else "")

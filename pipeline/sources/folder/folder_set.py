"""A set from a user's folder: the images with the smallest keys that pass the filters; the others counted by reason.

Only local paths are read. Of an image its id, path and hashes are kept. The choice depends on the seed and the images,
not on listing order, engine or workers. If an accepted image is removed, exactly one other takes its place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.engine import last_seen
from pipeline.params.sections import FolderParams
from pipeline.sources.errors import SourceError
from pipeline.sources.folder.danbooru import PostRules, refusals
from pipeline.sources.folder.folder_files import Candidate, base_of, smallest
from pipeline.sources.folder.image_filters import LIMIT, MAX_PIXELS, apply_filters

FORMAT = 2
"""Raised whenever the pixels that a file gives change."""

BLOCK = 32
"""Images of one task while choosing."""

Mapper = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]
Recipe = dict[str, Any]


@dataclass(frozen=True)
class Chosen:
    """An accepted image: its place, and the facts that ``image_filters.Filtered.facts`` gives."""

    candidate: Candidate
    facts: Recipe


@dataclass(frozen=True)
class FolderSet:
    """The chosen images of a folder, in ascending order of their keys. ``reasons`` counts the refused ones."""

    base: Path
    seed: int
    rules: FolderParams
    chosen: tuple[Chosen, ...]
    reasons: tuple[tuple[str, int], ...]

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.chosen)

    def make(self, index: int) -> tuple[np.ndarray, Recipe]:
        """Image ``index`` and its recipe; ``SourceError`` if its file is not what it was when it was chosen."""
        if not 0 <= index < self.count:
            raise IndexError(f"sources: image {index} of {self.count}")
        candidate, facts = self.chosen[index].candidate, self.chosen[index].facts
        try:
            filtered = apply_filters(candidate.read(self.base, LIMIT), self.rules)
        except (OSError, ValueError) as error:
            raise SourceError(f"sources: {candidate.path} cannot be read any more ({error})") from None
        if filtered.image is None or filtered.facts() != facts:
            raise SourceError(f"sources: {candidate.path} has changed since it was chosen")
        recipe = {"kind": "folder", "index": index, "id": candidate.id, "path": candidate.path, "key": candidate.key}
        return filtered.image, recipe | facts

    def inputs(self, indices: range | None = None) -> Recipe:
        """What decides the pixels of the images ``indices`` (None: all): rules; key, path, id, sha256 of each file."""
        indices = range(self.count) if indices is None else indices
        chosen = [self.chosen[index] for index in indices]
        files = [[c.candidate.key, c.candidate.path, c.candidate.id, c.facts["sha256"]] for c in chosen]
        return {
            "format": FORMAT,
            "kind": "folder",
            "rules": {**self.rules.model_dump(by_alias=True), "max_pixels": MAX_PIXELS},
            "files": files,
        }


def choose(
    source: Path,
    *,
    seed: int,
    count: int,
    rules: FolderParams | None = None,
    posts: PostRules | None = None,
    mapper: Mapper = map,
) -> FolderSet:
    """The ``count`` images of ``source`` with the smallest keys that pass ``rules`` and ``posts``.

    ``source``: a folder, a .tar, or a .txt or .jsonl list. ``mapper(function, tasks)`` decodes blocks of candidates,
    in any process, and returns the results in order. Reasons are those of ``image_filters.apply_filters`` and
    ``danbooru.refusals``, and ``missing``, ``unreadable``, ``name`` (not UTF-8), ``too large``, ``duplicate`` (equal
    pixels). Fewer than ``count`` accepted is a ``SourceError`` that lists the reasons.
    """
    rules, base = rules or FolderParams(), base_of(source)
    reasons: Counter[str] = Counter()
    chosen: list[Chosen] = []
    seen: set[str] = set()
    for candidate, reason, facts in _judged(source, base, seed, count, rules, posts or PostRules(), mapper):
        if not reason and facts["pixels_sha256"] in seen:
            reason = "duplicate"
        if reason:
            reasons[reason] += 1
            continue
        seen.add(facts["pixels_sha256"])
        chosen.append(Chosen(candidate, facts))
        if len(chosen) == count:
            return FolderSet(base, seed, rules, tuple(chosen), tuple(sorted(reasons.items())))
    listed = ", ".join(f"{reason} {number}" for reason, number in sorted(reasons.items())) or "no more images"
    raise SourceError(f"sources: {source} gives {len(chosen)} of the {count} images asked for; refused: {listed}")


_Judged = tuple[Candidate, str, Recipe]


def _judged(
    source: Path, base: Path, seed: int, count: int, rules: FolderParams, posts: PostRules, mapper: Mapper
) -> Iterator[_Judged]:
    """Candidates in order of their keys, each with the reason against it; in waves, so memory grows with ``count``."""
    last: Candidate | None = None
    size = count + max(BLOCK, count // 8)
    while True:
        wave = smallest(source, seed, size, last)
        if not wave:
            return
        refused = refusals((candidate.id for candidate in wave), posts)
        decoded = [candidate for candidate in wave if candidate.id not in refused]
        tasks = [(base, rules, decoded[k : k + BLOCK]) for k in range(0, len(decoded), BLOCK)]
        verdicts = {c: verdict for block in mapper(examine, tasks) for c, verdict in block}  # a tar may repeat a path
        for candidate in wave:
            yield candidate, *verdicts.get(candidate, (refused.get(candidate.id, ""), {}))
        last, size = wave[-1], 2 * size


def examine(task: tuple[Path, FolderParams, list[Candidate]]) -> list[tuple[Candidate, tuple[str, Recipe]]]:
    """Judge a block of candidates: (reason, facts) for each, the reason empty for one that passes."""
    base, rules, block = task
    return [(candidate, _verdict(base, rules, candidate)) for candidate in block]


def _verdict(base: Path, rules: FolderParams, candidate: Candidate) -> tuple[str, Recipe]:
    if not _is_text(candidate.path):
        return "name", {}
    last_seen.note(f"while reading {candidate.path} in {base}")
    try:
        data = candidate.read(base, LIMIT)
    except FileNotFoundError:
        return "missing", {}
    except OSError:
        return "unreadable", {}
    except ValueError as error:
        return ("broken" if "cut short" in str(error) else "too large"), {}
    filtered = apply_filters(data, rules)
    return filtered.reason, (filtered.facts() if filtered.image is not None else {})


def _is_text(path: str) -> bool:
    """Whether tables and file systems can keep the name: UTF-8 without a NUL."""
    try:
        return b"\0" not in path.encode()
    except UnicodeEncodeError:
        return False

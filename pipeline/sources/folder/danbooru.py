"""Danbooru's metadata: JSON lines of either schema, streamed, and which posts they refuse.

Releases 2017 to 2020 have strings and ``tags``, a list of objects with ``name``; from 2021 on there are numbers,
booleans and ``tag_string``. Ratings are s, q, e (safe, questionable, explicit) up to the release of 2021, and g, s, q,
e (general, sensitive, ...) from 2022, so what s means depends on the release.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.engine import progress
from pipeline.params.sections import DanbooruParams
from pipeline.sources.errors import SourceError

_ID = re.compile(rb'"id"\s*:\s*"?([^",}\s]+)')
_RATING = re.compile(rb'"rating"\s*:\s*"([^"]*)"')
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_TRUE = (True, 1, "1", "true", "True", "t")
_UP_TO_2021 = {"s": "s", "safe": "s", "q": "q", "questionable": "q", "e": "e", "explicit": "e"}
_FROM_2022 = {"g": "g", "general": "g", "s": "s", "sensitive": "s"} | {k: v for k, v in _UP_TO_2021.items() if v != "s"}


@dataclass(frozen=True)
class PostRules:
    """Which posts may be used: ``params``, judged by the ``metadata`` (JSONL files).

    Without metadata nothing is known of a post and only ``exclude_ids`` (a file with one id a line) refuses any. With
    metadata a post that they do not list is refused.
    """

    params: DanbooruParams = DanbooruParams()
    metadata: tuple[Path, ...] = ()
    exclude_ids: Path | None = None

    def allowed(self) -> tuple[str, ...]:
        """The ratings that may be used: those of the params, else what the release calls safe."""
        return self.params.ratings or (("s",) if self.params.release <= 2021 else ("g",))

    def known(self) -> dict[str, str]:
        """The letter of each rating that the release has, by its spelling."""
        return _UP_TO_2021 if self.params.release <= 2021 else _FROM_2022


def refusals(ids: Iterable[str], rules: PostRules) -> dict[str, str]:
    """Reason by id, for those of ``ids`` that the rules refuse. One pass over all metadata, memory for ``ids``.

    Reasons: ``excluded id``, ``no metadata``, ``rating``, ``deleted``, ``banned``, ``tag``. ``SourceError`` names a
    file that is missing or no text, a line that is not JSON, and ratings that contradict the declared release.
    """
    wanted = set(ids)
    reasons: dict[str, str] = {}
    if rules.exclude_ids is not None:
        reasons = {name: "excluded id" for name in wanted & _excluded(rules.exclude_ids)}
    if not rules.metadata:
        return reasons
    unknown = wanted - reasons.keys()
    ratings: set[bytes] = set()
    for path, number, line in _lines(rules.metadata):
        rating = _RATING.search(line)
        if rating is not None and rating[1] not in ratings:
            _rating(_post(path, number, line), rules, f"{path}, line {number}")
            ratings.add(rating[1])
        # Tags have ids too: a match only says that the line is worth parsing (few of 5 million are).
        if any(name.decode(errors="replace") in unknown for name in _ID.findall(line)):
            post = _post(path, number, line)
            name = str(post.get("id"))
            if name in unknown:
                unknown.discard(name)
                reason = _reason(post, rules, f"{path}, line {number}")
                reasons |= {name: reason} if reason else {}
    if ratings and rules.allowed() == ("g",) and not ratings & {b"g", b"general"}:
        raise SourceError(
            f"sources.danbooru.release: {rules.params.release}, but no post of {', '.join(map(str, rules.metadata))} "
            "is rated g, as many of every release from 2022 are; set the year of this dump"
        )
    return reasons | {name: "no metadata" for name in unknown}


def _lines(paths: tuple[Path, ...]) -> Iterator[tuple[Path, int, bytes]]:
    """Each line of the metadata with its file and number; ``SourceError`` if a file is missing or no JSON lines."""
    for path in progress(paths, total=len(paths), describe="metadata"):
        if not path.is_file():
            raise SourceError(f"sources: metadata file {path} is missing")
        with open(path, "rb") as lines:
            for number, line in enumerate(lines, 1):
                if number == 1 and line.removeprefix(_BYTE_ORDER_MARK).strip()[:1] not in (b"{", b""):
                    problem = "not a JSON object (is the file compressed, or UTF-16?)"
                    raise SourceError(f"sources: {path}, line 1: {problem}")
                yield path, number, line


def _excluded(path: Path) -> set[str]:
    if not path.is_file():
        raise SourceError(f"sources: file of excluded ids {path} is missing")
    try:
        return set(path.read_text(encoding="utf-8-sig").split())
    except UnicodeDecodeError:
        raise SourceError(f"sources: file of excluded ids {path} is not UTF-8") from None


def _post(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        post = json.loads(line)
    except ValueError:
        post = None
    if not isinstance(post, dict):
        raise SourceError(f"sources: {path}, line {number}: not a JSON object")
    return post


def _rating(post: dict[str, Any], rules: PostRules, place: str) -> str:
    """The letter of a post's rating, "" for none; ``SourceError`` for one that the declared release does not have."""
    rating, known = str(post.get("rating") or ""), rules.known()
    if rating and rating not in known:
        letters = ", ".join(dict.fromkeys(known.values()))
        raise SourceError(
            f"sources.danbooru.release: {rules.params.release}, whose ratings are {letters}, but {place} has rating "
            f"{rating!r}; set the year of this dump"
        )
    return known.get(rating, "")


def _reason(post: dict[str, Any], rules: PostRules, place: str) -> str | None:
    if _rating(post, rules, place) not in rules.allowed():
        return "rating"
    if post.get("is_deleted") in _TRUE:
        return "deleted"
    if post.get("is_banned") in _TRUE:
        return "banned"
    return "tag" if _tags(post) & set(rules.params.exclude_tags) else None


def _tags(post: dict[str, Any]) -> set[str]:
    """Names, from a string of words, or from a list of names or of objects with a name."""
    tags = post.get("tag_string") or post.get("tags") or []
    if isinstance(tags, str):
        return set(tags.split())
    return {str(tag.get("name") if isinstance(tag, dict) else tag) for tag in tags}

"""Danbooru's metadata: JSON lines of either schema, streamed, and what they say about the posts that are asked for.

2017 to 2020: strings, ``tags`` a list of objects with ``name``; 2021 on: numbers and booleans, ``tag_string``. Ratings
are s, q, e up to the 2021 release and g, s, q, e from 2022, where s no longer means safe.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.engine import progress
from pipeline.params.sections import PostsParams
from pipeline.sources.errors import SourceError

_ID = re.compile(rb'"id"\s*:\s*"?([^",}\s]+)')
_MARK = b"\xef\xbb\xbf"
_TRUE = (True, 1, "1", "true", "True", "t")


@dataclass(frozen=True)
class PostRules:
    """Which posts may be used: ``params``, by the ``metadata`` (JSONL files; none: nothing is known or filtered).

    A post without metadata is refused once there are metadata. ``exclude_ids``: a file with one id a line.
    """

    params: PostsParams = PostsParams()
    metadata: tuple[Path, ...] = ()
    exclude_ids: Path | None = None

    def allowed(self) -> tuple[str, ...]:
        """The ratings that may be used: those of the params, else what the release calls safe."""
        return self.params.ratings or (("s",) if self.params.release <= 2021 else ("g",))


def refusals(ids: Iterable[str], rules: PostRules) -> dict[str, str]:
    """Reason by id, for those of ``ids`` that the rules refuse. One pass over the metadata, memory for ``ids``.

    Reasons: ``excluded id``, ``no metadata``, ``rating``, ``deleted``, ``banned``, ``tag``. ``SourceError`` names a
    file that is missing or no text, or a line that is not JSON.
    """
    wanted = set(ids)
    reasons: dict[str, str] = {}
    if rules.exclude_ids is not None:
        if not rules.exclude_ids.is_file():
            raise SourceError(f"sources: file of excluded ids {rules.exclude_ids} is missing")
        reasons = {name: "excluded id" for name in wanted & _excluded(rules.exclude_ids)}
    if not rules.metadata:
        return reasons
    unknown = wanted - reasons.keys()
    for path in progress(rules.metadata, total=len(rules.metadata), describe="metadata"):
        if not path.is_file():
            raise SourceError(f"sources: metadata file {path} is missing")
        with open(path, "rb") as lines:
            for number, line in enumerate(lines, 1):
                if number == 1 and line.removeprefix(_MARK).strip()[:1] not in (b"{", b""):
                    raise SourceError(
                        f"sources: {path}, line 1: not a JSON object (is the file compressed, or UTF-16?)"
                    )
                # Tags have ids too: a hit only says that the line is worth parsing (5 million lines, few of ours).
                if any(found.decode(errors="replace") in unknown for found in _ID.findall(line)):
                    post = _post(path, number, line)
                    name = str(post.get("id"))
                    if name in unknown:
                        unknown.discard(name)
                        reason = _reason(post, rules)
                        reasons |= {name: reason} if reason else {}
        if not unknown:
            break
    return reasons | {name: "no metadata" for name in unknown}


def _excluded(path: Path) -> set[str]:
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


def _reason(post: dict[str, Any], rules: PostRules) -> str | None:
    if str(post.get("rating", ""))[:1] not in rules.allowed():
        return "rating"
    if post.get("is_deleted") in _TRUE:
        return "deleted"
    if post.get("is_banned") in _TRUE:
        return "banned"
    return "tag" if _tags(post) & set(rules.params.exclude_tags) else None


def _tags(post: dict[str, Any]) -> set[str]:
    """Names, from a string of words, or from a list of names or of objects with a name."""
    said = post.get("tag_string") or post.get("tags") or []
    if isinstance(said, str):
        return set(said.split())
    return {str(tag.get("name") if isinstance(tag, dict) else tag) for tag in said}

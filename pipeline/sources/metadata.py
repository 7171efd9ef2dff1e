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

from pipeline.sources.listing import SourceError

_ID = re.compile(rb'"id"\s*:\s*"?(\d+)')
_TRUE = (True, 1, "1", "true", "True", "t")


@dataclass(frozen=True)
class PostRules:
    """Which posts may be used.

    ``metadata``: JSONL files (none: nothing is known, nothing is filtered but ``exclude_ids``). ``release`` is the
    year of the dump: it decides what counts as safe (s to 2021, g from 2022) unless ``ratings`` says. ``exclude_ids``:
    a file with one id a line. A post without metadata is refused once there are metadata.
    """

    metadata: tuple[Path, ...] = ()
    release: int = 2021
    ratings: tuple[str, ...] = ()
    exclude_tags: tuple[str, ...] = ()
    exclude_ids: Path | None = None

    def allowed(self) -> tuple[str, ...]:
        """First letters of the ratings that may be used."""
        return tuple(r[0] for r in self.ratings) or (("s",) if self.release <= 2021 else ("g",))


def refusals(ids: Iterable[str], rules: PostRules) -> dict[str, str]:
    """Reason by id, for those of ``ids`` that the rules refuse. One pass over the metadata, memory for ``ids``.

    Reasons: ``excluded id``, ``no metadata``, ``rating``, ``deleted``, ``banned``, ``tag``. ``SourceError`` names a
    file that is missing or a line that is not JSON.
    """
    wanted = set(ids)
    reasons: dict[str, str] = {}
    if rules.exclude_ids is not None:
        if not rules.exclude_ids.is_file():
            raise SourceError(f"sources: file of excluded ids {rules.exclude_ids} is missing")
        excluded = set(rules.exclude_ids.read_text(encoding="utf-8").split())
        reasons = {name: "excluded id" for name in wanted & excluded}
    if not rules.metadata:
        return reasons
    unknown = wanted - reasons.keys()
    for path in rules.metadata:
        if not path.is_file():
            raise SourceError(f"sources: metadata file {path} is missing")
        with open(path, "rb") as lines:
            for number, line in enumerate(lines, 1):
                # Tags have ids too: a hit only says that the line is worth parsing (5 million lines, few of ours).
                if any(found.decode() in unknown for found in _ID.findall(line)):
                    post = _post(path, number, line)
                    name = str(post.get("id"))
                    if name in unknown:
                        unknown.discard(name)
                        reason = _reason(post, rules)
                        reasons |= {name: reason} if reason else {}
        if not unknown:
            break
    return reasons | {name: "no metadata" for name in unknown}


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
    names = post.get("tag_string")
    tags = names.split() if isinstance(names, str) else [tag.get("name") for tag in post.get("tags") or []]
    return "tag" if set(tags) & set(rules.exclude_tags) else None

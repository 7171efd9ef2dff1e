"""Sources that cannot be distorted: named, counted, and left out whole where the run allows it.

A source is in a distorted set with all its 126 classes or not at all, so classes stay equally frequent and a key that
is missing means one thing: its source was left out, and the manifest says why.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.artifacts import ArtifactError, ShardMeta
from pipeline.shards import plan

MACHINE = (MemoryError, OSError, ArtifactError)  # not the sample's fault: these always stop the run


def place(set_name: str, source: int, label: int, seed: int) -> str:
    """Which sample it was, and the command that makes it again: what an error's note says, and a worker's death."""
    kind, level = plan.kind_and_level(label)
    key = plan.sample_key(source, label)
    replay = f"synthetic-iqa remake --set {set_name} --key {key} --seed {seed} --out {key}.png"
    where = f"set {set_name}, source {source}, type {kind}, level {level}, key {key}, seed {seed}"
    return f"while distorting {where}; to replay it: {replay}"


def reason(error: Exception, label: int) -> str:
    """Why a source is left out, in one line, for its shards' records."""
    kind, level = plan.kind_and_level(label)
    return f"type {kind}, level {level}: {type(error).__name__}: {' '.join(str(error).split())}"


def poisoned(shards: Iterable[ShardMeta], most: int) -> dict[str, str]:
    """Source key -> reason of all that ``shards`` leave out; more than ``most``, or every one there is, is an
    :class:`ArtifactError`.
    """
    shards = list(shards)
    found = {key: why for shard in shards for key, why in shard.left_out.items()}
    none_left = not any(shard.samples for shard in shards)
    if len(found) > most or none_left:
        named = "; ".join(f"{key} ({why})" for key, why in sorted(found.items())[:5])
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        what = "cannot be distorted and none is left" if none_left else "cannot be distorted"
        raise ArtifactError(f"distort.max_poisoned: {most} allowed, {len(found)} sources {what}: {named}{more}")
    return dict(sorted(found.items()))

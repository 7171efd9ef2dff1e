"""Sources that cannot be distorted: named, counted, and left out with all their classes where the run allows it.

A source is in a distorted set with all its classes or with none, so classes stay equally frequent, and a missing
key always means that its source was left out. The manifest records why.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.artifacts import ArtifactError, ShardMeta
from pipeline.labels import CLASSES, type_and_level
from pipeline.shards import plan

MANIFEST_KEY = "poisoned"  # its first name, see pipeline.artifacts.files
MACHINE_ERRORS = (MemoryError, OSError, ArtifactError)  # not caused by the sample: they always stop the run


def sample_at_work(set_name: str, source: int, label: int, seed: int) -> str:
    """Names a sample and the command that makes it again: for the note of an error and for a worker's last item."""
    key = plan.sample_key(source, label)
    replay = f"synthetic-iqa remake --set {set_name} --key {key} --seed {seed} --out {key}.png"
    where = f"set {set_name}, source {source}, {_class(label)}, key {key}, seed {seed}"
    return f"while distorting {where}; to replay it: {replay}"


def reason(error: Exception, label: int) -> str:
    """Why a source is left out, in one line, for the records of its shards."""
    return f"{_class(label)}: {type(error).__name__}: {' '.join(str(error).split())}"


def failed_sources(shards: Iterable[ShardMeta], allowed: int) -> dict[str, str]:
    """Source key -> reason of every source that ``shards`` leave out.

    More of them than ``allowed``, or no source left, is an :class:`ArtifactError`.
    """
    shards = list(shards)
    failed = {key: why for shard in shards for key, why in shard.left_out.items()}
    none_left = not any(shard.samples for shard in shards)
    if len(failed) > allowed or none_left:
        named = "; ".join(f"{key} ({why})" for key, why in sorted(failed.items())[:5])
        more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
        what = "cannot be distorted and none is left" if none_left else "cannot be distorted"
        limit = f"distort.max_failed_sources: {allowed} allowed"
        raise ArtifactError(f"{limit}, {len(failed)} sources {what}: {named}{more}")
    return dict(sorted(failed.items()))


def _class(label: int) -> str:
    return "type {}, level {}".format(*type_and_level(label)) if label < CLASSES else f"composite {label}"

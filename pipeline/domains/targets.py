"""What a classifier of the types says of a target's images: a folder of image files, or a folder of shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline import Refusal, images
from pipeline.artifacts import MANIFEST, column
from pipeline.domains.similarity import Outputs, Similarity
from pipeline.engine import Engine, last_seen
from pipeline.shards.reader import ShardSet

if TYPE_CHECKING:
    from pipeline.training.methods.classifier import TypeLogits

PER_TASK = 16  # images of a worker's task: about a second of a core

DOMAINS = pa.schema(
    [
        column("target", pa.string(), "the images that were asked about"),
        column("classifier", pa.string(), "the classifier of the types"),
        column("domain", pa.int16(), "distortion type, 1..25"),
        column("name", pa.string(), "of the type"),
        column("mean_prob", pa.float64(), "the type's softmax, averaged over crops and images (paper 4, eq. 5)"),
        column("mean_prob_low", pa.float64(), "lower end of its 95 % bootstrap interval over images"),
        column("mean_prob_high", pa.float64(), "upper end"),
        column("top4_share", pa.float64(), "images with the type in their top 4, / 3 n (the authors' rule)"),
        column("top4_low", pa.float64(), "lower end of its 95 % bootstrap interval over images"),
        column("top4_high", pa.float64(), "upper end"),
        column("selected_mean_prob", pa.bool_(), "mean_prob is above 1/25 (eq. 6)"),
        column("selected_top4_vote", pa.bool_(), "top4_share, rounded to two digits, is at least 0.04"),
        column("n", pa.int32(), "images"),
    ]
)


class TargetError(Refusal, ValueError):
    """A target without an image that can be read; the message names the folder."""


@dataclass(frozen=True)
class TargetTask:
    """Images of one target for one worker: ``members`` are files, or rows of the shards in ``shards``."""

    classifier: TypeLogits
    members: tuple[Path | int, ...]
    shards: Path | None = None

    def __str__(self) -> str:
        return f"{len(self.members)} images of {self.shards or 'a folder'} from {self.members[0]} on"


def target_outputs(
    folder: Path, classifier: TypeLogits, engine: Engine, *, describe: str
) -> tuple[Outputs, dict[str, str]]:
    """The outputs of all images of ``folder``, and file -> why it could not be read, which are left out.

    A folder with a manifest of shards is read as such; in any other, all image files below it are taken. Memory holds
    26 numbers an image. :class:`TargetError` where no image can be read.
    """
    failed: dict[str, str] = {}
    shards: Path | None
    if (folder / MANIFEST).is_file():
        shards, groups = folder, _groups(range(len(ShardSet(folder))))
    else:
        listing = images.list_images([folder])
        failed = {str(path): why for path, why in listing.failed.items()}
        shards, groups = None, _groups(listing.files)
    tasks = [TargetTask(classifier, group, shards) for group in groups]
    logits: list[NDArray[np.float32]] = []
    for good, bad in engine.map(logits_of_task, tasks, describe=describe):
        logits += good
        failed |= bad
    if not logits:
        reason = next(iter(failed.values()), "no images here")
        raise TargetError(f"{folder}: no image to compare ({reason})")
    return Outputs.of(logits), failed


def logits_of_task(task: TargetTask) -> tuple[list[NDArray[np.float32]], dict[str, str]]:
    """The logits [5, 25 or 26] of each image of a task, and file -> why it could not be read."""
    good: list[NDArray[np.float32]] = []
    bad: dict[str, str] = {}
    shards = None if task.shards is None else ShardSet(task.shards)
    for member in task.members:
        last_seen.note(f"at image {member}")
        try:
            image = images.read(Path(str(member))) if shards is None else shards.image(int(str(member)))
        except (images.ImageError, OSError) as error:
            if shards is not None:
                raise
            bad[str(member)] = str(error).removeprefix(f"{member}: ")
            continue
        good.append(task.classifier.of_image(image))
    return good, bad


def domains_table(
    target: str, classifier: str, similarities: Sequence[Similarity], names: Sequence[str], n: int
) -> pa.Table:
    """The table (schema :data:`DOMAINS`) of one target of ``n`` images; ``names`` of the 25 types in order."""
    rows = [
        {
            "target": target,
            "classifier": classifier,
            "name": name,
            "n": n,
            **{key: getattr(similarity, key) for key in DOMAINS.names if hasattr(similarity, key)},
        }
        for similarity, name in zip(similarities, names, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=DOMAINS)


def selected(table: pa.Table, rule: str) -> tuple[int, ...]:
    """The types 1..25 that ``rule`` (one of :data:`RULES`) selects in a target's table, the most similar first."""
    rows = table.filter(table[f"selected_{rule}"]).to_pylist()
    measure = {"mean_prob": "mean_prob", "top4_vote": "top4_share"}[rule]
    return tuple(row["domain"] for row in sorted(rows, key=lambda row: (-row[measure], row["domain"])))


def in_words(similarities: Sequence[Similarity], names: Sequence[str], most: int = 5) -> str:
    """``most like motion_blur (0.21), jpeg2000 (0.13)``: at most ``most`` types above 1/25, the most similar first."""
    above = sorted((s for s in similarities if s.selected_mean_prob), key=lambda s: (-s.mean_prob, s.domain))
    if not above:
        return "like no type more than any other"
    return "most like " + ", ".join(f"{names[s.domain - 1]} ({s.mean_prob:.2f})" for s in above[:most])


def _groups(members: Sequence[Path] | Sequence[int]) -> list[tuple[Path | int, ...]]:
    return [tuple(members[start : start + PER_TASK]) for start in range(0, len(members), PER_TASK)]

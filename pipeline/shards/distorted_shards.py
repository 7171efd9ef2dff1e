"""Building the shards of a distorted set: one task a block of sources, each source in its 126 classes (and composites).

The bank of distortions is passed in, so this package does not depend on it. A task is picklable, keeps shards that are
already right, and writes the same bytes with any engine and any number of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipeline import artifacts, images
from pipeline.artifacts import ArtifactError, ShardMeta
from pipeline.engine import last_seen
from pipeline.labels import CLASSES, PRISTINE
from pipeline.params.sections import DistortParams
from pipeline.seeding import generator
from pipeline.shards import failed_sources, plan, tables, writer
from pipeline.shards.reader import ShardSet
from pipeline.shards.source_shards import pixel_sha256


class Distorted(Protocol):
    """One of the images that a bank makes of a source."""

    @property
    def label(self) -> int:
        """0..125, from 126 on a composite."""

    @property
    def type(self) -> int:
        """1..25, 0 for the pristine image, 26 for a composite."""

    @property
    def level(self) -> int:
        """1..5, 0 for the pristine image; of a composite the number of its types."""

    @property
    def image(self) -> np.ndarray:
        """uint8 H x W x 3."""

    @property
    def record(self) -> dict[str, Any]:
        """The parameter and the draws, JSON-able."""


Bank = Callable[[np.ndarray, np.random.Generator], Iterable[Distorted]]
"""Makes all classes of an image in the order of their labels."""


@dataclass(frozen=True)
class DistortJob:
    """What all blocks of a distorted set have in common."""

    set_name: str
    seed: int
    params: DistortParams
    bank: Bank
    bank_parts: Mapping[str, object]  # what decides the bank's pixels, for the fingerprint
    sources: Path  # the folder of the source shards
    sources_sha256: str  # of its manifest: a worker opens each state of the folder once
    folder: Path  # where the shards are written
    recipes: Sequence[Sequence[tuple[int, int]]] = ()  # of the composites that the bank makes after the 126 classes

    @property
    def classes(self) -> int:
        """Images of a source."""
        return CLASSES + len(self.recipes)

    def tasks(self, sources: ShardSet) -> list[DistortTask]:
        """One task for each ``params.block`` sources."""
        hashes = sources.table["sha256"].to_pylist()
        blocks = plan.blocks(len(sources), self.params.block)
        return [DistortTask(self, block, tuple(hashes[source] for source in block.sources)) for block in blocks]


@dataclass(frozen=True)
class DistortTask:
    """The shards of one block of sources."""

    job: DistortJob
    block: plan.Block
    source_hashes: tuple[str, ...]  # sha256 of each source's pixels

    def __str__(self) -> str:
        return f"set {self.job.set_name}, {plan.span(self.block)}, seed {self.job.seed}"


def build_distorted(task: DistortTask) -> list[ShardMeta]:
    """Distort the block's sources into its shards, unless all of them are already right. Each source is decoded once.

    A source of which a class cannot be made is left out of the shards, with its reason in their records, while there
    are no more than ``max_failed_sources``; after that the error is raised with a note of the sample. A shard for which
    no sample is left is not written: its record (0 samples, with the reasons) is returned and stored nowhere, so that a
    rerun tries its sources again.
    """
    shards = task.job.params.shards_per_block
    parts = plan.layout(task.block, shards, task.job.seed, task.job.classes)
    first = task.block.index * shards
    paths = [task.job.folder / plan.shard_name("distorted", first + number) for number in range(shards)]
    fingerprints = [_fingerprint(task, part) for part in parts]
    current = [artifacts.is_current(*each) for each in zip(paths, fingerprints, strict=True)]
    samples, left_out = ({}, {}) if all(current) else _samples(task)
    metas = []
    for path, fingerprint, part, right in zip(paths, fingerprints, parts, current, strict=True):
        if right:
            meta = artifacts.read_meta(path)
            if all(current) or meta.left_out == left_out:  # else a source that failed then and not now, or the reverse
                metas.append(meta)
                continue
        present = [samples[place] for place in part if place in samples]
        if not present:
            metas.append(ShardMeta(path.name, fingerprint, 0, "", 0, "", "", {}, left_out))
            continue
        last_seen.note(f"while writing {path}")
        codec = task.job.params.codec
        metas.append(writer.write_shard(path, fingerprint, present, codec, tables.distorted(), left_out))
    return metas


def commit_distorted(job: DistortJob, done: Iterable[Sequence[ShardMeta]], sources: ShardSet) -> None:
    """Write the manifest of a distorted set, given what ``build_distorted`` returned for each task.

    The manifest records enough to make each sample again. More failed sources than ``max_failed_sources``, or no source
    left, is an :class:`ArtifactError`.
    """
    shards = [meta for metas in done for meta in metas]
    provenance = {
        "set": job.set_name,
        "codec": job.params.codec,
        "classes": job.classes,
        "sources": {"count": len(sources), "recipe": sources.manifest.get("recipe")},
        "seed": job.seed,
        "pristine": job.params.pristine,
        "bank": job.bank_parts,
        **_composites(job),
        **writer.versions(),
        failed_sources.MANIFEST_KEY: failed_sources.failed_sources(shards, job.params.max_failed_sources),
    }
    present = [meta for meta in shards if meta.samples]
    artifacts.commit_manifest(job.folder, present, plan.DISTORTED_PATTERN, provenance)


def class_generator(seed: int, set_name: str, source: int) -> np.random.Generator:
    """The generator whose children draw the classes of one source: that of ``label`` is ``spawn(label + 1)[label]``."""
    return generator(seed, f"distort/{set_name}", source)


def _fingerprint(task: DistortTask, part: Sequence[tuple[int, int]]) -> str:
    job = task.job
    return artifacts.fingerprint(
        {
            **job.bank_parts,
            **_composites(job),
            **writer.versions(),
            "set": job.set_name,
            "seed": job.seed,
            "codec": job.params.codec,
            "pristine": job.params.pristine,
            "keys": [plan.sample_key(source, label) for source, label in part],
            "inputs": list(task.source_hashes),
        }
    )


def _composites(job: DistortJob) -> dict[str, object]:
    """What decides the composites; nothing where there are none, so that the shards of before stay current."""
    return {"composites": [[list(step) for step in recipe] for recipe in job.recipes]} if job.recipes else {}


def _samples(task: DistortTask) -> tuple[dict[tuple[int, int], writer.Sample], dict[str, str]]:
    """The encoded samples of the block by source and label, and the sources that are left out, with the reason."""
    job, sources = task.job, _open(task.job.sources, task.job.sources_sha256)
    samples: dict[tuple[int, int], writer.Sample] = {}
    left_out: dict[str, str] = {}
    for source, sha256 in zip(task.block.sources, task.source_hashes, strict=True):
        last_seen.note(f"while reading source {source} of {job.sources}")
        image = sources.image(source)
        if pixel_sha256(image) != sha256:
            raise ArtifactError(f"{job.sources}: source {source} is not what it was when this run began")
        classes: list[writer.Sample] = []
        try:
            for made in _classes(job, source, image):
                raw = made.label == PRISTINE and job.params.pristine == "raw"
                classes.append(_encoded(job, source, sha256, image if raw else made.image, made))
        except Exception as error:
            label = len(classes)
            if len(left_out) >= job.params.max_failed_sources or isinstance(error, failed_sources.MACHINE_ERRORS):
                error.add_note(failed_sources.sample_at_work(job.set_name, source, label, job.seed))
                raise
            left_out[plan.source_key(source)] = failed_sources.reason(error, label)
        else:
            samples |= {(source, label): sample for label, sample in enumerate(classes)}
    return samples, left_out


def _classes(job: DistortJob, source: int, image: np.ndarray) -> Iterator[Distorted]:
    """The classes of a source; each is noted before it is made."""
    made = iter(job.bank(image, class_generator(job.seed, job.set_name, source)))
    for label in range(job.classes):
        last_seen.note(failed_sources.sample_at_work(job.set_name, source, label, job.seed))
        yield next(made)


def _encoded(job: DistortJob, source: int, sha256: str, image: np.ndarray, made: Distorted) -> writer.Sample:
    place = {"source": source, "label": made.label, "type": made.type, "level": made.level}
    origin = {"set": job.set_name, "source_sha256": sha256, "seed": job.seed}
    record = writer.record({**made.record, **place, **origin})
    row = {**place, "width": image.shape[1], "height": image.shape[0], "record": record.decode()}
    members = {"cls": str(made.label).encode(), "json": record}
    return writer.Sample(plan.sample_key(source, made.label), images.encode(image, job.params.codec), members, row)


@cache
def _open(folder: Path, manifest_sha256: str) -> ShardSet:
    """The source shards, opened once in each worker for each state of the folder."""
    return ShardSet(folder)

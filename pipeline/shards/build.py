"""The tasks that fill shards: a block of sources, and a block of sources times 126 classes.

What draws and what distorts is passed in, so that this noun knows neither. Both tasks are picklable, keep what is
already right, and end with the same bytes whatever the engine and the number of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipeline import artifacts, images
from pipeline.artifacts import ArtifactError, ShardMeta, Written
from pipeline.engine import last_seen
from pipeline.labels import CLASSES
from pipeline.seeding import generator
from pipeline.shards import failed_sources, plan, tables, writer
from pipeline.shards.reader import ShardSet

PIXEL_LIBRARIES = ("imagecodecs", "numba", "numpy", "opencv-contrib-python-headless", "pillow", "scikit-image", "scipy")


class SourceSet(Protocol):
    """Makes or takes the sources of a set; must be picklable."""

    @property
    def count(self) -> int:
        """Number of images."""

    def make(self, index: int) -> tuple[np.ndarray, dict[str, Any]]:
        """Image (uint8 H x W x 3) and recipe (JSON-able) of source ``index``."""

    def inputs(self, indices: range | None = None) -> dict[str, Any]:
        """What decides the pixels of the images ``indices``, JSON-able; of no image: what all of them share."""


class Distorted(Protocol):
    """One of the 126 images that a bank makes of a source."""

    @property
    def label(self) -> int:
        """0..125."""

    @property
    def type(self) -> int:
        """1..25, 0 for the pristine image."""

    @property
    def level(self) -> int:
        """1..5, 0 for the pristine image."""

    @property
    def image(self) -> np.ndarray:
        """uint8 H x W x 3."""

    @property
    def record(self) -> dict[str, Any]:
        """What describes it, JSON-able."""


Bank = Callable[[np.ndarray, np.random.Generator], Iterable[Distorted]]
"""Makes all classes of an image in the order of their labels."""


@dataclass(frozen=True)
class SourceTask:
    """One shard of sources."""

    source_set: SourceSet
    block: plan.Block
    folder: Path
    codec: str
    parts: dict[str, object]  # of the fingerprint: all that changes these pixels, but for the keys

    def __str__(self) -> str:
        return f"the {plan.span(self.block)} of {self.folder}"


def build_sources(task: SourceTask) -> ShardMeta:
    """Draw the block's sources into its shard, unless the shard is there and right."""
    path = task.folder / plan.shard_name("sources", task.block.index)
    keys = [plan.source_key(source) for source in task.block.sources]
    print_ = artifacts.fingerprint({**task.parts, **versions(), "keys": keys, "codec": task.codec})
    if artifacts.is_current(path, print_):
        return artifacts.read_meta(path)

    def write(temporary: Path) -> Written:
        samples = _sources(task, path.name)
        written, table, sha256 = writer.write_shard(temporary, samples, task.codec, tables.sources())
        return Written(written, writer.write_sidecar(path, table), sha256)

    return artifacts.commit_shard(path, print_, write)


def _sources(task: SourceTask, shard: str) -> Iterator[writer.Sample]:
    for source in task.block.sources:
        key = plan.source_key(source)
        last_seen.note(f"while making source {source}, key {key}, of {task.folder}")
        image, recipe = task.source_set.make(source)
        images.check(image, f"source {source}")
        text = writer.record(recipe)
        row = {
            "source": source,
            "id": str(recipe.get("name", recipe.get("id", key))),
            "shard": shard,
            "width": image.shape[1],
            "height": image.shape[0],
            "sha256": pixel_sha256(image),
            "phash": images.perceptual_hash(image),
            "recipe": text.decode(),
        }
        yield writer.Sample(key, images.encode(image, task.codec), {"json": text}, row)


@dataclass(frozen=True)
class DistortTask:
    """The shards of one block of sources."""

    bank: Bank
    set_name: str
    sources: Path  # the folder of the source shards
    sources_print: str  # sha256 of its manifest: a worker opens each state of the folder once
    rows: tuple[tuple[int, str], ...]  # (row in the source table, sha256 of the source's pixels), one for each source
    block: plan.Block
    shards_per_block: int
    folder: Path
    codec: str
    pristine: str
    seed: int
    parts: dict[str, object]
    max_failed_sources: int = 0  # sources that may be left out; not part of the fingerprint

    def __str__(self) -> str:
        return f"set {self.set_name}, {plan.span(self.block)}, seed {self.seed}"


def build_distorted(task: DistortTask) -> list[ShardMeta]:
    """Distort the block's sources into its shards, unless they are all there and right. Each source is decoded once.

    A source of which a class cannot be made is left out of the shards, with its reason in their records, as long as
    there are no more than ``max_failed_sources``; else the error is raised with a note of the sample. A shard for which
    nothing is left is not written: its record (0 samples, with the reasons) is returned and kept nowhere, so that a
    rerun tries its sources again.
    """
    first = task.block.index * task.shards_per_block
    parts = plan.layout(task.block, task.shards_per_block, task.seed)
    paths = [task.folder / plan.shard_name("distorted", first + number) for number in range(len(parts))]
    prints = [_distorted_print(task, part) for part in parts]
    current = [artifacts.is_current(path, print_) for path, print_ in zip(paths, prints, strict=True)]
    samples, left_out = ({}, {}) if all(current) else _distorted(task)
    for number, path in enumerate(paths):  # a source that failed then and not now is in all of its shards or in none
        if current[number] and not all(current) and artifacts.read_meta(path).left_out != left_out:
            current[number] = False
    done = []
    for path, print_, part, right in zip(paths, prints, parts, current, strict=True):
        there = [samples[place] for place in part if place in samples]
        done.append(artifacts.read_meta(path) if right else _commit_part(task, path, print_, there, left_out))
    return done


def pixel_sha256(image: np.ndarray) -> str:
    """sha256 (hex) of an image's pixels: uint8, row by row, RGB."""
    return artifacts.sha256_bytes(np.ascontiguousarray(image).data)


def class_generator(seed: int, set_name: str, source: int) -> np.random.Generator:
    """The generator whose 126 children (``spawn(126)[label]``) draw the classes of one source."""
    return generator(seed, f"distort/{set_name}", source)


def _distorted_print(task: DistortTask, part: Sequence[tuple[int, int]]) -> str:
    keys = [plan.sample_key(source, label) for source, label in part]
    inputs = [sha256 for _, sha256 in task.rows]
    extra = {"set": task.set_name, "seed": task.seed, "codec": task.codec, "pristine": task.pristine}
    return artifacts.fingerprint({**task.parts, **extra, **versions(), "keys": keys, "inputs": inputs})


def _commit_part(
    task: DistortTask, path: Path, print_: str, samples: list[writer.Sample], left_out: dict[str, str]
) -> ShardMeta:
    if not samples:
        return ShardMeta(path.name, print_, 0, "", 0, "", "", {}, left_out)
    last_seen.note(f"while writing {path}")

    def write(temporary: Path) -> Written:
        for sample in samples:
            sample.row["shard"] = path.name
        keys, table, sha256 = writer.write_shard(temporary, samples, task.codec, tables.distorted())
        return Written(keys, writer.write_sidecar(path, table), sha256, left_out)

    return artifacts.commit_shard(path, print_, write)


def _distorted(task: DistortTask) -> tuple[dict[tuple[int, int], writer.Sample], dict[str, str]]:
    """The encoded samples of the block by source and label, and the sources that are left out, with the reason."""
    read = _open(task.sources, task.sources_print)
    samples: dict[tuple[int, int], writer.Sample] = {}
    left_out: dict[str, str] = {}
    for source, (row, sha256) in zip(task.block.sources, task.rows, strict=True):
        last_seen.note(f"while reading source {source} of {task.sources}")
        image = read.image(row)
        if pixel_sha256(image) != sha256:
            raise ArtifactError(f"{task.sources}: source {source} is not what it was when this run began")
        classes: list[writer.Sample] = []
        try:
            for made in _classes(task, source, image):
                raw = made.label == 0 and task.pristine == "raw"
                classes.append(_encoded(task, source, sha256, image if raw else made.image, made))
        except Exception as error:
            label = len(classes)
            if len(left_out) >= task.max_failed_sources or isinstance(error, failed_sources.MACHINE_ERRORS):
                error.add_note(failed_sources.sample_at_work(task.set_name, source, label, task.seed))
                raise
            left_out[plan.source_key(source)] = failed_sources.reason(error, label)
        else:
            samples |= {(source, label): sample for label, sample in enumerate(classes)}
    return samples, left_out


def _classes(task: DistortTask, source: int, image: np.ndarray) -> Iterator[Distorted]:
    """What the bank makes of a source, each class told of before it is made."""
    made = iter(task.bank(image, class_generator(task.seed, task.set_name, source)))
    for label in range(CLASSES):
        last_seen.note(failed_sources.sample_at_work(task.set_name, source, label, task.seed))
        yield next(made)


def _encoded(task: DistortTask, source: int, sha256: str, image: np.ndarray, made: Distorted) -> writer.Sample:
    content = {
        **made.record,
        "set": task.set_name,
        "source": source,
        "source_sha256": sha256,
        "label": made.label,
        "type": made.type,
        "level": made.level,
        "seed": task.seed,
    }
    text = writer.record(content)
    row = {
        "source": source,
        "label": made.label,
        "type": made.type,
        "level": made.level,
        "width": image.shape[1],
        "height": image.shape[0],
        "record": text.decode(),
    }
    members = {"cls": str(made.label).encode(), "json": text}
    return writer.Sample(plan.sample_key(source, made.label), images.encode(image, task.codec), members, row)


@cache
def _open(folder: Path, state: str) -> ShardSet:
    """The source shards, opened once in each worker for each state of the folder."""
    return ShardSet(folder)


@cache
def versions() -> dict[str, object]:
    """What enters every fingerprint beside the parameters: the writer's format and the libraries that touch pixels."""
    return {"format": writer.FORMAT, "libraries": {name: version(name) for name in PIXEL_LIBRARIES}}


def about_sources(set_name: str, codec: str, source_set: SourceSet) -> dict[str, Any]:
    """What the manifest of a set of sources records beside its shards: enough to draw a drawn one again."""
    refused = dict(getattr(source_set, "reasons", ()))
    return {"set": set_name, "codec": codec, "refused": refused, "recipe": source_set.inputs(range(0)), **versions()}


def commit_distorted(tasks: Sequence[DistortTask], done: Iterable[Sequence[ShardMeta]], sources: ShardSet) -> None:
    """Write the manifest of a distorted set, given what ``build_distorted`` returned for each of its tasks.

    More sources left out than ``max_failed_sources``, or all of them, is an :class:`ArtifactError`.
    """
    task, shards = tasks[0], [meta for metas in done for meta in metas]
    about = _about_distorted(task, sources, failed_sources.failed_sources(shards, task.max_failed_sources))
    there = [meta for meta in shards if meta.samples]
    artifacts.commit_manifest(task.folder, there, plan.DISTORTED_PATTERN, about)


def _about_distorted(task: DistortTask, sources: ShardSet, left_out: dict[str, str]) -> dict[str, Any]:
    """What the manifest of a distorted set records beside its shards, from any of its tasks: enough to make each sample
    again, whatever the parameters are by then.
    """
    drawn = {"count": len(sources), "recipe": sources.manifest.get("recipe")}
    how = {"seed": task.seed, "pristine": task.pristine, "bank": task.parts, **versions()}
    about = {"set": task.set_name, "codec": task.codec, "classes": CLASSES, "sources": drawn}
    return {**about, **how, "poisoned": left_out}

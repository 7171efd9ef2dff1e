"""Which sample goes where: blocks of sources, the order of their classes, and their shards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.artifacts import ArtifactError
from pipeline.labels import CLASSES
from pipeline.seeding import generator

SOURCE_PATTERN = r"sources-\d{5}\.(tar|tar\.meta\.json|parquet)"
DISTORTED_PATTERN = r"distorted-\d{5}\.(tar|tar\.meta\.json|parquet)"


@dataclass(frozen=True)
class Block:
    """Consecutive sources of one task; ``index`` counts the blocks from 0."""

    index: int
    sources: range


def blocks(count: int, size: int) -> list[Block]:
    """``count`` sources in blocks of ``size``; the last may be shorter. A greater ``count`` moves no source to another
    block.
    """
    return [Block(start // size, range(start, min(start + size, count))) for start in range(0, count, size)]


def span(block: Block) -> str:
    """The block's sources for messages."""
    return f"sources {block.sources.start} to {block.sources.stop - 1}"


def shard_name(kind: str, index: int) -> str:
    """The file name of a shard; ``kind`` is ``sources`` or ``distorted``."""
    return f"{kind}-{index:05d}.tar"


def source_key(source: int) -> str:
    """The key of a source's member."""
    return f"{source:06d}"


def sample_key(source: int, label: int) -> str:
    """The key of a distorted sample's members."""
    return f"{source:06d}-{label:03d}"


def layout(block: Block, shards: int, seed: int, classes: int = CLASSES) -> list[list[tuple[int, int]]]:
    """(source, label) of every sample of the block, shuffled and cut into ``shards`` lists of nearly equal length.

    A client that streams shards in order therefore never gets one source's 126 classes in a row.
    """
    samples = [(source, label) for source in block.sources for label in range(classes)]
    order = generator(seed, "distort/layout", block.index).permutation(len(samples))
    return [[samples[i] for i in part] for part in np.array_split(order, shards)]


def held_out(sources: np.ndarray, count: int) -> np.ndarray:
    """bool [n]: the samples of the set's last ``count`` sources, given each sample's source number, int [n].

    The probe uses these, and no encoder is trained on them.
    """
    distinct = np.unique(sources)
    if count >= len(distinct):
        raise ArtifactError(f"{len(distinct)} sources, of which the probe keeps {count}: none is left to train on")
    return np.asarray(sources >= distinct[-count])

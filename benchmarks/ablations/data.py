"""The data of all runs, made once by the stages' own code; and rows of several sets as one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.ablations.changes import FAMILIES, Family, Rows
from pipeline import artifacts
from pipeline.databases import ingest_folder, load_manifest
from pipeline.params import Params, load
from pipeline.profiles import profile_text
from pipeline.shards.reader import ShardSet
from stages import distort, ingest, sources


def make(work: Path, photographs: Path | None) -> None:
    """Draw and distort every family under ``work``/family/data, and the embedded database beside the first one.

    ``photographs`` is the folder that the ``palettes`` family takes bsds500 from; None leaves that family out.
    """
    for name, family in FAMILIES.items():
        if family.paths and photographs is None:
            print(f"{name}: left out, there is no folder of photographs")
            continue
        params = _params(family, photographs)
        folder = work / name
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.chdir(folder):
            for set_name in (family.set_name, *(["photos"] if name == "textured" else [])):
                sources.run(params, set_name)
                distort.run(params, set_name)
            if name == "textured":
                ingest.run(params, "photos")


def _params(family: Family, photographs: Path | None) -> Params:
    """The small profile with the family's sources, without Ray."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        path.write_text(profile_text("small"))
        params = load(path)
    drawn = params.sources.model_copy(update={"count": family.count, "per_shard": 8, **family.sources})
    paths = {key: str((photographs or Path()) / value) for key, value in family.paths.items()}
    run = params.run.model_copy(update={"engine": "processes", "paths": params.run.paths.model_copy(update=paths)})
    return params.model_copy(update={"sources": drawn, "run": run})


def distorted(work: Path, family: str) -> ShardSet:
    """The distorted images of a family."""
    return ShardSet(work / family / "data" / "distorted" / FAMILIES[family].set_name)


def database(work: Path, name: str, folder: Path | None) -> tuple[pa.Table, Path]:
    """The table of a database and the folder its paths start at; made once and kept under ``work``."""
    if folder is None:
        data = work / "textured" / "data"
        return artifacts.read_table(data / "databases" / f"{name}.parquet"), data / "distorted" / name
    path = work / "databases" / f"{name}.parquet"
    if not path.exists():
        artifacts.write_table(path, ingest_folder(load_manifest(name, folder), folder))
    return artifacts.read_table(path), folder


class Chosen:
    """Images of the named sources of several families, decoded once and kept: a trainer's data."""

    def __init__(self, work: Path, rows: Rows) -> None:
        self._sets = [distorted(work, family) for family, _ in rows]
        picked = [np.flatnonzero(np.isin(s.sources, who)) for s, (_, who) in zip(self._sets, rows, strict=True)]
        self._where = [(number, int(row)) for number, part in enumerate(picked) for row in part]
        self.labels = np.concatenate([s.labels[part] for s, part in zip(self._sets, picked, strict=True)])
        self.fingerprint = artifacts.fingerprint({"sets": [s.fingerprint for s in self._sets], "rows": rows})
        self._kept: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._where)

    @cached_property
    def keys(self) -> list[str]:
        """Family number and key of each image."""
        return [f"{number}/{self._sets[number].keys[row]}" for number, row in self._where]

    @cached_property
    def sources(self) -> np.ndarray:
        """The number of each image's source in its family."""
        return np.array([self._sets[number].sources[row] for number, row in self._where])

    def image(self, index: int) -> np.ndarray:
        """uint8 [h, w, 3]."""
        if index not in self._kept:
            number, row = self._where[index]
            self._kept[index] = self._sets[number].image(row)
        return self._kept[index]

    def decode(self, indices: Sequence[int] | None = None) -> Chosen:
        """Itself, with those images (all if None) in memory."""
        for index in range(len(self)) if indices is None else indices:
            self.image(index)
        return self


def locked(path: Path) -> int | None:
    """A lock on ``path`` for as long as the process lives or until it is closed; None if another one has it."""
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle

"""Pseudo-opinions: each metric of each sample against its pristine image; a rerun measures only what changed."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import stages.quality
from pipeline import artifacts, distortions
from pipeline.engine import Engine
from pipeline.labels import CLASSES
from pipeline.metrics import METRICS
from pipeline.params.sections import DistortParams, QualityParams
from pipeline.quality import pseudo_opinions
from pipeline.shards.distorted_shards import DistortJob, build_distorted, commit_distorted
from pipeline.shards.reader import ShardSet
from pipeline.shards.source_shards import SourceJob, build_sources, commit_sources
from tests import profile
from tests.sources.fixtures import leaves

CHOSEN = ("gmsd", "ssim", "ms_ssim")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One source of 64 pixels more than a task takes, and two composites of each."""
    folder, count = tmp_path_factory.mktemp("project") / "data", pseudo_opinions.SOURCES + 1
    job = SourceJob(
        "dead_leaves", leaves("dead_leaves", count=count, size=(64, 64)), folder / "sources/dead_leaves", "qoi"
    )
    commit_sources(job, [build_sources(task) for task in job.tasks(2)])
    made, recipes = ShardSet(job.folder), distortions.recipes(1, 2)
    distort = DistortJob(
        set_name="dead_leaves",
        seed=1,
        params=DistortParams(block=3, shards_per_block=2),
        bank=partial(distortions.distort_all, recipes=recipes),
        bank_parts=distortions.fingerprint_parts(),
        sources=made.folder,
        sources_sha256=made.fingerprint,
        folder=folder / "distorted/dead_leaves",
        recipes=recipes,
    )
    commit_distorted(distort, [build_distorted(task) for task in distort.tasks(made)], made)
    return folder


def measured(data: Path, monkeypatch: pytest.MonkeyPatch, engine: str = "serial", metrics: tuple[str, ...] = CHOSEN):
    monkeypatch.chdir(data.parent)
    params = profile.read("tiny")
    run = params.run.model_copy(update={"engine": engine, "workers": 2})
    stages.quality.run(
        params.model_copy(update={"quality": {"dead_leaves": QualityParams(metrics=metrics)}, "run": run}),
        "dead_leaves",
    )
    return artifacts.read_table(data / "quality/dead_leaves.parquet")


def test_every_sample_is_compared_with_its_own_pristine_image(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, shards = measured(data, monkeypatch), ShardSet(data / "distorted/dead_leaves")
    assert len(table) == len(shards) == (CLASSES + 2) * (pseudo_opinions.SOURCES + 1)
    assert table["key"].to_pylist() == sorted(shards.keys) and table.column_names[-3:] == list(CHOSEN)
    assert (
        table.schema.field("gmsd").metadata[b"description"].startswith(b"against the pristine image, lower is better")
    )
    row_of = {key: row for row, key in enumerate(shards.keys)}
    for row in table.to_pylist()[::37]:
        pristine, image = (shards.image(row_of[f"{row['source']:06d}-{label:03d}"]) for label in (0, row["label"]))
        for name in CHOSEN:
            np.testing.assert_allclose(
                row[name], METRICS[name](pristine, image), rtol=1e-6
            )  # MS-SSIM: NaN at 64 pixels
    ssim, gmsd, labels = (table[name].to_numpy() for name in ("ssim", "gmsd", "label"))
    assert (ssim[labels == 0] == 1).all() and (gmsd[labels == 0] == 0).all() and (ssim[labels >= CLASSES] < 1).all()


def test_a_rerun_measures_only_what_changed_and_workers_change_no_byte(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(data, monkeypatch)
    path, folder = data / "quality/dead_leaves.parquet", data / "quality/dead_leaves"
    whole, parts = path.read_bytes(), sorted(folder.glob("*.parquet"))
    times = [part.stat().st_mtime_ns for part in parts]
    assert len(parts) == 2
    parts[0].write_bytes(parts[0].read_bytes()[:-1])
    (folder / "quality-00009.parquet").write_bytes(b"of a set that had more sources")
    measured(data, monkeypatch)
    again = [part.stat().st_mtime_ns for part in parts]
    assert again[0] > times[0] and again[1] == times[1] and sorted(folder.glob("*.parquet")) == parts
    for part in folder.iterdir():
        part.unlink()
    measured(data, monkeypatch, "processes")
    assert path.read_bytes() == whole
    assert measured(data, monkeypatch, metrics=("psnr",)).column_names[5:] == ["psnr"]


def test_a_source_without_its_pristine_image_is_named(data: Path) -> None:
    shards = ShardSet(data / "distorted/dead_leaves")
    job = pseudo_opinions.QualityJob("dead_leaves", shards.folder, shards.fingerprint, CHOSEN, data / "other")
    task = job.tasks(shards)[0]
    with pytest.raises(artifacts.ArtifactError, match="source 0 has no pristine image to compare with"):
        Engine().map(pseudo_opinions.measure, [replace(task, rows=task.rows[1:])], describe="quality")
    assert not list((data / "other").glob("*.parquet"))

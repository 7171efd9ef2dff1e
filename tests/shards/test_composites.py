"""Composites in shards: beside the classes, whose bytes they do not change, and held by the same promises."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pipeline.engine import Engine
from pipeline.labels import CLASSES, COMPOSITE
from pipeline.shards.reader import ShardSet
from tests.shards import stand_in
from tests.shards.stand_in import content

RECIPES = (((1, 5), (10, 2)), ((11, 3), (16, 1), (24, 2)), ((4, 2), (21, 4)))
MADE = CLASSES + len(RECIPES)


def spoilt(image: np.ndarray, random: np.random.Generator, fired: Path | None = None) -> Iterator[stand_in.Made]:
    """The stand-in's bank, but composite 127 of source 3 fails; with ``fired`` it kills its process instead, once."""
    bad = np.array_equal(image, stand_in.NoiseSet(5).make(3)[0])
    for made in stand_in.bank(image, random, RECIPES):
        if bad and made.label == CLASSES + 1:
            if fired is None:
                raise ValueError("no such composite")
            if not fired.exists():
                fired.write_text(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGKILL)
        yield made


@pytest.fixture(scope="module")
def built(undisturbed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("composites")
    stand_in.distort_stage(undisturbed / "sources", folder, recipes=RECIPES)
    return folder


def test_a_set_has_its_classes_as_they_were_and_the_composites(undisturbed: Path, built: Path) -> None:
    plain, more = ShardSet(undisturbed / "distorted"), ShardSet(built)
    assert len(more) == 5 * MADE and more.manifest["classes"] == MADE
    assert more.manifest["composites"] == [[list(step) for step in recipe] for recipe in RECIPES]
    assert "composites" not in plain.manifest
    rows = {key: row for row, key in enumerate(more.keys)}
    assert all(more.read(rows[key]) == plain.read(row) for row, key in enumerate(plain.keys))
    of_labels = more.table.filter(more.table["label"].to_numpy() >= CLASSES).sort_by("key")
    assert of_labels["type"].to_pylist() == [COMPOSITE] * 5 * len(RECIPES)
    assert of_labels["level"].to_pylist() == [2, 3, 2] * 5 and of_labels["key"][1].as_py() == "000000-127"


def test_workers_change_no_byte_and_other_recipes_rebuild(undisturbed: Path, built: Path, tmp_path: Path) -> None:
    stand_in.distort_stage(undisturbed / "sources", tmp_path, Engine("processes", 2), recipes=RECIPES)
    assert content(tmp_path) == content(built)
    before = {shard.fingerprint for shard in ShardSet(tmp_path).shards}
    stand_in.distort_stage(undisturbed / "sources", tmp_path, recipes=(*RECIPES[:2], ((4, 3), (21, 4))))
    assert not before & {shard.fingerprint for shard in ShardSet(tmp_path).shards}
    stand_in.distort_stage(undisturbed / "sources", tmp_path)
    assert content(tmp_path) == content(undisturbed / "distorted")


def test_a_composite_that_fails_leaves_its_source_out_and_is_named(undisturbed: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such composite") as caught:
        stand_in.distort_stage(undisturbed / "sources", tmp_path, recipes=RECIPES, made_by=spoilt)
    assert "source 3, composite 127, key 000003-127, seed 11; to replay it" in caught.value.__notes__[0]
    stand_in.distort_stage(undisturbed / "sources", tmp_path, recipes=RECIPES, made_by=spoilt, max_failed_sources=1)
    assert ShardSet(tmp_path).manifest["poisoned"] == {"000003": "composite 127: ValueError: no such composite"}
    assert len(ShardSet(tmp_path)) == 4 * MADE


@pytest.mark.faults
def test_a_composite_that_kills_its_worker_once_changes_no_byte(
    undisturbed: Path, built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bank, engine = partial(spoilt, fired=tmp_path / "fired"), Engine("processes", 2, None, tmp_path / "locks")
    stand_in.distort_stage(undisturbed / "sources", tmp_path / "made", engine, recipes=RECIPES, made_by=bank)
    assert (tmp_path / "fired").exists() and content(tmp_path / "made") == content(built)
    assert "composite 127, key 000003-127" in capsys.readouterr().err

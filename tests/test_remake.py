"""Samples from their recipes alone: equal to the shards' pixels, whatever became of shards and parameters."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline import artifacts, distortions, images, remake, sources
from pipeline.artifacts import ArtifactError
from pipeline.cli import app
from pipeline.distortions import Recipe
from pipeline.labels import CLASSES
from pipeline.params.sections import DistortParams, FolderParams, SourcesParams
from pipeline.shards.distorted_shards import DistortJob, build_distorted, commit_distorted
from pipeline.shards.reader import ShardSet
from pipeline.shards.source_shards import SourceJob, SourceSet, build_sources, commit_sources
from pipeline.sources import SourceError
from pipeline.verify import chosen, compared
from tests.sources.fixtures import leaves

SET = "textured_dead_leaves"


def make_sources(data: Path, name: str, source_set: SourceSet) -> None:
    job = SourceJob(name, source_set, data / "sources" / name, "qoi")
    commit_sources(job, [build_sources(task) for task in job.tasks(2)])


def make(
    data: Path, name: str, source_set: SourceSet, *, pristine: str = "stretched", recipes: tuple[Recipe, ...] = ()
) -> None:
    """Both stages of a set; of the distorted one the first two sources."""
    make_sources(data, name, source_set)
    made = ShardSet(data / "sources" / name)
    bank, parts = partial(distortions.distort_all, recipes=recipes), distortions.fingerprint_parts()
    params = DistortParams(block=2, pristine=pristine)
    job = DistortJob(name, 5, params, bank, parts, made.folder, made.fingerprint, data / "distorted" / name, recipes)
    commit_distorted(job, [build_distorted(task) for task in job.tasks(made)[:1]], made)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    drawn = leaves(SET, count=3, size=(64, 80), alpha=0.7, shape="ellipse")
    make(folder, SET, drawn, recipes=distortions.recipes(5, 4))
    plain = leaves("dead_leaves", count=1, size=(64, 64))
    make(folder, "dead_leaves", plain, pristine="raw")
    photographs = folder / "photographs"
    photographs.mkdir()
    for number in range(2):
        image = leaves(SET, seed=9 + number, count=1, size=(90, 70)).make(0)[0]
        (photographs / f"{number}.png").write_bytes(images.encode(image, "png"))
    rules = FolderParams(min_side=64, max_side=None, trim=False)
    make(folder, "mine", sources.source_set("mine", SourcesParams(count=2, folder=rules), seed=1, folder=photographs))
    return folder


def samples(folder: Path) -> dict[str, np.ndarray]:
    read = ShardSet(folder)
    return {key: read.image(row) for row, key in enumerate(read.keys)}


@pytest.mark.parametrize("name", [SET, "dead_leaves", "mine"])
def test_every_sample_is_made_again_bit_by_bit(name: str, data: Path) -> None:
    recipe, stored = remake.read(data / "distorted" / name), samples(data / "distorted" / name)
    assert len(stored) % (CLASSES + len(recipe.composites)) == 0 and recipe.differs == ()
    for key in sorted(stored)[:: 1 if name == SET else 9]:
        np.testing.assert_array_equal(remake.image(recipe, key), stored[key], err_msg=key)


def test_sources_are_made_again_bit_by_bit(data: Path) -> None:
    for name in (SET, "dead_leaves", "mine"):
        recipe = remake.read(data / "sources" / name)
        for key, image in samples(data / "sources" / name).items():
            np.testing.assert_array_equal(remake.image(recipe, key), image)


def test_the_verb_needs_neither_shards_nor_parameters(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = samples(data / "distorted" / SET)["000001-047"]
    for kind in ("sources", "distorted"):  # nothing but the manifests
        (tmp_path / "data" / kind / SET).mkdir(parents=True)
        shutil.copy(data / kind / SET / "manifest.json", tmp_path / "data" / kind / SET)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["remake", "--set", SET, "--key", "000001-047", "--out", "x.png"])
    assert done.exit_code == 0 and done.stdout == "x.png: 80 x 64\n", done.output
    np.testing.assert_array_equal(images.read(Path("x.png")), stored)
    CliRunner().invoke(app, ["remake", "--set", SET, "--key", "000001", "--out", "y.qoi"], catch_exceptions=False)
    np.testing.assert_array_equal(images.read(Path("y.qoi")), samples(data / "sources" / SET)["000001"])


def test_a_set_that_was_never_finished_is_replayed_by_its_seed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data" / "sources" / SET).mkdir(parents=True)
    shutil.copy(data / "sources" / SET / "manifest.json", tmp_path / "data" / "sources" / SET)
    monkeypatch.chdir(tmp_path)
    for key in ("000000-061", "000001-128"):  # a class and a composite
        words = ["remake", "--set", SET, "--key", key, "--out", "x.png"]
        with pytest.raises(ArtifactError, match="manifest.json: missing"):
            CliRunner().invoke(app, words, catch_exceptions=False)
        CliRunner().invoke(app, [*words, "--seed", "5"], catch_exceptions=False)
        np.testing.assert_array_equal(images.read(Path("x.png")), samples(data / "distorted" / SET)[key])


def test_sources_of_a_folder_are_read_and_missed_by_name(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "distorted" / "mine"
    copy.mkdir(parents=True)
    shutil.copy(data / "distorted" / "mine" / "manifest.json", copy)
    with pytest.raises(ArtifactError, match=r"sources/mine: the sources of mine came from a folder and are read"):
        remake.image(remake.read(copy), "000000-010")


def test_sources_of_a_folder_that_were_taken_anew_are_refused(data: Path, tmp_path: Path) -> None:
    for kind in ("sources", "distorted"):
        shutil.copytree(data / kind / "mine", tmp_path / kind / "mine")
    recipe = remake.read(tmp_path / "distorted" / "mine")
    assert remake.image(recipe, "000000-010").shape == (90, 70, 3)
    swapped = (remake.source(recipe, 1), remake.source(recipe, 0))
    remake._stored.cache_clear()
    for path in (tmp_path / "sources" / "mine").iterdir():
        path.unlink()
    make_sources(tmp_path, "mine", Swapped(swapped))
    with pytest.raises(
        ArtifactError, match=r"sources/mine: source 0 is another one than .*distorted/mine was made from"
    ):
        remake.image(recipe, "000000-010")


@dataclass(frozen=True)
class Swapped:
    """The images of a folder that has other files by now."""

    images: tuple[np.ndarray, ...]

    @property
    def count(self) -> int:
        return len(self.images)

    def make(self, index: int) -> tuple[np.ndarray, dict[str, Any]]:
        return self.images[index], {}

    def inputs(self, indices: range | None = None) -> dict[str, Any]:
        return {"kind": "folder", "swapped": True}


@pytest.mark.parametrize("key", ["000003", "000003-001", "000000-130", "1-2", "000000-1", "", "../x"])
def test_a_key_that_the_set_cannot_have_is_refused(key: str, data: Path) -> None:
    with pytest.raises(ArtifactError, match="there are 000000 to 000002, and 000000-000 to 000002-129"):
        remake.image(remake.read(data / "distorted" / SET), key)


def spoil(data: Path, tmp_path: Path, kind: str, **changes: object) -> Path:
    folder = tmp_path / kind / SET
    content = artifacts.read_checksummed(data / kind / SET / "manifest.json")
    artifacts.write_checksummed(folder / "manifest.json", {**content, **changes})
    return folder


def test_a_recipe_that_cannot_be_followed_is_refused_and_says_why(data: Path, tmp_path: Path) -> None:
    drawn = artifacts.read_checksummed(data / "sources" / SET / "manifest.json")["recipe"]
    for changes, message in (
        ({"format": 0}, "the recipe is of format 0"),
        ({"palettes": [["mine", "00"]]}, "the palettes are not those of the recipe; name their folder by --palettes"),
        ({"textures": "00"}, "the textures are not those of the recipe; name their folder by --textures"),
    ):
        folder = spoil(data, tmp_path, "sources", recipe={**drawn, **changes})
        with pytest.raises(SourceError, match=message):
            remake.image(remake.read(folder), "000000")
    with pytest.raises(ArtifactError, match="another version of the distortions"):
        remake.read(spoil(data, tmp_path, "distorted", bank={"bank": 0}))
    with pytest.raises(ArtifactError, match="records no recipe"):
        remake.read(spoil(data, tmp_path, "sources", recipe=None))


def test_other_versions_of_the_libraries_are_named(data: Path, tmp_path: Path) -> None:
    libraries = artifacts.read_checksummed(data / "sources" / SET / "manifest.json")["libraries"]
    folder = spoil(data, tmp_path, "sources", libraries={**libraries, "numpy": "1.0"})
    assert remake.read(folder).differs == (f"numpy 1.0 (here {libraries['numpy']})",)


def test_a_fraction_is_remade_and_a_wrong_pixel_is_found(data: Path, tmp_path: Path) -> None:
    recipe = remake.read(data / "distorted" / SET)
    tasks = chosen(recipe, 0.1, seed=0)
    assert sum(len(task.rows) for task in tasks) == 26  # of 252, rounded up
    assert tasks == chosen(recipe, 0.1, seed=0) != chosen(recipe, 0.1, seed=1)
    assert [text for task in tasks for text in compared(task)] == []
    folder = spoil(data, tmp_path, "distorted", seed=6)  # as if the shards had been drawn by another seed
    for path in (data / "distorted" / SET).glob("distorted-*"):
        shutil.copy(path, folder)
    found = [text for task in chosen(remake.read(folder), 0.1, seed=0) for text in compared(task)]
    assert 5 < len(found) < 26 and all("is not what its recipe gives" in text for text in found)


def test_verify_counts_what_it_remade_and_says_what_it_could_not(data: Path) -> None:
    done = CliRunner().invoke(app, ["verify", str(data), "--fraction", "0.05"])
    assert done.exit_code == 0, done.output
    assert "samples made again: as the manifests say" in done.stdout
    assert "sources/mine: taken from a folder, nothing to make again" in done.stderr

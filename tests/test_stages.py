"""What a stage asks to be rebuilt, seen from its own entry: in its own folder, serial, two sources of 64 pixels."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import stages.baselines
import stages.distort
import stages.sources
import stages.statistics
import stages.training
from pipeline import distortions, images, sources
from pipeline.artifacts import (
    ArtifactError,
    read_checksummed,
    read_json,
    read_manifest,
    sha256_bytes,
    write_checksummed,
    write_json,
)
from pipeline.encoder import seen_sets
from pipeline.evaluation.leaks import LeakError, seen_opinions
from pipeline.evaluation.leaks.encoder import check_selection
from pipeline.params import Params, SetParams
from pipeline.shards.reader import ShardSet
from pipeline.verify import checks, problems
from tests import profile

ROOT = Path(__file__).parents[1]


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    given = profile.read("tiny")
    small = given.sources.model_copy(update={"count": 2, "size": 64, "per_shard": 1})
    return given.model_copy(update={"sources": small, "run": given.run.model_copy(update={"engine": "serial"})})


def prints(name: str) -> list[str]:
    return [shard.fingerprint for shard in read_manifest(Path("data") / name)[1]]


def test_the_table_of_all_sources_is_in_the_manifest_and_a_manifest_without_it_costs_no_drawing(params: Params) -> None:
    stages.sources.run(params, "textured_dead_leaves")
    folder = Path("data/sources/textured_dead_leaves")
    manifest, drawn = (folder / "manifest.json").read_bytes(), (folder / "sources-00000.tar").stat().st_mtime_ns
    table = folder / "sources.parquet"
    whole = table.read_bytes()
    for place in (5, len(whole) // 2, len(whole) - 2):
        table.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        found = [text for check in checks(folder) for text in problems(check)]
        assert found == [f"{table}: damaged, its sha256 is not the manifest's"]
        with pytest.raises(ArtifactError, match="sources.parquet: damaged"):
            ShardSet(folder)
    content = read_checksummed(folder / "manifest.json")
    del content["companions"]
    write_checksummed(folder / "manifest.json", content)  # as written before tables of the whole folder were listed
    assert len(ShardSet(folder)) == 2
    stages.sources.run(params, "textured_dead_leaves")
    assert ((folder / "manifest.json").read_bytes(), table.read_bytes()) == (manifest, whole)
    assert (folder / "sources-00000.tar").stat().st_mtime_ns == drawn


def test_another_distortion_table_rebuilds_the_shards(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    stages.sources.run(params, "textured_dead_leaves")
    stages.distort.run(params, "textured_dead_leaves")
    before = prints("distorted/textured_dead_leaves")
    stages.distort.run(params, "textured_dead_leaves")
    assert prints("distorted/textured_dead_leaves") == before
    first, *others = distortions.TYPES
    stronger = replace(first, levels=(*first.levels[:4], first.levels[4] + 1))
    monkeypatch.setattr("pipeline.distortions.bank.TYPES", (stronger, *others))
    stages.distort.run(params, "textured_dead_leaves")
    after = prints("distorted/textured_dead_leaves")
    assert len(after) == len(before) and not set(after) & set(before)


def test_a_folder_set_keeps_its_names_and_grows_by_what_is_new(params: Params, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    photos = sources.source_set("photos", params.sources, seed=1)
    for index in range(3):
        (folder / f"picture{index}.png").write_bytes(images.encode(photos.make(index)[0], "png"))
    params = params.model_copy(update={"sets": {"mine": SetParams(folder=str(folder))}})
    stages.sources.run(params, "mine")
    names = ShardSet(Path("data/sources/mine")).table["id"].to_pylist()
    assert len(names) == 2 and set(names) < {"picture0", "picture1", "picture2"}
    before = prints("sources/mine")
    grown = params.model_copy(update={"sources": params.sources.model_copy(update={"count": 3})})
    stages.sources.run(grown, "mine")
    assert prints("sources/mine")[:2] == before


def test_distort_says_which_sources_are_missing(params: Params) -> None:
    with pytest.raises(ArtifactError, match="manifest.json: missing"):
        stages.distort.run(params, "textured_dead_leaves")


def test_the_released_encoder_is_copied_only_if_it_is_its_cards(params: Params) -> None:
    Path("released").mkdir()
    Path("released/encoder.safetensors").write_bytes(b"weights")
    card = {"kind": "resnet", "sha256": sha256_bytes(b"weights")}
    write_json(Path("released/encoder.json"), card)
    stages.baselines.run(params)
    assert Path("data/models/released/encoder.safetensors").read_bytes() == b"weights"
    assert read_json(Path("data/models/released/encoder.json")) == card
    shutil.copytree("released", "released/classifier")
    Path("released/classifier/classifier.safetensors").write_bytes(b"head")
    stages.baselines.run(params)
    copied = {path.name: path.read_bytes() for path in Path("data/models/released/classifier").glob("*.safetensors")}
    assert copied == {"classifier.safetensors": b"head", "encoder.safetensors": b"weights"}
    Path("released/encoder.safetensors").write_bytes(b"others")
    with pytest.raises(ArtifactError, match=r"released/encoder.safetensors: sha256"):
        stages.baselines.run(params)


def test_a_run_that_begins_from_an_encoder_has_seen_what_that_has(params: Params) -> None:
    made = {"trained_on": "mine", "authentic_set": "photographs", "labelled_on": "koniq10k", "selection": "srocc"}
    write_json(Path("data/models/released/encoder.json"), {"kind": "resnet", "sha256": "abc", "provenance": made})
    folder, provenance = stages.training.begun_from("released")
    assert folder == Path("data/models/released")
    assert provenance == {"begun_from": "released", "before": {**made, "sha256": "abc"}}
    card = {"kind": "resnet", "provenance": {"trained_on": "drawn", "selection": "last", **provenance}}
    assert seen_sets(card) == ["drawn", "mine", "photographs"]
    with pytest.raises(LeakError, match="'srocc'"):
        check_selection("run", card)
    table = pa.table({"image_id": ["a"]})
    with pytest.raises(LeakError, match="koniq10k"):
        seen_opinions("run", card, table, "live", {}.get)
    assert stages.training.begun_from("random_init") == (None, {"begun_from": "random_init"})


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied", "data/x"), OSError(28, "No space left")])
def test_what_the_file_system_refuses_is_one_line(
    error: OSError, params: Params, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    profile.write("tiny", Path("params.yaml"))
    monkeypatch.setattr("sys.argv", ["stages/distort.py"])

    def run(params: Params) -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        stages.entry(run)
    assert caught.value.code == 2 and capsys.readouterr().err == f"distort: {error}\n"


def test_statistics_of_photographs_stand_beside_the_sets_and_a_bad_one_is_named(params: Params, tmp_path: Path) -> None:
    folder = tmp_path / "natural"
    folder.mkdir()
    for index, side in enumerate((40, 64)):  # of different sizes, one grey, fewer than asked for
        picture = np.random.default_rng(index).integers(0, 256, (side, 50, 3), dtype=np.uint8)
        (folder / f"{index}.png").write_bytes(images.encode(picture if index else picture[..., :1].repeat(3, 2), "png"))
    paths = params.run.paths.model_copy(update={"natural": str(folder)})
    params = params.model_copy(
        update={"sets": {"photos": SetParams()}, "run": params.run.model_copy(update={"paths": paths})}
    )
    stages.sources.run(params, "photos")
    stages.statistics.run(params)
    found = json.loads(Path("metrics/statistics.json").read_text())
    assert found["natural photographs"]["images"] == 2 and found["natural photographs"]["kl_natural_set"] == 0
    assert found["photos"]["kl_natural_set"] > 0
    (folder / "small.png").write_bytes(images.encode(np.zeros((20, 50, 3), np.uint8), "png"))
    with pytest.raises(ValueError, match=r"run.paths.natural: .*small.png: statistics: 50 x 20 pixels"):
        stages.statistics.run(params)
    (folder / "small.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="small.png: a text file, not a PNG"):
        stages.statistics.run(params)

"""finetune and evaluate on a small database: what is predicted, what the card says, and five leaks that are refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import stages.compare
import stages.evaluate
import stages.features
import stages.finetune
import stages.ingest
import stages.joint
import stages.transfer
from pipeline import artifacts, images
from pipeline.artifacts import ArtifactError
from pipeline.domains import Similarity, domains_table
from pipeline.encoder.network import ResNet, initialise, weight_generator
from pipeline.encoder.weights import save_encoder
from pipeline.evaluation import LeakError, SplitError
from pipeline.params import DatabaseParams, FinetuningParams, Params, ParamsError
from pipeline.params.sections import FinetuneRun, JointRun, TransferRun
from tests import profile
from tests.training.stand_in import StandIn

MANIFEST = """
name: toys
title: Toys
citation: none
kind: folder
higher_is_better: false
range: [0, 100]
scores: {file: scores.csv, image: image, mos: dmos, group: scene}
images: {extensions: [.png]}
group: {kind: column}
"""
CARD = Path("data/models/tuned/encoder.json")


def write_database(folder: Path) -> None:
    """10 scenes of 4 levels of noise each."""
    rng, lines = np.random.default_rng(5), ["image,dmos,scene"]
    for scene in range(10):
        picture = np.kron(rng.integers(60, 200, (6, 6, 3)), np.ones((8, 8, 1), np.int64))
        for level in range(4):
            noisy = np.clip(picture + rng.normal(0, 15 * level, picture.shape), 0, 255).astype(np.uint8)
            artifacts.write_bytes(folder / f"{scene}_{level}.png", images.encode(noisy, "png"))
            lines.append(f"{scene}_{level}.png,{10 + 25 * level + scene},{scene}")
    (folder / "scores.csv").write_text("\n".join(lines) + "\n")
    (folder / "database.yaml").write_text(MANIFEST)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Params]:
    """A folder in which an encoder was tuned by FT on two splits and by LP on one."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_database(folder / "toys")
        trunk = ResNet(18, 8)
        initialise(trunk, weight_generator(1))
        save_encoder(Path("data/models/base"), trunk, "base", {"trained_on": []})
        knobs = FinetuningParams(
            crop=32, batch=8, epochs=1, splits=2, views=("centre", "resize"), head_learning_rate=1e-3
        )
        lines = {
            "tuned": FinetuneRun(encoder="base", database="toys", mode="ft"),
            "probed": FinetuneRun(encoder="base", database="toys", mode="lp", splits=1),
        }
        params = profile.read("tiny").model_copy(
            update={
                "databases": {"toys": DatabaseParams(folder=str(folder / "toys"))},
                "encoders": ["base", "tuned", "probed"],
                "finetune": lines,
                "finetuning": knobs,
            }
        )
        params = params.model_copy(update={"run": params.run.model_copy(update={"engine": "serial"})})
        stages.ingest.run(params, "toys")
        stages.features.run(params, "base", "toys")
        for name in lines:
            stages.finetune.run(params, name)
    return folder, params


@pytest.fixture
def params(made: tuple[Path, Params], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    shutil.copytree(made[0] / "data", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return made[1]


def amended(**changes: Callable[[Any], Any]) -> None:
    card = artifacts.read_json(CARD)
    artifacts.write_json(CARD, card | {key: change(card.get(key)) for key, change in changes.items()})


def part_of(split: int) -> list[str]:
    table = artifacts.read_table(Path("data/models/tuned/predictions/toys.parquet"))
    return sorted(set(table.filter(pc.equal(table["split"], split))["image_id"].to_pylist()))


def test_its_predictions_stand_beside_the_ridges(params: Params) -> None:
    for name in params.encoders:
        stages.evaluate.run(params, name, "toys")
    metrics = artifacts.read_json(Path("metrics/evaluate/tuned/toys.json"))
    assert metrics["regressor"] == "ft_centre" and set(metrics["nr"]) == {"ft_centre", "ft_resize"}
    splits = metrics["nr"]["ft_centre"]["splits"]
    assert [(s["split"], s["train"], s["val"], s["test"]) for s in splits] == [(0, 24, 8, 8), (1, 24, 8, 8)]
    assert set(artifacts.read_json(Path("metrics/evaluate/probed/toys.json"))["nr"]) == {"lp_whole"}
    table = artifacts.read_table(Path("data/predictions/tuned/toys.parquet"))
    assert -50 < pc.min(table["prediction"]).as_py() < pc.max(table["prediction"]).as_py() < 150  # of 0..100
    stages.compare.run(params)
    compared = artifacts.read_json(Path("metrics/compare.json"))
    rows = {(row["encoder"], row["regressor"]) for row in compared["methods"]}
    assert rows == {("base", "ridge"), ("tuned", "ft_centre"), ("tuned", "ft_resize"), ("probed", "lp_whole")}
    assert any({pair["first"], pair["second"]} == {"base", "tuned"} for pair in compared["pairs"])


def test_the_card_lists_training_and_validation_images(params: Params) -> None:
    card = artifacts.read_json(CARD)
    (entry,) = card["opinions"]
    assert (entry["database"], entry["split"], len(entry["images"])) == ("toys", 0, 32)
    assert not set(entry["images"]) & set(part_of(0)) and len(part_of(0)) == 8
    assert card["provenance"]["labelled_on"] == ["toys"] and card["provenance"]["begun_from"] == "base"
    again = artifacts.sha256_file(CARD)
    stages.finetune.run(params, "tuned")  # finished: written out again
    assert artifacts.sha256_file(CARD) == again


def test_a_test_image_among_the_labelled_ones_is_refused(params: Params) -> None:
    image = part_of(0)[0]
    amended(opinions=lambda entries: [{**entries[0], "images": [*entries[0]["images"], image]}])
    with pytest.raises(
        LeakError, match=f"tuned: it has seen opinions of every split's test part; split 0, .* {image} "
    ):
        stages.evaluate.run(params, "tuned", "toys")


def test_another_split_is_refused(params: Params) -> None:
    with pytest.raises(LeakError, match="tuned on toys: split 0 has another test part now than when it was trained"):
        stages.evaluate.run(params.model_copy(update={"seed": 77}), "tuned", "toys")


def test_opinions_that_are_not_listed_are_refused(params: Params) -> None:
    amended(opinions=lambda entries: [])
    with pytest.raises(LeakError, match="tuned: it learnt from opinions of toys, and its card .* does not list them"):
        stages.evaluate.run(params, "tuned", "toys")


def test_a_group_on_two_sides_is_refused(params: Params) -> None:
    """An image of a training group turns out to show a scene of the test part."""
    path = Path("data/databases/toys.parquet")
    table = artifacts.read_table(path)
    seen = artifacts.read_json(CARD)["opinions"][0]["images"][0]
    scene = dict(zip(table["image_id"].to_pylist(), table["group"].to_pylist(), strict=True))
    groups = [scene[part_of(0)[0]] if name == seen else group for name, group in scene.items()]
    artifacts.write_table(path, table.set_column(table.column_names.index("group"), "group", pa.array(groups)))
    with pytest.raises(LeakError, match="split 0 has another test part now"):
        stages.evaluate.run(params, "tuned", "toys")


def test_a_near_duplicate_of_a_labelled_image_of_another_database_is_refused(params: Params) -> None:
    """The encoder that was begun from has seen the opinion of a picture that a test part shows as well."""
    other = artifacts.read_table(Path("data/databases/toys.parquet"))
    names = [f"other_{name}" for name in other["image_id"].to_pylist()]
    image = names[other["image_id"].to_pylist().index(part_of(0)[0])]
    for column, values in {"image_id": names, "sha256": names}.items():
        other = other.set_column(other.column_names.index(column), column, pa.array(values))
    artifacts.write_table(Path("data/databases/other.parquet"), other)
    base = Path("data/models/base/encoder.json")
    card = {**artifacts.read_json(base), "opinions": [{"database": "other", "images": [image]}]}
    artifacts.write_json(base, card)
    amended(opinions=lambda entries: [*entries, *card["opinions"]])
    with pytest.raises(LeakError, match="its group .* has a picture of other whose opinion was seen"):
        stages.evaluate.run(params, "tuned", "toys")
    shutil.rmtree("data/checkpoints/tuned")
    stages.finetune.run(params, "tuned")  # is trained on another split than before
    assert 0 not in artifacts.read_table(Path("data/models/tuned/predictions/toys.parquet"))["split"].to_pylist()


def test_an_encoder_of_a_joint_run_is_judged_on_that_runs_split_alone(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The card is the one that training writes; another seed draws other splits."""
    monkeypatch.setattr(stages.joint, "ShardSet", lambda folder: StandIn(sources=4))
    line = JointRun(
        set="gratings", database="toys", split=1, depth=18, width=8, crop=32, batch=7, labelled_batch=8, epochs=1
    )
    probe = params.probe.model_copy(update={"sources": 1})
    params = params.model_copy(update={"joint": {"both": line}, "probe": probe})
    stages.joint.run(params, "both")
    stages.features.run(params, "both", "toys")
    stages.evaluate.run(params, "both", "toys")
    metrics = artifacts.read_json(Path("metrics/evaluate/both/toys.json"))
    assert [split["split"] for split in metrics["nr"]["ridge"]["splits"]] == [1]
    assert set(metrics["refused_splits"]) == {str(number) for number in range(params.evaluate.splits)} - {"1"}
    (entry,) = artifacts.read_json(Path("data/models/both/encoder.json"))["opinions"]
    tested = artifacts.read_table(Path("data/predictions/both/toys.parquet"))
    tested = set(tested.filter(pc.field("part") == "test")["image_id"].to_pylist())
    assert len(entry["images"]) == 32 and tested.isdisjoint(entry["images"]) and len(tested) == 8
    with pytest.raises(LeakError, match=r"both: it has seen opinions of every split's test part; split 0, 8 of 8 test"):
        stages.evaluate.run(params.model_copy(update={"seed": 77}), "both", "toys")


def test_predictions_that_are_not_the_cards_are_refused(params: Params) -> None:
    amended(predictions=lambda made: {"toys": "0" * 64})
    with pytest.raises(ArtifactError, match="toys.parquet: not the predictions that the card names"):
        stages.evaluate.run(params, "tuned", "toys")


def test_an_absent_database_is_named(params: Params) -> None:
    lines = {"tuned": params.finetune["tuned"].model_copy(update={"database": "kadid10k"})}
    with pytest.raises(ParamsError, match="^kadid10k: not one of databases: toys"):
        stages.finetune.run(params.model_copy(update={"finetune": lines}), "tuned")


def test_a_network_on_chosen_types_is_judged_on_another_database(params: Params) -> None:
    """Levels are taken for types of the bank here. The other database is judged as a whole, by each split's network."""
    made = Path(params.databases["toys"].folder)
    for name in ("source", "target"):
        shutil.copytree(made, name)
        text = (made / "database.yaml").read_text().replace("name: toys", f"name: {name}")
        if name == "source":
            text += "type_level: '[0-9]_(?P<type>[0-3])[.]png'\nbank_types: true\n"
        else:  # other pictures
            for path in Path(name).glob("*.png"):
                path.write_bytes(images.encode(255 - images.read(path), "png"))
        (Path(name) / "database.yaml").write_text(text)
    databases = {name: DatabaseParams(folder=name) for name in ("source", "target")}
    line = TransferRun(encoder="base", source="source", target="target", domains="asked", types=(1, 3))
    given = params.model_copy(update={"databases": databases, "transfer": {"moved": line}})
    for name in databases:
        stages.ingest.run(given, name)
    similar = [Similarity(kind, 0.02, 0, 1, 0.0, 0, 1, kind == 2, False) for kind in range(1, 26)]
    artifacts.write_table(
        Path("data/domains/asked.parquet"), domains_table("t", "c", similar, [str(k) for k in range(25)], 9)
    )
    stages.transfer.run(given, "moved")
    metrics = artifacts.read_json(Path("metrics/transfer/moved.json"))
    assert (
        (metrics["selection"], metrics["types"]) == ("types", [1, 3])
        and metrics["images"] == 40
        and set(metrics["nr"]) == {"ft_centre", "ft_resize"}
    )
    assert [(split["split"], split["test"]) for split in metrics["nr"]["ft_centre"]["splits"]] == [(0, 40), (1, 40)]
    assert metrics["nr"]["ft_centre"]["srocc"] == pytest.approx(
        np.median([split["srocc"] for split in metrics["nr"]["ft_centre"]["splits"]])
    )
    card = artifacts.read_json(Path("data/models/moved/encoder.json"))
    assert card["provenance"]["params"]["loss"] == "l1"
    (entry,) = card["opinions"]
    assert entry["database"] == "source" and {name[-5] for name in entry["images"]} == {"1", "3"}
    assert len(entry["images"]) == 20
    selected = line.model_copy(update={"types": "selected"})
    stages.transfer.run(given.model_copy(update={"transfer": {"moved": selected}}), "moved")
    metrics = artifacts.read_json(Path("metrics/transfer/moved.json"))
    assert (metrics["selection"], metrics["types"]) == ("mean_prob", [2])
    nothing = line.model_copy(update={"types": (25,)})
    with pytest.raises(SplitError, match="source, split 0: no image of the types 25"):
        stages.transfer.run(given.model_copy(update={"transfer": {"moved": nothing}}), "moved")

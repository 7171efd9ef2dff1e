"""An encoder that learnt from opinions is judged on what it has not seen, and refused by name on the rest."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.evaluation import LeakError, Protocol, compare, evaluate, metrics_of, predictions_table
from pipeline.evaluation.comparison.cross_database import cross
from pipeline.evaluation.leaks import SeenOpinions, check_encoder, seen_opinions
from pipeline.evaluation.predictions import Part
from pipeline.evaluation.splits import random_splits
from tests.evaluation.tables import write_features
from tests.evaluation.test_compare import LAMBDAS, scored_database

GROUPS = [f"g{i // 10:02d}" for i in range(200)]
IDS = [f"image{i:05d}" for i in range(200)]
SPLITS = random_splits(GROUPS, seed=0, database="toys", count=4)
TEST = [IDS[row] for row in SPLITS[2].test]
PROTOCOL = Protocol("random", splits=4, min_groups=2)


def database(name: str = "toys", **columns: list[Any]) -> pa.Table:
    """200 images in 20 groups whose pictures are all different."""
    hashes = np.random.default_rng(len(name)).integers(2**63, 2**64, 200, dtype=np.uint64) | np.uint64(0xFFFFFF)
    table = {"image_id": IDS, "group": GROUPS, "is_reference": [False] * 200}
    table |= {"sha256": [f"{name}{i}" for i in range(200)], "phash": pa.array(hashes, pa.uint64())}
    return pa.table(table | columns)


def card(*entries: object, **provenance: object) -> dict[str, Any]:
    return {"kind": "resnet", "opinions": list(entries), "provenance": {"method": "joint", **provenance}}


def seen(entries: dict[str, Any], **others: pa.Table) -> SeenOpinions:
    return seen_opinions("mine", entries, database(), "toys", others.get)


def judged(what: SeenOpinions, folder: Path, protocol: Protocol = PROTOCOL) -> tuple[pa.Table, dict[str, Any]]:
    rng = np.random.default_rng(0)
    quality = rng.uniform(0, 1, 200)
    x = np.c_[quality + 0.1 * rng.normal(size=200), rng.normal(size=(200, 3))]
    return evaluate(write_features(folder / "f.parquet", x, quality, groups=GROUPS), protocol, seen=what)


def test_the_split_it_was_trained_on_is_judged_and_the_others_are_refused(tmp_path: Path) -> None:
    predictions, metrics = judged(seen(card({"database": "toys", "split": 2, "test": TEST})), tmp_path)
    tested = predictions.filter(pa.compute.equal(predictions["part"], "test"))
    assert set(tested["split"].to_pylist()) == {2} and sorted(tested["image_id"].to_pylist()) == TEST
    assert set(metrics["refused_splits"]) == {"0", "1", "3"}
    assert "its opinion was seen" in metrics["refused_splits"]["0"]
    assert json.dumps(metrics) and [split["split"] for split in metrics["nr"]["ridge"]["splits"]] == [2]


def test_another_split_is_refused(tmp_path: Path) -> None:
    """The number is the same, and a change of seed made other images of it."""
    what = seen(card({"database": "toys", "split": 2, "test": TEST}))
    with pytest.raises(LeakError, match=r"mine: it has seen opinions of every split's test part; split 0, \d+ of 40"):
        judged(what, tmp_path, replace(PROTOCOL, seed=1))


@pytest.mark.parametrize("entry", [{"images": [IDS[row] for row in SPLITS[2].train]}, {"split": "2", "test": TEST}])
def test_test_images_among_the_seen_are_refused_by_name(tmp_path: Path, entry: dict[str, Any]) -> None:
    planted = {
        key: [*names, TEST[3]] if key == "images" else [n for n in names if n != TEST[3]]
        for key, names in entry.items()
        if key != "split"
    }
    what = seen(card({"database": "toys", **planted}))
    assert what.images[TEST[3]] == "its opinion was seen"
    with pytest.raises(LeakError, match=f"{TEST[3]}|of 40 test images"):
        judged(what, tmp_path)
    clean = seen(card({"database": "toys", **entry}))
    assert not set(clean.images) & set(TEST) and judged(clean, tmp_path)[1]["nr"]


def test_a_group_on_two_sides_is_refused_unless_the_manifest_says_so() -> None:
    what = card({"database": "toys", "images": [IDS[0]]})
    assert seen(what).images[IDS[9]] == "its group g00 has images whose opinions were seen"
    assert IDS[10] not in seen(what).images
    shared = seen_opinions("mine", what, database(), "toys", {}.get, shares_groups=True)
    assert list(shared.images) == [IDS[0]]


def test_an_equal_image_of_another_group_is_refused() -> None:
    twice = database(sha256=["same" if i in (0, 150) else str(i) for i in range(200)])
    found = seen_opinions("mine", card({"database": "toys", "images": [IDS[0]]}), twice, "toys", {}.get)
    assert found.images[IDS[150]] == "the opinion of an equal image was seen" and IDS[151] not in found.images


def test_a_near_duplicate_in_another_database_is_refused_and_the_rest_allowed() -> None:
    other = database("other")
    hashes = other["phash"].to_numpy().copy()
    hashes[57] = database()["phash"][123].as_py() ^ 0b111  # of group g05 there, g12 here
    other = other.set_column(other.column_names.index("phash"), "phash", pa.array(hashes, pa.uint64()))
    found = seen(card({"database": "other", "images": [IDS[50]]}), other=other)
    assert set(found.images) == set(IDS[120:130])
    assert found.images[IDS[120]] == "its group g12 has a picture of other whose opinion was seen"
    assert not seen(card({"database": "other", "images": [IDS[60]]}), other=other).images


def test_opinions_of_an_unlisted_database_are_refused_and_other_databases_allowed() -> None:
    with pytest.raises(LeakError, match="mine: it learnt from opinions of b, and its card .* does not list them"):
        seen(card({"database": "other"}, labelled_on=["other", "b"]), other=database("other"))
    with pytest.raises(LeakError, match=r"it learnt from opinions \(joint\)"):
        seen(card())
    assert not seen(card({"database": "other"}, labelled_on="other"), other=database("other")).images
    away = seen(card({"database": "other"}))
    assert away.unknown == ("the table of other, whose opinions it has seen, is not here",) and not away.images


def test_all_opinions_of_a_database_leave_nothing_to_judge(tmp_path: Path) -> None:
    with pytest.raises(LeakError, match="every split's test part"):
        judged(seen(card({"database": "toys"})), tmp_path)


def test_weights_chosen_by_opinions_need_the_list() -> None:
    free = {"kind": "resnet", "provenance": {"selection": "best_srocc", "trained_on": None}}
    with pytest.raises(LeakError, match="chosen by 'best_srocc' .* lists none under `opinions`"):
        check_encoder("mine", free, database(), "toys", {}.get, {}.get)
    listed = check_encoder("mine", free | {"opinions": [{"database": "other"}]}, database(), "toys", {}.get, {}.get)
    assert listed.report["checked"]["selection"] == "best_srocc" and "the table of other" in listed.report["unknown"][0]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("toys", "expected {database, images}"),
        ({"images": []}, "expected {database, images}"),
        ({"database": "toys", "picture": []}, "expected {database, images}"),
        ({"database": "toys", "images": "a"}, "lists of ids"),
        ({"database": "toys", "images": [3]}, "lists of ids"),
        ({"database": "toys", "split": 2}, "names split 2 of toys without `images` or `test`"),
        ({"database": "toys", "images": ["nowhere"]}, "names nowhere, which the table of toys does not have"),
    ],
)
def test_entries_that_cannot_be_read_are_refused(entry: object, said: str) -> None:
    with pytest.raises(LeakError, match=said):
        seen(card(entry))


def test_across_databases_only_unseen_images_are_judged(tmp_path: Path) -> None:
    first, second = scored_database(tmp_path, "a", 0), scored_database(tmp_path, "b", 1)
    half = SeenOpinions("toy", dict.fromkeys(IDS[:150], "its opinion was seen"))
    (found,) = cross(first, replace(second, seen=half), LAMBDAS, seed=0, bits=6)
    assert (found["images"], found["seen_images"], found["groups"]) == (50, 150, 5) and found["srocc"] > 0.9
    nothing = SeenOpinions("toy", dict.fromkeys(IDS, "its opinion was seen"))
    assert cross(first, replace(second, seen=nothing), LAMBDAS, seed=0, bits=6) == []


def test_predictions_of_a_network_stand_beside_a_ridges(tmp_path: Path) -> None:
    """A table that another stage wrote: metrics, intervals and pairs as for any method, on the splits both have."""
    ridge, metrics = judged(SeenOpinions(), tmp_path)
    rng = np.random.default_rng(3)
    mos = np.random.default_rng(0).uniform(0, 1, 200)
    nothing = [None] * 200
    images = pa.table(
        {"image_id": IDS, "group": GROUPS, "mos": mos, "stratum": nothing, "type": nothing, "level": nothing}
    )
    guesses = mos + 0.5 * rng.normal(size=200)
    parts = [
        Part("nr", "finetune", 2, part, rows, guesses[rows])
        for part, rows in (("val", SPLITS[2].val), ("test", SPLITS[2].test))
    ]
    network = predictions_table(images, parts, encoder="tuned", database="toys")
    own = metrics_of(network)
    assert (own["encoder"], own["kind"], own["regressor"]) == ("tuned", "features", "finetune")
    assert own["nr"]["finetune"]["splits"][0]["test"] == len(TEST) and own["images"] == len(TEST) + len(SPLITS[2].val)
    found = compare([ridge, network], {"toys": 2 / 7})
    tuned = next(one for one in found["methods"] if one["encoder"] == "tuned")
    assert tuned["median"] == own["nr"]["finetune"]["srocc"] == tuned["srocc"]
    (pair,) = found["pairs"]
    split = metrics["nr"]["ridge"]["splits"][2]
    sign = 1 if pair["first"] == "toy" else -1
    assert sign * pair["srocc"] == pytest.approx(split["srocc"] - tuned["srocc"]) and pair["p_splits"] is None
    assert pair["groups"] == len(TEST) // 10
    away = network.set_column(4, "split", pa.array([3] * len(network), pa.int32()))
    other = away.set_column(0, "encoder", pa.array(["other"] * len(network)))
    assert compare([network, other], {"toys": 2 / 7})["pairs"] == []  # trained on other splits: no image in common

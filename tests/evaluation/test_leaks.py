"""Each leak, planted: the stage's checks stop, and name what they found."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest

import stages.evaluate
from pipeline import artifacts, images
from pipeline.evaluation import LeakError, Protocol, check_encoder, evaluate
from pipeline.evaluation.leaks.pictures import check_parts, near_across_groups, near_pairs
from pipeline.evaluation.splits import Split
from pipeline.features import baselines, extract_features
from pipeline.features.floor import Floor
from tests import profile
from tests.evaluation.tables import write_features

ROOT = Path(__file__).parents[2]
NOWHERE = dict[str, pa.Table]().get
CARD = {"kind": "resnet", "provenance": {"trained_on": "mine", "selection": "last"}}


def picture(seed: int, side: int = 96) -> np.ndarray:
    """Something with structure at every scale, as photographs have."""
    rng = np.random.default_rng(seed)
    image = np.zeros((side, side, 3))
    for cells in (3, 6, 12, 24):
        image += cv2.resize(rng.normal(size=(cells, cells, 3)), (side, side), interpolation=cv2.INTER_CUBIC) / cells
    return np.uint8(np.clip(128 + 400 * image, 0, 255))


def source_table(pictures: list[np.ndarray], **recipe: object) -> pa.Table:
    return pa.table(
        {
            "id": [f"source{i}" for i in range(len(pictures))],
            "sha256": [artifacts.sha256_bytes(p.tobytes()) for p in pictures],
            "phash": pa.array([images.perceptual_hash(p) for p in pictures], pa.uint64()),
            "recipe": [json.dumps({"kind": "folder", **recipe})] * len(pictures),
        }
    )


def database_table(pictures: list[np.ndarray], groups: list[str] | None = None) -> pa.Table:
    names = [f"image{i:05d}" for i in range(len(pictures))]
    return pa.table(
        {
            "image_id": names,
            "sha256": [artifacts.sha256_bytes(images.encode(p, "png")) for p in pictures],
            "phash": pa.array([images.perceptual_hash(p) for p in pictures], pa.uint64()),
            "group": groups or names,
            "is_reference": [False] * len(pictures),
        }
    )


def check(sources: pa.Table | None, database: pa.Table, card: object = CARD, **options: object) -> dict[str, object]:
    return check_encoder("mine", card, database, "toys", lambda name: sources, NOWHERE, **options).report


def test_a_clean_run_says_what_was_looked_at() -> None:
    found = check(source_table([picture(i) for i in range(20)]), database_table([picture(100 + i) for i in range(30)]))
    assert found["unknown"] == []
    assert found["checked"]["selection"] == "last"
    assert found["checked"]["nearest_source_bits"]["mine"] > 8


@pytest.mark.parametrize(
    "version",
    [
        lambda p: cv2.imdecode(cv2.imencode(".jpg", p, [1, 20])[1], 1),
        lambda p: cv2.resize(p, (48, 48), interpolation=cv2.INTER_AREA),
        lambda p: cv2.GaussianBlur(p, (0, 0), 2),
        lambda p: np.uint8(p * 0.5 + 64),
    ],
    ids=["jpeg", "half size", "blur", "half contrast"],
)
def test_a_distorted_version_of_a_source_is_a_leak(version) -> None:
    sources = source_table([picture(i) for i in range(20)])
    database = database_table([*(picture(100 + i) for i in range(30)), version(picture(7))])
    with pytest.raises(LeakError, match=r"1 sources of its set mine are near duplicates .* source7 ~ image00030"):
        check(sources, database)
    assert check(sources, database, bits=-1)["checked"]["nearest_source_bits"]["mine"] <= 6


@pytest.mark.parametrize("where", ["file", "palette"])
def test_equal_bytes_of_a_source_or_of_what_coloured_it_are_a_leak(where: str) -> None:
    database = database_table([picture(100 + i) for i in range(5)])
    sha = database["sha256"][3].as_py()
    recipe = {"sha256": sha} if where == "file" else {"palette": {"name": "x.png", "sha256": sha}}
    with pytest.raises(LeakError, match=r"have equal bytes with images of the database: source\d = image00003"):
        check(source_table([picture(1)], **recipe), database)


def test_a_flat_picture_resembles_nothing() -> None:
    flat = np.full((64, 64, 3), 90, np.uint8)
    check(source_table([flat]), database_table([flat + 3, picture(1)]))


def test_an_encoder_chosen_by_opinions_is_refused() -> None:
    card = {"kind": "resnet", "provenance": {"trained_on": "mine", "selection": "best_srocc"}}
    with pytest.raises(LeakError, match="chosen by 'best_srocc'"):
        check(source_table([picture(1)]), database_table([picture(2)]), card)


def test_what_cannot_be_known_is_listed() -> None:
    found = check(None, database_table([picture(2)]), {"kind": "resnet", "provenance": {"trained_on": "mine"}})
    assert found["unknown"] == ["how the weights were chosen is not recorded", "the sources of mine are not here"]
    continued = {"trained_on": "mine", "selection": "last", "before": {"trained_on": "mine"}}
    found = check(None, database_table([picture(2)]), {"kind": "resnet", "provenance": continued})
    assert "how the weights were chosen is not recorded" in found["unknown"]
    calibrated = {"kind": "resnet", "provenance": {"trained_on": None, "statistics_of": {"mine": {"images": 3}}}}
    with pytest.raises(LeakError, match="near duplicates"):
        check(source_table([picture(2)]), database_table([picture(2)]), calibrated)


def test_authentic_images_that_training_saw_are_looked_at() -> None:
    card = {"kind": "resnet", "provenance": {"trained_on": "drawn", "authentic_set": "mine", "selection": "last"}}
    sources, database = source_table([picture(1)]), database_table([picture(1), picture(2)])
    with pytest.raises(LeakError, match="1 sources of its set mine are near duplicates"):
        check_encoder("e", card, database, "toys", lambda name: sources if name == "mine" else None, NOWHERE)
    card["provenance"]["authentic_set"] = None
    assert "mine" not in str(check_encoder("e", card, database, "toys", lambda name: None, NOWHERE))


def test_an_embedded_database_of_the_set_trained_on_is_refused() -> None:
    card = {"kind": "resnet", "provenance": {"trained_on": "toys", "selection": "last"}}
    with pytest.raises(LeakError, match="the images that the database is made of"):
        check(None, database_table([picture(2)]), card, embedded=True)


def test_equal_images_in_two_parts_are_a_leak() -> None:
    split = Split(3, np.array([0, 1, 2]), np.array([3]), np.array([4, 5]))
    check_parts([split], list("aabcde"))
    with pytest.raises(LeakError, match="split 3: rows 2 have equal images in train and test"):
        check_parts([split], list("abcdec"))
    with pytest.raises(LeakError, match="in val and test"):
        check_parts([split], list("abcddf"))


def test_the_evaluation_stops_at_equal_images_in_two_parts(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = write_features(tmp_path / "f.parquet", rng.normal(size=(100, 3)), rng.normal(size=100))
    sha256 = {f"image{i:05d}": str(i % 99) for i in range(100)}  # images 0 and 99, of groups 0 and 9
    with pytest.raises(LeakError, match="equal images"):
        evaluate(table, Protocol("leave_one_group_out"), sha256=sha256)


def test_near_pairs_across_groups_are_counted() -> None:
    pictures = [picture(1), picture(1), picture(2), picture(3)]
    assert near_across_groups(database_table(pictures, ["a", "a", "b", "c"]), 6) == 0
    assert near_across_groups(database_table(pictures, ["a", "b", "b", "c"]), 6) == 1


def test_hashes_of_unrelated_pictures_are_far_apart_and_blocks_change_nothing() -> None:
    first, second = (np.array([images.perceptual_hash(picture(s)) for s in seeds], np.uint64) for seeds in (
        range(600), range(1000, 1040)
    ))  # fmt: skip
    least, pairs = near_pairs(first, second, 12)
    distance = np.bitwise_count(first[:, None] ^ second[None])
    assert least == distance.min() > 6
    assert sorted(pairs) == [tuple(pair) for pair in np.argwhere(distance <= 12)]


def test_the_stage_refuses_an_encoder_trained_on_the_photographs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An encoder of the set `photos` on the database `photos`: by its card, and by its sources' hashes."""
    monkeypatch.chdir(tmp_path)
    params = profile.read("tiny")
    pictures = [picture(i) for i in range(4)]
    rows = [{"path": f"{i}.png", "mos": 1.0 + i, "group": f"g{i}"} for i in range(4)]
    for row, image in zip(rows, pictures, strict=True):
        (tmp_path / row["path"]).write_bytes(images.encode(image, "png"))
    table = full_database(rows, pictures)
    artifacts.write_table(Path("data/databases/photos.parquet"), table)
    card = {**baselines.card("floor"), "trained_on": "photos"}
    artifacts.write_json(Path("data/models/photos/encoder.json"), card)
    made = extract_features(table, tmp_path, Floor(), encoder="photos", database_name="photos")
    artifacts.write_table(Path("data/features/photos/photos.parquet"), made, byte_stream_split=["feature"])
    with pytest.raises(LeakError, match="photos on photos: it was trained on the images"):
        stages.evaluate.run(params, "photos", "photos")
    artifacts.write_json(Path("data/models/photos/encoder.json"), {**card, "trained_on": "others"})
    monkeypatch.setattr(stages.evaluate, "_sources", lambda name: source_table(pictures[:1]))
    with pytest.raises(LeakError, match="its set others are near duplicates"):
        stages.evaluate.run(params, "photos", "photos")
    artifacts.write_json(Path("data/models/photos/encoder.json"), {**card, "trained_on": None})
    stages.evaluate.run(params, "photos", "photos")
    found = json.loads(Path("metrics/evaluate/photos/photos.json").read_text())
    assert found["leaks"]["checked"]["near_pairs_across_groups"] == 0 and found["nr"]


def full_database(rows: list[dict[str, object]], pictures: list[np.ndarray]) -> pa.Table:
    from pipeline.databases import DATABASE

    some = database_table(pictures)
    full = {name: pa.nulls(len(rows), DATABASE.field(name).type) for name in DATABASE.names}
    full |= {name: some[name].combine_chunks() for name in ("image_id", "sha256", "phash", "is_reference")}
    full |= {name: pa.array([row[name] for row in rows]) for name in ("path", "mos", "group")}
    full["higher_is_better"] = pa.array([True] * len(rows))
    full["orientation"] = pa.array([1] * len(rows), pa.int8())
    for name, axis in (("height", 0), ("width", 1)):
        full[name] = pa.array([p.shape[axis] for p in pictures], pa.int32())
    return pa.table({name: full[name] for name in DATABASE.names}, schema=DATABASE)

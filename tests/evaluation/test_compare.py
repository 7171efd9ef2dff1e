"""Methods beside one another: what is paired, corrected, carried across databases, and called reproduced."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.evaluation import Protocol, compare, evaluate, noise_ceiling, results_table, verdicts
from pipeline.evaluation.comparison.compare import CompareError
from pipeline.evaluation.comparison.cross_database import ScoredDatabase, cross, cross_pairs
from pipeline.evaluation.comparison.published import Published
from pipeline.evaluation.leaks import LeakError
from pipeline.params import SvrParams
from tests.evaluation.tables import write_features

LAMBDAS = np.geomspace(1e-3, 1e3, 13)
RATIOS = {"toys": 2 / 7}
SMALL = SvrParams(c=(1.0,), gamma=(1.0,))


def judged(folder: Path, noises: dict[str, float], **protocol: object) -> tuple[list[pa.Table], list[dict]]:
    """Predictions and metrics of encoders that tell quality up to noise, 600 images in 40 groups."""
    rng = np.random.default_rng(1)
    quality, groups = rng.uniform(0, 1, 600), [f"g{i // 15:02d}" for i in range(600)]
    tables, metrics = [], []
    for name, noise in noises.items():
        x = np.c_[quality + noise * rng.normal(size=600), rng.normal(size=(600, 3))]
        table = write_features(folder / f"{name}.parquet", x, quality, groups=groups, encoder=name)
        predictions, found = evaluate(table, Protocol("random", splits=4, min_groups=2, svr=SMALL, **protocol))
        tables.append(predictions)
        metrics.append(found)
    return tables, metrics


def test_two_encoders_side_by_side(tmp_path: Path) -> None:
    tables, metrics = judged(tmp_path, {"good": 0.1, "floor": 1.0})
    both = compare(tables, RATIOS)
    floor, good = sorted(both["methods"], key=lambda one: one["encoder"])
    assert good["low"] < good["srocc"] < good["high"] and good["groups"] <= 40
    assert good["median"] == metrics[0]["nr"]["ridge"]["srocc"] and good["kind"] == "features"
    (pair,) = both["pairs"]  # floor is the baseline and good the best: one pair, not two
    assert (pair["first"], pair["second"], pair["against"], pair["mode"]) == ("good", "floor", "floor", "nr")
    assert pair["srocc"] == pytest.approx(good["srocc"] - floor["srocc"])
    assert pair["low"] > 0 and pair["p_holm"] < 0.05 and pair["p_splits"] < 0.05 and pair["p_splits_holm"] < 0.05


def test_the_difference_within_strata_has_an_interval_of_its_own(tmp_path: Path) -> None:
    """One encoder reads the subset only, the other the order inside: overall the first wins, inside the second."""
    rng = np.random.default_rng(6)
    subset, inside = np.repeat([0.0, 1.0], 300), rng.uniform(0, 1, 600)
    mos, groups = 3 * subset + inside, [f"g{i // 15:02d}" for i in range(600)]
    strata = ["ab"[int(s)] for s in subset]
    tables, metrics = [], []
    for name, x in (("floor", subset), ("mine", inside)):
        x = np.c_[x + 0.05 * rng.normal(size=600), rng.normal(size=(600, 2))]
        table = write_features(tmp_path / f"{name}.parquet", x, mos, groups=groups, strata=strata, encoder=name)
        predictions, found = evaluate(table, Protocol("random", splits=4, min_groups=2))
        tables.append(predictions)
        metrics.append(found)
    found = compare(tables, RATIOS)
    floor, mine = sorted(found["methods"], key=lambda one: one["encoder"])
    assert mine["within"]["low"] < mine["within"]["value"] < mine["within"]["high"] and mine["within"]["value"] > 0.9
    (pair,) = found["pairs"]
    sign = 1 if pair["first"] == "mine" else -1
    assert sign * pair["srocc"] < 0 and pair["p"] < 0.01
    assert sign * pair["within"]["value"] > 0.8 and pair["within"]["low"] * pair["within"]["high"] > 0
    assert pair["within"]["p"] < 0.01 and abs(floor["within"]["value"]) < 0.2
    rows = results_table({**found, "cross": [], "ceilings": []}).to_pandas().query("measure == 'srocc_within_pooled'")
    assert sorted(rows["what"]) == ["difference", "within", "within"]
    assert rows[rows.what == "difference"]["value"].tolist() == [pair["within"]["value"]]


def test_every_method_meets_the_baselines_and_the_best(tmp_path: Path) -> None:
    noises = {"best": 0.05, "middle": 0.3, "random_init": 0.8, "floor": 1.0}
    tables, metrics = judged(tmp_path, noises, regressors=("ridge", "svr"))
    found = compare(tables, RATIOS)
    assert len(found["methods"]) == 8
    against = {(p["first"], p["first_regressor"], p["second"], p["second_regressor"]) for p in found["pairs"]}
    assert len(against) == len(found["pairs"])
    seconds = {(p["second"], p["second_regressor"]) for p in found["pairs"]}
    assert ("random_init", "svr") not in seconds and {("random_init", "ridge"), ("floor", "ridge")} < seconds
    best = max(found["methods"], key=lambda one: one["median"])
    with_best = {frozenset(((a, b), (c, d))) for a, b, c, d in against}
    names = {(one["encoder"], one["regressor"]) for one in found["methods"]}
    mine = (best["encoder"], best["regressor"])
    assert all(frozenset((other, mine)) in with_best for other in names - {mine})
    raw = sorted(pair["p"] for pair in found["pairs"])
    assert min(pair["p_holm"] for pair in found["pairs"]) == pytest.approx(min(1, raw[0] * len(raw)))


def test_other_images_or_splits_are_refused(tmp_path: Path) -> None:
    tables, metrics = judged(tmp_path, {"good": 0.1, "floor": 1.0})
    with pytest.raises(CompareError, match="floor with ridge .*were not tested on the same images and splits of toys"):
        compare([tables[0], tables[1].slice(100)], RATIOS)


def test_the_long_table_has_every_figure(tmp_path: Path) -> None:
    tables, metrics = judged(tmp_path, {"good": 0.1, "floor": 1.0})
    first, second = scored_database(tmp_path, "a", 0), scored_database(tmp_path, "b", 1)
    found = {**compare(tables, RATIOS), "cross": cross(first, second, LAMBDAS, seed=0, bits=6)}
    found["ceilings"] = [{"database": "a", "images": 3, "raters": 1, "srocc": 0.9, "low": 0.8, "high": 0.95}]
    frame = results_table(found).to_pandas()
    within = frame[(frame.what == "within") & (frame.encoder == "good")].set_index("measure")["value"]
    good = next(one for one in found["methods"] if one["encoder"] == "good")
    assert within["srocc"] == good["srocc"] and within["median_srocc"] == good["median"]
    assert set(within.index) == {"srocc", "median_srocc", "plcc", "plcc_raw", "krocc", "rmse"}
    (difference,) = frame[frame.what == "difference"].to_dict("records")
    assert (difference["encoder"], difference["against"], difference["p"]) == ("good", "floor", found["pairs"][0]["p"])
    crossed = frame[(frame.what == "cross") & (frame.measure == "srocc")].to_dict("records")
    assert [(row["trained_on"], row["database"]) for row in crossed] == [("a", "b")]
    assert frame[frame.what == "ceiling"]["value"].tolist() == [0.9]


def scored_database(
    folder: Path, name: str, seed: int, *, falls: bool = False, low: float = 0.0, high: float = 1.0, bits: int = 0
) -> ScoredDatabase:
    """A database whose features tell quality; opinions in [low, high], falling with quality if ``falls``."""
    rng = np.random.default_rng(seed)
    quality = rng.uniform(0, 1, 200)
    mos = low + (high - low) * (1 - quality if falls else quality)
    x = np.c_[quality + 0.02 * rng.normal(size=200), rng.normal(size=(200, 2))]
    groups = [f"{name}{i // 10:02d}" for i in range(200)]
    table = write_features(folder / f"{name}.parquet", x, mos, groups=groups, database=name, falls=falls)
    images = pa.table(
        {
            "image_id": [f"image{i:05d}" for i in range(200)],
            "group": groups,
            "sha256": [f"{name}{i}" for i in range(200)],
            "phash": pa.array((rng.integers(2**63, 2**64, 200, dtype=np.uint64) | np.uint64(0xFFFFFF)), pa.uint64()),
        }
    )
    return ScoredDatabase(table, images, not falls, (low, high))


def test_across_databases_direction_and_range_are_those_declared(tmp_path: Path) -> None:
    rising, falling = (
        scored_database(tmp_path, "mos", 0, low=1, high=5),
        scored_database(tmp_path, "dmos", 1, falls=True, high=100),
    )
    (found,) = cross(rising, falling, LAMBDAS, seed=0, bits=6)
    assert found["srocc"] > 0.95 and found["plcc_raw"] > 0.95
    assert found["low"] < found["srocc"] < found["high"]
    assert (found["train"], found["database"], found["left_out"], found["images"]) == ("mos", "dmos", 0, 200)
    from pipeline.evaluation.comparison.cross_database import rescaled

    assert rescaled(np.array([1.0, 5.0, 4.0]), rising, falling).tolist() == [100.0, 0.0, 25.0]


def test_across_databases_no_opinion_of_the_second_enters(tmp_path: Path) -> None:
    first, second = scored_database(tmp_path, "a", 0), scored_database(tmp_path, "b", 1)
    before = cross(first, second, LAMBDAS, seed=0, bits=6)[0]
    vars(second)["mos"] = second.mos[::-1].copy()
    after = cross(scored_database(tmp_path, "a", 0), second, LAMBDAS, seed=0, bits=6)[0]
    assert before["lambda"] == after["lambda"] and before["srocc"] > 0.9 > abs(after["srocc"])


def test_groups_that_share_a_picture_are_left_out_of_the_fit(tmp_path: Path) -> None:
    first, second = scored_database(tmp_path, "a", 0), scored_database(tmp_path, "b", 1)
    hashes = second.images["phash"].to_numpy().copy()
    hashes[3] = first.images["phash"][57].as_py() ^ 0b111
    sha256 = second.images["sha256"].to_pylist()
    sha256[4] = first.images["sha256"][0].as_py()
    columns = {"phash": pa.array(hashes, pa.uint64()), "sha256": pa.array(sha256)}
    for name, column in columns.items():
        changed = second.images.set_column(second.images.column_names.index(name), name, column)
        second = replace(second, images=changed)
    (found,) = cross(first, second, LAMBDAS, seed=0, bits=6)
    assert found["left_out"] == 2 and found["trained_images"] == 180
    everything = pa.array([first.images["sha256"][i].as_py() for i in range(200)])
    changed = second.images.set_column(second.images.column_names.index("sha256"), "sha256", everything)
    second = replace(second, images=changed)
    with pytest.raises(LeakError, match="every group of a shares a picture with b"):
        cross(first, second, LAMBDAS, seed=0, bits=6)


def test_all_ordered_pairs_are_judged_and_tables_without_a_fit_passed_over(tmp_path: Path) -> None:
    made = {name: scored_database(tmp_path, name, i) for i, name in enumerate("abc")}
    found = list(cross_pairs("abc", made.get, LAMBDAS, seed=0, bits=6))
    pairs = [(one["train"], one["database"]) for entries in found for one in entries]
    assert pairs == [("a", "b"), ("a", "c"), ("b", "a"), ("b", "c"), ("c", "a"), ("c", "b")]
    assert list(cross_pairs("ab", lambda name: None, LAMBDAS, seed=0, bits=6)) == [[], []]
    assert list(cross_pairs("a", made.get, LAMBDAS, seed=0, bits=6)) == []


def test_the_ceiling_is_that_of_the_opinions_noise() -> None:
    rng = np.random.default_rng(0)
    mos = rng.normal(size=2000)
    columns = {"mos": mos, "mos_std": np.full(2000, 2.0), "is_reference": [False] * 2000}
    found = noise_ceiling(pa.table(columns), "toys", 16, seed=0)
    rho = 1 / np.sqrt(1 + 0.5**2)  # noise of sd 2 / sqrt(16) on opinions of sd 1
    assert found.srocc == pytest.approx(6 / np.pi * np.arcsin(rho / 2), abs=0.01)  # Spearman's of a Gaussian pair
    assert found.low < found.srocc < found.high
    assert noise_ceiling(pa.table(columns), "toys", None, seed=0) is None
    unknown = {**columns, "mos_std": pa.array([None, *([2.0] * 1999)], pa.float64())}
    assert noise_ceiling(pa.table(unknown), "toys", 16, seed=0) is None


def test_a_published_figure_is_reproduced_only_inside_the_interval() -> None:
    entry = {"encoder": "brisque36", "regressor": "svr", "database": "live", "mode": "nr", "groups": 16}
    entry |= {"srocc": 0.9, "low": 0.86, "high": 0.93}

    def row(method: str, value: float, **other: str) -> Published:
        names = {"database": "LIVE", "metric": "SROCC", "setting": "NR within-database", **other}
        return Published(source="a paper", table="T1", method=method, value=value, **names)

    rows = [row("BRISQUE", 0.939), row("BRISQUE", 0.9), row("NIQE", 0.9), row("BRISQUE", 0.9, metric="PLCC")]
    rows += [row("BRISQUE", 0.9, database="CSIQ"), row("BRISQUE", 0.9, setting="whole database")]
    rows += [row("BRISQUE", 0.87, setting="NR cross-database train=KonIQ")]
    assert [(v["value"], v["verdict"]) for v in verdicts(entry, rows)] == [(0.939, "differs"), (0.9, "reproduced")]
    across = verdicts({**entry, "train": "koniq10k"}, rows)
    assert [(v["value"], v["verdict"]) for v in across] == [(0.87, "reproduced")]
    assert verdicts({**entry, "regressor": "ridge"}, rows) == []
    none = verdicts({**entry, "low": None, "high": None}, rows)
    assert {one["verdict"] for one in none} == {"no interval"}

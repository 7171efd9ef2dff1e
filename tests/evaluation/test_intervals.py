"""Intervals hold their coverage when contents differ; corrections are the published ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.evaluation import Protocol, compare, evaluate
from pipeline.evaluation.intervals import Interval, correlation_interval, difference_interval
from pipeline.evaluation.measures import srocc
from pipeline.evaluation.significance import corrected_t, holm
from tests.evaluation.tables import write_features

REPETITIONS = 400  # benchmarks/evaluation.py has 1,000, with 125 images a group as well


def draw(rng: np.random.Generator, groups: int, each: int, effect: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions and opinions: a common relation, a slope and an offset of each group (sd ``effect``), noise."""
    quality = rng.uniform(0, 1, (groups, each))
    slope, offset = 1 + effect * rng.normal(size=(groups, 1)), effect * rng.normal(size=(groups, 1))
    mos = slope * quality + offset + 0.15 * rng.normal(size=(groups, each))
    return quality.ravel(), mos.ravel(), np.repeat(np.arange(groups).astype(str), each)


def truth(each: int, effect: float) -> float:
    """Of the population of groups."""
    return srocc(*draw(np.random.default_rng(99), 4000, each, effect)[:2])


@pytest.mark.slow
@pytest.mark.parametrize("effect", [0.0, 0.3])
@pytest.mark.parametrize(("groups", "each", "least"), [(6, 27, 0.88), (16, 27, 0.90)])
def test_coverage_of_the_nominal_95_percent(groups: int, each: int, least: float, effect: float) -> None:
    rng, true = np.random.default_rng([groups, each, int(10 * effect)]), truth(each, effect)
    inside = sum(
        bool(correlation_interval(*draw(rng, groups, each, effect)).contains(true)) for _ in range(REPETITIONS)
    )
    print(f"coverage with {groups} groups of {each}, effect {effect}: {inside / REPETITIONS}")
    assert inside / REPETITIONS >= least


@pytest.mark.slow
def test_coverage_of_a_difference_and_its_p() -> None:
    rng, inside, rejected = np.random.default_rng(5), 0, 0
    for _ in range(150):
        quality, mos, groups = draw(rng, 16, 20, 0.3)
        first, second = (quality + 0.2 * rng.normal(size=len(quality)) for _ in range(2))
        interval, p = difference_interval(first, second, mos, groups)
        inside += bool(interval.contains(0.0))
        rejected += p is not None and p < 0.05
    assert inside / 150 >= 0.90
    assert rejected == 150 - inside


def test_an_image_bootstrap_would_be_several_times_too_narrow() -> None:
    rng = np.random.default_rng(3)
    prediction, mos, groups = draw(rng, 16, 125, 0.3)
    interval = correlation_interval(prediction, mos, groups)
    rows = (rng.integers(0, len(mos), len(mos)) for _ in range(200))
    bootstrap = np.quantile([srocc(prediction[r], mos[r]) for r in rows], [0.025, 0.975])
    assert interval.high - interval.low > 2 * (bootstrap[1] - bootstrap[0])


def test_below_six_groups_no_interval_is_claimed() -> None:
    interval = correlation_interval(*draw(np.random.default_rng(0), 5, 125, 0.3))
    assert interval.low is None and interval.high is None and interval.groups == 5
    assert interval.verdict(0.9) == "no interval"


def test_reproduced_means_inside_the_interval() -> None:
    interval = Interval(0.9, 0.86, 0.93, 16)
    assert interval.verdict(0.87) == "reproduced"
    assert interval.verdict(0.94) == "differs"


def test_the_corrected_t_is_smaller_by_the_known_factor() -> None:
    from scipy.stats import ttest_1samp

    values = np.random.default_rng(0).normal(0.01, 0.02, 10)
    found, p = corrected_t(values, test=2, train=7)
    naive = ttest_1samp(values, 0)
    assert naive.statistic / found == pytest.approx(np.sqrt((0.1 + 2 / 7) / 0.1))
    assert p > naive.pvalue
    assert corrected_t([0.0, 0.0], test=2, train=7) == (0.0, 1.0)
    assert corrected_t([1.0, 1.0], test=2, train=7) == (np.inf, 0.0)
    with pytest.raises(ValueError, match="1 differences"):
        corrected_t([1.0], test=2, train=7)


def test_holm_on_a_table_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
    with pytest.raises(ValueError, match="in \\[0, 1\\]"):
        holm([1.2])


def test_compare_puts_encoders_side_by_side(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    quality, groups = rng.uniform(0, 1, 600), [f"g{i // 15:02d}" for i in range(600)]
    tables, metrics = [], []
    for name, noise in (("good", 0.1), ("poor", 1.0)):
        x = np.c_[quality + noise * rng.normal(size=600), rng.normal(size=(600, 3))]
        table = write_features(tmp_path / f"{name}.parquet", x, quality, groups=groups)
        predictions, found = evaluate(table, Protocol("random", splits=4, min_groups=2))
        column = predictions.schema.get_field_index("encoder")
        tables.append(predictions.set_column(column, predictions.schema.field(column), [[name] * len(predictions)]))
        metrics.append({**found, "encoder": name})
    both = compare(tables, metrics)
    good, poor = both["encoders"]
    assert good["low"] < good["srocc"] < good["high"]
    assert good["median"] == metrics[0]["nr"]["srocc"]
    pair = both["pairs"][0]
    assert (pair["first"], pair["second"], pair["mode"]) == ("good", "poor", "nr")
    assert pair["srocc"] == pytest.approx(good["srocc"] - poor["srocc"])
    assert pair["low"] > 0 and pair["p_holm"] < 0.05 and pair["p_splits"] < 0.05
    with pytest.raises(ValueError, match="not tested on the same images"):
        compare([tables[0], tables[1].slice(100)], metrics)

"""What the benchmark of paper 3 asks of the stages, and how it sums up."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks import semi_supervised
from benchmarks.semi_supervised import METHODS, SET, STEPS, page


def test_each_encoder_sees_as_many_crops_as_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    params = page({"biq2021": tmp_path}, seed=2, crops=16_000)
    assert params.seed == 2 and set(params.joint) == {"contrastive_2", "joint_biq2021_2", "supervised_biq2021_2"}
    for run in params.joint:
        knobs = params.joint_training_of(run)
        crops = 2 * knobs.batch * (knobs.alpha > 0) + knobs.labelled_batch * (knobs.alpha < 1)
        assert round(knobs.epochs * STEPS) * crops == pytest.approx(16_000, rel=0.01)
        assert knobs.stop_after is None and params.joint[run].set == SET


@pytest.mark.parametrize("losses", [[0.5, 0.2], [0.2, 0.5]])
def test_the_rates_with_the_lowest_validation_loss_are_taken(
    losses: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow as pa

    from pipeline.artifacts import write_table

    monkeypatch.chdir(tmp_path)
    candidates = semi_supervised.CANDIDATES["ft"]
    asked = []

    def tuned(params: object, method: str, database: str, seed: int, mode: str, knobs: dict[str, float]) -> str:
        number = candidates.index(knobs)
        asked.append((method, number))
        history = pa.table({"validation_loss": [9.0 - losses[number], losses[number]]})
        write_table(tmp_path / "data" / "models" / f"{method}_{number}" / "history.parquet", history)
        return f"{method}_{number}"

    monkeypatch.setattr(semi_supervised, "tuned", tuned)
    chosen = semi_supervised.choice(None, "photos", 1, "ft")
    assert chosen == candidates[losses.index(min(losses))]
    assert sorted(asked) == sorted((method, number) for method in METHODS for number in range(2))


def test_the_table_has_each_seed_and_the_interval_of_the_paired_difference() -> None:
    figures = {("photos", "ft"): {"contrastive": [0.1, 0.2, 0.3], "joint": [0.2, 0.3, 0.7]}}
    *_, contrastive, joint = semi_supervised.table(figures).splitlines()
    assert contrastive == "| photos | ft | contrastive | 0.100, 0.200, 0.300 | 0.200 |  |"
    half = 4.303 * math.sqrt(3 * 0.1**2 / 3)  # differences .1, .1, .4: mean .2, deviation .1732
    assert joint.endswith(f"| 0.400 | +0.200 [{0.2 - half:+.3f}, {0.2 + half:+.3f}] |")

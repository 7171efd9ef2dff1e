"""The rule of the ablations, and what a run trains on."""

from __future__ import annotations

import pytest

from benchmarks.ablations.changes import CHANGES
from benchmarks.ablations.runs import COSTLY, _params
from benchmarks.ablations.table import JUDGES, verdict

BASE = {judge: [0.5, 0.6, 0.55] for judge in JUDGES}


@pytest.mark.parametrize(
    ("shift", "said"), [(0.2, "better"), (0.09, "no clear difference"), (-0.09, "no clear difference"), (-0.2, "worse")]
)
def test_the_worst_seed_is_compared_with_the_best(shift: float, said: str) -> None:
    assert verdict({judge: [value + shift for value in values] for judge, values in BASE.items()}, BASE) == said


def test_fewer_seeds_than_the_base_get_no_verdict() -> None:
    assert verdict({judge: [0.9, 0.9] for judge in JUDGES}, BASE) == "too few seeds"


@pytest.mark.parametrize(("sign", "else_said"), [(1, "better"), (-1, "worse")])
def test_one_judge_that_disagrees_withholds_the_verdict(sign: int, else_said: str) -> None:
    judges = list(JUDGES)
    row = {judge: [value + sign * 0.3 for value in BASE[judge]] for judge in judges}
    assert verdict(row, BASE) == else_said
    row[judges[1]] = [0.55 - sign * 0.06] * 3  # beyond all seeds of the base, on the other side
    assert verdict(row, BASE) == "no clear difference"


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_is_one_thing_of_the_release(name: str) -> None:
    change, base = CHANGES[name], CHANGES["release"]
    knobs, released = _params(change).model_dump(), _params(base).model_dump()
    assert {key for key in knobs if knobs[key] != released[key]} == set(change.train)
    places = sum(getattr(change, key) != getattr(base, key) for key in ("drawn", "sources", "composites", "times"))
    assert places + len(change.train) == (name != "release")
    assert change.times == 1 or not COSTLY & change.train.keys()

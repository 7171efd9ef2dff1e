"""Ridges on selections of types, from one database to another: equal to fits from the rows, right on made-up data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge

from pipeline.domains import DOMAINS, PATH, DomainsError, Study, Transfer, selected, study
from pipeline.evaluation import PREDICTIONS, ScoredDatabase, SeenOpinions
from pipeline.evaluation.splits import leave_one_group_out
from pipeline.params import GreedyParams
from tests.evaluation.tables import write_features

DIM, TYPES, GOOD = 8, 6, (1, 2, 3)
WEIGHTS = np.arange(DIM) - 3.0
ASKED = GreedyParams(
    encoder="toy", source="source", target="target", domains="target", types=(2, 6), draws=4, resamples=10
)


def scored(
    folder: Path, name: str, x: np.ndarray, y: np.ndarray, groups: list[str], **columns: object
) -> ScoredDatabase:
    table = write_features(folder / f"{name}.parquet", x, y, groups=groups, database=name, **columns)
    hashes = np.random.default_rng(ord(name[0])).integers(2**63, 2**64, len(y), dtype=np.uint64) | np.uint64(0xFFFFFF)
    images = {"image_id": table.columns["image_id"], "group": groups, "phash": pa.array(hashes, pa.uint64())}
    return ScoredDatabase(table, pa.table(images | {"sha256": [f"{name}{i}" for i in range(len(y))]}), True, (1.0, 5.0))


@pytest.fixture(scope="module")
def transfer(tmp_path_factory: pytest.TempPathFactory) -> Transfer:
    """Of the source's types 1, 2 and 3 each shows another part of the features, and opinions follow them as on the
    target; in the others they follow the contrary.
    """
    folder, random = tmp_path_factory.mktemp("tables"), np.random.default_rng(3)
    types = np.tile(np.repeat(np.arange(1, TYPES + 1), 8), 5)
    shown = (types > 3)[:, None] | (np.arange(DIM) % 3 + 1 == types[:, None])
    x = (random.normal(size=(len(types), DIM)) * shown).astype(np.float32)
    y = np.where(np.isin(types, GOOD), 1.0, -1.0) * (x @ WEIGHTS) + random.normal(0, 2, len(types))
    groups = [f"source{i // (8 * TYPES)}" for i in range(len(types))]
    source = scored(folder, "source", x, y, groups, types=types.tolist())
    x = random.normal(size=(90, DIM)).astype(np.float32)
    y = x @ WEIGHTS + random.normal(0, 2, 90)
    target = scored(folder, "target", x, y, [f"target{i // 9}" for i in range(90)])
    return Transfer(source, target, (0.1, 1.0, 10.0), seed=1, bits=-1)


@pytest.fixture(scope="module")
def similarities() -> pa.Table:
    """As `domains@` writes it: types 3, 1 and 5 by the mean probability, 1 and 2 by the votes."""
    probability, share = {1: 0.3, 3: 0.4, 5: 0.2}, {1: 0.3, 2: 0.2}
    rows = [
        {"target": "target", "classifier": "types", "domain": t, "name": f"type_{t}", "n": 90}
        | {"mean_prob": probability.get(t, 0.0), "top4_share": share.get(t, 0.0)}
        | dict.fromkeys(("mean_prob_low", "mean_prob_high", "top4_low", "top4_high"), 0.0)
        | {"selected_mean_prob": t in probability, "selected_top4_vote": t in share}
        for t in range(1, 26)
    ]
    return pa.Table.from_pylist(rows, schema=DOMAINS)


@pytest.fixture(scope="module")
def studied(transfer: Transfer, similarities: pa.Table) -> Study:
    return study(transfer, similarities, ASKED, leave_one_group_out(transfer.source.groups))


def test_a_rule_selects_the_most_similar_first(similarities: pa.Table) -> None:
    assert selected(similarities, "mean_prob") == (3, 1, 5) and selected(similarities, "top4_vote") == (1, 2)


def test_predictions_are_those_of_fits_from_the_rows(transfer: Transfer, studied: Study) -> None:
    """The contract of evaluation, and each ridge against scikit-learn's on the rows of its types and split."""
    assert studied.predictions.schema.equals(PREDICTIONS)
    rows = studied.predictions.to_pandas()
    assert set(rows["regressor"].str.replace(r"_\d\d$", "", regex=True)) == {
        *("ridge_all", "ridge_mean_prob", "ridge_top4_vote", "ridge_greedy", "ridge_types"),
        *("ridge_random_2", "ridge_random_3"),
    }
    assert len(rows) == 90 * 5 * (5 + 2 * 4) and set(rows["part"]) == {"test"} and set(rows["mode"]) == {"nr"}
    x, y = transfer.source.table.matrix().astype(np.float64), transfer.source.mos
    split = leave_one_group_out(transfer.source.groups)[2]
    for name, types in (("mean_prob", (1, 3, 5)), ("types", (2, 6)), ("all", range(1, 7))):
        mine = rows[(rows["regressor"] == f"ridge_{name}") & (rows["split"] == 2)]
        train = split.train[np.isin(transfer.domains[split.train], list(types))]
        fitted = Ridge(alpha=mine["lambda"].iloc[0]).fit(x[train], y[train])
        np.testing.assert_allclose(
            mine["prediction"], fitted.predict(transfer.target.table.matrix().astype(np.float64)), atol=1e-8
        )


def test_the_path_takes_the_types_that_agree_and_its_scores_are_measured(transfer: Transfer, studied: Study) -> None:
    assert studied.path.schema.equals(PATH) and len(studied.path) == 25
    steps = [row for row in studied.path.to_pylist() if row["step"] is not None]
    assert [row["step"] for row in steps] == list(range(1, len(steps) + 1)) and {r["domain"] for r in steps} <= set(
        GOOD
    )
    x = transfer.source.table.matrix().astype(np.float64)
    rows = np.isin(transfer.domains, [row["domain"] for row in steps])
    fitted = Ridge(alpha=studied.figures["lambda"]).fit(x[rows], transfer.source.mos[rows])
    expected = spearmanr(
        fitted.predict(transfer.target.table.matrix().astype(np.float64)), transfer.target.mos
    ).statistic
    assert steps[-1]["srocc"] == pytest.approx(expected, abs=1e-12) and steps[-1]["low"] < expected < steps[-1]["high"]
    assert studied.figures["stop"] == "no further type raises the SROCC"
    shares = {row["domain"]: row["chosen_share"] for row in studied.path.to_pylist()}
    assert min(shares[t] for t in GOOD) > max(shares[t] for t in (4, 5, 6)) and shares[25] is None


def test_figures_have_intervals_differences_and_random_draws(studied: Study) -> None:
    nr = studied.figures["nr"]
    assert nr["ridge_greedy"]["srocc"] > nr["ridge_mean_prob"]["srocc"] > nr["ridge_all"]["srocc"]
    gain = nr["ridge_greedy"]["minus_all"]
    assert 0 < gain["low"] < gain["value"] < gain["high"] and gain["p"] < 0.05
    assert nr["ridge_greedy"]["pooled"]["low"] < nr["ridge_greedy"]["pooled"]["value"]
    assert {size: len(draws) for size, draws in studied.figures["random"].items()} == {"2": 4, "3": 4}
    drawn = [tuple(draw["domains"]) for draw in studied.figures["random"]["3"]]
    assert len(set(drawn)) > 1 and all(len(set(types)) == 3 and set(types) <= set(range(1, 7)) for types in drawn)


def test_without_an_oracle_no_opinion_of_the_target_chooses(transfer: Transfer, similarities: pa.Table) -> None:
    asked = ASKED.model_copy(update={"oracle": False, "draws": 0})
    nothing = similarities.set_column(10, "selected_mean_prob", pa.array([False] * 25))
    with pytest.raises(DomainsError, match="target: mean_prob selects none of the types of source"):
        study(transfer, nothing, asked, [])
    splits = leave_one_group_out(transfer.source.groups)
    one = study(transfer, similarities, asked, splits)
    assert [step["domain"] for step in one.figures["path"]] == [3, 1, 5] and one.figures["chosen_share"] == {}
    assert one.figures["random"] == {} and one.path["oracle"].to_pylist() == [False] * 25
    shuffled = replace(transfer.target)
    shuffled.__dict__["mos"] = transfer.target.mos[::-1].copy()
    other = study(replace(transfer, target=shuffled), similarities, asked, splits)
    assert [step["domain"] for step in other.figures["path"]] == [3, 1, 5]


def test_seen_opinions_shared_pictures_and_sources_without_types(transfer: Transfer) -> None:
    seen = SeenOpinions("toy", {"image00000": "its opinion was seen"})
    assert 0 not in replace(transfer, target=replace(transfer.target, seen=seen)).judged
    every = SeenOpinions("toy", dict.fromkeys(transfer.target.images["image_id"].to_pylist(), "seen"))
    with pytest.raises(DomainsError, match="target: the encoder has seen"):
        _ = replace(transfer, target=replace(transfer.target, seen=every)).judged
    first = transfer.source.images["sha256"][0].as_py()
    hashes = [first, *transfer.target.images["sha256"].to_pylist()[1:]]
    images = transfer.target.images.set_column(3, "sha256", pa.array(hashes))
    kept = replace(transfer, target=replace(transfer.target, images=images)).kept
    assert len(kept) == 192 and kept[0] == 48  # the first group of five trains nothing
    with pytest.raises(DomainsError, match="target: not every image has a distortion type"):
        _ = replace(transfer, source=transfer.target).domains
    with pytest.raises(DomainsError, match="source, split 1: types 9 are in fewer than two groups"):
        list(transfer.predictions({"nine": [9]}, leave_one_group_out(transfer.source.groups)[1:]))
    small = replace(transfer, source=replace(transfer.source, memory=8 * DIM**2 * TYPES - 1))
    with pytest.raises(DomainsError, match="6 Gram matrices of 8 numbers take 3,072 bytes; run.memory is 3,071"):
        small.path(None, 25, 0)

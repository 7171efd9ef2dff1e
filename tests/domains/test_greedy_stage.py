"""The stage greedy on two small databases: what it writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import stages.greedy
from pipeline import artifacts
from pipeline.domains import DOMAINS, PATH, DomainsError
from pipeline.evaluation import PREDICTIONS
from pipeline.features import read_features
from pipeline.params import GreedyParams, Params
from tests.evaluation.test_compare_stage import params  # noqa: F401

RUN = {"encoder": "mine", "source": "mos", "target": "dmos", "domains": "dmos", "draws": 2, "resamples": 3}


@pytest.fixture
def asked(params: Params, tmp_path: Path) -> Params:  # noqa: F811
    """Database mos with eight types of the bank; dmos, whose opinions fall, with a similarity to two of them."""
    types = pa.array(np.arange(160) % 8 + 1, pa.int16())
    for path in [Path("data/databases/mos.parquet"), Path("data/features/mine/mos.parquet")]:
        table = artifacts.read_table(path)
        table = table.set_column(table.column_names.index("type"), table.schema.field("type"), types)
        artifacts.write_table(path, table)
    rows = [
        dict.fromkeys(DOMAINS.names, 0.0) | {"target": "dmos", "classifier": "types", "domain": t, "name": "", "n": 160}
        | {"mean_prob": t / 400, "selected_mean_prob": t in (2, 7), "selected_top4_vote": False}
        for t in range(1, 26)
    ]  # fmt: skip
    artifacts.write_table(Path("data/domains/dmos.parquet"), pa.Table.from_pylist(rows, schema=DOMAINS))
    own = tmp_path / "mos/database.yaml"
    own.write_text(own.read_text() + "bank_types: true\n")
    return params.model_copy(update={"greedy": {"run": GreedyParams.model_validate(RUN)}})


def test_it_writes_the_path_the_predictions_and_the_metrics(asked: Params) -> None:
    stages.greedy.run(asked, "run")
    path = artifacts.read_table(Path("data/domains/greedy/run.parquet"))
    assert path.schema.equals(PATH) and path["oracle"].to_pylist() == [True] * 25 and path["step"][0].as_py() == 1
    predictions = artifacts.read_table(Path("data/domains/predictions/run.parquet"))
    assert predictions.schema.equals(PREDICTIONS) and len(predictions["split"].unique()) == 5
    figures = json.loads(Path("metrics/greedy/run.json").read_text())
    assert figures["nr"]["ridge_all"]["srocc"] > 0.9  # the directions differ, and the sign is right
    assert figures["nr"]["ridge_mean_prob"]["domains"] == [7, 2] and "ridge_top4_vote" not in figures["nr"]
    assert read_features(Path("data/features/mine/mos.parquet")).metadata["standardise"]
    before = Path("metrics/greedy/run.json").read_bytes()
    stages.greedy.run(asked, "run")
    assert Path("metrics/greedy/run.json").read_bytes() == before


def test_a_source_with_types_of_its_own_is_refused(asked: Params) -> None:
    other = GreedyParams.model_validate(RUN | {"source": "dmos", "target": "mos"})
    with pytest.raises(DomainsError, match="greedy.run.source: the types of dmos are not numbered as the bank's"):
        stages.greedy.run(asked.model_copy(update={"greedy": {"run": other}}), "run")

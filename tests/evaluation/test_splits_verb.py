"""`synthetic-iqa splits`: the splits that evaluate uses, as a plain table, with what their parts share."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from pipeline import artifacts, profiles
from pipeline.databases.table import DATABASE
from pipeline.evaluation.splits import random_splits

Run = Callable[..., tuple[int, str, str]]


def database(groups: int = 12, each: int = 4) -> pa.Table:
    random = np.random.default_rng(1)
    rows = []
    for number in range(groups * each):
        name, group = f"{number:03d}.png", f"g{number // each:02d}"
        phash = int(random.integers(0, 2**64, dtype=np.uint64))
        about = {"image_id": name, "path": name, "sha256": f"{number:064d}", "phash": phash, "group": group}
        size = {"width": 8, "height": 8, "orientation": 1}
        rows.append({**about, **size, "is_reference": False, "mos": number / 10, "higher_is_better": True})
    return pa.Table.from_pylist(rows, schema=DATABASE)


def with_column(table: pa.Table, name: str, values: list[object]) -> pa.Table:
    field = DATABASE.field(name)
    return table.set_column(table.schema.get_field_index(name), field, pa.array(values, field.type))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synthetic_iqa: Run) -> Run:
    monkeypatch.chdir(tmp_path)
    params = yaml.safe_load(profiles.profile_text("tiny"))
    params["databases"]["biq2021"] = {"folder": "biq2021"}
    params["evaluate"]["protocol"] = "random"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    return synthetic_iqa


def test_the_table_has_the_splits_of_evaluate_and_the_report_counts_leaks(run: Run) -> None:
    table = database()
    phash = table["phash"].to_pylist()
    phash[0:48] = [phash[0] if number in (0, 20) else value for number, value in enumerate(phash)]
    table = table.set_column(
        table.schema.get_field_index("phash"), DATABASE.field("phash"), pa.array(phash, pa.uint64())
    )
    artifacts.write_table(Path("data/databases/biq2021.parquet"), table)
    code, out, err = run("splits", "biq2021", "--out", "s.csv")
    assert code == 0 and not err, err
    seed = yaml.safe_load(Path("params.yaml").read_text())["seed"]
    count = yaml.safe_load(Path("params.yaml").read_text())["evaluate"]["splits"]
    groups = table["group"].to_pylist()
    expected = random_splits(groups, seed=seed, database="biq2021", count=count)
    rows = list(csv.DictReader(Path("s.csv").open()))
    assert [row["image_id"] for row in rows] == table["image_id"].to_pylist()
    apart = 0
    for split in expected:
        parts = [row[f"split_{split.index}"] for row in rows]
        assert [i for i, part in enumerate(parts) if part == "test"] == split.test.tolist()
        apart += (parts[0] == "test") != (parts[20] == "test")
    reported = [int(line.rsplit(", ", 1)[1].split()[0]) for line in out.splitlines() if line.startswith("split ")]
    assert len(reported) == count and sum(reported) == apart and "0 groups shared" in out
    assert f"s.csv: {count} splits of 48 images, random; near is at most" in out


def test_equal_images_in_two_parts_are_refused(run: Run) -> None:
    table = database()
    hashes = [f"{number % 8:064d}" for number in range(48)]
    table = with_column(table, "sha256", hashes)
    artifacts.write_table(Path("data/databases/biq2021.parquet"), table)
    code, _, err = run("splits", "biq2021")
    assert code != 0 and "have equal images in train and" in err and not Path("biq2021-splits.csv").exists()


def test_what_is_not_there_is_named(run: Run) -> None:
    assert (
        "data/databases/biq2021.parquet: missing; `dvc repro ingest@biq2021` writes it" in run("splits", "biq2021")[2]
    )
    assert "koniq: not under `databases` in params.yaml; there are" in run("splits", "koniq")[2]

"""The gallery: the images that were predicted best and worst, each of another group, with their figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from pipeline.artifacts import read_json, read_table
from pipeline.report import collect, gallery, page
from pipeline.report.evaluations import Evaluation
from tests.report import made


@pytest.fixture
def evaluation(tmp_path: Path) -> Evaluation:
    made.evaluation(tmp_path, tmp_path / "metrics", "dead_leaves", "photos", 0.4)
    made.database(tmp_path, "photos", tmp_path / "images")
    return Evaluation("dead_leaves", "photos", read_json(tmp_path / "metrics/evaluate/dead_leaves/photos.json"))


def test_the_best_and_the_worst_of_each_group_are_shown(evaluation: Evaluation, tmp_path: Path) -> None:
    sheet = gallery.gallery(evaluation, tmp_path, tmp_path / "images")
    assert sheet is not None
    table = read_table(tmp_path / "predictions/dead_leaves/photos.parquet")
    table = table.filter(pc.and_(pc.equal(table["mode"], "nr"), pc.equal(table["regressor"], "ridge")))
    error = np.abs(table["prediction"].to_numpy() - table["mos"].to_numpy())
    groups, names = np.asarray(table["group"].to_pylist()), table["image_id"].to_pylist()
    best, worst = sheet.rows
    for row, choose in ((best, np.argmin), (worst, np.argmax)):
        rows = [np.flatnonzero(groups == group) for group in sorted(set(groups))]
        expected = {names[members[choose(error[members])]] for members in rows}
        assert {cell.alt for cell in row.cells} == expected and len(row.cells) == 5
    cell = worst.cells[0]
    group, number = map(int, cell.alt.split("-"))
    assert (cell.image == 25 * group + number).all() and cell.image.shape == (24, 40, 3)
    row = names.index(cell.alt)
    assert cell.caption == (f"score {table['prediction'][row].as_py():.2f},", f"people {table['mos'][row].as_py():.2f}")


def test_without_the_images_there_is_no_gallery(evaluation: Evaluation, tmp_path: Path) -> None:
    (tmp_path / "images" / "0-0.png").unlink()
    for path in (tmp_path / "images").iterdir():
        path.write_bytes(b"changed")
    assert gallery.gallery(evaluation, tmp_path, tmp_path / "images") is None
    (tmp_path / "databases/photos.parquet").unlink()
    assert gallery.gallery(evaluation, tmp_path, tmp_path / "images") is None


def test_the_page_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    params = made.run(tmp_path)
    made.database(tmp_path / "data", "photos", params.database_folder("photos"))
    content = collect.collect(params, tmp_path / "data", tmp_path / "metrics")
    text = page.build(content)
    assert list(content.galleries) == ["photos"]
    assert "Predicted best" in text and "Predicted worst" in text and text.count("<span>people ") == 10

"""The table of a README: the metrics' figures, between the marks, as often as one likes."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline import artifacts
from pipeline.report import markdown
from pipeline.report.markdown import BEGIN, END, SHORT_BEGIN, SHORT_END, TableError
from tests.report import made

MEDIANS = {"srocc": 0.5123, "plcc": -0.4, "srocc_within": 0.3}


def evaluated(folder: Path, encoder: str, database: str, **changes: Any) -> None:
    about = {
        "encoder": encoder, "database": database, "protocol": "random", "kind": "features", "regressor": "ridge",
        "images": 2500, "groups": 50, "nr": {"ridge": MEDIANS},
    }  # fmt: skip
    metrics = {key: value for key, value in (about | changes).items() if value is not None}
    splits = {"splits": [{"split": i} for i in range(10)]}
    for mode in {"nr", "fr"} & set(metrics):
        metrics[mode] = {regressor: splits | figures for regressor, figures in metrics[mode].items()}
    artifacts.write_json(folder / "evaluate" / encoder / f"{database}.json", metrics)


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    folder = tmp_path / "metrics"
    for name in ("floor", "a_set", "released"):
        evaluated(folder, name, "biq2021")
        both = {"nr": {"ridge": {"srocc": 0.61, "plcc": 0.6}}, "fr": {"ridge": {"srocc": 0.777, "plcc": 0.7}}}
        evaluated(folder, name, "tid2013_kodak", **both)
    nr = {"ridge": MEDIANS, "svr": {"srocc": 0.612, "plcc": 0.6, "srocc_within": 0.4}}
    evaluated(folder, "brisque36", "biq2021", nr=nr)
    evaluated(folder, "brisque36", "tid2013_kodak", skipped={"svr": "too many images"})
    metric = {"kind": "metric", "regressor": "none"}
    evaluated(folder, "psnr", "tid2013_kodak", **metric, nr=None, fr={"none": {"srocc": 0.999, "plcc": 0.9}})
    evaluated(folder, "psnr", "biq2021", **metric, nr=None, images=0, absent="no references")
    method = {
        "encoder": "floor",
        "regressor": "ridge",
        "database": "biq2021",
        "mode": "nr",
        "srocc": 0.5,
        "low": 0.41,
        "high": 0.594,
    }
    method["within"] = {"value": 0.25, "low": 0.1, "high": 0.4}
    artifacts.write_json(folder / "compare.json", {"methods": [method]})
    return folder


def rows(text: str, title: str) -> list[list[str]]:
    part = text[text.index(f"**{title}**") :].split("\n\n")[1]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines()]


def test_rows_are_the_metrics_in_an_order_that_reads(metrics: Path) -> None:
    text = markdown.render(markdown.read_results(metrics), "2026-01-31")
    nr = rows(text, "No reference")
    columns = ["biq2021 SROCC", "biq2021 pooled", "biq2021 within", "biq2021 within, pooled", "biq2021 PLCC"]
    assert nr[0] == ["", *columns, *(f"tid2013_kodak {name}" for name in ("SROCC", "within", "PLCC"))]
    assert [row[0] for row in nr[2:]] == [
        "released + ridge", "a_set + ridge", "floor + ridge", "brisque36 + ridge", "brisque36 + svr"
    ]  # fmt: skip
    assert nr[4] == [
        "floor + ridge",
        "0.512",
        "0.500 [0.41, 0.59]",
        "0.300",
        "0.250 [0.10, 0.40]",
        "-0.400",
        "0.610",
        "–",
        "0.600",
    ]
    assert nr[6] == ["brisque36 + svr", "0.612", "–", "0.400", "–", "0.600", "–", "–", "–"]
    assert all(len(row) == len(nr[0]) for row in nr)
    fr = rows(text, "Full reference")
    assert fr[0] == ["", "tid2013_kodak SROCC", "tid2013_kodak PLCC"]
    assert fr[-1] == ["psnr", "0.999", "0.900"]


def test_protocol_date_and_papers_are_told(metrics: Path) -> None:
    text = markdown.render(markdown.read_results(metrics), "2026-01-31")
    assert text.startswith("Measured 2026-01-31. biq2021: 2,500 images in 50 groups, random, 10 splits; tid2013_kodak:")
    assert "read from the paper" in text and "| Textured Dead Leaves | " in text and "0.820 / 0.820" in text
    assert "None" not in text and "nan" not in text


def test_a_choice_keeps_its_order(metrics: Path) -> None:
    results = markdown.read_results(metrics, ["floor", "released"], ["biq2021"])
    assert [(e.encoder, e.database) for e in results.evaluations] == [("floor", "biq2021"), ("released", "biq2021")]


def test_the_short_table_is_no_reference_srocc_and_plcc(metrics: Path, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"{SHORT_BEGIN}\n{SHORT_END}\nbetween\n{BEGIN}\n{END}\n")
    assert markdown.refresh(path, markdown.read_results(metrics), "2026-01-31")
    short, full = path.read_text().split("between")
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in short.splitlines() if line[:1] == "|"]
    assert lines[0] == ["", "biq2021 SROCC", "biq2021 PLCC", "tid2013_kodak SROCC", "tid2013_kodak PLCC"]
    assert [line[0] for line in lines[2:]] == ["released + ridge", "floor + ridge", "brisque36 + svr"]
    assert lines[3][1:] == ["0.512", "-0.400", "0.610", "0.600"] and lines[4][1:] == ["0.612", "0.600", "–", "–"]
    assert "Measured 2026-01-31. Medians over the splits. biq2021: 2,500 images" in short
    assert "**Full reference**" in full and not markdown.refresh(path, markdown.read_results(metrics), "2026-02-01")


def test_a_block_is_replaced_once_and_left_alone_then(metrics: Path, tmp_path: Path) -> None:
    path, results = tmp_path / "README.md", markdown.read_results(metrics)
    path.write_text(f"# Ours\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    assert markdown.refresh(path, results, "2026-01-31")
    first = path.read_text()
    assert first.startswith("# Ours\n\n") and first.endswith(f"{END}\n\nafter\n") and "old" not in first
    assert not markdown.refresh(path, results, "2026-02-01") and path.read_text() == first
    evaluated(metrics, "floor", "biq2021", nr={"ridge": {"srocc": 0.9, "plcc": 0.9}})
    assert markdown.refresh(path, markdown.read_results(metrics), "2026-02-01")
    assert "Measured 2026-02-01" in path.read_text() and "0.900" in path.read_text()


@pytest.mark.parametrize(
    "text", ["no marks", f"{BEGIN}\n", f"{END}\n{BEGIN}\n", f"{BEGIN}{END}{BEGIN}{END}", f"{BEGIN}{END}{SHORT_END}"]
)
def test_a_file_without_its_marks_is_refused_and_left(metrics: Path, tmp_path: Path, text: str) -> None:
    path = tmp_path / "README.md"
    path.write_text(text)
    with pytest.raises(TableError, match=r"README.md: needs one line <!-- (short )?results"):
        markdown.refresh(path, markdown.read_results(metrics), "2026-01-31")
    assert path.read_text() == text


def test_paper_4s_tables_have_its_rows_below_ours(metrics: Path, tmp_path: Path) -> None:
    made.types(metrics, "clive", "run", "clive", encoder="released")
    cross = {"encoder": "released", "train": "koniq10k", "database": "clive", "mode": "nr", "srocc": 0.777, "plcc": 0.7}
    artifacts.write_json(metrics / "compare.json", {"methods": [], "cross": [cross]})
    for selection, of, srocc in (("mean_prob", [3, 9], 0.45), ("all", list(range(1, 26)), 0.35)):
        made.network(metrics, f"network_{selection}", "clive", selection, of, srocc, encoder="released")
    text = markdown.render_selections(markdown.read_results(metrics), "2026-01-31")
    second = rows(text, "Table 2: types that each target resembles")
    assert second[0][1:] == [
        *(f"#{n}" for n in (1, 2, 3, 4, 7, 9, 10, 11, 12, 16, 17, 18, 19, 21, 22, 23, 25)),
        "N.o.S.",
    ]
    by_name = {row[0]: row[1:] for row in second}
    assert [by_name["clive, mean_prob"][2], by_name["clive, mean_prob"][-1], by_name["clive, top4_vote"][-1]] == [
        "✓",
        "2",
        "1",
    ]
    assert [row[-1] for name, *row in second if name.endswith(", DGQA")] == [
        "6",
        "6",
        "6",
        "7",
        "6",
        "7",
        "9",
        "5",
        "14",
        "",
    ]
    printed = "9 5 9 1 1 6 3 1 1 3 7 6 2 2 1 2 7".split()  # N.o.T. of the paper
    assert by_name["N.o.T., DGQA"][:-1] == printed
    third = {row[0]: row[1:] for row in rows(text, "Table 3: trained on the selected types of a synthetic database")}
    assert third[""][:4] == ["KonIQ SROCC", "KonIQ PLCC", "CLIVE SROCC", "CLIVE PLCC"]
    assert third["released, photos"][:4] == ["–", "–", "0.500", "0.550"] and third["DGQA"][2] == "0.696"
    fifth = {row[0]: row[1:] for row in rows(text, "Table 5: all types against the selected ones")}
    assert fifth["released, photos: top4_vote"][2] == "0.600 (+0.200)" and fifth["HyperIQA DGDS (DGQA)"][0] == "0.685"
    assert fifth["released, photos, network: mean_prob"][2] == "0.450 (+0.100)"
    assert third["released, photos, network"][2] == "0.450" and "| #3 and #9 | 0.450 | 0.300 | 0.460 (" in text
    sixth = {row[0]: row[1:] for row in rows(text, "Table 6: selected, greedy, and trained on another database")}
    assert sixth["released, all of koniq10k"][2] == "0.777" and sixth["KADID GDS (greedy) (DGQA)"][2] == "0.713"
    assert (
        "GDS types for KonIQ contradict each other" in text
        and "has #9" in text
        and "has #10" in text.replace("\n", " ")
    )
    path = tmp_path / "domains.md"
    path.write_text(f"{markdown.SELECTION_BEGIN}\n{markdown.SELECTION_END}\n{BEGIN}\nof another run\n{END}\n")
    shutil.rmtree(metrics / "evaluate")
    assert markdown.refresh(path, markdown.read_results(metrics), "2026-01-31")
    assert text in path.read_text() and "of another run" in path.read_text()  # what was not measured stays


def test_runs_of_the_same_databases_stand_beside_one_another(metrics: Path) -> None:
    """Greedy selection with and without the target's opinions, and networks that differ in another knob: what two runs
    have in common stands once, and where they differ each has a row."""
    for run in ("asked", "unasked"):
        made.types(metrics, "clive", run, "clive", encoder="released")
    path = metrics / "greedy" / "unasked.json"
    unasked = artifacts.read_json(path)
    unasked["oracle"], unasked["nr"]["ridge_greedy"]["srocc"] = False, 0.5
    artifacts.write_json(path, unasked)
    for run, begun, selection, srocc in (
        ("short", "released", "mean_prob", 0.45), ("long", "released", "mean_prob", 0.55),
        ("every", "released", "all", 0.35), ("other", "mine", "mean_prob", 0.65), ("others", "mine", "all", 0.5),
    ):  # fmt: skip
        made.network(metrics, run, "clive", selection, [3, 9], srocc, encoder=begun)
    text = markdown.render_selections(markdown.read_results(metrics), "2026-01-31")
    greedy = [
        {row[0]: row[1:] for row in rows(text, f"{run}: trained on types of photos, judged on clive, by released")}
        for run in ("asked", "unasked")
    ]
    steps = rows(text, "unasked: the path that the similarity chose; it ends because no further type raises the SROCC")
    assert steps[2:] == [["1", "#3", "0.650", "0.600 to 0.690", "87%", "25"]]
    assert greedy[0]["greedy"][1] == "0.700" and greedy[1]["greedy, by the similarity"][1] == "0.500"
    networks = [
        row[0]
        for row in rows(
            text, "Networks that were trained on types of a database with the L1 loss, judged on another one"
        )[2:]
    ]
    assert networks == [
        "every: photos to clive, all", "long: photos to clive, mean prob", "other: photos to clive, mean prob",
        "others: photos to clive, all", "short: photos to clive, mean prob",
    ]  # fmt: skip
    fifth = {row[0]: row[3] for row in rows(text, "Table 5: all types against the selected ones")}
    assert {name: cell for name, cell in fifth.items() if "photos" in name} == {
        "released, photos: all": "0.400",
        "released, photos: mean_prob": "0.500 (+0.100)",
        "released, photos: top4_vote": "0.600 (+0.200)",
        "released, photos, network: all": "0.350",
        "released, photos, network: mean_prob, long": "0.550 (+0.200)",
        "released, photos, network: mean_prob, short": "0.450 (+0.100)",
        "mine, photos, network: all": "0.500",
        "mine, photos, network: mean_prob": "0.650 (+0.150)",
    }
    sixth = {row[0]: row[3] for row in rows(text, "Table 6: selected, greedy, and trained on another database")}
    assert sixth["released, photos: greedy (the target's opinions choose)"] == "0.700"
    assert sixth["released, photos: greedy (the similarity chooses)"] == "0.500"


def test_no_metrics_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no metrics here; `dvc repro evaluate`"):
        markdown.read_results(tmp_path)


def test_networks_that_learnt_opinions_make_the_tables_of_paper_3(metrics: Path) -> None:
    """Encoder, mode and view name a row; the paper has rows below; types are those of databases numbered as ours."""
    kinds = [{"type": kind, "level": None, "srocc": kind / 100} for kind in (1, 9, 10, 25)]
    kinds += [{"type": 1, "level": 5, "srocc": 0.999}, {"type": None, "level": 1, "srocc": 0.999}]
    head = {"srocc": 0.7, "plcc": 0.6, "types": kinds}
    tuned = {"begun_from": "semi", "mode": "lp_ft", "regressor": "lp_ft_five_crops"}
    nr = {"lp_ft_centre": {"srocc": 0.1, "plcc": 0.1}, "lp_ft_five_crops": head}
    for database in ("kadid10k", "koniq10k"):
        evaluated(metrics, "semi_tuned", database, **tuned, nr=nr)
    assert markdown.render_finetuned(markdown.read_results(metrics, ["floor"]), "2026-01-31") == ""
    text = markdown.render_finetuned(markdown.read_results(metrics), "2026-01-31")
    first = rows(text, "Table 1: encoders, modes and databases")
    assert first[0][1:5] == ["KADID SROCC", "KADID PLCC", "KonIQ SROCC", "KonIQ PLCC"]
    assert first[2] == ["LP-FT: semi, five crops", "0.700", "0.600", "0.700", "0.600"]
    assert ["LP-FT: SSL (paper 3)", "0.910", "0.900", "0.900", "0.890"] in first and len(first) == 2 + 1 + 9
    second = rows(text, "Table 2: SROCC inside a distortion type")
    assert second[2] == ["LP-FT: semi, five crops, KADID", "0.010", "0.090", "0.100", "–"]
    assert ["SSL (paper 3), KADID", "0.880", "0.860", "0.900", "0.870"] in second and len(second) == 2 + 1 + 3

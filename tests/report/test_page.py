"""The page of a small run: whole, self-contained, repeatable, and with the figures that the metrics have."""

import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline import artifacts
from pipeline.artifacts import ArtifactError
from pipeline.evaluation.comparison import published
from pipeline.params import Params
from pipeline.report import collect, page, published_tables, tables
from pipeline.report.embedding import embed
from tests.report import made


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, Params]:
    folder = tmp_path_factory.mktemp("run")
    return folder, made.run(folder)


@pytest.fixture(scope="module")
def html(run) -> str:
    folder, params = run
    return page.build(collect.collect(params, folder / "data", folder / "metrics"))


class _Reader(HTMLParser):
    VOID = {"meta", "link", "img", "br"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_is_well_formed_and_accessible(html):
    read = _Reader(html)
    assert not read.open
    images = [attrs for tag, attrs in read.tags if tag == "img"]
    assert len(images) >= 125 and all(image["alt"] for image in images)
    assert all(attrs.get("scope") for tag, attrs in read.tags if tag == "th")
    assert all(attrs.get("aria-label") for tag, attrs in read.tags if tag == "svg" and attrs.get("role") == "img")
    ids = [attrs["id"] for _, attrs in read.tags if attrs.get("id")]
    assert len(ids) == len(set(ids))
    targets = [attrs["href"][1:] for tag, attrs in read.tags if tag == "a"]
    assert targets and set(targets) <= set(ids)


def test_page_asks_nothing_of_a_network_and_runs_nothing(html):
    read = _Reader(html)
    assert not [tag for tag, _ in read.tags if tag in ("script", "iframe", "object", "embed")]
    for _, attrs in read.tags:
        for name in ("src", "href", "xlink:href"):
            assert not (attrs.get(name) or "#").startswith(("http", "//", "/"))
    assert "url(http" not in html and "@import" not in html
    assert len(html) < 4_000_000


def test_equal_runs_give_equal_pages(html, tmp_path):
    params = made.run(tmp_path)
    assert page.build(collect.collect(params, tmp_path / "data", tmp_path / "metrics")) == html


def test_names_from_data_are_escaped(html):
    assert "a &lt;made&gt; run" in html and "source &lt;0&gt;" in html
    assert "<made>" not in html and "source <" not in html


def test_page_has_the_figures_of_the_metrics(html, run):
    folder, params = run
    found = collect.collect(params, folder / "data", folder / "metrics")
    for evaluation in found.evaluations:
        for mode in ("nr", "fr"):
            for key in ("srocc", "plcc", "krocc", "rmse"):
                assert f"{evaluation.headline(mode)[key]:.3f}" in html
    assert "0.600" in html and "2.00" in html  # the probe and its ratio to random_init
    assert "756" in html  # 2 sets x 3 sources x 126
    assert "<em>class means</em>" in html and "decides nothing" in html


def test_what_the_machine_adds_is_not_on_the_page(run, html):
    folder, params = run
    other = params.model_copy(update={"run": params.run.model_copy(update={"engine": "serial", "workers": 7})})
    assert page.build(collect.collect(other, folder / "data", folder / "metrics")) == html


def test_what_did_not_run_is_said_and_what_must_be_there_is_named(run, tmp_path):
    folder, params = run
    data, metrics = tmp_path / "data", tmp_path / "metrics"
    metrics.mkdir()
    (metrics / "statistics.json").write_bytes((folder / "metrics" / "statistics.json").read_bytes())
    data.mkdir()
    for name in ("sources", "distorted", "models", "statistics.svg"):
        (data / name).symlink_to(folder / "data" / name)
    html = page.build(collect.collect(params, data, metrics))
    for said in (
        "No encoder was probed", "No encoder was evaluated", "The stage compare has not run", "No regressor was stored",
        "the stage features has not run", "No classifier of the types was trained",
    ):  # fmt: skip
        assert said in html, said
    (data / "models").unlink()
    with pytest.raises(ArtifactError, match="dead_leaves/encoder.json: missing"):
        collect.collect(params, data, metrics)


def test_comparisons_regressors_and_types_are_on_the_page(html):
    for said in (
        "0.111 to 0.888", "−0.123", "−0.200 to −0.010", "+0.222, 0.100 to 0.333", "0.034",
        "dead_leaves − random_init + svr", "0.987",
        "floor + svr", "0.456", "0.654", "type 7", "level 2", "higher is better, 1 to 5",
    ):  # fmt: skip
        assert said in html, said


def test_classifiers_similarities_and_selections_are_on_the_page(run, html):
    def table(title: str) -> list[list[list[str]]]:
        """The words of each cell of each row."""
        begin = html.index(f'aria-label="{title}', html.index('id="types"'))
        rows = re.findall(r"<tr.*?</tr>", html[begin : html.index("</table>", begin)], re.DOTALL)
        cells = [re.findall(r"<t[hd][ >].*?</t[hd]>", row, re.DOTALL) for row in rows]
        return [[re.sub(r"<[^>]+>", " ", cell).split() for cell in row] for row in cells]

    (_, classified) = table("Accuracy of the type")
    assert classified[0][0] == "types" and classified[1] == ["0.980"] and classified[-2] == ["3.2%"]
    assert "gaussian blur as lens blur 50%" in " ".join(classified[-1])
    matrix = table("types on dead leaves: percent")
    assert len(matrix) == 26 and all(len(row) == 27 for row in matrix)
    assert matrix[1][1:5] == [["0.500"], ["50"], ["50"], []] and matrix[3][4] == ["100"]
    similar = table("Similarity of each target")
    assert similar[3] == [
        ["3", "motion", "blur"],
        ["0.432", "✓", "0.216", "to", "0.864"],
        ["0.020", "0.010", "to", "0.020"],
    ]
    assert similar[9][2][:2] == ["0.123", "✓"]
    assert 'class="shaded" style="--v:100">0.432' in html and 'style="--v:74">0.321' in html
    selected = table("path: trained on types of photos")
    assert selected[2][2:] == [
        ["0.500"],
        ["0.550"],
        ["0.500", "(−0.050", "to", "0.654)"],
        ["+0.100", "(−0.050", "to", "0.654)"],
    ]
    assert selected[-1][:3] == [
        ["random", "2"],
        ["3", "draws,", "median", "(range)"],
        ["0.310", "(0.300", "to", "0.320)"],
    ]
    assert table("path: the path that")[1][1:5] == [["#3"], ["0.650"], ["0.600", "to", "0.690"], ["87%"]]
    (_, network) = table("Networks that were trained on types")
    assert network[0][:6] == ["network:", "photos", "to", "kadid10k,", "mean", "prob"]
    assert network[1:] == [["#3", "and", "#9"], ["0.450"], ["0.300"], ["0.460", "(0.400", "to", "0.520)"]]


def test_our_cross_database_figure_stands_in_the_papers_table(html):
    start = html.index("NR cross-database train=KonIQ")
    assert "0.717" in html[start : html.index("</table>", start)]


def test_a_metric_without_references_and_one_with_them(run, tmp_path):
    folder, params = run
    data, metrics = tmp_path / "data", tmp_path / "metrics"
    for name in ("data", "metrics"):
        shutil.copytree(folder / name, tmp_path / name)
    for name, told in (
        ("psnr", {"fr": {"none": {"srocc": 0.7654, "plcc": 0.75, "splits": []}}}),
        ("niqe", {"absent": "no reason"}),
    ):
        artifacts.write_json(data / "models" / name / "encoder.json", {"kind": "metric", "dim": 1})
        common = {"encoder": name, "database": "photos", "protocol": "random", "kind": "metric", "regressor": "none"}
        counts = {"images": 125, "groups": 5}
        artifacts.write_json(metrics / "evaluate" / name / "photos.json", common | counts | told)
        table = pq.read_table(data / "predictions/floor/photos.parquet").slice(0, 0)
        artifacts.write_table(data / "predictions" / name / "photos.parquet", table)
    more = params.model_copy(update={"encoders": [*params.encoders, "psnr", "niqe"]})
    html = page.build(collect.collect(more, data, metrics))
    assert "0.765" in html and "niqe: no reason" in html


def test_the_plane_keeps_likes_together_and_is_repeatable(run):
    folder, params = run
    path = folder / "data/features/dead_leaves/photos.parquet"
    found = embed(path, images=45, seed=1)
    assert found.places.shape == (45, 2) and found.scored == 60
    again = embed(path, images=45, seed=1)
    assert (found.places == again.places).all() and found.kinds == again.kinds
    names = sorted(set(found.kinds))
    assert len(names) == 3  # three types of three groups
    nearest = np.linalg.norm(found.places[:, None] - found.places, axis=2) + np.diag(np.full(45, np.inf))
    same = np.array(found.kinds)[nearest.argmin(1)] == np.array(found.kinds)
    assert same.mean() > 0.9
    assert set(found.levels) == {1, 2, 3, 4, 5} and np.corrcoef(found.levels, found.opinions)[0, 1] < -0.9
    assert np.bincount(found.opinions).tolist() == [0, 9, 9, 9, 9, 9]


def test_curves_have_every_step_of_the_trained_and_the_probe_where_it_was_run(run):
    folder, params = run
    found = collect.curves(collect.collect(params, folder / "data", folder / "metrics"))
    assert list(found) == ["loss/dead_leaves.csv", "type_accuracy/dead_leaves.csv"]
    rows = found["loss/dead_leaves.csv"].splitlines()
    assert rows[0] == "step,loss" and len(rows) == 301 and rows[1] == "0,6.3"
    assert found["type_accuracy/dead_leaves.csv"] == "step,type_accuracy\n99,0.099\n199,0.199\n299,0.299\n"


def test_the_probe_on_the_way_is_drawn_beside_the_loss(run, html):
    assert 'aria-label="Type accuracy of the probe against step: dead_leaves 0.10 to 0.30"' in html
    folder, params = run
    found = collect.collect(params, folder / "data", folder / "metrics")
    last = np.where(np.arange(300) == 299, 0.3, np.nan)
    once = [replace(e, accuracy=last) if e.accuracy is not None else e for e in found.encoders]
    assert "Type accuracy of the probe" not in page.build(replace(found, encoders=tuple(once)))


def test_stage_writes_the_page(run, html, monkeypatch, tmp_path):
    folder, params = run
    (tmp_path / "data").symlink_to(folder / "data")
    (tmp_path / "metrics").symlink_to(folder / "metrics")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params.model_dump(mode="json"), sort_keys=False))
    monkeypatch.chdir(tmp_path)
    from pipeline.params import load
    from stages import report

    report.run(load(Path("params.yaml")))
    assert (tmp_path / "report" / "index.html").read_text() == html
    for kind in ("loss", "type_accuracy"):
        assert [path.name for path in (tmp_path / "report" / kind).iterdir()] == ["dead_leaves.csv"]


def test_our_databases_find_their_published_names():
    ours = ("kadid10k", "koniq10k", "tid2013", "live", "photos", "tid2013_kodak")
    theirs = ["KADID", "KonIQ", "TID2013", "LIVE", "photos", "tid2013_kodak"]
    assert [published.known_as(name) for name in ours] == theirs
    assert published.in_papers_order(["KADID", "photos", "LIVE"]) == ["photos", "LIVE", "KADID"]


def test_published_figures_are_the_papers():
    rows = published.published_figures()
    paper = published_tables.by_method(rows, "nr")
    assert paper["Textured Dead Leaves"]["KADID"] == {"SROCC": 0.820, "PLCC": 0.820}
    assert paper["Danbooru"]["KonIQ"]["SROCC"] == 0.841
    assert published_tables.by_method(rows, "fr")["Danbooru-FR"]["CSIQ"]["PLCC"] == 0.957
    by_table = published_tables.by_table(rows)
    figures = [cell for t in by_table.values() for f in t.values() for row in f.values() for cell in row.values()]
    assert sum(map(len, figures)) == len(rows) == 1779
    assert published.setting("nr", "live") in {row.setting for row in rows}


def test_sizes_read_well():
    counts = (0, 999, 1000, 1_260_000, 99_960_000, 999_700_000, 270_000_000_000)
    assert [tables.size(count) for count in counts] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1.3 MB",
        "100 MB",
        "1.0 GB",
        "270 GB",
    ]


def test_page_colours_are_all_defined(html):
    used = set(re.findall(r"var\(--([a-z0-9]+)\)", html)) - {"n"}
    assert used <= set(re.findall(r"--([a-z0-9]+):", html))

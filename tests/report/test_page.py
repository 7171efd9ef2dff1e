"""The page of a small run: whole, self-contained, repeatable, and with the figures that the metrics have."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from pipeline.artifacts import ArtifactError
from pipeline.params import Params
from pipeline.report import content, page, published
from tests.report import made


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, Params]:
    folder = tmp_path_factory.mktemp("run")
    return folder, made.run(folder)


@pytest.fixture(scope="module")
def html(run) -> str:
    folder, params = run
    return page.build(content.collect(params, folder / "data", folder / "metrics"))


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
    assert page.build(content.collect(params, tmp_path / "data", tmp_path / "metrics")) == html


def test_names_from_data_are_escaped(html):
    assert "a &lt;made&gt; run" in html and "source &lt;0&gt;" in html
    assert "<made>" not in html and "source <" not in html


def test_page_has_the_figures_of_the_metrics(html, run):
    folder, params = run
    found = content.collect(params, folder / "data", folder / "metrics")
    for evaluation in found.evaluations:
        for mode in ("nr", "fr"):
            for key in ("srocc", "plcc", "krocc", "rmse"):
                assert f"{evaluation.metrics[mode][key]:.3f}" in html
    assert "0.600" in html and "2.00" in html  # the probe and its ratio to random_init
    assert "756" in html  # 2 sets x 3 sources x 126
    assert "KADID-10k’s published <em>class means</em>" in html and "decides nothing" in html


def test_what_the_machine_adds_is_not_on_the_page(run, html):
    folder, params = run
    other = params.model_copy(update={"run": params.run.model_copy(update={"engine": "serial", "workers": 7})})
    assert page.build(content.collect(other, folder / "data", folder / "metrics")) == html


def test_a_missing_table_is_named(run, tmp_path):
    folder, params = run
    with pytest.raises(ArtifactError, match="random_init.json: missing"):
        (tmp_path / "metrics").mkdir()
        for name in ("probe/dead_leaves.json",):
            target = tmp_path / "metrics" / name
            target.parent.mkdir(parents=True)
            target.write_bytes((folder / "metrics" / name).read_bytes())
        content.collect(params, folder / "data", tmp_path / "metrics")


def test_loss_tables_have_every_step_of_the_trained(run):
    folder, params = run
    found = content.loss_tables(content.collect(params, folder / "data", folder / "metrics"))
    rows = found["dead_leaves"].splitlines()
    assert list(found) == ["dead_leaves"]
    assert rows[0] == "step,loss" and len(rows) == 301 and rows[1] == "0,6.3"


def test_stage_writes_the_page(run, html, monkeypatch, tmp_path):
    folder, params = run
    (tmp_path / "data").symlink_to(folder / "data")
    (tmp_path / "metrics").symlink_to(folder / "metrics")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params.model_dump(mode="json")))
    monkeypatch.chdir(tmp_path)
    from pipeline.params import load
    from stages import report

    report.run(load(Path("params.yaml")))
    assert (tmp_path / "report" / "index.html").read_text() == html
    assert [path.name for path in (tmp_path / "report" / "loss").iterdir()] == ["dead_leaves.csv"]


def test_our_databases_find_their_published_names():
    ours = ("kadid10k", "koniq10k", "tid2013", "live", "photos", "tid2013_kodak")
    theirs = ["KADID", "KonIQ", "TID2013", "LIVE", "photos", "tid2013_kodak"]
    assert [published.known_as(name) for name in ours] == theirs
    assert published.in_order(["KADID", "photos", "LIVE"]) == ["photos", "LIVE", "KADID"]


def test_published_figures_are_the_papers():
    rows = published.load()
    paper = published.by_method(rows, "nr")
    assert paper["Textured Dead Leaves"]["KADID"] == {"SROCC": 0.820, "PLCC": 0.820}
    assert paper["Danbooru"]["KonIQ"]["SROCC"] == 0.841
    assert published.by_method(rows, "fr")["Danbooru-FR"]["CSIQ"]["PLCC"] == 0.957
    assert all(row.metric == "SROCC" for row in published.elsewhere(rows, "nr", ["KonIQ"]))


def test_sizes_read_well():
    counts = (0, 999, 1000, 1_260_000, 99_960_000, 999_700_000, 270_000_000_000)
    assert [page.size(count) for count in counts] == ["0 B", "999 B", "1.0 kB", "1.3 MB", "100 MB", "1.0 GB", "270 GB"]


def test_page_colours_are_all_defined(html):
    used = set(re.findall(r"var\(--([a-z0-9]+)\)", html)) - {"n"}
    assert used <= set(re.findall(r"--([a-z0-9]+):", html))

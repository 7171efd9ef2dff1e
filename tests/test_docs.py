"""README and docs/: short lines, links that lead somewhere, examples and recipes that work."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from pipeline.databases import ingest_folder, load_manifest
from pipeline.params import Params, load
from tests.databases.fixtures import save

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))
ALL = [README, ROOT / "released" / "README.md", *PAGES]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of a page, those of lists too, without their indentation."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for _, block in found]


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_the_readme_is_short() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    assert [line for line in lines if len(line) > 120] == []


@pytest.mark.parametrize("path", ALL, ids=name)
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http:", "https:")):
            continue
        file, _, anchor = target.partition("#")
        page = (path.parent / file).resolve() if file else path
        assert page.exists(), target
        assert not anchor or anchor in anchors(page), target


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_a_page_says_first_whom_it_is_for(path: Path) -> None:
    title, paragraph = path.read_text(encoding="utf-8").split("\n\n")[:2]
    assert title.startswith("# ") and paragraph.startswith("For ")


def test_the_order_of_reading_names_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    assert set(re.findall(r"\]\((\w[\w-]*\.md)\)", index.read_text())) == {p.name for p in PAGES} - {index.name}


@pytest.mark.parametrize("path", ALL, ids=name)
def test_files_that_are_named_exist(path: Path) -> None:
    """Paths of code and tests in running text, and the benchmarks that gave the figures."""
    text = path.read_text(encoding="utf-8")
    for file in re.findall(r"`((?:pipeline|stages|tests|benchmarks|manifests|released)/[\w./-]+)`", text):
        assert (ROOT / file).exists(), file
    for file, test in re.findall(r"(tests/[\w/]+\.py)::(\w+)", text):
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{test}"
    for module in re.findall(r"python -m ((?:benchmarks|tests|stages)[\w.]*)", text):
        file = ROOT / module.replace(".", "/")
        assert file.with_suffix(".py").is_file() or (file / "__main__.py").is_file(), module


@pytest.mark.parametrize("path", ALL, ids=name)
def test_edits_of_params_yaml_are_valid(path: Path, tmp_path: Path) -> None:
    """Every YAML block whose keys are those of params.yaml gives valid parameters when it is merged into the file."""
    for block in blocks(path, "yaml"):
        edit = yaml.safe_load(block)
        if edit.keys() <= Params.model_fields.keys():
            whole = merged(yaml.safe_load((ROOT / "params.yaml").read_text()), edit)
            (tmp_path / "params.yaml").write_text(yaml.safe_dump(whole))
            load(tmp_path / "params.yaml")


def merged(old: dict[str, object], new: dict[str, object]) -> dict[str, object]:
    both = {key: merged(old[key], new[key]) for key in old.keys() & new.keys() if isinstance(old[key], dict)}
    return old | new | both


def test_the_readmes_recipe_judges_without_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its database.yaml is a whole database, and with its two keys `dvc repro evaluate` runs eight stages."""
    manifest, edit = (yaml.safe_load(block) for block in blocks(README, "yaml")[:2])
    mine = tmp_path / "mine"
    (mine / "images").mkdir(parents=True)
    (mine / "database.yaml").write_text(yaml.safe_dump(manifest))
    rows = ["image,mos,scene"]
    for number in range(6):
        save(mine / "images" / f"{number}.png", number)
        rows.append(f"{number}.png,{1 + number / 2},{'abc'[number // 2]}")
    (mine / "scores.csv").write_text("\n".join(rows) + "\n")
    table = ingest_folder(load_manifest("mine", mine), mine)
    assert table["group"].to_pylist() == list("aabbcc") and table["mos"].to_pylist()[-1] == 3.5

    assert set(edit) == {"databases", "encoders"}
    params = yaml.safe_load((ROOT / "params.yaml").read_text()) | edit
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    (tmp_path / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    with Repo.init(no_scm=True) as repo:
        stages = sorted(stage.addressing for stage in repo.stage.collect("evaluate", with_deps=True))
    judged = [f"{stage}@{encoder}-mine" for stage in ("evaluate", "features") for encoder in edit["encoders"]]
    assert stages == sorted(["baselines", "ingest@mine", *judged]) and f"({len(stages)} stages)" in README.read_text()


def test_a_plain_repro_lacks_what_the_readme_says_to_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the recipe: stages that depend on what no stage makes, such as the table of a database that is gone."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text()) | yaml.safe_load(blocks(README, "yaml")[1])
    (tmp_path / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    Repo.init(no_scm=True).close()

    def lacking(page: dict[str, object]) -> set[str]:
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(page))
        load(tmp_path / "params.yaml")
        with Repo() as repo:
            stages = list(repo.index.stages)
        made = {str(out) for stage in stages for out in stage.outs}
        asked = [(stage.addressing.split("@")[0], str(dep)) for stage in stages for dep in stage.deps]
        return {
            stage
            for stage, dep in asked
            if dep.startswith(("data/", "metrics/"))
            and not any(Path(dep).is_relative_to(out) or Path(out).is_relative_to(dep) for out in made)
        }

    (told,) = re.findall(r"set `(\w+)` and `(\w+)` to `{}`", README.read_text())
    assert lacking(params) == set(told)
    assert lacking(params | dict.fromkeys(told, {})) == set()


@pytest.mark.parametrize("path", [README, ROOT / "docs" / "first-run.md"], ids=name)
def test_every_stage_is_named(path: Path) -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert [stage for stage in stages if not re.search(rf"`{stage}[`@]", path.read_text())] == []

"""README and docs/: short lines, links that lead somewhere, examples and recipes that work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from pipeline.params import Params, load

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))
ALL = [README, ROOT / "released" / "README.md", *PAGES]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)


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

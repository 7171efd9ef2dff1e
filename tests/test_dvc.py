"""dvc.yaml names what each stage's code is made of, so that ``dvc repro`` asks when it changes."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WRITTEN: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
STAGES: dict[str, Any] = {name: stage.get("do", stage) for name, stage in WRITTEN.items()}
ELSEWHERE = {  # what changes nothing that is written: where work is done, who may write, and values that are params
    "pipeline/__init__.py",
    "pipeline/devices.py",
    "pipeline/errors.py",
    "pipeline/file_kinds.py",
    "pipeline/engine",
    "pipeline/folders.py",
    "pipeline/params",
    "pipeline/training/launch.py",
    "stages/__init__.py",
    "stages/running.py",
}
ASKED = {"sources", "distort"}  # shards: their fingerprints decide what is made again, so dvc may ask about everything
TABLES = {
    "evaluate",
    "compare",
    "regressor",
    "greedy",
}  # no pixel gets there, though features know where theirs come from


@cache
def nodes(path: Path) -> list[ast.AST]:
    """All that runs: nothing under ``if TYPE_CHECKING``."""
    every = list(ast.walk(ast.parse((ROOT / path).read_text())))
    ifs = [node for node in every if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    left_out = {inner for node in ifs for inner in ast.walk(node)}
    return [node for node in every if node not in left_out]


def file_of(dotted: str) -> Path | None:
    base = Path(*dotted.split("."))
    places = (base.with_suffix(".py"), base / "__init__.py")
    return next((place for place in places if (ROOT / place).is_file()), None)


def home(module: str, name: str) -> Path | None:
    """The file that ``from module import name`` is about: where a package takes the name from."""
    found = file_of(f"{module}.{name}") or file_of(module)
    if found and found.name == "__init__.py" and found == file_of(module):
        for node in nodes(found):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("pipeline"):
                for alias in node.names:
                    if (alias.asname or alias.name) == name:
                        return home(str(node.module), alias.name)
    return found


@cache
def imported(path: Path) -> frozenset[Path]:
    """The project's files that ``path`` uses; of a package that is imported whole, those of the names it takes."""
    found: set[Path | None] = set()
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in ("pipeline", "stages"):
            for alias in node.names:
                package, bound = f"{node.module}.{alias.name}", alias.asname or alias.name
                uses = [n for n in nodes(path) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == bound]
                whole = (file_of(package) or Path()).name == "__init__.py" and uses
                found |= {home(package, use.attr) for use in uses} if whole else {home(str(node.module), alias.name)}
    return frozenset(one for one in found if one)


def closure(path: Path) -> set[Path]:
    seen, todo = set(), [path]
    while todo:
        if (one := todo.pop()) not in seen:
            seen.add(one)
            todo += imported(one)
    return seen


def within(path: Path, places: Any) -> bool:
    return any(path.is_relative_to(place) for place in places)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_code_that_it_runs(stage: str) -> None:
    entry = Path("stages", STAGES[stage]["cmd"].split()[2].removeprefix("stages.") + ".py")
    ground = {"pipeline/seeding.py", "pipeline/encoder/card.py"} | (set() if stage in TABLES else {"pipeline/images"})
    for path in closure(entry):
        own = path == entry or path in imported(entry) and not within(path, ["pipeline/artifacts"])
        if not within(path, ELSEWHERE) and (own or stage in ASKED or within(path, ground)):
            assert within(path, STAGES[stage]["deps"]), f"{stage}: {path} is no dependency"


def test_imports_are_followed_to_where_they_lead() -> None:
    assert home("pipeline.features", "read_features") == Path("pipeline/features/feature_table.py")
    made = closure(Path("stages/distort.py"))
    assert {
        Path("pipeline/distortions/denoise.py"),
        Path("pipeline/shards/writer.py"),
        Path("pipeline/seeding.py"),
    } <= made
    assert not any(within(path, ["pipeline/training", "pipeline/sources"]) for path in made)


@pytest.mark.parametrize("stage", STAGES)
def test_every_dependency_in_the_code_is_there(stage: str) -> None:
    for dep in STAGES[stage]["deps"]:
        if not dep.startswith(("data", "metrics")) and "${" not in dep:
            assert (ROOT / dep).exists(), dep


@pytest.mark.parametrize("stage", [name for name in STAGES if name not in ("ingest", "features")])
def test_a_stage_that_reads_a_manifest_sees_a_users_change_of_it(stage: str) -> None:
    """The tables of databases have the manifest in their metadata, those of features the hash of the database's."""
    entry = Path("stages", STAGES[stage]["cmd"].split()[2].removeprefix("stages.") + ".py")
    files = [path for path in closure(entry) if within(path, ["stages"])]
    if any("load_manifest(" in (ROOT / path).read_text() and path != Path("stages/ingest.py") for path in files):
        assert [dep for dep in STAGES[stage]["deps"] if dep.startswith(("data/databases", "data/features"))], stage


@pytest.mark.parametrize("page", ["params.yaml", "released/params.yaml", "released/classifier/params.yaml"])
def test_every_mapping_that_dvc_asks_for_is_on_the_committed_pages(page: str) -> None:
    """Else dvc refuses dvc.yaml as a whole."""
    names = yaml.safe_load((ROOT / page).read_text())
    asked = {name for stage in WRITTEN.values() for name in re.findall(r"\$\{(\w+)\}", str(stage.get("foreach")))}
    asked |= {name for stage in WRITTEN.values() for name in re.findall(r"\$\{(\w+)\}", str(stage.get("matrix")))}
    assert {"train", "pooled", "encoders"} <= asked <= names.keys()

"""The floors of the house, by what each file imports; and what only some files may touch."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = (  # from the ground up: a noun imports from the floors below its own
    {"errors"},
    {"labels", "devices", "file_kinds", "seeding"},
    {"artifacts", "engine", "images", "params"},
    {"metrics"},
    {"databases", "distortions", "encoder", "folders", "shards", "sources"},
    {"features", "quality", "remake", "training"},
    {"evaluation", "verify"},
    {"domains"},  # greedy selection fits evaluation's ridge
    {"profiles", "report", "scoring"},
    {"cli"},
)
LAZY = {"torch", "ray", "webdataset", "dask", "distributed", "matplotlib", "sklearn", "datasets", "tqdm"}
TORCH = {"encoder", "training", "features", "scoring"}  # nouns whose modules may import torch at their top
FILES = sorted((ROOT / "pipeline").rglob("*.py"))
STAGES = sorted((ROOT / "stages").glob("*.py"))
BENCHMARKS = sorted((ROOT / "benchmarks").rglob("*.py"))
PACKAGES = sorted(path.parent for path in FILES if path.name == "__init__.py" and path.parent.name != "pipeline")


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def noun(path: Path) -> str:
    """The noun that a file of pipeline/ belongs to; ``pipeline/__init__.py`` hands on ``errors``."""
    parts = path.relative_to(ROOT / "pipeline").with_suffix("").parts
    return "errors" if parts == ("__init__",) else parts[0]


def imported(node: ast.AST) -> Iterator[str]:
    """The dotted names that an import statement brings in."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def file_of(dotted: str) -> Path | None:
    """The file of this project that an import of ``dotted`` runs; None for a library."""
    path = ROOT.joinpath(*dotted.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    parent = dotted.rpartition(".")[0]
    return file_of(parent) if "." in parent or parent in ("pipeline", "stages") else None


def imports_of(path: Path) -> set[Path]:
    """The files of this project that ``path`` imports, at its top, in a function or for types."""
    files = {file_of(dotted) for node in ast.walk(tree(path)) for dotted in imported(node)}
    return {file for file in files if file and file != path}


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """The nodes of one circle of a directed graph, or nothing."""
    order = TopologicalSorter(graph)
    try:
        order.prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def for_types_only(module: ast.Module) -> set[ast.AST]:
    """Nodes under ``if TYPE_CHECKING``."""
    choices = [node for node in ast.walk(module) if isinstance(node, ast.If)]
    return {inner for node in choices if ast.unparse(node.test) == "TYPE_CHECKING" for inner in ast.walk(node)}


def floor(of: str) -> int:
    floors = [number for number, nouns in enumerate(FLOORS) if of in nouns]
    assert floors, f"pipeline/{of} stands on no floor"
    return floors[0]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_go_downwards(path: Path) -> None:
    mine = noun(path)
    for node in ast.walk(tree(path)):
        for dotted in imported(node):
            first, *rest = dotted.split(".")
            assert first not in ("stages", "tests", "benchmarks"), f"line {node.lineno}: {dotted}"
            if first == "pipeline":
                other = "errors" if rest[0] == "Refusal" else rest[0]
                assert other == mine or floor(other) < floor(mine), f"line {node.lineno}: {mine} imports {other}"


def test_no_file_imports_itself_by_way_of_others() -> None:
    assert circle({name(path): {name(other) for other in imports_of(path)} for path in FILES + STAGES}) == []


@pytest.mark.parametrize("package", PACKAGES, ids=name)
def test_the_parts_of_a_package_form_no_circle(package: Path) -> None:
    """A part is a file or a package inside. No part imports from its own package's ``__init__``, which imports it."""
    graph: dict[str, set[str]] = {}
    for path in package.rglob("*.py"):
        parts = {file.relative_to(package).parts[0] for file in imports_of(path) if file.is_relative_to(package)}
        graph.setdefault(path.relative_to(package).parts[0], set()).update(parts)
    for part, others in graph.items():
        others.discard(part)
    assert circle(graph) == []


def test_a_package_hands_names_on_and_holds_no_code() -> None:
    holding = {name(path) for path in FILES + STAGES + BENCHMARKS if path.name == "__init__.py" and has_code(path)}
    assert holding == set()


def has_code(path: Path) -> bool:
    """Whether a file has anything beside a docstring, imports and ``__all__``."""
    for node in tree(path).body:
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        listed = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        if not (text or listed or isinstance(node, ast.Import | ast.ImportFrom)):
            return True
    return False


@pytest.mark.parametrize("path", FILES, ids=name)
def test_heavy_libraries_are_imported_where_they_are_used(path: Path) -> None:
    module = tree(path)
    allowed = {"torch"} if noun(path) in TORCH and path.name != "__init__.py" else set()
    ignored = for_types_only(module)
    blocks = [node for node in module.body if isinstance(node, ast.If | ast.Try)]
    for node in [*module.body, *(inner for block in blocks for inner in ast.walk(block) if inner not in ignored)]:
        for dotted in imported(node):
            assert dotted.split(".")[0] not in LAZY - allowed, f"line {node.lineno}: {dotted} at the top"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_noun_reads_the_environment_the_arguments_or_the_parameter_file(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute):
            dotted = ast.unparse(node)
            assert dotted not in ("os.getenv", "os.environb"), f"line {node.lineno}: {dotted}"
            assert dotted != "sys.argv" or noun(path) == "cli", f"line {node.lineno}: {dotted}"
            assert dotted != "os.environ" or sets_only(path, node), f"line {node.lineno}: {dotted} is read"
        assert "argparse" not in imported(node) or noun(path) == "cli", f"line {node.lineno}: argparse"


def sets_only(path: Path, environ: ast.Attribute) -> bool:
    """Whether a use of os.environ tells a library how to behave and nothing else."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Subscript) and node.value.lineno == environ.lineno and isinstance(node.ctx, ast.Store):
            return True
        if isinstance(node, ast.Call) and node.lineno == environ.lineno:
            if ast.unparse(node.func) == "os.environ.setdefault":
                return True
    return False


@pytest.mark.parametrize("path", [path for path in FILES if noun(path) not in ("params", "cli")], ids=name)
def test_no_noun_names_the_parameter_file_but_in_words(path: Path) -> None:
    module = tree(path)
    texts = {node.value for node in ast.walk(module) if isinstance(node, ast.Expr)}  # docstrings
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in texts:
            assert not re.fullmatch(r"(.*/)?params\.ya?ml", node.value), f"line {node.lineno}"


def test_stages_are_thin() -> None:
    assert STAGES
    for path in STAGES:
        assert len(path.read_text().splitlines()) < 80, name(path)


def test_there_is_no_drawer() -> None:
    for path in FILES + STAGES:
        assert not re.search(r"util|helper|misc|common", path.stem), name(path)


@pytest.mark.parametrize("path", FILES + STAGES, ids=name)
def test_no_pickle_on_any_path(path: Path) -> None:
    for node in ast.walk(tree(path)):
        for dotted in imported(node):
            assert dotted.split(".")[0] not in ("pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal")
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("np.load", "numpy.load"):
            assert not any(k.arg == "allow_pickle" for k in node.keywords), f"line {node.lineno}"
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            weights_only = [ast.unparse(k.value) for k in node.keywords if k.arg == "weights_only"]
            assert weights_only == ["True"], f"line {node.lineno}"

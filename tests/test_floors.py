"""The floors of the house, by what each file imports; and what only some files may touch."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = (
    {"Refusal", "artifacts", "devices", "engine", "folders", "images", "params", "seeding"},
    {"metrics"},
    {"databases", "distortions", "encoder", "shards", "sources"},
    {"features", "remake", "training"},
    {"evaluation"},
    {"scoring", "report", "profiles", "verify"},
    {"cli"},
)
SIDEWAYS = {  # (who, what) on one floor, beside the ground's own
    ("devices", "Refusal"), ("engine", "Refusal"),
    ("images", "Refusal"), ("artifacts", "Refusal"), ("params", "Refusal"),
    ("folders", "artifacts"),
}  # fmt: skip
LAZY = {"torch", "ray", "webdataset", "dask", "distributed", "matplotlib", "sklearn", "datasets", "tqdm"}
TORCH = {"encoder", "training", "features", "scoring"}  # nouns whose modules may import torch at their top
FILES = sorted((ROOT / "pipeline").rglob("*.py"))
STAGES = sorted((ROOT / "stages").glob("*.py"))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def noun(path: Path) -> str:
    """The noun that a file of pipeline/ belongs to."""
    parts = path.relative_to(ROOT / "pipeline").with_suffix("").parts
    return "Refusal" if parts == ("__init__",) else parts[0]


def imported(node: ast.AST) -> Iterator[str]:
    """The dotted names that an import statement brings in."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def for_types_only(module: ast.Module) -> set[ast.AST]:
    """Nodes under ``if TYPE_CHECKING``."""
    choices = [node for node in ast.walk(module) if isinstance(node, ast.If)]
    return {inner for node in choices if ast.unparse(node.test) == "TYPE_CHECKING" for inner in ast.walk(node)}


def floor(of: str) -> int:
    found = [number for number, nouns in enumerate(FLOORS) if of in nouns]
    assert found, f"pipeline/{of} stands on no floor"
    return found[0]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_go_downwards(path: Path) -> None:
    mine = noun(path)
    for node in ast.walk(tree(path)):
        for dotted in imported(node):
            first, *rest = dotted.split(".")
            assert first not in ("stages", "tests", "benchmarks"), f"line {node.lineno}: {dotted}"
            if first == "pipeline" and rest[0] != mine:
                allowed = floor(rest[0]) < floor(mine) or (mine, rest[0]) in SIDEWAYS
                assert allowed, f"line {node.lineno}: {mine} imports {rest[0]}"


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
        assert len(path.read_text().splitlines()) < 60, name(path)


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

"""Every benchmark is started the same way and gives its figures the same way."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = sorted([*ROOT.glob("*.py"), *ROOT.glob("*/__main__.py")])


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_benchmark_runs_as_a_module_and_prints_json_if_asked(path: Path) -> None:
    name = path.parent.name if path.name == "__main__.py" else path.stem
    module = ast.parse(path.read_text())
    assert f"    python -m benchmarks.{name}" in str(ast.get_docstring(module, clean=False))
    assert ast.unparse(module.body[-1]).startswith("if __name__ == '__main__':\n    main()")
    options = {ast.unparse(node.args[0]) for node in ast.walk(module) if is_option(node)}
    assert "'--json'" in options


def is_option(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".add_argument") and bool(node.args)

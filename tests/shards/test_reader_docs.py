"""The examples in docs/shards.md run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.shards import stand_in

PAGE = (Path(__file__).parents[2] / "docs" / "shards.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data/distorted/textured_dead_leaves: four sources of 64 pixels in four shards."""
    folder = tmp_path_factory.mktemp("docs")
    stand_in.source_stage(folder / "sources", count=4, size=64)
    stand_in.distort_stage(folder / "sources", folder / "data" / "distorted" / "textured_dead_leaves")
    return folder


def test_the_page_has_its_examples() -> None:
    assert len(EXAMPLES) == 7


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: re.findall(r"^(?:from|import) (\S+)", text, re.M)[-1])
def test_an_example_runs(example: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("datasets", "duckdb"):
        if f"import {library}" in example:
            pytest.importorskip(library)
    monkeypatch.chdir(root)
    exec(compile(example, "docs/shards.md", "exec"), {"__name__": "__main__"})

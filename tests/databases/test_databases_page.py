"""docs/databases.md has a row for each manifest, and its example is a whole database;
`python -m tests.databases.test_databases_page` prints the rows.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.databases import Manifest, ingest_folder, load_manifest, manifest_names
from tests.databases.fixtures import save

DOCS = Path(__file__).parents[2] / "docs" / "databases.md"


def row(manifest: Manifest) -> str:
    """A manifest as a line of the table."""
    group = f"{manifest.group.size} contiguous numbers" if manifest.group.kind == "block" else manifest.group.kind
    split = manifest.protocol + ("; has its own" if manifest.official_parts and manifest.protocol == "random" else "")
    spread = "none"
    if manifest.class_means or (manifest.scores and manifest.scores.mos_std):
        spread = "over contents" if manifest.class_means else f"`{manifest.scores.mos_std}`"
        spread += f", {manifest.raters} raters" if manifest.raters else ""
    cells = [
        f"`{manifest.name}`",
        " ".join(f"`{file}`" for file in _files(manifest)),
        f"`{manifest.images.folder}/`" if manifest.images else "shards",
        "higher" if manifest.higher_is_better else "**lower**",
        f"{manifest.range[0]:g} to {manifest.range[1]:g}",
        group,
        {"column": str(manifest.scores and manifest.scores.stratum)}.get(manifest.stratum, manifest.stratum),
        split,
        spread,
    ]
    return f"| {' | '.join(cells)} |"


def _files(manifest: Manifest) -> list[str]:
    if manifest.scores is None:
        return [str(manifest.class_means)]
    files = [manifest.scores.file, *manifest.scores.beside, *(given.file for given in manifest.scores.split_files)]
    return list(dict.fromkeys(files))


@pytest.mark.parametrize("name", manifest_names())
def test_every_manifest_has_its_row(name: str) -> None:
    assert row(load_manifest(name)) in DOCS.read_text().splitlines()


def test_no_row_without_a_manifest() -> None:
    assert re.findall(r"^\| `(\w+)` \|", DOCS.read_text(), re.MULTILINE) == manifest_names()


def test_the_example_is_a_whole_database(tmp_path: Path) -> None:
    example = DOCS.read_text().split("## Your own database")[1]
    yaml, scores = (re.search(rf"```{kind}\n(.*?)```", example, re.DOTALL)[1] for kind in ("yaml", "csv"))
    (tmp_path / "database.yaml").write_text(yaml)
    (tmp_path / "scores.csv").write_text(scores)
    for number, line in enumerate(scores.splitlines()[1:]):
        path = tmp_path / line.split(",")[0]
        save(path, number, path.suffix[1:])
    table = ingest_folder(load_manifest("mine", tmp_path), tmp_path)
    assert len(table) == 3 and table["group"].to_pylist() == ["beach", "beach", "street"]


if __name__ == "__main__":
    print("\n".join(row(load_manifest(name)) for name in manifest_names()))

"""docs/tables.md says what the Arrow field descriptions say; `python -m tests.evaluation.test_docs` writes it anew."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from pipeline.databases import DATABASE
from pipeline.domains import DOMAINS, PATH
from pipeline.evaluation import PREDICTIONS, RESULTS
from pipeline.features import feature_schema
from pipeline.params.sections import QualityParams
from pipeline.quality import quality_schema
from pipeline.scoring import SCORES, features_schema

DOCS = Path(__file__).parents[2] / "docs" / "tables.md"
INTRODUCTION = """# Tables

For users who read the pipeline's tables in their own tools: every Parquet file, column by column.

The files are zstd with row groups of 1,024 and without timestamps, so equal content is equal bytes. pandas, Polars,
DuckDB and Hugging Face datasets open them as they are. The descriptions below are in the files too, as metadata of
the Arrow fields: `pyarrow.parquet.read_schema(path).field("mos").metadata`.

Features are a fixed-size list of float32, byte-stream-split. pandas shows one array a row
(`numpy.stack(frame["feature"])` makes the matrix), Polars an `Array(Float32, n)`, DuckDB a `FLOAT[]`. The metadata
of the feature table's schema are JSON:

- `weights_sha256`: the weights that made the features; `evaluate` refuses others
- `standardise`: true where the numbers have different units, so that regressors scale them by their training part
- `non_finite`: images with a number that is not finite; `evaluate` keeps them, names them and sets the number to
  the column's mean
- `provenance`: how the encoder was made

```python
import numpy as np
import pandas as pd

table = pd.read_parquet("data/features/textured_dead_leaves/photos.parquet")
features = np.stack(table["feature"])
```

```python
import polars as pl

print(pl.read_parquet("data/features/textured_dead_leaves/photos.parquet").select("image_id", "mos", "feature"))
```
"""
MANIFEST = """
The metadata of the schema have the manifest that the table was made by, as JSON (`manifest`). So an edit of `range` or
`protocol` in a `database.yaml` makes another table, and DVC runs again what follows from it, the features included.
"""


def section(title: str, schema: pa.Schema, note: str = "") -> str:
    lines = [f"\n## {title}\n", "| column | type | what it is |", "|---|---|---|"]
    for field in schema:
        kind = str(field.type).replace("fixed_size_list<item: float>[2]", "fixed_size_list<float>[n]")
        lines.append(f"| {field.name} | {kind} | {field.metadata[b'description'].decode()} |")
    return "\n".join(lines) + "\n" + note


def render() -> str:
    return INTRODUCTION + "".join(
        [
            section("data/databases/{database}.parquet", DATABASE, MANIFEST),
            section("data/features/{encoder}/{database}.parquet", feature_schema(2)),
            section("data/predictions/{encoder}/{database}.parquet", PREDICTIONS),
            section("data/compare/table.parquet", RESULTS),
            section("data/domains/{name}.parquet", DOMAINS),
            section("data/quality/{set}.parquet", quality_schema(QualityParams().metrics)),
            section("data/domains/greedy/{name}.parquet", PATH),
            section("what `synthetic-iqa score --out` writes", SCORES),
            section("what `synthetic-iqa features --out` writes", features_schema(2)),
        ]
    )


def test_the_page_is_that_of_the_schemas() -> None:
    assert DOCS.read_text() == render()


if __name__ == "__main__":
    DOCS.write_text(render())

"""Features of a database's images in the plane, by t-SNE (paper 2, Fig. 2), coloured by type, level and opinion.

The layout is computed from the features alone. Distances between far groups and the axes mean nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.features import FeatureTable, read_features
from pipeline.report import plots
from pipeline.report.tables import readable
from pipeline.seeding import generator

PERPLEXITY = 30.0
STEPS = 5  # of level and of opinion: as many colours
_LIKE_OURS = ("photos", "kadid10k")  # databases whose types are the bank's, in its numbering


@dataclass(frozen=True)
class Embedding:
    """The layout of n images of ``database``, out of ``scored`` ones that have an opinion.

    ``places``: float64 [n, 2]. ``kinds``: n names, at most 8 different ones, of type, group of types or subset, as
    ``sort`` says; "" where an image has none. ``levels``: int [n], 1..5 (0: none). ``opinions``: int [n], the fifths of
    the images from worst (1) to best (5).
    """

    database: str
    encoder: str
    places: np.ndarray
    kinds: tuple[str, ...]
    sort: str
    levels: np.ndarray
    opinions: np.ndarray
    scored: int


def embed(path: Path, *, images: int, seed: int) -> Embedding | None:
    """The layout of at most ``images`` scored images of a feature table, chosen by ``seed``; None for fewer than 10.

    500 images of 1,024 features take about 3 s. One thread is used, so that equal features give equal places.
    """
    table = read_features(path)
    columns = table.columns
    scored = np.flatnonzero(~columns["is_reference"].to_numpy() & columns["mos"].is_valid().to_numpy())
    database, encoder = (str(columns[name][0].as_py()) if len(columns) else "" for name in ("database", "encoder"))
    if len(scored) < 10:
        return None
    rows = np.sort(generator(seed, f"report/embedding/{database}").permutation(scored)[:images])
    chosen = columns.take(pa.array(rows))
    levels = np.clip(chosen["level"].fill_null(0).to_numpy().astype(int), 0, STEPS)
    mos = chosen["mos"].to_numpy() * (1 if chosen["higher_is_better"][0].as_py() else -1)
    fifths = 1 + np.argsort(np.argsort(mos, kind="stable")) * STEPS // len(mos)
    sort, kinds = _kinds(database, chosen)
    return Embedding(database, encoder, _places(table, rows, seed), kinds, sort, levels, fifths, len(scored))


@dataclass(frozen=True)
class Panel:
    """One colouring of a layout: its title, its SVG, and the legend: name -> CSS variable of the colour."""

    title: str
    svg: str
    legend: dict[str, str]


def panels(layout: Embedding) -> list[Panel]:
    """The layout coloured by type (or subset), by level and by opinion; the first two only where they are known."""
    names = sorted({name for name in layout.kinds if name}, key=lambda name: (len(name), name))  # type 8 before type 10
    kinds = np.array(layout.kinds)
    words = ("worst fifth", "second", "middle", "fourth", "best fifth")
    parts = {
        f"By {layout.sort}": {readable(name): kinds == name for name in names},
        "By level": {f"level {n}": layout.levels == n for n in range(1, STEPS + 1)} if layout.levels.any() else {},
        "By opinion": {words[n - 1]: layout.opinions == n for n in range(1, STEPS + 1)},
    }
    coloured = []
    for title, rows in parts.items():
        palette, letter = (plots.RAMP, "r") if title in ("By level", "By opinion") else (plots.SERIES, "c")
        clouds = [plots.Cloud(name, layout.places[chosen], palette[i]) for i, (name, chosen) in enumerate(rows.items())]
        alt = f"{title}: {layout.encoder} on {layout.database}, {len(layout.places)} images in the plane"
        legend = {name: f"--{letter}{i}" for i, name in enumerate(rows)}
        coloured += [Panel(title, plots.clouds(clouds, alt=alt), legend)] if rows else []
    return coloured


def _places(table: FeatureTable, rows: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    features = np.concatenate(
        [table.block(i)[rows[(rows >= a) & (rows < b)] - a] for i, (a, b) in enumerate(table.bounds)]
    ).astype(np.float64)
    features = np.where(np.isfinite(features), features, 0)
    if table.metadata.get("standardise"):
        features = (features - features.mean(0)) / np.maximum(features.std(0), 1e-9)
    perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
    with threadpool_limits(1):  # t-SNE's sums depend on the number of threads
        layout = TSNE(2, perplexity=perplexity, init="pca", random_state=seed % 2**32).fit_transform(features)
    return np.asarray(layout, dtype=np.float64)


def _kinds(database: str, chosen: pa.Table) -> tuple[str, tuple[str, ...]]:
    """What the images are grouped by, and the name for each: group of types where the types are the bank's 25, else the
    type, else the subset. Only the 8 most frequent names are kept.
    """
    types = chosen["type"].to_pylist()
    strata = [str(name or "") for name in chosen["stratum"].to_pylist()]
    if database in _LIKE_OURS and any(types):
        from pipeline.distortions import TYPES

        groups = {kind.id: kind.group for kind in TYPES}
        return "group of types", tuple(groups.get(kind, "") for kind in types)
    names = [f"type {kind}" if kind else "" for kind in types] if any(types) else strata
    frequent = [name for name, _ in Counter(name for name in names if name).most_common(len(plots.SERIES))]
    shown = tuple(name if name in frequent and len(frequent) > 1 else "" for name in names)
    return "type" if any(types) else "subset", shown

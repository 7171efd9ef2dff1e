"""Published figures beside ours: reproduced only where the published one lies in our interval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.evaluation.agreement.intervals import Interval

METHODS = {  # (encoder, regressor) -> the papers' name; BRISQUE is an SVR there
    ("dead_leaves", "ridge"): "Dead Leaves",
    ("textured_dead_leaves", "ridge"): "Textured Dead Leaves",
    ("danbooru", "ridge"): "Danbooru",
    ("brisque36", "svr"): "BRISQUE",
    ("niqe", "none"): "NIQE",
    ("psnr", "none"): "PSNR",
    ("ssim", "none"): "SSIM",
    ("ms_ssim", "none"): "MS-SSIM",
    ("gmsd", "none"): "GMSD",
    ("fsim", "none"): "FSIM",
    ("fsimc", "none"): "FSIMc",
    ("vsi", "none"): "VSI",
    ("haarpsi", "none"): "HaarPSI",
    ("mdsi", "none"): "MDSI",
}
SETTINGS = {"nr": "NR within-database", "fr": "FR within-database"}


def verdicts(entry: Mapping[str, Any], known_as: str, rows: Iterable[Any], setting: str) -> list[dict[str, Any]]:
    """The published SROCCs of the entry's method on the database that the papers call ``known_as``, each with its
    verdict: ``reproduced`` (inside our interval), ``differs`` or ``no interval``.
    ``rows`` have source, table, setting, method, database, metric and value (manifests/published.csv).
    """
    name = METHODS.get((entry["encoder"], entry["regressor"]))
    if name is None:
        return []
    names = {name, f"{name}-FR"} if entry["mode"] == "fr" else {name}
    interval = Interval(entry["srocc"], entry["low"], entry["high"], entry["groups"])
    return [
        {"source": row.source, "table": row.table, "method": row.method, "value": row.value}
        | {"measure": "srocc", "verdict": interval.verdict(row.value)}
        for row in rows
        if row.method in names and row.database == known_as and row.metric == "SROCC" and row.setting == setting
    ]

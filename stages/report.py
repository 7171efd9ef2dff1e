"""report: the page (report/index.html), and the curves of training as data for `dvc plots` (report/*/*.csv)."""

from __future__ import annotations

from pipeline import artifacts
from pipeline.params import Params
from pipeline.report import collect, page
from stages import DATA, METRICS, REPORT, entry


def run(params: Params) -> None:
    """Write the page from what the other stages left."""
    found = collect.collect(params, DATA, METRICS)
    for path in REPORT.glob("*/*.csv"):  # of an encoder that is no longer listed
        path.unlink()
    for name, text in collect.curves(found).items():
        artifacts.write_bytes(REPORT / name, text.encode())
    artifacts.write_bytes(REPORT / "index.html", page.build(found).encode())


if __name__ == "__main__":
    entry(run)

"""report: the page (report/index.html), and the curves of training as data for `dvc plots` (report/*/*.csv)."""

from __future__ import annotations

from pipeline import artifacts
from pipeline.params import Params
from pipeline.report import collect, page
from stages import DATA, METRICS, REPORT, entry


def run(params: Params) -> None:
    """Write the page and the curves from the results of the other stages."""
    content = collect.collect(params, DATA, METRICS)
    for kind in ("loss", "type_accuracy"):  # dvc wants both folders, whatever was trained
        (REPORT / kind).mkdir(parents=True, exist_ok=True)
    for path in REPORT.glob("*/*.csv"):  # curves of encoders that are no longer listed
        path.unlink()
    for name, text in collect.curves(content).items():
        artifacts.write_bytes(REPORT / name, text.encode())
    artifacts.write_bytes(REPORT / "index.html", page.build(content).encode())


if __name__ == "__main__":
    entry(run)

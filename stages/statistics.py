"""statistics: how much the sets resemble photographs (metrics/statistics.json, data/statistics.svg)."""

from __future__ import annotations

from pathlib import Path

from pipeline import artifacts, images
from pipeline.engine import progress
from pipeline.params import Params
from pipeline.shards.reader import ShardSet
from pipeline.sources import SourceError, image_files, statistics, statistics_figure
from stages import DATA, METRICS, entry


def run(params: Params) -> None:
    """Measure derivatives, spectrum and scale of every set, against run.paths.natural where it is given."""
    most = params.statistics.images
    natural = _natural(params.run.paths.natural, most)  # first: a folder that will not do is said at once
    sets = {}
    for name in params.sets:
        shards = ShardSet(DATA / "sources" / name)
        rows = range(min(most, len(shards)))
        pictures = progress(map(shards.image, rows), total=len(rows), describe=f"statistics {name}")
        sets[name] = statistics.measure(pictures)
    rows_of = sets if natural is None else {**sets, "natural photographs": natural}
    artifacts.write_json(METRICS / "statistics.json", statistics.compare(rows_of, natural))
    artifacts.write_bytes(DATA / "statistics.svg", statistics_figure.svg(sets, natural))


def _natural(folder: str | None, most: int) -> statistics.Measured | None:
    if folder is None:
        return None
    paths = image_files.image_files(Path(folder))[:most]
    if not paths:
        raise SourceError(f"run.paths.natural: {folder} has no images")
    return statistics.merge(progress(map(_photograph, paths), total=len(paths), describe="statistics natural"))


def _photograph(path: Path) -> statistics.Measured:
    try:
        return statistics.measure([images.read(path)])
    except SourceError as error:
        raise SourceError(f"run.paths.natural: {path}: {error}") from None


if __name__ == "__main__":
    entry(run)

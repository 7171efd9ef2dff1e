"""statistics: how much the sets resemble photographs (metrics/statistics.json, data/statistics.svg)."""

from __future__ import annotations

from pathlib import Path

from pipeline import artifacts, images
from pipeline.params import Params
from pipeline.shards.reader import ShardSet
from pipeline.sources import listing, statistics, statistics_figure
from stages import DATA, METRICS, entry


def run(params: Params) -> None:
    """Measure derivatives, spectrum and scale of every set, against run.paths.natural where it is given."""
    most = params.statistics.images
    sets = {}
    for name in params.sets:
        shards = ShardSet(DATA / "sources" / name)
        sets[name] = statistics.measure(shards.image(row) for row in range(min(most, len(shards))))
    natural = _natural(params.run.paths.natural, most)
    artifacts.write_json(METRICS / "statistics.json", statistics.compare(sets, natural))
    artifacts.write_bytes(DATA / "statistics.svg", statistics_figure.svg(sets, natural))


def _natural(folder: str | None, most: int) -> statistics.Measured | None:
    if folder is None:
        return None
    paths = listing.image_files(Path(folder))[:most]
    if not paths:
        raise listing.SourceError(f"run.paths.natural: {folder} has no images ({', '.join(listing.SUFFIXES)})")
    return statistics.measure(images.read(path) for path in paths)


if __name__ == "__main__":
    entry(run)

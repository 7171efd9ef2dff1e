"""quality@{set}: full-reference metrics of every sample against its pristine image (data/quality/{set}.parquet)."""

from __future__ import annotations

from pipeline import artifacts
from pipeline.folders import folder_lock
from pipeline.params import Params
from pipeline.quality import QualityJob, measure, quality_table
from pipeline.shards.reader import ShardSet
from stages import DATA, LOCKS, engine, entry


def run(params: Params, set_name: str) -> None:
    """Compare every sample of a distorted set with its source's pristine image, by several metrics."""
    shards = ShardSet((DATA / "distorted" / set_name).resolve())
    folder, metrics = (DATA / "quality" / set_name).resolve(), params.quality[set_name].metrics
    job = QualityJob(set_name, shards.folder, shards.fingerprint, metrics, folder)
    with folder_lock(folder, LOCKS):
        parts = engine(params.run).map(measure, job.tasks(shards), describe=f"quality {set_name}")
        table = quality_table(job, parts)
    artifacts.write_table(DATA / "quality" / f"{set_name}.parquet", table, byte_stream_split=metrics)


if __name__ == "__main__":
    entry(run, "set")

"""transfer@{run}: a network trained on some types of one database, judged on another (data/models/{run}/)."""

from __future__ import annotations

import numpy as np

from pipeline import Refusal, artifacts
from pipeline.databases.pixels import TableImages
from pipeline.domains import selected
from pipeline.encoder import read_card
from pipeline.evaluation import Protocol, across, limited_to_types, splits_of
from pipeline.folders import folder_lock
from pipeline.labels import TYPES
from pipeline.params import Params
from stages import DATA, LOCKS, METRICS, entry
from stages.evaluate import checked
from stages.finetuning import database_of, finetuning


def run(params: Params, name: str) -> None:
    """Train on the chosen types of each split of the source, and predict every image of the target."""
    line, knobs = params.transfer[name], params.transfer_of(name)
    source, target = database_of(params, line.source), database_of(params, line.target)
    checked(params, line.encoder, read_card(DATA / "models" / line.encoder), source.images, source.manifest)
    similarities = artifacts.read_table(DATA / "domains" / f"{line.domains}.parquet")
    types = {"all": range(1, TYPES + 1), "selected": selected(similarities, line.rule)}.get(str(line.types), line.types)
    if not list(types):
        raise Refusal(f"transfer.{name}.types: {line.rule} of domains.{line.domains} selects none")
    before = checked(params, line.encoder, read_card(DATA / "models" / line.encoder), target.images, target.manifest)
    if not before.seen.judged(target.names).any():
        raise Refusal(f"transfer.{name}.target: {line.encoder} has seen every image of {line.target}")
    protocol = Protocol.of(
        params.evaluate, source.manifest, seed=params.seed, memory=params.run.memory, split_file=None
    )
    drawn = splits_of(source.scored, protocol, line.source)[: knobs.splits]
    splits = limited_to_types(drawn, source.scored, source.manifest, [int(number) for number in types])
    made = finetuning(params, name, line, knobs, source, splits[0].index)
    with folder_lock(made.run.checkpoints, LOCKS):
        for split in splits:
            made.tune(split)
        seen = checked(params, name, read_card(made.run.out), target.images, target.manifest).seen
        rows = np.flatnonzero(seen.judged(target.names))
        images = TableImages(target.scored.take(rows), target.root)
        predictions = {
            (f"{line.mode}_{view}", split.index): target.scale.opinions(answers)
            for split in splits
            for view, answers in made.answers_to(split, images).items()
        }
        table, figures = across(predictions, target.scored, rows, encoder=name, database=line.target)
        artifacts.write_table(made.run.out / "predictions" / f"{line.target}.parquet", table)
        selection = {"all": "all", "selected": line.rule}.get(str(line.types), "types")
        asked = {"begun_from": line.encoder, "source": line.source, "selection": selection}
        trained = {"types": [int(number) for number in types]}
        artifacts.write_json(METRICS / "transfer" / f"{name}.json", {**figures, **asked, **trained})


if __name__ == "__main__":
    entry(run, "name")

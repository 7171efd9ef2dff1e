"""finetune@{run}: opinions learnt on top of an encoder, and predicted (data/models/{run}/)."""

from __future__ import annotations

from pipeline import artifacts
from pipeline.encoder import CARD, read_card
from pipeline.evaluation import Part, Protocol, labelled_split, predictions_table, splits_of
from pipeline.features import read_features, weights_sha256
from pipeline.folders import folder_lock
from pipeline.params import Params
from stages import DATA, LOCKS, entry
from stages.evaluate import checked
from stages.finetuning import database_of, finetuning


def run(params: Params, name: str) -> None:
    """Train a network on each split, predict its test part, and keep the first network as an encoder."""
    line, knobs = params.finetune[name], params.finetuning_of(name)
    database, encoder, file = (
        database_of(params, line.database),
        DATA / "models" / line.encoder,
        f"{line.database}.parquet",
    )
    protocol = Protocol.of(
        params.evaluate,
        database.manifest,
        seed=params.seed,
        memory=params.run.memory,
        split_file=params.run.paths.splits.get(line.database),
        validation=knobs.validation,
    )
    seen = checked(params, line.encoder, read_card(encoder), database.images, database.manifest).seen
    permitted, _ = seen.permitted(splits_of(database.scored, protocol, line.database), database.names)
    numbers = [split.index for split in permitted[: knobs.splits]]
    splits = [labelled_split(database.scored, protocol, line.database, number) for number in numbers]
    features = None
    if line.mode == "lp":
        stored, table = DATA / "features" / line.encoder / file, DATA / "databases" / file
        features = read_features(stored, weights=weights_sha256(encoder), database=table).of_images(database.names)
    made = finetuning(params, name, line, knobs, database, numbers[0], features)
    with folder_lock(made.run.checkpoints, LOCKS):
        parts = [
            Part("nr", f"{line.mode}_{view}", split.index, "test", split.test, database.scale.opinions(answers))
            for split in splits
            for view, answers in made.answers(split).items()
        ]
        out = made.run.out / "predictions" / file
        artifacts.write_table(out, predictions_table(database.scored, parts, encoder=name, database=line.database))
        own = {**read_card(made.run.out), "predictions": {line.database: artifacts.sha256_file(out)}}
        artifacts.write_json(made.run.out / CARD, own)


if __name__ == "__main__":
    entry(run, "name")

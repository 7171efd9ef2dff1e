"""finetune@{run}: opinions learnt on top of an encoder, and predicted (data/models/{run}/)."""

from __future__ import annotations

from pipeline import artifacts
from pipeline.databases import load_manifest
from pipeline.devices import Device, resolve_device, resolve_precision
from pipeline.encoder import CARD, read_card
from pipeline.evaluation import Part, Protocol, labelled_split, predictions_table, scored_images, splits_of, trained_on
from pipeline.features import read_features, weights_sha256
from pipeline.folders import folder_lock
from pipeline.params import Params
from pipeline.training.finetuning import FineTuning
from pipeline.training.launch import ranks_for
from pipeline.training.loop import Run
from pipeline.training.methods.regression import OpinionScale
from stages import DATA, LOCKS, entry, workers
from stages.evaluate import checked


def run(params: Params, name: str) -> None:
    """Train a network on each split, predict its test part, and keep the first network as an encoder."""
    line, knobs, device = params.finetune[name], params.finetuning_of(name), resolve_device(params.run.device)
    root, encoder, file = (
        params.database_folder(line.database),
        DATA / "models" / line.encoder,
        f"{line.database}.parquet",
    )
    manifest, card, path = load_manifest(line.database, root), read_card(encoder), DATA / "databases" / file
    images = artifacts.read_table(path)
    scored, given, memory = scored_images(images), params.run.paths.splits.get(line.database), params.run.memory
    shares, names = {"validation": knobs.validation}, scored["image_id"].to_pylist()
    protocol = Protocol.of(params.evaluate, manifest, seed=params.seed, memory=memory, split_file=given, **shares)
    seen = checked(params, line.encoder, card, images, manifest).seen
    permitted, _ = seen.permitted(splits_of(scored, protocol, line.database), names)
    splits = [labelled_split(scored, protocol, line.database, s.index) for s in permitted[: knobs.splits]]
    features = None
    if line.mode == "lp":
        stored, weights = DATA / "features" / line.encoder / file, weights_sha256(encoder)
        features = read_features(stored, weights=weights, database=path).of_images(names)
    scale = OpinionScale.of(manifest)
    ranks = device.ranks if device.kind == "cuda" else ranks_for(knobs.batch, workers(params.run))
    tuning = FineTuning(
        Run(
            name=name,
            out=DATA / "models" / name,
            checkpoints=DATA / "checkpoints" / name,
            device=Device(device.kind, ranks),
            threads=params.run.threads or 1,
            precision=resolve_precision(knobs.precision, device),
            provenance={"trained_on": trained_on(card)},
        ),
        mode=line.mode,
        encoder=encoder,
        database=line.database,
        table=scored,
        root=root,
        targets=scale.targets(scored["mos"].to_numpy()),
        params=knobs,
        seed=params.seed,
        first=splits[0].index,
        features=features,
        opinions=card.get("opinions", []),
        cache=params.run.cache,
    )
    with folder_lock(tuning.run.checkpoints, LOCKS):
        parts = [
            Part("nr", f"{line.mode}_{view}", split.index, "test", split.test, scale.opinions(answers))
            for split in splits
            for view, answers in tuning.answers(split).items()
        ]
        out = tuning.run.out / "predictions" / file
        artifacts.write_table(out, predictions_table(scored, parts, encoder=name, database=line.database))
        own = {**read_card(tuning.run.out), "predictions": {line.database: artifacts.sha256_file(out)}}
        artifacts.write_json(tuning.run.out / CARD, own)


if __name__ == "__main__":
    entry(run, "name")

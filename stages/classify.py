"""classify@{run}: a classifier of the 25 types, and its confusions (data/models/{run}/, metrics/classify/)."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline import artifacts
from pipeline.folders import folder_lock
from pipeline.labels import CLASSES
from pipeline.params import Params
from pipeline.shards.decoded import Subset
from pipeline.shards.plan import held_out
from pipeline.shards.reader import ShardSet
from pipeline.training.confusion import Logits, confusion, predicted_types
from pipeline.training.loop import train
from pipeline.training.methods.classifier import Classifier, load_classifier, outputs_of
from stages import DATA, LOCKS, METRICS, entry
from stages.training import begun_from, training_run

LOOKED_AT = 2  # held-out sources in a look while it trains


def run(params: Params, name: str) -> None:
    """Train on all but the last `probe.sources` sources of the run's set, and test on those."""
    set_name, knobs = params.classify[name].set, params.classification_of(name)
    shards = ShardSet(DATA / "distorted" / set_name)
    held = held_out(shards.sources, params.probe.sources)
    distorted = np.flatnonzero(held & (shards.labels > 0) & (shards.labels < CLASSES))
    few = distorted[np.isin(shards.sources[distorted], np.unique(shards.sources[distorted])[:LOOKED_AT])]
    encoder, provenance = begun_from(params.classify[name].encoder)
    provenance |= {"trained_on": set_name}
    training = training_run(
        params, name, batch=knobs.batch, precision=knobs.precision, ema=knobs.ema, provenance=provenance
    )
    images = Subset(shards, np.flatnonzero(~held))
    make = partial(
        Classifier,
        images=images,
        params=knobs,
        seed=params.seed,
        encoder=encoder,
        cache=params.run.cache,
        validation=partial(_accuracy, shards, few),
    )
    with folder_lock(training.checkpoints, LOCKS):
        train(training, make)
    classifier = load_classifier(training.out, torch.device(training.device.kind))
    predicted = predicted_types(classifier.of_image, shards, distorted, f"classify {name} {set_name}")
    figures = confusion(shards.labels[distorted].astype(np.int64), predicted)
    artifacts.write_json(METRICS / "classify" / f"{name}.json", {"classifier": name, "sets": {set_name: figures}})


def _accuracy(shards: ShardSet, rows: NDArray[np.int64], logits: Logits) -> float:
    predicted = predicted_types(logits, shards, rows, "held-out sources")
    return float(np.mean(predicted == outputs_of(shards.labels[rows], pristine=True)))


if __name__ == "__main__":
    entry(run, "name")

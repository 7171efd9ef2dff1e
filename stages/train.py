"""train@{run}: an encoder that tells the classes of a set apart (data/models/{run}/)."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import numpy as np

from pipeline.devices import Device, cores
from pipeline.folders import folder_lock
from pipeline.params import Params, ParamsError, TrainingParams
from pipeline.shards.decoded import LabelledImages, Subset
from pipeline.shards.plan import held_out
from pipeline.shards.reader import ShardSet
from pipeline.shards.streamed import StreamedImages
from pipeline.training.authentic import Mixture
from pipeline.training.launch import joined
from pipeline.training.loop import train
from pipeline.training.methods.contrastive import Contrastive
from pipeline.training.probe import HeldOut
from stages import DATA, LOCKS, entry
from stages.training import begun_from, training_run

PROBED = 4  # sources


def run(params: Params, name: str) -> None:
    """Train a run's encoder on all but the last `probe.sources` sources of its set. Under torchrun, be one rank."""
    set_name, knobs = params.train[name].set, params.training_of(name)
    shards = ShardSet(DATA / "distorted" / set_name)
    held = held_out(shards.sources, params.probe.sources)
    images: LabelledImages | StreamedImages = _images(params, knobs, shards, held)
    if url := params.train[name].stream:
        per_class, buffer = knobs.images_per_class if knobs.class_balanced else 1, params.train[name].buffer
        kept_out = frozenset(np.unique(shards.sources[held]).tolist())
        images = StreamedImages(url, knobs.batch, params.seed, per_class, buffer, exclude=kept_out)
        if (theirs := images.stream.manifest.get("set")) != set_name:  # the probe and the search for leaks go by it
            raise ParamsError(f"train.{name}.stream: {url} holds the set {theirs}, not {set_name} (train.{name}.set)")
    probe = HeldOut.of(shards, params.probe).first(PROBED)
    encoder, provenance = begun_from(params.train[name].encoder)
    provenance |= {"trained_on": set_name, "authentic_set": knobs.authentic_set} | ({"stream": url} if url else {})
    training = training_run(
        params, name, batch=knobs.batch, precision=knobs.precision, ema=knobs.ema, provenance=provenance
    )
    device, local = training.device, os.environ.get("LOCAL_RANK")
    readers = max(1, cores() // int(os.environ.get("LOCAL_WORLD_SIZE", device.ranks))) if device.kind == "cuda" else 1
    if local is not None:  # a launcher has started the ranks
        training = replace(training, device=Device(device.kind))
    method = partial(
        Contrastive,
        images=images,
        params=knobs,
        seed=params.seed,
        encoder=encoder,
        cache=params.run.cache,
        readers=readers,
        probe=probe,
    )
    with joined(device.kind, None if local is None else int(local)) as rank:
        with folder_lock(training.checkpoints, LOCKS) if rank == 0 else nullcontext():
            train(training, method)


def _images(params: Params, knobs: TrainingParams, shards: ShardSet, held: np.ndarray) -> LabelledImages:
    """The images to train on: never those of a source that is probed on."""
    distorted, name = Subset(shards, np.flatnonzero(~held)), knobs.authentic_set
    if name is None:
        return distorted
    theirs = ShardSet(DATA / "sources" / name)
    kept_out = held_out(theirs.sources, params.probe.sources) & (name in params.probe_sets)
    return Mixture(distorted if knobs.authentic == "half" else None, Subset(theirs, np.flatnonzero(~kept_out)))


if __name__ == "__main__":
    entry(run, "name")

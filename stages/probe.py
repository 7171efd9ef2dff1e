"""probe@{encoder}: how well a linear map of the features tells type and class (metrics/probe/{encoder}.json)."""

from __future__ import annotations

from pipeline import artifacts
from pipeline.devices import resolve_device, resolve_precision
from pipeline.features import load_extractor
from pipeline.params import Params
from pipeline.shards.reader import ShardSet
from pipeline.training.probe import HeldOut
from stages import DATA, METRICS, entry, feature_engine


def run(params: Params, encoder: str) -> None:
    """Probe an encoder on the held-out sources of the sets; of a metric, which has no features, write that."""
    path = METRICS / "probe" / f"{encoder}.json"
    if params.is_metric(encoder):
        artifacts.write_json(path, {"encoder": encoder, "sets": {}, "note": "a metric has no features to probe"})
        return
    device = resolve_device(params.run.device)
    precision = resolve_precision(params.probe.precision, device)
    extractor = load_extractor(DATA / "models" / encoder, device=device.kind, precision=precision)
    accuracies = {}
    for name in params.probe_sets:
        held_out = HeldOut.of(ShardSet(DATA / "distorted" / name), params.probe)
        accuracies[name] = held_out(extractor, f"probe {encoder} {name}", feature_engine(params.run, device))
    artifacts.write_json(path, {"encoder": encoder, "weights_sha256": extractor.sha256, "sets": accuracies})


if __name__ == "__main__":
    entry(run, "encoder")

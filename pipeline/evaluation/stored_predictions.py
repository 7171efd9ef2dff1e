"""Predictions that a network made itself (finetune@{run}): checked against the protocol, measured as all others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.encoder import provenance
from pipeline.evaluation.leaks import LeakError, SeenOpinions
from pipeline.evaluation.predictions import only_value
from pipeline.evaluation.protocol import Protocol, labelled_split, scored_images, splits_of
from pipeline.evaluation.results import FitFacts, metrics_of
from pipeline.evaluation.splits import shared_groups


def evaluate_stored(
    predictions: pa.Table,
    images: pa.Table,
    protocol: Protocol,
    *,
    card: Mapping[str, object],
    sha256: Mapping[str, str],
    seen: SeenOpinions,
) -> dict[str, object]:
    """The metrics of stored ``predictions`` on a database (its table ``images``), of one network a split, of which the
    first lies beside its ``card``.

    :class:`LeakError` if the test parts are not those of the protocol (a network may then have trained on them), or if
    the first network has ``seen`` an opinion of its own.
    """
    scored = scored_images(images)
    names, groups = scored["image_id"].to_pylist(), scored["group"].to_pylist()
    encoder, database = only_value(predictions, "encoder"), only_value(predictions, "database")
    splits = {split.index: split for split in splits_of(scored, protocol, database, sha256=sha256)}
    tested = sorted(set(predictions["split"].to_pylist()))
    for index in tested:
        rows = predictions.filter(pc.and_(pc.equal(predictions["split"], index), pc.equal(predictions["part"], "test")))
        if index not in splits or set(rows["image_id"].to_pylist()) != {names[row] for row in splits[index].test}:
            raise LeakError(
                f"{encoder} on {database}: split {index} has another test part now than when it was trained (seed, "
                "evaluate.protocol, run.paths.splits); run finetune again"
            )
    seen.permitted([splits[tested[0]]], names)
    regressors, made = dict.fromkeys(predictions["regressor"].to_pylist()), provenance(card)
    facts = {
        "begun_from": made["begun_from"],
        "mode": made["mode"],
        "protocol": protocol.name,
        "higher_is_better": scored["higher_is_better"][0].as_py(),
        "weights_sha256": card.get("sha256"),
        "dim": card.get("dim"),
        "images": len(scored),
        "groups": len(set(groups)),
        "non_finite": [],
    }
    trained = replace(protocol, validation=made["params"]["validation"])
    counts = {}
    for index in tested:
        split = labelled_split(scored, trained, database, index)
        counts[index] = FitFacts(len(split.train), len(split.val), shared_groups(split, groups))
    fits = {("nr", name, index): counts[index] for name in regressors for index in tested}
    return metrics_of(predictions, facts, fits)

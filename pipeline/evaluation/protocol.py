"""The protocol: splits, a regressor for each, predictions of the test parts, measures and their medians.

The result depends on the feature table, the manifest's declarations, the parameters and the seed, and on nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import engine
from pipeline.databases import Manifest
from pipeline.evaluation.leaks import SeenOpinions, check_parts
from pipeline.evaluation.predictions import Part, only_value, predictions_table
from pipeline.evaluation.regressors import (
    RegressionData,
    Regressor,
    Ridge,
    Svr,
    TooLarge,
    open_features,
    workers_within,
)
from pipeline.evaluation.results import FitFacts, metrics_of
from pipeline.evaluation.splits import (
    Split,
    SplitError,
    leave_one_group_out,
    official_split,
    random_splits,
    read_splits,
    shared_groups,
    with_validation,
)
from pipeline.features import FeatureTable
from pipeline.params import EvaluateParams, SvrParams

REGRESSORS = ("ridge", "svr")


@dataclass(frozen=True)
class Protocol:
    """What is done. ``name``: ``random`` | ``leave_one_group_out`` | ``official``, or ``imported``, which
    ``split_file`` gives (splits.read_splits); ``lambdas`` ascending; the first of ``regressors`` is the headline.

    ``validation`` is the share of the groups in a random split's validation part. ``stratified`` and ``shares_groups``
    are the manifest's declarations (splits.random_splits, splits.official_split);
    ``memory`` is how many bytes features and sums may take: a table that does not fit is read block by block each time,
    by as many threads as fit. It changes no result.
    """

    name: str
    lambdas: tuple[float, ...] = tuple(np.geomspace(1e-3, 1e3, 13).tolist())
    splits: int = 10
    validation: float = 0.1
    seed: int = 0
    min_groups: int = 5
    stratified: bool = False
    shares_groups: bool = False
    memory: int = 2**31
    regressors: tuple[str, ...] = ("ridge",)
    svr: SvrParams = field(default_factory=SvrParams)
    split_file: Path | None = None

    @classmethod
    def of(
        cls,
        knobs: EvaluateParams,
        manifest: Manifest,
        *,
        seed: int,
        memory: int,
        split_file: str | None,
        validation: float = 0.1,
    ) -> Protocol:
        """What params.yaml's section ``evaluate`` and the manifest of a database ask for."""
        declared = manifest.protocol if knobs.protocol == "manifest" else knobs.protocol
        return cls(
            name="imported" if split_file else declared,
            lambdas=knobs.lambdas,
            splits=knobs.splits,
            validation=validation,
            seed=seed,
            min_groups=knobs.min_validation_groups,
            stratified=manifest.stratified,
            shares_groups=manifest.official_shares_groups,
            memory=memory,
            regressors=knobs.regressors,
            svr=knobs.svr,
            split_file=Path(split_file) if split_file else None,
        )


def evaluate(
    table: FeatureTable,
    protocol: Protocol,
    *,
    sha256: Mapping[str, str] | None = None,
    seen: SeenOpinions | None = None,
) -> tuple[pa.Table, dict[str, object]]:
    """The predictions table and the metrics of one encoder on one database, NR, and FR where there are references.

    ``sha256`` (of each image, by image_id) has equal images looked for in two parts of a split. Splits whose test part
    the encoder has ``seen`` opinions of are left out, and the metrics say why (``refused_splits``). Raises
    ``SplitError`` or ``LeakError`` for splits that leak, ``FeatureError`` for features that can't be used and
    ``TooLarge`` if the headline regressor can't take the table; a further one that can't is left out, and the metrics
    say why (``skipped``).
    """
    sources = open_features(table, memory=protocol.memory)
    rows = sources["nr"].rows
    scored = table.columns if len(rows) == len(table) else table.columns.take(pa.array(rows))
    groups, mos = np.asarray(scored["group"].to_pylist()), scored["mos"].to_numpy().astype(np.float64)
    encoder, database = only_value(scored, "encoder"), only_value(scored, "database")
    splits = splits_of(scored, protocol, database, sha256=sha256)
    splits, refused = (seen or SeenOpinions()).permitted(splits, scored["image_id"].to_pylist())
    parts: list[Part] = []
    fits: dict[tuple[str, str, int], FitFacts] = {}
    skipped: dict[str, str] = {}
    for name, regressor in regressors_of(protocol).items():
        try:
            regressor.check(len(scored), table.dim)
        except TooLarge as error:
            if name == protocol.regressors[0]:
                raise
            skipped[name] = str(error)
            continue
        for mode, features in sources.items():
            data = RegressionData(features, mos, groups, workers_within(protocol.memory, table.dim))
            title = f"evaluate {encoder} {database} {mode} {name}"
            for split in engine.progress(splits, total=len(splits), describe=title):
                fitted = regressor.fit(data, split)
                penalty = fitted.settings.get("lambda")
                val = split.val[: len(fitted.val)]
                parts.append(Part(mode, name, split.index, "val", val, fitted.val, penalty))
                parts.append(Part(mode, name, split.index, "test", split.test, fitted.test, penalty))
                counts = (len(split.train), len(split.val), shared_groups(split, groups))
                fits[mode, name, split.index] = FitFacts(*counts, fitted.rule, fitted.settings, fitted.at_edge)
    predictions = predictions_table(scored, parts, encoder=encoder, database=database)
    facts = facts_of(table, scored, protocol.name, skipped=skipped, refused_splits=refused)
    return predictions, metrics_of(predictions, facts, fits)


def regressors_of(protocol: Protocol) -> dict[str, Regressor]:
    """name -> regressor, the headline first; ``ValueError`` for a name that is none of :data:`REGRESSORS`."""
    known: dict[str, Regressor] = {
        "ridge": Ridge(protocol.lambdas, protocol.min_groups),
        "svr": Svr(protocol.svr, protocol.seed, protocol.min_groups),
    }
    for name in protocol.regressors:
        if name not in known:
            raise ValueError(f"regressors: {name!r} is not one of {', '.join(known)}")
    return {name: known[name] for name in protocol.regressors}


def splits_of(
    scored: pa.Table, protocol: Protocol, database: str, *, sha256: Mapping[str, str] | None = None
) -> list[Split]:
    """The splits of ``protocol`` over the rows of ``scored``: a feature table's columns, or the database's own table.

    ``LeakError`` if images of equal ``sha256`` (by image_id) are in two parts.
    """
    groups, names = (scored[name].to_pylist() for name in ("group", "image_id"))
    if protocol.split_file is not None:
        splits = read_splits(protocol.split_file, names, groups)
    elif protocol.name == "leave_one_group_out":
        splits = leave_one_group_out(groups)
    elif protocol.name == "official":
        given, shares = scored["official_split"].to_pylist(), protocol.shares_groups
        splits = [official_split(given, groups, seed=protocol.seed, database=database, shares_groups=shares)]
    elif protocol.name == "random":
        strata = scored["stratum"].to_pylist() if protocol.stratified else None
        splits = random_splits(
            groups,
            seed=protocol.seed,
            database=database,
            count=protocol.splits,
            strata=strata,
            validation=protocol.validation,
        )
    else:
        raise ValueError(f"protocol: {protocol.name!r} is not one of random, leave_one_group_out, official")
    if sha256 is not None:
        check_parts(splits, [sha256[name] for name in names])
    return splits


def scored_images(images: pa.Table) -> pa.Table:
    """The rows of a database's table that have an opinion, which splits are made of."""
    return images.filter(pc.and_(pc.invert(images["is_reference"]), images["mos"].is_valid()))


def labelled_split(scored: pa.Table, protocol: Protocol, database: str, number: int) -> Split:
    """The split of this number of a database's :func:`scored_images`, with a validation part whatever the protocol, for
    training that stops by itself. :class:`SplitError` where there are not so many.
    """
    names, hashes, groups = (scored[column].to_pylist() for column in ("image_id", "sha256", "group"))
    splits = splits_of(scored, protocol, database, sha256=dict(zip(names, hashes, strict=True)))
    if number >= len(splits):
        raise SplitError(f"split {number}: {database} has {len(splits)} under its protocol, the first is 0")
    return with_validation(splits[number], groups, protocol.validation, seed=protocol.seed, database=database)


def test_to_train(images: pa.Table, protocol: Protocol, database: str) -> float:
    """Test to training images over all splits of a database (its table): 2/7 for parts of 70 / 10 / 20 %."""
    splits = splits_of(scored_images(images), protocol, database)
    return sum(len(split.test) for split in splits) / max(1, sum(len(split.train) for split in splits))


def facts_of(table: FeatureTable, scored: pa.Table, protocol: str, **left_out: Mapping[str, str]) -> dict[str, object]:
    """What the metrics say of a feature table, whatever was done with it; and of what was left out, if anything was."""
    directions = scored["higher_is_better"].unique().to_pylist()
    if len(directions) != 1:
        raise ValueError(f"{table.path}: higher_is_better is {directions}; one database has one direction")
    return {
        "protocol": protocol,
        "higher_is_better": directions[0],
        "weights_sha256": table.metadata.get("weights_sha256"),
        "dim": table.dim,
        "images": len(scored),
        "groups": len(scored["group"].unique()),
        "non_finite": table.metadata.get("non_finite", []),
        **{name: reasons for name, reasons in left_out.items() if reasons},
    }

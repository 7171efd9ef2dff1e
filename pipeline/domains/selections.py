"""Which types of a labelled database to train on for another one: a ridge on each selection of its types, judged there.

The protocol is the paper's (sections 4.1 and 4.5), on stored features instead of a network: each of five splits by
reference trains on four fifths of the source, restricted to the selected types, and every image of the target is
predicted. Random subsets of the same size stand beside each selection, because fewer types may do better or worse than
all of them by chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline import Refusal, engine
from pipeline.artifacts import column
from pipeline.domains.greedy import DomainGrams, GreedyPath, chosen_often, greedy_path
from pipeline.domains.similarity import RULES
from pipeline.domains.targets import selected
from pipeline.evaluation import (
    Part,
    ScoredDatabase,
    correlation_interval,
    difference_interval,
    pooled,
    predictions_table,
    rescaled,
    results_of,
    unshared_rows,
)
from pipeline.evaluation.regressors import predict
from pipeline.evaluation.splits import Split
from pipeline.labels import TYPES
from pipeline.params import GreedyParams
from pipeline.seeding import generator

PATH = pa.schema(
    [
        column("domain", pa.int16(), "distortion type, 1..25"),
        column("name", pa.string(), "of the type"),
        column("step", pa.int16(), "when it was added, from 1; null if it never was", nullable=True),
        column("srocc", pa.float64(), "on the target, trained on the types up to this step", nullable=True),
        column("low", pa.float64(), "lower end of its 95 % interval (jackknife over groups)", nullable=True),
        column("high", pa.float64(), "upper end", nullable=True),
        column("candidates", pa.int16(), "sets of types that were fitted for this step", nullable=True),
        column("chosen_share", pa.float64(), "of bootstrap resamples that choose the type", nullable=True),
        column("mean_prob", pa.float64(), "similarity of the target's images to the type"),
        column("oracle", pa.bool_(), "the target's opinions chose the path, not the similarity"),
        column("encoder", pa.string(), "whose features were used"),
        column("source", pa.string(), "the database that was trained on"),
        column("target", pa.string(), "the database that was judged on"),
    ]
)


class DomainsError(Refusal, ValueError):
    """Domains that cannot be trained on; the message names the database, or the key of params.yaml."""


@dataclass(frozen=True)
class Study:
    """``path``: schema :data:`PATH`; ``predictions``: the contract of evaluation, regressors ``ridge_SELECTION``;
    ``figures``: plain values for JSON.
    """

    path: pa.Table
    predictions: pa.Table
    figures: dict[str, Any]


@dataclass(frozen=True)
class Transfer:
    """Fits on types of ``source``, whose images have the bank's types, judged on ``target``. Lambda is one of
    ``lambdas`` (ascending).

    Groups of the source that share a picture with the target train nothing, and images whose opinions the encoder has
    seen are not judged (``bits``: as for :func:`pipeline.evaluation.cross_pairs`).
    """

    source: ScoredDatabase
    target: ScoredDatabase
    lambdas: Sequence[float]
    seed: int
    bits: int

    @cached_property
    def kept(self) -> NDArray[np.int64]:
        """Positions of the source's images that may train, ascending. ``LeakError`` if there are none."""
        return unshared_rows(self.source, self.target, self.bits)[0]

    @cached_property
    def judged(self) -> NDArray[np.int64]:
        """Positions of the target's images that may be judged, ascending. :class:`DomainsError` if there are none."""
        rows = np.flatnonzero(self.target.seen.judged(self.target.scored["image_id"].to_pylist()))
        if not len(rows):
            raise DomainsError(f"{self.target.name}: the encoder has seen the opinions of all its images")
        return rows

    @cached_property
    def domains(self) -> NDArray[np.int64]:
        """The type of each scored image of the source, int64 [n]. :class:`DomainsError` if one has none."""
        types = np.asarray(pc.fill_null(self.source.scored["type"], 0).to_numpy(), np.int64)
        if types.min() < 1 or types.max() > TYPES:
            raise DomainsError(f"{self.source.name}: not every image has a distortion type from 1 to {TYPES}")
        return types

    @cached_property
    def penalty(self) -> float:
        """The lambda of a ridge on all that may train: the path has the same one in every step."""
        return float(self.source.model("nr", self.kept, self.lambdas, self.seed).lambdas[0])

    def path(self, order: Sequence[int] | None, most: int, resamples: int) -> tuple[GreedyPath, dict[int, float]]:
        """The path in ``order``, or (None) as the target's opinions choose it; and type -> the share of ``resamples``
        of the target's groups that choose it, empty for a given order.

        :class:`DomainsError` where the Gram matrices do not fit in memory.
        """
        features, dim = self.source.features["nr"], self.source.table.dim
        count = len(np.unique(self.domains[self.kept]))
        if (needed := 8 * dim**2 * count) > self.source.memory:
            allowed = f"run.memory is {self.source.memory:,}"
            raise DomainsError(f"greedy: {count} Gram matrices of {dim:,} numbers take {needed:,} bytes; {allowed}")
        grams = DomainGrams(
            features.take(self.kept),
            rescaled(self.source.mos, self.source, self.target)[self.kept],
            self.domains[self.kept],
            standardise=bool(self.source.table.metadata.get("standardise", False)),
        )
        rows = self.judged
        target = (self.target.features["nr"].take(rows), self.target.mos[rows], self.target.groups[rows])
        path = greedy_path(grams, *target, penalty=self.penalty, order=order, most=most)
        if order is not None or not resamples:
            return path, {}
        knobs: dict[str, Any] = {"penalty": self.penalty, "most": most, "resamples": resamples}
        return path, chosen_often(grams, *target, seed=self.seed, **knobs)

    def predictions(self, selections: Mapping[str, Sequence[int]], splits: Sequence[Split]) -> Iterator[Part]:
        """A ridge on each selection in each of ``splits`` (of the source), lambda chosen inside the training part."""
        todo = [(name, split) for name in selections for split in splits]
        title = f"greedy {self.source.name} to {self.target.name}"
        for name, split in engine.progress(todo, total=len(todo), describe=title):
            rows = np.intersect1d(np.concatenate([split.train, split.val]), self.kept)
            rows = rows[np.isin(self.domains[rows], selections[name])]
            if len(np.unique(self.source.groups[rows])) < 2:
                types = ", ".join(map(str, selections[name]))
                raise DomainsError(
                    f"{self.source.name}, split {split.index}: types {types} are in fewer than two groups"
                )
            model = self.source.model("nr", rows, self.lambdas, self.seed)
            prediction = predict(self.target.features["nr"], self.judged, model)[:, 0]
            prediction = rescaled(prediction, self.source, self.target)
            yield Part("nr", f"ridge_{name}", split.index, "test", self.judged, prediction, float(model.lambdas[0]))


def study(transfer: Transfer, similarities: pa.Table, asked: GreedyParams, splits: Sequence[Split]) -> Study:
    """The greedy path, and a ridge on every selection: all types, those of each rule, of the path, of ``asked.types``,
    and random ones. ``similarities``: the target's table of ``domains@``; ``splits`` are of the source.
    """
    every = np.unique(transfer.domains[transfer.kept]).tolist()
    by_rule = {rule: [domain for domain in selected(similarities, rule) if domain in every] for rule in RULES}
    if not asked.oracle and not by_rule["mean_prob"]:
        raise DomainsError(f"{asked.domains}: mean_prob selects none of the types of {asked.source}; set oracle: true")
    if missing := [number for number in asked.types if number not in every]:
        raise DomainsError(f"greedy types: {', '.join(map(str, missing))} are no types of {asked.source}'s images")
    path, shares = transfer.path(None if asked.oracle else by_rule["mean_prob"], asked.most, asked.resamples)
    chosen = {"all": every, **by_rule, "greedy": path.chosen, "types": asked.types}
    chosen = {name: present for name, types in chosen.items() if (present := [t for t in types if t in every])}
    sizes = sorted({len(types) for types in chosen.values()} - {len(every)})
    drawn = {f"random_{n}_{k:02d}": _draw(every, n, k, transfer.seed) for n in sizes for k in range(asked.draws)}
    parts = transfer.predictions(chosen | drawn, splits)
    predictions = predictions_table(transfer.target.scored, parts, encoder=asked.encoder, database=asked.target)
    figures = {
        "encoder": asked.encoder,
        "source": asked.source,
        "database": asked.target,
        "images": len(transfer.judged),
        "trained_images": len(transfer.kept),
        "oracle": path.oracle,
        "stop": path.stop,
        "lambda": transfer.penalty,
        "path": [{"domain": step.domain, "candidates": step.candidates, **asdict(step.srocc)} for step in path.steps],
        "chosen_share": {str(domain): share for domain, share in shares.items()},
        "nr": _measured(predictions, {f"ridge_{name}": types for name, types in chosen.items()}),
        "random": _of_random(predictions, {f"ridge_{name}": types for name, types in drawn.items()}),
    }
    return Study(_path_table(path, shares, similarities, asked), predictions, figures)


def _draw(types: Sequence[int], size: int, number: int, seed: int) -> list[int]:
    chosen = generator(seed, "domains/random", size, number).permutation(len(types))[:size]
    return sorted(types[index] for index in chosen)


def _measured(predictions: pa.Table, chosen: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """regressor -> medians over the splits, the splits, its ``domains``; and of the images' mean predictions the SROCC
    (``pooled``) and its difference to all types' (``minus_all``), with intervals over the target's groups.
    """
    whole = _pooled(predictions, "ridge_all")["prediction"]
    measured = {}
    for result in results_of(_of(predictions, chosen)):
        mine = _pooled(predictions, result.regressor)
        interval = correlation_interval(mine["prediction"], mine["mos"], mine["group"])
        minus, p = difference_interval(mine["prediction"], whole, mine["mos"], mine["group"])
        more = {"domains": list(chosen[result.regressor]), "pooled": asdict(interval)}
        measured[result.regressor] = result.as_dict() | more | {"minus_all": asdict(minus) | {"p": p}}
    return measured


def _of_random(predictions: pa.Table, drawn: Mapping[str, Sequence[int]]) -> dict[str, list[dict[str, Any]]]:
    """size -> its draws, each with its types and its medians over the splits."""
    random: dict[str, list[dict[str, Any]]] = {}
    for result in results_of(_of(predictions, drawn)):
        types = list(drawn[result.regressor])
        random.setdefault(str(len(types)), []).append({"domains": types, **result.medians()})
    return random


def _of(predictions: pa.Table, regressors: Mapping[str, object]) -> pa.Table:
    return predictions.filter(pc.is_in(predictions["regressor"], pa.array(list(regressors), pa.string())))


def _pooled(predictions: pa.Table, regressor: str) -> dict[str, NDArray[Any]]:
    return pooled(predictions.filter(pc.equal(predictions["regressor"], regressor)))


def _path_table(path: GreedyPath, shares: Mapping[int, float], similarities: pa.Table, asked: GreedyParams) -> pa.Table:
    """A row for each type, those of the path first."""
    steps = {step.domain: (number, step) for number, step in enumerate(path.steps, 1)}
    rows: list[dict[str, Any]] = []
    for similar in similarities.to_pylist():
        number, step = steps.get(similar["domain"], (None, None))
        row = {name: similar[name] for name in ("domain", "name", "mean_prob")} | {"step": number}
        if step is not None:
            row |= {"srocc": step.srocc.value, "low": step.srocc.low, "high": step.srocc.high}
            row["candidates"] = step.candidates
        row |= {"chosen_share": shares.get(similar["domain"]), "oracle": path.oracle}
        rows.append(row | {name: getattr(asked, name) for name in ("encoder", "source", "target")})
    rows.sort(key=lambda row: (row["step"] or TYPES + 1, row["domain"]))
    return pa.Table.from_pylist(rows, schema=PATH)

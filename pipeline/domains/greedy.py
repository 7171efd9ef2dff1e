"""Greedy selection of source domains (paper 4, section 4.5): add the type that helps the target most, until none does.

The paper trains a network for every candidate set, 154 trainings for six chosen types. On stored features one Gram
matrix a type is enough: a candidate set's Gram matrix is the sum of its types', and a ridge on it is one solve. The fit
equals the one from the rows themselves to rounding.

Judged by the target's own opinions (``oracle``) the result is no method. The paper calls it an upper bound, but a
greedy path can end below all types. Without them the order is that of the similarity, and the opinions only measure
each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.engine import progress
from pipeline.evaluation.agreement import Interval, correlation_interval
from pipeline.evaluation.agreement.measures import srocc
from pipeline.evaluation.regressors.gram import Gram
from pipeline.evaluation.regressors.ridge import RidgeModel, fit_primal
from pipeline.seeding import generator

Vector = NDArray[np.float64]


class DomainGrams:
    """The sums of a ridge for each domain of a source database: features [n, dim], opinions [n], domains [n].

    ``standardise``: the features' units differ, and a fit scales them by their deviation over its own rows.
    """

    def __init__(
        self,
        features: NDArray[np.floating],
        opinions: Vector,
        domains: NDArray[np.integer],
        *,
        standardise: bool = False,
    ) -> None:
        self.shift, self.standardise = features.mean(axis=0, dtype=np.float64), standardise
        self.grams: dict[int, Gram] = {}
        for domain in np.unique(domains):
            rows = np.flatnonzero(domains == domain)
            gram = Gram.zeros(features.shape[1])
            gram.collect(features[rows].astype(np.float64) - self.shift, np.asarray(opinions, np.float64)[rows])
            self.grams[int(domain)] = gram

    def fit(self, domains: Sequence[int], penalty: float) -> RidgeModel:
        """A ridge with an intercept on the rows of ``domains``; ``KeyError`` for a domain without rows."""
        total = Gram.zeros(len(self.shift))
        for domain in sorted(domains):
            total.add(self.grams[domain])
        return fit_primal(total, np.array([penalty]), shift=self.shift, standardise=self.standardise)


@dataclass(frozen=True)
class Step:
    """One step of a path: the domain that was added, all domains so far in the order of their adding, and the SROCC on
    the target with its interval over the target's groups. ``candidates`` are the sets that were fitted for it.
    """

    domain: int
    domains: tuple[int, ...]
    srocc: Interval
    candidates: int


@dataclass(frozen=True)
class GreedyPath:
    """``steps`` in order; ``oracle``: the target's opinions chose them; ``stop``: why no further step follows."""

    steps: tuple[Step, ...]
    oracle: bool
    stop: str

    @property
    def chosen(self) -> tuple[int, ...]:
        """The domains of the selection."""
        return self.steps[-1].domains


class _Judge:
    """Predictions of a target by sets of domains, each set fitted once."""

    def __init__(self, grams: DomainGrams, features: NDArray[np.floating], penalty: float) -> None:
        self._grams, self._features, self._penalty = grams, features.astype(np.float64), penalty
        self._known: dict[frozenset[int], Vector] = {}

    def predict(self, domains: Sequence[int]) -> Vector:
        """float64 [n], by a ridge on ``domains``."""
        key = frozenset(domains)
        if key not in self._known:
            self._known[key] = self._grams.fit(domains, self._penalty).predict(self._features)[:, 0]
        return self._known[key]


def greedy_path(
    grams: DomainGrams,
    features: NDArray[np.floating],
    opinions: Vector,
    groups: NDArray[np.str_],
    *,
    penalty: float,
    order: Sequence[int] | None = None,
    most: int | None = None,
) -> GreedyPath:
    """The path on a target: features [n, dim], opinions [n] (higher is better, as the source's), groups [n].

    Without ``order`` each step adds the domain with the highest SROCC on the target's opinions, the lower number where
    two are equal, and the path ends where no domain raises it. With ``order`` (the selected domains, the most similar
    first) that is the path, whatever the opinions say. ``most`` ends either earlier.
    """
    judge = _Judge(grams, features, penalty)
    most = len(grams.grams) if most is None else most
    if order is None:
        path, counts = _climb(judge, sorted(grams.grams), opinions, np.arange(len(opinions)), most)
    else:
        path = [domain for domain in order if domain in grams.grams][:most]
        counts = [1] * len(path)
    if not path:
        raise ValueError("greedy selection: the source database has none of the domains asked for")
    steps = []
    for index, domain in enumerate(path):
        domains = tuple(path[: index + 1])
        interval = correlation_interval(judge.predict(domains), opinions, groups)
        steps.append(Step(domain, domains, interval, counts[index]))
    ends = {most: f"at most {most} types were asked for", len(grams.grams): "there is no further type"}
    rule = "no further type raises the SROCC" if order is None else "no further type is selected"
    return GreedyPath(tuple(steps), order is None, ends.get(len(path), rule))


def chosen_often(
    grams: DomainGrams,
    features: NDArray[np.floating],
    opinions: Vector,
    groups: NDArray[np.str_],
    *,
    penalty: float,
    seed: int,
    resamples: int = 100,
    most: int | None = None,
) -> dict[int, float]:
    """domain -> share of bootstrap resamples of the target's groups in which the greedy path chooses it."""
    judge, names = _Judge(grams, features, penalty), np.unique(groups)
    rows_of = [np.flatnonzero(groups == name) for name in names]
    counts = dict.fromkeys(sorted(grams.grams), 0)
    random = generator(seed, "domains/greedy", len(names))
    for _ in progress(range(resamples), total=resamples, describe="greedy, resamples"):
        rows = np.concatenate([rows_of[index] for index in random.integers(len(names), size=len(names))])
        path, _ = _climb(judge, sorted(grams.grams), opinions, rows, most or len(counts))
        for domain in path:
            counts[domain] += 1
    return {domain: count / resamples for domain, count in counts.items()}


def _climb(
    judge: _Judge, domains: Sequence[int], opinions: Vector, rows: NDArray[np.integer], most: int
) -> tuple[list[int], list[int]]:
    """The greedy path on ``rows`` of the target, and how many sets were tried for each of its steps."""
    path: list[int] = []
    counts: list[int] = []
    best = -np.inf
    while len(path) < most:
        left = [domain for domain in domains if domain not in path]
        scores = [srocc(judge.predict([*path, domain])[rows], opinions[rows]) for domain in left]
        if not scores or max(scores) <= best:
            break
        best = max(scores)
        path.append(left[scores.index(best)])
        counts.append(len(left))
    return path, counts

"""The metrics of one encoder on one database: metrics/evaluate/ENCODER/DATABASE.json, as it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MODES = {"nr": "no reference", "fr": "full reference"}


@dataclass(frozen=True)
class Evaluation:
    """``metrics`` is the file; ``predictions`` has, for each mode, the test predictions of the headline's regressor
    beside the opinions: two float64 vectors of equal length.
    """

    encoder: str
    database: str
    metrics: Mapping[str, Any]
    predictions: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    @property
    def is_metric(self) -> bool:
        """Whether the encoder is a quality metric, which has no features and no regressor."""
        return self.metrics.get("kind") == "metric"

    @property
    def regressor(self) -> str:
        """The regressor of the headline; ``none`` for a metric."""
        return str(self.metrics.get("regressor", "ridge"))

    @property
    def modes(self) -> list[str]:
        """The modes that were evaluated: none for a full-reference metric on a database without references."""
        return [mode for mode in MODES if mode in self.metrics]

    @property
    def splits(self) -> int:
        """The number of splits; 0 where nothing was evaluated."""
        splits = (split["split"] for mode in self.modes for split in self.headline(mode)["splits"])
        return len(set(splits))

    def title(self, mode: str) -> str:
        """The database and the mode in words."""
        return f"{self.database}, {MODES[mode]}"

    def medians(self, mode: str) -> dict[str, Mapping[str, Any]]:
        """regressor -> medians over the splits, the headline's first; empty where the mode was not evaluated."""
        figures = self.metrics.get(mode, {})
        return {name: figures[name] for name in sorted(figures, key=lambda name: name != self.regressor)}

    def headline(self, mode: str) -> Mapping[str, Any]:
        """The medians of the headline's regressor; empty where the mode was not evaluated."""
        return self.medians(mode).get(self.regressor, {})

    def fits(self, mode: str) -> list[Mapping[str, Any]]:
        """The splits of ``mode`` with the logistic that was fitted to the headline's predictions."""
        return list(self.headline(mode).get("splits", ()))

    def by_distortion(self, mode: str) -> list[Mapping[str, Any]]:
        """SROCC inside each type and each level, by the headline's predictions."""
        return list(self.headline(mode).get("types", ()))

    def remarks(self) -> list[str]:
        """What could not be done and why: metrics without references, regressors that were skipped, splits that the
        encoder has seen opinions of, bad features.
        """
        remarks = [f"{self.encoder}: {self.metrics['absent']}"] if self.metrics.get("absent") else []
        remarks += [f"{self.encoder} + {name}: {why}" for name, why in self.metrics.get("skipped", {}).items()]
        refused, bad = (len(self.metrics.get(key, ())) for key in ("refused_splits", "non_finite"))
        if refused:
            remarks.append(f"{self.encoder}: {refused} splits not judged, it has seen opinions of their test parts")
        if bad:
            remarks.append(f"{self.encoder}: {bad} images with numbers that are not finite")
        return remarks

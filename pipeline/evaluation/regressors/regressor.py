"""What a regressor is to the protocol: it says what it can take, and fits one split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pipeline import Refusal
from pipeline.evaluation.regressors.gram import RegressionData
from pipeline.evaluation.splits import Split


class TooLarge(Refusal, ValueError):
    """A table above what a regressor is fitted on; the message says how large it is and which key sets the limit."""


@dataclass(frozen=True)
class Fitted:
    """What a regressor gives for one split: predictions of ``val`` (empty unless it chose) and ``test``, the ``rule``
    that chose, the ``settings`` chosen (for JSON) and whether one of them is an end of its grid.
    """

    val: np.ndarray
    test: np.ndarray
    rule: str
    settings: Mapping[str, float]
    at_edge: bool


class Regressor(Protocol):
    """From features to opinions. A new one is a class with these two methods, named in ``protocol.regressors_of``."""

    def check(self, images: int, dim: int) -> None:
        """:class:`TooLarge` for a table of ``images`` rows of ``dim`` numbers that it is not fitted on."""

    def fit(self, data: RegressionData, split: Split) -> Fitted:
        """Fit the training part, settings chosen without the test part, and predict. ``SplitError`` where nothing can
        be chosen by.
        """

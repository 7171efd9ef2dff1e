"""Evaluation: from tables of features and opinions to predictions, correlations and intervals. It knows only tables."""

from pipeline.evaluation.compare import compare
from pipeline.evaluation.intervals import correlation_interval, difference_interval
from pipeline.evaluation.measures import Measures, measure
from pipeline.evaluation.moments import Scheduler
from pipeline.evaluation.predictions import PREDICTIONS
from pipeline.evaluation.protocol import Protocol, evaluate
from pipeline.evaluation.splits import SplitError

__all__ = [
    "PREDICTIONS",
    "Measures",
    "Protocol",
    "Scheduler",
    "SplitError",
    "compare",
    "correlation_interval",
    "difference_interval",
    "evaluate",
    "measure",
]

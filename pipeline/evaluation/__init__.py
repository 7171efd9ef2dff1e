"""Evaluation: from tables of features and opinions to predictions, correlations and intervals. It knows only tables."""

from pipeline.evaluation.ceiling import ceiling
from pipeline.evaluation.compare import compare
from pipeline.evaluation.cross import Domain, cross_pairs
from pipeline.evaluation.figures import FIGURES, figures_table
from pipeline.evaluation.intervals import correlation_interval, difference_interval
from pipeline.evaluation.leaks import LeakError, check_encoder
from pipeline.evaluation.measures import Measures, measure
from pipeline.evaluation.metric import evaluate_metric, is_metric
from pipeline.evaluation.moments import Scheduler
from pipeline.evaluation.predictions import PREDICTIONS
from pipeline.evaluation.protocol import Protocol, evaluate
from pipeline.evaluation.published import verdicts
from pipeline.evaluation.splits import SplitError
from pipeline.evaluation.svr import SvrGrid

__all__ = [
    "FIGURES",
    "Domain",
    "ceiling",
    "cross_pairs",
    "figures_table",
    "verdicts",
    "PREDICTIONS",
    "LeakError",
    "Measures",
    "Protocol",
    "Scheduler",
    "SplitError",
    "SvrGrid",
    "check_encoder",
    "compare",
    "correlation_interval",
    "difference_interval",
    "evaluate",
    "evaluate_metric",
    "is_metric",
    "measure",
]

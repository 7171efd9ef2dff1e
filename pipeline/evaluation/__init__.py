"""Evaluation: from tables of features and opinions to predictions, correlations and intervals. It knows only tables."""

from pipeline.evaluation.agreement.intervals import correlation_interval, difference_interval
from pipeline.evaluation.agreement.measures import Measures, measure
from pipeline.evaluation.agreement.noise_ceiling import noise_ceiling
from pipeline.evaluation.comparison.compare import compare
from pipeline.evaluation.comparison.cross_database import ScoredDatabase, cross_pairs
from pipeline.evaluation.comparison.published import published_figures, verdicts
from pipeline.evaluation.comparison.results_table import RESULTS, results_table
from pipeline.evaluation.leaks import LeakError, check_encoder
from pipeline.evaluation.metric import evaluate_metric, is_metric
from pipeline.evaluation.predictions import PREDICTIONS
from pipeline.evaluation.protocol import Protocol, evaluate
from pipeline.evaluation.regressors.gram import Scheduler
from pipeline.evaluation.regressors.svr import SvrGrid
from pipeline.evaluation.splits import SplitError

__all__ = [
    "RESULTS",
    "ScoredDatabase",
    "noise_ceiling",
    "cross_pairs",
    "results_table",
    "published_figures",
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

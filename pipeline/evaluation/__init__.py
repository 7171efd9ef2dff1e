"""Evaluation: from tables of features and opinions to predictions, correlations and intervals. It knows only tables."""

from pipeline.evaluation.agreement import (
    LogisticFit,
    Measures,
    correlation_interval,
    difference_interval,
    measure,
    noise_ceiling,
)
from pipeline.evaluation.comparison import (
    RESULTS,
    ScoredDatabase,
    compare,
    cross_pairs,
    open_scored,
    pooled,
    published_figures,
    rescaled,
    results_table,
    unshared_rows,
    verdicts,
)
from pipeline.evaluation.leaks import LeakError, SeenOpinions, check_encoder, seen_opinions
from pipeline.evaluation.metric import evaluate_metric, is_metric
from pipeline.evaluation.predictions import PREDICTIONS, Part, predictions_table
from pipeline.evaluation.protocol import Protocol, evaluate, labelled_split, scored_images, splits_of, test_to_train
from pipeline.evaluation.regressors import Opinions, Order, pooled_features, scored_rows, stored_fits
from pipeline.evaluation.results import FitFacts, metrics_of, results_of
from pipeline.evaluation.splits import Split, SplitError
from pipeline.evaluation.stored_predictions import evaluate_stored
from pipeline.evaluation.transfer import across, limited_to_types

__all__ = [
    "PREDICTIONS",
    "RESULTS",
    "FitFacts",
    "LeakError",
    "LogisticFit",
    "Measures",
    "Opinions",
    "Order",
    "Part",
    "Protocol",
    "ScoredDatabase",
    "SeenOpinions",
    "Split",
    "across",
    "limited_to_types",
    "SplitError",
    "check_encoder",
    "compare",
    "correlation_interval",
    "cross_pairs",
    "difference_interval",
    "evaluate",
    "evaluate_metric",
    "evaluate_stored",
    "is_metric",
    "labelled_split",
    "measure",
    "metrics_of",
    "noise_ceiling",
    "pooled_features",
    "open_scored",
    "pooled",
    "predictions_table",
    "published_figures",
    "rescaled",
    "results_of",
    "results_table",
    "scored_rows",
    "scored_images",
    "seen_opinions",
    "splits_of",
    "stored_fits",
    "test_to_train",
    "unshared_rows",
    "verdicts",
]

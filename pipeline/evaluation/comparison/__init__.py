"""Methods beside one another, across databases and beside published figures."""

from pipeline.evaluation.comparison.compare import CompareError, compare, pooled
from pipeline.evaluation.comparison.cross_database import (
    ScoredDatabase,
    cross_pairs,
    open_scored,
    rescaled,
    unshared_rows,
)
from pipeline.evaluation.comparison.published import published_figures, verdicts
from pipeline.evaluation.comparison.results_table import RESULTS, results_table

__all__ = [
    "CompareError",
    "RESULTS",
    "ScoredDatabase",
    "compare",
    "cross_pairs",
    "open_scored",
    "pooled",
    "published_figures",
    "rescaled",
    "results_table",
    "unshared_rows",
    "verdicts",
]

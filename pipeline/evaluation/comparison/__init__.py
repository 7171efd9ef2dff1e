"""Methods beside one another, across databases and beside published figures."""

from pipeline.evaluation.comparison.compare import CompareError, compare
from pipeline.evaluation.comparison.cross_database import ScoredDatabase, cross_pairs
from pipeline.evaluation.comparison.published import published_figures, verdicts
from pipeline.evaluation.comparison.results_table import RESULTS, results_table

__all__ = [
    "CompareError",
    "RESULTS",
    "ScoredDatabase",
    "compare",
    "cross_pairs",
    "results_table",
    "published_figures",
    "verdicts",
]

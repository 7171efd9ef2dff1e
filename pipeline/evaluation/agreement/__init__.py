"""Agreement of predictions with opinions: correlations, their intervals, tests, the noise ceiling."""

from pipeline.evaluation.agreement.by_distortion import by_distortion
from pipeline.evaluation.agreement.intervals import Interval, correlation_interval, difference_interval
from pipeline.evaluation.agreement.logistic import LogisticFit, fit_logistic
from pipeline.evaluation.agreement.measures import Measures, measure, srocc, srocc_within
from pipeline.evaluation.agreement.noise_ceiling import noise_ceiling
from pipeline.evaluation.agreement.significance import corrected_t, holm

__all__ = [
    "Interval",
    "LogisticFit",
    "Measures",
    "by_distortion",
    "corrected_t",
    "correlation_interval",
    "difference_interval",
    "fit_logistic",
    "holm",
    "measure",
    "noise_ceiling",
    "srocc",
    "srocc_within",
]

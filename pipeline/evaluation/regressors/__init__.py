"""Regressors from features to opinions, how their settings are chosen, and what they read."""

from pipeline.evaluation.regressors.fit_on_all import StoredFit, fit_on_all, stored_fits
from pipeline.evaluation.regressors.gram import RegressionData, workers_within
from pipeline.evaluation.regressors.ordered import Order
from pipeline.evaluation.regressors.pooled import Opinions, pooled_features
from pipeline.evaluation.regressors.regressor import Fitted, Regressor, TooLarge
from pipeline.evaluation.regressors.ridge import Ridge, RidgeModel, predict
from pipeline.evaluation.regressors.scored_features import ScoredFeatures, open_features, scored_rows
from pipeline.evaluation.regressors.svr import Svr

__all__ = [
    "Fitted",
    "Opinions",
    "Order",
    "RegressionData",
    "Regressor",
    "Ridge",
    "RidgeModel",
    "ScoredFeatures",
    "StoredFit",
    "Svr",
    "TooLarge",
    "fit_on_all",
    "open_features",
    "pooled_features",
    "predict",
    "scored_rows",
    "stored_fits",
    "workers_within",
]

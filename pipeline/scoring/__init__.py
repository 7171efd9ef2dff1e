"""Scores of files: an encoder, a regressor stored beside it, and a number in a database's own units for each image."""

from pipeline.scoring.regressor import Linear, Regressor, RegressorError, load_regressor, save_regressor
from pipeline.scoring.scorer import SCORES, Scored, Scorer, readable, score_files, scores_table
from pipeline.scoring.stored_regressors import StoredRegressor, choose_regressor, find_regressors

__all__ = [
    "SCORES",
    "Linear",
    "Regressor",
    "RegressorError",
    "Scored",
    "Scorer",
    "StoredRegressor",
    "choose_regressor",
    "load_regressor",
    "readable",
    "save_regressor",
    "score_files",
    "scores_table",
    "find_regressors",
]

"""Numbers of files: features by an encoder, and by a regressor stored beside it a score in a database's own units."""

from pipeline.scoring.files import FileRow, Measure, measure_files, readable
from pipeline.scoring.regressor import Linear, Regressor, RegressorError, load_regressor, save_regressor
from pipeline.scoring.scorer import (
    SCORES,
    ImageFeatures,
    Scorer,
    features_schema,
    features_table,
    scores_table,
)
from pipeline.scoring.stored_regressors import StoredRegressor, choose_regressor, find_encoder, find_regressors

__all__ = [
    "SCORES",
    "FileRow",
    "ImageFeatures",
    "Linear",
    "Measure",
    "Regressor",
    "RegressorError",
    "Scorer",
    "StoredRegressor",
    "choose_regressor",
    "features_schema",
    "features_table",
    "find_encoder",
    "find_regressors",
    "load_regressor",
    "measure_files",
    "readable",
    "save_regressor",
    "scores_table",
]

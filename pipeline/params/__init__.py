"""params.yaml as frozen models: its sections, the whole page, what must agree on it, and how it is read."""

from pipeline.params.loading import load
from pipeline.params.page import BASELINES, RANDOM_INIT, RELEASED, Params
from pipeline.params.sections import (
    METRICS,
    DatabaseParams,
    ParamsError,
    ReadoutParams,
    RunParams,
    SetParams,
    TrainingParams,
)

__all__ = [
    "BASELINES",
    "METRICS",
    "RANDOM_INIT",
    "RELEASED",
    "DatabaseParams",
    "Params",
    "ParamsError",
    "ReadoutParams",
    "RunParams",
    "SetParams",
    "TrainingParams",
    "load",
]

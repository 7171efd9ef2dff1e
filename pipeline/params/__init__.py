"""params.yaml as frozen models: its sections, the whole page, what must agree on it, and how it is read."""

from pipeline.params.loading import load
from pipeline.params.page import BASELINES, CLASSIFIER, RANDOM_INIT, RELEASED, Params
from pipeline.params.sections import (
    METRICS,
    ClassificationParams,
    DatabaseParams,
    EvaluateParams,
    FinetuneRun,
    FinetuningParams,
    GreedyParams,
    JointParams,
    OrderParams,
    ParamsError,
    ReadoutParams,
    RunParams,
    SetParams,
    SvrParams,
    TrainingParams,
    TransferRun,
)

__all__ = [
    "BASELINES",
    "CLASSIFIER",
    "METRICS",
    "RANDOM_INIT",
    "RELEASED",
    "ClassificationParams",
    "DatabaseParams",
    "EvaluateParams",
    "GreedyParams",
    "JointParams",
    "FinetuneRun",
    "FinetuningParams",
    "Params",
    "ParamsError",
    "OrderParams",
    "ReadoutParams",
    "RunParams",
    "SetParams",
    "SvrParams",
    "TrainingParams",
    "TransferRun",
    "load",
]

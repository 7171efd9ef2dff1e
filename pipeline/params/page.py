"""The whole of params.yaml, and what follows from it."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from pipeline.params.sections import (
    METRICS,
    ClassificationParams,
    ClassifyRun,
    DatabaseParams,
    DistortParams,
    DomainsParams,
    EvaluateParams,
    FeaturesParams,
    FinetuneRun,
    FinetuningParams,
    GreedyParams,
    IngestParams,
    JointParams,
    JointRun,
    Name,
    NiqeParams,
    ParamsError,
    PooledParams,
    ProbeParams,
    QualityParams,
    ReadoutParams,
    ReportParams,
    RunParams,
    Section,
    SetParams,
    SourcesParams,
    StatisticsParams,
    TrainingParams,
    TrainRun,
    TransferRun,
)

DRAWN_SETS = ("dead_leaves", "textured_dead_leaves", "photos")
"""Sets that need no folder."""
EMBEDDED = "photos"
"""The set that a database of the same name is made of."""
RELEASED = "released"
"""The encoder that comes with the code."""
CLASSIFIER = "released/classifier"
"""The classifier of the types that comes with the code, where it does."""
RANDOM_INIT = "random_init"
"""The network before training, its batch norms with the statistics of images."""
BASELINES = ("floor", "brisque36", *METRICS)
"""Encoders that need no images to be set up."""


class Params(Section):
    """The whole of params.yaml. Mappings and a list name what runs; the other sections hold the stages' knobs, each
    with a default: a page that lacks them is whole.
    """

    seed: int = Field(1, ge=0)
    sets: dict[Name, SetParams] = Field(min_length=1)
    databases: dict[Name, DatabaseParams] = Field(min_length=1)
    train: dict[Name, TrainRun] = {}
    joint: dict[Name, JointRun] = {}
    classify: dict[Name, ClassifyRun] = {}
    finetune: dict[Name, FinetuneRun] = {}
    domains: dict[Name, DomainsParams] = {}
    quality: dict[Name, QualityParams] = {}
    greedy: dict[Name, GreedyParams] = {}
    transfer: dict[Name, TransferRun] = {}
    readouts: dict[Name, ReadoutParams] = {}
    niqe: dict[Name, NiqeParams] = {}
    pooled: dict[Name, PooledParams] = {}
    encoders: list[Name] = Field(min_length=1)
    sources: SourcesParams = SourcesParams()
    statistics: StatisticsParams = StatisticsParams()
    distort: DistortParams = DistortParams()
    training: TrainingParams = TrainingParams()
    joint_training: JointParams = JointParams()
    classification: ClassificationParams = ClassificationParams()
    finetuning: FinetuningParams = FinetuningParams()
    probe: ProbeParams = ProbeParams()
    ingest: IngestParams = IngestParams()
    features: FeaturesParams = FeaturesParams()
    evaluate: EvaluateParams = EvaluateParams()
    report: ReportParams = ReportParams()
    run: RunParams = RunParams()

    def training_of(self, run: str) -> TrainingParams:
        """The knobs of one run: the section ``training`` with what the run's line changes."""
        return self.train[run].over(self.training)

    def joint_training_of(self, run: str) -> JointParams:
        """The knobs of one run of paper 3: the section ``joint_training`` with what the run's line changes."""
        return self.joint[run].over(self.joint_training)

    def classification_of(self, run: str) -> ClassificationParams:
        """The knobs of one classifier: the section ``classification`` with what the run's line changes."""
        return self.classify[run].over(self.classification)

    def finetuning_of(self, run: str) -> FinetuningParams:
        """The knobs of one fine-tuning: the section ``finetuning`` with what the run's line changes."""
        return self.finetune[run].over(self.finetuning)

    def transfer_of(self, run: str) -> FinetuningParams:
        """The knobs of one transfer: the section ``finetuning``, L1 and what the run's line changes."""
        line = self.transfer[run]
        return line.over(self.finetuning).model_copy(update={"loss": line.loss})

    def database_folder(self, name: str) -> Path:
        """Where a database's images are; :class:`ParamsError` for one that is not under ``databases``."""
        if name not in self.databases:
            raise ParamsError(f"{name}: not one of databases: {', '.join(self.databases)}")
        return Path(self.databases[name].folder)

    def is_metric(self, encoder: str) -> bool:
        """Whether an encoder gives one number an image, which is compared with opinions as it is."""
        return encoder in METRICS or encoder in self.niqe

    @property
    def probe_sets(self) -> tuple[str, ...]:
        """Sets whose last sources are probed on and never trained on: all but the one that a database is made of."""
        return tuple(name for name in self.sets if name != EMBEDDED) or tuple(self.sets)

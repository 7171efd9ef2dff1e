"""The sections of params.yaml, one frozen model each: unknown keys, wrong types and impossible values are refused."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar, get_args

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)

from pipeline import Refusal

T = TypeVar("T")
S = TypeVar("S", bound="Section")


def _once(values: tuple[T, ...]) -> tuple[T, ...]:
    if len(set(values)) < len(values):
        raise ValueError("each is named once")
    return values


Distinct = Annotated[tuple[T, ...], AfterValidator(_once)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]
Count = Annotated[int, Field(ge=1)]
Type = Annotated[int, Field(ge=1, le=25)]
Codec = Literal["qoi", "png", "webp", "jxl"]
Space = Literal["rgb", "lab", "hsv", "grey", "ms"]
Metric = Literal["psnr", "ssim", "ms_ssim", "gmsd", "fsim", "fsimc", "vsi", "haarpsi", "mdsi"]
METRICS: tuple[str, ...] = get_args(Metric)
"""Full-reference metrics."""
MOST_COMPOSITES = 512
Shape = Literal["disc", "ellipse", "polygon"]
ShapeOrShares = Annotated[
    Annotated[Shape, Tag("[shape]")] | Annotated[dict[Shape, Annotated[float, Field(gt=0)]], Tag("[shares]")],
    Discriminator(lambda value: "[shares]" if isinstance(value, dict) else "[shape]"),
]
"""Which of the two a value is meant as decides its message; the loader leaves tags in brackets out of a key."""


TypesOrRule = Annotated[
    Annotated[Literal["selected", "all"], Tag("[rule]")]
    | Annotated[Distinct[Type], Field(min_length=1), Tag("[types]")],
    Discriminator(lambda value: "[types]" if isinstance(value, list | tuple) else "[rule]"),
]


class ParamsError(Refusal, ValueError):
    """params.yaml is refused; the message is one line that names the key, the value and what is allowed."""


class Section(BaseModel):
    """Base of all sections: frozen, strict, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Overlay(Section):
    """A run: what it names itself, and whatever differs from a section of defaults."""

    def over(self, defaults: S) -> S:
        """``defaults`` with the knobs that this run names in their place."""
        own = {key: getattr(self, key) for key in self.model_fields_set & type(defaults).model_fields.keys()}
        return defaults.model_copy(update=own)

    @model_serializer(mode="wrap")
    def _line(self, serialise: SerializerFunctionWrapHandler) -> dict[str, object]:
        return {key: value for key, value in serialise(self).items() if key in self.model_fields_set}


class SetParams(Section):
    """A set of images to distort: one that is drawn or packaged, by its name, or a folder of the user's."""

    folder: str | None = Field(None, min_length=1, description="images of yours; null: drawn or packaged")


class DatabaseParams(Section):
    """A human-scored database and where its images are."""

    folder: str = Field(min_length=1, description="its images, scores and, if it is yours, database.yaml")


class FolderParams(Section):
    """Which images of a folder are taken as sources.

    A shard's fingerprint has these rules under the names that they were first given (``serialization_alias``), so that
    a folder's shards stay current.
    """

    min_side: int = Field(256, ge=64, serialization_alias="smallest", description="least shorter side, pixels")
    max_side: int | None = Field(
        512, ge=64, serialization_alias="largest", description="longer sides are reduced to this; null: as they are"
    )
    trim: bool = Field(True, description="cut uniform borders")
    min_contrast: float = Field(
        4.0, ge=0, serialization_alias="blank", description="least standard deviation of the luma, grey levels"
    )
    max_transparent: float = Field(
        0.5, ge=0, le=1, serialization_alias="transparent", description="largest share of transparent pixels"
    )
    allow_grey: bool = Field(True, serialization_alias="grey", description="whether images without colour are taken")

    @model_validator(mode="after")
    def _sides(self) -> FolderParams:
        if self.max_side is not None and self.max_side < self.min_side:
            raise ValueError(
                f"sources.folder.max_side: {self.max_side} is below sources.folder.min_side ({self.min_side}), "
                "so every image would be refused"
            )
        return self


class DanbooruParams(Section):
    """Which posts of a Danbooru folder may be used, where run.paths.metadata names its JSONL files."""

    release: int = Field(2021, ge=2017, description="year of the dump: s is safe to 2021, g from 2022")
    ratings: tuple[Literal["g", "s", "q", "e"], ...] = Field((), description="instead of what the release calls safe")
    exclude_tags: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _ratings_of_the_release(self) -> DanbooruParams:
        if self.release <= 2021 and "g" in self.ratings:
            raise ValueError(
                f"sources.danbooru.ratings: g is no rating of release {self.release} (s, q, e); those from 2022 have it"
            )
        return self


class SourcesParams(Section):
    """The sources of the sets. The paper gives the exponent and alpha and leaves the rest open."""

    count: Count = Field(48, description="images in each set; `photos` always has five")
    size: int = Field(256, ge=64, le=8192, description="side in pixels of a drawn image")
    r_min: float = Field(1.0, gt=0, description="smallest leaf radius, pixels")
    r_max: float | None = Field(None, gt=0, description="largest leaf radius, pixels; null: the image's side")
    exponent: float = Field(3.0, gt=1, description="the radius' density is r^-exponent")
    alpha: float = Field(0.5, ge=0, le=1, description="weight of the texture in a textured leaf")
    shape: ShapeOrShares = Field(
        "disc", description="of the leaves (the paper: discs); or the share of each in a mixture"
    )
    supersample: int = Field(1, ge=1, le=8, description="draw that many times finer, then average")
    shading: float = Field(0.0, ge=0, le=1, description="strongest ramp of light across a leaf; 0: none (the paper)")
    depth_blur: float = Field(0.0, ge=0, le=32, description="largest blur out of focus, sigma in pixels; 0: none")
    palettes: Literal["embedded", "folder", "drawn"] = Field(
        "embedded", description="of the colours: packaged photographs, those of run.paths.palettes, or drawn ones"
    )
    textures: Literal["embedded", "folder"] = Field("embedded", description="folder: the one in run.paths.textures")
    codec: Codec = "qoi"
    per_shard: Count = Field(16, description="sources in a shard, which is one task")
    folder: FolderParams = FolderParams()
    danbooru: DanbooruParams = DanbooruParams()


class StatisticsParams(Section):
    """The statistics by which sets are compared with photographs."""

    images: Count = Field(100, description="at most this many of each set (the paper: 100)")


class DistortParams(Section):
    """What is made of each source, and how it goes into shards."""

    codec: Codec = "qoi"
    block: Count = Field(4, description="sources of one task; their 126 classes are shuffled together")
    shards_per_block: int = Field(1, ge=1, le=126, description="shards that a block is split into")
    pristine: Literal["stretched", "raw"] = Field("stretched", description="label 0: the bank's identity, or the file")
    max_failed_sources: int = Field(0, ge=0, description="sources that may be left out because a class of them fails")
    composites: int = Field(
        0, ge=0, le=MOST_COMPOSITES, description="images of each source beside its 126 classes, of 2 to 5 types in turn"
    )


class TrainingParams(Section):
    """Contrastive training: the encoder, the loss and the schedule (paper 1, section 4.1, is the `paper` profile)."""

    depth: Literal[18, 34, 50] = 18
    width: int = Field(32, ge=8, le=256, description="channels of the first layer; 64 is the published networks'")
    projector_layers: int = Field(2, ge=1, le=3, description="hidden layers of the projector (CONTRIQUE's code: 1)")
    projector_width: int = Field(256, ge=8, le=8192)
    projection: int = Field(128, ge=8, le=4096, description="K, the length of what the loss compares")
    crop: int = Field(64, ge=32, le=1024, description="side of a view in pixels")
    batch: int = Field(64, ge=2, le=8192, description="images in a step, over all ranks; two crops of each")
    epochs: float = Field(8, gt=0, le=10000, description="may be a fraction: the steps are rounded")
    learning_rate: float = Field(0.1, gt=0, le=10, description="the peak")
    warmup: float = Field(1, ge=0, le=1000, description="epochs of linear warm-up")
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0, lt=1)
    decay_norms: bool = Field(False, description="whether the batch norms' scales and shifts decay too")
    temperature: float = Field(0.1, ge=0.01, le=10)
    precision: Literal["fp32", "bf16", "auto"] = Field("fp32", description="auto: bf16 where the hardware has it")
    class_balanced: bool = Field(False, description="batches of groups of one class; false: a plain permutation")
    images_per_class: int = Field(4, ge=2, le=64, description="images in such a group")
    merge_identical_classes: bool = Field(False, description="the four classes that equal the pristine image join it")
    neighbour_weight: float = Field(0.0, ge=0, le=1, description="how much of a positive a type's next level is")
    colour_spaces: Distinct[Space] = Field(
        ("rgb", "lab", "hsv", "grey", "ms"), min_length=1, description="of the views, each as likely as the others"
    )
    authentic: Literal["none", "half", "only"] = Field(
        "none", description="how much of a batch are authentic images, each a class of its own (paper 2, eq. 4)"
    )
    authentic_set: Name | None = Field(None, description="the set whose sources are the authentic images")
    probe_every: int = Field(4, ge=0, description="epochs between looks at the type accuracy; 0: never")
    ema: float | None = Field(None, gt=0, lt=1, description="decay of the weights' moving average; null: the last ones")


class TrainRun(Overlay, TrainingParams):
    """One trained encoder: its set, and what differs from the section ``training``."""

    set: Name = Field(description="the set whose distorted images it is trained on")
    encoder: Literal["random_init", "released"] = Field(
        "random_init", description="what it begins from; random_init: random weights"
    )
    stream: str | None = Field(
        None, pattern="^(https?|file):", description="URL of a distorted set that is trained on instead, as it streams"
    )
    buffer: int = Field(2048, ge=64, description="encoded images of the stream that a rank draws its steps from")


class ClassificationParams(Section):
    """Classifiers of the distortion types (paper 4, section 4.1, is the `paper` profile)."""

    depth: Literal[18, 34, 50] = Field(18, description="of a network that begins from random weights")
    width: int = Field(16, ge=8, le=256, description="channels of its first layer; 64 is the published networks'")
    pristine: bool = Field(False, description="a 26th output for pristine images (the paper's code)")
    crop: int = Field(64, ge=32, le=1024, description="side of a crop in pixels (the paper: 224)")
    batch: int = Field(32, ge=2, le=8192, description="images in a step, over all ranks")
    epochs: float = Field(15, gt=0, le=10000, description="may be a fraction: the steps are rounded")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="the peak (the paper: 2e-5, from ImageNet weights)")
    warmup: float = Field(0.5, ge=0, le=1000, description="epochs of linear warm-up")
    weight_decay: float = Field(5e-4, ge=0, lt=1)
    precision: Literal["fp32", "bf16", "auto"] = Field("fp32", description="auto: bf16 where the hardware has it")
    validate_every: float = Field(4, ge=0, description="epochs between looks at held-out sources; 0: never")
    ema: float | None = Field(None, gt=0, lt=1, description="decay of the weights' moving average; null: the last ones")


class ClassifyRun(Overlay, ClassificationParams):
    """One classifier: its set, and what differs from the section ``classification``."""

    set: Name = Field(description="the set whose distorted images it is trained on")
    encoder: Name = Field(description="what it begins from: a run, released; random_init: random weights")


class JointParams(Section):
    """Contrastive training and regression in one (paper 3). The defaults are the paper's; "ours": it has none."""

    depth: Literal[18, 34, 50] = 50
    width: int = Field(64, ge=8, le=256, description="channels of the first layer; 64 is the published networks'")
    pristine: bool = Field(False, description="the pristine images as a 126th class (papers 1 and 2)")
    crop: int = Field(224, ge=32, le=1024, description="side of a crop in pixels, at full scale")
    batch: int = Field(1000, ge=2, le=8192, description="distorted images in a step, over all ranks; two crops of each")
    labelled_batch: int = Field(32, ge=1, le=8192, description="images with opinions in a step, over all ranks")
    epochs: float = Field(100, gt=0, le=10000, description="of the distorted images; the steps are rounded")
    alpha: float = Field(0.9, ge=0, le=1, description="of eq. (8): 1 is contrastive alone, 0 regression alone")
    temperature: float = Field(0.5, ge=0.01, le=10)
    average: Literal["classes", "anchors"] = Field("classes", description="what the mean of eq. (5) is taken over")
    projector_width: int = Field(2048, ge=8, le=8192, description="of the projector's one hidden layer")
    projection: int = Field(128, ge=8, le=4096, description="length of what the loss compares")
    head_width: int = Field(512, ge=8, le=8192, description="of the regression head's hidden layer")
    learning_rate: float = Field(1e-2, gt=0, le=100, description="of encoder and projector")
    head_learning_rate: float = Field(1e-4, gt=0, le=100, description="of the regression head")
    momentum: float = Field(0.9, ge=0, lt=1, description="ours")
    trust: float = Field(1e-3, gt=0, le=1, description="of LARS; ours, the usual one")
    weight_decay: float = Field(1e-6, ge=0, lt=1)
    patience: int = Field(5, ge=1, description="epochs without a lower validation loss until the rates fall; ours")
    factor: float = Field(0.1, gt=0, lt=1, description="by which they fall")
    stop_after: int | None = Field(10, ge=1, description="such epochs until the run ends; null: never; ours")
    validation: float = Field(0.2, gt=0, lt=1, description="share of the sources, and of the groups, that validate")
    class_balanced: bool = Field(False, description="batches of groups of one class; false: a plain permutation")
    images_per_class: int = Field(
        8, ge=2, le=64, description="images in such a group; 8: as in the paper's, on average"
    )
    accumulate: Literal["none", "cached"] = Field(
        "none", description="cached: the exact gradient of a batch whose crops pass the encoder in chunks"
    )
    chunk: int = Field(125, ge=1, le=8192, description="images whose two crops are a chunk, on each rank")
    precision: Literal["fp32", "bf16", "auto"] = Field("fp32", description="auto: bf16 where the hardware has it")
    ema: float | None = Field(None, gt=0, lt=1, description="decay of the weights' moving average; null: the last ones")

    @property
    def batches(self) -> list[str]:
        """The knobs of the batches that a step has: ``alpha`` may leave one of the two kinds of images out."""
        return ["batch"] * (self.alpha > 0) + ["labelled_batch"] * (self.alpha < 1)


class JointRun(Overlay, JointParams):
    """One run of paper 3: its set, its database, and whatever differs from the section ``joint_training``."""

    set: Name = Field(description="the set whose distorted images it is trained on")
    database: Name = Field(description="the database whose opinions it learns from")
    split: int = Field(
        0, ge=0, description="number of the split (as evaluate draws it) of whose test part it sees none"
    )


class FinetuningParams(Section):
    """Learning opinions on top of an encoder (paper 3, section 4.2, is the `paper` profile; its LP, FT and LP-FT)."""

    crop: int = Field(64, ge=32, le=1024, description="side of a crop in pixels (the papers: 224)")
    batch: int = Field(32, ge=2, le=8192, description="images in a step, over all ranks")
    epochs: float = Field(50, gt=0, le=10000, description="of LP, of FT, and of each half of LP-FT")
    learning_rate: float = Field(1e-5, ge=0, le=1, description="of the encoder, under Adam")
    head_learning_rate: float = Field(1e-5, gt=0, le=1, description="of the head")
    weight_decay: float = Field(0.0, ge=0, lt=1, description="added to the gradient (paper 4: 5e-4)")
    loss: Literal["mse", "l1"] = Field("mse", description="paper 3, eq. 7; or paper 4, eq. 8")
    vertical_flips: bool = Field(True, description="crops upside down as well (paper 4: left to right alone)")
    views: Distinct[Literal["five_crops", "centre", "resize"]] = Field(
        ("five_crops", "centre", "resize"), min_length=1, description="of test images; the first is the headline"
    )
    splits: Count = Field(1, description="how many of the protocol's splits are trained on, each by itself")
    validation: float = Field(0.2, gt=0, lt=1, description="share of the groups that validate (paper 3: 60/20/20 %)")
    validate_every: float = Field(1, ge=0, description="epochs between looks at the validation part; 0: never")
    patience: int | None = Field(5, ge=1, description="looks without a fall until the rates fall; null: constant rates")
    factor: float = Field(0.1, gt=0, lt=1, description="by which they fall then (paper 3, section 4.2)")
    stop_after: int | None = Field(10, ge=1, description="looks without a fall until it stops; null: never")
    precision: Literal["fp32", "bf16", "auto"] = Field("fp32", description="auto: bf16 where the hardware has it")


class FinetuneRun(Overlay, FinetuningParams):
    """Opinions of one database on top of one encoder, and whatever differs from the section ``finetuning``."""

    encoder: Name = Field(description="what it begins from: a run, released, random_init")
    database: Name = Field(description="whose opinions are learnt")
    mode: Literal["lp", "ft", "lp_ft"] = Field(description="the head alone; encoder and head; one after the other")


class DomainsParams(Section):
    """A target whose similarity to the 25 types is looked for."""

    classifier: str = Field(description="a run under `classify`, released/classifier, or a calibrated one")
    folder: str = Field(min_length=1, description="images of the target, or shards; no opinions are read")


class GreedyParams(Section):
    """Which types of a labelled database to train on for another database (paper 4, section 4.5)."""

    encoder: Name = Field(description="whose features are used, one of `encoders`")
    source: Name = Field(description="the database that is trained on; its types are the bank's")
    target: Name = Field(description="the database that is judged on")
    domains: Name = Field(description="a name under `domains`: which types the target's images resemble")
    oracle: bool = Field(
        True, description="true: the target's opinions choose the types, and judge them; false: the similarity does"
    )
    types: Distinct[Type] = Field((), description="a list of yours, judged as well")
    most: int = Field(25, ge=1, le=25, description="types that are chosen at most")
    draws: int = Field(20, ge=0, le=1000, description="random subsets of types, of each size that was selected")
    resamples: int = Field(100, ge=0, le=10000, description="of the target's groups, to see how stable the choice is")


class PoolParams(Section):
    """What is read out of an encoder: a block of numbers for each space, scale, layer and statistic, in this order."""

    layers: Distinct[Literal[1, 2, 3, 4]] = Field((4,), min_length=1, description="of the network; the papers': 4")
    statistics: Distinct[Literal["mean", "std"]] = Field(("mean",), min_length=1, description="over a layer's places")
    spaces: Distinct[Space] = Field(("rgb",), min_length=1, description="colour spaces of the images")
    scales: int = Field(2, ge=1, le=4, description="of the images, each half the last")


class QualityParams(Section):
    """Pseudo-opinions of a distorted set: its samples against their pristine images, by full-reference metrics."""

    metrics: Distinct[Metric] = Field(("psnr", "ssim", "ms_ssim", "gmsd", "haarpsi", "mdsi"), min_length=1)


class TransferRun(Overlay, FinetuningParams):
    """A network that learns the opinions of some types of one database, and is judged on another (paper 4, section
    3.3); and whatever differs from the section ``finetuning``.
    """

    encoder: Name = Field(description="what it begins from, a network")
    source: Name = Field(description="the database that is trained on; its types are the bank's")
    target: Name = Field(description="the database that is judged on; none of its opinions is read before")
    domains: Name = Field(description="a name under `domains`: which types the target's images resemble")
    types: TypesOrRule = Field(
        "selected", description="of the source: selected (by `rule`), all, or a list of their numbers"
    )
    rule: Literal["mean_prob", "top4_vote"] = Field("mean_prob", description="paper 4, eq. 6; or its code")
    mode: Literal["ft", "lp_ft"] = Field("ft", description="encoder and head; or the head first")
    loss: Literal["mse", "l1"] = Field("l1", description="paper 4, eq. 8")


class OrderParams(Section):
    """Scores that fall, from level to level, as photographs are distorted; of those no opinion is used."""

    set: Name = Field(description="the set whose sources are distorted: photographs, since drawn images do not serve")
    images: Count = Field(60, description="sources of it that are used, at most")
    weight: float = Field(10.0, gt=0, le=1000, description="of all pairs of levels together, beside all scored images")
    step: float = Field(0.05, gt=0, le=1, description="by how much a score should fall, of the range")


class PooledParams(Section):
    """A regressor on several databases together."""

    encoder: Name = Field(description="one of `encoders` that gives features")
    databases: Distinct[Name] = Field(min_length=2, description="names under `databases`; each counts alike")
    order: OrderParams | None = Field(None, description="have scores fall as distortions of a set's images grow")


class ReadoutParams(Section):
    """An encoder that is another one with another readout: the same weights (paper 2, table VII)."""

    encoder: Name
    pool: PoolParams


class NiqeParams(Section):
    """A model of natural statistics (NIQE), fitted on the pristine images of a set."""

    set: Name
    side: int = Field(96, ge=16, le=1024, multiple_of=4, description="of a patch, pixels (the paper: 96)")
    sharpness: float = Field(0.75, ge=0, lt=1, description="least sharpness of a patch, of its image's sharpest")


class ProbeParams(Section):
    """The linear probe of type and class."""

    sources: int = Field(16, ge=2, description="the last sources of each set: probed on, never trained on")
    folds: int = Field(4, ge=2, le=64, description="parts the held-out sources are split into; each is tested once")
    ridge: float = Field(10.0, gt=0, description="strength of the ridge on standardised features")
    precision: Literal["fp32", "bf16", "auto"] = Field("auto", description="of the network while probing")


class IngestParams(Section):
    """Ingestion of databases."""

    max_pixels: Count = Field(2**26, description="an image above this is refused before it is decoded")


class FeaturesParams(Section):
    """Feature extraction, at native resolution, in batches of images of one size."""

    precision: Literal["fp32", "bf16"] = Field("fp32", description="of the network; tables are float32 either way")
    batch_images: Count = Field(16, description="most images in a batch")
    batch_pixels: Count = Field(2**23, description="most pixels in a batch (one image at least)")


class SvrParams(Section):
    """The support vector regressor: its grid, and the largest table that it is fitted on."""

    c: tuple[Annotated[float, Field(gt=0)], ...] = Field((1.0, 10.0, 100.0), min_length=1)
    gamma: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (0.03, 0.1, 0.3, 1.0, 3.0), min_length=1, description="times 1 / the features' length"
    )
    max_grid_images: int = Field(2500, ge=10, description="most training images while C and gamma are chosen")
    max_images: Count = Field(10_000, description="a larger table gets no SVR")
    max_features: Count = Field(1024, description="longer features get no SVR")


class EvaluateParams(Section):
    """The protocol. Splits are by group; lambda is chosen without the test part."""

    protocol: Literal["manifest", "random", "leave_one_group_out", "official"] = Field(
        "manifest", description="manifest: the one that the database's manifest declares"
    )
    splits: int = Field(10, ge=1, le=1000, description="of the random protocol, 70/10/20 by group")
    lambda_min: float = Field(1e-3, gt=0)
    lambda_max: float = Field(1e3, gt=0)
    lambda_count: int = Field(13, ge=1, le=100, description="values, evenly spaced in the logarithm")
    min_validation_groups: int = Field(
        5, ge=2, description="with fewer, lambda is chosen by leaving one group out of train and val"
    )
    regressors: Distinct[Literal["ridge", "svr"]] = Field(
        ("ridge",), min_length=1, description="the first is the headline; a metric needs none"
    )
    svr: SvrParams = SvrParams()
    near_duplicate_bits: int = Field(
        6, ge=-1, le=24, description="perceptual hashes that differ in so many of 64 bits leak; -1: not looked at"
    )

    @property
    def lambdas(self) -> tuple[float, ...]:
        """The ridge's candidates, ascending."""
        return tuple(np.geomspace(self.lambda_min, self.lambda_max, self.lambda_count).tolist())


class ReportParams(Section):
    """The page."""

    title: str = "synthetic-iqa"
    sheet_sources: int = Field(12, ge=1, le=48, description="images of each set's contact sheet")
    sheet_source: int = Field(2, ge=0, description="the photograph shown in all its classes, by number (2: coffee)")
    embedding_images: int = Field(500, ge=10, le=2000, description="of each database in the t-SNE figure")


class PathsParams(Section):
    """Folders of the user, by name. None of them is ever written to."""

    palettes: str | None = None
    textures: str | None = None
    natural: str | None = None
    metadata: list[str] = []
    exclude_ids: str | None = None
    splits: dict[Name, str] = {}


class RunParams(Section):
    """The machine that the stages run on. DVC does not look at it; only the folders can change a result."""

    engine: Literal["serial", "processes", "ray"] = "ray"
    workers: int | None = Field(
        None, ge=1, description="null: as many as the process may use cores; a training takes one"
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(None, ge=1, description="torch threads a CPU process; null: one where it trains")
    memory: int = Field(2**31, ge=2**26, description="bytes of features that evaluate and compare may hold")
    cache: Literal["device", "host", "none"] = Field(
        "host", description="where decoded training images stay, if they fit"
    )
    paths: PathsParams = PathsParams()

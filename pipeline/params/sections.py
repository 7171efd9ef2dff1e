"""The sections of params.yaml, one frozen model each: what is not known, of the wrong type or impossible is refused."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pipeline import Refusal

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]
EncoderName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*(-[a-z]+)?$")]
Count = Annotated[int, Field(ge=1)]
EMBEDDED_SETS = ("dead_leaves", "textured_dead_leaves", "photos")
Metric = Literal["psnr", "ssim", "ms_ssim", "gmsd", "fsim", "fsimc", "vsi", "haarpsi", "mdsi", "niqe"]
Untrained = Literal["random_init", "floor", "brisque36", Metric]
METRICS = get_args(Metric)
RELEASED = "released"  # the encoder that comes with the code


class ParamsError(Refusal, ValueError):
    """params.yaml is refused; the message is one line that names the key, the value and what is allowed."""


class Section(BaseModel):
    """What all sections are: frozen, strict, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class FolderParams(Section):
    """What is asked of an image of a user's folder (sources.folder.image_filters)."""

    smallest: int = Field(256, ge=64, description="least shorter side, pixels")
    largest: int | None = Field(512, ge=64, description="longer sides are reduced to this; null: as they are")
    trim: bool = Field(True, description="cut uniform borders")
    blank: float = Field(4.0, ge=0, description="least standard deviation of the luma, grey levels")
    transparent: float = Field(0.5, ge=0, le=1, description="largest share of transparent pixels")
    grey: bool = Field(True, description="whether images without colour are taken")

    @model_validator(mode="after")
    def _sides(self) -> FolderParams:
        if self.largest is not None and self.largest < self.smallest:
            raise ValueError(
                f"sources.folder.largest: {self.largest} is below sources.folder.smallest ({self.smallest}), "
                "so every image would be refused"
            )
        return self


class PostsParams(Section):
    """Which posts of a Danbooru folder may be used, where run.paths.metadata names its JSONL files."""

    release: int = Field(2021, ge=2017, description="year of the dump: s is safe to 2021, g from 2022")
    ratings: tuple[Literal["g", "s", "q", "e"], ...] = Field((), description="instead of what the release calls safe")
    exclude_tags: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _ratings_of_the_release(self) -> PostsParams:
        if self.release <= 2021 and "g" in self.ratings:
            raise ValueError(
                f"sources.posts.ratings: g is no rating of release {self.release} (s, q, e); those from 2022 have it"
            )
        return self


class SourcesParams(Section):
    """What the sources stage draws or takes. The paper gives the exponent and alpha and leaves the rest open."""

    count: Count = Field(48, description="images in each set; `photos` has its five whatever is said here")
    size: int = Field(256, ge=64, le=8192, description="side in pixels of a drawn image")
    r_min: float = Field(1.0, gt=0, description="smallest leaf radius, pixels")
    r_max: float | None = Field(None, gt=0, description="largest leaf radius, pixels; null: the image's side")
    exponent: float = Field(3.0, gt=1, description="the radius' density is r^-exponent")
    alpha: float = Field(0.5, ge=0, le=1, description="weight of the texture in a textured leaf")
    shape: Literal["disc", "ellipse", "polygon"] = Field("disc", description="of the leaves; the paper's are discs")
    supersample: int = Field(1, ge=1, le=8, description="draw that many times finer, then average")
    palettes: Literal["embedded", "folder"] = Field("embedded", description="photographs that give the colours")
    textures: Literal["embedded", "folder"] = Field("embedded", description="folder: the one in run.paths.textures")
    codec: Literal["qoi", "png", "webp", "jxl"] = "qoi"
    per_shard: Count = Field(16, description="sources in a shard, which is one task")
    folder: FolderParams = FolderParams()
    posts: PostsParams = PostsParams()


class StatisticsParams(Section):
    """How much the sets resemble photographs."""

    images: Count = Field(100, description="at most this many of each set (the paper: 100)")


class DistortParams(Section):
    """How the 126 classes of each source go into shards."""

    codec: Literal["qoi", "png", "webp", "jxl"] = "qoi"
    block: Count = Field(4, description="sources of one task; their 126 classes are shuffled together")
    shards_per_block: int = Field(1, ge=1, le=126, description="shards that a block is split into")
    pristine: Literal["stretched", "raw"] = Field("stretched", description="label 0: the bank's identity, or the file")
    max_poisoned: int = Field(0, ge=0, description="sources that may be left out because a class of them fails")


class TrainParams(Section):
    """The encoder, the loss and the schedule (paper 1, section 4.1, is the `paper` profile)."""

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
    colour_spaces: tuple[Literal["rgb", "lab", "hsv", "grey", "ms"], ...] = Field(
        ("rgb", "lab", "hsv", "grey", "ms"), min_length=1, description="of the views, each as likely as the others"
    )
    authentic: Literal["none", "half", "only"] = Field(
        "none", description="how much of a batch are authentic images, each a class of its own (paper 2, eq. 4)"
    )
    authentic_set: Name | None = Field(None, description="the set whose sources are the authentic images")
    probe_every: int = Field(4, ge=0, description="epochs between looks at the type accuracy; 0: never")
    ema: float | None = Field(None, gt=0, lt=1, description="decay of the weights' moving average; null: the last ones")

    @field_validator("colour_spaces")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError(f"train.colour_spaces: a space is named twice in {', '.join(value)}")
        return value


class ViewedParams(Section):
    """Encoders that are judged on images in other colour spaces too (paper 2, table VII), as `{encoder}-{space}`."""

    encoders: list[Name] = Field([], description="each is set beside itself once for each space")
    spaces: list[Literal["lab", "hsv", "grey", "ms"]] = Field(["lab", "hsv", "grey", "ms"], min_length=1)

    @property
    def names(self) -> list[str]:
        """What they are called in `encoders` and `probed`."""
        return [f"{encoder}-{space}" for encoder in self.encoders for space in self.spaces]


class NiqeParams(Section):
    """The pristine model of NIQE, where `untrained` names it."""

    set: Name = Field("textured_dead_leaves", description="the set whose pristine images it is fitted on")
    side: int = Field(96, ge=16, le=1024, multiple_of=4, description="of a patch, pixels (the paper: 96)")
    sharpness: float = Field(0.75, ge=0, lt=1, description="least sharpness of a patch, of its image's sharpest")


class ProbeParams(Section):
    """The linear probe of type and class."""

    sources: int = Field(16, ge=2, description="the last sources of each trained set: never trained on, probed on")
    folds: int = Field(4, ge=2, le=64, description="parts the held-out sources are split into; each is tested once")
    ridge: float = Field(10.0, gt=0, description="strength of the ridge on standardised features")
    precision: Literal["fp32", "bf16", "auto"] = Field("auto", description="of the network while probing")


class IngestParams(Section):
    """How a database's folder becomes a table."""

    max_pixels: Count = Field(2**26, description="an image above this is refused before it is decoded")


class FeaturesParams(Section):
    """How features are extracted: native resolution, batches of images of one size."""

    precision: Literal["fp32", "bf16"] = Field("fp32", description="of the network; tables are float32 either way")
    batch_images: Count = Field(16, description="most images in a batch")
    batch_pixels: Count = Field(2**23, description="most pixels in a batch (one image at least)")


class SvrParams(Section):
    """The second regressor's grid, and up to which size it is fitted (evaluation.svr)."""

    c: tuple[Annotated[float, Field(gt=0)], ...] = Field((1.0, 10.0, 100.0), min_length=1)
    gamma: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (0.03, 0.1, 0.3, 1.0, 3.0), min_length=1, description="times 1 / numbers of a feature"
    )
    grid_images: int = Field(2500, ge=10, description="most training images while C and gamma are chosen")
    images: Count = Field(10_000, description="above, no SVR of this table")
    numbers: Count = Field(1024, description="of a feature; above, no SVR of this table")


class EvaluateParams(Section):
    """The protocol. Splits are by group; lambda never sees the test part."""

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
    regressors: tuple[Literal["ridge", "svr"], ...] = Field(
        ("ridge",), min_length=1, description="the first is the headline; a metric needs none"
    )
    svr: SvrParams = SvrParams()
    near_duplicate_bits: int = Field(
        6, ge=-1, le=24, description="perceptual hashes that differ in so many of 64 bits leak; -1: not looked at"
    )

    @model_validator(mode="after")
    def _grid_rises(self) -> EvaluateParams:
        if self.lambda_min > self.lambda_max:
            raise ValueError(f"evaluate.lambda_min: {self.lambda_min} is above evaluate.lambda_max ({self.lambda_max})")
        if len(set(self.regressors)) < len(self.regressors):
            raise ValueError(f"evaluate.regressors: {', '.join(self.regressors)} names one twice")
        return self


class ReportParams(Section):
    """What the page shows."""

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
    sets: dict[Name, str] = {}
    databases: dict[Name, str] = {}
    splits: dict[Name, str] = {}


class RunParams(Section):
    """Where and with what the stages run. Only the folders can change a result; DVC looks at none of it."""

    engine: Literal["serial", "processes", "ray"] = "ray"
    workers: int | None = Field(None, ge=1, description="null: as many as the process may use cores")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(None, ge=1, description="of torch on the CPU; null: as many as cores")
    memory: int = Field(2**31, ge=2**26, description="bytes of features that evaluate and compare may hold")
    cache: Literal["device", "host", "none"] = Field(
        "host", description="where decoded training images stay, if they fit"
    )
    paths: PathsParams = PathsParams()

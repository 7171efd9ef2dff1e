"""Every knob of params.yaml as frozen models, one a section. What is not known, of the wrong type or impossible is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]
Count = Annotated[int, Field(ge=1)]
EMBEDDED_SETS = ("dead_leaves", "textured_dead_leaves", "photos")
UNTRAINED = ("random_init", "floor")


class ParamsError(ValueError):
    """params.yaml is refused; the message is one line that names the key, the value and what is allowed."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SourcesParams(_Section):
    """What the sources stage draws or takes (sources.md's defaults; the paper leaves all but the exponent and alpha open)."""

    count: Count = Field(48, description="images in each set; `photos` has its five whatever is said here")
    size: int = Field(256, ge=64, le=8192, description="side in pixels of a drawn image")
    r_min: float = Field(1.0, gt=0, description="smallest leaf radius, pixels")
    r_max: float | None = Field(None, gt=0, description="largest leaf radius, pixels; null: the image's side")
    exponent: float = Field(3.0, gt=1, description="the radius' density is r^-exponent")
    alpha: float = Field(0.5, ge=0, le=1, description="weight of the texture in a textured leaf")
    palettes: Literal["embedded", "folder"] = Field("embedded", description="photographs that give the colours")
    textures: Literal["embedded", "folder"] = Field("embedded", description="folder: the one in run.paths.textures")
    codec: Literal["qoi", "png", "webp", "jxl"] = "qoi"
    per_shard: Count = Field(16, description="sources in a shard, which is one task")


class DistortParams(_Section):
    """How the 126 classes of each source go into shards."""

    codec: Literal["qoi", "png", "webp", "jxl"] = "qoi"
    block: Count = Field(4, description="sources of one task; their 126 classes are shuffled together")
    shards_per_block: int = Field(1, ge=1, le=126, description="shards that a block is split into")
    pristine: Literal["stretched", "raw"] = Field("stretched", description="label 0: the bank's identity, or the file")


class TrainParams(_Section):
    """The encoder and its schedule."""

    depth: Literal[18, 34, 50] = 18
    width: int = Field(32, ge=8, le=256)


class ProbeParams(_Section):
    """The linear probe of type and class."""

    sources: int = Field(16, ge=2, description="the last sources of each trained set: never trained on, probed on")


class IngestParams(_Section):
    """How a database's folder becomes a table."""

    max_pixels: Count = 2**26


class FeaturesParams(_Section):
    """How features are extracted."""

    precision: Literal["fp32", "bf16"] = "fp32"


class EvaluateParams(_Section):
    """The protocol."""

    splits: Count = 10


class ReportParams(_Section):
    """What the page shows."""

    title: str = "synthetic-iqa"
    sheet_sources: int = Field(12, ge=1, le=48, description="images of each set's contact sheet")


class PathsParams(_Section):
    """Folders of the user, by name. None of them is ever written to."""

    palettes: str | None = None
    textures: str | None = None
    sets: dict[Name, str] = {}
    databases: dict[Name, str] = {}


class RunParams(_Section):
    """Where and with what the stages run: none of it changes a result."""

    engine: Literal["serial", "processes", "ray"] = "ray"
    workers: int | None = Field(None, ge=1, description="null: as many as the process may use cores")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(None, ge=1, description="of torch on the CPU; null: as many as cores")
    paths: PathsParams = PathsParams()


class Params(_Section):
    """The whole of params.yaml."""

    seed: int = Field(ge=0)
    sets: list[Name] = Field(min_length=1)
    trained: list[Name] = Field(min_length=1)
    untrained: list[Literal["random_init", "floor"]]
    encoders: list[Name] = Field(min_length=1)
    databases: list[Name] = Field(min_length=1)
    sources: SourcesParams
    distort: DistortParams
    train: TrainParams
    probe: ProbeParams
    ingest: IngestParams
    features: FeaturesParams
    evaluate: EvaluateParams
    report: ReportParams
    run: RunParams

    @model_validator(mode="after")
    def _parts_agree(self) -> Params:
        for key, names, known in (
            ("trained", self.trained, self.sets),
            ("encoders", self.encoders, [*self.trained, *self.untrained]),
        ):
            for name in names:
                if name not in known:
                    raise ValueError(f"{key}: {name!r} is not one of {', '.join(known)}")
        for name in self.sets:
            if name not in EMBEDDED_SETS and name not in self.run.paths.sets:
                raise ValueError(f"sets: {name!r} is neither {', '.join(EMBEDDED_SETS)} nor a folder in run.paths.sets")
        if self.probe.sources >= self.sources.count:
            raise ValueError(
                f"probe.sources: {self.probe.sources} of {self.sources.count} sources (sources.count) leave none to train on"
            )
        return self


def load(path: Path) -> Params:
    """Read params.yaml (YAML 1.2, as DVC reads it). :class:`ParamsError` has one line: file, key, value, what is allowed."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        content = YAML(typ="safe", pure=True).load(Path(path))
    except FileNotFoundError:
        raise ParamsError(f"{path}: missing; `synthetic-iqa profile small` puts one in place") from None
    except YAMLError as error:
        raise ParamsError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    try:
        return Params.model_validate_json(json.dumps(content))
    except ValidationError as error:
        raise ParamsError(f"{path}: {_first(error)}") from None


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, in one line."""
    first, more = error.errors()[0], error.error_count() - 1
    place = [part for part in first["loc"] if part != "[key]"]
    key = ".".join(str(part) for part in place)
    if first["type"] == "extra_forbidden":
        text = f"{key}: unknown key; allowed here: {', '.join(sorted(_model_at(place[:-1]).model_fields))}"
    elif first["type"] == "missing":
        text = f"{key}: missing"
    elif first["type"] == "value_error":
        text = first["msg"].removeprefix("Value error, ")
    else:
        text = f"{key} = {json.dumps(first['input'])}: {first['msg'][0].lower()}{first['msg'][1:]}"
    return text + (f" (and {more} more)" if more else "")


def _model_at(place: list[Any]) -> type[BaseModel]:
    model: type[BaseModel] = Params
    for part in place:
        annotation = model.model_fields[str(part)].annotation
        choices = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
        model = next(choice for choice in choices if isinstance(choice, type) and issubclass(choice, BaseModel))
    return model

"""Every knob of params.yaml as frozen models, one a section (``sections``), and what must agree between them.

What is not known, of the wrong type or impossible is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError, model_validator

from pipeline.params.sections import (
    EMBEDDED_SETS,
    METRICS,
    RELEASED,
    DistortParams,
    EncoderName,
    EvaluateParams,
    FeaturesParams,
    IngestParams,
    Name,
    NiqeParams,
    ParamsError,
    ProbeParams,
    ReportParams,
    RunParams,
    Section,
    SourcesParams,
    StatisticsParams,
    TrainParams,
    Untrained,
    ViewedParams,
)

__all__ = ["METRICS", "Params", "ParamsError", "RunParams", "TrainParams", "load"]


class Params(Section):
    """The whole of params.yaml."""

    seed: int = Field(ge=0)
    sets: list[Name] = Field(min_length=1)
    trained: list[Name] = Field(min_length=1)
    untrained: list[Untrained]
    imported: list[Name] = []
    viewed: ViewedParams = ViewedParams()
    encoders: list[EncoderName] = Field(min_length=1)
    probed: list[EncoderName]
    embedded: list[Literal["photos"]]
    ingested: list[Name]
    databases: list[Name] = Field(min_length=1)
    regressors: list[Name] = Field(min_length=1)
    sources: SourcesParams
    statistics: StatisticsParams
    distort: DistortParams
    train: TrainParams
    niqe: NiqeParams
    probe: ProbeParams
    ingest: IngestParams
    features: FeaturesParams
    evaluate: EvaluateParams
    report: ReportParams
    run: RunParams

    @model_validator(mode="after")
    def _names_agree(self) -> Params:
        networks = [*self.trained, *({"random_init"} & set(self.untrained)), *self.imported, RELEASED]
        lists: tuple[tuple[str, Sequence[str], Sequence[str]], ...] = (
            ("trained", self.trained, self.sets),
            ("encoders", self.encoders, [*self.trained, *self.untrained, *self.imported, RELEASED, *self.viewed.names]),
            ("viewed.encoders", self.viewed.encoders, networks),
            ("viewed.spaces", self.viewed.spaces, self.viewed.spaces),
            ("probed", self.probed, [name for name in self.encoders if name not in METRICS]),
            ("embedded", self.embedded, self.sets),
            ("ingested", self.ingested, [*self.run.paths.databases]),
            ("databases", self.databases, [*self.embedded, *self.ingested]),
            ("regressors", self.regressors, self.encoders),
        )
        for key, names, known in lists:
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"{key}: {name!r} is named twice")
                if name not in known:
                    raise ValueError(f"{key}: {name!r} is not one of {', '.join(known) or 'none (run.paths is empty)'}")
        return self

    @model_validator(mode="after")
    def _sets_agree(self) -> Params:
        for name in self.imported:
            if name in (*self.trained, *self.untrained) or self.imported.count(name) > 1:
                raise ValueError(f"imported: {name!r} is the name of another encoder")
        for name in self.sets:
            if self.sets.count(name) > 1:
                raise ValueError(f"sets: {name!r} is named twice")
            if name not in EMBEDDED_SETS and name not in self.run.paths.sets:
                raise ValueError(f"sets: {name!r} is neither {', '.join(EMBEDDED_SETS)} nor a folder in run.paths.sets")
        if "niqe" in self.untrained and self.niqe.set not in self.sets:
            raise ValueError(f"niqe.set: {self.niqe.set!r} is not one of sets, {', '.join(self.sets)}")
        for key in ("palettes", "textures"):
            if getattr(self.sources, key) == "folder" and getattr(self.run.paths, key) is None:
                raise ValueError(f"sources.{key}: folder, and run.paths.{key} names none")
        largest = self.sources.r_max or self.sources.size
        if self.sources.r_min >= largest:
            raise ValueError(f"sources.r_min: {self.sources.r_min} is not below the largest radius, {largest}")
        return self

    @model_validator(mode="after")
    def _training_agrees(self) -> Params:
        if self.probe.sources >= self.sources.count:
            of = f"{self.probe.sources} of {self.sources.count} sources (sources.count)"
            raise ValueError(f"probe.sources: {of} leave none to train on")
        if self.probe.folds > self.probe.sources:
            raise ValueError(f"probe.folds: {self.probe.folds} is above probe.sources, {self.probe.sources}")
        distorted = self.train.batch // (2 if self.train.authentic == "half" else 1)
        if self.train.class_balanced and distorted % self.train.images_per_class:
            raise ValueError(f"train.batch: {distorted} distorted images are no multiple of train.images_per_class")
        return self

    @model_validator(mode="after")
    def _authentic_images_agree(self) -> Params:
        if (self.train.authentic == "none") != (self.train.authentic_set is None):
            raise ValueError(
                f"train.authentic: {self.train.authentic}, and train.authentic_set is {self.train.authentic_set}"
            )
        if self.train.authentic_set is not None:
            free = [name for name in self.sets if name not in self.embedded]
            if self.train.authentic_set not in free:
                allowed = f"{', '.join(free) or 'none'} (of the sets, those that no database is made of)"
                raise ValueError(f"train.authentic_set: {self.train.authentic_set!r} is not one of {allowed}")
        if self.train.authentic == "half" and self.train.batch % 2:
            raise ValueError(f"train.batch: {self.train.batch} is odd, and half of it is to be authentic")
        return self


def load(path: Path) -> Params:
    """Read params.yaml (YAML 1.2, as DVC reads it). :class:`ParamsError` is one line: file, key, value, allowed."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        content = YAML(typ="safe", pure=True).load(Path(path))
    except FileNotFoundError:
        raise ParamsError(f"{path}: missing; `synthetic-iqa profile small` puts one in place") from None
    except YAMLError as error:
        raise ParamsError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    except OSError as error:
        raise ParamsError(f"{path}: cannot be read ({error})") from None
    try:
        return Params.model_validate_json(json.dumps(content, default=str))  # default: a bare date reads as its text
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
        text = text if text.startswith(key) else f"{key}: {text}"
    else:
        text = f"{key or 'the file'} = {json.dumps(first['input'])}: {first['msg'][0].lower()}{first['msg'][1:]}"
    return text + (f" (and {more} more)" if more else "")


def _model_at(place: list[Any]) -> type[BaseModel]:
    model: type[BaseModel] = Params
    for part in place:
        annotation = model.model_fields[str(part)].annotation
        choices = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
        model = next(choice for choice in choices if isinstance(choice, type) and issubclass(choice, BaseModel))
    return model

"""params.yaml from the disk: read as DVC reads it, and refused with all its mistakes at once."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pipeline.params.agreement import Mistake, disagreements, mistake, nearest
from pipeline.params.page import Params
from pipeline.params.sections import ParamsError, TrainingParams

MODELS = Path("data/models")
"""Encoders' folders, beside params.yaml."""

CHANGED = {
    "trained": "is now `train`, a line for each run: `NAME: {set: SET}`",
    "untrained": "is gone: naming a baseline under `encoders` is enough",
    "imported": "is gone: naming a folder of data/models under `encoders` is enough",
    "viewed": "is now `readouts`: `NAME: {encoder: ENCODER, pool: {spaces: [SPACE]}}`",
    "probed": "is gone: all encoders that give features are probed",
    "embedded": "is gone: `databases` has `photos: {folder: data/distorted/photos}`",
    "ingested": "is now `databases`, each with its folder: `NAME: {folder: FOLDER}`",
    "regressors": "is gone: a regressor is stored for each encoder on each database",
    "sets": "is now a mapping: `dead_leaves: {}`, or `NAME: {folder: FOLDER}` for a folder of yours",
    "databases": "is now a mapping: `NAME: {folder: FOLDER}`",
    "run.paths.sets": "is now `sets`: `NAME: {folder: FOLDER}`",
    "run.paths.databases": "is now `databases`: `NAME: {folder: FOLDER}`",
    "distort.max_poisoned": "is now `max_failed_sources`",
    "sources.posts": "is now `sources.danbooru`",
    **dict.fromkeys(("train.compat", "training.compat"), "is gone: the published code's quirks are not kept"),
    "sources.folder.smallest": "is now `min_side`",
    "sources.folder.largest": "is now `max_side`",
    "sources.folder.blank": "is now `min_contrast`",
    "sources.folder.transparent": "is now `max_transparent`",
    "sources.folder.grey": "is now `allow_grey`",
    "evaluate.svr.grid_images": "is now `max_grid_images`",
    "evaluate.svr.images": "is now `max_images`",
    "evaluate.svr.numbers": "is now `max_features`",
    **dict.fromkeys(("niqe.set", "niqe.side", "niqe.sharpness"), "stands in a model's line now: `NAME: {set: SET}`"),
    **{f"train.{knob}": f"is now `training.{knob}`" for knob in TrainingParams.model_fields},
}
"""Keys that changed, and what to write instead."""


def load(path: Path) -> Params:
    """Read params.yaml (YAML 1.2, as DVC reads it).

    :class:`ParamsError` names the file and lists every mistake, one a line: key, value, what is allowed, and the
    nearest name. An encoder may also be a folder of ``data/models``, beside the file, that no stage makes.
    """
    path = Path(path)
    content = _parse(path)
    params, mistakes = _checked(content)
    if params is not None:
        wrong = {key for mistake in mistakes for key in mistake.keys}
        made, classifiers = (
            sorted(file.parent.name for file in (path.parent / MODELS).glob(f"*/{name}"))
            for name in ("encoder.json", "classifier.safetensors")
        )
        found = disagreements(params, made, classifiers)
        mistakes += [mistake for mistake in found if not wrong.intersection(mistake.keys)]
    if len(mistakes) == 1:
        raise ParamsError(f"{path}: {mistakes[0].text}")
    if mistakes or params is None:
        raise ParamsError("\n  ".join([f"{path}: {len(mistakes)} mistakes", *(mistake.text for mistake in mistakes)]))
    return params


def _parse(path: Path) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(path)
    except FileNotFoundError:
        raise ParamsError(f"{path}: missing; `synthetic-iqa profile small` puts one in place") from None
    except YAMLError as error:
        raise ParamsError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    except OSError as error:
        raise ParamsError(f"{path}: cannot be read ({error})") from None


def _checked(content: Any) -> tuple[Params | None, list[Mistake]]:
    """The page, and what is wrong in single values; without them the page can still be looked at as a whole, unless
    too little is left.
    """
    try:
        return _validate(content), []
    except ValidationError as error:
        details = error.errors()
    # a list is not called too short if something in it is refused already
    refused = {detail["loc"][:length] for detail in details for length in range(len(detail["loc"]))}
    details = [detail for detail in details if detail["type"] != "too_short" or detail["loc"] not in refused]
    try:
        params = _validate({"seed": 0, **_without(content, map(_place, details))})
    except (ValidationError, TypeError):  # a section, or the whole page, is missing
        params = None
    return params, [_described(detail) for detail in details]


def _validate(content: Any) -> Params:
    return Params.model_validate_json(json.dumps(content, default=str))  # default: a bare date reads as its text


def _without(content: Any, places: Iterable[tuple[int | str, ...]]) -> Any:
    """The page without the values at ``places``. Later items of a list go first, so that the others keep theirs."""
    left = copy.deepcopy(content)
    by_number = {place: [f"{part:09d}" if isinstance(part, int) else part for part in place] for place in places}
    for *above, last in sorted(filter(None, by_number), key=lambda place: by_number[place], reverse=True):
        section = left
        try:
            for part in above:
                section = section[part]
            del section[last]
        except (KeyError, IndexError, TypeError):
            continue  # missing, or in a section that went as a whole
    return left


def _place(detail: ErrorDetails) -> tuple[int | str, ...]:
    """Where in the page; without what pydantic adds in brackets: the key of a mapping, the tag of a union."""
    return tuple(part for part in detail["loc"] if not str(part).startswith("["))


def _described(detail: ErrorDetails) -> Mistake:
    """One of pydantic's errors as a line of ours."""
    place, kind, value = _place(detail), detail["type"], detail["input"]
    key = ".".join(str(part) for part in place)
    if key in CHANGED and kind in ("extra_forbidden", "model_type", "dict_type"):
        return mistake(key, value, CHANGED[key])
    if kind == "extra_forbidden":
        known = sorted(_model_at(place[:-1]).model_fields)
        return mistake(key, value, f"unknown key{nearest(place[-1], known)}; allowed here: {', '.join(known)}")
    if kind == "missing":
        return Mistake(f"{key}: missing", (key,))
    text = detail["msg"].removeprefix("Value error, ")
    if kind == "value_error" and text.startswith(f"{key}."):  # a section's own rule, which names the key itself
        return Mistake(text, (key,))
    text = text[0].lower() + text[1:]
    if kind == "literal_error":
        text += nearest(value, re.findall(r"'(.+?)'", detail["ctx"]["expected"]))
    return mistake(key or "the file", value, text)


def _model_at(place: Iterable[int | str]) -> type[BaseModel]:
    """The section at a place of the page; below a mapping of names, its values'."""
    annotation: type[BaseModel] = Params
    for part in place:
        fields: Mapping[str, Any] = getattr(annotation, "model_fields", {})
        annotation = fields[str(part)].annotation if fields else get_args(annotation)[1]
    return annotation

"""Profiles: manifests/profiles/small.yaml is the whole page, the others say what differs from it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_origin

from pipeline.artifacts import write_bytes
from pipeline.params import Params, ParamsError, load

if TYPE_CHECKING:
    from ruamel.yaml import YAML

DEFAULT = "small"
NAMED = {name for name, field in Params.model_fields.items() if get_origin(field.annotation) is dict}
"""Mappings of names: a profile replaces them as a whole."""
_MISSING = object()


def profile_names() -> list[str]:
    """The names of all profiles."""
    entries = (files("manifests") / "profiles").iterdir()
    return sorted(entry.name.removesuffix(".yaml") for entry in entries if entry.name.endswith(".yaml"))


def profile_text(name: str) -> str:
    """The whole params.yaml of a profile. :class:`ParamsError` for an unknown name."""
    text = _packaged(DEFAULT)
    if name == DEFAULT:
        return text
    page = _yaml().load(text)
    _set(page, _values(name))
    return _written(page)


def place(name: str, to: Path, *, force: bool = False) -> bool:
    """Set the values of profile ``name`` in the params.yaml at ``to``, or write the file where there is none.

    What belongs to the user stays: ``run``, all databases, sets with a folder, and comments; returns whether there was
    any. :class:`ParamsError` for an unknown profile, and, unless ``force``, for a file with values of no profile, whose
    keys the message names, and for a file that is refused itself, which ``force`` replaces.
    """
    values = _values(name)
    if not to.exists():
        write_bytes(to, profile_text(name).encode())
        return False
    try:
        load(to)
    except ParamsError as error:
        if not force:
            raise ParamsError(f"{error}\n  nothing was written; --force replaces the file") from None
        write_bytes(to, profile_text(name).encode())
        return False
    page = _yaml().load(to.read_text(encoding="utf-8"))
    changed = min(
        (list(_differences(_without_own(page), _without_own(_values(known)))) for known in profile_names()), key=len
    )
    if changed and not force:
        keys = ", ".join(changed)
        raise ParamsError(
            f"{to}: not as in any profile: {keys}; nothing was written, --force sets the profile's values"
        )
    runs = [_values(known)["run"] for known in profile_names()]
    own_sets = {key: given for key, given in page["sets"].items() if "folder" in given}
    keep_run = page["run"] not in runs
    kept = bool(keep_run or own_sets or page["databases"] != values["databases"])
    if keep_run:
        del values["run"]
    values["sets"] = {**values["sets"], **own_sets}
    del values["databases"]
    _set(page, values)
    write_bytes(to, _written(page).encode())
    return kept


def _packaged(name: str) -> str:
    if name not in profile_names():
        raise ParamsError(f"{name}: no such profile; known are {', '.join(profile_names())}")
    return (files("manifests") / "profiles" / f"{name}.yaml").read_text(encoding="utf-8")


def _yaml() -> YAML:
    from ruamel.yaml import YAML

    yaml = YAML(typ="rt")  # keeps comments and order; makes plain values only
    yaml.width, yaml.preserve_quotes = 120, True
    yaml.representer.add_representer(type(None), lambda r, _: r.represent_scalar("tag:yaml.org,2002:null", "null"))
    return yaml


def _written(page: Any) -> str:
    stream = StringIO()
    _yaml().dump(page, stream)
    return stream.getvalue()


def _values(name: str) -> Any:
    """All values of a profile."""
    page = _yaml().load(_packaged(DEFAULT))
    _set(page, _yaml().load(_packaged(name)))
    return page


def _set(page: Any, values: Any, named: bool = False) -> None:
    """Put ``values`` into ``page``, section by section; a mapping of names takes the names of ``values`` alone."""
    for key in [key for key in page if named and key not in values]:
        del page[key]
    for key, value in values.items():
        if named and key in page:
            page.move_to_end(key)  # images of several sets are used in the order of the sets
        if isinstance(value, dict) and isinstance(page.get(key), dict):
            _set(page[key], value, key in NAMED)
        elif page.get(key, _MISSING) != value:
            page[key] = copy.deepcopy(value)


def _without_own(page: Any) -> dict[str, Any]:
    """The values that a profile decides: no machine, no databases, no set with a folder."""
    sets = {key: given for key, given in page["sets"].items() if "folder" not in given}
    return {**page, "sets": sets, "databases": {}, "run": {}}


def _differences(left: Any, right: Any, above: str = "") -> Iterator[str]:
    """The dotted keys whose values differ."""
    for key in [*left, *(key for key in right if key not in left)]:
        mine, other = left.get(key, _MISSING), right.get(key, _MISSING)
        if isinstance(mine, dict) and isinstance(other, dict):
            yield from _differences(mine, other, f"{above}{key}.")
        elif mine != other:
            yield f"{above}{key}"

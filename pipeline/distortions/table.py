"""The table of types, read from manifests/distortions.yaml, and the numbers of classes."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

LEVELS = 5
"""Levels of each type."""


@dataclass(frozen=True)
class Type:
    """One distortion type: a row of the manifest."""

    id: int
    name: str
    group: str
    parameter: str
    levels: tuple[float, ...]
    deterministic: bool
    stand_in: bool
    note: str


def _read() -> tuple[Type, ...]:
    import yaml

    rows = yaml.safe_load((files("manifests") / "distortions.yaml").read_text(encoding="utf-8"))
    return tuple(Type(**{**row, "levels": tuple(row["levels"])}) for row in rows)


TYPES: tuple[Type, ...] = _read()
"""The 25 types in KADIS order: ``TYPES[id - 1]``."""

LABELS = 1 + LEVELS * len(TYPES)
"""Classes with the pristine one: 126."""

_BY_NAME = {kind.name: kind for kind in TYPES}


def type_of(kind: int | str) -> Type:
    """The type with this number (1..25) or name; ``ValueError`` for any other."""
    if isinstance(kind, str) and kind in _BY_NAME:
        return _BY_NAME[kind]
    if not isinstance(kind, str) and int(kind) == kind and 1 <= kind <= len(TYPES):
        return TYPES[int(kind) - 1]
    raise ValueError(f"type: expected 1..{len(TYPES)} or one of {', '.join(_BY_NAME)}; got {kind!r}")


def level_of(level: int) -> int:
    """``level`` as int; ``ValueError`` unless it is 1..5."""
    if int(level) != level or not 1 <= level <= LEVELS:
        raise ValueError(f"level: expected 1..{LEVELS}, got {level!r}")
    return int(level)


def label(kind: int | str, level: int) -> int:
    """The class of (type, level): 5 (type - 1) + level, 1..125."""
    return LEVELS * (type_of(kind).id - 1) + level_of(level)


def split_label(number: int) -> tuple[int, int]:
    """(type, level) of a class 1..125; (0, 0) for the pristine class 0; ``ValueError`` for any other."""
    if int(number) != number or not 0 <= number < LABELS:
        raise ValueError(f"label: expected 0..{LABELS - 1}, got {number!r}")
    return (0, 0) if number == 0 else ((int(number) - 1) // LEVELS + 1, (int(number) - 1) % LEVELS + 1)

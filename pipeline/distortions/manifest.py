"""The 25 types, read from manifests/distortions.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

from pipeline.labels import checked_level


@dataclass(frozen=True)
class Type:
    """One distortion type: a row of the manifest. ``levels`` are the values of ``parameter`` at the levels 1..5."""

    id: int
    name: str
    group: str
    parameter: str
    levels: tuple[float, ...]
    deterministic: bool
    stand_in: bool
    note: str

    def value(self, level: int) -> float:
        """The parameter at ``level``; ``ValueError`` unless that is 1..5."""
        return self.levels[checked_level(level) - 1]


def _read() -> tuple[Type, ...]:
    import yaml

    rows = yaml.safe_load((files("manifests") / "distortions.yaml").read_text(encoding="utf-8"))
    return tuple(Type(**{**row, "levels": tuple(row["levels"])}) for row in rows)


TYPES: tuple[Type, ...] = _read()
"""The types in KADIS order: ``TYPES[id - 1]``."""

_BY_NAME = {kind.name: kind for kind in TYPES}


def type_of(kind: int | str) -> Type:
    """The type with this number (1..25) or name; ``ValueError`` for any other."""
    if isinstance(kind, str) and kind in _BY_NAME:
        return _BY_NAME[kind]
    if not isinstance(kind, str) and int(kind) == kind and 1 <= kind <= len(TYPES):
        return TYPES[int(kind) - 1]
    raise ValueError(f"type: expected 1..{len(TYPES)} or one of {', '.join(_BY_NAME)}; got {kind!r}")

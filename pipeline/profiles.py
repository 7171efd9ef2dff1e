"""The profiles of manifests/profiles: whole params.yaml files, put in place without losing what a user wrote."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from pipeline.artifacts import write_bytes
from pipeline.params import ParamsError

_RUN = "{run}"  # where the section was


def profiles() -> dict[str, str]:
    """Name and text of every profile, by name."""
    found = sorted((files("manifests") / "profiles").iterdir(), key=lambda entry: entry.name)
    return {e.name.removesuffix(".yaml"): e.read_text(encoding="utf-8") for e in found if e.name.endswith(".yaml")}


def place(name: str, to: Path, *, force: bool = False) -> bool:
    """Write profile ``name`` to ``to``; whether a ``run:`` section that was changed by hand was kept.

    The section describes a machine and changes no result, so it stays as it is, comments and all. Any other difference
    from all profiles is :class:`ParamsError` unless ``force``; so is an unknown name.
    """
    known = profiles()
    if name not in known:
        raise ParamsError(f"{name}: no such profile; known are {', '.join(known)}")
    wanted, kept = known[name], False
    if to.exists():
        parts = [_split_run(text) for text in known.values()]
        rest, run = _split_run(to.read_text(encoding="utf-8"))
        if rest not in [text for text, _ in parts] and not force:
            raise ParamsError(
                f"{to}: changed by hand, so it was left as it is; --force replaces all but its run: section"
            )
        if run and run not in [text for _, text in parts]:
            wanted, kept = _split_run(wanted)[0].replace(_RUN, run), True
    write_bytes(to, wanted.encode())
    return kept


def _split_run(text: str) -> tuple[str, str]:
    """A params file with a mark in place of its ``run:`` section, and that section as it stands."""
    lines = text.splitlines(keepends=True)
    start = next((index for index, line in enumerate(lines) if line.startswith("run:")), len(lines))
    ends = (index for index in range(start + 1, len(lines)) if lines[index].strip() and lines[index][0] not in " \t#")
    end = next(ends, len(lines))
    return "".join([*lines[:start], _RUN, *lines[end:]]), "".join(lines[start:end])

"""``synthetic-iqa profile``: set the values of a profile in params.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def profile(
    name: Annotated[str, typer.Argument(help="tiny, small, gpu_short or paper.")],
    to: Annotated[Path, typer.Option("--to", help="The file to write.")] = Path("params.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace values that you changed.")] = False,
) -> None:
    """Set the values of a profile in params.yaml.

    What belongs to you stays: the section `run` (engine, workers, device, folders), your databases, sets with a folder,
    and comments. Any other value that you changed stops the verb, unless --force is given.
    """
    from pipeline import profiles

    kept = profiles.place(name, to, force=force)
    print(f"{to}: profile {name}{'; your machine, databases and folders stay' if kept else ''}")

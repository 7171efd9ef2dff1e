"""``synthetic-iqa profile``: put a params.yaml in place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def profile(
    name: Annotated[str, typer.Argument(help="tiny, small, gpu_short or paper.")],
    to: Annotated[Path, typer.Option("--to", help="The file to write.")] = Path("params.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that was changed by hand.")] = False,
) -> None:
    """Put a profile in place as params.yaml.

    A `run:` section that you changed (engine, workers, device, folders) is kept: it describes your machine and
    changes no result. Anything else that you changed stops the verb, unless --force is given.
    """
    from pipeline import profiles

    kept = profiles.place(name, to, force=force)
    print(f"{to}: profile {name}{', with the run: section that was there' if kept else ''}")

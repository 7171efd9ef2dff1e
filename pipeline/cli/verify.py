"""``synthetic-iqa verify``: check shards against their manifests."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def verify(
    folders: Annotated[
        list[Path], typer.Argument(help="Folders of shards, or folders above them: every manifest.json below.")
    ],
) -> None:
    """Check every shard, its table and its record against the manifest's sha256. Exit code 1 on damage."""
    from pipeline.engine import progress
    from pipeline.verify import checks, problems

    shards = [check for folder in folders for check in checks(folder)]
    damage = [text for found in progress(map(problems, shards), total=len(shards), describe="verify") for text in found]
    for text in damage:
        print(f"synthetic-iqa: {text}", file=sys.stderr)
    size = sum(check.meta.bytes for check in shards if check.meta) / 1e9
    print(f"{len(shards)} shards, {size:.2f} GB: {f'{len(damage)} problems' if damage else 'as the manifests say'}")
    if damage:
        raise typer.Exit(1)

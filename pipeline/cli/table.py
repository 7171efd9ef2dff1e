"""``synthetic-iqa table``: the results in Markdown, from the metrics into a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import refuse


def table(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Markdown files with the two marks; without any it is printed.")
    ] = None,
    metrics: Annotated[Path, typer.Option(help="The folder that evaluate and compare wrote.")] = Path("metrics"),
    encoder: Annotated[list[str] | None, typer.Option(help="Only this one, in the order given; repeatable.")] = None,
    database: Annotated[list[str] | None, typer.Option(help="Only this one; repeatable.")] = None,
    date: Annotated[str | None, typer.Option(help="When it was measured, YYYY-MM-DD; else today.")] = None,
) -> None:
    """Write the table of results of a README or a card from the metrics, so that no figure is written by hand.

    It replaces what stands between the two marks of each file. A block that already says the same is left alone,
    with its date.
    """
    import datetime

    from pipeline.report import markdown

    try:
        day = datetime.date.fromisoformat(date) if date else datetime.date.today()
    except ValueError:
        refuse(f"--date {date}: not a date such as 2026-01-31")
    results = markdown.read_results(metrics, encoder or (), database or ())
    if not files:
        print(markdown.render(results, day.isoformat()), end="")
    for path in files or ():
        changed = markdown.refresh(path, results, day.isoformat())
        print(f"{path}: {'the table was replaced' if changed else 'says the same already'}")

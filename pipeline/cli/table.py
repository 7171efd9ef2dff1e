"""``synthetic-iqa table``: tables of results in Markdown, from the metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import refuse


def table(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Markdown files with marks for a table. Without any it is printed.")
    ] = None,
    metrics: Annotated[Path, typer.Option(help="The folder that the stages evaluate and compare write.")] = Path(
        "metrics"
    ),
    encoder: Annotated[
        list[str] | None, typer.Option(help="Only this encoder; repeat it for more, in their order.")
    ] = None,
    database: Annotated[list[str] | None, typer.Option(help="Only this database; repeat it for more.")] = None,
    date: Annotated[str | None, typer.Option(help="Date of the measurement, YYYY-MM-DD. Default: today.")] = None,
) -> None:
    """Write tables of results from the metrics, between the marks of Markdown files (docs/results.md, README.md).

    A table whose figures are the same is left as it is, with its date.
    """
    import datetime

    from pipeline.report import markdown

    try:
        day = datetime.date.fromisoformat(date) if date else datetime.date.today()
    except ValueError:
        refuse(f"--date {date}: not a date such as 2026-01-31")
    results = markdown.read_results(metrics, encoder or (), database or ())
    if not files:
        made = (
            render(results, day.isoformat())
            for render in (markdown.render, markdown.render_finetuned, markdown.render_selections)
        )
        print("\n".join(filter(None, made)), end="")
    for path in files or ():
        changed = markdown.refresh(path, results, day.isoformat())
        print(f"{path}: {'the table was replaced' if changed else 'the figures are the same'}")

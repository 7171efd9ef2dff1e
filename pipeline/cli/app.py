"""The console script: all verbs under one name.

What a verb needs is imported inside it, so that ``--help`` starts at once.
"""

from __future__ import annotations

import signal

import typer

from pipeline.cli.calibrate import calibrate
from pipeline.cli.card import card
from pipeline.cli.console import Terminated, expected, missing, one_line, say, terminate
from pipeline.cli.distort import distort
from pipeline.cli.domains import domains
from pipeline.cli.export import export
from pipeline.cli.features import features
from pipeline.cli.import_weights import import_weights
from pipeline.cli.profile import profile
from pipeline.cli.remake import remake
from pipeline.cli.remake_tid2013 import remake_tid2013
from pipeline.cli.score import score
from pipeline.cli.sheet import sheet
from pipeline.cli.splits import splits
from pipeline.cli.table import table
from pipeline.cli.verify import verify

app = typer.Typer(
    help="Image-quality features from images that no camera took. The pipeline itself runs by `dvc repro`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
FOR_IMAGES = (score, features, domains, sheet, distort)
FOR_MODELS = (export, import_weights, calibrate)
FOR_THE_PIPELINE = (profile, remake, remake_tid2013, verify, table, card, splits)
for verb in (*FOR_IMAGES, *FOR_MODELS, *FOR_THE_PIPELINE):
    app.command()(verb)


def main() -> None:
    """The console script. What a user can mend is one line on stderr and exit code 2; Ctrl-C is 130, SIGTERM 143."""
    signal.signal(signal.SIGTERM, terminate)
    try:
        app()
    except KeyboardInterrupt as end:
        raise SystemExit(143 if isinstance(end, Terminated) else 130) from None
    except Exception as error:
        if not (text := missing(error)) and not expected(error):
            raise
        say(text or one_line(error))
        raise SystemExit(2) from None

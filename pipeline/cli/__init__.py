"""``synthetic-iqa``: the verbs for people, a file each. ``app`` gathers them, ``main`` is the console script."""

from pipeline.cli.app import app, main

__all__ = ["app", "main"]

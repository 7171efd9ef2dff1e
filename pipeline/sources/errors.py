"""The error of this package."""

from __future__ import annotations

from pipeline import Refusal


class SourceError(Refusal, ValueError):
    """A source set that cannot be made; the message names the folder or the value and says why."""

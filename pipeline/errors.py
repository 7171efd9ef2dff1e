"""The base class of every error that a user can mend."""

from __future__ import annotations


class Refusal(Exception):
    """An error that the user can mend: its message is one line that names the key or the file.

    Any other exception is a bug.
    """

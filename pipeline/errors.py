"""The base class of every error that a user can mend."""

from __future__ import annotations


class Refusal(Exception):
    """An error that the user can mend: its message is one line that names the key or the file.

    Any other exception is a bug.
    """


def printable(text: str) -> str:
    """``text`` for a terminal: control characters, which names of files may hold, as escapes (``\\x1b``)."""
    return "".join(letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in text)

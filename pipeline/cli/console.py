"""What the verbs say to people: refusals in one line, and which errors are the user's to mend."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

from pipeline import Refusal
from pipeline.errors import printable

EXTRAS = {  # libraries that a plain install does not have -> the extra that brings them
    **dict.fromkeys(("dask", "dvc", "jinja2", "matplotlib", "pandas"), "pipeline"),
    **dict.fromkeys(("ray", "ruamel", "skimage", "sklearn", "webdataset"), "pipeline"),
    **dict.fromkeys(("onnx", "onnxruntime", "onnxscript"), "export"),
}


class Terminated(KeyboardInterrupt):
    """SIGTERM ends a verb as Ctrl-C does, so that what is done is kept."""


def terminate(*_: object) -> NoReturn:
    """The handler of SIGTERM."""
    raise Terminated


def say(text: str) -> None:
    """One line on stderr."""
    print(f"synthetic-iqa: {printable(text)}", file=sys.stderr)


def refuse(text: str) -> NoReturn:
    """One line on stderr, and exit code 2."""
    say(text)
    raise SystemExit(2)


def expected(error: Exception) -> bool:
    """Whether the user can mend it: an error of the pipeline's own kinds or the file system's. Others are bugs."""
    return isinstance(error, Refusal | OSError) or type(error).__module__.startswith("pipeline.")


def missing(error: Exception) -> str:
    """Which extra brings the library that an import did not find; empty for any other error."""
    library = (error.name or "").split(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    extra = EXTRAS.get(library)
    return f"this needs {library}: pip install 'synthetic-iqa[{extra}]'" if extra else ""


def one_line(error: Exception) -> str:
    """The error's message without line breaks; of the file system's errors the file first."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}"
    return " ".join(str(error).split()) or type(error).__name__


def not_itself(source: Path | None, out: Path) -> None:
    """Refuse to write over the file that is read."""
    if source is not None and source.exists() and out.exists() and out.samefile(source):
        refuse(f"{out}: is the file that is read")

"""Looking at the images of a database: each decoded and hashed once, by the engine's workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline import artifacts, images
from pipeline.engine import Engine, last_seen

_CHUNK = 64  # images of one task: half a second of decoding


@dataclass(frozen=True)
class Piece:
    """Where the bytes of one image are: a file, or ``offset`` and ``size`` of a member of a tar."""

    name: str
    path: str
    offset: int | None = None
    size: int | None = None


@dataclass(frozen=True)
class Inspected:
    """What an image is; ``fault`` is why it was refused, or empty.

    ``sha256`` is of its bytes, ``pixels_sha256`` of its size and upright sRGB pixels. ``width`` and ``height`` are
    those of the upright image; ``facts`` say what was undone.
    """

    sha256: str = ""
    pixels_sha256: str = ""
    phash: int = 0
    width: int = 0
    height: int = 0
    facts: images.Facts = images.Facts()
    fault: str = ""

    def columns(self) -> dict[str, object]:
        """Its cells in a database table."""
        cells: dict[str, object] = {name: getattr(self, name) for name in ("sha256", "phash", "width", "height")}
        cells |= {"orientation": self.facts.orientation, "colour_profile": self.facts.colour_profile or None}
        return cells


def inspect(pieces: Sequence[Piece], engine: Engine, max_pixels: int) -> dict[str, Inspected]:
    """What each of ``pieces`` is, by name; one that cannot be decoded comes back with its fault."""
    tasks = [(list(pieces[i : i + _CHUNK]), max_pixels) for i in range(0, len(pieces), _CHUNK)]
    results = [result for chunk in engine.map(inspect_chunk, tasks, describe="ingest") for result in chunk]
    return dict(zip((piece.name for piece in pieces), results, strict=True))


def inspect_chunk(task: tuple[list[Piece], int]) -> list[Inspected]:
    """One task of :func:`inspect`."""
    pieces, max_pixels = task
    return [_inspect(piece, max_pixels) for piece in pieces]


def _inspect(piece: Piece, max_pixels: int) -> Inspected:
    last_seen.note(f"while reading {piece.path}")
    path = Path(piece.path)
    try:
        if piece.offset is None:
            data = images.read_bytes(path, max_pixels=max_pixels)
        else:
            with open(path, "rb") as file:
                file.seek(piece.offset)
                data = file.read(-1 if piece.size is None else piece.size)
        image, facts = images.decode_with_facts(data, name=path.name, max_pixels=max_pixels)
    except images.ImageError as error:
        return Inspected(fault=str(error))
    except OSError as error:
        return Inspected(fault=(error.strerror or type(error).__name__).lower())
    height, width = image.shape[:2]
    return Inspected(
        sha256=artifacts.sha256_bytes(data),
        pixels_sha256=artifacts.sha256_bytes(f"{height}x{width}/".encode() + image.tobytes()),
        phash=images.perceptual_hash(image),
        width=width,
        height=height,
        facts=facts,
    )

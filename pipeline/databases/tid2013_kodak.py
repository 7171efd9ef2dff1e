"""Remaking a part of TID2013 from Kodak's photographs: 12 references x 4 types x 5 levels.

Twelve of TID2013's references are 512 x 384 crops of Kodak photographs, and four of its types can be made again to the
pixel: 8 (Gaussian blur), 10 (JPEG: the files themselves), 16 (mean shift) and 17 (contrast). Each remade image is
checked against the PSNR that the database publishes for it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pipeline import artifacts, images
from pipeline.databases.table import IngestError
from pipeline.metrics.psnr import psnr

SIGMAS = (0.5, 0.65, 1.0, 1.7, 4.0)
SHIFTS = (-6, 10, -20, 30, -40)
GAINS = (0.9, 1.2, 0.75, 1.45, 0.5)
JPEG = 10
TOLERANCE = 0.0005  # dB; the largest difference is 0.00026 of 240, and the published figures have four decimals
SCORES = "scores.csv"
_HALF = 5  # of the 11 x 11 blur kernel
_COLUMNS = {
    "offsets.csv": ("tid_ref", "kodak", "x", "y", "width", "height"),
    "mos.csv": ("ref", "type", "level", "mos"),
    "official_psnr.csv": ("image", "type", "l1", "l2", "l3", "l4", "l5"),
}


@dataclass(frozen=True)
class Remade:
    """How many images were written, and the largest difference from the published PSNR in dB."""

    references: int
    images: int
    largest_difference: float


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """Type 8: an 11 x 11 Gaussian with zeros beyond the border. uint8 H x W x 3 -> the same."""
    at = np.arange(-_HALF, _HALF + 1)
    kernel = np.exp(-(at**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    return _rounded(cv2.sepFilter2D(image.astype(np.float64), -1, kernel, kernel, borderType=cv2.BORDER_CONSTANT))


def shifted(image: np.ndarray, shift: int) -> np.ndarray:
    """Type 16: ``shift`` added to all channels, clipped. uint8 H x W x 3 -> the same."""
    return _rounded(image.astype(np.float64) + shift)


def contrasted(image: np.ndarray, gain: float) -> np.ndarray:
    """Type 17: distances from the mean over all channels times ``gain``. uint8 H x W x 3 -> the same."""
    mean = image.mean()
    return _rounded(mean + gain * (image - mean))


RECIPES: Mapping[int, tuple[Callable[..., np.ndarray], tuple[float, ...]]] = {
    8: (blurred, SIGMAS),
    16: (shifted, SHIFTS),
    17: (contrasted, GAINS),
}


def remake(kodak: Path, tid: Path, out: Path) -> Remade:
    """Write ``reference_images/``, ``distorted_images/`` and, last, ``scores.csv`` into ``out``.

    ``kodak`` has the photographs as 01.png to 24.png; ``tid`` has offsets.csv, mos.csv, official_psnr.csv and jpeg/.
    Raises :class:`IngestError` naming a missing file or row, or the images whose PSNR is not the published one (by
    :data:`TOLERANCE`); then no scores.csv is there, and ``out`` is not a database.
    """
    kodak, tid, out = Path(kodak), Path(tid), Path(out)
    for folder in (kodak, tid):
        if out.resolve().is_relative_to(folder.resolve()):
            raise IngestError(f"{out}: lies in {folder}, which is only read")
    (out / SCORES).unlink(missing_ok=True)
    opinions = {_stem(r["ref"], r["type"], r["level"]): r["mos"] for r in _rows(tid, "mos.csv")}
    published = {
        _stem(row["image"], row["type"], level): row[f"l{level}"]
        for row in _rows(tid, "official_psnr.csv")
        for level in range(1, 6)
    }
    crops, measured = _rows(tid, "offsets.csv"), dict[str, float]()
    for crop in crops:
        reference = _crop(kodak, crop)
        path = out / "reference_images" / f"i{int(crop['tid_ref']):02d}.png"
        artifacts.write_bytes(path, images.encode(reference, "png"))
        for name, data, image in _versions(int(crop["tid_ref"]), reference, tid):
            artifacts.write_bytes(out / "distorted_images" / name, data)
            measured[name] = psnr(reference, image)
    return Remade(len(crops), len(measured), _write_scores(out, measured, opinions, published))


def _write_scores(
    out: Path, psnr: Mapping[str, float], opinions: Mapping[str, float], published: Mapping[str, float]
) -> float:
    """Check PSNRs (by file name) and write the score file; returns the largest difference in dB."""
    stems = {name.rsplit(".", 1)[0]: name for name in psnr}
    for what, rows in (("mos.csv", opinions), ("official_psnr.csv", published)):
        if alone := sorted(stems.keys() ^ rows.keys()):
            raise IngestError(
                f"{out}: images without a row in {what}, or rows without an image: {', '.join(alone[:10])}"
            )
    differences = {stem: abs(psnr[name] - published[stem]) for stem, name in stems.items()}
    if wrong := [f"{stem} ({dB:.4f} dB)" for stem, dB in differences.items() if not dB <= TOLERANCE]:
        more = f" and {len(wrong) - 10} more" if len(wrong) > 10 else ""
        raise IngestError(f"{out}: PSNR is not the published one: {', '.join(wrong[:10])}{more}")
    sink = io.StringIO()
    lines = csv.writer(sink, lineterminator="\n")
    lines.writerow(("image", "mos", "psnr", "official_psnr"))
    for stem, name in stems.items():
        lines.writerow((name, opinions[stem], f"{psnr[name]:.4f}", published[stem]))
    artifacts.write_bytes(out / SCORES, sink.getvalue().encode())
    return max(differences.values())


def _versions(number: int, reference: np.ndarray, tid: Path) -> Iterator[tuple[str, bytes, np.ndarray]]:
    """File name, file and pixels of the 20 distorted versions of one reference."""
    for kind, (make, values) in RECIPES.items():
        for level, value in enumerate(values, 1):
            image = make(reference, value)
            yield f"{_stem(number, kind, level)}.png", images.encode(image, "png"), image
    for level in range(1, 6):
        path = tid / "jpeg" / f"{_stem(number, JPEG, level)}.jpg"
        try:
            data = path.read_bytes()
        except OSError as error:
            raise IngestError(f"{path}: can't be read ({error.strerror})") from None
        image = images.decode(data, name=str(path))
        if image.shape != reference.shape:
            raise IngestError(f"{path}: is {image.shape[1]} x {image.shape[0]}, its reference is not")
        yield path.name, data, image


def _crop(kodak: Path, row: Mapping[str, float]) -> np.ndarray:
    path = kodak / f"{int(row['kodak']):02d}.png"
    try:
        photograph = images.read(path)
    except OSError as error:
        raise IngestError(f"{path}: can't be read ({error.strerror})") from None
    x, y, width, height = (int(row[key]) for key in ("x", "y", "width", "height"))
    tall, wide = photograph.shape[:2]
    if not (0 <= x < x + width <= wide and 0 <= y < y + height <= tall):
        raise IngestError(f"{path}: {wide} x {tall} has no crop of {width} x {height} at {x}, {y}")
    return np.ascontiguousarray(photograph[y : y + height, x : x + width])


def _rows(tid: Path, name: str) -> list[dict[str, float]]:
    """The rows of a CSV as numbers; TID2013's own I01 is 1."""
    path = tid / name
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
        numbers = [{key: float(row[key].lstrip("Ii")) for key in _COLUMNS[name]} for row in rows]
    except OSError as error:
        raise IngestError(f"{path}: can't be read ({error.strerror})") from None
    except (KeyError, AttributeError, ValueError) as error:
        raise IngestError(f"{path}: expected numbers in {', '.join(_COLUMNS[name])} ({error})") from None
    if not numbers:
        raise IngestError(f"{path}: has no rows")
    return numbers


def _stem(reference: float, kind: float, level: float) -> str:
    return f"i{int(reference):02d}_{int(kind):02d}_{int(level)}"


def _rounded(values: np.ndarray) -> np.ndarray:
    rounded: np.ndarray = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded

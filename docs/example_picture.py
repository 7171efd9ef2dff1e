"""The picture of the README: a drawn image and a photograph in four distortions, with the released encoder's scores.

    python docs/example_picture.py -o docs/example.webp

The first row is what an encoder is trained on. Under the photographs (scikit-image's `coffee`) stand the scores by
`released/`'s regressor on two databases: 0 to 1, higher is better. The types were not chosen by their scores.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

from pipeline import artifacts, distortions, sources
from pipeline.features import load_extractor
from pipeline.params.sections import PathsParams, SourcesParams
from pipeline.report.sheets import Cell, Row, Sheet, draw, thumbnail
from pipeline.report.tables import readable
from pipeline.scoring import Scorer, load_regressor
from pipeline.seeding import generator

RELEASED = Path(__file__).parents[1] / "released"
SHOWN = ("gaussian_blur", "white_noise", "jpeg", "color_block")  # one type of each of four groups
LEVEL = 4
SIDE = 216  # pixels of a picture's longer side


def versions(image: np.ndarray) -> Iterator[np.ndarray]:
    """The image, and its distorted versions (uint8 H x W x 3)."""
    yield image
    for name in SHOWN:
        yield distortions.distort(image, name, LEVEL, generator(1, f"example/{name}", 0))


def picture() -> np.ndarray:
    """The whole picture, uint8 H x W x 3."""
    leaves = sources.source_set("textured_dead_leaves", SourcesParams(), seed=1, folder=None, paths=PathsParams())
    drawn, _ = leaves.make(0)
    extractor = load_extractor(RELEASED, device="cpu")
    scorer = Scorer(extractor, load_regressor(RELEASED / "regressors" / "people"))
    plain = tuple(Cell(thumbnail(image, SIDE)) for image in versions(drawn))
    scored = tuple(
        Cell(thumbnail(image, SIDE), (f"score {scorer.values([image])[0]:.2f}",)) for image in versions(data.coffee())
    )
    columns = ("as it is", *(f"{readable(name)}, level {LEVEL}" for name in SHOWN))
    rows = (
        Row("Drawn", plain, "Encoders learn to tell the 125 distortions of such images apart."),
        Row("Photograph", scored, "The released encoder has seen none. Its score: 0 to 1, higher is better."),
    )
    return draw(Sheet("A drawn image and a photograph, each in 4 of 125 distortions", columns, rows))


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/example.webp"))
    out = parser.parse_args().out
    sink = io.BytesIO()
    Image.fromarray(picture()).save(sink, "WEBP", quality=82, method=6)
    artifacts.write_bytes(out, sink.getvalue())
    print(f"{out}: {len(sink.getvalue()):,} bytes")


if __name__ == "__main__":
    main()

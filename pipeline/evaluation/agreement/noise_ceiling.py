"""The noise ceiling: the best agreement that the noise of the opinions allows.

Opinions are means of a few people's. Each is drawn again from its standard error; SROCC of the drawn with the given
opinions is what a predictor would reach that knows the quality exactly. What is missing from 1 is noise of the label,
not a fault of a method. The figure is a little high, since the spread of the given opinions has their noise in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.evaluation.agreement.measures import srocc
from pipeline.seeding import generator

DRAWS = 200


@dataclass(frozen=True)
class NoiseCeiling:
    """``srocc``, ``low``, ``high``: mean and central 95 % of the draws over the scored images of a database."""

    database: str
    images: int
    raters: int
    srocc: float
    low: float
    high: float


def noise_ceiling(images: pa.Table, database: str, raters: int | None, *, seed: int) -> NoiseCeiling | None:
    """The ceiling of a database (its table).

    None where the standard deviation of the opinions (``mos_std``) is not known for every scored image, or the number
    of opinions behind each mean (``raters``, declared in the manifest) is not.
    """
    scored = images.filter(pc.and_(pc.invert(images["is_reference"]), images["mos"].is_valid()))
    if raters is None or not len(scored) or scored["mos_std"].null_count:
        return None
    mos, error = scored["mos"].to_numpy(), scored["mos_std"].to_numpy() / np.sqrt(raters)
    draw = generator(seed, f"evaluate/ceiling/{database}")
    sroccs = [srocc(mos + error * draw.standard_normal(len(mos)), mos) for _ in range(DRAWS)]
    low, high = np.quantile(sroccs, [0.025, 0.975])
    return NoiseCeiling(database, len(mos), raters, float(np.mean(sroccs)), float(low), float(high))

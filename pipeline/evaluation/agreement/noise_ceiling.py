"""The noise ceiling: how well anything can agree with opinions that are themselves means of a few people's.

Each opinion is drawn anew from its own standard error, and SROCC of the new with the old ones is what a predictor that
knows the quality exactly would show. What is missing from 1 is noise of the label, not a fault of a method. It is a
little high, since the old ones' spread has their noise in it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.evaluation.agreement.measures import srocc
from pipeline.seeding import generator

DRAWS = 200


def noise_ceiling(images: pa.Table, database: str, raters: int | None, *, seed: int) -> dict[str, Any] | None:
    """``{database, images, raters, srocc, low, high}``: mean and central 95 % of the draws over a database table.

    None where the standard deviation of the opinions (``mos_std``) is not known for every scored image, or the number
    of opinions behind each mean (``raters``, declared in the manifest) is not.
    """
    scored = images.filter(pc.and_(pc.invert(images["is_reference"]), images["mos"].is_valid()))
    if raters is None or not len(scored) or scored["mos_std"].null_count:
        return None
    mos, error = scored["mos"].to_numpy(), scored["mos_std"].to_numpy() / np.sqrt(raters)
    draw = generator(seed, f"evaluate/ceiling/{database}")
    found = [srocc(mos + error * draw.standard_normal(len(mos)), mos) for _ in range(DRAWS)]
    low, high = np.quantile(found, [0.025, 0.975])
    about = {"database": database, "images": len(mos), "raters": raters}
    return about | {"srocc": float(np.mean(found)), "low": float(low), "high": float(high)}

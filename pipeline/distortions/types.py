"""Array types of the bank, named once."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Bytes: TypeAlias = NDArray[np.uint8]
"""uint8: an image (H, W, 3), planes (3, H, W) or a table of 256."""

Floats: TypeAlias = NDArray[np.floating]
"""float32 or float64, as the function says."""

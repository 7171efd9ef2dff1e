"""What is computed of an image: its feature, and from it a score in the units of a database's opinions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from pipeline import images
from pipeline.artifacts import column
from pipeline.encoder import Extractor
from pipeline.scoring.files import PATH, REMARKS, FileRow
from pipeline.scoring.regressor import Linear, Regressor, RegressorError

_IMAGE_BYTES = 3  # a pixel
_BYTES_PER_PIXEL = 256.0  # of an extractor that does not say: floor and BRISQUE work in float64 planes

SCORES = pa.schema(
    [
        PATH,
        column("score", pa.float64(), "in the database's own units, not clipped to its range", nullable=True),
        *REMARKS,
        column("encoder", pa.string(), "what made the features"),
        column("database", pa.string(), "whose opinions the regressor was fitted on"),
        column("higher_is_better", pa.bool_(), "direction of score"),
    ]
)


def features_schema(dim: int) -> pa.Schema:
    """The schema of a table of ``dim`` numbers a file."""
    feature = column("feature", pa.list_(pa.float32(), dim), "of the image at native resolution", nullable=True)
    return pa.schema([PATH, feature, *REMARKS, column("encoder", pa.string(), "what made the features")])


class ImageFeatures:
    """A :class:`pipeline.scoring.files.Measure`: an extractor's features."""

    def __init__(self, extractor: Extractor) -> None:
        self.extractor = extractor

    def require_size(self, height: int, width: int) -> None:
        """:class:`pipeline.images.ImageError` for an image that is smaller than the extractor was made for."""
        smallest = getattr(self.extractor, "smallest_side", 1)
        if min(height, width) < smallest:
            name = self.extractor.name
            raise images.ImageError(f"{width} x {height}: below the {smallest} pixels a side that {name} was made for")

    def memory_need(self, height: int, width: int) -> int:
        """Bytes that an image of this size and its feature take at most."""
        pixels, each = height * width, getattr(self.extractor, "bytes_per_pixel", _BYTES_PER_PIXEL)
        at_once = getattr(self.extractor, "pixels_at_once", None)
        if at_once is None or pixels <= at_once:
            return int(pixels * each)
        return int(at_once * each + pixels * _IMAGE_BYTES)

    def values(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """float32 [n, dim] of uint8 H x W x 3 images of one size; not finite where an image has no such number."""
        return self.extractor.extract(pictures)


class Scorer(ImageFeatures):
    """An extractor and the regressor that was made for its weights (:class:`RegressorError` for others).

    With ``reference`` (uint8 H x W x 3) an image is scored by how far its features are from the reference's; the
    regressor then needs the mode fr, and images of another size are refused.
    """

    def __init__(self, extractor: Extractor, regressor: Regressor, *, reference: np.ndarray | None = None) -> None:
        regressor.require_weights(extractor.sha256, extractor.dim)
        mode = "nr" if reference is None else "fr"
        if mode not in regressor.modes:
            raise RegressorError(f"regressor {regressor.name}: has no mode {mode} (its database has no references)")
        super().__init__(extractor)
        self._fit: Linear = regressor.modes[mode]
        self._reference_size = None if reference is None else (reference.shape[0], reference.shape[1])
        self._short_side = regressor.card.get("short_side")  # SPAQ's protocol looks at images of a shorter side of 512
        self._reference = None if reference is None else extractor.extract([self._resized(reference)])

    def memory_need(self, height: int, width: int) -> int:
        """Bytes that an image of this size and its score take at most."""
        need = super().memory_need(height, width)
        if self._short_side is None:
            return need
        return max(need, super().memory_need(*images.short_side_size(height, width, int(self._short_side))))

    def require_size(self, height: int, width: int) -> None:
        """:class:`pipeline.images.ImageError` for an image of a size that can't be scored."""
        super().require_size(height, width)
        if self._reference_size is not None and (height, width) != self._reference_size:
            sizes = [f"{size[1]} x {size[0]}" for size in ((height, width), self._reference_size)]
            raise images.ImageError(f"{sizes[0]}, and the reference is {sizes[1]}")

    def values(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """float64 [n] of uint8 H x W x 3 images of one size; not finite where the features are not."""
        features = self.extractor.extract([self._resized(picture) for picture in pictures])
        return self._fit.predict(features if self._reference is None else np.abs(self._reference - features))

    def _resized(self, picture: np.ndarray) -> np.ndarray:
        return picture if self._short_side is None else images.to_short_side(picture, int(self._short_side))


def scores_table(rows: Iterable[FileRow], regressor: Regressor) -> pa.Table:
    """The rows as a table of :data:`SCORES`, with the regressor's card in the metadata of its schema."""
    same_for_all = {
        "encoder": str(regressor.card["encoder"]),
        "database": str(regressor.card["database"]),
        "higher_is_better": bool(regressor.card["higher_is_better"]),
    }
    plain = [{**row.columns(), "score": row.value, **same_for_all} for row in rows]
    metadata = {name: str(regressor.card[name]) for name in ("weights_sha256", "sha256", "range")}
    return pa.Table.from_pylist(plain, schema=SCORES).replace_schema_metadata(metadata)


def features_table(rows: Sequence[FileRow], extractor: Extractor) -> pa.Table:
    """The rows as a table of :func:`features_schema`, null where a file has no feature; the encoder's fingerprint is in
    the metadata of its schema.
    """
    schema = features_schema(extractor.dim)
    flat = np.zeros((len(rows), extractor.dim), np.float32)
    absent = np.array([row.value is None for row in rows], bool)
    for number, row in enumerate(rows):
        if row.value is not None:
            flat[number] = row.value
    lists = pa.FixedSizeListArray.from_arrays(
        pa.array(flat.reshape(-1)), type=schema.field("feature").type, mask=pa.array(absent)
    )
    plain = [{**row.columns(), "encoder": extractor.name} for row in rows]
    table = pa.Table.from_pylist(plain, schema=schema.remove(schema.get_field_index("feature")))
    metadata = {"encoder": extractor.name, "weights_sha256": extractor.sha256, "dim": str(extractor.dim)}
    return table.add_column(1, schema.field("feature"), lists).replace_schema_metadata(metadata)

"""Types 9 and 10: JPEG 2000 (OpenJPEG, a stand-in for MATLAB's codec) and JPEG.

A codec that fails is an error; no other codec takes its place.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.distortions.normalise import stretch_bytes
from pipeline.distortions.prepared import DistortionError, Prepared
from pipeline.distortions.types import Bytes

_RESOLUTIONS = 6
_SIZ, _COD, _PLT, _SOD = 0xFF51, 0xFF52, 0xFF58, 0xFF93


TOLERANCE = 0.02
"""How far from its target a level's size may be before it is encoded again."""

EMPTY = 128
"""Bytes that the packets of an empty layer have at most, next to a byte for every 8192 samples."""

_AGAIN = 0.99
"""Factor on the ratios of the levels that are encoded again. 0.98 overshoots by 2.5 to 3 % on most photographs."""


@dataclass(frozen=True)
class Layered:
    """One JPEG 2000 file of several quality layers, strongest compression first."""

    data: bytes
    layers_at: int
    """Where the number of layers stands in ``data`` (two bytes)."""
    sizes: tuple[int, ...]
    """Bytes of the file that would end after each layer."""
    samples: int
    """Height times width times 3."""

    def decode(self, layers: int) -> Bytes:
        """The image that the first ``layers`` layers give."""
        import imagecodecs

        cut = bytearray(self.data)
        cut[self.layers_at : self.layers_at + 2] = struct.pack(">H", layers)
        return np.asarray(imagecodecs.jpeg2k_decode(bytes(cut), numthreads=1))

    def distinct(self) -> list[int]:
        """The layers that decode to other pixels than the one before: where no coding pass fits, a layer is empty.

        Only layers of few bytes are decoded: an empty one has packet headers alone, at most some 1.5 bits for each
        code block of 64 x 64 samples.
        """
        kept = [1]
        few = EMPTY + self.samples // 8192
        for layer in range(2, len(self.sizes) + 1):
            added = self.sizes[layer - 1] - self.sizes[layer - 2]
            if added > few or not np.array_equal(self.decode(layer), self.decode(kept[-1])):
                kept.append(layer)
        return kept

    def nearest(self, target: float) -> int:
        """The layer whose size is nearest to ``target`` bytes and at most 2 % above; else the first. None is empty."""
        layers = self.distinct()
        return min(layers, key=lambda layer: _distance(self.sizes[layer - 1], target))


def _distance(size: int, target: float) -> tuple[bool, float]:
    """Order of sizes for a target: those more than 2 % above it last."""
    return size > (1 + TOLERANCE) * target, abs(size - target)


def _packet_lengths(body: bytes) -> list[int]:
    """Lengths from one PLT segment: seven bits a byte, the upper bit says that more follow."""
    lengths, value = [], 0
    for byte in body:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            lengths.append(value)
            value = 0
    return lengths


def _parse(data: bytes, layers: int, samples: int) -> Layered:
    """Find the layer count and the bytes of each layer (LRCP:
    layers follow one another) in a file with PLT segments.
    """
    at = data.index(b"\xff\x4f\xff\x51") + 2
    layers_at, marks, body = 0, 0, b""
    while True:
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == _SOD:
            break
        if marker == _COD:
            layers_at = at + 6
        if marker == _PLT:
            body += data[at + 5 : at + 2 + length]
            marks += 2 + length
        at += 2 + length
    lengths = _packet_lengths(body)
    if not layers_at or not lengths or len(lengths) % layers or at + 2 + sum(lengths) + 2 != len(data):
        raise DistortionError(f"jpeg2000: {len(data)} bytes with {len(lengths)} packets are not {layers} layers")
    each = np.add.reduce(np.reshape(lengths, (layers, -1)), axis=1)
    return Layered(data, layers_at, tuple(int(size) for size in at + 4 - marks + np.cumsum(each)), samples)


def encode_layers(image: Bytes, ratios: tuple[float, ...]) -> Layered:
    """``image`` in one file of len(ratios) layers, greatest compression ratio first: 9/7, colour transform, one tile.

    One encoding in place of five (46 ms instead of 230 for 512 x 512); each layer is within 0.08 dB of a file of its
    own.
    """
    from PIL import Image

    target = io.BytesIO()
    Image.fromarray(image).save(
        target,
        "JPEG2000",
        quality_mode="rates",
        quality_layers=list(ratios),
        irreversible=True,
        mct=1,
        num_resolutions=_RESOLUTIONS,
        progression="LRCP",
        plt=True,
    )
    return _parse(target.getvalue(), len(ratios), image.size)


@dataclass(frozen=True)
class Cut:
    """A file and how many of its layers a level takes."""

    file: Layered
    layers: int

    @property
    def size(self) -> int:
        """Bytes of the file that ends there."""
        return self.file.sizes[self.layers - 1]

    def decode(self) -> Bytes:
        """Its image."""
        return self.file.decode(self.layers)


def encode_levels(image: Bytes, ratios: tuple[float, ...]) -> dict[float, Cut]:
    """Each ratio's cut of one file; where it came out 2 to 10 % off, of a second file with 1 % more bytes there.

    OpenJPEG cuts a layer at whole coding passes, which are coarse at some 1,500 bytes. The second file's cut is taken
    if it has other pixels and is nearer to H W 3 / ratio. More layers around a ratio do not help: they are empty.
    """
    first = encode_layers(image, tuple(sorted(ratios, reverse=True)))
    cuts = {ratio: Cut(first, first.nearest(image.size / ratio)) for ratio in ratios}
    off = [ratio for ratio, cut in cuts.items() if TOLERANCE < abs(cut.size * ratio / image.size - 1) < 0.1]
    if not off:
        return cuts
    again = (ratio * _AGAIN if ratio in off else ratio for ratio in ratios)
    second = encode_layers(image, tuple(sorted(again, reverse=True)))
    for ratio in off:
        target = image.size / ratio
        cut = Cut(second, second.nearest(target))
        nearer = _distance(cut.size, target) < _distance(cuts[ratio].size, target)
        if nearer and not np.array_equal(cut.decode(), cuts[ratio].decode()):
            cuts[ratio] = cut
    return cuts


def cuts_of(prepared: Prepared, ratios: tuple[float, ...]) -> dict[float, Cut]:
    """The cuts of a prepared image, made once."""
    return prepared.keep("jpeg2000", lambda: encode_levels(prepared.pristine, ratios))


def jpeg2000(prepared: Prepared, ratio: float, ratios: tuple[float, ...]) -> Bytes:
    """Type 9, stand-in: OpenJPEG at H W 3 / ``ratio`` bytes; ``ratios`` are those of all levels."""
    return _same_shape(_run("jpeg2000", lambda: cuts_of(prepared, ratios)[ratio].decode()), prepared, "jpeg2000")


def reached(prepared: Prepared, ratio: float, ratios: tuple[float, ...]) -> dict[str, float]:
    """Bytes of a file that ends with this level's layer, and the bytes aimed at: H W 3 / ratio."""
    return {"bytes": cuts_of(prepared, ratios)[ratio].size, "target_bytes": prepared.image.size / ratio}


def jpeg(prepared: Prepared, quality: float) -> Bytes:
    """Type 10: baseline JPEG with the standard tables, 4:2:0, integer DCT."""
    import imagecodecs

    def through() -> Bytes:
        data = imagecodecs.jpeg8_encode(prepared.pristine, level=int(quality), subsampling="420")
        return np.asarray(imagecodecs.jpeg8_decode(data))

    return _same_shape(_run("jpeg", through), prepared, "jpeg")


def _run(name: str, codec: Callable[[], Bytes]) -> Bytes:
    """The result of ``codec``; any error of it becomes a ``DistortionError`` that names the type."""
    try:
        return codec()
    except Exception as error:
        raise DistortionError(f"{name}: the codec failed: {error}") from error


def _same_shape(decoded: Bytes, prepared: Prepared, name: str) -> Bytes:
    if decoded.shape != prepared.shape or decoded.dtype != np.uint8:
        raise DistortionError(f"{name}: decoded to {decoded.dtype} {decoded.shape} from {prepared.shape}")
    return stretch_bytes(decoded)

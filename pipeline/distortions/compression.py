"""Types 9 and 10: JPEG 2000 (OpenJPEG, a stand-in for MATLAB's codec) and JPEG. A codec that fails raises;
none replaces it.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.distortions.arrays import Bytes
from pipeline.distortions.prepared import DistortionError, Prepared
from pipeline.distortions.stretch import stretch_bytes

_RESOLUTIONS = 6
_SIZ, _COD, _PLT, _SOD = 0xFF51, 0xFF52, 0xFF58, 0xFF93


TOLERANCE = 0.02
"""How far from its target a level's size may be before a nearer layer is looked for."""

_NEARBY = (1.05, 1.04, 1.03, 1.02, 1.01, 1.0, 0.99, 0.98, 0.97, 0.96, 0.95, 0.94)


@dataclass(frozen=True)
class Layered:
    """One JPEG 2000 file of several quality layers, strongest compression first."""

    data: bytes
    layers_at: int
    """Where the number of layers stands in ``data`` (two bytes)."""
    sizes: tuple[int, ...]
    """Bytes of the file that would end after each layer."""

    def decode(self, layers: int) -> Bytes:
        """The image that the first ``layers`` layers give."""
        import imagecodecs

        cut = bytearray(self.data)
        cut[self.layers_at : self.layers_at + 2] = struct.pack(">H", layers)
        return np.asarray(imagecodecs.jpeg2k_decode(bytes(cut), numthreads=1))

    def nearest(self, target: float) -> int:
        """The number of layers whose size is nearest to ``target`` bytes and at most 2 % above; else the first."""
        sizes = np.array(self.sizes, np.float64)
        away = np.where(sizes <= (1 + TOLERANCE) * target, np.abs(sizes - target), np.inf)
        return int(np.argmin(away)) + 1


def _packet_lengths(body: bytes) -> list[int]:
    """Lengths from one PLT segment: seven bits a byte, the upper bit says that more follow."""
    lengths, value = [], 0
    for byte in body:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            lengths.append(value)
            value = 0
    return lengths


def _parse(data: bytes, layers: int) -> Layered:
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
    return Layered(data, layers_at, tuple(int(size) for size in at + 4 - marks + np.cumsum(each)))


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
    return _parse(target.getvalue(), len(ratios))


def encode_levels(image: Bytes, ratios: tuple[float, ...]) -> Layered:
    """``encode_layers``, and once more with layers around each ratio whose size came out 2 to 10 % off.

    OpenJPEG cuts a layer at whole coding passes, which are coarse at some 1,500 bytes: of 35 photographs of 512 x 384,
    8 needed it, and then all levels were within 2 % of H W 3 / ratio.
    """
    first = encode_layers(image, tuple(sorted(ratios, reverse=True)))
    wanted: list[float] = []
    for ratio, size in zip(sorted(ratios, reverse=True), first.sizes, strict=True):
        off = abs(size * ratio / image.size - 1)
        wanted += [ratio * factor for factor in _NEARBY] if TOLERANCE < off < 0.1 else [ratio]
    return first if len(wanted) == len(ratios) else encode_layers(image, tuple(wanted))


def layers_of(prepared: Prepared, ratios: tuple[float, ...]) -> Layered:
    """The layered file of a prepared image, made once."""
    return prepared.keep("jpeg2000", lambda: encode_levels(prepared.pristine, ratios))


def jpeg2000(prepared: Prepared, ratio: float, ratios: tuple[float, ...]) -> Bytes:
    """Type 9, stand-in: OpenJPEG at H W 3 / ``ratio`` bytes; ``ratios`` are those of all levels."""

    def through() -> Bytes:
        file = layers_of(prepared, ratios)
        return file.decode(file.nearest(prepared.image.size / ratio))

    return _same_shape(_run("jpeg2000", through), prepared, "jpeg2000")


def reached(prepared: Prepared, ratio: float, ratios: tuple[float, ...]) -> dict[str, float]:
    """Bytes of a file that ends with this level's layer, and the bytes aimed at: H W 3 / ratio."""
    file, target = layers_of(prepared, ratios), prepared.image.size / ratio
    return {"bytes": file.sizes[file.nearest(target) - 1], "target_bytes": target}


def jpeg(prepared: Prepared, quality: float) -> Bytes:
    """Type 10: baseline JPEG with the standard tables, 4:2:0, integer DCT."""
    import imagecodecs

    def through() -> Bytes:
        data = imagecodecs.jpeg8_encode(prepared.pristine, level=int(quality), subsampling="420")
        return np.asarray(imagecodecs.jpeg8_decode(data))

    return _same_shape(_run("jpeg", through), prepared, "jpeg")


def _run(name: str, codec: Callable[[], Bytes]) -> Bytes:
    """What ``codec`` gives; whatever it raises becomes a ``DistortionError`` that names the type."""
    try:
        return codec()
    except Exception as error:
        raise DistortionError(f"{name}: the codec failed: {error}") from error


def _same_shape(decoded: Bytes, prepared: Prepared, name: str) -> Bytes:
    if decoded.shape != prepared.shape or decoded.dtype != np.uint8:
        raise DistortionError(f"{name}: decoded to {decoded.dtype} {decoded.shape} from {prepared.shape}")
    return stretch_bytes(decoded)

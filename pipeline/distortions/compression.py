"""Types 9 and 10: JPEG 2000 (OpenJPEG, a stand-in for MATLAB's codec) and JPEG. A codec that fails raises;
none replaces it.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

import numpy as np

from pipeline.distortions.arrays import Bytes
from pipeline.distortions.prepared import DistortionError, Prepared
from pipeline.distortions.stretch import stretch_bytes

_RESOLUTIONS = 6
_SIZ, _COD, _PLT, _SOD = 0xFF51, 0xFF52, 0xFF58, 0xFF93


@dataclass(frozen=True)
class Layered:
    """One JPEG 2000 file whose quality layers are the five rates, strongest compression first."""

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


def layers_of(prepared: Prepared, ratios: tuple[float, ...]) -> Layered:
    """The layered file of a prepared image, made once."""
    return prepared.keep("jpeg2000", lambda: encode_layers(prepared.pristine, tuple(sorted(ratios, reverse=True))))


def jpeg2000(prepared: Prepared, ratio: float, ratios: tuple[float, ...]) -> Bytes:
    """Type 9, stand-in: OpenJPEG at H W 3 / ``ratio`` bytes; ``ratios`` are those of all levels."""
    layer = sorted(ratios, reverse=True).index(ratio) + 1
    decoded = layers_of(prepared, ratios).decode(layer)
    return _same_shape(decoded, prepared, "jpeg2000")


def reached(prepared: Prepared, ratio: float, ratios: tuple[float, ...]) -> dict[str, float]:
    """Bytes of a file that ends with this ratio's layer, and the bytes aimed at: H W 3 / ratio."""
    layer = sorted(ratios, reverse=True).index(ratio)
    return {"bytes": layers_of(prepared, ratios).sizes[layer], "target_bytes": prepared.image.size / ratio}


def jpeg(prepared: Prepared, quality: float) -> Bytes:
    """Type 10: baseline JPEG with the standard tables, 4:2:0, integer DCT."""
    import imagecodecs

    data = imagecodecs.jpeg8_encode(prepared.pristine, level=int(quality), subsampling="420")
    return _same_shape(np.asarray(imagecodecs.jpeg8_decode(data)), prepared, "jpeg")


def _same_shape(decoded: Bytes, prepared: Prepared, name: str) -> Bytes:
    if decoded.shape != prepared.shape or decoded.dtype != np.uint8:
        raise DistortionError(f"{name}: decoded to {decoded.dtype} {decoded.shape} from {prepared.shape}")
    return stretch_bytes(decoded)

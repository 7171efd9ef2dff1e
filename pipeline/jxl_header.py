"""What a JPEG XL file says of itself in its first bytes (ISO/IEC 18181-1, SizeHeader and ImageMetadata)."""

from __future__ import annotations

from dataclasses import dataclass

_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_SIZE_BITS = (9, 13, 18, 30)
_SAMPLE_BITS = (8, 10, 12)


@dataclass(frozen=True)
class JxlHeader:
    """Size in pixels, bits a sample (the largest is ``2**bits - 1``), whether samples are floats, whether it moves."""

    height: int
    width: int
    bits: int
    floating: bool
    animated: bool


def jxl_header(data: bytes) -> JxlHeader:
    """The header of a bare codestream or of one in a box container. ``ValueError`` if it is cut or odd."""
    stream = _codestream(data)
    if stream[:2] != b"\xff\x0a":
        raise ValueError("no codestream")
    bits = _Bits(stream[2:])
    height, width = _size(bits)
    if bits.take(1):  # all metadata at its defaults
        return JxlHeader(height, width, 8, False, False)
    if bits.take(1):  # extra fields
        bits.take(3)  # orientation: the decoder is told to keep it
        if bits.take(1):
            _size(bits)  # intrinsic size: a wish for the display
        if bits.take(1):
            raise ValueError("a preview image is not handled")
        if bits.take(1):
            return JxlHeader(height, width, 8, False, True)
    floating, choice = bool(bits.take(1)), bits.take(2)
    if floating:
        return JxlHeader(height, width, 32, True, False)
    return JxlHeader(height, width, _SAMPLE_BITS[choice] if choice < 3 else bits.take(6) + 1, False, False)


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits.take(1)
    height = (bits.take(5) + 1) * 8 if small else bits.take(_SIZE_BITS[bits.take(2)]) + 1
    ratio = bits.take(3)
    if ratio:
        numerator, denominator = _RATIOS[ratio - 1]
        return height, height * numerator // denominator
    return height, (bits.take(5) + 1) * 8 if small else bits.take(_SIZE_BITS[bits.take(2)]) + 1


def _codestream(data: bytes) -> bytes:
    """The start of the codestream: ``data`` itself, or the payload of the first ``jxlc`` or ``jxlp`` box."""
    if data[:2] == b"\xff\x0a":
        return data[:64]
    position = 0
    while position + 8 <= len(data):
        length, kind = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        head = 8
        if length == 1:
            length, head = int.from_bytes(data[position + 8 : position + 16], "big"), 16
        start = position + head + (4 if kind == b"jxlp" else 0)
        if kind in (b"jxlc", b"jxlp"):
            return data[start : start + 64]
        if length < head:
            break
        position += length
    raise ValueError("no codestream box")


class _Bits:
    """Bits of a byte string, least significant first."""

    def __init__(self, data: bytes) -> None:
        self.value, self.left = int.from_bytes(data, "little"), 8 * len(data)

    def take(self, count: int) -> int:
        if count > self.left:
            raise ValueError("header cut short")
        taken = self.value & ((1 << count) - 1)
        self.value, self.left = self.value >> count, self.left - count
        return taken

"""What a JPEG XL file says of itself in its first bytes (ISO/IEC 18181-1, SizeHeader and ImageMetadata)."""

from __future__ import annotations

from dataclasses import dataclass

_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_SIZE_BITS = (9, 13, 18, 30)
_ENUM = (0, 1, (4, 2), (6, 18))  # values of a choice of four: a number, or so many bits and what is added to them
_ALPHA, _SPOT, _BLACK, _CFA = 0, 2, 4, 5  # kinds of extra channels
_RGB, _GREY = 0, 1
_SRGB = (1, 1, 13)  # white point D65, primaries, transfer function
_OWN = 2  # primaries by numbers, which follow
_LONGEST = 2**11  # bytes that are looked at: a dozen extra channels with names


@dataclass(frozen=True)
class JxlSpace:
    """A colour space other than sRGB: by code points of H.273, where ``transfer`` may be a gamma instead; or, where
    both are None, by a profile in the file or by numbers of its own.
    """

    primaries: int | None = None
    transfer: int | float | None = None


@dataclass(frozen=True)
class JxlHeader:
    """Size in pixels, bits a sample (the largest is ``2**bits - 1``), whether samples are floats, whether it moves.

    Of its extra channels: ``alpha``, whether colours are ``premultiplied`` by it, and ``black``, the K of CMYK.
    ``orientation``: EXIF's 1..8. ``space``: the colour space; None for sRGB (or grey with its curve).
    """

    height: int
    width: int
    bits: int
    floating: bool
    animated: bool
    alpha: bool = False
    premultiplied: bool = False
    black: bool = False
    orientation: int = 1
    space: JxlSpace | None = None


def jxl_header(data: bytes) -> JxlHeader:
    """The header of a bare codestream or of one in a box container. ``ValueError`` if it is cut or odd."""
    stream = _codestream(data)
    if stream[:2] != b"\xff\x0a":
        raise ValueError("no codestream")
    bits = _Bits(stream[2:])
    height, width = _size(bits)
    if bits.take(1):  # all metadata at its defaults
        return JxlHeader(height, width, 8, False, False)
    orientation = 1
    if bits.take(1):  # extra fields
        orientation += bits.take(3)
        if bits.take(1):
            _size(bits)  # intrinsic size: a wish for the display
        if bits.take(1):
            raise ValueError("a preview image is not handled")
        if bits.take(1):
            return JxlHeader(height, width, 8, False, True)
    depth, floating = _depth(bits)
    if floating:
        return JxlHeader(height, width, 32, True, False)
    bits.take(1)  # whether 16 bits do while decoding
    kinds = [_extra(bits) for _ in range(bits.choice(0, 1, (4, 2), (12, 1)))]
    bits.take(1)  # whether it is lossy
    alpha, black = (any(kind == wanted for kind, _ in kinds) for wanted in (_ALPHA, _BLACK))
    premultiplied = any(by for _, by in kinds)
    return JxlHeader(height, width, depth, False, False, alpha, premultiplied, black, orientation, _space(bits))


def _depth(bits: _Bits) -> tuple[int, bool]:
    if not bits.take(1):
        return bits.choice(8, 10, 12, (6, 1)), False
    depth = bits.choice(32, 16, 24, (6, 1))
    bits.take(4)  # of the exponent
    return depth, True


def _extra(bits: _Bits) -> tuple[int, bool]:
    """The kind of an extra channel, and whether it is an alpha that the colours are multiplied by."""
    if bits.take(1):
        return _ALPHA, False
    kind = bits.choice(*_ENUM)
    _depth(bits)
    bits.choice(0, 3, 4, (3, 1))  # how much smaller it is
    bits.take(8 * bits.choice(0, (4, 0), (5, 16), (10, 48)))  # its name
    if kind == _SPOT:
        bits.take(4 * 16)
    if kind == _CFA:
        bits.choice(1, (2, 0), (4, 3), (8, 19))
    return kind, kind == _ALPHA and bool(bits.take(1))


def _space(bits: _Bits) -> JxlSpace | None:
    if bits.take(1):
        return None
    profile, space = bits.take(1), bits.choice(*_ENUM)
    if profile or space not in (_GREY, _RGB) or bits.choice(*_ENUM) != _SRGB[0]:  # another white
        return JxlSpace()
    primaries = bits.choice(*_ENUM) if space == _RGB else _SRGB[1]
    if primaries == _OWN:
        return JxlSpace()
    transfer: int | float = bits.take(24) / 1e7 if bits.take(1) else bits.choice(*_ENUM)
    return None if (primaries, transfer) == _SRGB[1:] else JxlSpace(primaries, transfer)


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
        return data[:_LONGEST]
    position = 0
    while position + 8 <= len(data):
        length, kind = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        head = 8
        if length == 1:
            length, head = int.from_bytes(data[position + 8 : position + 16], "big"), 16
        start = position + head + (4 if kind == b"jxlp" else 0)
        if kind in (b"jxlc", b"jxlp"):
            return data[start : start + _LONGEST]
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

    def choice(self, *options: int | tuple[int, int]) -> int:
        """One of four, by two bits: a number, or the number in so many bits plus another."""
        option = options[self.take(2)]
        return option if isinstance(option, int) else self.take(option[0]) + option[1]

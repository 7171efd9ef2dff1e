"""The size of an image from its first bytes, read here so that a cap is checked before a codec sees the file.

Some codecs reserve the whole canvas when they open a file: 20 GB for an animated WebP that says 50,000 x 50,000.
"""

from __future__ import annotations

from pipeline.images.arrays import ImageError
from pipeline.images.jxl import jxl_header

_NO_FRAME = (0xC4, 0xC8, 0xCC)  # JPEG markers between SOF0 and SOF15 that are no frame header: DHT, JPG, DAC
_LOSSLESS = (0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF)  # frame headers of what browsers cannot show either
_NO_LENGTH = (0x01, *range(0xD0, 0xD9))  # JPEG markers that stand alone: TEM, RSTn, SOI


def image_size(data: bytes, kind: str) -> tuple[int, int]:
    """Height and width in the header of a png, jpeg, webp, bmp, qoi or jxl file.

    ``ValueError`` if it is cut or odd, :class:`ImageError` for a JPEG of 12 bits or of the lossless kind.
    """
    if kind == "jxl":
        header = jxl_header(data)
        return header.height, header.width
    try:
        return {"png": _png, "jpeg": _jpeg, "webp": _webp, "bmp": _bmp, "qoi": _qoi}[kind](data)
    except IndexError:
        raise ValueError("header cut short") from None


def _png(data: bytes) -> tuple[int, int]:
    if data[12:16] != b"IHDR":
        raise ValueError("no IHDR chunk")
    return _big(data, 20, 4), _big(data, 16, 4)


def _qoi(data: bytes) -> tuple[int, int]:
    return _big(data, 8, 4), _big(data, 4, 4)


def _bmp(data: bytes) -> tuple[int, int]:
    if _little(data, 14, 4) == 12:  # OS/2's BITMAPCOREHEADER
        return _little(data, 20, 2), _little(data, 18, 2)
    height = int.from_bytes(_part(data, 22, 4), "little", signed=True)  # < 0: rows from the top
    return abs(height), _little(data, 18, 4)


def _webp(data: bytes) -> tuple[int, int]:
    chunk = data[12:16]
    if chunk == b"VP8X":
        return _little(data, 27, 3) + 1, _little(data, 24, 3) + 1
    if chunk == b"VP8L" and data[20:21] == b"\x2f":
        bits = _little(data, 21, 4)
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if chunk == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        return _little(data, 28, 2) & 0x3FFF, _little(data, 26, 2) & 0x3FFF
    raise ValueError("no VP8, VP8L or VP8X chunk")


def _jpeg(data: bytes) -> tuple[int, int]:
    position = 2
    while True:
        if data[position] != 0xFF:
            raise ValueError("no marker where one is due")
        while data[position] == 0xFF:  # a marker may be padded with any number of 0xFF
            position += 1
        marker = data[position]
        position += 1
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME:
            if (bits := data[position + 2]) != 8:
                message = f"a JPEG of {bits} bits a sample; 8 are read: save it as PNG, or with 8"
                raise ImageError(message, "colour mode")
            if marker in _LOSSLESS:
                raise ImageError("a lossless or hierarchical JPEG, which is not read: save it as PNG", "format")
            return _big(data, position + 3, 2), _big(data, position + 5, 2)
        if marker in (0xD9, 0xDA):
            raise ValueError("no frame header before the first scan")
        if marker not in _NO_LENGTH:
            position += _big(data, position, 2)


def _part(data: bytes, start: int, length: int) -> bytes:
    if start + length > len(data):
        raise IndexError
    return data[start : start + length]


def _big(data: bytes, start: int, length: int) -> int:
    return int.from_bytes(_part(data, start, length), "big")


def _little(data: bytes, start: int, length: int) -> int:
    return int.from_bytes(_part(data, start, length), "little")

"""The only door for pixels: listing, a capped decoder and a lossless encoder.

An image is ``uint8``, H x W x 3, RGB, upright, sRGB everywhere between parts. Whatever comes from a file passes
:func:`decode`.
"""

from pipeline.images.arrays import LUMA, ImageError, check, luma
from pipeline.images.colour import UNREADABLE
from pipeline.images.decoding import (
    MAX_PIXELS,
    declared_size,
    decode,
    decode_with_facts,
    decoding_bytes,
    read,
    read_bytes,
)
from pipeline.images.encoding import CODECS, encode
from pipeline.images.facts import Facts, conversions
from pipeline.images.hashing import perceptual_hash
from pipeline.images.listing import ENDINGS, Listing, is_image_name, list_images, walk
from pipeline.images.resizing import short_side_size, to_short_side

__all__ = [
    "CODECS",
    "ENDINGS",
    "LUMA",
    "MAX_PIXELS",
    "UNREADABLE",
    "Facts",
    "ImageError",
    "Listing",
    "check",
    "conversions",
    "declared_size",
    "decode",
    "decode_with_facts",
    "decoding_bytes",
    "encode",
    "is_image_name",
    "list_images",
    "luma",
    "perceptual_hash",
    "read",
    "read_bytes",
    "short_side_size",
    "to_short_side",
    "walk",
]

"""How much a Parquet table unpacks to, by the headers of its pages, before anything of it is unpacked.

The footer of a forged table may say anything, and nobody holds it against the pages: 100 kB of zstd become 2 GiB.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_ENCODINGS = (0, 2, 3, 8)  # plain, dictionary, run lengths: of the others some build a value on the one before it
# header of a data page, a dictionary, a data page of version 2 -> its field of the encoding
_KINDS = {5: 2, 7: 2, 8: 4}
_DEEPEST = 8  # structs in structs: a page's header has three


def unpacked_bytes(data: bytes, metadata: pq.FileMetaData) -> int:
    """The sum of the pages' sizes as they are decompressed; ``ValueError`` where a header is odd.

    Values that a dictionary repeats count once: what they come to is known when the dictionary is read.
    """
    total = 0
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(number)
            starts = [place for place in (chunk.dictionary_page_offset, chunk.data_page_offset) if place]
            for header in _headers(data, min(starts), chunk.total_compressed_size):
                total += header[2]
    return total


def _headers(data: bytes, start: int, length: int) -> Iterator[dict[int, Any]]:
    """The header of each page of a column chunk: field number -> value, structs as dicts of the same kind."""
    place, end = start, start + length
    if not 0 < start <= end <= len(data):
        raise ValueError("a column that lies outside of the file")
    while place < end:
        header, place = _struct(data, place, 0)
        kinds = [(header[field], at) for field, at in _KINDS.items() if field in header]
        if [type(kind) for kind, _ in kinds] != [dict] or kinds[0][0].get(kinds[0][1]) not in _ENCODINGS:
            raise ValueError("a page of a kind or an encoding that is not read")
        if not all(type(header.get(size)) is int and header[size] >= 0 for size in (2, 3)):
            raise ValueError("a page without a size")
        yield header
        place += header[3]


def _struct(data: bytes, place: int, depth: int) -> tuple[dict[int, Any], int]:
    """A struct in Thrift's compact protocol from ``place`` on, and where it ends."""
    if depth > _DEEPEST:
        raise ValueError("a page header that does not end")
    fields: dict[int, Any] = {}
    number = 0
    while kind := _byte(data, place):
        place += 1
        if kind >> 4:
            number += kind >> 4
        else:
            number, place = _integer(data, place)
        fields[number], place = _value(data, place, kind & 15, depth)
    return fields, place + 1


def _value(data: bytes, place: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (1, 2):
        return kind == 1, place
    if kind in (4, 5, 6):
        return _integer(data, place)
    if kind == 8:  # bytes: smallest and largest value
        length, place = _varint(data, place)
        return None, place + length
    if kind == 12:
        return _struct(data, place, depth + 1)
    raise ValueError("a page header with a field that page headers do not have")


def _integer(data: bytes, place: int) -> tuple[int, int]:
    value, place = _varint(data, place)
    return value >> 1 ^ -(value & 1), place


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte, place = _byte(data, place), place + 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise ValueError("a page header with a number that does not end")


def _byte(data: bytes, place: int) -> int:
    if not 0 <= place < len(data):
        raise ValueError("a page header that is cut")
    return data[place]

"""A file of weights, read without running anything in it; and what a file is that holds none.

The only place that opens a torch file which this project did not write: with ``weights_only=True``, which builds
tensors and plain containers and refuses everything else.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from pipeline.artifacts import ArtifactError

_HEAD = 512  # bytes that say what a file is
_OTHERS: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
    ("an empty file", lambda head: not head),
    ("a web page, not the file that its address names: download it again", lambda head: _is_page(head)),
    (
        "a Git LFS pointer, not the file itself: fetch it with git lfs pull",
        lambda head: head.startswith(b"version https"),
    ),
    ("a tar archive: unpack it, and import the file of weights inside", lambda head: head[257:262] == b"ustar"),
    ("a gzip archive: unpack it, and import the file of weights inside", lambda head: head.startswith(b"\x1f\x8b")),
    ("an HDF5 file (Keras), not weights of torch", lambda head: head.startswith(b"\x89HDF\r\n")),
    ("a numpy file, not weights of torch", lambda head: head.startswith(b"\x93NUMPY")),
)


def read_content(path: Path) -> object:
    """What a .safetensors file, or one of torch's, holds; :class:`ArtifactError` says what another file is."""
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise ArtifactError(f"{path}: {(error.strerror or 'can not be read').lower()}") from None
    other = next((name for name, fits in _OTHERS if fits(head)), None)
    if other is not None:
        raise ArtifactError(f"{path}: {other}")
    try:
        if head[8:9] == b"{" or path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with warnings.catch_warnings(action="ignore"):  # of old protocols: the reader of the message can do nothing
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each format's own kinds, the refusal of foreign code among them
        raise ArtifactError(f"{path}: {_why(head, str(error))}; nothing of it was run") from None


def _is_page(head: bytes) -> bool:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<!--"))


def _why(head: bytes, message: str) -> str:
    """Why torch or safetensors refuses a file that looks like theirs. Their own words advise to run its code."""
    if "TorchScript" in message:
        return "a TorchScript archive, which is code: save its state_dict() and import that"
    objects = sorted(set(re.findall(r"GLOBAL ([\w.]+\.\w+)", message)))
    if objects:
        named = ", ".join(objects[:3])
        return f"holds Python objects beside tensors ({named}): save its state_dict alone, where it was made"
    if head.startswith(b"PK\x03\x04"):
        return "a zip archive that is no whole checkpoint of torch"
    if head[8:9] == b"{":
        return "a damaged safetensors file"
    if head[:1] == b"\x80":
        return "a pickle of Python objects, not a checkpoint of torch"
    return "no file of weights that torch or safetensors wrote, or a damaged one"

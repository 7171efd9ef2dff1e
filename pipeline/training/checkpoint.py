"""The checkpoint: written whole or not at all, read only if it is ours, bit by bit what it was."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from pipeline.artifacts import ArtifactError, read_checksummed, sha256_bytes, write_bytes, write_checksummed

POINTER = "latest.json"


def save(folder: Path, state: dict[str, Any], *, step: int, identity: str) -> None:
    """Write ``state`` (tensors and plain containers) as ``step-{step}.pt``, then point ``latest.json`` at it.

    The pointer holds the sha256 and ``identity``, the fingerprint of all that the weights depend on. A run killed
    anywhere in here finds the checkpoint before. Older ones are removed last.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    name, data = f"step-{step:08d}.pt", buffer.getvalue()
    write_bytes(folder / name, data)
    pointer = {"file": name, "identity": identity, "sha256": sha256_bytes(data), "step": step}
    write_checksummed(folder / POINTER, pointer)
    for path in folder.iterdir():
        if path.name not in (name, POINTER) and (path.match("step-*.pt") or path.match("*.tmp")):
            path.unlink()


def load(folder: Path, identity: str) -> dict[str, Any] | None:
    """The latest state, or None if there is none of this identity. A file that is not what the pointer says is refused.

    Only then is it unpickled, with ``weights_only=True``: tensors and plain containers, no code.
    """
    if not (folder / POINTER).exists():
        return None
    pointer = read_checksummed(folder / POINTER)
    if pointer.get("identity") != identity:
        return None
    path = folder / str(pointer["file"])
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ArtifactError(f"{path}: named in {POINTER} and missing; remove {folder} to start again") from None
    if sha256_bytes(data) != pointer["sha256"]:
        raise ArtifactError(f"{path}: not the bytes that {POINTER} names; remove {folder} to start again")
    state: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return state

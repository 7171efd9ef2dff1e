"""The only source of randomness: a generator that depends on (seed, stage, keys), not on order, worker or machine."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np


def generator(seed: int, stage: str, *keys: int) -> np.random.Generator:
    """A Philox generator that depends on nothing but its arguments.

    ``seed`` is the run's seed, ``stage`` names what draws (``"distort/photos"``), ``keys`` say which piece of work
    (a source, an epoch). All must be integers >= 0, keys below 2^32 (SeedSequence cuts a larger one into several, which
    another list of keys could equal); ``ValueError`` otherwise. The stage's name enters as the first 16 bytes of its
    sha256, so that adding a stage moves no other stage's draws.
    """
    for value in (seed, *keys):
        if int(value) != value or value < 0:
            raise ValueError(f"seeding: seed and keys must be integers >= 0, got {value!r} for stage {stage!r}")
    if any(key >= 2**32 for key in keys):
        raise ValueError(f"seeding: keys must be below 2**32, got {keys!r} for stage {stage!r}")
    sequence = np.random.SeedSequence([int(seed), _number(stage), *(int(key) for key in keys)])
    return np.random.Generator(np.random.Philox(sequence))


@lru_cache(maxsize=256)
def _number(stage: str) -> int:
    return int.from_bytes(hashlib.sha256(stage.encode()).digest()[:16], "big")

"""Progress of a long run on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def progress(items: Iterable[Item], *, total: int, describe: str) -> Iterator[Item]:
    """Pass ``items`` through and show how many are done: a bar on a terminal, else a line about every ten seconds."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=total, desc=describe, dynamic_ncols=True)
        return
    start = last = time.monotonic()
    for count, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= 10 or (count == total and now - start >= 5):
            last = now
            print(f"{describe}: {count}/{total}, {now - start:.0f} s", file=sys.stderr, flush=True)

"""``kernel``: numba's ``njit`` with a disk cache that looks at every file of this package.

Numba keeps compiled code on disk and drops it when the file of its function changes. A kernel also holds constants,
intrinsics and inlined functions of other files: after a change there, numba would run the old code. Here the stamp of
a cached kernel is the sha256 of all Python files of the package, so that a change of any of them compiles all again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba import config, njit
from numba.core import caching


@cache
def _package_stamp() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


class PackageLocator:
    """Numba's own choice of a cache folder (NUMBA_CACHE_DIR, ``__pycache__``, the user's), with the package's stamp."""

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> Any:
        """The first of numba's locators that may write; None if none may."""
        for locator in (caching.UserProvidedCacheLocator, caching.InTreeCacheLocator, caching.UserWideCacheLocator):
            chosen = locator.from_function(function, file)  # type: ignore[no-untyped-call]
            if chosen is not None:
                chosen.get_source_stamp = _package_stamp
                return chosen
        return None


def kernel(signature: Any, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function for ``signature`` when its module is imported, and keep the code on disk; it runs without GIL.

    The setting NUMBA_CACHE_LOCATOR_CLASSES makes numba use ``PackageLocator``, for this function only.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        settings = vars(config)
        before = settings["CACHE_LOCATOR_CLASSES"]
        settings["CACHE_LOCATOR_CLASSES"] = f"{__name__}.{PackageLocator.__name__}"
        try:
            return njit(signature, cache=True, nogil=True, **options)(function)
        finally:
            settings["CACHE_LOCATOR_CLASSES"] = before

    return compiled

"""Compiled code on disk is used again as long as no file of its package has changed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pipeline.sources.dead_leaves import kernel

LOOP = """
from numba import types
from {package}.kernel import kernel
from {package}.constants import STEP

@kernel(types.int64(types.int64))
def times_step(n):
    return n * STEP

print(times_step(3), sum(times_step.stats.cache_hits.values()))
"""


def test_a_change_of_another_file_of_the_package_compiles_again(tmp_path: Path) -> None:
    package = tmp_path / "drawing"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "kernel.py").write_bytes(Path(kernel.__file__).read_bytes())
    (package / "loop.py").write_text(LOOP.format(package="drawing"))
    printed = []
    for step in (5, 5, 7):
        (package / "constants.py").write_text(f"STEP = {step}\n")
        ran = subprocess.run(
            [sys.executable, "-c", "import drawing.loop"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        printed.append(ran.stdout.split())
    assert printed == [["15", "0"], ["15", "1"], ["21", "0"]]

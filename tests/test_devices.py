"""Cores and memory under a container's limits, in both forms of control groups; devices and precision."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.devices import Device, DeviceError, cores, free_memory, resolve_device, resolve_precision


def written(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_cores_are_those_of_the_affinity(tmp_path: Path) -> None:
    allowed = os.sched_getaffinity(0)
    assert cores(tmp_path, tmp_path / "none") == len(allowed)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert cores(tmp_path, tmp_path / "none") == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu.max": "300000 100000"}, 3),
        ({"cpu.max": "150000 100000"}, 1),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "1600000 100000"}, 8),
        ({"cpu.max": "400000 100000", "a/cpu.max": "200000 100000", "a/b/cpu.max": "max 100000"}, 2),  # a parent's
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ({"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"}, 2),
        ({"cpu/c/cpu.cfs_quota_us": "50000", "cpu/c/cpu.cfs_period_us": "10000"}, 5),
        ({"cpu.max": "nonsense"}, 8),
    ],
)
def test_a_quota_counts_as_cores(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    for name, text in files.items():
        written(tmp_path / "groups" / name, text + "\n")
    written(tmp_path / "membership", "4:cpuacct,cpu:/c\n3:memory:/m\n0::/a/b\n")
    assert cores(tmp_path / "groups", tmp_path / "membership") == expected


@pytest.mark.usefixtures("many")
def test_a_path_of_the_host_leaves_the_containers_root(tmp_path: Path) -> None:
    written(tmp_path / "groups" / "cpu.max", "200000 100000\n")
    written(tmp_path / "membership", "0::/system.slice/docker-0123.scope\n")
    assert cores(tmp_path / "groups", tmp_path / "membership") == 2


def test_a_containers_limit_bounds_the_free_memory(tmp_path: Path) -> None:
    written(tmp_path / "membership", "3:memory:/m\n0::/\n")
    groups = tmp_path / "groups"
    groups.mkdir()
    free = free_memory(groups, tmp_path / "membership")
    assert 10_000_000 < free < 2**50  # no groups, no limit
    written(groups / "memory.stat", "anon 5\ninactive_file 3000000\n")
    written(groups / "memory.current", "8000000\n")
    written(groups / "memory.max", "max\n")
    assert free_memory(groups, tmp_path / "membership") > 10_000_000
    written(groups / "memory.max", "9000000\n")
    assert free_memory(groups, tmp_path / "membership") == 9_000_000 - 8_000_000 + 3_000_000
    for name, text in (
        ("stat", "cache 7\ntotal_inactive_file 0"),
        ("usage_in_bytes", "600"),
        ("limit_in_bytes", "1000"),
    ):
        written(groups / "memory" / "m" / f"memory.{name}", text + "\n")
    assert free_memory(groups, tmp_path / "membership") == 400


def test_devices_and_precisions() -> None:
    assert resolve_device("cpu") == Device("cpu", cores())
    with pytest.raises(DeviceError, match="run.device: 'tpu' is not one of auto, cpu, cuda"):
        resolve_device("tpu")
    assert resolve_precision("bf16", Device("cpu")) == "bf16" and resolve_precision("fp32", Device("cuda")) == "fp32"
    assert resolve_precision("auto", Device("cpu")) in ("fp32", "bf16")

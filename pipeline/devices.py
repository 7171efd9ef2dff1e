"""What this process may use: cores, memory, the device that computes, and the precision it is good at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from pipeline import Refusal

Kind = Literal["cpu", "cuda"]
BF16_FLAGS = ("avx512_bf16", "amx_bf16")  # on a CPU without them bf16 is emulated, and slower than fp32
GROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


class DeviceError(Refusal, ValueError):
    """The device that was asked for cannot be used; the message names the key."""


@dataclass(frozen=True)
class Device:
    """``kind`` is what torch calls it; ``ranks`` is how many processes use it well: one a GPU, one a core."""

    kind: Kind
    ranks: int = 1


def cores(groups: Path = GROUPS, membership: Path = MEMBERSHIP) -> int:
    """Cores that this process may use, at least 1: those of its affinity, and no more than its container's CPU quota
    (cgroup v1 or v2; 1.5 cores count as one).
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [allowed, *_quotas_v2(groups, membership), *_quotas_v1(groups, membership)]
    return max(1, int(min(quotas)))


def free_memory(groups: Path = GROUPS, membership: Path = MEMBERSHIP) -> int:
    """Bytes that are free now, on the machine and below the limits of its containers, page cache counted as free."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    v2 = ("memory.max", "memory.current", "inactive_file")
    v1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    limits = [_left(folder, *v2) for folder in _groups("", groups, membership)]
    limits += [_left(folder, *v1) for folder in _groups("memory", groups, membership)]
    return min([free, *(limit for limit in limits if limit is not None)])


def resolve_device(wanted: str) -> Device:
    """``wanted`` is auto, cpu or cuda; auto is cuda where torch sees a GPU. :class:`DeviceError` for anything else, and
    for cuda without a GPU.
    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise DeviceError(f"run.device: {wanted!r} is not one of auto, cpu, cuda")
    if wanted != "cpu":
        import torch

        if torch.cuda.is_available():
            return Device("cuda", torch.cuda.device_count())
        if wanted == "cuda":
            raise DeviceError("run.device: cuda is asked for and torch sees no GPU")
    return Device("cpu", cores())


def resolve_precision(wanted: str, device: Device) -> Literal["fp32", "bf16"]:
    """fp32 or bf16. ``auto`` is bf16 where the hardware has it, by its flags and not by a clock: a machine always
    says the same.
    """
    if wanted != "auto":
        return cast(Literal["fp32", "bf16"], wanted)
    if device.kind == "cuda":
        import torch

        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    try:
        flags = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags"))
    except (OSError, StopIteration):
        return "fp32"
    return "bf16" if any(flag in flags.split() for flag in BF16_FLAGS) else "fp32"


def _groups(controller: str, groups: Path, membership: Path) -> Iterator[Path]:
    """The control groups that this process is in, from its own up to the root: each may limit it. ``controller`` is ""
    for cgroup v2. Inside a container the path may be the host's; then only the root is there.
    """
    try:
        lines = [line.split(":", 2) for line in membership.read_text().splitlines()]
    except OSError:
        lines = []
    path = next((line[2] for line in lines if controller in line[1].split(",")), "/")
    root = groups / controller
    own = root / path.lstrip("/")
    yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(root) and folder.is_dir())


def _quotas_v2(groups: Path, membership: Path) -> Iterator[float]:
    for folder in _groups("", groups, membership):
        try:
            quota, period = (folder / "cpu.max").read_text().split()
            yield int(quota) / int(period)
        except (OSError, ValueError, ZeroDivisionError):  # no such file, or the word "max"
            continue


def _quotas_v1(groups: Path, membership: Path) -> Iterator[float]:
    for folder in _groups("cpu", groups, membership):
        try:
            quota, period = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        except (OSError, ValueError):
            continue
        if quota > 0 and period > 0:  # -1: no limit
            yield quota / period


def _left(folder: Path, limit: str, used: str, cached: str) -> int | None:
    """Bytes below a control group's limit, with the page cache that it can drop; None without a limit."""
    try:
        entries = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        taken = int((folder / used).read_text()) - int(entries[cached])
        return max(0, int((folder / limit).read_text()) - taken)
    except (OSError, ValueError, KeyError):  # no such group, or the word "max"
        return None

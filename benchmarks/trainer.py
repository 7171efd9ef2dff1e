"""The trainer: the loss beside its peers, and the share of a step that waits for data.

    python -m benchmarks.trainer [--json] [--rows 4096] [--repeats 5] [--steps 30]

The loss is timed forward and backward in CPU seconds on one thread, each form in a process of its own, with its peak
memory above what the imports take. The peers are pytorch-metric-learning's SupConLoss, if it is installed (it is no
dependency), and the plain way with an N x N mask of positives. The waiting share comes from a run of the small
profile's shapes on stand-in images, with as many threads as cores. About a minute.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import process_time

import numpy as np

FORMS = ("ours", "mask", "pml")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--form", choices=FORMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.form:
        print(json.dumps(measure(options.form, options.rows, options.repeats)))
        return
    forms = [form for form in FORMS if form != "pml" or importlib.util.find_spec("pytorch_metric_learning")]
    found = {form: in_process(form, options.rows, options.repeats) for form in forms}
    peer = "pml" if "pml" in found else "mask"
    print(f"loss, N = {options.rows}, K = 128, 126 classes, fp32, forward and backward, 1 thread")
    print(f"{'form':<6} {'CPU ms':>8} {'memory MiB':>11} {'loss':>10}")
    for form, row in found.items():
        print(f"{form:<6} {row['seconds'] * 1e3:>8.0f} {row['memory'] / 2**20:>11.0f} {row['loss']:>10.5f}")
    figures: dict[str, float | str] = {
        "loss_peer": peer,
        "loss_time_ratio": found[peer]["seconds"] / found["ours"]["seconds"],
        "loss_memory_ratio": found[peer]["memory"] / found["ours"]["memory"],
        **waiting(options.steps),
    }
    for name, value in figures.items():
        print(f"{name:<20} {value if isinstance(value, str) else format(value, '.3f')}")
    if options.json:
        print(json.dumps(figures))


def in_process(form: str, rows: int, repeats: int) -> dict[str, float]:
    """``measure`` in a process of its own, so that one form's memory is not another's."""
    options = ["--form", form, "--rows", str(rows), "--repeats", str(repeats)]
    command = [sys.executable, "-m", "benchmarks.trainer", *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(form: str, rows: int, repeats: int) -> dict[str, float]:
    """Median CPU seconds of forward and backward, peak memory above the imports', and the loss."""
    import torch

    torch.set_num_threads(1)
    function = loss_of(form)
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(rows, 128, generator=generator).requires_grad_()
    labels = torch.randint(126, (rows // 8,), generator=generator).repeat_interleave(8)
    small = torch.randn(64, 128, requires_grad=True)
    function(small, labels[:64]).backward()  # what is loaded and allocated at the first call is no form's memory
    before, times = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, []
    for _ in range(repeats + 1):
        embeddings.grad = None
        start = process_time()
        loss = function(embeddings, labels)
        loss.backward()
        times.append(process_time() - start)
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return {"seconds": statistics.median(times[1:]), "memory": memory, "loss": float(loss)}


def loss_of(form: str):  # noqa: ANN201 - torch is imported only in the measuring process
    import torch

    if form == "pml":
        from pytorch_metric_learning.losses import SupConLoss

        return SupConLoss(temperature=0.1)
    if form == "ours":
        from pipeline.training.loss import contrastive_loss

        return lambda z, labels: contrastive_loss(z, labels, temperature=0.1, classes=126).value

    def mask(z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        unit = torch.nn.functional.normalize(z, dim=1)
        own = torch.eye(len(unit), dtype=torch.bool)
        positive = (labels[:, None] == labels[None]) & ~own
        similarity = (unit @ unit.T / 0.1).masked_fill(own, -torch.inf)
        logs = torch.where(positive, similarity - similarity.logsumexp(1, keepdim=True), 0.0)
        count = positive.sum(1)
        return -(logs.sum(1)[count > 0] / count[count > 0]).mean()

    return mask


class Stand:
    """The small profile's images in shape: 126 classes of 8 sources, 256 x 256 noise, decoded from QOI each time."""

    def __init__(self) -> None:
        from pipeline.images import encode

        self.labels = np.tile(np.arange(126, dtype=np.int16), 8)
        self.keys = [str(index) for index in range(len(self.labels))]
        chance = np.random.default_rng(0)
        self._files = [encode(chance.integers(0, 256, (256, 256, 3), dtype=np.uint8)) for _ in range(8)]

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> np.ndarray:
        """uint8 256 x 256 x 3."""
        from pipeline.images import decode

        return decode(self._files[index % 8])


def waiting(steps: int) -> dict[str, float]:
    """The median step's share of waiting and crops/s, without the cache: the worst an epoch can be."""
    import pyarrow.parquet as pq

    from pipeline.params import TrainParams
    from pipeline.training.job import Job
    from pipeline.training.trainer import train

    data = Stand()
    params = TrainParams(warmup=0, epochs=steps / (len(data) // TrainParams().batch))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        train(
            Job(
                data=data,
                rows=np.arange(len(data)),
                params=params,
                seed=0,
                name="benchmark",
                out=out,
                checkpoints=out / "checkpoints",
                threads=os.cpu_count(),
                cache="none",
            )
        )
        table = pq.read_table(out / "history.parquet").slice(3)
    speed, share = (float(np.median(table[name].to_numpy())) for name in ("crops_per_s", "waiting"))
    return {"data_wait_share": share, "crops_per_s": speed}


if __name__ == "__main__":
    main()

"""The trainer: the loss beside its peers, the share of a step that waits for data, the trunk beside an independent one.

    python -m benchmarks.trainer [--json] [--rows 4096] [--repeats 5] [--steps 30] [--gpu]

The loss is timed forward and backward in CPU seconds on one thread, each form in a process of its own, with its peak
memory above what the imports take. The peers are pytorch-metric-learning's SupConLoss, if it is installed (it is no
dependency), and the plain way with an N x N mask of positives. The waiting share comes from a run of the small
profile's shapes on stand-in images, with as many threads as cores. The features of a ResNet-50 with random weights are
compared with those of transformers' ResNetModel, if that is installed. About a minute.

``--gpu`` measures nothing but the trainer on a GPU beside the bare step: ResNet-50, 256 x 256, bf16, batches of 512
images, and the bare step in other ways. About three minutes.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

    from pipeline.encoder.network import ResNet
    from pipeline.params import TrainingParams

FORMS = ("ours", "mask", "pml")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--form", choices=FORMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.form:
        print(json.dumps(measure(options.form, options.rows, options.repeats)))
        return
    figures = on_gpu() if options.gpu else on_cpu(options.rows, options.repeats, options.steps)
    for name, value in figures.items():
        print(f"{name:<22} {value if isinstance(value, str) else format(value, '.3g')}")
    if options.json:
        print(json.dumps(figures))


def on_cpu(rows: int, repeats: int, steps: int) -> dict[str, float | str]:
    """The figures of the loss, of the waiting and of the features."""
    forms = [form for form in FORMS if form != "pml" or importlib.util.find_spec("pytorch_metric_learning")]
    found = {form: in_process(form, rows, repeats) for form in forms}
    peer = "pml" if "pml" in found else "mask"
    print(f"loss, N = {rows}, K = 128, 126 classes, fp32, forward and backward, 1 thread")
    print(f"{'form':<6} {'CPU ms':>8} {'memory MiB':>11} {'loss':>10}")
    for form, row in found.items():
        print(f"{form:<6} {row['seconds'] * 1e3:>8.0f} {row['memory'] / 2**20:>11.0f} {row['loss']:>10.5f}")
    figures: dict[str, float | str] = {
        "loss_peer": peer,
        "loss_time_ratio": found[peer]["seconds"] / found["ours"]["seconds"],
        "loss_memory_ratio": found[peer]["memory"] / found["ours"]["memory"],
        **waiting(steps),
    }
    if importlib.util.find_spec("transformers"):
        figures["features_difference"] = features_difference()
    else:
        print("transformers is not installed: features_difference is not measured")
    return figures


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
    """Images in shape: 126 classes of 8 sources, ``side`` x ``side`` noise, decoded from QOI each time."""

    def __init__(self, side: int = 256) -> None:
        from pipeline.images import encode

        self.labels = np.tile(np.arange(126, dtype=np.int16), 8)
        self.shapes = np.full((len(self.labels), 2), side, np.int32)
        self.keys = [str(index) for index in range(len(self.labels))]
        chance = np.random.default_rng(0)
        self._files = [encode(chance.integers(0, 256, (side, side, 3), dtype=np.uint8)) for _ in range(8)]

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> np.ndarray:
        """uint8 side x side x 3."""
        from pipeline.images import decode

        return decode(self._files[index % 8])


def trained(
    data: Stand, params: TrainingParams, skip: int, kind: str = "cpu", threads: int | None = None, **options: object
) -> tuple[float, float]:
    """crops/s and the share of waiting of a run, without its first ``skip`` steps."""
    import pyarrow.parquet as pq

    from pipeline.devices import Device, resolve_precision
    from pipeline.training.loop import Run, train
    from pipeline.training.methods.contrastive import Contrastive

    device = Device(kind)
    precision = resolve_precision(params.precision, device)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        run = Run(
            name="benchmark",
            out=out,
            checkpoints=out / "checkpoints",
            device=device,
            precision=precision,
            threads=threads,
        )
        train(run, partial(Contrastive, images=data, params=params, seed=0, **options))
        table = pq.read_table(Path(folder) / "history.parquet").slice(skip)
    speed, share = (table[name].to_numpy() for name in ("crops_per_s", "waiting"))
    return statistics.harmonic_mean(speed.tolist()), float(np.average(share, weights=1 / speed))  # of the seconds


def waiting(steps: int) -> dict[str, float]:
    """The share of waiting and crops/s of the small profile, without the cache: the worst an epoch can be."""
    from pipeline.params import load

    data, small = Stand(), load(Path(__file__).parents[1] / "manifests/profiles/small.yaml").training
    params = small.model_copy(update={"warmup": 0.0, "epochs": steps / (len(data) // small.batch)})
    speed, share = trained(data, params, 3, threads=os.cpu_count(), cache="none")
    return {"data_wait_share": share, "crops_per_s": speed}


def features_difference() -> float:
    """The largest difference of any number of the features of a ResNet-50 with random weights, both scales."""
    import torch
    import torch.nn.functional as F

    from pipeline.encoder.network import ResNet, initialise
    from pipeline.encoder.preprocessing import half_scale
    from pipeline.encoder.trunk import TrunkExtractor, as_input

    trunk, chance = ResNet(50), torch.Generator().manual_seed(0)
    initialise(trunk, chance)
    with torch.no_grad():
        for value in trunk.state_dict().values():  # norms that differ from place to place, as a trained network's
            if value.is_floating_point() and value.ndim == 1:
                value += 0.1 * (torch.rand(value.shape, generator=chance) - 0.5)
    pictures = np.random.default_rng(0).integers(0, 256, (4, 192, 256, 3), dtype=np.uint8)
    ours, theirs = TrunkExtractor(trunk, name="x", sha256="").extract(list(pictures)), same_weights(trunk)
    pixels = as_input(torch.from_numpy(pictures))
    with torch.no_grad():
        vectors = [theirs(scale).pooler_output.flatten(1) for scale in (pixels, half_scale(pixels))]
    expected = torch.cat([F.normalize(vector, dim=1) for vector in vectors], 1).numpy()
    return float(np.abs(ours - expected).max())


def same_weights(trunk: ResNet) -> torch.nn.Module:
    """transformers' network of the same shape, in eval mode, with every tensor of ``trunk`` under its own key names."""
    from transformers import ResNetConfig, ResNetModel

    from pipeline.encoder.network import BLOCKS

    expansion = 4 if trunk.depth == 50 else 1
    config = ResNetConfig(
        embedding_size=trunk.width,
        hidden_sizes=[trunk.width * expansion * 2**stage for stage in range(4)],
        depths=list(BLOCKS[trunk.depth]),
        layer_type="bottleneck" if expansion == 4 else "basic",
    )
    model: torch.nn.Module = ResNetModel(config)
    model.load_state_dict({_their_key(key): value for key, value in trunk.state_dict().items()})
    return model.eval()


def _their_key(key: str) -> str:
    kinds = {"conv": "convolution", "bn": "normalization"}
    if match := re.fullmatch(r"(conv|bn)1\.(\w+)", key):
        return f"embedder.embedder.{kinds[match[1]]}.{match[2]}"
    if match := re.fullmatch(r"layer(\d)\.(\d)\.downsample\.([01])\.(\w+)", key):
        kind = kinds["conv" if match[3] == "0" else "bn"]
        return f"encoder.stages.{int(match[1]) - 1}.layers.{match[2]}.shortcut.{kind}.{match[4]}"
    match = re.fullmatch(r"layer(\d)\.(\d)\.(conv|bn)(\d)\.(\w+)", key)
    assert match, key
    block = f"encoder.stages.{int(match[1]) - 1}.layers.{match[2]}.layer.{int(match[4]) - 1}"
    return f"{block}.{kinds[match[3]]}.{match[5]}"


def on_gpu() -> dict[str, float | str]:
    """The whole trainer beside the bare step on random data, with the images on the device, and on the host."""
    import torch

    from pipeline.params import TrainingParams

    if not torch.cuda.is_available():
        return {"gpu": "torch sees none: nothing measured"}
    params = TrainingParams(
        depth=50, width=64, projector_width=2048, crop=256, batch=512, precision="bf16", warmup=0, epochs=40
    )
    ways = {
        "contiguous": bare(params, channels=False),
        "channels_last": bare(params),
        "channels_last, fp32": bare(params.model_copy(update={"precision": "fp32"})),
        "channels_last, compiled": bare(params, compiled=True),
        "channels_last, 256 images": bare(params.model_copy(update={"batch": 256})),
    }
    print("bare step, ResNet-50, 256 x 256, 512 images of two crops, bf16: crops/s")
    for name, speed in ways.items():
        print(f"{name:<28} {speed:>8.0f}")
    figures: dict[str, float | str] = {"gpu": torch.cuda.get_device_name(), "bare_crops_per_s": ways["channels_last"]}
    for cache in ("device", "host"):
        readers = os.cpu_count() or 1
        speed, share = trained(Stand(512), params, 10, kind="cuda", cache=cache, readers=readers)
        figures |= {f"crops_per_s_{cache}": speed, f"ratio_{cache}": speed / ways["channels_last"]}
        figures[f"data_wait_share_{cache}"] = share
    return figures


def bare(params: TrainingParams, channels: bool = True, compiled: bool = False, steps: int = 20) -> float:
    """crops/s of forward, backward and update on one batch of noise that lies on the device."""
    import torch

    from pipeline.training.optimisers import sgd
    from pipeline.training.projector import build

    torch.backends.cudnn.benchmark = True
    order = torch.channels_last if channels else torch.contiguous_format
    model = build(params, torch.Generator().manual_seed(0)).cuda().to(memory_format=order)
    optimiser = sgd(model, momentum=0.9, weight_decay=1e-4, decay_norms=False)
    crops = torch.rand(2 * params.batch, 3, params.crop, params.crop, device="cuda").contiguous(memory_format=order)
    forward = torch.compile(model) if compiled else model
    for step in range(steps + 5):
        if step == 5:
            torch.cuda.synchronize()
            start = perf_counter()
        with torch.autocast("cuda", torch.bfloat16, params.precision == "bf16"):
            embeddings = forward(crops)
        optimiser.zero_grad(set_to_none=True)
        embeddings.float().square().mean().backward()
        optimiser.step()
    torch.cuda.synchronize()
    return steps * len(crops) / (perf_counter() - start)


if __name__ == "__main__":
    main()

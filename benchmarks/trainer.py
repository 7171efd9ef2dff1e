"""The trainer: its step beside the old one, ranks beside one process, the loss beside its peers, waiting, the trunk.

    python -m benchmarks.trainer [--json] [--only step,ranks,loss,waiting,memory,features] [--steps 20] [--gpu]

- step: the released recipe (ResNet-18 of width 32, 64 images, crops of 96, bf16), one thread, whole steps of the loop
  with views, loss, update and moving average; the old step (torch's own operations, one after the other) and the new
  one take turns in one process. step_ratio is that of the medians of CPU seconds.
- ranks: the same recipe by one process, by two ranks of one thread each, and by two processes apart, which take turns
  of a few steps, alone and beside a process that keeps one core busy. rank_speedup is that of the medians of wall
  seconds, and speedup_of_two_apart is what it could be at most: run it on idle cores.
  Then what the ranks exchange, by itself: the gradients in shared memory and by gloo, and the 40 small sums of a
  step's batch norms, of which a ResNet-18 has 20.
- loss: forward and backward in CPU seconds on one thread, each form in a process of its own, with its peak memory above
  what the imports take. The peers are pytorch-metric-learning's SupConLoss, if it is installed (it is no dependency),
  and the plain way with an N x N mask of positives.
- waiting: the share of a step that waits for data, of the small profile's recipe, every image decoded each time: from
  memory, and from shards of 256 x 256 that a server on this machine streams.
- memory: the peak of a step of paper 3 (two crops of 224 of each image, 32 labelled ones, ResNet-18 of width 16, fp32)
  above what the imports take: 125 images in one pass beside 1,000 with `accumulate: cached`, 125 at a time.
- features: a ResNet-50 with random weights beside transformers' ResNetModel, if that is installed.

``--gpu`` measures nothing but the trainer on a GPU beside the bare step (forward, backward and update on data that lies
on the device): ResNet-50, 256 x 256, bf16, 512 images, and the bare step in other ways. About three minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

    from pipeline.encoder.network import ResNet
    from pipeline.params import TrainingParams
    from pipeline.shards.streamed import StreamedImages

FORMS = ("ours", "mask", "pml")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", default="step,ranks,loss,waiting,memory,features", help="parts, separated by commas")
    parser.add_argument("--rows", type=int, default=4096, help="of the loss")
    parser.add_argument("--repeats", type=int, default=5, help="of the loss")
    parser.add_argument("--steps", type=int, default=20, help="of each other figure")
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--form", choices=FORMS, help=argparse.SUPPRESS)
    parser.add_argument("--images", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.images:
        print(json.dumps(joint_step(options.images)))
        return
    if options.form:
        print(json.dumps(measure(options.form, options.rows, options.repeats)))
        return
    figures = on_gpu() if options.gpu else on_cpu(options.only.split(","), options)
    for name, value in figures.items():
        print(f"{name:<30} {value if isinstance(value, str) else format(value, '.3g')}")
    if options.json:
        print(json.dumps(figures))


def on_cpu(parts: list[str], options: argparse.Namespace) -> dict[str, float | str]:
    """The figures of the named parts."""
    figures: dict[str, float | str] = {}
    if "step" in parts:
        figures |= steps_in_turn(options.steps)
    if "ranks" in parts:
        figures |= ranks_in_turn(options.steps)
    if "loss" in parts:
        figures |= losses(options.rows, options.repeats)
    if "waiting" in parts:
        figures |= waiting(options.steps)
    if "memory" in parts:
        figures |= memory()
    if "features" in parts and importlib.util.find_spec("transformers"):
        figures["features_difference"] = features_difference()
    elif "features" in parts:
        print("transformers is not installed: features_difference is not measured")
    return figures


def released() -> TrainingParams:
    """The released encoder's recipe."""
    from pipeline.params import TrainingParams

    return TrainingParams(
        width=32,
        crop=96,
        batch=64,
        projector_layers=2,
        projector_width=256,
        temperature=0.3,
        class_balanced=True,
        precision="bf16",
        ema=0.999,
        epochs=100,
        warmup=1,
    )


def loop_of(params: TrainingParams, folder: Path, side: int = 256) -> tuple[Any, Iterator[Any]]:
    """A loop on stand-in images on one thread, and its batches; the images stay decoded."""
    from pipeline.training.loop import Loop, Run
    from pipeline.training.methods.contrastive import Contrastive

    run = Run(
        name="benchmark",
        out=folder,
        checkpoints=folder / "checkpoints",
        threads=1,
        ema=params.ema,
        precision=params.precision,
        checkpoint_every=10**9,
    )
    loop = Loop(run, partial(Contrastive, images=Stand(side), params=params, seed=0))
    loop.method.prepare(loop.ranks)
    loop.history._quiet = True
    return loop, loop.method.batches(0, loop.method.steps, loop.rank, loop.ranks)


@contextlib.contextmanager
def old_ways() -> Iterator[None]:
    """The step as it was: each operation is torch's, the views are rendered by tensors, SGD is not fused."""
    import torch

    from pipeline.encoder import fused
    from pipeline.encoder.colour import convert
    from pipeline.encoder.preprocessing import half_scale
    from pipeline.encoder.trunk import as_input
    from pipeline.training import views

    def render(full: torch.Tensor, half: torch.Tensor, draws: views.Draws) -> torch.Tensor:
        crops = torch.cat((as_input(full), half_scale(as_input(half))))
        flips = torch.from_numpy(draws.flips.reshape(-1))
        crops = torch.where(flips.view(-1, 1, 1, 1), crops.flip(3), crops)
        crops = convert(crops, torch.from_numpy(draws.spaces.reshape(-1)))
        return crops.contiguous(memory_format=torch.channels_last)

    fits, rendered = fused._fits, views.render
    fused._fits, views.render = lambda x: False, lambda *a: _without_autocast(render, *a)
    try:
        yield
    finally:
        fused._fits, views.render = fits, rendered


def _without_autocast(function: Callable[..., Any], *arguments: Any) -> Any:
    import torch

    with torch.autocast("cpu", enabled=False):
        return function(*arguments)


def steps_in_turn(steps: int) -> dict[str, float | str]:
    """CPU seconds of whole steps, old and new in turn."""
    import torch

    torch.set_num_threads(1)
    times: dict[str, list[float]] = {"old": [], "new": []}
    with tempfile.TemporaryDirectory() as folder:
        old, new = loop_of(released(), Path(folder) / "old"), loop_of(released(), Path(folder) / "new")
        for group in old[0].optimiser.param_groups:
            group["fused"] = False
        for _ in range(steps + 3):
            for name, (loop, batches) in (("old", old), ("new", new)):
                batch = next(batches)
                with old_ways() if name == "old" else contextlib.nullcontext():
                    start = process_time()
                    loop.step(batch)
                    times[name].append(process_time() - start)
    medians = {name: statistics.median(values[3:]) for name, values in times.items()}
    print(f"step of {2 * released().batch} crops of 96, ResNet-18 of width 32, bf16, 1 thread: CPU ms")
    for name, value in medians.items():
        print(f"{name:<6} {1e3 * value:>8.1f}")
    return {"step_ratio": medians["old"] / medians["new"], "crops_per_cpu_s": 2 * released().batch / medians["new"]}


def ranks_in_turn(steps: int, turns: int = 8) -> dict[str, float | str]:
    """Wall seconds of steps by one process, by two ranks, and by two processes that do not know of each other, in turn.
    What the last lose against one process is the machine's: memory, caches and cores that are halves of one.
    """
    import torch.multiprocessing as multiprocessing

    from pipeline.training.launch import launch

    context = multiprocessing.get_context("spawn")
    shape = (max(2, steps // turns), turns)
    names = ("one", "two", "apart 0", "apart 1")
    started, times = {name: context.Semaphore(0) for name in names}, {name: context.Queue() for name in names}
    exchange = context.Queue()
    alone = [
        context.Process(target=_one, args=(started[name], times[name], shape), daemon=True)
        for name in names
        if name != "two"
    ]
    handed = (_two, 2, "cpu", started["two"], times["two"], exchange, shape)
    two = threading.Thread(target=launch, args=handed, daemon=True)
    for group in (two, *alone):
        group.start()
    for name in names:
        times[name].get()
    figures: dict[str, float | str] = {}
    print(f"{'ms a step':<24} {'one process':>12} {'two ranks':>10} {'two apart':>10}")
    for place in ("alone", "beside a busy neighbour"):
        neighbour = context.Process(target=_busy, daemon=True)
        if place != "alone":
            neighbour.start()
        taken: dict[str, list[float]] = {"one": [], "two": [], "apart": []}
        for _ in range(turns):
            for way, seconds in taken.items():
                group = [name for name in names if name.startswith(way)]
                for name in group:
                    started[name].release()
                seconds.append(statistics.mean(times[name].get() / shape[0] for name in group))
        if neighbour.pid:
            neighbour.kill()
        one, ranks, apart = (statistics.median(values) for values in taken.values())
        print(f"{place:<24} {1e3 * one:>12.0f} {1e3 * ranks:>10.0f} {1e3 * apart:>10.0f}")
        suffix = "" if place == "alone" else "_beside_neighbour"
        figures[f"rank_speedup{suffix}"] = one / ranks
        figures[f"speedup_of_two_apart{suffix}"] = 2 * one / apart
    for group in (two, *alone):
        group.join()
    waits = ("gradients_shared_ms", "gradients_gloo_ms", "small_sums_ms")
    return {**figures, **dict(zip(waits, exchange.get(), strict=True))}


def _one(turn: Any, times: Any, shape: tuple[int, int]) -> None:
    import torch

    torch.set_num_threads(1)
    _take_turns(turn, times, shape)


def _two(turn: Any, times: Any, exchange: Any, shape: tuple[int, int]) -> None:
    import torch.distributed as dist

    loop = _take_turns(turn, times, shape)
    waits = [_exchange(loop, number) for number in range(3)]
    if dist.get_rank() == 0:
        exchange.put(waits)


def _take_turns(turn: Any, times: Any, shape: tuple[int, int]) -> Any:
    """Do a block of steps whenever it is this group's turn, and tell how long it took."""
    import torch.distributed as dist

    from pipeline.training.collectives import from_first, world

    rank, ranks = world()
    with tempfile.TemporaryDirectory() as folder:
        loop, batches = loop_of(released(), Path(folder))
        for _ in range(3):
            loop.step(next(batches))
        if rank == 0:
            times.put(0.0)  # ready
        for _ in range(2 * shape[1]):
            if rank == 0:
                turn.acquire()
            from_first(None)
            start = perf_counter()
            for _ in range(shape[0]):
                loop.step(next(batches))
            if ranks > 1:
                dist.barrier()
            if rank == 0:
                times.put(perf_counter() - start)
    return loop


def _exchange(loop: Any, number: int, repeats: int = 30) -> float:
    """Milliseconds of one exchange of the ranks: gradients in shared memory, by gloo, 40 sums of 3 x 128 numbers."""
    import torch
    import torch.distributed as dist

    from pipeline.training.collectives import GradientMean, sum_over_ranks

    parameters = list(loop.method.network.parameters())
    gloo, small, times = GradientMean(parameters, None), torch.zeros(3, 128, dtype=torch.float64), []
    for _ in range(repeats):
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        dist.barrier()
        start = perf_counter()
        if number == 0:
            loop.average_gradients()
        elif number == 1:
            gloo()
        else:
            for _ in range(40):
                sum_over_ranks(small)
        times.append(1e3 * (perf_counter() - start))
    return statistics.median(times)


def _busy() -> None:
    while True:
        pass


def losses(rows: int, repeats: int) -> dict[str, float | str]:
    """Time and memory of the loss beside its peers."""
    forms = [form for form in FORMS if form != "pml" or importlib.util.find_spec("pytorch_metric_learning")]
    measured = {form: in_process(form, rows, repeats) for form in forms}
    peer = "pml" if "pml" in measured else "mask"
    print(f"loss, N = {rows}, K = 128, 126 classes, fp32, forward and backward, 1 thread")
    print(f"{'form':<6} {'CPU ms':>8} {'memory MiB':>11} {'loss':>10}")
    for form, row in measured.items():
        print(f"{form:<6} {row['seconds'] * 1e3:>8.0f} {row['memory'] / 2**20:>11.0f} {row['loss']:>10.5f}")
    ours = measured["ours"]
    return {
        "loss_peer": peer,
        "loss_time_ratio": measured[peer]["seconds"] / ours["seconds"],
        "loss_memory_ratio": measured[peer]["memory"] / ours["memory"],
    }


def in_process(form: str, rows: int, repeats: int) -> dict[str, float]:
    """``measure`` in a process of its own, so that one form's memory is not another's."""
    return _by_itself("--form", form, "--rows", str(rows), "--repeats", str(repeats))


def _by_itself(*options: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.trainer", *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    row: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return row


def memory() -> dict[str, float | str]:
    """Peak memory and CPU seconds of a step of paper 3's method, of few images and of many."""
    few, many = (_by_itself("--images", str(images)) for images in (125, 1000))
    print("step of paper 3, two crops of 224 an image, ResNet-18 of width 16, fp32, 1 thread")
    print(f"{'images':<20} {'peak MiB':>9} {'CPU s':>7}")
    for name, row in (("125, one pass", few), ("1,000, 125 at a time", many)):
        print(f"{name:<20} {row['memory'] / 2**20:>9.0f} {row['seconds']:>7.1f}")
    return {"cached_memory_ratio": many["memory"] / few["memory"]}


def joint_step(images: int) -> dict[str, float]:
    """One step of ``images`` distorted images, ``accumulate: cached`` if they are more than a chunk of 125."""
    import torch

    from pipeline.params import JointParams
    from pipeline.training.loop import Loop, Run
    from pipeline.training.methods.joint import Data, Joint

    torch.set_num_threads(1)
    stand = Stand()
    data = Data(stand, stand, np.linspace(1, 10, len(stand), dtype=np.float32))
    peaks, start = [], 0.0
    for batch in (8, images):  # what is loaded and allocated at the first step is no batch's memory
        params = JointParams(depth=18, width=16, batch=batch, accumulate="cached" if batch > 125 else "none")
        with tempfile.TemporaryDirectory() as folder:
            run = Run(name="benchmark", out=Path(folder), checkpoints=Path(folder), threads=1, checkpoint_every=10**9)
            make = partial(Joint, training=data, validation=data, params=params, seed=0, cache="none")
            loop = Loop(run, make)
            loop.method.validate_every, loop.history._quiet = 0, True
            loop.method.prepare(1)
            start = process_time()
            loop.step(next(loop.method.batches(0, 1, 0, 1)))
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    return {"memory": peaks[1] - peaks[0], "seconds": process_time() - start}


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
    data: Stand | StreamedImages,
    params: TrainingParams,
    skip: int,
    kind: str = "cpu",
    threads: int | None = None,
    **options: object,
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
    from benchmarks.readers import make_shards
    from pipeline.params import load
    from pipeline.shards.streamed import StreamedImages

    data, small = Stand(), load(Path(__file__).parents[1] / "params.yaml").training
    params = small.model_copy(update={"warmup": 0.0, "epochs": steps / (len(data) // small.batch)})
    speed, share = trained(data, params, 3, threads=1, cache="none")
    with tempfile.TemporaryDirectory() as folder:
        shards = make_shards(Path(folder), 8, 256)
        with served(shards.folder) as url:
            stream = StreamedImages(url, small.batch, seed=0, per_class=small.images_per_class)
            params = params.model_copy(update={"epochs": steps / stream.in_epoch})
            streamed_speed, streamed_share = trained(stream, params, 3, threads=1)
    return {
        "data_wait_share": share,
        "crops_per_s": speed,
        "data_wait_share_stream": streamed_share,
        "crops_per_s_stream": streamed_speed,
    }


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The URL of a folder that a process of the standard library's server gives out on the loopback interface."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        try:
            yield re.findall(r"http://[0-9.:]+", server.stdout.readline())[0]
        finally:
            server.kill()


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

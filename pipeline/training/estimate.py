"""What a run will take, told before it starts: memory, steps, crops, and the time that a trial step suggests."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.params import TrainParams
from pipeline.training.projector import Model, build

TRIAL = {"cpu": 16, "cuda": 128}  # crops of a trial step
TRIALS = 3  # after one that does not count
FEW = 4  # crops that shapes are counted on: two passes of two, for batch norms where a map has one place


@dataclass(frozen=True)
class Estimate:
    """Bytes and counts of one rank, but for ``steps`` and ``crops``, which are the run's."""

    parameters: int
    state: int  # weights, gradients and momentum, fp32
    activations: int  # what the forward pass keeps for the backward pass
    squares: int  # bytes of the batches that are made ahead
    images: int  # bytes of all decoded images
    steps: int
    crops: int

    def room(self, free: int) -> int:
        """Bytes for images on a device with ``free`` ones, beside the model and its batches; a tenth is left."""
        return max(0, int(0.9 * free) - self.state - self.activations - self.squares)

    def text(self, cache: str, seconds: float | None) -> str:
        """Two lines for people; ``seconds`` is how long the run may take."""
        memory = f"{_size(self.state + self.activations)} for the model ({_size(self.activations)} activations)"
        images = f"{_size(self.images)} of images, cache {cache}, {_size(self.squares)} of batches ahead"
        counts = f"{self.parameters / 1e6:.1f} M parameters, {self.steps:,} steps, {self.crops:,} crops"
        length = "" if seconds is None else f", about {_duration(seconds)} by trial steps if alone"
        return f"{counts}{length}\n{memory}, {images}"


def estimate(params: TrainParams, *, steps: int, ranks: int, images: int, precision: str, ahead: int) -> Estimate:
    """The sizes of a run of ``params``; ``images`` in bytes. Activations are counted on shapes alone."""
    with torch.device("meta"):
        model = build(params, None)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    crops = 2 * params.batch // ranks
    return Estimate(
        parameters=parameters,
        state=12 * parameters,
        activations=activations(model, crops, params.crop, 2 if precision == "bf16" else 4),
        squares=ahead * params.batch // ranks * 5 * 3 * params.crop**2,
        images=images,
        steps=steps,
        crops=2 * params.batch * steps,
    )


def activations(model: Model, crops: int, side: int, width: int) -> int:
    """Bytes that autograd keeps of ``crops`` crops, at ``width`` bytes a number; ``model`` is on the meta device.

    Each tensor counts once, however many operations keep it; weights do not count. In bf16 the few that stay in fp32
    (the batch norms' own statistics) are counted as if they did not.
    """
    owned = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    kept: dict[int, tuple[int, Tensor]] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in owned:
            kept[storage._cdata] = (storage.nbytes() // tensor.element_size(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(torch.empty(FEW, 3, side, side, device="meta"))
    return sum(numbers for numbers, _ in kept.values()) * width * crops // FEW


def trial(model: nn.Module, params: TrainParams, device: torch.device, precision: str) -> float:
    """Seconds of a crop, forward and backward, on a copy of ``model`` with noise: the least of :data:`TRIALS` passes.

    On the CPU they are those that its threads compute, by the number of threads: what others compute meanwhile is no
    part of it.
    """
    twin = copy.deepcopy(model)
    shape = (min(TRIAL[device.type], 2 * params.batch), 3, params.crop, params.crop)
    crops = torch.rand(shape, device=device, generator=torch.Generator(device).manual_seed(0))
    crops = crops.contiguous(memory_format=torch.channels_last)
    passes = []
    for _ in range(1 + TRIALS):
        start = _now(device)
        with torch.autocast(device.type, torch.bfloat16, precision == "bf16"):
            embeddings = twin(crops)
        embeddings.float().square().mean().backward()
        passes.append(_now(device) - start)
    if device.type == "cuda":
        del twin, embeddings
        torch.cuda.empty_cache()  # what is free is asked next
    return min(passes[1:]) / len(crops)


def _now(device: torch.device) -> float:
    if device.type == "cpu":
        return time.process_time() / torch.get_num_threads()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def _size(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"

"""The supervised contrastive loss of paper 1, eq. (2), in its class-sum form: exact, in row chunks, with its own
gradient.

With unit rows z, S_c the sum of the rows of class c and P(i) the other rows of i's class,

    L_i = logsumexp over m != i of (z_i . z_m / tau)  -  z_i . (S_{y_i} - z_i) / (tau |P(i)|),

because the denominator of eq. (2) does not depend on the positive. So no N x N mask exists, and the similarity is seen
in chunks of rows: at N = 4,096 a chunk of 512 takes 8 MiB where the whole takes 64. The loss is the mean over the
anchors that have a positive; the others are dropped from the mean (they stay in the denominators) and counted.

Classes may also be positives of one another in part: with an affinity a_{cd} (a_{cc} = 1), S_c becomes the sum of
a_{cd} S_d over d, and |P(i)| the sum of a_{y_i d} n_d, less the anchor itself. The form stays the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 512  # rows; 256 to 1,024 take the same time at N = 4,096


@dataclass(frozen=True)
class Loss:
    """``value`` has the gradient; ``mean`` is the mean over the anchors of all ranks; ``dropped`` counts those
    without a positive.
    """

    value: Tensor
    mean: Tensor
    dropped: Tensor


def contrastive_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    temperature: float,
    classes: int,
    affinity: Tensor | None = None,
    chunk: int = CHUNK,
) -> Loss:
    """The loss of a batch: ``embeddings`` [n, K] of any length, ``labels`` int64 [n] in 0..classes-1.

    ``affinity`` [classes, classes], symmetric, in [0, 1] with ones on its diagonal, says how much of a positive the
    rows of one class are to the anchors of another; None: the classes are apart (the papers').

    The similarity is computed in float32 (float64 stays) whatever the autocast: bf16 would be off by 0.023 at tau 0.1.
    With torch.distributed running, rows are one rank's and the denominators and positives are of all ranks; ``value``
    is scaled so that the mean of the ranks' gradients (what DistributedDataParallel makes) is the gradient of one
    process.
    """
    dtype = torch.float64 if embeddings.dtype == torch.float64 else torch.float32
    with torch.autocast(embeddings.device.type, enabled=False):
        rows = F.normalize(embeddings.to(dtype), dim=1)
        everyone, all_labels, first, world = _gathered(rows, labels)
        counts = _counts(all_labels, classes)
        affinity = None if affinity is None else affinity.to(rows)
        positives = (counts.to(dtype) if affinity is None else affinity @ counts.to(dtype)) - 1
        kept = (counts * (positives > 0)).sum()
        total = _ClassSum.apply(  # type: ignore[no-untyped-call]
            rows, everyone, labels, all_labels, positives, affinity, first, temperature, chunk
        )
        value = total * world / kept.clamp_min(1)
    return Loss(value, _mean_over_ranks(value.detach(), world), len(all_labels) - kept)


def _counts(labels: Tensor, classes: int) -> Tensor:
    """int64 [classes]. (On CUDA ``bincount`` makes the host wait for the whole forward pass; this does not.)"""
    return labels.new_zeros(classes).scatter_add_(0, labels, torch.ones_like(labels))


class _ClassSum(torch.autograd.Function):
    """Sum of L_i over ``rows``, which are ``everyone[first : first + len(rows)]``; gradients by both, as if they were
    apart.

    The gradient is made in the forward pass, chunk by chunk, while the similarities are at hand: three matrix products
    in all where a recomputing backward needs four.
    """

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        everyone: Tensor,
        labels: Tensor,
        all_labels: Tensor,
        positives: Tensor,
        affinity: Tensor | None,
        first: int,
        temperature: float,
        chunk: int,
    ) -> Tensor:
        """The sum, a scalar; see the class."""
        weights = positives[labels]
        valid = (weights > 0).to(rows.dtype)
        share = valid / torch.where(weights > 0, weights, 1)  # 1 / |P(i)|, 0 where there is none
        sums = _sums_by_class(everyone, all_labels, len(positives), affinity)
        own = everyone[first : first + len(rows)]
        attraction = (sums[labels] - own) * share[:, None]
        spread, by_rows, by_everyone = _log_denominators(rows, everyone, valid, first, temperature, chunk)
        total = spread - (rows * attraction).sum() / temperature
        pulled = rows * share[:, None]
        by_everyone -= _sums_by_class(pulled, labels, len(positives), affinity)[all_labels]
        by_everyone[first : first + len(rows)] += pulled
        by_rows -= attraction
        ctx.save_for_backward(by_rows.div_(temperature), by_everyone.div_(temperature))
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The saved gradients times the incoming scalar."""
        by_rows, by_everyone = ctx.saved_tensors
        return gradients[0] * by_rows, gradients[0] * by_everyone, None, None, None, None, None, None, None


def _log_denominators(
    rows: Tensor, everyone: Tensor, valid: Tensor, first: int, temperature: float, chunk: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Sum over valid rows of logsumexp_{m != i}(z_i . z_m / tau), and tau times its gradients by ``rows`` and
    ``everyone``.
    """
    total = rows.new_zeros(())
    by_rows, by_everyone = torch.empty_like(rows), torch.zeros_like(everyone)
    scaled = rows / temperature
    for start in range(0, len(rows), chunk):
        part = slice(start, start + chunk)
        weights = scaled[part] @ everyone.T
        places = torch.arange(len(weights), device=rows.device)
        weights[places, places + first + start] = -torch.inf
        highest = weights.amax(1, keepdim=True)
        weights.sub_(highest).exp_()
        mass = weights.sum(1, keepdim=True)
        total += ((highest + mass.log()).squeeze(1) * valid[part]).sum()
        scale = valid[part, None] / mass  # turns the weights into the softmax without touching all of them
        torch.mul(weights @ everyone, scale, out=by_rows[part])
        by_everyone.addmm_(weights.T, rows[part] * scale)
    return total, by_rows, by_everyone


def _sums_by_class(rows: Tensor, labels: Tensor, classes: int, affinity: Tensor | None) -> Tensor:
    """[classes, K]: a product with the one-hot labels, which on CUDA is deterministic where index_add is not."""
    sums = F.one_hot(labels, classes).to(rows.dtype).T @ rows
    return sums if affinity is None else affinity @ sums


class _Gather(torch.autograd.Function):
    """The rows of all ranks, one rank after the other; its gradient is the sum of all ranks' gradients by our rows.

    (Taking our rank's gradient alone, as the official code does, scales the loss's gradient by 1 / ranks.)
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        """[n, K] on each rank -> [ranks n, K] on all."""
        return torch.cat(_all_gather(rows))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """[ranks n, K] on each rank -> [n, K]."""
        import torch.distributed as dist

        summed = gradients[0].contiguous()
        dist.all_reduce(summed)
        return summed.chunk(dist.get_world_size())[dist.get_rank()]


def _all_gather(tensor: Tensor) -> list[Tensor]:
    import torch.distributed as dist

    parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, tensor.contiguous())
    return parts


def _gathered(rows: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, int, int]:
    """Rows and labels of all ranks (equally many on each), the place of our first row, and the number of ranks."""
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return rows, labels, 0, 1
    everyone: Tensor = _Gather.apply(rows)  # type: ignore[no-untyped-call]
    return everyone, torch.cat(_all_gather(labels)), dist.get_rank() * len(rows), dist.get_world_size()


def _mean_over_ranks(value: Tensor, world: int) -> Tensor:
    if world > 1:
        import torch.distributed as dist

        value = value.clone()
        dist.all_reduce(value)
        value = value / world
    return value

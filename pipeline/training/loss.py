"""The supervised contrastive loss of paper 1, eq. (2), in its class-sum form: exact, in chunks of rows, with its own
gradient.

For unit rows z_1 .. z_N with classes y, and P(i) the other rows of i's class, eq. (2) is

    L_i = - 1/|P(i)|  sum over j in P(i) of  log( exp(z_i . z_j / tau) / sum over m != i of exp(z_i . z_m / tau) ).

The denominator does not depend on j, so with S_c the sum of the rows of class c

    L_i = log sum over m != i of exp(z_i . z_m / tau)  -  z_i . (S_{y_i} - z_i) / (tau |P(i)|).

No N x N mask of positives exists, and the similarities are seen in chunks of rows: at N = 4,096 a chunk of 512 takes
8 MiB where all take 64. The loss is the mean of L_i over the anchors with a positive; the others stay in the
denominators, and are counted. Paper 3 averages within each class first, then over the classes (its eq. 5 is the same
L_i); its batches are not balanced, so there a class counts as much as any other however many images it has.

Classes may be positives of one another in part: with weights a_{cd} (a_{cc} = 1), S_c becomes the sum over d of
a_{cd} S_d, and |P(i)| the sum over d of a_{y_i d} n_d, less the anchor itself. The form stays the same.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from pipeline.training.collectives import gather, gather_rows, world

CHUNK = 512  # rows; 256 to 1,024 take the same time at N = 4,096


class Loss(NamedTuple):
    """``value``, a scalar with its gradient; ``dropped`` int64, the anchors without a positive, of all ranks."""

    value: Tensor
    dropped: Tensor


def contrastive_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    temperature: float,
    classes: int,
    positive_weights: Tensor | None = None,
    average: Literal["anchors", "classes"] = "anchors",
    over_ranks: bool = True,
    chunk: int = CHUNK,
) -> Loss:
    """The loss of a batch: ``embeddings`` [n, K] of any length, ``labels`` int64 [n] in 0..classes-1.

    ``positive_weights`` [classes, classes], symmetric, in [0, 1] with ones on its diagonal, says how much of a positive
    the rows of one class are to the anchors of another; None: the classes are apart (the papers'). ``average`` is over
    all anchors with a positive (papers 1 and 2), or over the classes that have one, of each class's mean (paper 3).

    The similarity is computed in float32 (float64 stays) whatever the autocast: bf16 would be off by 0.023 at tau 0.1.
    Over ranks, ``embeddings`` are one rank's rows, and denominators and positives are of all ranks. The mean of the
    ranks' values is the loss of one process, and the mean of their gradients is its gradient. ``over_ranks`` False: of
    this rank's rows alone, as where only one rank validates.
    """
    dtype = torch.float64 if embeddings.dtype == torch.float64 else torch.float32
    rank, ranks = world() if over_ranks else (0, 1)
    with torch.autocast(embeddings.device.type, enabled=False):
        rows = F.normalize(embeddings.to(dtype), dim=1)
        all_rows, all_labels = (gather_rows(rows), gather(labels)) if ranks > 1 else (rows, labels)
        counts = _counts(all_labels, classes)
        weights = None if positive_weights is None else positive_weights.to(rows)
        positives = (counts.to(dtype) if weights is None else weights @ counts.to(dtype)) - 1  # |P(i)| of each class
        valid = (positives > 0) & (counts > 0)
        anchors = (counts * valid).sum()
        shares = valid.to(dtype)  # of an anchor of each class in the sum
        if average == "classes":
            shares = shares * anchors / (valid.sum().clamp_min(1) * counts.clamp_min(1))
        total = _ClassSum.apply(  # type: ignore[no-untyped-call]
            rows, all_rows, labels, all_labels, positives, shares, weights, rank * len(rows), temperature, chunk
        )
        return Loss(total * ranks / anchors.clamp_min(1), len(all_labels) - anchors)


def _counts(labels: Tensor, classes: int) -> Tensor:
    """int64 [classes]. (On CUDA ``bincount`` makes the host wait for the whole forward pass; this does not.)"""
    return labels.new_zeros(classes).scatter_add_(0, labels, torch.ones_like(labels))


class _ClassSum(torch.autograd.Function):
    """The sum of L_i over ``rows``, which are ``all_rows[first : first + len(rows)]``, each times its class's share;
    gradients by both, as if they were different tensors.

    The gradient is made in the forward pass, chunk by chunk, while the similarities are at hand: three matrix products
    in all where a recomputing backward needs four.
    """

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        all_rows: Tensor,
        labels: Tensor,
        all_labels: Tensor,
        positives: Tensor,
        shares: Tensor,
        weights: Tensor | None,
        first: int,
        temperature: float,
        chunk: int,
    ) -> Tensor:
        """The sum, a scalar; see the class."""
        of_rows, shares = positives[labels], shares[labels]
        pull = shares / torch.where(of_rows > 0, of_rows, 1)  # share / |P(i)|, 0 where there is none
        sums = _class_sums(all_rows, all_labels, len(positives), weights)
        own = all_rows[first : first + len(rows)]
        attraction = (sums[labels] - own) * pull[:, None]  # (S_{y_i} - z_i) / |P(i)|
        spread, by_rows, by_all = _log_denominators(rows, all_rows, shares, first, temperature, chunk)
        total = spread - (rows * attraction).sum() / temperature
        pulled = rows * pull[:, None]
        by_all -= _class_sums(pulled, labels, len(positives), weights)[all_labels]
        by_all[first : first + len(rows)] += pulled
        by_rows -= attraction
        ctx.save_for_backward(by_rows.div_(temperature), by_all.div_(temperature))
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The saved gradients times the incoming scalar."""
        by_rows, by_all = ctx.saved_tensors
        return gradients[0] * by_rows, gradients[0] * by_all, *[None] * 8


def _log_denominators(
    rows: Tensor, all_rows: Tensor, shares: Tensor, first: int, temperature: float, chunk: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The sum over rows, each times its share, of log sum_{m != i} exp(z_i . z_m / tau), and tau times its gradients by
    ``rows`` and by ``all_rows``.
    """
    total = rows.new_zeros(())
    by_rows, by_all = torch.empty_like(rows), torch.zeros_like(all_rows)
    scaled = rows / temperature
    for start in range(0, len(rows), chunk):
        part = slice(start, start + chunk)
        similarity = scaled[part] @ all_rows.T
        numbers = torch.arange(len(similarity), device=rows.device)
        similarity[numbers, numbers + first + start] = -torch.inf  # m != i
        highest = similarity.amax(1, keepdim=True)
        exponentials = similarity.sub_(highest).exp_()
        mass = exponentials.sum(1, keepdim=True)
        total += ((highest + mass.log()).squeeze(1) * shares[part]).sum()
        scale = shares[part, None] / mass  # makes a softmax of the exponentials without touching all of them
        torch.mul(exponentials @ all_rows, scale, out=by_rows[part])
        by_all.addmm_(exponentials.T, rows[part] * scale)
    return total, by_rows, by_all


def _class_sums(rows: Tensor, labels: Tensor, classes: int, weights: Tensor | None) -> Tensor:
    """S, [classes, K]: a product with the one-hot labels, which on CUDA is deterministic where index_add is not."""
    sums = F.one_hot(labels, classes).to(rows.dtype).T @ rows
    return sums if weights is None else weights @ sums

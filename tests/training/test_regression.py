"""What joint training and fine-tuning share: opinions as targets, the head, the two losses, labelled batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stand_in import StandIn

from pipeline.databases import load_manifest
from pipeline.encoder.network import ResNet, initialise
from pipeline.shards.epochs import EpochError
from pipeline.training.methods.regression import (
    LOSSES,
    LabelledBatches,
    OpinionScale,
    RegressionHead,
    last_map_mean,
    render,
)


def batches(images: StandIn | None = None, **changes: object) -> LabelledBatches:
    images = images or StandIn()
    targets = np.linspace(1, 10, len(images), dtype=np.float32)
    settings = {"crop": 32, "batch": 6, "seed": 3, "stage": "test", **changes}
    made = LabelledBatches(images, targets, **settings)  # type: ignore[arg-type]
    made.prepare("host", torch.device("cpu"))
    return made


@pytest.mark.parametrize("higher, worst, best", ((True, 1.0, 5.0), (False, 5.0, 1.0)))
def test_opinions_lie_on_a_line_from_1_to_10_and_back(higher: bool, worst: float, best: float) -> None:
    scale = OpinionScale(1.0, 5.0, higher)
    np.testing.assert_allclose(scale.targets(np.array([worst, 3.0, best])), [1.0, 5.5, 10.0])
    opinions = np.random.default_rng(0).uniform(0, 6, 50)  # some outside of the declared range
    np.testing.assert_allclose(scale.opinions(scale.targets(opinions)), opinions, atol=1e-6)


def test_the_manifest_gives_range_and_direction() -> None:
    assert OpinionScale.of(load_manifest("photos")) == OpinionScale(1.0, 5.0, True)
    falling = OpinionScale.of(load_manifest("live"))
    assert not falling.higher_is_better
    assert falling.targets(np.array([falling.low])) == [10.0]


def test_the_losses_written_out() -> None:
    """Paper 3, eq. (7), and paper 4, eq. (8), with their gradients, in plain sums."""
    rng = np.random.default_rng(1)
    said, targets = rng.uniform(1, 10, (2, 7))
    predictions = torch.tensor(said, requires_grad=True)
    sums = {"mse": sum((y - p) ** 2 for p, y in zip(said, targets, strict=True)) / 7}
    sums["l1"] = sum(abs(y - p) for p, y in zip(said, targets, strict=True)) / 7
    slopes = {"mse": 2 * (said - targets) / 7, "l1": np.sign(said - targets) / 7}
    for name, value in sums.items():
        loss = LOSSES[name](predictions, torch.tensor(targets))
        assert loss.item() == pytest.approx(value, abs=1e-12)
        np.testing.assert_allclose(torch.autograd.grad(loss, predictions)[0], slopes[name], atol=1e-12)


def test_the_head_and_the_mean_of_the_last_map_written_out() -> None:
    """Eq. (6) in float64: the mean over the places of the last map, and two layers by hand."""
    trunk, random = ResNet(18, 8), torch.Generator().manual_seed(0)
    initialise(trunk, random)
    trunk = trunk.double().eval()
    head = RegressionHead(trunk.dim).double()
    head.initialise(random, 7.0)
    crops = torch.rand(3, 3, 64, 96, dtype=torch.float64)
    features = last_map_mean(trunk, crops)
    np.testing.assert_allclose(features.detach(), trunk(crops).detach().flatten(2).mean(2), atol=1e-12)
    first, second = head.first, head.last
    hidden = np.maximum(features.detach().numpy() @ first.weight.detach().numpy().T + first.bias.detach().numpy(), 0)
    expected = hidden @ second.weight.detach().numpy()[0] + 7.0
    np.testing.assert_allclose(head(features).detach(), expected, atol=1e-12)
    assert hidden.shape == (3, 512)
    with torch.autocast("cpu", torch.bfloat16):
        assert head.float()(features.bfloat16()).dtype == torch.float32


def test_crops_lie_in_their_image_flipped_or_not_with_its_target() -> None:
    images, seen = StandIn(), set()
    labelled = batches(images)
    for batch in labelled.steps(0, 2 * labelled.in_epoch):
        for name, square, flip, target in zip(batch.names, batch.squares, batch.flips, batch.targets, strict=True):
            row = images.keys.index(name)
            assert target == labelled.targets[row]
            windows = np.lib.stride_tricks.sliding_window_view(images.image(row), (32, 32), (0, 1))
            assert (windows.transpose(0, 1, 3, 4, 2) == square.numpy()).all((2, 3, 4)).any(), name
            seen.add(tuple(flip.tolist()))
        crops = render(batch, torch.device("cpu"))
        for crop, square, (down, across) in zip(crops, batch.squares, batch.flips.tolist(), strict=True):
            shown = square.numpy()[:: -1 if down else 1, :: -1 if across else 1] / np.float32(255)
            np.testing.assert_allclose(crop.permute(1, 2, 0), shown, atol=1e-7)
    assert len(seen) == 4
    assert not any(batch.flips[:, 0].any() for batch in batches(vertical=False).steps(0, 5))


def test_a_step_is_the_same_after_a_resume_and_over_ranks() -> None:
    whole = list(batches().steps(0, 9))
    (resumed,) = batches().steps(8, 9)
    halves = [next(batches().steps(8, 9, rank, 2)) for rank in (0, 1)]
    for field in ("squares", "flips", "targets"):
        assert torch.equal(getattr(whole[8], field), getattr(resumed, field))
        assert torch.equal(getattr(whole[8], field), torch.cat([getattr(half, field) for half in halves]))
    assert whole[8].names == halves[1].names  # of all ranks


def test_an_image_below_the_crop_is_mirrored_and_too_few_are_refused() -> None:
    assert next(batches(crop=96).steps(0, 1)).squares.shape == (6, 96, 96, 3)
    with pytest.raises(EpochError, match="^batch: 64 is more than"):
        batches(batch=64)
    with pytest.raises(ValueError, match="targets: 3 for 32 images"):
        LabelledBatches(StandIn(), np.ones(3, np.float32), crop=32, batch=2, seed=0, stage="test")


def test_the_fingerprint_changes_with_an_opinion() -> None:
    other = batches()
    other.targets = other.targets.copy()
    other.targets[3] += 0.5
    assert batches().fingerprint() == batches().fingerprint() != other.fingerprint()

"""What is told before a run: sizes against what torch keeps, and the paper's recipe in figures."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from stand_in import TINY, StandIn, job

from pipeline.params import TrainParams, load
from pipeline.training.batches import Batches
from pipeline.training.estimate import TRIAL, activations, estimate, trial
from pipeline.training.projector import Model, build
from pipeline.training.trainer import train

PROFILES = Path(__file__).parents[2] / "manifests/profiles"


def meta(params: TrainParams) -> Model:
    with torch.device("meta"):
        return build(params, None)


@pytest.mark.parametrize("depth", [18, 50])
def test_activations_are_what_a_real_step_keeps(depth: int) -> None:
    params = TINY.model_copy(update={"depth": depth})
    model, kept = build(params, torch.Generator().manual_seed(0)), {}
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = (tensor.untyped_storage().nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(torch.rand(6, 3, 32, 32))
    expected = sum(size for size, _ in kept.values())
    assert activations(meta(params), 6, 32, 4) == pytest.approx(expected, rel=0.1)


def test_a_published_crop_keeps_about_54_mib_in_bf16() -> None:
    paper = load(PROFILES / "paper.yaml").train
    assert activations(meta(paper), 2, 256, 2) / 2 / 2**20 == pytest.approx(54, rel=0.15)  # counted from the shapes


def test_the_papers_recipe_in_figures() -> None:
    given = load(PROFILES / "paper.yaml")
    images = 126 * (given.sources.count - given.probe.sources)
    steps = round(given.train.epochs * (images // given.train.batch))
    told = estimate(given.train, steps=steps, ranks=1, images=images * 3 * 512**2, precision="bf16", ahead=4)
    assert told.parameters == 23_508_032 + 2048 * 2048 * 2 + 2048 * 128 + 2 * 2 * 2048 + 2 * 128
    assert told.crops == 2 * 512 * steps and 30_000 < steps < 31_000
    assert 40 < told.activations / 2**30 < 70 and told.images == images * 786_432
    one, two = told.text("none", 11_600.0).splitlines()
    assert one == f"32.2 M parameters, {steps:,} steps, {told.crops:,} crops, about 3.2 h by trial steps if alone"
    assert "GiB activations" in two and "cache none" in two and told.room(2**37) > 0 == told.room(2**30)
    halved = estimate(given.train, steps=steps, ranks=2, images=0, precision="bf16", ahead=4)
    assert halved.activations == told.activations // 2 and halved.squares == told.squares // 2


def test_it_is_told_before_the_first_step_and_not_of_a_finished_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(job(tmp_path, StandIn()))
    first, second = capsys.readouterr().err.splitlines()[:2]
    steps, batches = 8, Batches(StandIn().labels, TINY.batch, 5)
    assert steps == TINY.epochs * batches.in_epoch
    assert first.startswith("train stand_in: 0.") and f"{steps} steps, {steps * 16} crops, about " in first
    assert "activations" in second and "cache host" in second
    train(job(tmp_path, StandIn()))
    assert "trial" not in capsys.readouterr().err


def test_a_trial_counts_what_is_computed_and_not_what_is_waited_for() -> None:
    model = build(TINY, torch.Generator().manual_seed(0))
    alone = trial(model, TINY, torch.device("cpu"), "fp32")
    model.register_forward_pre_hook(lambda *_: time.sleep(0.5))  # as on a machine that others use
    shared = trial(model, TINY, torch.device("cpu"), "fp32")
    assert 0 < shared < 10 * alone and shared < 0.25 / min(TRIAL["cpu"], 2 * TINY.batch)


def test_a_trial_changes_nothing() -> None:
    model = build(TINY, torch.Generator().manual_seed(0))
    before, state = {key: value.clone() for key, value in model.state_dict().items()}, torch.get_rng_state()
    assert 0 < trial(model, TINY, torch.device("cpu"), "fp32") < 60
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state) and all(p.grad is None for p in model.parameters())

"""Paper 3's method: its equations written out, its two limits, the gradient of large batches, and resumption."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from stand_in import TINY as TRAINING
from stand_in import StandIn
from stand_in import job as contrastive_job
from test_classifier import OneLevelEach
from torch import Tensor

from pipeline import artifacts
from pipeline.devices import Device
from pipeline.params import JointParams, ParamsError
from pipeline.training import checkpoint
from pipeline.training.launch import ranks_for
from pipeline.training.loop import Plateau, Run, train
from pipeline.training.methods import contrastive, joint
from pipeline.training.methods.joint import Batch, Data, Joint

TINY = JointParams(
    depth=18,
    width=8,
    crop=32,
    batch=12,
    labelled_batch=6,
    epochs=3,
    projector_width=32,
    projection=16,
    head_width=16,
    learning_rate=1.0,
    head_learning_rate=1.0,
)
SEEN = [{"database": "gratings", "split": 0, "images": ["000000-000", "000000-001"]}]


def data(first: int, sources: int) -> Data:
    """Gratings with their frequency for an opinion; other sources for another ``first``."""
    distorted, labelled = OneLevelEach(sources=sources), StandIn(sources=sources)
    for images in (distorted, labelled):
        images.sources += first
        images.keys = [f"{s:06d}-{c:03d}" for s, c in zip(images.sources, images.labels, strict=True)]
    return Data(distorted, labelled, (10 - 9 / 7 * labelled.labels).astype(np.float32))


def job(folder: Path, params: JointParams = TINY, **changes: Any) -> tuple[Run, partial[Joint]]:
    out, checkpoints = folder / "out", folder / "checkpoints"
    run = Run(name="ssl", out=out, checkpoints=checkpoints, device=Device("cpu"), threads=1, checkpoint_every=1)
    given = {"training": data(0, 4), "validation": data(4, 2), "seed": 5, "seen": SEEN, **changes}
    return run, partial(Joint, params=params, **given)


def made(tmp_path: Path, **changes: Any) -> tuple[Joint, Batch]:
    """The method in float64, and the batch of its third step."""
    run, make = job(tmp_path, TINY.model_copy(update=changes))
    method = make(run, torch.device("cpu"))
    method.network.double()
    method.prepare(1)
    (batch,) = method.batches(2, 3, 0, 1)
    return method, batch


def gradients(method: Joint, loss: Tensor) -> dict[str, Tensor]:
    method.network.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    return {name: p.grad.clone() for name, p in method.network.named_parameters() if p.grad is not None}


def same(first: dict[str, Tensor], second: dict[str, Tensor], tolerance: float = 1e-10) -> bool:
    return first.keys() == second.keys() and all(
        (first[name] - second[name]).abs().max() < tolerance * max(1, first[name].abs().max()) for name in first
    )


def crops_of(squares: Tensor, flips: Tensor) -> Tensor:
    """The crops, one by one."""
    crops = []
    for square, (down, across) in zip(squares, flips, strict=True):
        crop = (square.permute(2, 0, 1).float() / 255).double()
        crop = crop.flip(1) if down else crop
        crops.append(crop.flip(2) if across else crop)
    return torch.stack(crops)


def test_the_loss_is_equations_5_7_and_8_written_out(tmp_path: Path) -> None:
    method, batch = made(tmp_path, alpha=0.7)
    network, both, labelled = method.network, batch.distorted, batch.labelled
    assert both is not None and labelled is not None
    p = network.projector(network.trunk(crops_of(both.squares, both.flips)).mean((2, 3)))
    classes, tau, of_class = both.targets.repeat(2), 0.5, dict[int, list[Tensor]]()
    for i in range(len(p)):
        s = torch.stack([torch.cosine_similarity(p[i], row, dim=0) for row in p]) / tau
        below = sum(torch.exp(s[k]) for k in range(len(p)) if k != i)
        positives = [j for j in range(len(p)) if j != i and classes[j] == classes[i]]
        term = sum(-torch.log(torch.exp(s[j]) / below) for j in positives) / len(positives)
        of_class.setdefault(int(classes[i]), []).append(term)
    l_cont = sum(sum(terms) / len(terms) for terms in of_class.values()) / len(of_class)
    z = network.trunk(crops_of(labelled.squares, labelled.flips)).mean((2, 3))
    l_r = sum((y - network.head(row[None])[0]) ** 2 for y, row in zip(labelled.targets, z, strict=True)) / len(z)
    expected = 0.7 * l_cont + 0.3 * l_r
    ours = method.loss(batch)
    assert abs(ours["contrastive"] - l_cont) < 1e-6 and abs(ours["regression"] - l_r) < 1e-6
    assert abs(ours["loss"] - expected) < 1e-10
    assert same(gradients(method, method.loss(batch)["loss"]), gradients(method, expected))


def test_alpha_1_is_the_contrastive_method_on_the_same_views(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    method, batch = made(tmp_path, alpha=1.0, average="anchors")
    assert batch.labelled is None and batch.distorted is not None
    ours = method.loss(batch)
    mine = gradients(method, ours["loss"])
    views = crops_of(batch.distorted.squares, batch.distorted.flips)
    monkeypatch.setattr(contrastive.views, "render", lambda *_: views)
    monkeypatch.setattr(contrastive, "PATCHES", 1)  # paper 3 compares whole crops
    run, make = contrastive_job(tmp_path, StandIn(), TRAINING.model_copy(update={"temperature": 0.5}))
    theirs = make(run, torch.device("cpu"))
    network = method.network
    theirs.network = lambda crops: network.projector(network.trunk(crops).mean((2, 3)))  # type: ignore[assignment]
    squares = batch.distorted.squares
    given = contrastive.Batch(2, batch.names, squares, squares, None, batch.distorted.targets)  # type: ignore[arg-type]
    loss = theirs.loss(given)
    assert abs(loss["loss"] - ours["loss"]) < 1e-10 and same(mine, gradients(method, loss["loss"]))


def test_alpha_0_is_plain_regression(tmp_path: Path) -> None:
    method, batch = made(tmp_path, alpha=0.0)
    assert batch.distorted is None and batch.labelled is not None
    ours = method.loss(batch)
    mine, network = gradients(method, ours["loss"]), method.network
    predicted = network.head(network.trunk(crops_of(batch.labelled.squares, batch.labelled.flips)).mean((2, 3)))
    loss = torch.nn.functional.mse_loss(predicted, batch.labelled.targets.double())
    assert abs(loss - ours["loss"]) < 1e-10 and same(mine, gradients(method, loss))


def test_alpha_changes_no_draw(tmp_path: Path) -> None:
    batches = [made(tmp_path, alpha=alpha)[1] for alpha in (0.0, 0.9, 1.0)]
    for name, first, second in (("labelled", 0, 1), ("distorted", 1, 2)):
        one, other = (getattr(batches[number], name) for number in (first, second))
        assert one.names == other.names
        assert all(torch.equal(getattr(one, key), getattr(other, key)) for key in ("squares", "flips", "targets"))
    assert batches[0].distorted is None and batches[2].labelled is None


@pytest.mark.parametrize("chunk", (2, 5, 12))
def test_a_cached_gradient_is_that_of_one_pass(tmp_path: Path, chunk: int) -> None:
    """Of one pass that keeps all maps, and whose batch norms take their statistics from the same chunks."""
    cached, batch = made(tmp_path / "cached", accumulate="cached", chunk=chunk)
    whole, _ = made(tmp_path / "whole")
    features = whole.network._features

    def in_parts(squares: Tensor, flips: Tensor, _: object = None) -> Tensor:
        size = 2 * chunk if len(squares) == 2 * TINY.batch else len(squares)  # the labelled images are one pass
        parts = zip(squares.split(size), flips.split(size), strict=True)
        return torch.cat([features(*part) for part in parts])

    whole.network.features = in_parts  # type: ignore[method-assign]
    ours, theirs = cached.loss(batch), whole.loss(batch)
    assert abs(ours["loss"] - theirs["loss"]) < 1e-12
    assert same(gradients(cached, ours["loss"]), gradients(whole, theirs["loss"]))
    state = whole.network.state_dict()
    assert all(
        torch.equal(value, state[name]) for name, value in cached.network.state_dict().items()
    )  # each chunk once


def test_a_cached_step_keeps_no_map(tmp_path: Path) -> None:
    def kept(**changes: Any) -> int:
        method, batch = made(tmp_path, alpha=1.0, **changes)
        maps = list[Tensor]()
        with torch.autograd.graph.saved_tensors_hooks(lambda t: maps.append(t) or t, lambda t: t):
            method.loss(batch)
        return sum(tensor.ndim == 4 and tensor.is_floating_point() for tensor in maps)

    assert kept() > 20 and kept(accumulate="cached", chunk=2) == 0


def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a plateau that lowers the rates after each epoch that is not clearly better, and stops after three such."""
    monkeypatch.setattr(joint, "Plateau", partial(Plateau, threshold=1.0))  # a loss that still creeps down would go on
    params = TINY.model_copy(update={"patience": 1, "stop_after": 3, "epochs": 12.0})
    train(*job(tmp_path / "whole", params))
    save = checkpoint.save

    def stop(*arguments: Any, step: int, **more: Any) -> None:
        save(*arguments, step=step, **more)
        if step == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoint, "save", stop)
        train(*job(tmp_path / "cut", params))
    train(*job(tmp_path / "cut", params))
    one, other = (tmp_path / name / "out" for name in ("whole", "cut"))
    assert (one / "encoder.safetensors").read_bytes() == (other / "encoder.safetensors").read_bytes()
    histories = [
        pq.read_table(out / "history.parquet").drop_columns(["crops_per_s", "waiting"]) for out in (one, other)
    ]
    assert histories[0].equals(histories[1])
    assert len(set(histories[0]["learning_rate"].to_pylist())) > 1 and len(histories[0]) < 24


def test_it_learns_both_tasks_and_says_what_it_saw(tmp_path: Path) -> None:
    changes = {
        "epochs": 24.0,
        "patience": 99,
        "learning_rate": 0.1,
        "trust": 0.05,
        "class_balanced": True,
        "images_per_class": 3,
    }
    train(*job(tmp_path, TINY.model_copy(update={**changes, "head_learning_rate": 0.1, "stop_after": None})))
    history = pq.read_table(tmp_path / "out" / "history.parquet").to_pydict()
    for name in ("contrastive", "regression"):
        assert np.mean(history[name][-6:]) < 0.93 * np.mean(history[name][:6]), name
    assert all(value is not None for value in history["validation_loss"])  # an epoch has one step here
    card = artifacts.read_json(tmp_path / "out" / "encoder.json")
    assert card["opinions"] == SEEN and card["provenance"]["labelled_on"] == ["gratings"]
    assert card["provenance"]["method"] == "joint"


def test_contrastive_alone_has_seen_no_opinion(tmp_path: Path) -> None:
    train(*job(tmp_path, TINY.model_copy(update={"alpha": 1.0, "epochs": 1.0})))
    card = artifacts.read_json(tmp_path / "out" / "encoder.json")
    assert "opinions" not in card and card["provenance"]["labelled_on"] == []


def test_validation_leaves_the_network_as_it_was(tmp_path: Path) -> None:
    method, _ = made(tmp_path, accumulate="cached", chunk=2)
    before = {name: value.clone() for name, value in method.network.state_dict().items()}
    first, second = (method.validate(method.network)["validation_loss"] for _ in range(2))
    assert first == second and method.network.training
    assert all(torch.equal(value, before[name]) for name, value in method.network.state_dict().items())


def test_ranks_share_a_step_and_one_validates(tmp_path: Path) -> None:
    run, make = job(tmp_path, TINY.model_copy(update={"epochs": 1.0, "accumulate": "cached", "chunk": 2}))
    train(replace(run, device=Device("cpu", 2)), make)
    history = pq.read_table(tmp_path / "out" / "history.parquet").to_pydict()
    assert len(history["step"]) == 2 and np.isfinite(history["validation_loss"][-1])


def test_a_rank_has_enough_images_of_each_kind_that_a_step_has() -> None:
    for batch, labelled, alpha, ranks in (
        (64, 16, 0.9, 1),  # two would have 8 labelled images each
        (64, 32, 0.9, 2),
        (48, 32, 0.9, 2),  # both halves are enough, though the greatest common divisor is 16
        (64, 15, 1.0, 2),  # no labelled image is looked at
        (15, 32, 0.0, 2),
    ):
        params = JointParams(batch=batch, labelled_batch=labelled, alpha=alpha)
        assert ranks_for([getattr(params, knob) for knob in params.batches], 2) == ranks, params


@pytest.mark.parametrize("knob", ("batch", "labelled_batch"))
def test_more_than_there_is_is_refused_by_name(tmp_path: Path, knob: str) -> None:
    run, make = job(tmp_path, TINY.model_copy(update={knob: 100}))
    with pytest.raises(ParamsError, match=f"joint_training.{knob}"):
        make(run, torch.device("cpu"))

"""The trainer: it learns, resumes to the bit, stops at NaN, and runs over several processes."""

from __future__ import annotations

import json
import math
import multiprocessing
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from stand_in import TINY, StandIn, fingerprint, job

from pipeline.artifacts import ArtifactError
from pipeline.encoder import Extractor
from pipeline.encoder.network import ResNet
from pipeline.encoder.pooling import Pool
from pipeline.encoder.weights import load_encoder, load_trunk, save_encoder
from pipeline.training import checkpoint, loop
from pipeline.training.collectives import world
from pipeline.training.ema import EMA
from pipeline.training.launch import RankRefused
from pipeline.training.loop import TrainingError, train
from pipeline.training.methods import contrastive


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def weights(folder: Path) -> bytes:
    return (folder / "out" / "encoder.safetensors").read_bytes()


def steady(folder: Path) -> dict[str, list[float]]:
    table = pq.read_table(folder / "out" / "history.parquet").drop_columns(["crops_per_s", "waiting"])
    return table.to_pydict()


def test_outs_and_history(tmp_path: Path) -> None:
    train(*job(tmp_path, StandIn()))
    table = pq.read_table(tmp_path / "out" / "history.parquet")
    assert table["step"].to_pylist() == list(range(8)) and table["epoch"].to_pylist() == [0] * 4 + [1] * 4
    assert table["learning_rate"].to_pylist()[:2] == pytest.approx([0.1 / 3, 0.2 / 3])
    assert all(field.metadata[b"description"] for field in table.schema)
    assert set(table["dropped"].to_pylist()) == {0} and min(table["crops_per_s"].to_pylist()) > 0
    assert 0 <= min(table["waiting"].to_pylist()) and max(table["waiting"].to_pylist()) <= 1
    card = json.loads((tmp_path / "out" / "encoder.json").read_text())
    assert card["name"] == "stand_in" and card["dim"] == 128 and card["provenance"]["params"]["crop"] == 32
    assert load_encoder(tmp_path / "out").extract([StandIn().image(0)]).shape == (1, 128)
    assert [path.name for path in sorted((tmp_path / "checkpoints").iterdir())] == ["latest.json", "step-00000008.pt"]


def test_the_loss_goes_down(tmp_path: Path) -> None:
    params = TINY.model_copy(update={"epochs": 12.0, "class_balanced": True, "images_per_class": 2})
    train(*job(tmp_path, StandIn(sources=6), params))
    losses = steady(tmp_path)["loss"]
    assert np.mean(losses[-6:]) < np.mean(losses[:6]) - 0.5


def test_same_seed_same_weights_whatever_the_cache(tmp_path: Path) -> None:
    train(*job(tmp_path / "a", StandIn()))
    train(*job(tmp_path / "b", StandIn(), cache="none", readers=2, checkpoint_every=3))
    train(*job(tmp_path / "c", StandIn(), seed=6))
    assert weights(tmp_path / "a") == weights(tmp_path / "b") != weights(tmp_path / "c")
    assert steady(tmp_path / "a") == steady(tmp_path / "b")


def test_it_begins_from_an_encoder(tmp_path: Path) -> None:
    """Its weights, width and the opinions that it has seen, with a new projector; another encoder is another run."""
    params = TINY.model_copy(update={"width": 16})
    train(*job(tmp_path / "first", StandIn()))
    seen = {"database": "koniq10k", "split": 0, "images": ["a.png"]}
    trunk = load_trunk(tmp_path / "first" / "out")[0]
    save_encoder(tmp_path / "known", trunk, "mine", {}, pool=Pool(layers=(2, 3)), opinions=[seen])
    run, make = job(tmp_path / "second", StandIn(), params, encoder=tmp_path / "known")
    method = make(run, torch.device("cpu"))
    for name, value in trunk.state_dict().items():
        assert torch.equal(method.network.trunk.state_dict()[name], value)
    assert "encoder" in method.fingerprint() and "encoder" not in job(tmp_path, StandIn())[1](run, "cpu").fingerprint()
    train(run, make)
    card = json.loads((tmp_path / "second" / "out" / "encoder.json").read_text())
    assert card["pool"]["layers"] == [2, 3]
    assert card["opinions"] == [seen] and card["width"] == card["provenance"]["params"]["width"] == 8
    assert weights(tmp_path / "second") != weights(tmp_path / "first")


class NoNumber(StandIn):
    """Rank 1 finds a loss that is none in its first step."""

    def image(self, index: int) -> np.ndarray:
        if world()[0] == 1:
            loop.math = SimpleNamespace(isfinite=lambda value: False, inf=math.inf)  # type: ignore[assignment]
        return super().image(index)


def _run(broken: tuple[Any, Any]) -> None:
    train(*broken)


def test_killed_and_resumed_is_unbroken_to_the_bit(tmp_path: Path) -> None:
    train(*job(tmp_path / "whole", StandIn()))
    for reading in (17, 45):  # kills itself while a later batch is being read ahead
        broken = job(tmp_path / "broken", StandIn(kill_after=reading), cache="none")
        process = multiprocessing.get_context("spawn").Process(target=_run, args=(broken,))
        process.start()
        process.join()
        assert process.exitcode == -9 and not (tmp_path / "broken" / "out" / "encoder.json").exists()
    train(*job(tmp_path / "broken", StandIn()))
    assert weights(tmp_path / "broken") == weights(tmp_path / "whole")
    assert steady(tmp_path / "broken") == steady(tmp_path / "whole")


@pytest.mark.parametrize("moment", [1, 3, 4, 6, 7])
def test_stopped_anywhere_and_resumed_is_unbroken(
    tmp_path: Path, moment: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train(*job(tmp_path / "whole", StandIn()))
    save = checkpoint.save

    def stop(*args: object, step: int, **options: object) -> None:
        save(*args, step=step, **options)  # type: ignore[arg-type]
        if step >= moment:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        train(*job(tmp_path / "broken", StandIn(), checkpoint_every=1))
    monkeypatch.undo()
    train(*job(tmp_path / "broken", StandIn()))
    assert weights(tmp_path / "broken") == weights(tmp_path / "whole")


def test_a_finished_run_is_written_out_again_without_training(tmp_path: Path) -> None:
    train(*job(tmp_path, StandIn()))
    first = weights(tmp_path), (tmp_path / "out" / "history.parquet").read_bytes()
    data = StandIn()
    train(*job(tmp_path, data))
    assert data.read == 0
    assert (weights(tmp_path), (tmp_path / "out" / "history.parquet").read_bytes()) == first


def test_other_parameters_start_again(tmp_path: Path) -> None:
    train(*job(tmp_path, StandIn()))
    data = StandIn()
    train(*job(tmp_path, data, TINY.model_copy(update={"learning_rate": 0.05})))
    assert data.read == len(data)
    train(*job(tmp_path / "fresh", StandIn(), TINY.model_copy(update={"learning_rate": 0.05})))
    assert weights(tmp_path) == weights(tmp_path / "fresh")


def test_a_damaged_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    train(*job(tmp_path, StandIn()))
    path = tmp_path / "checkpoints" / "step-00000008.pt"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="step-00000008.pt: not the bytes"):
        train(*job(tmp_path, StandIn()))
    path.unlink()
    with pytest.raises(ArtifactError, match="step-00000008.pt: named in latest.json and missing"):
        train(*job(tmp_path, StandIn()))


def test_a_foreign_pickle_is_never_unpickled(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("unpickled",)

    checkpoint.save(tmp_path, {"step": 1, "evil": Evil()}, step=1, identity="x")
    with pytest.raises(Exception, match="[Ww]eights.only"):
        checkpoint.load(tmp_path, "x")


def test_a_loss_that_is_no_number_names_the_step_and_the_images(tmp_path: Path) -> None:
    params = TINY.model_copy(update={"learning_rate": 10.0, "warmup": 0.0, "weight_decay": 0.99, "epochs": 400.0})
    data = StandIn()
    run = job(tmp_path, data, params)

    render = contrastive.views.render

    def broken(*args: object) -> torch.Tensor:
        crops = render(*args)  # type: ignore[arg-type]
        crops[3] = torch.nan
        return crops

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contrastive.views, "render", broken)
        with pytest.raises(TrainingError) as caught:
            train(*run)
    message = str(caught.value)
    assert "loss nan at step 0" in message and len(re.findall(r"\d{6}-\d{3}", message)) == 8
    assert not (tmp_path / "out").exists() and not (tmp_path / "checkpoints").exists()


def test_weights_that_are_no_numbers_are_neither_kept_nor_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = torch.optim.SGD.step

    def broken(self: torch.optim.SGD) -> None:  # an overflow in the last update, of which no loss can tell
        update(self)
        if self.param_groups[0]["lr"] < 0.01:
            with torch.no_grad():
                self.param_groups[0]["params"][3][0] = torch.inf

    monkeypatch.setattr(torch.optim.SGD, "step", broken)
    with pytest.raises(TrainingError, match="weights that are no numbers after step 7, .*; images 00000"):
        train(*job(tmp_path, StandIn()))
    assert not (tmp_path / "out").exists()
    assert [path.name for path in sorted((tmp_path / "checkpoints").glob("step-*"))] == ["step-00000006.pt"]


def test_bf16_trains(tmp_path: Path) -> None:
    train(*job(tmp_path, StandIn(), TINY.model_copy(update={"precision": "bf16", "epochs": 1.0})))
    assert np.isfinite(steady(tmp_path)["loss"]).all()
    assert json.loads((tmp_path / "out" / "encoder.json").read_text())["provenance"]["precision"] == "bf16"


def test_two_processes_train_and_write_once(tmp_path: Path) -> None:
    train(*job(tmp_path, StandIn(), ranks=2))
    history = steady(tmp_path)
    assert history["step"] == list(range(8)) and np.isfinite(history["loss"]).all()
    train(*job(tmp_path, StandIn(), ranks=2))  # resumes at the end on both ranks
    assert steady(tmp_path) == history


def test_an_error_of_a_rank_is_raised(tmp_path: Path) -> None:
    params = TINY.model_copy(update={"batch": 9})
    with pytest.raises(RankRefused, match="^training.batch: 9 is not a multiple of the 2 ranks$"):
        train(*job(tmp_path, StandIn(), params, ranks=2))


def test_every_ranks_images_are_named(tmp_path: Path) -> None:
    with pytest.raises(RankRefused, match="step 0") as caught:
        train(*job(tmp_path, NoNumber(), ranks=2))
    assert len(re.findall(r"\d{6}-\d{3}", str(caught.value))) == TINY.batch


def test_an_unknown_cache_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cache: 'disk'"):
        train(*job(tmp_path, StandIn(), cache="disk"))


def test_a_checkpoint_of_another_precision_is_not_gone_on_with(tmp_path: Path) -> None:
    assert fingerprint(tmp_path, StandIn()) != fingerprint(tmp_path, StandIn(), precision="bf16")
    assert fingerprint(tmp_path, StandIn()) == fingerprint(tmp_path, StandIn(), threads=2)


def test_the_average_is_written_resumed_and_off_by_default(tmp_path: Path) -> None:
    averaged = TINY.model_copy(update={"ema": 0.6})
    train(*job(tmp_path / "last", StandIn(), checkpoint_every=1))
    for name, every in (("whole", 2), ("again", 1)):
        train(*job(tmp_path / name, StandIn(), averaged, checkpoint_every=every))
    assert weights(tmp_path / "whole") == weights(tmp_path / "again") != weights(tmp_path / "last")
    assert steady(tmp_path / "whole") == steady(tmp_path / "last")  # what is learnt is the same
    identity = fingerprint(tmp_path, StandIn(), averaged, ema=averaged.ema)
    state = checkpoint.load(tmp_path / "whole/checkpoints", identity)
    assert state is not None
    written = load_trunk(tmp_path / "whole" / "out")[0].state_dict()
    for key, value in written.items():
        assert torch.equal(value, state["ema"][f"trunk.{key}"])


@pytest.mark.parametrize("moment", [1, 5])
def test_the_average_of_a_stopped_run_is_that_of_a_whole_one(
    tmp_path: Path, moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = TINY.model_copy(update={"ema": 0.9})
    train(*job(tmp_path / "whole", StandIn(), params))
    save = checkpoint.save

    def stop(*args: object, step: int, **options: object) -> None:
        save(*args, step=step, **options)  # type: ignore[arg-type]
        if step == moment:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        train(*job(tmp_path / "broken", StandIn(), params, checkpoint_every=1))
    monkeypatch.undo()
    train(*job(tmp_path / "broken", StandIn(), params))
    assert weights(tmp_path / "broken") == weights(tmp_path / "whole")


def test_the_average_is_the_written_out_sum() -> None:
    trunk, values = ResNet(18, 8), [1.0, 5.0, -3.0]
    average = EMA(trunk, 0.15)
    expected = {key: value.clone() for key, value in trunk.state_dict().items()}
    for step, value in enumerate(values):
        decay = min(0.15, (1 + step) / (10 + step))
        with torch.no_grad():
            for tensor in trunk.state_dict().values():
                if tensor.is_floating_point():  # weights and the batch norms' statistics
                    tensor.fill_(value)
        average.update(trunk, step)
        for key, mean in expected.items():
            if mean.is_floating_point():
                expected[key] = decay * mean + (1 - decay) * value
    assert "bn1.running_var" in expected
    for key, mean in average.network.state_dict().items():
        assert torch.allclose(mean, expected[key], atol=1e-6), key


def test_options_change_what_is_learnt(tmp_path: Path) -> None:
    train(*job(tmp_path / "plain", StandIn()))
    for changes in ({"neighbour_weight": 0.5}, {"colour_spaces": ("grey",)}):
        folder = tmp_path / str(*changes)
        train(*job(folder, StandIn(), TINY.model_copy(update=changes)))
        assert weights(folder) != weights(tmp_path / "plain")


def looks(extractor: Extractor) -> dict[str, float]:
    """A probe that uses the extractor and all of torch's chance."""
    features = extractor.extract([StandIn().image(index) for index in range(3)])
    torch.rand(7)
    return {"type_accuracy": float(features.std())}


@pytest.mark.parametrize("ema", [None, 0.8])
def test_the_probe_goes_into_the_history_and_changes_no_weight(tmp_path: Path, ema: float | None) -> None:
    params = TINY.model_copy(update={"epochs": 3.0, "probe_every": 2, "ema": ema})
    train(*job(tmp_path / "unseen", StandIn(), params))
    train(*job(tmp_path / "seen", StandIn(), params, probe=looks))
    train(*job(tmp_path / "never", StandIn(), params.model_copy(update={"probe_every": 0}), probe=looks))
    assert weights(tmp_path / "seen") == weights(tmp_path / "unseen") == weights(tmp_path / "never")
    accuracies = steady(tmp_path / "seen").pop("type_accuracy")
    assert [step for step, accuracy in enumerate(accuracies) if accuracy is not None] == [7, 11]  # epoch 2, the end
    unseen = steady(tmp_path / "unseen")
    assert {**steady(tmp_path / "seen"), "type_accuracy": unseen["type_accuracy"]} == unseen
    assert set(steady(tmp_path / "never")["type_accuracy"]) == {None} == set(unseen["type_accuracy"])
    final = load_encoder(tmp_path / "seen" / "out")
    assert accuracies[-1] == pytest.approx(looks(final)["type_accuracy"], rel=1e-6)  # of what is written
    card = json.loads((tmp_path / "seen" / "out" / "encoder.json").read_text())
    assert card["provenance"]["selection"] == "last"


def test_a_resumed_history_keeps_what_the_probe_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = TINY.model_copy(update={"probe_every": 1})
    train(*job(tmp_path / "whole", StandIn(), params, probe=looks))
    save = checkpoint.save

    def stop(*args: object, step: int, **options: object) -> None:
        save(*args, step=step, **options)  # type: ignore[arg-type]
        if step == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        train(*job(tmp_path / "broken", StandIn(), params, checkpoint_every=1, probe=looks))
    monkeypatch.undo()
    train(*job(tmp_path / "broken", StandIn(), params, probe=looks))
    assert steady(tmp_path / "broken") == steady(tmp_path / "whole")
    assert sum(accuracy is not None for accuracy in steady(tmp_path / "whole")["type_accuracy"]) == 2

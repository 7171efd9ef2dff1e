"""LP and FT: what they learn, what validation and the plateau do, that they resume to the bit, what the card says."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from stand_in import StandIn

from pipeline.artifacts import ArtifactError
from pipeline.devices import Device
from pipeline.encoder.network import ResNet, initialise, weight_generator
from pipeline.encoder.preprocessing import Preprocessing
from pipeline.encoder.weights import load_encoder, save_encoder
from pipeline.params import FinetuningParams, ParamsError
from pipeline.training import checkpoint
from pipeline.training.loop import Run, train
from pipeline.training.methods.finetune import FineTune, LinearProbe, Start
from pipeline.training.methods.regression import HEAD, VIEWS, crops_of, load_head, load_network, predict

TINY = FinetuningParams(crop=32, batch=8, epochs=2, learning_rate=1e-3, head_learning_rate=1e-3, views=("centre",))
SEEN = [{"database": "toys", "split": 0, "images": ["a", "b"]}]
CPU = torch.device("cpu")


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    trunk = ResNet(18, 8)
    initialise(trunk, weight_generator(1))
    save_encoder(tmp_path / "encoder", trunk, "encoder", {"trained_on": "dead_leaves"})
    return tmp_path / "encoder"


def opinions(images: StandIn) -> np.ndarray:
    """A finer grating is worse."""
    return (10 - images.labels).astype(np.float32)


def run_in(folder: Path, every: int) -> Run:
    out, kept = folder / "out", folder / "checkpoints"
    return Run(name="tuned", out=out, checkpoints=kept, device=Device("cpu"), threads=1, checkpoint_every=every)


def tuning(
    folder: Path, encoder: Path, params: FinetuningParams = TINY, **changes: Any
) -> tuple[Run, partial[FineTune]]:
    images, held = StandIn(), StandIn(sources=1)
    held_out = changes.pop("validation", (held, opinions(held)))
    settings = {"start": Start(encoder), "mode": "ft", "images": images, "targets": opinions(images)}
    settings |= {"validation": held_out, "params": params, "seed": 5, "opinions": SEEN, **changes}
    return run_in(folder, settings.pop("every", 50)), partial(FineTune, **settings)


def probing(
    folder: Path, encoder: Path, params: FinetuningParams = TINY, **changes: Any
) -> tuple[Run, partial[LinearProbe]]:
    images, rng = StandIn(), np.random.default_rng(3)
    features = rng.normal(3, 0.01, (len(images), 2, 6)).astype(np.float32)
    features[..., 0] += 0.01 * images.labels[:, None]
    settings = {"start": Start(encoder), "keys": images.keys, "features": features, "targets": opinions(images)}
    settings |= {"validation": (features[:8], opinions(images)[:8]), "params": params, "seed": 5, "opinions": SEEN}
    settings |= changes
    return run_in(folder, settings.pop("every", 50)), partial(LinearProbe, **settings)


def history(folder: Path) -> dict[str, list[Any]]:
    columns = pq.read_table(folder / "out" / "history.parquet").to_pydict()
    return {name: values for name, values in columns.items() if name not in ("crops_per_s", "waiting")}


def files(folder: Path) -> list[bytes]:
    return [(folder / "out" / name).read_bytes() for name in ("encoder.safetensors", HEAD, "encoder.json")]


def test_fine_tuning_learns_and_is_read_again(tmp_path: Path, encoder: Path) -> None:
    train(*tuning(tmp_path, encoder, TINY.model_copy(update={"epochs": 16.0, "validate_every": 8.0})))
    network, card = load_network(tmp_path / "out")
    held = StandIn(sources=5)
    answers = predict(network, held, ["centre", "five_crops"], 32, CPU, "test")
    for answer in answers.values():
        assert answer.dtype == np.float64 and np.corrcoef(answer, opinions(held))[0, 1] > 0.6
    losses = history(tmp_path)["validation_loss"]
    assert sum(value is not None for value in losses) == 2
    assert card["opinions"] == SEEN and card["provenance"]["method"] == "finetune"
    assert load_encoder(tmp_path / "out").extract([held.image(0)]).shape == (1, 128)  # an encoder as any other


def test_the_mean_of_the_crops_is_the_prediction(tmp_path: Path, encoder: Path) -> None:
    train(*tuning(tmp_path, encoder, TINY.model_copy(update={"epochs": 0.5})))
    network, images = load_network(tmp_path / "out")[0], StandIn(sources=2)
    answers = predict(network, images, tuple(VIEWS), 32, CPU, "test")
    for view, count in VIEWS.items():
        crops = crops_of(images.image(5), view, 32)
        assert crops.shape == (count, 32, 32, 3)
        with torch.inference_mode():
            one = network.eval()(torch.from_numpy(crops).permute(0, 3, 1, 2) / 255).mean().item()
        assert answers[view][5] == pytest.approx(one, abs=1e-5)
    assert crops_of(images.image(5)[:20, :10], "five_crops", 32).shape == (5, 32, 32, 3)


@pytest.mark.parametrize("make", [tuning, probing])
def test_stopped_anywhere_and_resumed_is_unbroken_with_the_plateaus_state(
    tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch, make: Any
) -> None:
    """The validation part has the opposite opinions, so that what is learnt makes it worse: the rate falls, and the run
    ends early.
    """
    params = TINY.model_copy(update={"patience": 2, "stop_after": 5, "epochs": 8.0, "validate_every": 0.25})
    images, opposite = make(tmp_path, encoder)[1].keywords["validation"]
    make = partial(make, params=params, validation=(images, 11 - opposite), every=1)
    train(*make(tmp_path / "whole", encoder))
    whole = history(tmp_path / "whole")
    assert len(set(whole["learning_rate"])) > 1 and len(whole["step"]) < 32  # both rules were at work
    save = checkpoint.save
    for moment in (1, len(whole["step"]) - 2):

        def stop(*args: object, step: int, at: int = moment, **options: object) -> None:
            save(*args, step=step, **options)  # type: ignore[arg-type]
            if step == at:
                raise KeyboardInterrupt

        monkeypatch.setattr(checkpoint, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            train(*make(tmp_path / "broken", encoder))
        monkeypatch.undo()
        train(*make(tmp_path / "broken", encoder))
        assert files(tmp_path / "broken") == files(tmp_path / "whole") and history(tmp_path / "broken") == whole
        checkpoint.save(tmp_path / "broken" / "checkpoints", {}, step=0, identity="another")  # begin again


def test_a_head_on_features_learns_and_takes_raw_ones(tmp_path: Path, encoder: Path) -> None:
    run, make = probing(tmp_path, encoder, TINY.model_copy(update={"epochs": 40.0, "head_learning_rate": 1e-2}))
    train(run, make)
    features, targets = make.keywords["features"], make.keywords["targets"]
    with torch.inference_mode():
        answers = load_head(tmp_path / "out")(torch.from_numpy(features[:, 0])).numpy()
    assert np.corrcoef(answers, targets)[0, 1] > 0.8
    method = make(run, CPU)
    flat = features.reshape(-1, 6).astype(np.float64)
    np.testing.assert_allclose(method.mean, flat.mean(0))
    state = checkpoint.load(
        tmp_path / "checkpoints", json.loads((tmp_path / "checkpoints/latest.json").read_text())["identity"]
    )
    assert state is not None
    method.network.load_state_dict(state["network"])
    standardised = torch.from_numpy(((features[:, 0] - flat.mean(0)) / flat.std(0)).astype(np.float32))
    with torch.inference_mode():
        np.testing.assert_allclose(method.network(standardised), answers, atol=2e-2)  # of 10: features differ by 0.3 %
    assert (tmp_path / "out/encoder.safetensors").read_bytes() == (encoder / "encoder.safetensors").read_bytes()
    assert json.loads((tmp_path / "out/encoder.json").read_text())["opinions"] == SEEN


def test_lp_then_ft_begins_from_the_trained_head(tmp_path: Path, encoder: Path) -> None:
    images = StandIn()
    start = load_network(encoder, load_head_of(encoder, tmp_path / "lp", images))[0]
    run, make = tuning(tmp_path / "ft", encoder, start=Start(encoder, tmp_path / "lp/out"), mode="lp_ft")
    method = make(run, CPU)
    for key, value in start.state_dict().items():
        assert torch.equal(value, method.network.state_dict()[key]), key
    other = tuning(tmp_path / "ft", encoder)[1](run, CPU)
    assert method.fingerprint() != other.fingerprint()


def load_head_of(encoder: Path, folder: Path, images: StandIn) -> Any:
    features = np.random.default_rng(0).uniform(0, 1, (len(images), 1, 64)).astype(np.float32)
    train(*probing(folder, encoder, features=features, validation=(features[:4], opinions(images)[:4])))
    return load_head(folder / "out")


def test_rate_0_leaves_the_weights_of_the_encoder(tmp_path: Path, encoder: Path) -> None:
    train(*tuning(tmp_path, encoder, TINY.model_copy(update={"learning_rate": 0.0})))
    before, after = (
        load_network(folder, load_head(tmp_path / "out"))[0].trunk for folder in (encoder, tmp_path / "out")
    )
    for (key, value), other in zip(before.named_parameters(), after.parameters(), strict=True):
        assert torch.equal(value, other), key


def test_l1_is_the_absolute_error(tmp_path: Path, encoder: Path) -> None:
    params = TINY.model_copy(update={"loss": "l1", "vertical_flips": False})
    run, make = tuning(tmp_path, encoder, params)
    method = make(run, CPU)
    method.prepare(1)
    batch = next(method.batches(0, 1, 0, 1))
    assert not batch.flips[:, 0].any()
    with torch.no_grad():
        loss = method.loss(batch)["loss"]
        crops = batch.squares.permute(0, 3, 1, 2) / 255
        crops = torch.where(batch.flips[:, 1].view(-1, 1, 1, 1), crops.flip(3), crops)
        expected = (make(run, CPU).network(crops) - batch.targets).abs().mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_how_an_encoder_is_shown_images_stays(tmp_path: Path, encoder: Path) -> None:
    trunk = load_network(encoder, load_head_of(encoder, tmp_path / "lp", StandIn()))[0].trunk
    shown = Preprocessing((0.5, 0.4, 0.3), (0.2, 0.2, 0.2), "bicubic")
    save_encoder(tmp_path / "foreign", trunk, "foreign", {}, shown)
    train(*tuning(tmp_path, tmp_path / "foreign", TINY.model_copy(update={"epochs": 0.3})))
    assert load_network(tmp_path / "out")[0].preprocessing == shown


def test_impossible_batches_and_damaged_heads_are_refused(tmp_path: Path, encoder: Path) -> None:
    big = TINY.model_copy(update={"batch": 64})
    for run, make in (tuning(tmp_path, encoder, big), probing(tmp_path, encoder, big)):
        with pytest.raises(ParamsError, match="^finetuning.batch: 64 is more than"):
            make(run, CPU)
    with pytest.raises(ArtifactError, match=f"{HEAD}: not the head"):
        load_head(encoder)
    (encoder / HEAD).write_bytes(b"no head")
    with pytest.raises(ArtifactError, match=f"{HEAD}: not the head"):
        load_network(encoder)

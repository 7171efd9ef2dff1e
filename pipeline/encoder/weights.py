"""An encoder on disk: encoder.safetensors (the trunk, torchvision's key names) and encoder.json (what it is, made
from what).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.artifacts import ArtifactError, sha256_bytes, write_bytes, write_json
from pipeline.encoder.card import CARD, WEIGHTS, feature_fingerprint, read_card, read_weights
from pipeline.encoder.network import BLOCKS, ResNet, key_problems
from pipeline.encoder.pooling import Pool, pool_of
from pipeline.encoder.preprocessing import Preprocessing
from pipeline.encoder.trunk import TrunkExtractor


def save_encoder(
    folder: Path,
    trunk: ResNet,
    name: str,
    provenance: Mapping[str, object],
    preprocessing: Preprocessing | None = None,
    pool: Pool = Pool(),
    *,
    half: bool = False,
    opinions: Sequence[Mapping[str, object]] = (),
) -> str:
    """Write a trunk (float32) under ``folder``; returns the sha256 of the weights file. Equal weights give equal bytes.

    ``half`` writes the convolutions' weights in float16 (batch norms stay float32: a hundredth of the bytes, and their
    variances go down to where float16 has few digits); reading gives float32 again.

    encoder.json: kind "resnet", name, architecture, depth, width, dim (of a feature: 2 D), sha256, and ``provenance``
    (JSON-able: what it was trained on, with what), and ``preprocessing`` and ``pool`` where they are not ours and the
    papers'. ``opinions`` are the opinions that the weights have seen, an entry for each database and split:
    ``{"database": "koniq10k", "split": 0, "images": [image ids]}`` (pipeline.evaluation.leaks.opinions); who learns
    from opinions must list them. The card is written last: a folder with a card is whole.
    """
    from safetensors.torch import save as serialise

    state = {key: value.detach().cpu().contiguous() for key, value in sorted(trunk.state_dict().items())}
    if half:
        state = {key: value.half() if value.ndim == 4 else value for key, value in state.items()}
    data = serialise(state)
    digest = sha256_bytes(data)
    (folder / CARD).unlink(missing_ok=True)
    write_bytes(folder / WEIGHTS, data)
    card = {"architecture": trunk.architecture, "depth": trunk.depth, "width": trunk.width, "dim": pool.dim(trunk)}
    origin = {"kind": "resnet", "name": name, "sha256": digest, "provenance": dict(provenance)}
    shown: dict[str, object] = {} if preprocessing is None else {"preprocessing": asdict(preprocessing)}
    if pool != Pool():
        shown["pool"] = pool.as_card()
    if opinions:
        shown["opinions"] = [dict(entry) for entry in opinions]
    write_json(folder / CARD, {**origin, **card, **shown})
    return digest


def load_trunk(folder: Path) -> tuple[ResNet, dict[str, Any]]:
    """The trunk in ``folder`` and its card. :class:`ArtifactError` if the weights are not those of the card."""
    from safetensors import SafetensorError
    from safetensors.torch import load as parse

    folder = Path(folder)
    card = read_card(folder)
    shape = (card.get("depth"), card.get("width"))
    if card["kind"] != "resnet" or shape[0] not in BLOCKS or not isinstance(shape[1], int):
        raise ArtifactError(
            f"{folder / CARD}: kind {card['kind']!r}, depth and width {shape!r}: not a ResNet of this project"
        )
    data, trunk = read_weights(folder, card), ResNet(card["depth"], card["width"])
    try:
        state = parse(data)
    except SafetensorError:
        raise ArtifactError(f"{folder / WEIGHTS}: not a safetensors file") from None
    if problems := key_problems(trunk.state_dict(), state):
        raise ArtifactError(f"{folder / WEIGHTS}: not a {card.get('architecture')}; {problems}")
    trunk.load_state_dict(state)
    return trunk, card


def save_readout(folder: Path, out: Path, pool: Pool) -> None:
    """Write the encoder of ``folder`` under ``out`` with another ``pool``: the same weights, the same provenance.

    :class:`ArtifactError` as :func:`load_trunk`.
    """
    folder, out = Path(folder), Path(out)
    trunk, card = load_trunk(folder)
    card = {key: value for key, value in card.items() if key != "pool"}
    declared = {} if pool == Pool() else {"pool": pool.as_card()}
    (out / CARD).unlink(missing_ok=True)
    write_bytes(out / WEIGHTS, (folder / WEIGHTS).read_bytes())
    write_json(out / CARD, {**card, "name": out.name, "dim": pool.dim(trunk), **declared})


def load_encoder(folder: Path, *, device: str = "cpu", precision: str = "fp32") -> TrunkExtractor:
    """The extractor of an encoder folder. ``precision``: fp32 (the default, what is promised) or bf16."""
    trunk, card = load_trunk(folder)
    return TrunkExtractor(
        trunk,
        name=card["name"],
        sha256=feature_fingerprint(card["sha256"], card),
        device=device,
        precision=precision,
        preprocessing=preprocessing_of(card, folder),
        pool=_pool(card, Path(folder) / CARD),
    )


def preprocessing_of(card: Mapping[str, Any], folder: Path) -> Preprocessing:
    """How images are shown to the trunk of ``folder``, by its card; :class:`ArtifactError` for impossible settings."""
    given: Any = card.get("preprocessing", {})
    try:
        settings: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in given.items()}
        return Preprocessing(**settings)
    except (TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(f"{Path(folder) / CARD}: preprocessing: {error}") from None


def _pool(card: Mapping[str, Any], path: Path) -> Pool:
    try:
        return pool_of(card)
    except (TypeError, ValueError) as error:
        raise ArtifactError(f"{path}: {error}") from None

"""Which regressors there are, with the encoder of each: the released ones, and those that the pipeline has stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.scoring.regressor import CARD, RegressorError, read_regressor_card

ENCODER = "encoder.json"


@dataclass(frozen=True)
class StoredRegressor:
    """The folders of a regressor and of the encoder it was made for; both carry a card."""

    name: str
    regressor: Path
    encoder: Path


def find_regressors(released: Sequence[Path], data: Path) -> list[StoredRegressor]:
    """All regressors, in the order in which the first one is the default: those of a release before the pipeline's own,
    and of a release those on several databases before those on one.

    ``released``: folders with ``encoder.json`` (there, or in ``encoder/``) and a ``regressor.json`` anywhere below.
    ``data``: the pipeline's folder, with ``regressors/{encoder}/{database}/`` and ``models/{encoder}/``.
    """
    first = next((entries for folder in released if (entries := list(_release(folder)))), [])
    return [*first, *_pipeline(data)]


def choose_regressor(
    known: Sequence[StoredRegressor], *, regressor: str | None, encoder: str | None
) -> StoredRegressor:
    """The regressor called ``regressor`` (a folder, ``encoder/database`` or ``database``) of ``encoder`` (its name, or
    a folder to use instead of the regressor's own). Without either the first; :class:`RegressorError` if there is none.
    """
    instead = Path(encoder) if encoder is not None and (Path(encoder) / ENCODER).is_file() else None
    if regressor is not None and (Path(regressor) / CARD).is_file():
        own = str(read_regressor_card(Path(regressor))["encoder"])
        places = [instead, *(entry.encoder for entry in known if entry.name.startswith(f"{encoder or own}/"))]
        place = next((place for place in places if place is not None), None)
        if place is None:
            raise RegressorError(f"{regressor}: no encoder {encoder or own} here; give its folder as --encoder")
        return StoredRegressor(str(regressor), Path(regressor), place)
    fitting = [entry for entry in known if regressor is None or regressor in (entry.name, entry.name.split("/")[1])]
    if encoder is not None and instead is None:
        fitting = [entry for entry in fitting if entry.name.startswith(f"{encoder}/")]
    if not fitting:
        asked = " ".join(f"--{key} {value}" for key, value in (("regressor", regressor), ("encoder", encoder)) if value)
        names = ", ".join(entry.name for entry in known)
        raise RegressorError(
            f"{asked}: no such regressor; there are {names}" if names and asked else
            "no regressor here: `dvc repro` stores them in data/regressors, or give --regressor and --encoder folders"
        )  # fmt: skip
    first = fitting[0]
    return StoredRegressor(first.name, first.regressor, instead or first.encoder)


def find_encoder(name: str, released: Sequence[Path], data: Path) -> Path:
    """The folder of an encoder: ``name`` is "released", a name below ``data``/models, or a folder with encoder.json."""
    places = [place for folder in released for place in _encoder_places(folder)] if name == "released" else []
    places += [place for place in (data / "models" / name, Path(name)) if (place / ENCODER).is_file()]
    if not places:
        stored = sorted(card.parent.name for card in (data / "models").glob(f"*/{ENCODER}"))
        raise RegressorError(f"{name}: no encoder of this name; there are {', '.join(['released', *stored])}")
    return places[0]


def _encoder_places(folder: Path) -> list[Path]:
    return [place for place in (folder, folder / "encoder") if (place / ENCODER).is_file()]


def _release(folder: Path) -> Iterator[StoredRegressor]:
    places = _encoder_places(folder)
    if places:
        for card in sorted(
            folder.rglob(CARD), key=lambda card: ("databases" not in read_regressor_card(card.parent), card)
        ):
            yield StoredRegressor(f"released/{read_regressor_card(card.parent)['database']}", card.parent, places[0])


def _pipeline(data: Path) -> Iterator[StoredRegressor]:
    for card in sorted((data / "regressors").glob(f"*/*/{CARD}")):
        encoder, database = card.parts[-3:-1]
        yield StoredRegressor(f"{encoder}/{database}", card.parent, data / "models" / encoder)

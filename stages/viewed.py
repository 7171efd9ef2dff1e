"""viewed@{encoder}-{space}: a network that is shown images in another colour space (data/models/{encoder}-{space}/)."""

from __future__ import annotations

from pipeline.params import Params
from stages import DATA, entry


def run(params: Params, encoder: str, space: str) -> None:
    """Write the encoder's weights once more, with a card that says in which space images are shown to them."""
    from pipeline.encoder import weights

    weights.show_in(space, DATA / "models" / encoder, DATA / "models" / f"{encoder}-{space}")


if __name__ == "__main__":
    entry(run, "encoder", "space")

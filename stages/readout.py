"""readout@{name}: another readout of an encoder, from the same weights (data/models/{name}/)."""

from __future__ import annotations

from pipeline.params import Params
from stages import DATA, entry


def run(params: Params, name: str) -> None:
    """Write the encoder's weights once more, with a card that says what is read out of them."""
    from pipeline.encoder.pooling import Pool
    from pipeline.encoder.weights import save_readout

    readout = params.readouts[name]
    save_readout(DATA / "models" / readout.encoder, DATA / "models" / name, Pool(**readout.pool.model_dump()))


if __name__ == "__main__":
    entry(run, "name")

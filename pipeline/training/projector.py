"""The network of contrastive training: the trunk, 2x2 patch pooling, and the projector, which is thrown away after."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.encoder.network import ResNet, initialise
from pipeline.params import TrainingParams

PATCHES = 4  # 2 x 2 of each crop


class Projector(nn.Sequential):
    """g of eq. (1): ``layers`` times linear, batch norm, ReLU of ``width``, then linear and batch norm to ``outputs``.

    No biases: the batch norms have them. Paper 1 has two hidden layers of 2,048, CONTRIQUE's code one.
    """

    def __init__(self, inputs: int, layers: int, width: int, outputs: int) -> None:
        modules: list[nn.Module] = []
        for _ in range(layers):
            modules += [nn.Linear(inputs, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()]
            inputs = width
        super().__init__(*modules, nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs))


class ContrastiveNetwork(nn.Module):
    """Trunk and projector."""

    def __init__(self, trunk: ResNet, projector: Projector) -> None:
        super().__init__()
        self.trunk, self.projector = trunk, projector

    def forward(self, crops: Tensor) -> Tensor:
        """float [n, 3, M, M] -> embeddings [4 n, K], the four patches of a crop one after the other.

        Patches are places of the trunk's last map, averaged to 2 x 2 (not squares of pixels), L2-normalised.
        """
        patches = F.adaptive_avg_pool2d(self.trunk(crops), 2)
        rows = patches.permute(0, 2, 3, 1).reshape(-1, patches.shape[1])
        embeddings: Tensor = self.projector(F.normalize(rows if rows.dtype == torch.float64 else rows.float(), dim=1))
        return embeddings


def build(params: TrainingParams, random: torch.Generator | None, trunk: ResNet | None = None) -> ContrastiveNetwork:
    """The network whose weights are drawn from ``random`` (a CPU generator), the trunk first if not given."""
    if trunk is None:
        trunk = ResNet(params.depth, params.width)
        initialise(trunk, random)
    projector = Projector(trunk.dim, params.projector_layers, params.projector_width, params.projection)
    draw_linear(projector, random)
    return ContrastiveNetwork(trunk, projector)


def draw_linear(network: nn.Module, random: torch.Generator | None) -> None:
    """Draw the weights of all linear layers, in order: uniform as torch's own default, but from ``random``."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            bound = module.in_features**-0.5
            with torch.no_grad():
                module.weight.uniform_(-bound, bound, generator=random)

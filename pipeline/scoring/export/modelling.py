"""The model of this folder: features and scores of images, with torch and safetensors alone."""

import json
from pathlib import Path

import torch.nn.functional as F
from safetensors.torch import load_file
from synthetic_iqa.pooling import Pool
from synthetic_iqa.preprocessing import Preprocessing


class Model:
    """Images are float [n, 3, h, w] in [0, 1], RGB. Features and scores can be differentiated."""

    def __init__(self, folder=Path(__file__).parent, device="cpu"):
        self.config = json.loads((Path(folder) / "config.json").read_text())
        tensors = load_file(Path(folder) / "model.safetensors", device=device)
        self.tensors = {name: value.float() if value.ndim == 4 else value for name, value in tensors.items()}
        self.preprocessing, self.pool = Preprocessing(**self.config["preprocessing"]), Pool(**self.config["pool"])

    def features(self, images):
        """float32 [n, dim]."""
        return self.pool.features(self, self.preprocessing, images)

    def scores(self, images, reference=None):
        """float64 [n] in the units of the regressor's database; with ``reference`` by the difference from it."""
        values, mode = self.features(images), "nr" if reference is None else "fr"
        values = values if reference is None else (self.features(reference) - values).abs()
        coef, mean, scale = (self.tensors[f"regressor.{mode}.{part}"] for part in ("coef", "mean", "scale"))
        return ((values.double() - mean) / scale) @ coef + self.config["regressor"]["levels"][mode]

    def maps(self, images, layers):
        """The maps of the residual layers."""
        x, maps = F.max_pool2d(F.relu(self._conv("conv1", "bn1", images, 2)), 3, 2, 1), {}
        for layer in range(1, max(layers) + 1):
            block = 0
            while (name := f"layer{layer}.{block}.") + "conv1.weight" in self.tensors:
                stride, last, y = (
                    2 if layer > 1 and block == 0 else 1,
                    3 if name + "conv3.weight" in self.tensors else 2,
                    x,
                )
                for i in range(1, last + 1):
                    y = self._conv(f"{name}conv{i}", f"{name}bn{i}", F.relu(y), stride if i == last - 1 else 1)
                if name + "downsample.0.weight" in self.tensors:
                    x = self._conv(name + "downsample.0", name + "downsample.1", x, stride)
                x, block = F.relu(x + y), block + 1
            maps[layer] = x
        return {layer: maps[layer] for layer in layers}

    def _conv(self, conv, norm, x, stride):
        weight, keys = self.tensors[f"{conv}.weight"], ("running_mean", "running_var", "weight", "bias")
        x = F.conv2d(x, weight, stride=stride, padding=weight.shape[2] // 2)
        return F.batch_norm(x, *(self.tensors[f"{norm}.{key}"] for key in keys))

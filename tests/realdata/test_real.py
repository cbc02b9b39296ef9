"""The real data sets, where COLLAPSE_DATA names a folder that holds them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from realdata.datasets import DATA_VARIABLE, locate, pictures
from realdata.protocol import Protocol, parts
from sim.catalogue import DATASETS
from sim.errors import InvalidInput


@pytest.mark.parametrize("name", [name for name in DATASETS if DATASETS[name].downloads])
def test_counts_and_first_images(name: str) -> None:
    if DATA_VARIABLE not in os.environ:
        pytest.skip(f"{DATA_VARIABLE} isn't set")
    try:
        place: Path = locate(name)
    except InvalidInput as error:
        pytest.skip(str(error))
    train, test = (pictures(name, place, split) for split in ("train", "test"))
    for split, side in (("train", train), ("test", test)):
        images, fine = DATASETS[name].official[split]
        if "subset" in place.name:
            assert 0 < len(side) < images
        else:
            assert (len(side), len(np.unique(side.modes))) == (images, fine)
        x = side.pixels(np.arange(20))
        assert x.dtype == np.float32 and 0 <= x.min() < x.max() <= 1
        assert len(np.unique(x.reshape(20, -1), axis=0)) == 20
    one, other = parts(train, test, Protocol("zero_shot"))
    assert not set(one.modes) & set(other.modes)

"""scikit-learn's bundled handwritten digits: 1,797 images of 8 x 8 (Alpaydin & Kaynak 1998). No download."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from realdata.datasets import DataSet
from realdata.pictures import ArrayPictures
from sim.catalogue import DATASETS

TEST_SHARE = 0.4


def read(root: Path, split: str) -> ArrayPictures:
    """A fixed stratified split, 60 % train; values 0..16.

    Examples
    --------
    >>> train, test = (read(Path(), split) for split in ("train", "test"))
    >>> len(train), len(test), train.pixels().shape
    (1078, 719, (1078, 1, 8, 8))
    """
    images, digit = load_digits(return_X_y=True)
    rows = np.arange(len(digit))
    train, test = train_test_split(rows, test_size=TEST_SHARE, random_state=0, stratify=digit)
    chosen = np.sort(train if split == "train" else test)
    values = images[chosen].reshape(-1, 8, 8).astype(np.uint8)
    return ArrayPictures(values, digit[chosen] % 2, digit[chosen], top=16, dtype=np.float64)


DATASETS.register("digits")(
    DataSet(
        read,
        title="scikit-learn's digits",
        layout="nothing",
        labels="even and odd; the ten digits",
        official={"train": (1078, 10), "test": (719, 10)},
        bundled=True,
    )
)

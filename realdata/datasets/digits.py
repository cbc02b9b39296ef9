"""scikit-learn's bundled handwritten digits: 1,797 images of 8 x 8 (Alpaydin & Kaynak 1998). No download."""

from __future__ import annotations

import os

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from realdata.datasets import DATASETS
from sim.errors import InvalidInput
from sim.generators import Sample

TEST_SHARE = 0.4


@DATASETS.register("digits")
def digits(root: str | os.PathLike[str] | None, split: str) -> Sample:
    """Coarse labels: even (0) or odd (1). Fine labels: the ten digits. A fixed stratified split, 60 % train."""
    if root is not None:
        raise InvalidInput("root", str(root), "nothing: digits come with scikit-learn")
    images, digit = load_digits(return_X_y=True)
    rows = np.arange(len(digit))
    train, test = train_test_split(rows, test_size=TEST_SHARE, random_state=0, stratify=digit)
    chosen = np.sort(train if split == "train" else test)
    x = images[chosen].reshape(-1, 1, 8, 8) / 16.0
    return Sample(x, (digit[chosen] % 2).astype(np.int64), digit[chosen].astype(np.int64))

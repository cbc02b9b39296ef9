"""Counter-based random streams: every draw of a run depends on the run's key and the draw's purpose only.

A run's numbers therefore never depend on which other runs share its batch, on their order, or on how many
draws another purpose has taken.
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream(key: object, purpose: str) -> np.random.Generator:
    """A random generator of its own for one purpose of one run.

    Parameters
    ----------
    key : object
        Whatever identifies the run; its ``str`` is hashed (a seed, a config hash, a tuple of both).
    purpose : str
        What the draws are for (``"init"``, ``"batches"``, ``"labels"``); streams of different purposes are independent.

    Returns
    -------
    numpy.random.Generator
        A Philox generator whose 128-bit key is the head of SHA-256 of ``key`` and ``purpose``.

    Examples
    --------
    >>> first, again, other = stream(7, "init"), stream(7, "init"), stream(7, "batches")
    >>> value = first.random()
    >>> value == again.random(), value == other.random()
    (True, False)
    """
    digest = hashlib.sha256(f"{key}\x00{purpose}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))

"""Exponentials and logarithms of whole rows, in plain arithmetic, so that the compiler can take several numbers at once.

All are series around zero after the argument has been brought near it; the numbers of terms are those after which float64 has no
digit left to gain. Rows are one-dimensional arrays of float32 or float64; results are within a few units in the last place.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sim.compiled import AVAILABLE, compiled

# No reassociation here: the differences below are exact in the order that they are written in.
EXACT = ("contract", "nsz")

LOG2_E = 1 / math.log(2)
# ln 2 in two parts: k times the first one is exact in float32, too.
LN2_HEAD = 355 / 512
LN2_TAIL = math.log(2) - LN2_HEAD
EXP_TERMS = tuple(1 / math.factorial(k) for k in range(14))
ATANH_TERMS = tuple(1 / (2 * k + 1) for k in range(17))


@compiled(fastmath=EXACT)
def exp_row(x: Any, out: Any, scale: Any) -> None:
    """out = exp(x), zero below the smallest normal number; ``scale`` is room for as many whole numbers of the same size."""
    real = x.dtype.type
    single = x.itemsize == 4
    lowest, highest = (real(-87.3), real(88.7)) if single else (real(-708.0), real(709.7))
    for j in range(len(x)):
        inside = min(max(x[j], lowest), highest)
        k = np.floor(inside * real(LOG2_E) + real(0.5))
        r = (inside - k * real(LN2_HEAD)) - k * real(LN2_TAIL)
        whole = np.int32(k)
        if single:
            scale[j] = (whole + 127) << 23
            y = real(EXP_TERMS[7])
        else:
            scale[j] = np.int64(whole + 1023) << 52
            y = real(EXP_TERMS[13])
            y = y * r + real(EXP_TERMS[12])
            y = y * r + real(EXP_TERMS[11])
            y = y * r + real(EXP_TERMS[10])
            y = y * r + real(EXP_TERMS[9])
            y = y * r + real(EXP_TERMS[8])
            y = y * r + real(EXP_TERMS[7])
        y = y * r + real(EXP_TERMS[6])
        y = y * r + real(EXP_TERMS[5])
        y = y * r + real(EXP_TERMS[4])
        y = y * r + real(EXP_TERMS[3])
        y = y * r + real(EXP_TERMS[2])
        y = y * r + real(1)
        out[j] = (y * r + real(1)) if x[j] >= lowest else real(0)
    power = scale.view(x.dtype)
    for j in range(len(x)):
        out[j] *= power[j]


@compiled(fastmath=EXACT)
def softplus_row(x: Any, out: Any, slope: Any, scale: Any) -> None:
    """out = log(1 + exp(x)), accurate also where it is tiny, and slope = its derivative 1 / (1 + exp(-x))."""
    real = x.dtype.type
    for j in range(len(x)):
        slope[j] = -abs(x[j])
    exp_row(slope[: len(x)], out, scale)
    for j in range(len(x)):
        e = out[j]
        # log(1 + e) = 2 atanh(e / (2 + e))
        s = e / (real(2) + e)
        q = s * s
        y = real(ATANH_TERMS[8])
        if x.itemsize == 8:
            y = real(ATANH_TERMS[16])
            y = y * q + real(ATANH_TERMS[15])
            y = y * q + real(ATANH_TERMS[14])
            y = y * q + real(ATANH_TERMS[13])
            y = y * q + real(ATANH_TERMS[12])
            y = y * q + real(ATANH_TERMS[11])
            y = y * q + real(ATANH_TERMS[10])
            y = y * q + real(ATANH_TERMS[9])
            y = y * q + real(ATANH_TERMS[8])
        y = y * q + real(ATANH_TERMS[7])
        y = y * q + real(ATANH_TERMS[6])
        y = y * q + real(ATANH_TERMS[5])
        y = y * q + real(ATANH_TERMS[4])
        y = y * q + real(ATANH_TERMS[3])
        y = y * q + real(ATANH_TERMS[2])
        y = y * q + real(ATANH_TERMS[1])
        y = y * q + real(1)
        out[j] = max(x[j], real(0)) + real(2) * s * y
        slope[j] = (real(1) if x[j] >= 0 else e) / (real(1) + e)


@compiled(fastmath=EXACT)
def log_row(x: Any, out: Any, scale: Any) -> None:
    """out = log(x) of positive numbers that aren't below the smallest normal one."""
    real = x.dtype.type
    single = x.itemsize == 4
    bits = x.view(scale.dtype)
    # x = 2^k w with w in [1, 2), and log w = log sqrt(2) + 2 atanh((w - sqrt(2)) / (w + sqrt(2))).
    for j in range(len(x)):
        if single:
            out[j] = real((bits[j] >> 23) - 127)
            scale[j] = (bits[j] & 0x7FFFFF) | 0x3F800000
        else:
            out[j] = real(np.int32(bits[j] >> 52) - 1023)
            scale[j] = (bits[j] & 0xFFFFFFFFFFFFF) | 0x3FF0000000000000
    mantissa = scale.view(x.dtype)
    for j in range(len(x)):
        w = mantissa[j]
        s = (w - real(math.sqrt(2))) / (w + real(math.sqrt(2)))
        q = s * s
        y = real(ATANH_TERMS[5])
        if not single:
            y = real(ATANH_TERMS[11])
            y = y * q + real(ATANH_TERMS[10])
            y = y * q + real(ATANH_TERMS[9])
            y = y * q + real(ATANH_TERMS[8])
            y = y * q + real(ATANH_TERMS[7])
            y = y * q + real(ATANH_TERMS[6])
            y = y * q + real(ATANH_TERMS[5])
        y = y * q + real(ATANH_TERMS[4])
        y = y * q + real(ATANH_TERMS[3])
        y = y * q + real(ATANH_TERMS[2])
        y = y * q + real(ATANH_TERMS[1])
        y = y * q + real(1)
        out[j] = (out[j] + real(0.5)) * real(math.log(2)) + real(2) * s * y


@compiled(fastmath=EXACT)
def tanh_row(x: Any, out: Any, scale: Any) -> None:
    """out = tanh(x)."""
    real = x.dtype.type
    for j in range(len(x)):
        out[j] = real(-2) * abs(x[j])
    exp_row(out, out, scale)
    for j in range(len(x)):
        y = (real(1) - out[j]) / (real(1) + out[j])
        out[j] = np.copysign(y, x[j])


if not AVAILABLE:
    # As plain Python these would take a thousand times as long.
    def exp_row(x: Any, out: Any, scale: Any) -> None:
        """out = exp(x)."""
        np.exp(x, out=out)

    def log_row(x: Any, out: Any, scale: Any) -> None:
        """out = log(x)."""
        np.log(x, out=out)

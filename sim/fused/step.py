"""Training steps of one run after the other: a thread carries a run through many steps while its arrays stay in the core's cache."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sim.compiled import compiled
from sim.fused.choices import ALL, RANDOM, SEMIHARD, WEIGHTED
from sim.fused.memory import gathered, scattered

ADAM, SGD = 0, 1
"""Codes of the optimisers."""


@compiled(fastmath=())
def finite(value: float) -> bool:
    """Whether a number is; in a function of its own, as compilers who may reorder sums may also think that all numbers are."""
    return bool(np.isfinite(value))


@compiled(fastmath=("contract", "nsz"))
def adam(
    x: Any,
    gradient: Any,
    first: Any,
    second: Any,
    rate: float,
    decay: float,
    betas: Any,
    root: float,
    epsilon: float,
) -> None:
    """One step of `sim.optim.Adam`; ``rate`` holds the first moment's bias correction, ``root`` the second one's."""
    real = x.dtype.type
    c1, c2, keep = real(1 - betas[0]), real(1 - betas[1]), real(betas[1])
    small, shrink, scale = real(epsilon), real(decay), real(root)
    for k in range(len(x)):
        g = gradient[k]
        first[k] += c1 * (g - first[k])
        second[k] = keep * second[k] + c2 * g * g
        x[k] = x[k] * shrink - rate * first[k] / (np.sqrt(second[k]) * scale + small)


@compiled(fastmath=("contract", "nsz"))
def sgd(x: Any, gradient: Any, velocity: Any, rate: float, decay: float, momentum: float) -> None:
    """One step of `sim.optim.SGD`."""
    real = x.dtype.type
    keep, shrink = real(momentum), real(decay)
    for k in range(len(x)):
        velocity[k] = keep * velocity[k] + gradient[k]
        x[k] = x[k] * shrink - rate * velocity[k]


@compiled
def flipped(probabilities: Any, own: int, u: float, v: float) -> int:
    """A label of a sample of class ``own``, as `sim.noise.flip` draws it."""
    real = probabilities.dtype.type
    total = 0.0
    for label in range(len(probabilities)):
        total += 0.0 if label == own else probabilities[label]
    # As PyTorch does: summed in double precision, each sum rounded.
    if real(u) >= real(total):
        return own
    target, place, below, cumulative = real(v) * real(total), 0, 0, 0.0
    for label in range(len(probabilities)):
        cumulative += 0.0 if label == own else probabilities[label]
        place += real(cumulative) <= target
        below += real(cumulative) < real(total)
    return min(place, below)


@compiled
def gradient_of(
    forward: Any,
    normalise: Any,
    find: Any,
    kernel: Any,
    back: Any,
    back_through_norm: Any,
    backward: Any,
    theta: Any,
    gradient: Any,
    sizes: Any,
    codes: Any,
    options: Any,
    parameters: Any,
    labels: Any,
    u_pos: Any,
    u_neg: Any,
    acts: Any,
    slopes: Any,
    up: Any,
    down: Any,
    turned: Any,
    padded: Any,
    first_p: Any,
    at_p: Any,
    p: Any,
    slope_p: Any,
    first_n: Any,
    at_n: Any,
    n: Any,
    slope_n: Any,
    norms: Any,
    room: Any,
    scale: Any,
    groups: Any,
    stride: int,
) -> Any:
    """Loss of one run on one batch, and its gradient; the inputs are the first layer of ``acts``.

    ``codes``: activation, whether the net and whether the loss normalises, positive policy, negative policy, what the loss is given of
    a pair.
    """
    activation, by_net, by_loss, positive, negative, value = codes[0], codes[1], codes[2], codes[3], codes[4], codes[5]
    batch, dim = len(labels), sizes[-1]
    forward(theta, sizes, activation, acts, slopes, room[0], scale, stride)
    x = acts[len(acts) - dim * stride :]
    reach = theta.dtype.type(0)
    for k in range(dim):
        row = x[k * stride : k * stride + batch]
        for j in range(batch):
            reach += abs(row[j])
    if not finite(reach):
        # Comparisons with what isn't a number choose nothing, and a loss without tuples would be 0.
        return theta.dtype.type(np.nan)
    if by_net:
        normalise(x, norms[0], dim, batch, stride)
    inner = up[: dim * stride]
    if by_loss:
        # Both may normalise: what the net put out is kept, as the way back needs it.
        y = down[: dim * stride]
        for k in range(dim * stride):
            y[k] = x[k]
        normalise(y, norms[1], dim, batch, stride)
        kept = y
    else:
        kept = x
    find(
        kept, labels, positive, negative, value, u_pos, u_neg, dim, batch, stride,
        first_p, at_p, p, first_n, at_n, n, room, scale, groups,
    )  # fmt: skip
    weights = len(theta) - codes[6]
    of_loss = gradient[weights:]
    of_loss[:] = 0
    paired = positive == ALL and negative in (RANDOM, SEMIHARD, WEIGHTED)
    loss = kernel(
        options, parameters, labels, first_p, p, first_n, n, int(paired), theta[weights:], slope_p, slope_n, of_loss,
        room, scale,
    )  # fmt: skip
    back(
        value, kept, first_p, at_p, p, slope_p, first_n, at_n, n, slope_n, inner, room, dim, batch, stride
    )  # fmt: skip
    if by_loss:
        back_through_norm(kept, norms[1], inner, room[0], dim, batch, stride)
    if by_net:
        back_through_norm(x, norms[0], inner, room[0], dim, batch, stride)
    backward(theta, sizes, activation, acts, slopes, up, down, turned, padded, gradient, batch, stride)
    return loss


@compiled
def advance(
    forward: Any,
    normalise: Any,
    find: Any,
    kernel: Any,
    back: Any,
    back_through_norm: Any,
    backward: Any,
    words: Any,
    addresses: Any,
    counts: Any,
    sizes: Any,
    codes: Any,
    options: Any,
    parameters: Any,
    inputs: Any,
    first_row: Any,
    index: Any,
    classes: Any,
    fresh: Any,
    probabilities: Any,
    first_probability: Any,
    u_flip: Any,
    v_flip: Any,
    u_pos: Any,
    u_neg: Any,
    optimizer: int,
    constants: Any,
    factors: Any,
    unbias: Any,
    rates: Any,
    decay: Any,
    taken: int,
    check_every: int,
    losses: Any,
    totals: Any,
    stopped: Any,
    first: int,
    last: int,
) -> None:
    """Carry the runs ``first`` to ``last - 1`` through all steps of ``index``, (steps, R, B).

    ``words``: whole numbers of the size of the parameters' numbers. ``addresses`` (3, T): of the tensors of parameters and of their
    moments (SGD has one, and the last row is not looked at); ``counts`` (T,): how many numbers each has a run.
    """
    steps, batch = index.shape[0], index.shape[2]
    real, length = inputs.dtype.type, counts.sum()
    state = np.empty((3, length), inputs.dtype)
    theta, moment, second = state[0], state[1], state[2]
    kept = 3 if optimizer == ADAM else 2
    stride = (batch + 15) // 16 * 16
    total = widest = 0
    for layer in range(len(sizes)):
        total += sizes[layer] * stride
        widest = max(widest, sizes[layer])
    # What tiles write beyond a batch, or a fan-out, is never read; it has to have room.
    acts = np.zeros(total, inputs.dtype)
    slopes = np.zeros(total if codes[0] else 1, inputs.dtype)
    up, down = np.zeros(widest * stride, inputs.dtype), np.zeros(widest * stride, inputs.dtype)
    width = (widest + 15) // 16 * 16
    turned, padded = np.zeros(width * stride, inputs.dtype), np.zeros(width * width, inputs.dtype)
    capacity_p = (batch if codes[3] == ALL else 1) * batch + 1
    capacity_n = (batch if codes[3] == ALL or codes[4] == ALL else 1) * batch + 1
    at_p, p, slope_p = (
        np.empty(capacity_p, np.int32),
        np.empty(capacity_p, inputs.dtype),
        np.empty(capacity_p, inputs.dtype),
    )
    at_n, n, slope_n = (
        np.empty(capacity_n, np.int32),
        np.empty(capacity_n, inputs.dtype),
        np.empty(capacity_n, inputs.dtype),
    )
    first_p, first_n = np.zeros(batch + 1, np.int64), np.zeros(batch + 1, np.int64)
    norms, room = np.zeros((2, stride), inputs.dtype), np.zeros((6, stride), inputs.dtype)
    scale = np.zeros(stride, words.dtype)
    listing = codes[3] == ALL or codes[4] == ALL or codes[3] == RANDOM or codes[4] == RANDOM
    groups = np.zeros(2 * stride + (batch * (batch + 4) if listing else 0), np.int32)
    gradient, labels = np.zeros(length + 16, inputs.dtype), np.zeros(stride, np.int32)
    weights = length - codes[6]
    for r in range(first, last):
        if stopped[r] >= 0:
            continue
        for k in range(kept):
            gathered(addresses[k], counts, r, state[k])
        for step in range(steps):
            places = index[step, r]
            for j in range(batch):
                labels[j] = classes[r, places[j]]
                if fresh:
                    row = probabilities[first_probability[r] + places[j]]
                    labels[j] = flipped(row, labels[j], u_flip[step, r, j], v_flip[step, r, j])
                sample = first_row[r] + places[j]
                for k in range(sizes[0]):
                    acts[k * stride + j] = inputs[sample, k]
            loss = gradient_of(
                forward, normalise, find, kernel, back, back_through_norm, backward, theta, gradient[:length], sizes, codes, options, parameters[r], labels[:batch], u_pos[step, r],
                u_neg[step, r], acts, slopes, up, down, turned, padded, first_p, at_p, p, slope_p, first_n, at_n, n,
                slope_n, norms, room, scale, groups, stride,
            )  # fmt: skip
            losses[step, r] = loss
            totals[r] += loss
            for a, b, rate in ((0, weights, rates[r, 0]), (weights, length, rates[r, 1])):
                now = real(rate * real(factors[step]))
                shrink = real(1) - now * decay[r]
                if optimizer == ADAM:
                    adam(
                        theta[a:b], gradient[a:b], moment[a:b], second[a:b], real(now / unbias[step, 0]), shrink,
                        constants, 1 / math.sqrt(unbias[step, 1]), constants[2],
                    )  # fmt: skip
                else:
                    sgd(theta[a:b], gradient[a:b], moment[a:b], now, shrink, constants[0])
            if (taken + step + 1) % check_every == 0 and not finite(totals[r]):
                stopped[r] = taken + step + 1
                break
        for k in range(kept):
            scattered(addresses[k], counts, r, state[k])

"""JAX: a run's program under `jit`, with its draws; the runs by `vmap`, one after the other by `lax.map`, or in between."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jax import Array, lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from torch import Tensor

from benchmarks.peers.cases import (
    ALPHA,
    BASE,
    CUTOFF,
    NO_LOSS_FROM,
    RATE,
    SHARP_NEGATIVE,
    SHARP_POSITIVE,
    TEMPERATURE,
    Case,
    Start,
)

FAR = float(np.finfo(np.float32).max)


def _root(squared: Array) -> Array:
    """Square root with gradient 0 at 0."""
    zero = squared == 0
    return jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, squared)))


def _mean_of_active(gap: Array) -> Array:
    terms = jnp.maximum(gap, 0)
    return terms.sum() / jnp.maximum((terms > 0).sum(), 1)


def _squares(e: Array) -> Array:
    """Squared distances (B, B); one coordinate at a time, which XLA fuses."""
    return sum(jnp.square(e[:, None, c] - e[None, :, c]) for c in range(e.shape[1]))  # type: ignore[return-value]


def _mined(case: Case, e: Array, positives: Array, negatives: Array, _: Array) -> Array:
    d = _squares(lax.stop_gradient(e))
    nearest, own = (
        (jnp.argmin, jnp.where(positives, d, FAR))
        if case.positive == "easy"
        else (jnp.argmax, jnp.where(positives, d, -1.0))
    )
    p = nearest(own, 1)
    d_ap = own.min(1) if case.positive == "easy" else own.max(1)
    if case.negative == "semihard":
        negatives &= d > d_ap[:, None]
    other = jnp.where(negatives, d, FAR)
    n = jnp.argmin(other, 1)
    found = (d_ap >= 0) & (d_ap < FAR) & (other.min(1) < FAR)
    to_p, to_n = (_root(jnp.square(e - e[k]).sum(-1)) for k in (p, n))  # (B,)
    return _mean_of_active(jnp.where(found, to_p - to_n + ALPHA, 0))


def _all_triplets(_: Case, e: Array, positives: Array, negatives: Array, __: Array) -> Array:
    d = _root(_squares(e))
    triplets = positives[:, :, None] & negatives[:, None]
    return _mean_of_active(jnp.where(triplets, d[:, :, None] - d[:, None] + ALPHA, 0))


def _distance_weighted(_: Case, e: Array, positives: Array, negatives: Array, key: Array) -> Array:
    d = _root(_squares(e))
    fixed = lax.stop_gradient(d)
    clamped = jnp.maximum(fixed, CUTOFF)
    log_weight = (2 - e.shape[1]) * jnp.log(clamped) - (e.shape[1] - 3) / 2 * jnp.log(
        jnp.maximum(1 - clamped**2 / 4, 1e-8)
    )
    allowed = negatives & (fixed < NO_LOSS_FROM)
    log_weight = jnp.where(allowed, log_weight, -FAR)
    weight = jnp.where(allowed, jnp.exp(log_weight - log_weight.max(1, keepdims=True)), 0)
    # An anchor without a negative so near draws from all of its negatives alike.
    weight = jnp.where(allowed.any(1, keepdims=True), weight, negatives)
    total = jnp.cumsum(weight, 1)
    level = jax.random.uniform(key, d.shape) * total[:, -1:]
    drawn = jnp.minimum((total[:, None] <= level[:, :, None]).sum(-1), len(d) - 1)  # (B, B)
    found = positives & (total[:, -1:] > 0)
    return _mean_of_active(jnp.where(found, d - jnp.take_along_axis(d, drawn, 1) + ALPHA, 0))


def _supcon(_: Case, e: Array, positives: Array, negatives: Array, __: Array) -> Array:
    s = e @ e.T / TEMPERATURE
    share = s - jax.nn.logsumexp(jnp.where(positives | negatives, s, -FAR), axis=1, keepdims=True)
    count = positives.sum(1)
    terms = -jnp.where(positives, share, 0).sum(1) / jnp.maximum(count, 1)
    return terms.sum() / jnp.maximum((count > 0).sum(), 1)


def _multi_similarity(_: Case, e: Array, positives: Array, negatives: Array, __: Array) -> Array:
    s = e @ e.T - BASE
    near = jax.nn.logsumexp(jnp.where(positives, -SHARP_POSITIVE * s, -FAR), axis=1)
    far = jax.nn.logsumexp(jnp.where(negatives, SHARP_NEGATIVE * s, -FAR), axis=1)
    return (jax.nn.softplus(near) / SHARP_POSITIVE + jax.nn.softplus(far) / SHARP_NEGATIVE).mean()


def _embedded(case: Case, parameters: list[Array], x: Array) -> Array:
    w1, b1, w2, b2, w3, b3 = parameters
    e = jax.nn.relu(jax.nn.relu(x @ w1 + b1) @ w2 + b2) @ w3 + b3  # (B, 2)
    return e / jnp.maximum(_root(jnp.square(e).sum(1, keepdims=True)), 1e-12) if case.normalize else e


def _loss(case: Case, parameters: list[Array], x: Array, labels: Array, key: Array) -> Array:
    e = _embedded(case, parameters, x)
    same = labels[:, None] == labels
    if case.loss == "triplet":
        of = {"all": _all_triplets, "distance_weighted": _distance_weighted}.get(case.negative, _mined)
    else:
        of = {"supcon": _supcon, "multi_similarity": _multi_similarity}[case.loss]
    return of(case, e, same & ~jnp.eye(len(e), dtype=bool), ~same, key)


State = tuple[list[Array], list[Array], list[Array], Array, Array]
"""Parameters, both moments, steps done, key of the draws; of one run, or of R with a leading axis."""


class JaxRuns:
    """R runs in one compiled program.

    Parameters
    ----------
    chunk : int
        Runs under one `vmap`; the chunks come one after the other, each through all steps of a block. R: all at once; 1: `lax.map`.
    devices : int
        Host devices that share the runs; there must be as many (``XLA_FLAGS``).
    """

    def __init__(self, case: Case, start: Start, *, chunk: int, devices: int = 1) -> None:
        self.case, self.start = case, start
        self.runs, self.block = len(start.labels), case.block
        self.x = jnp.asarray(start.x.numpy())
        ones = start.labels.sum(1)
        zeros = start.labels.shape[1] - ones
        self.per_epoch = int(torch.minimum(ones, zeros).min()) // (case.batch // 2)
        program, by_run = self._chunked(chunk), PartitionSpec("runs")
        mesh = jax.make_mesh((devices,), ("runs",), axis_types=(AxisType.Auto,))
        # Given where they belong, so that the first block's program is the others' too.
        self.place = NamedSharding(mesh, by_run)
        self.given = jax.device_put((start.labels.numpy(), zeros.numpy()), self.place)
        if devices > 1:
            program = jax.shard_map(program, mesh=mesh, in_specs=by_run, out_specs=by_run)
        self.program = jax.jit(program, donate_argnums=0)
        self.one_step = jax.jit(jax.vmap(self._step))
        self.restart()

    def restart(self) -> None:
        """See `Side`."""
        parameters = [jnp.asarray(p.numpy()) for p in self.start.parameters]
        parameters = [p if k % 2 == 0 else p[:, 0] for k, p in enumerate(parameters)]
        zeros = [[jnp.zeros_like(p) for p in parameters] for _ in range(2)]
        keys = jax.random.split(jax.random.key(0), self.runs)
        self.state: Any = jax.device_put((parameters, *zeros, jnp.zeros(self.runs, jnp.uint32), keys), self.place)

    def _step(self, state: State, batch: tuple[Array, Array]) -> tuple[State, Array]:
        parameters, first, second, steps, key = state
        index, labels = batch
        of_loss = jax.random.fold_in(key, steps)
        loss, gradients = jax.value_and_grad(partial(_loss, self.case))(parameters, self.x[index], labels, of_loss)
        steps += 1
        first = [m + 0.1 * (g - m) for m, g in zip(first, gradients, strict=True)]
        second = [0.999 * v + 0.001 * jnp.square(g) for v, g in zip(second, gradients, strict=True)]
        power = steps.astype(jnp.float32)
        rate, root = RATE / (1 - 0.9**power), jnp.sqrt(1 - 0.999**power)
        parameters = [
            p - rate * m / (jnp.sqrt(v) / root + 1e-8) for p, m, v in zip(parameters, first, second, strict=True)
        ]
        return (parameters, first, second, steps, key), loss

    def _block_of_one(self, state: State, given: tuple[Array, Array]) -> State:
        """A run's block: its epochs are shuffled, then its steps."""
        labels, zeros = given  # (n,), ()
        per_class, step = self.case.batch // 2, np.arange(self.block)
        *rest, key = state
        key, of_batches = jax.random.split(key)
        epochs = -(-self.block // self.per_epoch)
        order = jnp.argsort(labels + jax.random.uniform(of_batches, (epochs, len(labels))), axis=1)  # (E, n)
        places = jnp.concatenate([jnp.arange(per_class), zeros + jnp.arange(per_class)])  # (B,)
        places = places + (step % self.per_epoch)[:, None] * per_class  # (S, B)
        index = order[(step // self.per_epoch)[:, None], places]
        state, _ = lax.scan(self._step, (*rest, key), (index, labels[index]))
        return state

    def _chunked(self, chunk: int) -> Any:
        if chunk >= self.runs:
            return lambda state, given: jax.vmap(self._block_of_one)(state, given)
        size = None if chunk == 1 else chunk
        return lambda state, given: lax.map(lambda both: self._block_of_one(*both), (state, given), batch_size=size)

    def advance(self) -> None:
        """See `Side`."""
        self.state = jax.block_until_ready(self.program(self.state, self.given))

    def on_batch(self, index: Tensor, labels: Tensor) -> Tensor:
        """See `Peer`."""
        self.state, losses = self.one_step(self.state, (index.numpy(), labels.numpy()))
        return torch.from_numpy(np.array(losses))

    def embed(self, x: Tensor) -> Tensor:
        """See `Peer`."""
        embedded = jax.vmap(partial(_embedded, self.case), (0, None))(self.state[0], jnp.asarray(x.numpy()))
        return torch.from_numpy(np.array(embedded))

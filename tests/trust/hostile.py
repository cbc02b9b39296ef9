"""Hostile values: what a user, a script or a stranger's file may hold. Every draw comes from the given generator."""

from __future__ import annotations

import math
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np

TEXTS = (
    "", " ", "\t", "\n", "a\nb", "\x00", "\x1b[31m", "²", "٣", "½", "é", "😀", ":smile:", "\ud800", "\u202e", "[/old]", "res[final]",
    "[red]", "{a: 1", "[easy", "@x", "%x", "*a", "&a 1", "!!python/object:os.system {}", "- - -", "{{}}", "{0}", "%s", "$(id)", "`id`",
    "../..", "/", "~", ".", "..", "nul", "on", "yes", "null", "true", "1e3", "5e-1", "010", "0o10", "0x1F", "1_000", "1:30", ".inf",
    ".nan", "nan", "inf", "-0.0", "2001-01-01", "<<", "=", "x=y", "k_easy:²", "k_easy:0", "k_easy:3", "easy_within:nan", "9" * 5000,
    "[" * 3000, "x" * 10_000, "{a: " * 50, "a: &b [x]\nc: *b", "é" * 300, "@os.system('touch outside') == 0",
    "__import__('os').system('touch outside')", "steps == @__builtins__", "seed > 'x'", "`", "seed in [", "loss.name == 'triplet'",
)  # fmt: skip

NAMES = (
    "triplet", "margin", "softmax", "supcon", "easy", "hard", "random", "semihard", "all", "memory", "train", "test", "digits", "rings",
    "gaussian_mixture", "hierarchy", "sphere_vmf", "nuisance_mixture", "folder", "mnist", "symmetric", "matrix", "instance", "mlp",
    "table", "conv", "adam", "sgd", "cosine", "quick", "tiny", "full", "local", "cpu", "cuda", "cuda:99", "float64", "resampled",
)  # fmt: skip

NUMBERS: tuple[Any, ...] = (
    0, 1, 2, 3, 7, -1, 10**9, 2**31, 2**63 - 1, 2**63, 10**20, 10**400, -(10**400), 10**5000, 0.0, -0.0, 0.5, 1.0, 1.5, -1.0, 1e-320,
    1e-300, 1e38, 1e300, 1e308, math.inf, -math.inf, math.nan, True, False, np.int64(3), np.float32(0.5), np.bool_(True), np.uint8(200),
    np.float64("nan"), Fraction(1, 3), 1 + 2j,
)  # fmt: skip


def text(draw: Random) -> str:
    """A text: known trouble, a name that means something, or any characters."""
    kind = draw.random()
    if kind < 0.45:
        return draw.choice(TEXTS)
    if kind < 0.8:
        return draw.choice(NAMES)
    pool = draw.choice(("abc=,.:;[]{}()<>&*!%@#|'\"\\/ \n\t0123456789-+e", "".join(map(chr, range(1, 500)))))
    return "".join(draw.choice(pool) for _ in range(draw.randrange(40)))


def number(draw: Random) -> Any:
    """A number, or nearly one."""
    return draw.choice(NUMBERS) if draw.random() < 0.7 else draw.choice((draw.uniform(-3, 3), draw.randrange(-3, 40)))


def mild(draw: Random) -> Any:
    """A value that many fields take: so that what comes after the checks is tried, too."""
    return draw.choice((1, 2, 3, 4, 8, 0.1, 0.5, 1.0, 2.5, True, False, None, [1, 2], *NAMES))


def value(draw: Random, levels: int = 3) -> Any:
    """Anything: numbers, texts, lists and mappings of them, and now and then something deep or large."""
    kind = draw.random()
    if kind < 0.4:
        return number(draw)
    if kind < 0.7:
        return text(draw)
    if kind < 0.78:
        return draw.choice((None, object(), b"\xff", float, [], {}, ()))
    if kind < 0.8:
        return draw.choice((nested(3000), nested(30), list(range(100_000)), np.zeros((3, 3)), np.array(["a"]), {1: 2}))
    if levels == 0:
        return None
    if draw.random() < 0.5:
        return [value(draw, levels - 1) for _ in range(draw.randrange(4))]
    return {text(draw): value(draw, levels - 1) for _ in range(draw.randrange(4))}


def nested(levels: int) -> list[Any]:
    """So many lists in each other."""
    found: list[Any] = [1]
    for _ in range(levels):
        found = [found]
    return found


def array(draw: Random, shape: tuple[int, ...], labels: bool = False) -> Any:
    """An array of a shape, or nearly: of any type, order of bytes and memory layout, with what isn't finite among its entries."""
    if draw.random() < 0.05:
        return value(draw)
    if draw.random() < 0.1:
        shape = tuple(max(0, n + draw.choice((-1, 0, 1))) for n in shape)[: draw.randrange(1, len(shape) + 1)]
    rng = np.random.default_rng(draw.randrange(2**32))
    made: np.ndarray = rng.integers(0, 3, shape) if labels else rng.normal(size=shape)
    if draw.random() < 0.2:
        made = made * draw.choice((0, 1e-200, 1e30, 1e200, -1))
    if draw.random() < 0.15 and made.size:
        made = made.astype(np.float64)
        made.flat[draw.randrange(made.size)] = draw.choice((math.nan, math.inf, -math.inf, -1, 1e300))
    if draw.random() < 0.3:
        names = ["f2", "f4", "f8", ">f4", ">f8", "g", "i1", "i8", ">i8", "u8", "?", "c16", "U3", "O", "M8[s]"]
        with np.errstate(all="ignore"):
            made = made.astype(draw.choice(names))
    layout = draw.random()
    if layout < 0.1:
        return made.tolist()
    return made[::-1] if layout < 0.2 and made.ndim else made


def tensor(draw: Random, shape: tuple[int, ...], labels: bool = False) -> Any:
    """The same as a tensor, where PyTorch has the type."""
    import torch

    made = array(draw, shape, labels)
    if not isinstance(made, np.ndarray):
        return made
    try:
        found = torch.from_numpy(np.ascontiguousarray(made))
    except (TypeError, ValueError):
        return made
    kinds = (torch.float16, torch.bfloat16, torch.float32, torch.int64, torch.bool)
    return found.to(draw.choice(kinds)) if draw.random() < 0.2 else found


def written(value: Any) -> str:
    """A number as text, whatever its length."""
    return "9" * 5000 if isinstance(value, int) and abs(value) > 10**4000 else str(value)


def yaml_text(draw: Random, levels: int = 3) -> str:
    """A text that is nearly YAML."""
    if levels == 0 or draw.random() < 0.5:
        return draw.choice((text(draw), written(number(draw)), "1", "[1, 2]", "{a: 1}"))[:6000]
    inner = [yaml_text(draw, levels - 1) for _ in range(draw.randrange(4))]
    if draw.random() < 0.5:
        return "[" + ", ".join(inner) + "]"
    return "{" + ", ".join(f"{text(draw)}: {part}" for part in inner) + "}"


def mutated(draw: Random, original: bytes) -> bytes:
    """Some bytes changed, cut out, or doubled."""
    changed = bytearray(original)
    for _ in range(draw.randrange(1, 5)):
        place = draw.randrange(len(changed) + 1)
        kind = draw.random()
        if kind < 0.4 and place < len(changed):
            changed[place] = draw.randrange(256)
        elif kind < 0.7:
            del changed[place : place + draw.randrange(20)]
        else:
            changed[place:place] = draw.choice(
                (bytes(draw.randrange(20)), bytes(changed[:30]), text(draw).encode("utf-8", "replace"))
            )
    return bytes(changed)

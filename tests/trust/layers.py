"""The layers that `tests.trust.fuzz` tries: each function draws one input and hands it over."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import inspect
import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

from sim import generators, losses, metrics, noise, plugins, problems, samplers, theory, yaml12
from sim.catalogue import GENERATORS, LOSSES, NEGATIVES, NOISE_KINDS, POSITIVES
from sim.config import RunConfig, dotted, parse
from sim.errors import InvalidInput
from sim.explore import state as explorer_state
from sim.explore.engine import Engine
from sim.explore.session import Session
from sim.sweeps import spec, store
from sim.theory import verifier
from sim.theory.batch import batch_loss, pair_use
from sim.theory.certificates import NotFound, certify_c3, certify_c4, certify_c7, certify_c8
from sim.theory.descent import Search
from sim.theory.minimise import minimise
from sim.training import RunResult
from tests.trust import hostile
from tests.trust.command_line import command_line
from tests.trust.folders import archives, data_folders
from tests.trust.similarities import similarity_functions

MESSAGES = ("set", "ack", "visible", "play", "pause", "step", "restart")
"""Kinds of messages of the explorer's page."""

_STORE: list[Path] = []
_CERTIFICATES: list[dict[str, Any]] = []


def prepare(home: Path) -> None:
    """What inputs are tried on, and what is slow to import or compile, before anything is watched."""
    _STORE.append(home / "store")
    runs = [RunConfig(seed=s, noise={"level": level}) for s in range(2) for level in (0.0, 0.2)]
    rows = [{"step": 0, "split": "test", "loss": 0.5, "recall_at_1": 0.25}]
    store.Store(home / "store").add([RunResult(run, rows=rows) for run in runs], seconds=1.0)
    _CERTIFICATES.extend(
        c.to_dict() for c in (certify_c3("9/10", 2, "1/2"), certify_c4("9/10", 2, "1/5"), certify_c8("3/5", 3, 1, 3))
    )
    _CERTIFICATES.append(certify_c7("9/10", 4, "1/2").to_dict())
    for name in GENERATORS:
        generators.generate(name, dim=3, samples_per_mode=2)
    x, labels = torch.randn(1, 6, 2), torch.tensor([[0, 0, 0, 1, 1, 1]])
    for positive, negative in (("easy", "semihard"), ("hard", "hard"), ("random", "random"), ("semihard", "hard")):
        samplers.select(x, labels, positive=positive, negative=negative, generator=torch.Generator())
    metrics.evaluate(torch.randn(8, 2), torch.tensor([0, 0, 0, 0, 1, 1, 1, 1]), torch.tensor([0, 0, 1, 1, 2, 2, 3, 3]))
    Session(Engine(explorer_state.State())).work()
    verifier.setting.MOST_SECONDS = 3.0
    # Matplotlib asks the system for its fonts, once.
    from matplotlib import font_manager

    assert font_manager.fontManager.ttflist
    with contextlib.suppress(InvalidInput):
        command_line(Random(0), home)


def configuration(draw: Random, _: Path) -> None:
    """A mapping that became a `RunConfig`, and what is asked of one."""
    if draw.random() < 0.05:
        parse(RunConfig, hostile.value(draw)).check()
    values: dict[str, Any] = {}
    for _ in range(draw.randrange(1, 4)):
        values[draw.choice(FIELDS) if draw.random() < 0.9 else hostile.text(draw)] = (
            hostile.mild(draw) if draw.random() < 0.4 else hostile.value(draw)
        )
    config = parse(RunConfig, dotted(values)).check()
    config.key()
    config.program()
    config.checkpoint_steps() if config.steps < 10**6 else None
    assert parse(RunConfig, json.loads(config.model_dump_json())) == config


FIELDS = [
    *(f"{outer}.{inner}" for outer, field in RunConfig.model_fields.items() for inner in getattr(field.annotation, "model_fields", ())),
    *RunConfig.model_fields, "loss.params.alpha", "loss.params.beta", "net.params.width", "data.params.classes", "data.params.seed",
    "noise.params.matrix", "net.params.activation", "net.params.depth", "robust.params.keep", "loss.params.a.b.c", "data.params.dim",
]  # fmt: skip


def specification(draw: Random, folder: Path) -> None:
    """A sweep's file: sound structure with hostile parts, or hostile text."""
    if draw.random() < 0.3:
        text = hostile.mutated(draw, SPEC.encode()).decode("utf-8", "replace")
    else:
        parts = {
            "base": f"{{{draw.choice(FIELDS)}: {hostile.yaml_text(draw)}}}",
            "list": f"[{{{draw.choice(FIELDS)}: {hostile.yaml_text(draw)}}}]",
            "grid": f"{{{draw.choice(FIELDS)}: [{hostile.yaml_text(draw)}, 1]}}",
            "zip": f"{{{draw.choice(FIELDS)}: [{hostile.yaml_text(draw)}], positive: [easy]}}",
            "seeds": hostile.yaml_text(draw),
            hostile.text(draw): hostile.yaml_text(draw),
        }
        names = draw.sample(list(parts), draw.randrange(1, 4))
        text = "\n".join(f"{name}: {parts[name]}" for name in names)
    place = folder / "spec.yaml"
    place.write_bytes(text.encode("utf-8", draw.choice(("surrogatepass", "replace"))))
    runs = spec.load(place) if draw.random() < 0.8 else spec.read(text)
    if len(runs) < 10_000:
        assert len({run.key() for run in runs}) == len(runs)


SPEC = """\
base: {steps: 7, noise: {mode: static}}
list:
  - {loss.name: triplet, loss.params: {alpha: 0.5}}
zip: {positive: [random, easy], negative: [random, semihard]}
grid:
  noise.level: [0, 0.1]
seeds: {first: 5, count: 2}
"""


def yaml_value(draw: Random, _: Path) -> None:
    """A text after ``--set name=``."""
    read = yaml12.read(
        "field", hostile.yaml_text(draw) if draw.random() < 0.8 else hostile.text(draw) * draw.randrange(1, 50)
    )
    assert isinstance(read, (type(None), bool, int, float, str, list, dict))


def plugin(draw: Random, folder: Path) -> None:
    """A file that is run as a plugin."""
    source = draw.choice(
        (PLUGIN, "1 / 0", "raise SystemExit", "raise KeyError", "import nothing_like_it", "def f(", hostile.text(draw))
    )
    place = folder / f"plugin{draw.randrange(10**9)}.py"
    place.write_bytes(hostile.mutated(draw, source.encode("utf-8", "replace")))
    name = str(place) if draw.random() < 0.8 else hostile.text(draw)
    try:
        plugins.use([name])
    finally:
        plugins._named[:] = [n for n in plugins._named if n != name]


PLUGIN = "from sim.catalogue import LOSSES\n\nclass Mine:\n    pass\n\nMine.__doc__ = 'nothing'\n"


def theory_functions(draw: Random, _: Path) -> None:
    """Expected losses, bounds and minimisers."""
    n = draw.randrange(2, 6)
    line = np.abs(np.subtract.outer(np.arange(n), np.arange(n))).astype(float)
    distances = line if draw.random() < 0.6 else hostile.tensor(draw, (n, n))
    classes = [i % 2 for i in range(n)] if draw.random() < 0.6 else hostile.array(draw, (n,), labels=True)
    transition = [[0.9, 0.1], [0.2, 0.8]] if draw.random() < 0.6 else hostile.array(draw, (2, 2))
    alpha = 0.5 if draw.random() < 0.6 else hostile.value(draw)
    beta = draw.choice((None, 0.5, "learn", hostile.value(draw)))
    loss = draw.choice((*theory.expected.LOSSES, hostile.text(draw)))
    positive = draw.choice(("all", "easy", "random", hostile.text(draw)))
    which = draw.randrange(6)
    if which == 0:
        theory.expected.expected_loss(
            distances, classes, transition, loss=loss, positive=positive, alpha=alpha, beta=beta
        )
    elif which == 1:
        theory.expected.lower_bound(classes, transition, loss=loss, alpha=alpha)
    elif which == 2:
        own = {draw.choice(("dim", "restarts", "seed", "bound", "start", "geometry", "squared")): hostile.value(draw)}
        search = Search(**{"steps": 3, "polish": 3, **({"rate": hostile.number(draw)} if draw.random() < 0.2 else {})})
        minimise(
            classes,
            transition,
            loss=loss,
            positive=positive,
            alpha=alpha,
            beta=beta,
            search=search,
            **{"restarts": 2, **own},
        )
    elif which == 3:
        sizes = {draw.choice(("per_class", "batch_size")): draw.choice((2, hostile.value(draw)))}
        points = torch.randn(n, 2) if draw.random() < 0.7 else hostile.tensor(draw, (n, 2))
        batch_loss(
            distances, classes, transition, loss=loss, positive=positive, alpha=alpha, beta=beta, points=points,
            draws=draw.choice((4, hostile.value(draw))), seed=draw.choice((0, hostile.value(draw))), **sizes,
        )  # fmt: skip
    elif which == 4:
        pair_use(transition, draw.choice((3, hostile.value(draw))))
    else:
        theory.expected.triplet_weights(classes, transition)


def certificates(draw: Random, folder: Path) -> None:
    """Certificates asked for, and certificates handed in."""
    if draw.random() < 0.3:
        certify = draw.choice((certify_c3, certify_c4, certify_c7, certify_c8))
        given = [draw.choice(("9/10", hostile.value(draw))), draw.choice((2, 3, hostile.value(draw)))]
        with contextlib.suppress(NotFound):
            certify(  # type: ignore[call-arg]
                *given, draw.choice(("1/2", "1e999999", hostile.value(draw))), draw.choice((2, 3, hostile.value(draw)))
            )
        return
    data: Any = copy.deepcopy(draw.choice(_CERTIFICATES))
    for _ in range(draw.randrange(3)):
        place = data
        while draw.random() < 0.6 and isinstance(place, (dict, list)) and place:
            inner = place[draw.choice(list(place) if isinstance(place, dict) else range(len(place)))]
            if not isinstance(inner, (dict, list)) or not inner:
                break
            place = inner
        key = draw.choice(list(place) if isinstance(place, dict) else range(len(place)))
        place[key] = draw.choice(
            (hostile.value(draw), [], "1" + "0" * 400, "٣", 0, hostile.nested(3000), [[0, 1, 2, 3, 4, 5, 6, 7]])
        )
    if draw.random() < 0.1:
        t = draw.randrange(9)
        unit = [["1" if i == j else "0" for j in range(t)] for i in range(t)]
        zero = {"distances": [["0"] * t] * t, "dimension": 0, "value": "0", "beta": None}
        data = {
            **data,
            "claim": "C7",
            "classes": list(range(t)),
            "transition": unit,
            "breakpoints": [],
            "collapsed": zero,
        }
    if draw.random() < 0.3:
        place = folder / "certificate.json"
        try:
            text = json.dumps(data, default=str).encode()
        except (ValueError, TypeError, RecursionError):
            text = b"[" * 100_000
        place.write_bytes(hostile.mutated(draw, text))
        data = place
    reasons = verifier.verify(data)
    assert all("\n" not in reason and len(reason) < 1000 for reason in reasons)
    if reasons:
        raise InvalidInput("certificate", "refused", reasons[0])


def metric_values(draw: Random, _: Path) -> None:
    """`evaluate` on arrays."""
    n = draw.randrange(1, 12)
    classes = np.arange(n) % 2 if draw.random() < 0.5 else hostile.tensor(draw, (n,), labels=True)
    modes = np.arange(n) % 4 if draw.random() < 0.5 else hostile.tensor(draw, (n,), labels=True)
    names = [field.name for field in dataclasses.fields(metrics.Options) if field.name not in ("max_bytes",)]
    given = {draw.choice(names): hostile.value(draw)} if draw.random() < 0.4 else {}
    if draw.random() < 0.2:
        given["ks"] = draw.choice((3, (True,), (np.int64(2),), (), [1, 2], "12", (10**400,), (0,)))
    options = metrics.Options(**given)
    run = metrics.evaluate if draw.random() < 0.7 else metrics.evaluate_runs
    run(
        hostile.tensor(draw, (n, 2) if run is metrics.evaluate else (2, n, 2)),
        classes,
        modes,
        heavy=draw.random() < 0.3,
        options=options,
    )


def loss_values(draw: Random, _: Path) -> None:
    """A loss with any parameters, on any batch."""
    name = draw.choice(list(LOSSES))
    own = list(losses.parameters_of(name))
    given = {draw.choice(own): hostile.value(draw)} if own and draw.random() < 0.4 else {}
    loss = losses.make(name, **given, runs=1, classes=2, dim=2)
    if isinstance(loss, torch.nn.Module):
        loss.zero_grad()
    size = draw.randrange(1, 9)
    x = torch.randn(1, size, 2) if draw.random() < 0.3 else hostile.tensor(draw, (1, size, 2))
    labels = (
        torch.tensor([[i % 2 for i in range(size)]])
        if draw.random() < 0.6
        else hostile.tensor(draw, (1, size), labels=True)
    )
    positive = draw.choice(("all", "easy", hostile.text(draw)))
    loss(x, labels, positive=positive, negative=draw.choice(("all", "hard")), generator=torch.Generator())


def tuples(draw: Random, _: Path) -> None:
    """Policies by name, on any batch."""
    size = draw.randrange(1, 9)
    x = torch.randn(2, size, 2) if draw.random() < 0.4 else hostile.tensor(draw, (2, size, 2))
    labels = (
        torch.tensor([[i % 2 for i in range(size)]] * 2)
        if draw.random() < 0.6
        else hostile.tensor(draw, (2, size), labels=True)
    )
    positive = draw.choice(
        (
            *POSITIVES,
            "k_easy:2",
            hostile.text(draw),
            f"k_easy:{hostile.text(draw)}",
            f"easy_within:{hostile.written(hostile.number(draw)):.40}",
        )
    )
    negative = draw.choice((*NEGATIVES, hostile.text(draw)))
    alpha = draw.choice((None, torch.ones(2), hostile.tensor(draw, (2,))))
    samplers.select(x, labels, positive=positive, negative=negative, generator=torch.Generator(), alpha=alpha)


def generator_values(draw: Random, _: Path) -> None:
    """A generator, or a problem by its name, with any parameters."""
    name = draw.choice((*GENERATORS, hostile.text(draw)))
    common = [k for k, p in inspect.signature(generators.generate).parameters.items() if p.kind is p.KEYWORD_ONLY]
    own = GENERATORS[name].options if name in GENERATORS else []
    names = [*common, *own, hostile.text(draw)]
    given = {
        draw.choice(names): draw.choice((hostile.mild(draw), hostile.number(draw), hostile.value(draw)))
        for _ in range(draw.randrange(1, 3))
    }
    if draw.random() < 0.5:
        generators.generate(name, **{"dim": 3, **given})
    else:
        problems.build(name, draw.choice((0, hostile.number(draw))), **given)


def noise_values(draw: Random, _: Path) -> None:
    """Kinds of noise, matrices, and labels drawn from them."""
    sample = generators.generate("rings", samples_per_mode=2, modes_per_class=2)
    kind = draw.choice((*NOISE_KINDS, hostile.text(draw)))
    level = draw.choice((0.2, hostile.value(draw)))
    own = [k for k in inspect.signature(NOISE_KINDS[kind].options_of).parameters if k not in ("t", "sample", "level")]
    given = {k: draw.choice((hostile.array(draw, (2, 2)), hostile.value(draw))) for k in own if draw.random() < 0.8}
    noise.check(kind, level, given)
    probabilities = noise.label_probabilities(kind, level, sample, **given)
    labels = noise.static_labels(probabilities, sample.classes, seed=0, exact=draw.random() < 0.5)
    noise.empirical_transition(sample.classes, labels, draw.choice((2, hostile.number(draw))))


def query(draw: Random, _: Path) -> None:
    """What ``collapse results --query`` is asked."""
    column = draw.choice(("seed", "loss.name", "noise.level", "recall_at_1", "nothing", "@pd", "step"))
    compared = f"{column} {draw.choice(('==', '>', 'in', 'and', '=', '.str.len() >', '%'))} {hostile.text(draw)}"
    store.load(
        _STORE[0],
        draw.choice((hostile.text(draw), compared, hostile.yaml_text(draw), f"{hostile.text(draw)} or seed > 1")),
    )


def explorer(draw: Random, _: Path) -> None:
    """Messages to a session, and shared addresses; the session must go on."""
    if draw.random() < 0.4:
        fields = [*explorer_state.State.model_fields, hostile.text(draw)]
        text = "&".join(f"{draw.choice(fields)}={hostile.text(draw)}" for _ in range(draw.randrange(1, 3)))
        explorer_state.read(draw.choice((f"v=1&{text}", text, hostile.text(draw))))
        return
    session = Session(Engine(explorer_state.State()))
    for _ in range(draw.randrange(1, 4)):
        fields = draw.sample([*explorer_state.State.model_fields, "nothing"], 2)
        message: Any = {
            "type": draw.choice((*MESSAGES, hostile.value(draw))),
            "changes": {name: draw.choice((hostile.value(draw), hostile.number(draw), hostile.text(draw))) for name in fields},
            "frame": hostile.number(draw), "query": hostile.text(draw), "request": hostile.number(draw), "carry": hostile.value(draw),
        }  # fmt: skip
        session.receive(message if draw.random() < 0.95 else hostile.value(draw))
        session.work()
    session.receive({"type": "set", "changes": {"noise": 0.1}})
    session.work()
    assert session.engine.state.noise == 0.1, "the session is dead"


LAYERS = {
    "command line": command_line, "specification": specification, "configuration": configuration, "yaml": yaml_value, "plugin": plugin,
    "theory": theory_functions, "similarities": similarity_functions, "certificates": certificates, "metrics": metric_values, "losses": loss_values, "samplers": tuples,
    "generators": generator_values, "noise": noise_values, "query": query, "archives": archives, "data folders": data_folders,
    "explorer": explorer,
}  # fmt: skip

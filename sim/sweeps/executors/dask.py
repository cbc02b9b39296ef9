"""A dask cluster, on this machine or elsewhere."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from sim.catalogue import EXECUTORS
from sim.errors import InvalidInput
from sim.known import Known, known
from sim.sweeps.executors import Done, Group, OnSteps, Resources, train_group
from sim.sweeps.pool import ATTEMPTS
from sim.watcher import deaf_to_ctrl_c, uninterrupted, watched

PATIENCE = 60.0
"""Seconds that a dask cluster may be without any worker before a sweep gives up."""

DISTRIBUTION = "class-collapse"


@functools.cache
def _restore(outside: Known) -> None:
    """Once in each worker."""
    torch.set_num_threads(1)
    outside.restore()


def _train(group: Group, device: str, outside: Known) -> Done:
    _restore(outside)
    return train_group(group, device)


def _installed() -> Callable[[], str]:
    """A function that says which version of this package a worker has; it travels by value, so it runs where there is none."""

    def look() -> str:
        from importlib.metadata import version

        try:
            import sim.training  # noqa: F401  (its absence, or that of what it needs, is the answer)

            return version("class-collapse")
        except ImportError as error:
            return f"none ({error})"

    return look


def check_workers(client: Any, address: str) -> None:
    """Refuse workers that lack this package, or have another version of it.

    Raises
    ------
    InvalidInput
        Naming a worker and what it lacks.
    """
    own = version(DISTRIBUTION)
    for worker, found in client.run(_installed()).items():
        if found != own:
            raise InvalidInput(
                "scheduler", address, f"workers in whose environment {DISTRIBUTION} {own} is; {worker} has {found}"
            )


SCRATCH = "collapse-dask-"


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder for a cluster's files; those that killed processes left go, too.

    Yields
    ------
    Path
        Locked as long as this process lives: who can lock such a folder may remove it.

    Examples
    --------
    >>> with scratch_folder() as folder:
    ...     folder.is_dir()
    True
    >>> folder.exists()
    False
    """
    _remove_left()
    unlocked = Path(tempfile.mkdtemp(prefix=f".{SCRATCH}"))
    with _locked(unlocked):
        folder = unlocked.rename(unlocked.with_name(unlocked.name[1:]))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_left() -> None:
    for left in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        # In use, another user's, or gone by now.
        with contextlib.suppress(OSError), _locked(left):
            shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _told_only_once() -> Iterator[None]:
    """No word from asyncio while a cluster of ours is there; nor afterwards, where it has failed or was interrupted: the
    exceptions of tasks that were cut off come out as the process ends, behind the line that has told what happened."""
    log = logging.getLogger("asyncio")
    level = log.level
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(level)


@EXECUTORS.register("dask")
def dask(groups: Sequence[Group], resources: Resources, on_steps: OnSteps) -> Iterator[Done]:
    """A dask cluster: the scheduler given, or one on this machine; dask moves a lost worker's groups to the others."""
    if not groups:
        # One that was killed between its last result and its end has left a folder, and the same command finds all done.
        _remove_left()
        return
    try:
        from dask import config
        from distributed import Client, LocalCluster, TimeoutError, wait
        from distributed.deploy.spec import close_clusters
        from distributed.scheduler import KilledWorker
    except ImportError:
        raise InvalidInput(
            "executor", "dask", "local or processes, or install the extra: class-collapse[dask]"
        ) from None
    outside = known()
    with contextlib.ExitStack() as stack:
        address = resources.scheduler
        if address is None:
            # To the end, since a cluster starts another worker for one that died.
            stack.enter_context(watched())
            stack.enter_context(_told_only_once())
            folder = stack.enter_context(scratch_folder())
            try:
                # The scheduler, too, would leave a folder.
                with uninterrupted(), deaf_to_ctrl_c(), config.set({"temporary-directory": str(folder)}):
                    cluster = LocalCluster(  # type: ignore[no-untyped-call]
                        n_workers=min(resources.processes, len(groups)),
                        threads_per_worker=1,
                        dashboard_address=":0",
                        silence_logs="CRITICAL",
                    )
                    address = stack.enter_context(cluster).scheduler_address
            except RuntimeError as error:
                raise _dying(resources, f"one died while it started: {error}") from None
            except KeyboardInterrupt:
                # A cluster that is only half there can't be closed at the end; its workers end with this process.
                atexit.unregister(close_clusters)
                raise
        try:
            client = stack.enter_context(Client(address, timeout=10))  # type: ignore[no-untyped-call]
        except OSError as error:
            raise InvalidInput("scheduler", address, f"the address of a running dask scheduler ({error})") from None
        check_workers(client, address)
        pending = {client.submit(_train, g, resources.device, outside, pure=False) for g in groups}
        while pending:
            try:
                # A cluster whose workers are all gone would be waited for for ever.
                ready, pending = wait(  # type: ignore[no-untyped-call]
                    pending, timeout=PATIENCE, return_when="FIRST_COMPLETED"
                )
            except TimeoutError:
                if not client.ncores():
                    raise _dying(resources, f"there was none for {PATIENCE:g} s") from None
                continue
            for future in ready:
                try:
                    done: Done = future.result()
                except KilledWorker:
                    raise _dying(resources, f"{ATTEMPTS} or more died with one group") from None
                except ImportError as error:
                    # A worker that came later, after the check.
                    raise InvalidInput("scheduler", address, f"workers that have all they need ({error})") from None
                on_steps(sum(r.config.steps for r in done[0]))
                future.release()
                yield done


def _dying(resources: Resources, what: str) -> InvalidInput:
    return InvalidInput("workers", resources.scheduler or resources.processes, f"workers that stay alive ({what})")

"""`gpus=2`: the folds of a run at once, each by a process of its own on a GPU of its own.

Each process is the same command with one fold; what it says is in fold<k>/console.log. On a CPU
(`train.device=cpu`, or a machine without a GPU) the processes share the cores.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from foldwise import STARTED, compose, interrupt
from foldwise.begin import to_train
from foldwise.competition import layout
from foldwise.competition.folds import frozen_folds
from foldwise.config import Config
from foldwise.errors import FoldwiseError, Interrupted, UsageError, first_few
from foldwise.files import shown
from foldwise.runs import Run
from foldwise.training.budget import SECONDS
from foldwise.training.decide import near_duplicates
from foldwise.training.train import Labelling, train

LOOK = 0.2  # seconds between looks at the processes


@dataclass
class Worker:
    """A process that trains a fold in a place: the number of a GPU, or of a share of the cores."""

    fold: int
    place: int
    process: subprocess.Popen[bytes]
    log: Path


def train_on_gpus(config: Config, words: list[str], labelling: Labelling | None = None) -> None:
    """`train`, with ``config.gpus`` folds at once; ``words``: the command's, from the recipe on.

    Raises what `train` raises.
    """
    data = layout.load(config)
    split = frozen_folds(data, config, partial(near_duplicates, data, config), freeze=False)
    folds, run = compose.parse_folds(config.fold, split.k), Run(config.run)
    train_at_once(config, words, to_train(run, config, folds))
    config.gpus, config.overwrite = 1, False
    train(config, labelling)  # all is done: the tables, the scores, the submission


def train_at_once(config: Config, words: list[str], folds: list[int]) -> None:
    """Train the ``folds`` (that are not finished), ``config.gpus`` at once; ``words``: the command.

    When one fails no other is begun, and those that train go on to their end. Raises FoldwiseError
    naming what failed, UsageError for more GPUs than there are, Interrupted when all have saved.
    """
    places = _places(config)
    waiting, working, failed = list(folds), [], []  # type: list[int], list[Worker], list[Worker]
    try:
        with interrupt.deferred():
            while working or (waiting and not failed):
                if interrupt.pending():
                    raise Interrupted(interrupt.pending())
                free = [p for p in places if p not in [worker.place for worker in working]]
                # The first one alone freezes the folds and packs the images, which takes a while.
                ready = not working or (working[0].log.parent / "train.log").exists()
                if waiting and free and ready and not failed:
                    rounds = -(-len(waiting) // len(places))
                    working.append(_start(config, words, waiting.pop(0), free[0], rounds))
                    continue
                time.sleep(LOOK)
                for worker in [w for w in working if w.process.poll() is not None]:
                    working.remove(worker)
                    failed += [worker] if worker.process.returncode else []
                    print(_said(worker), file=sys.stderr, flush=True)
    finally:
        for worker in working:
            worker.process.terminate()
        for worker in working:  # each saves at its next step
            worker.process.wait()
    if failed:
        raise FoldwiseError(
            f"fold {first_few(w.fold for w in failed)} failed (see {shown(failed[0].log)}); "
            f"folds {first_few(waiting) or 'none'} were not begun: the same command goes on"
        )


def _places(config: Config) -> list[int]:
    import torch

    there = torch.cuda.device_count()
    if config.train.device != "cpu" and (there or config.train.device == "cuda"):
        if config.gpus > there:
            raise UsageError(f"gpus={config.gpus}: this machine has {there}; say gpus={there}")
        return list(range(config.gpus))
    return list(range(min(config.gpus, os.cpu_count() or 1)))


def _start(config: Config, words: list[str], fold: int, place: int, rounds: int) -> Worker:
    """``rounds``: folds that are still to be trained in this place, this one included."""
    own = [w for w in words if compose.split_word(w)[0] not in ("fold", "gpus", "run")]
    command = [*own, f"run={config.run}", f"fold={fold}", "gpus=1"]
    environment = dict(os.environ)
    if config.train.device != "cpu" and _visible():
        environment["CUDA_VISIBLE_DEVICES"] = _visible()[place]
    environment["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // config.gpus))
    if config.train.hours:
        left = 3600 * config.train.hours - (time.monotonic() - STARTED)
        environment[SECONDS] = str(left / rounds)
    log = Run(config.run).fold_folder(fold) / "console.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "foldwise", "train", *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is ours to pass on
        )
    print(f"fold {fold} begins in place {place}: {shown(log)}", file=sys.stderr, flush=True)
    return Worker(fold, place, process, log)


def _visible() -> list[str]:
    """The names of the GPUs that this process may use; [] where there are none."""
    import torch

    there = torch.cuda.device_count()
    said = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return said.split(",")[:there] if said else [str(n) for n in range(there)]


def _said(worker: Worker) -> str:
    """How a process ended: its fold's own line, or its last one."""
    lines = worker.log.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
    ends = [line for line in lines if line.startswith(f"fold {worker.fold}: ")]
    return (
        ends[-1] if ends and not worker.process.returncode else f"fold {worker.fold}: {lines[-1]}"
    )

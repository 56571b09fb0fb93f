"""`train.hours`: the time that a call may take, counted from its start.

With `train.epochs=auto` each fold takes as many steps as its share of the time allows, so that the
schedule reaches its end inside it. With epochs of your own it is a limit: at its end the fold is
saved, and the same command goes on.
"""

import os
import time
from dataclasses import dataclass

from foldwise import STARTED
from foldwise.config import Config

WARMING = 3  # steps at first that are slower than the others
SPARE = 0.01  # of the whole budget: what no estimate foresees
SECONDS = "FOLDWISE_SECONDS"  # of the environment: what gpus=2 leaves to a process of its own
ENDING = 2.0  # seconds at least that are kept for tables and scores


class TimeUp(Exception):
    """The limit of `train.hours` is reached, and the fold is saved."""


@dataclass
class Budget:
    """When the call has to be done, and what its folds still have to do."""

    end: float  # time.monotonic()
    spare: float  # seconds
    folds: int  # that are to be trained, the one in hand included

    def deadline(self, predicting: float) -> float:
        """When the fold in hand must have taken its last step.

        ``predicting``: seconds that a fold's predictions take; those of all folds are set aside.
        """
        now = time.monotonic()
        left = self.end - self.spare - now - self.folds * predicting
        return now + left / self.folds


def budget_of(config: Config, folds: int) -> Budget | None:
    """None where the call may take as long as it likes, or is two batches of everything."""
    if not config.train.hours or config.debug:
        return None
    seconds = float(os.environ.get(SECONDS, 3600 * config.train.hours))
    return Budget(STARTED + seconds, max(ENDING, SPARE * seconds), folds)


@dataclass
class Clock:
    """A fold's share of the time."""

    deadline: float  # time.monotonic()
    planned: bool  # it decides how many steps are taken; otherwise it is a limit
    calls: int = 0
    began: float = 0.0
    first: int = 0  # the steps that were taken when the measuring began

    def up(self) -> bool:
        return time.monotonic() >= self.deadline

    def total(self, done: int) -> int:
        """Steps of the whole training, by the speed so far; asked before each, ``done`` of them."""
        now, self.calls = time.monotonic(), self.calls + 1
        if self.calls in (1, 1 + WARMING):
            self.began, self.first = now, done
        if done == self.first:  # one step at least, of a fold that has taken none
            return done + (not done or now < self.deadline)
        left, each = self.deadline - now, (now - self.began) / (done - self.first)
        return done + (int(left / each) if left > 0 < each else 0)

"""What a person sees while a fold trains: a bar on a terminal, now and then a line elsewhere."""

import sys
import time
from typing import TextIO

LOOK = 2.0  # seconds between readings of the loss: each makes the processor wait for the device
OFTEN, SILENCE = 5.0, 30.0  # seconds: lines an epoch come no more often; nobody waits longer


class Progress:
    """One fold's bar or lines on stderr; every line also goes to the fold's train.log."""

    def __init__(self, fold: int, total: int, done: int, log: TextIO) -> None:
        """``total``: images that the fold's training sees over all epochs; ``done``: so far."""
        self.fold, self.log, self.total, self.done = fold, log, total, done
        self.began = self.read_at = self.said_at = time.monotonic()
        self.before, self.bar = done, None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(
                total=total, initial=done, desc=f"fold {fold}", unit=" images", leave=False,
                unit_scale=True, dynamic_ncols=True,
            )  # fmt: skip

    def advance(self, images: int) -> None:
        self.done += images
        if self.bar is not None:
            self.bar.update(images)

    def due(self) -> bool:
        """Whether it is time to read the loss."""
        now = time.monotonic()
        if now - self.read_at < LOOK:
            return False
        self.read_at = now
        return True

    def show(self, epoch: int, epochs: int, loss: float, rate: float) -> None:
        """Inside an epoch: on the bar, or as a line now and then."""
        if self.bar is not None:
            self.bar.set_description(f"fold {self.fold}, epoch {epoch + 1}/{epochs}", refresh=False)
            self.bar.set_postfix_str(f"loss {loss:.4f}, lr {rate:.1e}")
            return
        now = time.monotonic()
        if now - self.said_at >= SILENCE:
            self.said_at = now
            speed = (self.done - self.before) / (now - self.began)
            left = (self.total - self.done) / speed
            print(
                f"fold {self.fold}, epoch {epoch + 1}/{epochs}: loss {loss:.4f}, lr {rate:.1e}, "
                f"{speed:,.0f} images/s, {left / 60:.0f} min left",
                file=sys.stderr, flush=True,
            )  # fmt: skip

    def line(self, text: str) -> None:
        """A line an epoch: all of them in the log, one every few seconds on the screen."""
        _write(self.log, text)
        now = time.monotonic()
        if now - self.said_at >= OFTEN:
            self.said_at = now
            if self.bar is not None:
                self.bar.write(text, file=sys.stderr)
            else:
                print(text, file=sys.stderr, flush=True)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()


def say(log: TextIO, text: str) -> None:
    """A line on the screen and in the log."""
    _write(log, text)
    print(text, file=sys.stderr, flush=True)


def _write(log: TextIO, text: str) -> None:
    log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

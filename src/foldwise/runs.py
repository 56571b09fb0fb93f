"""The run store: the only code that knows the layout of oof/."""

import contextlib
import fcntl
import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

from foldwise import compose
from foldwise.config import Config
from foldwise.errors import FoldwiseError, first_few
from foldwise.files import atomic, home, read_json, shown, write_json, write_text
from foldwise.networks import read_network, read_network_provenance, write_network
from foldwise.provenance import (
    Provenance,
    combined,
    read_header,
    read_provenance,
    read_table,
    write_table,
)

# What is written last, and so marks a finished fold: a network, or the parameters of a blend.
MODEL, BLEND = "model.safetensors", "blend.json"
TRAINED = ("last.ckpt", MODEL)


def every_run() -> list["Run"]:
    """All runs of oof/, by name."""
    return [Run(path.parent.name) for path in sorted((home() / "oof").glob("*/config.yaml"))]


class Run:
    """One folder under oof/: a recipe trained on some folds, or a blend of other runs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = home() / "oof" / name

    @property
    def config_file(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def report_folder(self) -> Path:
        """report/: what `./run.sh report` writes, which can be deleted at any time."""
        return self.folder / "report"

    def evaluation_folder(self, name: str) -> Path:
        """evaluate/<name>/: what `./run.sh evaluate` writes of a labelled set."""
        return self.folder / "evaluate" / name

    @property
    def export_folder(self) -> Path:
        """export/: what `./run.sh export` writes."""
        return self.folder / "export"

    def fold_folder(self, fold: int) -> Path:
        return self.folder / f"fold{fold}"

    def config(self) -> Config:
        """The resolved config. Raises FoldwiseError, with the nearest run, where there is none."""
        if self.started() and not self.config_file.is_file():
            raise FoldwiseError(
                f"{shown(self.config_file)} is missing beside trained folds: restore it, "
                "or train under another name with run=NAME"
            )
        if not self.config_file.is_file():
            from foldwise.errors import nearest

            known = [run.name for run in every_run()]
            raise FoldwiseError(
                f"there is no run '{self.name}' in {shown(self.folder.parent)}"
                f"{nearest(self.name, known)}"
            )
        return compose.load_config(self.config_file)

    def clear(self, fold: int) -> None:
        """Remove what a fold has but its logs. Raises FoldwiseError while it is being trained."""
        with self.fold_log(fold):
            for path in self.fold_folder(fold).iterdir():
                if path.is_dir():  # a tracker's
                    shutil.rmtree(path)
                elif path.name not in ("train.log", "console.log"):
                    path.unlink()

    def clear_blend(self, fold: int | None) -> None:
        """Remove what a blend has of a fold, or (None) what it says of itself."""
        if fold is None:
            (self.folder / BLEND).unlink(missing_ok=True)
            return
        for path in self.fold_folder(fold).iterdir():
            path.unlink()

    def write_config(self, config: Config) -> None:
        """config.yaml: the resolved recipe, which makes the folder a run."""
        write_text(self.config_file, compose.to_yaml(config))

    def write_environment(self, environment: dict[str, Any]) -> None:
        """environment.json: versions, commit and, of what trained, device of the newest call."""
        write_json(self.folder / "environment.json", environment)

    def fold_folders(self) -> list[int]:
        """Folds with a folder, whatever is in it."""
        names = (p.name.removeprefix("fold") for p in self.folder.glob("fold*") if p.is_dir())
        return sorted(int(name) for name in names if name.isdigit())

    def started(self) -> list[int]:
        """Folds with anything trained on disk, finished or not, and those in training now."""
        return [
            k
            for k in self.fold_folders()
            if any((self.fold_folder(k) / name).is_file() for name in (*TRAINED, BLEND))
            or self._in_training(k)
        ]

    def is_trained(self) -> bool:
        """Whether anything of it was trained: no blend."""
        folders = [self.fold_folder(k) for k in self.started()]
        return any((folder / name).is_file() for folder in folders for name in TRAINED)

    def in_training(self) -> list[int]:
        """Folds that a process trains at this moment."""
        return [k for k in self.fold_folders() if self._in_training(k)]

    def _in_training(self, fold: int) -> bool:
        """Whether a process holds the fold's lock."""
        try:
            with (self.fold_folder(fold) / "train.log").open() as log:
                fcntl.flock(log, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def finished(self) -> list[int]:
        """Folds that are done: their model is written after everything else."""
        marks = {k: (self.model_file(k), self.fold_folder(k) / BLEND) for k in self.started()}
        return [k for k, files in marks.items() if any(file.is_file() for file in files)]

    def refuse_unfinished(self, folds: list[int]) -> None:
        """Raises FoldwiseError where one of the folds is not finished."""
        finished = self.finished()
        missing = [k for k in folds if k not in finished]
        if missing:
            raise FoldwiseError(
                f"folds {first_few(missing)} of {self.name} are not finished: train them first, or "
                f"say fold={','.join(map(str, finished)) or '…'}"
            )

    @contextlib.contextmanager
    def fold_log(self, fold: int) -> Iterator[TextIO]:
        """fold<k>/train.log, open for appending and locked: two processes never train one fold."""
        path = self.fold_folder(fold) / "train.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", buffering=1) as log:
            try:
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise FoldwiseError(
                    f"fold {fold} of {self.name} is being trained by another process; "
                    "name other folds, or another run with run=NAME"
                ) from error
            yield log

    @contextlib.contextmanager
    def fold_kept(self, fold: int) -> Iterator[None]:
        """Inside, no process trains the fold again; several may read it at a time."""
        with (self.fold_folder(fold) / "train.log").open("a") as log:
            try:
                fcntl.flock(log, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise FoldwiseError(
                    f"fold {fold} of {self.name} is being trained by another process: wait for it, "
                    "or name other folds with fold="
                ) from error
            yield

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Alone in the run: two processes that end at once do not combine half of its folds."""
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def write_metrics(self, fold: int, history: list[dict[str, Any]]) -> None:
        """metrics.csv: a row an epoch."""
        text = io.StringIO()
        pd.DataFrame(history).to_csv(text, index=False, lineterminator="\n")
        write_text(self.fold_folder(fold) / "metrics.csv", text.getvalue())

    def table(self, fold: int | None, name: str, views: str = "") -> Path:
        """oof.parquet or test.parquet, as ``name`` says, of a fold or (None) of the whole run.

        ``views``: the same rows predicted with other views, <name>.<views>.parquet.
        """
        folder = self.folder if fold is None else self.fold_folder(fold)
        return folder / (f"{name}.{views}.parquet" if views else f"{name}.parquet")

    def views(self, fold: int) -> list[str]:
        """The other views that the fold's OOF was predicted with, sorted."""
        names = (path.name for path in self.fold_folder(fold).glob("oof.*.parquet"))
        return sorted(name.removeprefix("oof.").removesuffix(".parquet") for name in names)

    def write_predictions(
        self,
        fold: int | None,
        name: str,
        frame: pd.DataFrame,
        provenance: Provenance,
        views: str = "",
    ) -> None:
        """A table of a fold, or (None) of the whole run."""
        write_table(self.table(fold, name, views), frame, provenance)

    def predictions(
        self, fold: int | None, name: str, views: str = "", columns: list[str] | None = None
    ) -> tuple[pd.DataFrame, Provenance]:
        """A table, or some of its columns. Raises FoldwiseError where it is missing or damaged."""
        return read_table(self.table(fold, name, views), columns)

    def header(self, fold: int | None, name: str, views: str = "") -> tuple[list[str], Provenance]:
        """The columns and the provenance of a table, read without its rows."""
        return read_header(self.table(fold, name, views))

    def write_blend(self, fold: int | None, parameters: dict[str, Any]) -> None:
        """blend.json: of a fold, the mark that it is finished, to be written last."""
        folder = self.folder if fold is None else self.fold_folder(fold)
        write_json(folder / BLEND, parameters)

    def blend(self, fold: int | None) -> dict[str, Any]:
        """blend.json, of a fold or of the run. Raises FoldwiseError: missing or damaged."""
        folder = self.folder if fold is None else self.fold_folder(fold)
        return dict(read_json(folder / BLEND))

    def is_blend(self) -> bool:
        return (self.folder / BLEND).is_file()

    def checkpoint(self, fold: int) -> Path:
        """fold<k>/last.ckpt, which exists while the fold is unfinished."""
        return self.fold_folder(fold) / "last.ckpt"

    def model_file(self, fold: int, epoch: int = 0) -> Path:
        """fold<k>/model.safetensors, the mark of a finished fold; or epoch<n>.safetensors."""
        return self.fold_folder(fold) / (f"epoch{epoch:03d}.safetensors" if epoch else MODEL)

    def kept_epochs(self, fold: int) -> list[int]:
        """The epochs whose weights train.save_every has kept."""
        names = (path.stem for path in self.fold_folder(fold).glob("epoch*.safetensors"))
        numbers = (name.removeprefix("epoch") for name in names)
        return sorted(int(number) for number in numbers if number.isdigit())

    def metrics(self, fold: int) -> pd.DataFrame | None:
        """metrics.csv, or None where it is missing or damaged: nothing but its display needs it."""
        try:
            metrics = pd.read_csv(self.fold_folder(fold) / "metrics.csv")
            metrics[["epoch", "seconds", "images_per_second"]].astype(float)
        except (OSError, ValueError, KeyError):
            return None
        return metrics

    def provenance(self, fold: int) -> Provenance:
        """Of a finished fold, read without its table."""
        return read_provenance(self.fold_folder(fold) / "oof.parquet")

    def write_model(
        self, fold: int, tensors: dict[str, Any], provenance: Provenance, epoch: int = 0
    ) -> None:
        """`model_file`; without an ``epoch`` it is the mark of a finished fold, written last.

        ``tensors``: a torch state dict.
        """
        write_network(self.model_file(fold, epoch), tensors, provenance)

    def model_provenance(self, fold: int) -> Provenance:
        """Of a finished fold's weights. Raises FoldwiseError: missing or damaged."""
        return read_network_provenance(self.model_file(fold))

    def model(self, fold: int, epoch: int = 0) -> tuple[dict[str, Any], Provenance]:
        """The tensors of `model_file`, on the CPU, and what they were made from.

        Raises FoldwiseError where the file is missing or damaged, or the epoch was not kept.
        """
        kept = self.kept_epochs(fold)
        if epoch and epoch not in kept:
            there = (
                f"those of epochs {first_few(kept, 20)}" if kept else "none (train.save_every=N)"
            )
            raise FoldwiseError(
                f"{self.name} kept no weights of epoch {epoch} in fold {fold}: there are {there}"
            )
        return read_network(self.model_file(fold, epoch))

    def take(self, fold: int, source: Path) -> None:
        """A fold as another machine has trained it: the files in ``source``, the model last.

        What is there of the fold goes; its train.log is appended to.
        """
        names = [path.name for path in source.iterdir() if path.is_file()]
        with self.fold_log(fold) as log:
            for path in (self.model_file(fold), self.checkpoint(fold)):
                path.unlink(missing_ok=True)
            for name in sorted(names, key=lambda name: name == "model.safetensors"):
                if name == "train.log":
                    log.write((source / name).read_text(encoding="utf-8", errors="replace"))
                    continue
                with (
                    (source / name).open("rb") as there,
                    atomic(self.fold_folder(fold) / name) as file,
                ):
                    shutil.copyfileobj(there, file, 2**20)

    def oof_table(self) -> tuple[pd.DataFrame, Provenance]:
        """The OOF rows; of a run that has not ended, those of its finished folds.

        Raises FoldwiseError where there are none.
        """
        if (self.folder / "oof.parquet").is_file():
            return read_table(self.folder / "oof.parquet")
        tables = [read_table(self.fold_folder(k) / "oof.parquet") for k in self.finished()]
        if not tables:
            self.config()  # says so where there is no such run
            raise FoldwiseError(
                f"{self.name} has no OOF predictions yet: no fold of it is finished"
            )
        frame = pd.concat([frame for frame, _ in tables], ignore_index=True)
        return frame, combined([provenance for _, provenance in tables])

    def write_scores(self, scores: dict[str, Any]) -> None:
        write_json(self.folder / "scores.json", scores)

    def scores(self) -> Any:
        return read_json(self.folder / "scores.json")

    def test_table(self) -> tuple[pd.DataFrame, Provenance]:
        """The run's test probabilities: the mean over its folds."""
        if not (self.folder / "test.parquet").is_file():
            raise FoldwiseError(
                f"{self.name} has no test predictions: no fold of it is finished, "
                "or its competition has no test set"
            )
        return read_table(self.folder / "test.parquet")

"""What is known of each run beside its predictions: a row of the table of runs."""

import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foldwise import runview
from foldwise.compose import TRAINING, flat
from foldwise.config import NOT_THE_RESULT, PRESETS, Config
from foldwise.errors import FoldwiseError, first_few, nearest
from foldwise.report.text import columns, number
from foldwise.runs import Run

# Settings in which runs of one competition differ without being other experiments.
SAME_ANYWAY = NOT_THE_RESULT - {
    *("folds.k", "folds.method", "folds.group", "folds.seed", "competition.metric"),
    *("model.weights", "augment.preset", "blend.runs", "data.weights"),
    *("distill.run", "pseudo.run", "pseudo.pool"),
} | {
    *("blend.members", "distill.recipe", "pseudo.recipe", "pseudo.pool_digest"),  # digests say
    *("model.weights_digest", "data.weights_digest"),  # nothing to people
}
LONG = 60  # signs of a setting that are shown
ROUND = re.compile(r"-p\d+$")


@dataclass(frozen=True)
class Facts:
    """A run for the tables.

    described: a blend's members, {} of another run. seconds: of training, all folds. date: when it
    last changed, in seconds. size: bytes on disk.
    """

    run: Run
    config: Config
    scores: dict[str, Any]
    described: dict[str, Any]
    finished: list[int]
    training: list[int]
    seconds: float | None
    parameters: int | None
    date: float
    size: int

    @property
    def name(self) -> str:
        return self.run.name

    @property
    def competition(self) -> str:
        return Path(self.config.competition.slug).name

    @property
    def metric(self) -> str:
        return str(self.scores.get("metric", self.config.competition.metric))

    @property
    def score(self) -> float | None:
        return _number(self.scores.get("oof"))

    @property
    def honest(self) -> float | None:
        return _number(self.scores.get("honest"))

    @property
    def best(self) -> float | None:
        """The score to compare by: the honest one where something was fitted on the OOF rows."""
        return self.score if self.honest is None else self.honest

    @property
    def blend(self) -> bool:
        return bool(self.described)

    @property
    def model(self) -> str:
        """What predicts, in a word or two."""
        if self.blend:
            return f"blend, {self.described.get('method', '')}".rstrip(", ")
        return self.config.model.name

    @property
    def state(self) -> str:
        """``5 of 5 folds``, ``training fold 3``, ``blend`` …"""
        if self.training:
            words = f"training fold {', '.join(map(str, self.training))}"
        elif self.blend:
            words = "blend"
        elif self.config.blend.runs:
            words = "blend, broken off"
        elif not self.finished:
            words = "not finished"
        else:
            words = f"{len(self.finished)} of {self.config.folds.k} folds"
        return words + (", debug" if self.config.debug else "")


def facts_of(run: Run) -> Facts:
    """Reads the small files of a run. Raises FoldwiseError where its config.yaml is of no use."""
    config, finished = run.config(), run.finished()
    histories = [history for k in finished if (history := run.metrics(k)) is not None]
    seconds = sum(float(h["seconds"].sum()) for h in histories if "seconds" in h)
    return Facts(
        run, config, runview.scores(run), runview.blend(run), finished, run.in_training(),
        seconds or None, runview.parameters(run), runview.date(run), runview.size(run),
    )  # fmt: skip


def all_facts(runs: Sequence[Run]) -> tuple[list[Facts], list[str]]:
    """Of each run, best score first within its competition, and a line for each unreadable one."""
    found, unreadable = [], []
    for run in runs:
        try:
            found.append(facts_of(run))
        except FoldwiseError as error:
            unreadable.append(str(error))
    return sorted(found, key=_order), unreadable


def of_competition(found: Sequence[Facts], competition: str) -> list[Facts]:
    """Those of a competition, or all. Raises FoldwiseError where there are none."""
    chosen = [facts for facts in found if competition in ("", facts.competition)]
    if not chosen:
        known = sorted({facts.competition for facts in found})
        what = f" of {competition}" if competition else ""
        say = f"; there are runs of {first_few(known)}{nearest(competition, known)}"
        if not known:
            say = ": ./run.sh trains one on the embedded competition"
        raise FoldwiseError(f"oof/ has no run{what} yet{say}")
    return chosen


def _order(facts: Facts) -> tuple[Any, ...]:
    best = facts.best
    if best is None:
        return (facts.competition, facts.metric, 1, 0.0, facts.name)
    sign = -1 if facts.scores.get("greater_is_better", True) else 1
    return (facts.competition, facts.metric, 0, sign * best, facts.name)


def differences(listed: Sequence[Facts]) -> dict[str, dict[str, Any]]:
    """{run: {setting: value}} for the settings in which runs differ from what most of them have.

    Where two values are as frequent, the default counts as what most have.
    """
    default, flats = flat(Config()), {facts.name: flat(facts.config) for facts in listed}
    found: dict[str, dict[str, Any]] = {name: {} for name in flats}
    blends = {facts.name for facts in listed if facts.config.blend.runs}
    for key in default:
        group = key.partition(".")[0]
        if key in SAME_ANYWAY:
            continue
        # A blend has no model or loss, and what is trained no method.
        values = {
            name: str(settings[key])
            for name, settings in flats.items()
            if group not in TRAINING or name not in blends
            if group != "blend" or name in blends
        }
        counts = Counter(values.values())
        usual = max(
            counts, key=lambda value: (counts[value], value == str(default[key])), default=""
        )
        for name, value in values.items():
            if value != usual and not _by_preset(key, flats[name]):
                found[name][key] = flats[name][key]
    return found


def _by_preset(key: str, settings: dict[str, Any]) -> bool:
    """Whether augment.preset, which is told itself, says it."""
    filled = PRESETS[settings["augment.preset"]]
    group, _, name = key.partition(".")
    return group == "augment" and name in filled and filled[name] == settings[key]


def table(listed: Sequence[Facts]) -> list[str]:
    """The runs as lines for a terminal, a table a competition and metric."""
    lines: list[str] = []
    for group in dict.fromkeys((facts.competition, facts.metric) for facts in listed):
        part = [facts for facts in listed if (facts.competition, facts.metric) == group]
        special = differences(part)
        head = ("run", group[1], "mean ± std", "honest", "folds", "time", "params", "MB", "date")
        rows = [head]
        for facts in part:
            rows.append(
                (
                    facts.name, number(facts.score), spread(facts), number(facts.honest),
                    facts.state, duration(facts.seconds), short(facts.parameters),
                    f"{facts.size / 2**20:,.1f}", day(facts.date),
                )
            )  # fmt: skip
        lines += ["", f"{group[0]}", *columns(rows)]
        said = [(f"  {facts.name}", _settings(special[facts.name])) for facts in part]
        told = [pair for pair in said if pair[1]]
        if told:
            lines += ["", "what sets them apart", *columns(told, left=2)]
    return lines[1:]


def spread(facts: Facts) -> str:
    """Mean and standard deviation over the folds."""
    if facts.scores.get("mean") is None:
        return "-"
    return f"{number(facts.scores['mean'])} ± {number(facts.scores.get('std'))}"


def _settings(special: dict[str, Any]) -> str:
    words = [told(key, value) for key, value in special.items()]
    cut = words[:6] + ([f"and {len(words) - 6} more"] if len(words) > 6 else [])
    return " ".join(cut)


def told(key: str, value: object) -> str:
    """``key=value``, cut where it is long."""
    text = f"{key}={value}"
    return text if len(text) <= LONG else f"{text[: LONG - 1]}…"


def rounds(listed: Sequence[Facts]) -> dict[str, list[tuple[int, Facts]]]:
    """{name of the rounds: (number, run) of each}: from the run that they began with (0) to a last.

    The name is that of the last without its -p<number>. Runs that are not listed are left out.
    """
    known = {facts.name: facts for facts in listed}
    sources = {facts.name: facts.config.pseudo.run for facts in listed}
    lasts = [name for name, source in sources.items() if source and name not in sources.values()]
    found: dict[str, list[tuple[int, Facts]]] = {}
    for last in lasts:
        line = lineage(last, sources)
        plain = ROUND.sub("", last)
        found[last if plain in found else plain] = [
            (number, known[name]) for number, name in enumerate(line) if name in known
        ]
    return found


def lineage(name: str, sources: Mapping[str, str]) -> list[str]:
    """The runs that learned from each other's labels, in their order, up to ``name``.

    sources: {run: whose pseudo-labels it has learned, or ''}.
    """
    line = [name]
    while (before := sources.get(line[0], "")) and before not in line:
        line.insert(0, before)
    return line


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def short(count: int | None) -> str:
    """1234567 -> 1.2M."""
    if count is None:
        return "-"
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.1f}{letter}"
    return str(count)


def day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None

"""Whether runs fit together: each that does not is named, with its folds and the difference."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from foldwise.config import Competition, Config
from foldwise.errors import FoldwiseError, UsageError, first_few
from foldwise.files import shown
from foldwise.provenance import Provenance, combined
from foldwise.runs import Run, every_run

Kind = Literal["oof", "test"]
ALL = "*"  # of a run's views: the mean of its own tables and of all others


@dataclass(frozen=True)
class Member:
    """A run's predictions: its own, those with other ``views``, or (ALL) the mean of all."""

    run: Run
    views: str
    config: Config

    @property
    def name(self) -> str:
        return f"{self.run.name}:{self.views}" if self.views else self.run.name

    def tables(self, fold: int) -> list[str]:
        """The views whose tables are averaged; '' is the run's own, which counts once."""
        if self.views != ALL:
            return [self.views]
        own = self.run.provenance(fold).recipe_hash
        origins = {views: self.run.header(fold, "oof", views)[1] for views in self.run.views(fold)}
        return ["", *(views for views, origin in origins.items() if origin.recipe_hash != own)]


def named(words: Sequence[str], own: str) -> list[Member]:
    """The members that ``runs=`` names, in its order, patterns sorted; never the blend itself.

    Raises UsageError where these are fewer than two, FoldwiseError where there is no such run.
    """
    names: list[str] = []
    for word in words:
        name, _, views = word.partition(":")
        found = [name]
        if any(sign in name for sign in "*?["):
            known = [run.name for run in every_run() if run.name != own]
            found = [other for other in known if fnmatchcase(other, name)]
            if not found:
                raise FoldwiseError(
                    f"runs={word} matches no run; there are {first_few(known, 10) or 'none'}"
                )
        elif name == own:
            raise UsageError(f"{own} cannot be made of itself: say another run=NAME")
        names += [f"{one}:{views}" if views else one for one in found]
    names = list(dict.fromkeys(names))
    if len(names) < 2:
        raise UsageError(
            f"a blend is made of two runs or more, and runs={','.join(words)} names "
            f"{first_few(names) or 'none'}: say runs=a,b or runs='exp0*'"
        )
    members = []
    for text in names:
        name, _, views = text.partition(":")
        run = Run(name)
        member = Member(run, views, run.config())
        lacking = [k for k in run.finished() if views not in ("", ALL, *run.views(k))]
        if lacking:
            there = dict.fromkeys(v for k in run.finished() for v in run.views(k))
            raise FoldwiseError(
                f"{name} has no predictions with the views {views} (fold {first_few(lacking)}; "
                f"there are {first_few(there) or 'none'}): make them by "
                f"./run.sh predict run={name} tta={views}"
            )
        _same_views(member)
        members.append(member)
    return members


def _same_views(member: Member) -> None:
    """Raises FoldwiseError where the mean of all views would be of others in another fold."""
    seen = {k: member.tables(k) for k in member.run.finished()}
    everything = sorted(set().union(*seen.values()))
    for fold, views in seen.items():
        lacks = [one for one in everything if one not in views]
        if lacks:
            raise FoldwiseError(
                f"{member.name}: fold {fold} was not predicted with {first_few(lacks)}, as others "
                f"were: ./run.sh predict run={member.run.name} tta={lacks[0]} fold={fold}"
            )


def same_settings(members: Sequence[Member], metric: str = "auto") -> Competition:
    """The competition's settings that all members share: the first one's.

    ``metric`` decides where members are scored by different ones. Raises FoldwiseError for other
    competitions, tasks or classes, and UsageError for other metrics where nothing decides.
    """
    first = members[0].config.competition
    for member in members[1:]:
        other = member.config.competition
        for what, a, b in (
            ("competition", Path(first.slug).name, Path(other.slug).name),
            ("task", first.task, other.task),
        ):
            if a != b:
                raise FoldwiseError(
                    f"{member.name} is a run of {what} {b} and {members[0].name} of {a}: "
                    "take runs of one competition"
                )
        if first.classes != other.classes:
            raise FoldwiseError(_other_classes(members[0], member))
        if metric == "auto" and first.metric != other.metric:
            raise UsageError(
                f"{members[0].name} is scored by {first.metric} and {member.name} by "
                f"{other.metric}: say metric={first.metric} or metric={other.metric}"
            )
    metrics = {member.config.competition.metric for member in members}
    return replace(first, metric=first.metric if len(metrics) == 1 else metric)


def _other_classes(one: Member, other: Member) -> str:
    a, b = (member.config.competition.classes for member in (one, other))
    said = []
    for has, lacks, owner in ((a, b, one), (b, a, other)):
        only = [name for name in has if name not in set(lacks)]
        said += [f"{first_few(only)} only in {owner.name}"] if only else []
    what = "; ".join(said) or f"in another order: {first_few(a)} and {first_few(b)}"
    return (
        f"{one.name} and {other.name} have different classes ({what}): blend runs of one train "
        "table"
    )


def same_folds(members: Sequence[Member]) -> list[int]:
    """The folds that every member has finished. Raises FoldwiseError where they differ."""
    finished = {member.name: member.run.finished() for member in members}
    for name, folds in finished.items():
        if not folds:
            raise FoldwiseError(f"{name} has no finished fold: train it, or leave it out")
    everything = sorted(set().union(*finished.values()))
    for name, folds in finished.items():
        missing = [k for k in everything if k not in folds]
        if missing:
            whole = next(other for other, k in finished.items() if missing[0] in k)
            raise FoldwiseError(
                f"{name} lacks fold {first_few(missing)}, which {whole} has: train it "
                f"(fold={','.join(map(str, missing))}), or leave {name} out"
            )
    return everything


def have_test(members: Sequence[Member], folds: list[int]) -> bool:
    """Whether all members have test predictions. Raises FoldwiseError where only some have."""
    without = [m.name for m in members if not m.run.table(folds[0], "test").is_file()]
    if without and len(without) < len(members):
        raise FoldwiseError(
            f"{first_few(without)} has no test predictions and the others have: predict the test "
            "set with it, or leave it out"
        )
    return not without


def origins(
    members: Sequence[Member], folds: list[int], columns: list[str], test: bool, checks: bool = True
) -> dict[tuple[Kind, int], Provenance]:
    """What a blend of each fold's tables is made from, by kind and fold; the recipe is another.

    Raises FoldwiseError for tables of other classes, splits or recipes, and (but without
    ``checks``) for leaks: a table of fold k that does not hold k out.
    """
    found: dict[tuple[Kind, int], list[Provenance]] = {}
    leaks = []
    for member in members:
        recipes: dict[str, set[str]] = {}
        for fold in folds:
            for kind in ("oof", "test") if test else ("oof",):
                for views in member.tables(fold):
                    names, origin = member.run.header(fold, kind, views)
                    _refuse_other_columns(member, fold, kind, views, names, columns)
                    found.setdefault((kind, fold), []).append(origin)
                    recipes.setdefault(views, set()).add(origin.recipe_hash)
                    if fold not in origin.held_out:
                        leaks.append(f"fold {fold} of {member.name}")
        if any(len(hashes) > 1 for hashes in recipes.values()):
            raise FoldwiseError(
                f"the folds of {member.name} were made by different recipes: train them again "
                "with overwrite=true, or leave it out"
            )
    if leaks and checks:
        leaks = list(dict.fromkeys(leaks))
        raise FoldwiseError(
            f"{first_few(leaks)}: what made these predictions has seen the labels of that very "
            "fold (through initial weights, a teacher, pseudo-labels or fitted parameters), so no "
            "score of a blend could be believed: leave that run out, or make it again without them "
            "(checks=false blends all the same)"
        )
    split = found["oof", folds[0]][0].folds_hash
    for (_, fold), parts in found.items():
        owners = [member.name for member in members for _ in member.tables(fold)]
        pairs = zip(owners, parts, strict=True)
        other = [name for name, part in pairs if part.folds_hash != split]
        if other:
            raise FoldwiseError(
                f"fold {fold} of {first_few(dict.fromkeys(other))} was trained on another split or "
                f"other labels than fold {folds[0]} of {members[0].name}: train it again with "
                "overwrite=true, or leave it out"
            )
    return {key: replace(combined(parts), fold=key[1]) for key, parts in found.items()}


def _refuse_other_columns(
    member: Member, fold: int, kind: Kind, views: str, names: list[str], columns: list[str]
) -> None:
    absent = [name for name in ["id", *columns] if name not in set(names)]
    if absent:
        raise FoldwiseError(
            f"{shown(member.run.table(fold, kind, views))} has no column {first_few(absent)}: "
            f"train fold {fold} of {member.run.name} again with overwrite=true"
        )


def recipe_of(member: Member, fold: int) -> str:
    """What stands for a member in its blend's recipe: its own recipe, and which views."""
    own = member.run.provenance(fold).recipe_hash
    return f"{own}:{'+'.join(member.tables(fold))}" if member.views else own

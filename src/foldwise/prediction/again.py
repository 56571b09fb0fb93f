"""`./run.sh predict`: the rows of a run's tables, predicted again with other views."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from foldwise import compose
from foldwise.bar import counted
from foldwise.competition import layout
from foldwise.competition.layout import CompetitionData
from foldwise.competition.metrics import metric_of
from foldwise.config import Config
from foldwise.device import prepare
from foldwise.errors import FoldwiseError, UsageError, first_few
from foldwise.files import shown
from foldwise.images.load import Images
from foldwise.prediction.fold_model import FoldModel, device_of, folds_to_predict, load_fold
from foldwise.prediction.sources import Sources, open_sources
from foldwise.prediction.views import canonical, file_name, named_so, names_of
from foldwise.provenance import Provenance, prediction_columns, read_table, targets_of
from foldwise.recipe import recipe_hash
from foldwise.runs import Run

LONGEST = 150  # characters of a list of views: it becomes a part of a file's name


@dataclass(frozen=True)
class Part:
    """The images of one kind of table, and where the usable ones are: {id: row}."""

    name: str  # oof or test
    images: Images | None
    rows: dict[str, int]


def predict_again(name: str, folds: str, tta: str, single: bool = False) -> None:
    """Write fold<k>/oof.<tta>.parquet and test.<tta>.parquet, and print their scores.

    They have the rows, columns and priors of oof.parquet and test.parquet, and take the place of
    earlier ones. ``folds``: as in ``fold=``, or '' for those that are finished; ``single``: each of
    the views alone, too, in tables of its own. Raises FoldwiseError and UsageError.
    """
    run = Run(name)
    config = run.config()
    settings = _settings(config, tta, single)
    given = compose.parse_folds(folds, config.folds.k) if folds else []
    wanted = folds_to_predict(run, given)
    data, device = layout.load(config), device_of(config)
    prepare(config.train, device)
    parts = _parts(data, open_sources(config, data, device, device))
    scored: dict[str, list[pd.DataFrame]] = {"": [], **{views: [] for views in settings}}
    for fold in wanted:
        with run.fold_kept(fold):
            model, _ = load_fold(run, fold, device)
            scored[""].append(read_table(run.table(fold, "oof"))[0])
            for views, said in settings.items():
                for part in parts:
                    if run.table(fold, part.name).is_file():
                        table, origin = _predicted(run, fold, part, model, said)
                        run.write_predictions(fold, part.name, table, origin, views)
                        scored[views] += [table] if part.name == "oof" else []
    print(_table(config, wanted, scored))
    print(_written(run, wanted, list(settings)))


def _written(run: Run, folds: list[int], settings: list[str]) -> str:
    """Where the tables are, and how those of the first ``settings`` are submitted."""
    names = [run.table(folds[0], part, views).name for part in ("oof", "test")
             for views in settings if run.table(folds[0], part, views).is_file()]  # fmt: skip
    places = first_few((f"fold{k}" for k in folds), 10)
    line = f"{first_few(names, 4)} in {shown(run.folder)}/ ({places})"
    if not all(run.table(fold, "test", settings[0]).is_file() for fold in run.finished()):
        return line
    how = f"./run.sh submit run={run.name} tta={named_so(settings[0])}"
    return f"{line}\n{how} submits them"


def _settings(config: Config, tta: str, single: bool) -> dict[str, str]:
    """The views to predict: {part of the files' names: as the recipe of such a run says them}.

    Where the run's own views are meant, these are its own words, and so its own order and hash.
    """
    size, own = config.images.size, config.tta.views
    wanted = [canonical(tta, size)]
    if single:
        wanted += [canonical(view, size) for view in names_of(tta, size)]
    if max(map(len, wanted)) > LONGEST:
        raise UsageError(
            f"tta={tta} makes too long a name for a file: take fewer views, or one of the sets"
        )
    return {file_name(v): own if v == canonical(own, size) else v for v in wanted}


def _parts(data: CompetitionData, sources: Sources) -> list[Part]:
    ids = data.test["id"].tolist() if data.test is not None else []
    usable = {ids[row]: row for row in sources.test_rows.tolist()}
    names = data.train["id"]
    train = {names[row]: row for row in np.flatnonzero(sources.train_usable).tolist()}
    return [Part("oof", sources.train, train), Part("test", sources.test, usable)]


def _predicted(
    run: Run, fold: int, part: Part, model: FoldModel, views: str
) -> tuple[pd.DataFrame, Provenance]:
    """The stored table with other predictions; rows with the class prior keep it."""
    config = model.config
    table, origin = read_table(run.table(fold, part.name))
    known = ~table["id"].isin(origin.prior).to_numpy()
    names = table["id"][known].tolist()
    lost = [name for name in names if name not in part.rows]
    if lost:
        raise FoldwiseError(
            f"{len(lost)} rows of {shown(run.table(fold, part.name))} have no usable image in "
            f"the competition any more ({first_few(lost)}): put the images back"
        )
    columns = prediction_columns(config.competition)
    values = table[columns].to_numpy(np.float32, copy=True)
    if names and part.images is not None:
        rows = np.array([part.rows[name] for name in names], np.int64)
        with counted(len(rows), f"images of fold {fold} predicted ({part.name})") as advance:
            values[known] = model(part.images, rows, views, advance)
    others = table.drop(columns=columns)
    recipe = replace(run.config(), tta=replace(config.tta, views=views))
    origin = replace(origin, recipe_hash=recipe_hash(recipe))
    return pd.concat([others, pd.DataFrame(values, columns=columns)], axis=1), origin


def _table(config: Config, folds: list[int], scored: dict[str, list[pd.DataFrame]]) -> str:
    """The metric by views (lines) and folds (columns), the run's own tables first."""
    settings = config.competition
    metric, columns = metric_of(settings.metric, settings), prediction_columns(settings)

    def score(tables: list[pd.DataFrame]) -> str:
        table = pd.concat(tables, ignore_index=True)
        value = metric(targets_of(settings, table), table[columns].to_numpy())
        return "-" if math.isnan(value) else f"{value:.4f}"

    own = f"{config.tta.views} (the run's own)"
    each = folds if len(folds) <= 10 else []
    rows = [[metric.name, *(f"fold {fold}" for fold in each), "OOF"]]
    for views, tables in scored.items():
        alone = tables[: len(each)]
        rows.append([views or own, *(score([table]) for table in alone), score(tables)])
    first = max(len(row[0]) for row in rows)
    return "\n".join(
        f"{row[0]:<{first}}" + "".join(f" {cell:>9}" for cell in row[1:]) for row in rows
    )

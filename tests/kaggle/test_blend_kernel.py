"""A blend's kernel: every member's weights go along, and there the same comes out as here."""

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from foldwise import blended, cli
from foldwise.kaggle import dataset, inside
from foldwise.kaggle.inside import flat_name
from foldwise.runs import Run
from helpers import QUICK, Ended, write_competition
from kaggle_service.server import Server
from kaggle_service.service import sources_of

TRAIN = ("competition=pets", "folds.k=3", "fold=0..1", *QUICK)
BLENDS = {
    "views": ("runs=a:*,b,a:hflip_zoom=1.2", "method=rank"),
    "stacked": ("runs=a,b", "method=stack", "post=priors"),
    "nested": ("runs=stacked,b", "weights=[0.7,0.3]", "space=logit"),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two networks of two folds, one of them with other views too, and blends of these."""
    home = tmp_path_factory.mktemp("trained")
    write_competition(home / "input" / "pets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOLDWISE_HOME", str(home))
        assert cli.main(["train", *TRAIN, "run=a"]) == 0
        assert cli.main(["train", *TRAIN, "run=b", "seed=1", "images.size=16", "tta=flip"]) == 0
        assert cli.main(["predict", "run=a", "tta=hflip,zoom:1.2"]) == 0
        for name, words in BLENDS.items():
            assert cli.main(["blend", f"run={name}", *words]) == 0, name
    yield home


@pytest.fixture
def runs(trained: Path, home: Path) -> Path:
    shutil.copytree(trained, home, dirs_exist_ok=True)
    return home


@pytest.mark.parametrize("name", BLENDS)
def test_there_as_here(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    ours, _ = Run(name).test_table()
    markers = {}
    for one, files in blended.carried(Run(name), tmp_path / "weights").items():
        place = tmp_path / "mounted" / one
        place.mkdir(parents=True)
        found = files | {"config.yaml": Run(one).config_file}
        flat = {flat_name(Path(inner)): path for inner, path in found.items()}
        markers[one], text = dataset.marked(flat)
        (place / markers[one]).write_bytes(text)
        for inner, path in flat.items():
            shutil.copy(path, place / inner)
    assert list(markers)[-1] == name and {"a", "b"} < set(markers)
    monkeypatch.setattr(inside, "INPUT", tmp_path / "mounted")
    monkeypatch.setenv("FOLDWISE_HOME", os.environ["FOLDWISE_HOME"])  # restored sets another
    run = inside.restored(name, markers)
    assert not list(run.folder.parent.rglob("*.parquet"))  # nobody's labels go along
    theirs = blended.predict_run(run, runs / "input" / "pets").table
    assert list(theirs) == list(ours) and list(theirs["id"]) == list(ours["id"])
    np.testing.assert_allclose(theirs[list(ours)[1:]], ours[list(ours)[1:]], atol=1e-3)


def test_members_are_uploaded_once(
    server: Server, runs: Path, foldwise: Callable[..., Ended]
) -> None:
    def leaves(source: str) -> dict[str, bytes]:
        name = "nested" if "blended" in source else "b"
        (runs / "made").mkdir(exist_ok=True)
        table, _ = Run(name).test_table()
        parquet = io.BytesIO()
        table.to_parquet(parquet, index=False)
        assert foldwise("submission", f"run={name}").code == 0
        csv = (runs / "submissions" / f"{name}.csv").read_bytes()
        files = {"submission.csv": csv, "test.parquet": parquet.getvalue()}
        facts = {
            name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in files.items()
        }
        archive = hashlib.sha256(sources_of(source)).hexdigest()
        text = json.dumps({"archive": archive, "files": facts})
        return {**files, "foldwise.json": text.encode()}

    server.kaggle.leaves = leaves
    ended = foldwise("kernel", "infer", "run=nested", "machine=cpu")
    assert ended.code == 0, ended.err
    refs = [f"ann/foldwise-{one}-weights" for one in ("a", "b", "stacked", "nested")]
    assert sorted(server.kaggle.datasets) == sorted(refs)
    (session,) = server.kaggle.kernels["ann/foldwise-nested-infer"].sessions
    assert session.request["datasetDataSources"] == refs
    ended = foldwise("kernel", "infer", "run=b", "machine=cpu")
    assert ended.code == 0, ended.err
    assert all(len(found.versions) == 1 for found in server.kaggle.datasets.values())


def test_a_member_that_has_changed(runs: Path, foldwise: Callable[..., Ended]) -> None:
    shutil.rmtree(runs / "oof" / "b" / "fold1")
    ended = foldwise("kernel", "infer", "run=views", "local=true")
    assert (
        ended.code == 1 and "views was made of the folds 0, 1, and b" in ended.err.splitlines()[-1]
    )
    shutil.rmtree(runs / "oof" / "b")
    ended = foldwise("kernel", "infer", "run=views", "local=true")
    assert (
        ended.code == 1 and "views is made of b, which is not there" in ended.err.splitlines()[-1]
    ), ended.err


@pytest.mark.slow
def test_here_in_folders_like_theirs(runs: Path, foldwise: Callable[..., Ended]) -> None:
    ended = foldwise("kernel", "infer", "run=nested", "local=true")
    assert ended.code == 0, ended.err
    assert "20 predictions are those of nested, within" in ended.out
    assert "a test set 3 times as large, with a broken image, gives a submission too" in ended.out

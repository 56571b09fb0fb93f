"""Kernels are pushed once and used only where what they leave is whole; faults have their line."""

import hashlib
import io
import json
import os
import re
import resource
import signal
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from foldwise.errors import FoldwiseError
from foldwise.kaggle import client, dataset, kernel, live, package
from foldwise.kaggle.client import connect
from foldwise.kaggle.lookalike import run_here
from foldwise.runs import Run
from helpers import Ended, start, write_run
from kaggle_service.server import Server
from kaggle_service.service import sources_of

INFER = ("kernel", "infer", "run=one", "machine=cpu")


@pytest.fixture
def one(server: Server, pets: Path) -> Run:
    """The run `one` of pets, with what stands for networks; its kernel leaves its own tables."""
    run = write_run("one")
    for fold in (0, 1):
        run.fold_folder(fold).mkdir()
        run.model_file(fold).write_bytes(bytes([fold]) * 1000)
    server.kaggle.leaves = lambda source: leaves(run, source)
    return run


def leaves(run: Run, source: str) -> dict[str, bytes]:
    table, _ = run.test_table()
    parquet = io.BytesIO()
    table.to_parquet(parquet, index=False)
    likeliest = table.drop(columns="id").idxmax(axis=1).str.removeprefix("prob_")
    csv = pd.DataFrame({"id": table["id"], "label": likeliest}).to_csv(index=False)
    files = {"submission.csv": csv.encode(), "test.parquet": parquet.getvalue()}
    facts = {
        name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
    }
    archive = hashlib.sha256(sources_of(source)).hexdigest()
    return {**files, "foldwise.json": json.dumps({"archive": archive, "files": facts}).encode()}


def refused(ended: Ended, *words: str, code: int = 1) -> None:
    assert ended.code == code, ended
    line = ended.err.splitlines()[-1]
    assert line.startswith("foldwise: ") and "Traceback" not in ended.err
    for word in words:
        assert word in line, line


def versions(server: Server) -> int:
    found = server.kaggle.kernels.get("ann/foldwise-one-infer")
    return len(found.sessions) if found else 0


# --- pushing, following, fetching -----------------------------------------------------------------


def test_pushed_checked_and_submitted(
    server: Server, one: Run, foldwise: Callable[..., Ended], home: Path
) -> None:
    refused(foldwise("kernel", "submit", "run=one"), "no inference kernel that was pushed and")
    ended = foldwise(*INFER)
    assert ended.code == 0 and "20 predictions are those of one, within 0" in ended.out, ended
    folder = home / "kernels" / "one-infer"
    metadata = json.loads((folder / "kernel-metadata.json").read_text())
    assert metadata["is_private"] and not metadata["enable_internet"]
    assert metadata["dataset_sources"] == ["ann/foldwise-one-weights"]
    pushed = json.loads((folder / "pushed.json").read_text())
    assert (pushed["state"], pushed["version"]) == ("checked", 1)
    # Another push of somebody's changes nothing: version 1 was checked, version 1 is submitted.
    kernel = server.kaggle.kernels["ann/foldwise-one-infer"]
    kernel.sessions.append(kernel.sessions[0])
    assert foldwise("kernel", "submit", "run=one").code == 0
    assert server.asked("CreateCodeSubmission") == 1 and len(server.kaggle.submissions) == 1
    refused(foldwise("kernel", "submit", "run=one"), "this very submission was sent")


@pytest.mark.parametrize(
    "faults",
    [
        {
            "SaveKernel": {"lost": True},
            "CreateDataset": {"lost": True},
            "GetKernelSessionStatus": {"status": 500, "times": 3},
            "DownloadKernelOutput": {"status": 500, "times": 2},
            "download": {"cut": 10, "times": 2},
        },
        {
            "SaveKernel": {"status": 429, "times": 2},
            "CreateDataset": {"status": 500},
            "upload": {"cut": 5},
            "GetKernelSessionStatus": {"status": 403, "message": "Permission 'kernels.get'"},
            "download": {"short": 10, "times": 2},
        },
        {
            "SaveKernel": {"status": 503},
            "StartBlobUpload": {"status": 429},
            "upload": {"status": 400},
            "GetDatasetStatus": {"status": 403, "message": "Permission 'datasets.get'"},
            "download": {"status": 403, "times": 2},
        },
    ],
)
def test_in_spite_of_the_network(
    server: Server, one: Run, foldwise: Callable[..., Ended], faults: dict[str, dict[str, object]]
) -> None:
    for where, how in faults.items():
        server.fault(where, **how)
    ended = foldwise(*INFER)
    assert ended.code == 0, ended.err
    assert versions(server) == 1 and len(server.kaggle.datasets) == 1
    assert len(server.kaggle.datasets["ann/foldwise-one-weights"].versions) == 1
    assert not [fault for fault in server.faults if fault.times]  # all of it happened


@pytest.mark.parametrize("where", ["SaveKernel", "CreateDataset", "StartBlobUpload", "GetKernel"])
def test_500_for_ever(server: Server, one: Run, foldwise: Callable[..., Ended], where: str) -> None:
    server.fault(where, status=500, times=99)
    refused(foldwise(*INFER), "fault 500")
    assert versions(server) == 0
    server.faults.clear()
    assert foldwise(*INFER).code == 0 and versions(server) == 1


def test_never_ends_and_is_waited_for_again(
    server: Server, one: Run, foldwise: Callable[..., Ended]
) -> None:
    server.kaggle.session_ends = "RUNNING"
    refused(foldwise(*INFER, "wait=0.003"), "has not ended after 0.003 minutes (running)")
    server.kaggle.session_ends = ""
    found = server.kaggle.kernels["ann/foldwise-one-infer"]
    server.kaggle.run(found, found.sessions[0])
    ended = foldwise(*INFER)
    assert ended.code == 0 and "was pushed before as version 1" in ended.err
    assert versions(server) == 1


@pytest.mark.parametrize("how", [{}, {"cut": 2}, {"status": 500}, {"hang": True}])
def test_what_it_prints_is_shown_while_it_runs(
    server: Server, one: Run, foldwise: Callable[..., Ended], how: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(client, "ANSWER", 0.3)
    monkeypatch.setattr(live, "PAUSE", 0.01)
    left, screen = server.kaggle.leaves, sys.stderr
    assert isinstance(screen, io.TextIOWrapper)

    def prints(source: str) -> dict[str, bytes]:
        server.kaggle.said = [f"epoch {number}\n" for number in range(3)]
        end = time.monotonic() + 60
        while "epoch 2" not in screen.getvalue() and time.monotonic() < end:
            time.sleep(0.01)
        server.kaggle.said.append("epoch 3\n")
        return left(source)

    server.kaggle.leaves = prints
    if how:
        server.fault("stream", **how)
    ended = foldwise(*INFER)
    assert ended.code == 0, ended.err
    lines = ended.err.splitlines()
    found = [line for line in lines if line.startswith("epoch")]
    assert found == [f"epoch {number}" for number in range(4)], ended.err  # each once, in order
    assert lines.index("epoch 2") < lines.index("ann/foldwise-one-infer version 1: complete")


def test_killed_while_it_is_pushed(
    server: Server, one: Run, foldwise: Callable[..., Ended]
) -> None:
    server.fault("SaveKernel", then=lambda: os.kill(os.getpid(), signal.SIGINT))
    assert foldwise(*INFER).code == 130
    ended = foldwise(*INFER)
    assert ended.code == 0 and "was pushed before as version 1" in ended.err
    assert versions(server) == 1


def test_fails(server: Server, one: Run, foldwise: Callable[..., Ended], home: Path) -> None:
    server.kaggle.session_ends = "ERROR"
    refused(
        foldwise(*INFER), "ended as error: Your notebook tried to allocate more memory",
        "Killed", "kernels/one-infer/log.txt",
    )  # fmt: skip
    assert (home / "kernels/one-infer/log.txt").read_text() == "Killed\n"
    server.kaggle.session_ends = ""
    assert foldwise(*INFER).code == 0 and versions(server) == 2  # a failed one is pushed anew


@pytest.mark.parametrize(
    ("switch", "value", "line"),
    [
        ("push_error", "Maximum weekly GPU quota of 30.00 hours reached.", "Kaggle says 'Maximum"),
        ("push_error", "Maximum batch GPU session count of 2 reached.", "wait for one to end"),
        ("reject_sources", True, "without ann/foldwise-one-weights, which Kaggle does not attach"),
        ("lose_output", "test.parquet", "is incomplete: test.parquet missing or damaged"),
        ("damage_output", "submission.csv", "is incomplete: submission.csv missing or damaged"),
        ("lose_output", "foldwise.json", "left no foldwise.json: it did not run to its end"),
        ("drop_file", "fold1.model.safetensors", "is incomplete on Kaggle: fold1.model.safete"),
    ],
)
def test_what_is_not_as_it_should_be(
    server: Server, one: Run, foldwise: Callable[..., Ended], switch: str, value: object, line: str
) -> None:
    good = getattr(server.kaggle, switch)
    setattr(server.kaggle, switch, value)
    refused(foldwise(*INFER), line)
    refused(foldwise("kernel", "submit", "run=one"), "no inference kernel that was pushed and")
    assert not server.kaggle.submissions
    setattr(server.kaggle, switch, good)
    if switch == "drop_file":
        server.kaggle.datasets.clear()
    for found in server.kaggle.kernels.values():  # whose output was spoiled
        found.sessions[-1].status = "QUEUED"
        server.kaggle.run(found, found.sessions[-1])
    assert foldwise(*INFER).code == 0


def test_a_full_disk(server: Server, one: Run, foldwise: Callable[..., Ended], home: Path) -> None:
    """An output that has no room here is no failure of the kernel: it is fetched the next time."""
    limit = 2**20

    def leaves_more(source: str) -> dict[str, bytes]:
        left = leaves(one, source)
        listed = json.loads(left["foldwise.json"])
        large = bytes(2 * limit)
        listed["files"]["large.bin"] = {
            "size": len(large), "sha256": hashlib.sha256(large).hexdigest(),
        }  # fmt: skip
        return left | {"large.bin": large, "foldwise.json": json.dumps(listed).encode()}

    server.kaggle.leaves = leaves_more

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    process = start(home, *INFER, preexec_fn=limited)
    _, err = process.communicate(timeout=120)
    line = err.splitlines()[-1]
    assert process.returncode == 1 and "Traceback" not in err
    assert "no room to write" in line and "kernels/one-infer/output/large.bin" in line, err
    assert not (home / "kernels/one-infer/output/large.bin").exists()
    ended = foldwise(*INFER)
    assert ended.code == 0 and "was pushed before as version 1" in ended.err
    assert versions(server) == 1


def test_other_predictions_than_here(
    server: Server, one: Run, foldwise: Callable[..., Ended]
) -> None:
    server.kaggle.leaves = lambda source: leaves(write_run("two", 0.1), source)
    refused(foldwise(*INFER), "the kernel predicts something else than one here")


def test_the_log_of_a_code_submission_that_fails(
    server: Server, one: Run, foldwise: Callable[..., Ended]
) -> None:
    assert foldwise(*INFER).code == 0
    server.kaggle.session_ends = "ERROR"  # in the rerun: COMPLETE, and no score
    refused(foldwise("kernel", "submit", "run=one"), "no score, error: Notebook Threw Exception")


def test_rules_before_anything_is_uploaded(
    server: Server, one: Run, foldwise: Callable[..., Ended]
) -> None:
    server.kaggle.competitions["pets"].entered.clear()
    refused(foldwise(*INFER), "accept the rules on https://www.kaggle.com/competitions/pets/rules")
    assert server.asked("StartBlobUpload") == 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["machine=p100"], "machine=p100: Kaggle has retired it"),
        (["machine=t5"], "is none of cpu, t4x2"),
        (["kind=book"], "kind=book is not one of notebook, script"),
        (["hours=0"], "hours=0 is not a number above 0"),
        (["machin=cpu"], "no key 'machin'; did you mean 'machine'"),
    ],
)
def test_wrong_words(
    server: Server, one: Run, foldwise: Callable[..., Ended], words: list[str], line: str
) -> None:
    refused(foldwise("kernel", "infer", "run=one", *words), line, code=2)
    refused(foldwise("kernel", "trian"), "did you mean 'train'", code=2)
    refused(foldwise("kernel"), "foldwise: kernel: say kernel train", code=2)
    for word, near in (("machin=l4", "machine"), ("hour=3", "hours")):
        refused(foldwise("kernel", "train", word), f"did you mean '{near}'", code=2)


@pytest.mark.parametrize(
    "word",
    ["model.weights=/home/me/w.pth", "model.weights=w.pth", "distill.run=one",
     "model.args={'checkpoint_path': '/home/me/w.pth'}"],
)  # fmt: skip
def test_no_file_or_run_of_this_machine(
    server: Server, one: Run, foldwise: Callable[..., Ended], word: str
) -> None:
    words = ("competition=pets", "fold=0", word)
    refused(foldwise("kernel", "train", *words), f"{word} is on this machine", code=2)
    assert not server.seen


# --- data sets ------------------------------------------------------------------------------------


def test_created_then_versioned_and_never_twice(server: Server, tmp_path: Path) -> None:
    files = {}
    for name in ("a.bin", "b.bin"):
        (tmp_path / name).write_bytes(name.encode() * 100)
        files[name] = tmp_path / name
    kaggle = connect()
    ref = dataset.upload(kaggle, "some-files", files, *dataset.marked(files))
    found = server.kaggle.datasets[ref]
    assert ref == "ann/some-files" and found.private and set(files) < set(found.versions[0])
    dataset.upload(kaggle, "some-files", files, *dataset.marked(files))
    assert len(found.versions) == 1  # the same files: nothing to do
    (tmp_path / "b.bin").write_bytes(b"other")
    server.fault("CreateDatasetVersion", lost=True)
    dataset.upload(kaggle, "some-files", files, *dataset.marked(files))
    assert len(found.versions) == 2 and found.versions[1]["b.bin"] == b"other"


# --- what travels ---------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["train", "infer", "blend"])
def test_the_archive(action: str, tmp_path: Path) -> None:
    made = package.package(action, {"recipe.yaml": b"{}"})
    assert made == package.package(action, {"recipe.yaml": b"{}"})
    names = set(made.sizes)
    assert {"foldwise/kaggle/inside.py", "foldwise/prediction/fold_model.py"} < names
    assert not [n for n in names if n.startswith(("foldwise/audit", "foldwise/report"))]
    assert [n for n in names if n.startswith("foldwise/kaggle/")] and not [
        n for n in names if n.startswith("foldwise/kaggle/") and "client" in n
    ]
    assert ("foldwise/training/fold.py" in names) == (action == "train")
    assert ("foldwise/ensemble/fit.py" in names) == (action == "blend")
    with zipfile.ZipFile(io.BytesIO(made.data)) as archive:
        content = {name: archive.read(name).decode() for name in archive.namelist()}
    for name, text in content.items():
        assert not re.search(r"(^|\s)(import|from) kaggle", text), name
        assert str(Path.home()) + "/" not in text and str(package.SOURCE) not in text, name


def test_secrets_and_newer_python_are_refused(server: Server) -> None:
    key = server.kaggle.keys["ann"]
    with pytest.raises(FoldwiseError, match="holds a part of your Kaggle credentials") as caught:
        package.package("infer", {"notes.txt": f"my key is {key}".encode()})
    assert key not in str(caught.value)
    with pytest.raises(FoldwiseError, match=r"new\.py line 3 is not Python 3\.12"):
        package.package("infer", {"new.py": b"try:\n    pass\nexcept ValueError, TypeError:\n  x"})


def test_no_secret_in_the_cells(
    server: Server, one: Run, foldwise: Callable[..., Ended], home: Path
) -> None:
    key = server.kaggle.keys["ann"]
    one.write_scores({**one.scores(), "metric": key})
    ended = foldwise(*INFER)
    refused(ended, "foldwise-one-infer.ipynb holds a part of your Kaggle credentials")
    assert key not in ended.out + ended.err and versions(server) == 0
    assert not list((home / "kernels").rglob("*.ipynb"))


def test_a_metric_of_ones_own_goes_along(
    server: Server, one: Run, foldwise: Callable[..., Ended], home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(home)
    (home / "ours.py").write_text("def share(truth, predictions):\n    return 0.5\n")
    text = one.config_file.read_text().replace("metric: accuracy", "metric: ours:share")
    one.config_file.write_text(text)
    ended = foldwise(*INFER)
    assert ended.code == 0, ended.err
    (session,) = server.kaggle.kernels["ann/foldwise-one-infer"].sessions
    with zipfile.ZipFile(io.BytesIO(sources_of(session.request["text"]))) as archive:
        assert archive.read("ours.py") == (home / "ours.py").read_bytes()


def test_too_large(home: Path) -> None:
    made = package.Package(bytes(range(256)) * 4000, {"foldwise/large.py": 1_024_000})
    into = kernel.Kernel("x", "ann", "cpu", "notebook", "pets")
    from foldwise.kaggle.notebook import Cell

    with pytest.raises(FoldwiseError, match=r"Kaggle takes 1,000,000: .* foldwise/large\.py"):
        kernel.write_kernel(into, made, [Cell("markdown", "# x")])
    assert not into.folder.exists()


def test_runs_that_differ_have_names_that_differ() -> None:
    names = ["a-b", "a_b", "a.b", "A-b", "a-b-", "x" * 80, "x" * 81]
    slugs = {kernel.slug_for(f"foldwise {name} weights") for name in names}
    assert len(slugs) == len(names) and "foldwise-a-b-weights" in slugs
    assert all(6 <= len(slug) <= 50 for slug in slugs)


@pytest.mark.parametrize("name", ["one-infer", "Ünïcode run.2", "x" * 80, "1"])
def test_kaggle_makes_the_slug_of_the_title(name: str) -> None:
    from slugify import slugify

    made = kernel.Kernel(name, "ann", "cpu", "notebook", "pets")
    title = made.metadata()["title"]
    assert slugify(title) == made.slug and 6 <= len(title) <= 50
    assert kernel.Kernel(name + "y", "ann", "cpu", "notebook", "pets").slug != made.slug


# --- local=true -----------------------------------------------------------------------------------


@pytest.fixture
def script(home: Path) -> Callable[[str], kernel.Kernel]:
    def write(text: str) -> kernel.Kernel:
        made = kernel.Kernel("x", "ann", "cpu", "script", "pets")
        made.folder.mkdir(parents=True)
        made.code_file.write_text(text)
        return made

    return write


def test_runs_in_folders_like_theirs(
    script: Callable[[str], kernel.Kernel], pets: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("KAGGLE_KEY", "secret")
    made = script(
        "import os, pathlib\n"
        "place = pathlib.Path(os.environ['FOLDWISE_KAGGLE_INPUT']) / 'competitions/pets'\n"
        "print(sorted(p.name for p in place.iterdir()), 'KAGGLE_KEY' in os.environ)\n"
        "open('made.txt', 'w').write(os.getcwd())\n"
    )
    mounts = {"competitions/pets": {"train.csv": pets / "train.csv"}}
    run_here(made, mounts, tmp_path / "w", 0.1, 4)
    assert (tmp_path / "w" / "log.txt").read_text() == "['train.csv'] False\n"
    assert (tmp_path / "w" / "made.txt").read_text() == str(tmp_path / "w")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("import urllib.request as u; u.urlopen('http://127.0.0.1:9')", "there is no network in"),
        ("x = bytearray(800 * 2**20)\nimport time; time.sleep(20)", "GB of memory, 0.5 are"),
        ("import time; time.sleep(60)", "it runs for longer than 0.0003 hours"),
        ("raise SystemExit('no such thing')", "exit code 1: no such thing"),
        (
            "import subprocess, sys; p = 'import socket; socket.create_connection((\"x\", 1))'\n"
            "sys.exit(subprocess.run([sys.executable, '-c', p]).returncode)",
            "there is no network in",
        ),
    ],
)
def test_limits(
    script: Callable[[str], kernel.Kernel], tmp_path: Path, text: str, line: str
) -> None:
    hours = 0.0003 if "sleep(60)" in text else 0.1
    with pytest.raises(FoldwiseError, match="fails here") as caught:
        run_here(script(text), {}, tmp_path / "w", hours, 0.5)
    assert line in str(caught.value) and "\n" not in str(caught.value)

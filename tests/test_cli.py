import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from foldwise import compose
from foldwise.verbs import submission
from foldwise.verbs.table import VERBS
from helpers import CLONE, Ended


def test_help_lists_every_verb(foldwise: Callable[..., Ended]) -> None:
    ended = foldwise("help")
    assert ended.code == 0
    for verb in VERBS:
        assert re.search(rf"^  {verb} ", ended.out, re.MULTILINE)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_each_verb_lists_its_keys(foldwise: Callable[..., Ended], verb: str) -> None:
    out = foldwise("help", verb).out
    for key in VERBS[verb].keys:
        assert re.search(rf"^  {key} ", out, re.MULTILINE)


def test_every_setting_has_a_comment_that_help_shows(foldwise: Callable[..., Ended]) -> None:
    lines = foldwise("help", "train").out.splitlines()
    for key, _ in compose.settings():
        if key.startswith("blend."):  # ./run.sh help blend has those
            continue
        line = next(line for line in lines if line.startswith(f"  {key}="))
        assert re.search(r"  +\S.{5,}$", line[len(key) + 3 :]), f"{key} has no comment"


def test_help_has_the_values_that_such_a_call_would_use(foldwise: Callable[..., Ended]) -> None:
    def said(*words: str) -> dict[str, str]:
        ended = foldwise("help", "train", *words)
        assert ended.code == 0, ended.err
        return {line.split("=")[0].strip(): line for line in ended.out.splitlines() if "=" in line}

    for words in ([], ["config=resnet18", "augment.preset=heavy", "train.hours=2", "tta=flip"]):
        lines, config = said(*words), compose.flat(compose.compose(words))
        for key in ("run", "loss.smoothing", "optimizer.lr", "augment.noise", "tta.views"):
            assert lines[key].startswith(f"  {key}={config[key]} "), lines[key]
    assert lines["train.epochs"].endswith("auto: as hours allow (default: 30)")
    assert lines["train.epochs"].startswith("  train.epochs=auto ")
    assert "(default" not in lines["run"] + lines["config"] + lines["train.inner"]
    assert "config=resnet18" in foldwise("help", "images", "config=resnet18").out
    wrong = foldwise("help", "train", "config=resnet81")
    assert wrong.code == 2 and "did you mean 'resnet18'" in wrong.err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["trian"], "there is no verb 'trian'; did you mean 'train'?"),
        (["help", "submision"], "did you mean 'submission'?"),
        (["submission"], "submission needs run="),
        (["submission", "rnu=x"], "no key 'rnu'; did you mean 'run'?"),
        (["download", "from=x.zip"], "download needs competition="),
        (["download", "x"], "not key=value"),
        (["fold=9"], "out of range: the folds are 0..4"),
        (["model.name=resnet181"], "did you mean 'resnet18"),
        (["optimizer.name=adamm"], "did you mean 'adam"),
        (["optimizer.betas=[0.9]"], "takes 2 numbers"),
        (["model.name=resnet18.typo"], "does not build"),
        (["train.precision=fp16", "train.device=cpu"], "needs a GPU"),
        (["model.args={nonsense: 1}"], "does not build"),
    ],
)
def test_wrong_words_give_exit_code_2_and_one_line(
    foldwise: Callable[..., Ended], words: list[str], line: str
) -> None:
    ended = foldwise(*words)
    assert ended.code == 2
    assert line in ended.err
    assert "Traceback" not in ended.err


def test_a_run_that_is_not_there_is_exit_code_1(foldwise: Callable[..., Ended]) -> None:
    ended = foldwise("submission", "run=nope")
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "there is no run 'nope'" in ended.err


def test_an_unexpected_error_is_a_line_and_a_file(
    foldwise: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, home: object
) -> None:
    def broken(words: list[str]) -> int:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(submission, "run", broken)
    ended = foldwise("submission")
    assert ended.code == 1
    assert ended.err.count("\n") == 1
    assert "ZeroDivisionError: planted" in ended.err
    assert "Traceback" in (home / "error.log").read_text()  # type: ignore[operator]


@pytest.mark.parametrize("words", [["help"], ["help", "predict"], ["help", "train"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    heavy = {"torch", "timm", "pandas", "numpy", "sklearn", "cv2", "kaggle"}
    heavy |= {"omegaconf"} if words != ["help", "train"] else set()  # that reads a recipe
    code = (
        f"import sys; from foldwise.cli import main; main({words}); heavy = {heavy};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CLONE / "src", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_reader_that_leaves_early_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m foldwise help train | head -1",
        shell=True, cwd=CLONE / "src", capture_output=True, text=True,
    )  # fmt: skip
    assert (done.stderr, done.stdout.count("\n")) == ("", 1)

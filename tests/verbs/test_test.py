"""`./run.sh test` hands its words to pytest, and runs the whole suite on all cores."""

from pathlib import Path

import pytest

from foldwise import cli
from foldwise.verbs import test as verb

HERE = str(Path(__file__))


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What pytest is started with; nothing is run."""
    found: list[str] = []
    monkeypatch.setattr(pytest, "main", lambda words: found.extend(words) or 0)
    monkeypatch.setattr(verb.os, "cpu_count", lambda: 3)
    monkeypatch.setattr(verb, "find_spec", lambda name: name)
    return found


def test_the_whole_suite_has_a_worker_a_core(handed: list[str]) -> None:
    assert cli.main(["test", "-m", "slow"]) == 0
    assert handed[2:] == ["-n", "3", "--dist", "worksteal", "-m", "slow", handed[-1]]
    assert Path(handed[-1], "verbs", "test_test.py").samefile(HERE)


@pytest.mark.parametrize("words", [[HERE], [f"{HERE}::test_nothing"], ["-n0"], ["-x", "--pdb"]])
def test_named_tests_and_a_debugger_have_one_process(handed: list[str], words: list[str]) -> None:
    assert cli.main(["test", *words]) == 0
    assert "--dist" not in handed and set(words) <= set(handed)


def test_without_xdist_the_suite_runs_all_the_same(
    handed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verb, "find_spec", lambda name: None)
    assert cli.main(["test"]) == 0
    assert handed[2:] == [handed[-1]]

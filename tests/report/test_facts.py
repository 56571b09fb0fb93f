"""Which runs are rounds of which is what their configs say, whatever they are called."""

from pathlib import Path

from foldwise.report.facts import all_facts, lineage, rounds
from foldwise.runs import every_run
from report.made import make_run


def test_rounds_follow_what_was_learned_from(home: Path) -> None:
    make_run("a")
    make_run("b-p1")  # only called so
    for name, source in (("a-p1", "a"), ("a-p2", "a-p1"), ("soft", "a"), ("c-p1", "deleted")):
        make_run(name, pseudo__run=source)
    found = rounds(all_facts(every_run())[0])
    named = {key: [(n, one.name) for n, one in line] for key, line in found.items()}
    assert named == {
        "a": [(0, "a"), (1, "a-p1"), (2, "a-p2")],
        "soft": [(0, "a"), (1, "soft")],
        "c": [(1, "c-p1")],
    }


def test_a_circle_of_rounds_ends() -> None:
    assert lineage("b", {"a": "b", "b": "a"}) == ["a", "b"]

"""Adversarial validation and leaks: planted ones are named, honest data are not."""

from pathlib import Path

import numpy as np
import pytest

from audit.conftest import drawing, jpeg
from foldwise.audit.scan import Scan, scan
from foldwise.audit.shift import adversarial, leaks

ROWS = 240
LABELS = [["a", "b", "c"][n % 3] for n in range(ROWS)]
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, bytes]]:
    """Drawings whose class is in the picture: the more blobs, the larger the file."""
    folder = tmp_path_factory.mktemp("honest")
    contents = []
    for n in range(ROWS):
        image = drawing(n, 64)
        if LABELS[n] == "a":  # smooth, so its files are small: honest
            image = (image // 8 + 100).astype(np.uint8)
        contents.append((folder / f"{RNG.integers(1e6):06d}x{n}.jpg", jpeg(image)))
    return contents


def scanned(contents: list[tuple[Path, bytes]]) -> Scan:
    for path, content in contents:
        path.write_bytes(content)
    return scan([str(path) for path, _ in contents], 2)


def looked(found: Scan, labels: list[str], task: str = "multiclass") -> list[str]:
    names = [Path(file).stem for file in found.facts["file"]]
    return [leak["feature"] for leak in leaks(found, labels, task, names)["found"]]


def test_honest_sizes_are_no_leak(honest: list[tuple[Path, bytes]]) -> None:
    found = scanned(honest)
    mean = found.facts["bytes"].groupby(np.array(LABELS)).mean()
    assert mean["a"] < 0.8 * mean["b"]  # the size does tell the label, as the pixels do
    assert looked(found, LABELS) == []


@pytest.mark.parametrize("task", ["multiclass", "regression", "multilabel"])
def test_a_leak_by_file_size(honest: list[tuple[Path, bytes]], task: str) -> None:
    more = {"a": 0, "b": 200, "c": 400}
    contents = [(p, c + bytes(more[label])) for (p, c), label in zip(honest, LABELS, strict=True)]
    words = {"regression": {"a": "0.5", "b": "1", "c": "7"}, "multilabel": {"c": "c|d"}}
    labels = [words.get(task, {}).get(label, label) for label in LABELS]
    assert looked(scanned(contents), labels, task) == ["bytes"]


def test_leaks_by_row_order_and_name(honest: list[tuple[Path, bytes]]) -> None:
    order = np.argsort(LABELS, kind="stable")
    found, labels = scanned([honest[n] for n in order]), sorted(LABELS)
    assert "row order" in looked(found, labels)
    named = [
        (p.with_name(f"{label}{p.stem[:6]}.jpg"), c)
        for (p, c), label in zip(honest, LABELS, strict=True)
    ]
    assert looked(scanned(named), LABELS) == ["prefix of file name"]


def test_too_few_rows_are_said(honest: list[tuple[Path, bytes]]) -> None:
    found = scanned(honest[:3])
    result = leaks(found, LABELS[:3], "multiclass", ["1", "2", "3"])
    assert result["found"] == [] and "skipped" in result
    assert "skipped" in adversarial(found.facts, found.facts)


def test_a_shift_is_found_and_named(honest: list[tuple[Path, bytes]]) -> None:
    facts = scanned(honest).facts
    half = np.arange(ROWS) % 2 == 0
    same = adversarial(facts[half], facts[~half])
    assert same["interval"][0] < 0.55
    assert (same["rows"], same["of_rows"]) == (ROWS, ROWS)
    lighter = facts[~half].assign(red=facts["red"] + 60)
    moved = adversarial(facts[half], lighter)
    assert moved["interval"][0] > max(same["auc"], 0.6)
    assert moved["features"][0]["feature"] == "red"


def test_a_sample_is_said(
    honest: list[tuple[Path, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foldwise.audit.shift.ROWS", 100)
    found = scanned(honest)
    assert adversarial(found.facts[:150], found.facts[150:])["rows"] == 100
    result = leaks(found, LABELS, "multiclass", LABELS)
    assert (result["rows"], result["of_rows"]) == (100, ROWS)

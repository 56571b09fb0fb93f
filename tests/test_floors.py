"""floors.py: which environments run.sh may use instead of .venv."""

import itertools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from foldwise import floors

SCRIPT = Path(floors.__file__)
ROOT = SCRIPT.parents[2]


def project(folder: Path, *dependencies: str, python: str = ">=3.11") -> Path:
    path = folder / "pyproject.toml"
    path.write_text(
        f'[project]\nrequires-python = "{python}"\ndependencies = {[*dependencies]!r}\n'
    )
    return path


@pytest.fixture
def installed(monkeypatch):
    """A dict of the versions that the environment is made to have."""
    versions: dict[str, str | None] = {}

    def version(name: str) -> str | None:
        try:
            return versions[name]
        except KeyError:
            raise floors.metadata.PackageNotFoundError(name) from None

    monkeypatch.setattr(floors.metadata, "version", version)
    return versions


@pytest.mark.parametrize(
    ("requirement", "expected"),
    [
        ("torch>=2.10", ("torch", "2.10")),
        ("kaggle>=2.2.4,<2.3", ("kaggle", "2.2.4")),
        ("kaggle <2.3, >= 2.2.4", ("kaggle", "2.2.4")),
        ("scikit-learn", ("scikit-learn", "")),
        ("ruamel.yaml[jinja2]>=0.18", ("ruamel.yaml", "0.18")),
    ],
)
def test_parse(requirement, expected):
    assert floors.parse(requirement) == expected


@pytest.mark.parametrize(
    ("found", "meets"),
    [
        ("2.10", True),
        ("2.10.0", True),
        ("2.10.0+cu128", True),
        ("2.15.1", True),
        ("3.0.0rc1", True),
        ("10.0", True),
        ("2.9.1", False),
        ("2.4.0+cpu", False),
        ("1.13", False),
    ],
)
@pytest.mark.parametrize("floor", ["2.10", "2.10.0"])
def test_versions_are_compared_by_their_numbers(tmp_path, installed, found, meets, floor):
    installed["torch"] = found
    lines = floors.unmet(project(tmp_path, f"torch>={floor}"))
    assert lines == ([] if meets else [f"torch>={floor} wanted, {found} found"])


def test_every_unmet_floor_has_its_line(tmp_path, installed):
    installed |= {"torch": "2.4.0", "timm": "1.0.26", "tqdm": None}
    path = project(tmp_path, "torch>=2.10", "timm>=1.0.26", "pandas>=2.3", "tqdm", python=">=99.1")
    python = ".".join(map(str, sys.version_info[:3]))
    assert floors.unmet(path) == [
        f"python>=99.1 wanted, {python} found",
        "torch>=2.10 wanted, 2.4.0 found",
        "pandas>=2.3 wanted, none found",
        "tqdm wanted, none found",
    ]


@pytest.mark.parametrize("name", floors.OPENCV)
def test_any_opencv_will_do(tmp_path, installed, name):
    path = project(tmp_path, "opencv-python-headless>=4.13.0.90")
    installed[name] = "4.12.0.88"
    assert floors.unmet(path) == ["opencv-python-headless>=4.13.0.90 wanted, 4.12.0.88 found"]
    installed[name] = "5.0.0.93"
    assert floors.unmet(path) == []


def run(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, path], capture_output=True, text=True)


def test_as_a_script(tmp_path):
    met = run(project(tmp_path, "pytest>=1"))
    assert (met.returncode, met.stdout, met.stderr) == (0, "", "")
    unmet = run(project(tmp_path, "pytest>=999", "no-such-package>=1"))
    assert unmet.returncode == 1
    assert unmet.stdout.splitlines() == [
        f"pytest>=999 wanted, {pytest.__version__} found",
        "no-such-package>=1 wanted, none found",
    ]


def test_the_projects_own_environment_meets_the_floors():
    result = run(ROOT / "pyproject.toml")
    assert (result.returncode, result.stdout) == (0, "")


def test_the_pins_meet_the_floors():
    pins = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / "requirements.txt").read_text(), re.M))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    for requirement in itertools.chain(project["dependencies"], *extras):
        name, floor = floors.parse(requirement)
        assert floors.release(pins[name]) >= floors.release(floor), requirement

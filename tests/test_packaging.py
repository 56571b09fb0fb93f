"""The floors of pyproject.toml are promises: all of it runs where they are just met."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from foldwise import floors

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


def run(*command: object, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=inherited | {"NO_ALBUMENTATIONS_UPDATE": "1", "PYTHONPATH": str(ROOT / "src")} | env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def available(python: Path, name: str) -> list[str]:
    """The final versions that the package index has for this Python, oldest first."""
    output = run(python, "-m", "pip", "index", "versions", name).stdout
    line = re.search(r"^Available versions: (.*)$", output, re.MULTILINE)
    versions = line[1].split(", ") if line else []
    return sorted((v for v in versions if re.fullmatch(r"[\d.]+", v)), key=floors.release)


def at_floor(python: Path, requirement: str) -> str:
    """The requirement pinned to its floor, or to the next version that there still is."""
    name, floor = floors.parse(requirement)
    if not floor or name == "torchvision":  # each torch has its own torchvision: pip finds it
        return requirement
    newer = (v for v in available(python, name) if floors.release(v) >= floors.release(floor))
    version = next(newer, None)
    assert version, f"the index has no {requirement} for Python {sys.version.split()[0]}"
    return f"{name}=={version}"


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of an environment at the floors."""
    folder = tmp_path_factory.mktemp("floors")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin/python"
    if not available(python, "torch"):
        pytest.skip("no package index is reachable")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["kaggle"]
    pins = [at_floor(python, requirement) for requirement in wanted]
    print("floors:", *pins)
    installed = run(python, "-m", "pip", "install", "--quiet", *pins, "pytest")
    assert installed.returncode == 0, installed.stdout
    return python


def test_run_sh_uses_it(python):
    result = run(ROOT / "run.sh", "help", VIRTUAL_ENV=str(python.parents[1]))
    assert (result.returncode, "run.sh:" in result.stdout) == (0, False), result.stdout


def test_training(python, tmp_path):
    command = (python, "-P", "-m", "foldwise", "train", "competition=digits", "debug=true")
    result = run(*command, cwd=tmp_path, FOLDWISE_HOME=str(tmp_path))
    assert result.returncode == 0, result.stdout
    assert (tmp_path / "oof/digits-default-debug/scores.json").exists()


def test_the_default_tests(python):
    command = (python, "-m", "pytest", "-m", "not slow", "-x", "-p", "no:cacheprovider")
    result = run(*command)
    assert result.returncode == 0, result.stdout

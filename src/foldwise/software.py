"""What a run was made with, for its environment.json."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# What shapes the result; OpenCV is installed under one of several names.
PACKAGES = {
    **{name: (name,) for name in ("torch", "torchvision", "timm", "numpy", "pandas", "scipy")},
    **{name: (name,) for name in ("scikit-learn", "pyarrow", "albumentations", "omegaconf")},
    "opencv": (
        *("opencv-python-headless", "opencv-python"),
        *("opencv-contrib-python-headless", "opencv-contrib-python"),
    ),
}


def software() -> dict[str, str]:
    """Versions of what shapes the result ('?': not installed), and the commit of the code."""
    facts = {"python": platform.python_version()}
    for package, names in PACKAGES.items():
        facts[package] = next(filter(None, map(_version, names)), "?")
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        facts["commit"] = done.stdout.strip()
    except (OSError, subprocess.SubprocessError):  # no git, or no clone: nothing depends on it
        facts["commit"] = ""
    return facts


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""

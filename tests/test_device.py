"""What is switched for the whole process."""

import platform
import subprocess
import sys

import pytest

from helpers import CLONE

FAULTS = """
import resource, torch
from foldwise.config import Train
from foldwise.device import prepare

prepare(Train(), torch.device("cpu"))
for _ in range(5):  # 128 MB: four times what glibc keeps by itself
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.zeros(2**25)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are not asked")
def test_memory_is_not_taken_from_the_system_twice() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FAULTS],
        env={"PYTHONPATH": str(CLONE / "src")}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    first, *others = map(int, ended.stdout.split())
    assert min(others) < first / 10

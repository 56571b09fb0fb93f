"""The device, its precision, and the seeds."""

import ctypes
import gc
import os
import platform
import resource
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch

from foldwise.config import Train
from foldwise.errors import UsageError

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # glibc's numbers, from malloc.h


def pick_device(name: str) -> torch.device:
    """`train.device` as a device; auto: CUDA, then MPS, then the CPU. Raises UsageError."""
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(kind for kind, usable in there.items() if usable)
    if not there[name]:
        found = ", ".join(kind for kind, usable in there.items() if usable)
        raise UsageError(f"train.device={name} is not on this machine; there is {found}")
    return torch.device(name)


def automatic_precision(device: torch.device) -> str:
    """bf16 where the chip computes in it, fp16 on older GPUs, otherwise fp32."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"
    if device.type == "cpu":
        flags = _processor_flags()
        return "bf16" if flags & {"amx_bf16", "avx512_bf16", "bf16"} else "fp32"
    return "fp32"


def _processor_flags() -> set[str]:
    """The processor's features as Linux names them (Arm's bf16 too); none where it does not say."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    return {w for line in lines if line.startswith(("flags", "Features")) for w in line.split()}


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """The context in which the forward pass runs."""
    if precision == "fp32":
        return nullcontext()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    return torch.autocast(device.type, dtype)


def prepare(settings: Train, device: torch.device) -> None:
    """Process-wide switches: for speed, or for the same bytes every time."""
    torch.use_deterministic_algorithms(settings.deterministic)
    if device.type == "cpu":
        keep_memory()
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = not settings.deterministic
        torch.set_float32_matmul_precision("highest" if settings.deterministic else "high")
        if settings.deterministic:  # cuBLAS reads it when it starts, which is later than this
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def keep_memory() -> None:
    """Memory that is freed stays with the process, where the C library lets us ask for that.

    Large blocks would go back to the system at once, which gives them again page by page, zeroed:
    at 224 pixels that costs more than normalising a batch. Not where the address space is limited
    (ulimit -v): what is kept can then not be used for anything else.
    """
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        return
    ask = getattr(ctypes.CDLL(None), "mallopt", None)
    if ask is not None:
        ask(M_MMAP_MAX, 0)
        ask(M_TRIM_THRESHOLD, 2**31 - 1)


def give_memory_back(device: torch.device) -> None:
    """Return what is free to the system, or to the GPU, after it had no more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def seed_for(*key: int) -> int:
    """A 63-bit seed from (seed, fold, epoch, step …): near keys give unrelated seeds."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)


def describe(device: torch.device) -> dict[str, str | int]:
    """The machine, for environment.json."""
    facts: dict[str, str | int] = {
        "device": device.type,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
    }
    if device.type == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(device)
    return facts

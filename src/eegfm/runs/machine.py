"""The machine, packages and commit that a run was made with, and the memory it took."""

import os
import platform
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from eegfm.version import __version__


def environment() -> dict[str, Any]:
    """The facts about code and machine that a result records, as `RunResult`'s fields of the same names.

    `git` is {"commit", "dirty"} of the checkout that this code was imported from; both are None without one
    (an installed wheel, no git). Untracked files also make it dirty. `packages` are the installed versions
    of our direct dependencies. `finished_at` is UTC.
    """
    return {
        "machine": _machine(),
        "python": platform.python_version(),
        "packages": _packages(),
        "git": _git(),
        "command": shlex.join(["python", *sys.orig_argv[1:]]),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def peak_memory_mb() -> dict[str, float]:
    """The most memory that this process has held, in MB (10^6 bytes): "host", and "gpu" if it used one.

    "gpu" is what torch allocated for tensors; the driver and the allocator's cache take more.
    """
    peak: dict[str, float] = {}
    try:  # on Linux getrusage's maximum is wrong: a child starts with its parent's
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        peak["host"] = int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024 / 1e6
    except (OSError, IndexError):
        if sys.platform == "darwin":
            import resource

            peak["host"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes, on macOS
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        peak["gpu"] = (
            max(torch.cuda.max_memory_allocated(i) for i in range(torch.cuda.device_count())) / 1e6
        )
    return {name: round(value, 1) for name, value in peak.items()}


def _machine() -> dict[str, Any]:
    torch = sys.modules.get("torch")
    has_gpu = torch is not None and torch.cuda.is_available()
    return {
        "system": platform.platform(),
        "processor": platform.machine(),
        "cpus": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch is not None and has_gpu else None,
    }


def _packages() -> dict[str, str]:

    try:
        wanted = [
            r for r in metadata.requires("eegfm") or [] if "extra == 'dev'" not in r.replace('"', "'")
        ]
    except metadata.PackageNotFoundError:  # run from a bare source tree
        wanted = ["torch", "lightning", "hydra-core", "numpy", "scipy", "scikit-learn", "mne", "lmdb"]
    versions = {"eegfm": __version__}
    # granite-tsfm: installed beside us, since its own pins exclude current torch
    for name in sorted({re.split(r"[^A-Za-z0-9._-]", r)[0] for r in wanted} | {"granite-tsfm"}):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # an extra that is not installed
    return versions


def _git() -> dict[str, Any]:
    here = Path(__file__).resolve()
    # a wheel inside another project's checkout (its .venv) must not take that project's commit for ours
    if _git_says("ls-files", "--error-unmatch", here.name) is None:
        return {"commit": None, "dirty": None}
    changes = _git_says("status", "--porcelain")
    return {
        "commit": _git_says("rev-parse", "--verify", "HEAD"),
        "dirty": None if changes is None else bool(changes),
    }


def _git_says(*arguments: str) -> str | None:
    """Git's answer about the checkout of this file; None if git is absent, refuses, or does not know."""
    try:
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).resolve().parent), *arguments],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()

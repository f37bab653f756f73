"""Examine cores, memory, disks and folders."""

import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from eegfm.commands.examining.screen import GB, LITTLE, Row, Verdict, read_text
from eegfm.runs.machine import environment
from eegfm.version import __version__


def machine() -> Iterator[Row]:
    """Rows about eegfm, Python, the system, CPU and memory."""
    git = environment()["git"]
    commit = f", commit {git['commit'][:8]}{' with changes' * bool(git['dirty'])}" if git["commit"] else ""
    yield Row("machine", "eegfm", f"{__version__}{commit}", facts={"version": __version__, **git})
    python = platform.python_version()
    yield Row(
        "machine",
        "Python",
        f"{python} ({platform.python_implementation()})",
        facts={"version": python, "implementation": platform.python_implementation()},
    )
    system = platform.platform()
    yield Row(
        "machine",
        "system",
        f"{system}, {platform.machine()}",
        facts={"platform": system, "machine": platform.machine()},
    )
    import joblib
    import psutil

    # usable: as many as the affinity and the container's quota allow
    threads, usable, cores = psutil.cpu_count(), joblib.cpu_count(), psutil.cpu_count(logical=False)
    found = f"{cores} cores, {threads} threads" if cores else f"{threads} threads"
    yield Row(
        "machine",
        "CPU",
        f"{found}{'' if usable == threads else f', {usable} of them for this process'}",
        facts={"cores": cores, "threads": threads, "usable": usable},
    )
    total, available = memory()
    yield Row(
        "machine",
        "memory",
        f"{total / GB:.1f} GB, {available / GB:.1f} GB available",
        facts={"total_bytes": total, "available_bytes": available},
    )


def memory() -> tuple[int, int]:
    """Total and available bytes; those of the container if it has a limit, which psutil does not look at."""
    import psutil

    total, available, *_ = psutil.virtual_memory()
    limit, used = (read_text(f"/sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current"))
    if limit.isdigit() and used.isdigit() and int(limit) < total:
        return int(limit), min(available, int(limit) - int(used))
    return total, available


WHAT = {"raw": "raw files", "weights": "weights", "cache": "stores", "runs": "runs"}


def folders() -> Iterator[Row]:
    """Rows about the folders of conf/paths.yaml: free room, and whether one may write there. Leaves nothing behind."""
    from eegfm.config.schema import configured_paths  # Hydra, which may be missing

    for key, place in configured_paths().items():
        folder = Path(place)
        existing = folder.absolute()
        while not existing.is_dir() and existing != existing.parent:
            existing = existing.parent
        free = shutil.disk_usage(existing).free
        writable = _is_writable(existing)
        found = f"{place}: {free / GB:,.1f} GB free"
        found += "" if folder.is_dir() else ", will be made when needed" if writable else ", does not exist"
        variable = f"EEGFM_{'DATA' if key == 'raw' else key.upper()}"
        facts = {"path": place, "exists": folder.is_dir(), "free_bytes": free, "writable": writable}
        verdict: Verdict = "ok"
        remedy = ""
        if not writable:
            # only downloads write raw files and weights
            verdict = "off" if key in ("cache", "runs") else "warning"
            found += ", not writable"
            remedy = f"export {variable}=<a folder that you may write to>"
        elif free < LITTLE:
            verdict = "warning"
            remedy = f"export {variable}=<a folder on a disk with more room>"
        yield Row("folders", WHAT.get(key, key), found, verdict, remedy, facts)


def _is_writable(folder: Path) -> bool:
    try:  # os.access() does not know of quotas or of what a network disk's server refuses
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False

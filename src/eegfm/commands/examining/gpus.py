"""Examine torch, the GPUs and the compiled kernels."""

import importlib
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence

from eegfm.commands.examining.packages import torch_wanted, version_of
from eegfm.commands.examining.screen import GB, Row, first_line, output_of, pip
from eegfm.nn.mamba2 import INSTALL, KERNELS


def torch_and_gpus() -> Iterator[Row]:
    """Rows about torch, its threads, and every GPU; a small sum is computed on each."""
    import joblib
    import torch

    cuda, hip = torch.version.cuda, getattr(torch.version, "hip", None)
    built = f"CUDA {cuda}" if cuda else f"ROCm {hip}" if hip else "CPU only"
    yield Row(
        "torch",
        "torch",
        f"{torch.__version__}, built for {built}",
        facts={"version": torch.__version__, "cuda": cuda, "rocm": hip},
    )
    threads, usable, variable = (
        torch.get_num_threads(),
        joblib.cpu_count(),
        os.environ.get("OMP_NUM_THREADS"),
    )
    crowded = threads > usable
    yield Row(
        "torch",
        "threads",
        f"{threads} for {usable} CPUs{f' (OMP_NUM_THREADS={variable})' if variable else ''}"
        + ": more threads than CPUs wait for one another" * crowded,
        "warning" if crowded else "ok",
        f"export OMP_NUM_THREADS={usable}" if crowded else "",
        {"threads": threads, "usable": usable, "OMP_NUM_THREADS": variable},
    )
    listed = gpus_of_the_driver()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a driver that is too old; a row below tells it
        n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for i in range(n_gpus):
        yield _gpu(i, listed)
    if n_gpus:
        yield _compiler()
    elif listed:
        yield _unused(listed)
    elif torch.backends.mps.is_available():
        yield Row("torch", "GPU", "Apple's (mps)", facts={"mps": True})
    else:
        yield Row("torch", "GPU", "none; everything runs on the CPU", "absent")


def _gpu(i: int, listed: Sequence[dict[str, str]]) -> Row:
    import torch

    card = torch.cuda.get_device_properties(i)
    driver = listed[0]["driver"] if listed else None
    capability = f"{card.major}.{card.minor}"
    facts = {
        "name": card.name,
        "memory_bytes": card.total_memory,
        "capability": capability,
        "driver": driver,
        "built_for": torch.cuda.get_arch_list(),
    }
    found = f"{card.name}, {card.total_memory / GB:.0f} GB, compute capability {capability}"
    found += f", driver {driver}" if driver else ""
    try:
        assert torch.ones(8, device=f"cuda:{i}").sum().item() == 8
    except (RuntimeError, AssertionError) as error:
        # the GPU is reserved by another process, torch has no code for it, or it is broken
        built = " ".join(facts["built_for"])
        return Row(
            "torch",
            f"GPU {i}",
            f"{found}: does not compute ({first_line(error)}; torch has code for {built})",
            "warning",
            "eegfm train trainer=cpu ...  avoids it; for another torch: https://pytorch.org/get-started/locally",
            {**facts, "works": False},
        )
    return Row("torch", f"GPU {i}", found, facts={**facts, "works": True})


def _unused(listed: Sequence[dict[str, str]]) -> Row:
    """A row about a GPU that the driver lists and torch cannot use, with the reason."""
    import torch

    found = f"{listed[0]['name']}, driver {listed[0]['driver']}, but torch cannot use it: "
    facts = {"name": listed[0]["name"], "driver": listed[0]["driver"], "works": False}
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden in ("", "-1", "NoDevFiles"):
        why, remedy = f"CUDA_VISIBLE_DEVICES={hidden}", "unset CUDA_VISIBLE_DEVICES"
    elif torch.version.cuda is None:
        why = "it is built for the CPU only"
        remedy = f"{pip()} uninstall -y torch && {pip()} install {torch_wanted()}"
    else:
        why = "no reason given"
        try:
            torch.cuda.init()
        except (RuntimeError, AssertionError) as error:
            why = first_line(error)
        remedy = (
            f"a driver for CUDA {torch.version.cuda} (https://www.nvidia.com/drivers), "
            "or a torch for this driver (https://pytorch.org/get-started/locally)"
        )
    return Row("torch", "GPU", found + why, "warning", remedy, {**facts, "why": why})


def _compiler() -> Row:
    """A row about what torch.compile needs on a GPU: Triton and a C compiler."""
    compiler = os.environ.get("CC") or next(filter(shutil.which, ("cc", "gcc", "clang")), None)
    triton = version_of("triton")
    facts = {"triton": triton, "compiler": compiler}
    if triton and compiler:
        return Row("torch", "torch.compile", f"Triton {triton}, {compiler}", facts=facts)
    lacks = " and ".join(["Triton"] * (not triton) + ["a C compiler"] * (not compiler))
    remedy = f"{pip()} install triton" if not triton else "apt-get install gcc  (or module load gcc)"
    found = f"without {lacks}: scans run uncompiled"
    return Row("torch", "torch.compile", found, "warning", remedy, facts)


def gpus_of_the_driver() -> list[dict[str, str]]:
    """The GPUs that NVIDIA's driver lists, whether torch can use them or not."""
    output = output_of("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    rows = [line.rpartition(", ") for line in output.splitlines() if ", " in line]
    return [{"name": name, "driver": driver} for name, _, driver in rows]


def kernels() -> Iterator[Row]:
    """Rows about mamba-ssm and causal-conv1d: whether they can be imported, or why not. They need an NVIDIA GPU."""
    import torch

    on_gpu = torch.cuda.is_available()
    for module in KERNELS:
        name = module.partition(".")[0].replace("_", "-")
        version, why = version_of(name), None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                importlib.import_module(module)
        except Exception as error:  # absent, built for another torch, no driver, or a wrong Triton
            why = first_line(error)
        facts = {"version": version, "importable": why is None, "why": why}
        if why is None:
            yield Row("kernels", name, f"{version}, can be imported", facts=facts)
            continue
        found = "not installed" if version is None else f"{version}, cannot be imported ({why})"
        if on_gpu:
            remedy = INSTALL.replace("pip", pip(), 1)
            yield Row("kernels", name, f"{found}; the chunked form runs instead", "warning", remedy, facts)
        else:
            yield Row("kernels", name, f"{found}; useful only on an NVIDIA GPU", "absent", "", facts)

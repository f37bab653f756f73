"""`eegfm doctor`: what this machine has, which way each model will be computed here, and what repairs what is missing.

Exit status 1 when something required is missing or broken. Nothing is downloaded, and no network is asked. `--json`
prints the same facts for a bug report, without home folder, user name or keys.

It has to answer where something is broken, so nothing but the standard library is imported before it is looked at, and
the screen is plain text. Required packages with compiled parts are imported; the others, of which some take seconds to
load, are looked up.
"""

import argparse
import getpass
import importlib
import json
import logging
import netrc
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
import tomllib
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from packaging.requirements import Requirement

Verdict = Literal["ok", "absent", "warning", "off"]
MARK = {"ok": "ok", "absent": "–", "warning": "warn", "off": "OFF"}
WIDTH = 80
GB = 1e9
LITTLE = 2 * GB  # a store of the smaller benchmarks, and the checkpoints of some runs

# Import names that are not the distribution's with _ for -
MODULE = {
    "hydra-core": "hydra",
    "scikit-learn": "sklearn",
    "chronos-forecasting": "chronos",
    "pytest-xdist": "xdist",
    "hydra-submitit-launcher": "hydra_plugins.hydra_submitit_launcher",
    "import-linter": "importlinter",
}
# Required packages with compiled parts that load within a fraction of a second; a wheel for another Python, numpy or
# system shows here and nowhere else.
IMPORTED = ("numpy", "torch", "scipy", "h5py", "lmdb", "safetensors")
WANDB = ("api.wandb.ai", "api.forge.coreweave.com")  # until and since wandb 0.31


@dataclass(frozen=True)
class Row:
    """One thing that was looked at. "absent" is optional and not there; `remedy` is what to type.

    `facts` are the same for programs.
    """

    section: str
    name: str
    found: str
    verdict: Verdict = "ok"
    remedy: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def main(argv: Sequence[str] | None = None) -> None:
    """The door."""
    parser = argparse.ArgumentParser(prog="eegfm doctor", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument(
        "--json", action="store_true", help="print the same facts as JSON, for a bug report"
    )
    options = parser.parse_args(argv)
    rows = examine()
    print(as_json(rows) if options.json else as_text(rows))
    if any(row.verdict == "off" for row in rows):
        raise SystemExit(1)


def examine() -> list[Row]:
    """Everything that was looked at, in the order of the screen."""
    rows: list[Row] = []
    sections: dict[str, Callable[[], Iterator[Row]]] = {
        "machine": machine,
        "packages": packages,
        "folders": folders,
        "torch": torch_and_gpus,
        "kernels": kernels,
        "models": models,
        "encoders": encoders,
        "logging": wandb,
    }
    for section, look in sections.items():
        try:
            rows.extend(look())
        except Exception as error:  # whatever it is that is broken here, the other sections have their say
            found = f"cannot be looked at ({type(error).__name__}: {_line(error)})"
            known = any(row.verdict == "off" for row in rows)
            report = "eegfm doctor --json  (and report what it prints: this should not happen)"
            remedy = "Repair the packages above first." if known else report
            rows.append(Row(section, section, found, "off", remedy))
    return rows


# ---- the machine -----------------------------------------------------------------------------------------------------


def machine() -> Iterator[Row]:
    """Python, system, CPU and memory."""
    from eegfm import __version__
    from eegfm.results import environment

    git = environment()["git"]
    at = f", commit {git['commit'][:8]}{' with changes' * bool(git['dirty'])}" if git["commit"] else ""
    yield Row("machine", "eegfm", f"{__version__}{at}", facts={"version": __version__, **git})
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
    threads, usable, cores = os.cpu_count() or 1, usable_cpus(), physical_cores()
    said = f"{cores} cores, {threads} threads" if cores else f"{threads} threads"
    yield Row(
        "machine",
        "CPU",
        f"{said}{'' if usable == threads else f', {usable:g} of them for this process'}",
        facts={"cores": cores, "threads": threads, "usable": usable},
    )
    total, available = memory()
    if total is not None:
        free = "" if available is None else f", {available / GB:.1f} GB available"
        facts = {"total_bytes": total, "available_bytes": available}
        yield Row("machine", "memory", f"{total / GB:.1f} GB{free}", facts=facts)


def usable_cpus() -> float:
    """CPUs that this process may use: those of its affinity, or of the container's quota where that is less."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _read("/sys/fs/cgroup/cpu.max").partition(" ")
    return min(count, int(quota) / int(period)) if quota.isdigit() and period.strip().isdigit() else count


def physical_cores() -> int | None:
    """Cores without hyperthreads; None where the system does not say."""
    if sys.platform == "darwin":
        said = _says("sysctl", "-n", "hw.physicalcpu")
        return int(said) if said else None
    packages = re.findall(r"^physical id\s*: (\d+)", _read("/proc/cpuinfo"), flags=re.MULTILINE)
    cores = re.findall(r"^core id\s*: (\d+)", _read("/proc/cpuinfo"), flags=re.MULTILINE)
    return len(set(zip(packages, cores, strict=False))) or None


def memory() -> tuple[int | None, int | None]:
    """Bytes in all and available, those of the container where it is limited; None where the system does not say."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return None, None
    free = re.search(r"MemAvailable:\s+(\d+) kB", _read("/proc/meminfo"))
    available = int(free[1]) * 1024 if free else None
    limit, used = (_read(f"/sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current"))
    if limit.isdigit() and used.isdigit() and int(limit) < total:
        rest = int(limit) - int(used)
        return int(limit), rest if available is None else min(available, rest)
    return total, available


# ---- packages --------------------------------------------------------------------------------------------------------


def packages() -> Iterator[Row]:
    """What pyproject.toml asks for against what is installed: a row for all that is well, one for each that is not."""
    try:
        from packaging.specifiers import SpecifierSet  # comes with lightning
    except ImportError as error:
        found = f"no version can be compared without it ({error})"
        yield Row("packages", "packaging", found, "off", f"{_pip()} install packaging")
        return
    wanted = _requires_python()
    if wanted and platform.python_version() not in SpecifierSet(wanted, prereleases=True):
        remedy = "make clean setup PYTHON=python3.12" if _is_checkout() else "python3.12 -m venv .venv"
        yield Row("packages", "Python", f"{platform.python_version()}, wanted {wanted}", "off", remedy)
    for extra, requirements in wanted_packages().items():
        good: dict[str, dict[str, Any]] = {}
        bad: list[tuple[Requirement, dict[str, Any]]] = []
        for requirement in requirements:
            name = requirement.name
            version = _version(name)
            fault = _fault(requirement, version, importing=not extra)
            facts = {"version": version, "wanted": str(requirement.specifier), "fault": fault}
            if fault is None:
                good[name] = facts
            else:
                bad.append((requirement, facts))
        title = f"[{extra}]" if extra else "required"
        listed = f"{len(good)} of {len(requirements)}"
        if not requirements:
            yield Row("packages", title, "not for this system", "absent")
            continue
        lacking = [requirement for requirement, facts in bad if facts["version"] is None]
        listed += ": " + ", ".join(f"{n} {f['version'] or '?'}" for n, f in good.items()) if good else ""
        if extra and lacking:
            listed += f"; without {', '.join(requirement.name for requirement in lacking)}"
        # an extra is a choice; nobody needs to be told how to develop us who has no checkout, and the kernels of mamba
        # cannot be built where there is no GPU (where there is one, a row of theirs has the command)
        is_absent = bool(extra and lacking)
        told = is_absent and extra != "mamba" and (extra != "dev" or _is_checkout())
        remedy = _install(lacking, extra) if told else ""
        facts = good | {requirement.name: faulty for requirement, faulty in bad}
        yield Row("packages", title, listed, "absent" if is_absent else "ok", remedy, facts)
        for requirement, facts in bad:
            if extra and facts["version"] is None:
                continue
            found = f"{facts['version'] or ''} {facts['fault']}, wanted {requirement.specifier}".strip()
            yield Row(
                "packages",
                requirement.name,
                found,
                "warning" if extra else "off",
                _install([requirement], extra, again="import" in facts["fault"]),
                facts,
            )


def wanted_packages() -> dict[str, list["Requirement"]]:
    """Requirements that hold on this system, by extra; those without an extra under "".

    Of the checkout's pyproject.toml, which may be newer than what `pip install -e` has noted, else of the wheel.
    """
    from packaging.requirements import Requirement

    project = _project()
    if project:
        texts = {"": project["dependencies"], **project["optional-dependencies"]}
        found = {extra: [Requirement(text) for text in listed] for extra, listed in texts.items()}
        return {
            extra: [r for r in listed if r.marker is None or r.marker.evaluate()]
            for extra, listed in found.items()
        }
    listed = [Requirement(text) for text in metadata.requires("eegfm") or []]
    extras = metadata.metadata("eegfm").get_all("Provides-Extra") or []
    core = [r for r in listed if r.marker is None or r.marker.evaluate({"extra": ""})]
    chosen = {
        extra: [r for r in listed if r.marker and r.marker.evaluate({"extra": extra}) and r not in core]
        for extra in extras
    }
    return {"": core, **chosen}


def module_of(distribution: str) -> str:
    """What is imported of a distribution."""
    return MODULE.get(distribution, distribution.replace("-", "_"))


def _fault(requirement: "Requirement", version: str | None, *, importing: bool) -> str | None:
    """Why an installed package does not do; None if it does."""
    from packaging.specifiers import SpecifierSet

    name = requirement.name
    if version is not None and not requirement.specifier.contains(version, prereleases=True):
        for specifier in requirement.specifier:
            if not SpecifierSet(str(specifier)).contains(version, prereleases=True):
                low, high = specifier.operator in (">=", ">", "~="), specifier.operator in ("<=", "<")
                return "too old" if low else "too new" if high else "excluded"
    try:
        if util.find_spec(module_of(name)) is None:
            return "missing" if version is None else f"cannot be imported (no module {module_of(name)})"
        if importing and name in IMPORTED:
            importlib.import_module(module_of(name))
    except Exception as error:  # a broken package raises what it likes
        return "missing" if version is None else f"cannot be imported ({_line(error)})"
    return None


def _install(requirements: Sequence["Requirement"], extra: str, *, again: bool = False) -> str:
    wanted = " ".join(shlex.quote(f"{r.name}{r.specifier}") for r in requirements)
    # the builds of mamba's packages look at the torch that is installed
    options = (
        " --no-build-isolation" if extra == "mamba" else " --force-reinstall --no-deps" if again else ""
    )
    return f"{_pip()} install{options} {wanted}"


def _torch_wanted() -> str:
    return next(shlex.quote(f"{r.name}{r.specifier}") for r in wanted_packages()[""] if r.name == "torch")


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _requires_python() -> str | None:
    project = _project()
    if project:
        return project["requires-python"]
    return metadata.metadata("eegfm")["Requires-Python"]


def _project() -> dict[str, Any]:
    """The [project] table of the checkout that this file is in; empty for an installed wheel."""
    path = Path(__file__).resolve().parents[3] / "pyproject.toml"
    if not path.is_file():
        return {}
    project = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {})
    return project if project.get("name") == "eegfm" else {}


def _is_checkout() -> bool:
    return bool(_project())


# ---- folders ---------------------------------------------------------------------------------------------------------

WHAT = {"raw": "raw files", "weights": "weights", "cache": "stores", "runs": "runs"}


def folders() -> Iterator[Row]:
    """The folders of conf/paths.yaml: how much room, and whether a file can be made there. None is made or left."""
    for key, place in _paths().items():
        folder = Path(place)
        there = folder.absolute()
        while not there.is_dir() and there != there.parent:
            there = there.parent
        free = shutil.disk_usage(there).free
        writable = _is_writable(there)
        found = f"{place}: {free / GB:,.1f} GB free"
        found += "" if folder.is_dir() else ", made when it is needed" if writable else ", not there"
        variable = f"EEGFM_{'DATA' if key == 'raw' else key.upper()}"
        facts = {"path": place, "exists": folder.is_dir(), "free_bytes": free, "writable": writable}
        verdict: Verdict = "ok"
        remedy = ""
        if not writable:
            # raw files and weights are read; they are written by downloads alone
            verdict = "off" if key in ("cache", "runs") else "warning"
            found += ", not writable"
            remedy = f"export {variable}=<a folder that you may write to>"
        elif free < LITTLE:
            verdict = "warning"
            remedy = f"export {variable}=<a folder on a disk with more room>"
        yield Row("folders", WHAT.get(key, key), found, verdict, remedy, facts)


def _is_writable(folder: Path) -> bool:
    try:  # access() says yes where a quota or the server of a network disk says no
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _paths() -> dict[str, str]:
    from omegaconf import OmegaConf

    from eegfm.build import config_dir

    found = OmegaConf.to_container(OmegaConf.load(config_dir() / "paths.yaml"), resolve=True)
    assert isinstance(found, dict)
    return {str(key): str(value) for key, value in found.items()}


# ---- torch and the GPUs ----------------------------------------------------------------------------------------------


def torch_and_gpus() -> Iterator[Row]:
    """torch, its threads, and every GPU, with which something is computed."""
    import torch

    cuda, hip = torch.version.cuda, getattr(torch.version, "hip", None)
    built = f"CUDA {cuda}" if cuda else f"ROCm {hip}" if hip else "CPU only"
    yield Row(
        "torch",
        "torch",
        f"{torch.__version__}, built for {built}",
        facts={"version": torch.__version__, "cuda": cuda, "rocm": hip},
    )
    threads, usable, asked = torch.get_num_threads(), usable_cpus(), os.environ.get("OMP_NUM_THREADS")
    crowded = threads > max(1, usable)
    yield Row(
        "torch",
        "threads",
        f"{threads} for {usable:g} CPUs{f' (OMP_NUM_THREADS={asked})' if asked else ''}"
        + ": more threads than CPUs wait for one another" * crowded,
        "warning" if crowded else "ok",
        f"export OMP_NUM_THREADS={max(1, int(usable))}" if crowded else "",
        {"threads": threads, "usable": usable, "OMP_NUM_THREADS": asked},
    )
    seen = driver_says()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a driver that is too old; it is said below
        n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for i in range(n_gpus):
        yield _gpu(i, seen)
    if n_gpus:
        yield _compiler()
    elif seen:
        yield _unused(seen)
    elif torch.backends.mps.is_available():
        yield Row("torch", "GPU", "Apple's (mps)", facts={"mps": True})
    else:
        yield Row("torch", "GPU", "none; everything runs on the CPU", "absent")


def _gpu(i: int, seen: Sequence[dict[str, str]]) -> Row:
    import torch

    card = torch.cuda.get_device_properties(i)
    driver = seen[0]["driver"] if seen else None
    capability = f"{card.major}.{card.minor}"
    facts = {
        "name": card.name,
        "memory_bytes": card.total_memory,
        "capability": capability,
        "driver": driver,
        "built_for": torch.cuda.get_arch_list(),
    }
    said = f"{card.name}, {card.total_memory / GB:.0f} GB, compute capability {capability}"
    said += f", driver {driver}" if driver else ""
    try:
        assert torch.ones(8, device=f"cuda:{i}").sum().item() == 8
    except (
        RuntimeError,
        AssertionError,
    ) as error:  # in use by somebody alone; no code for its capability; broken
        built = " ".join(facts["built_for"])
        return Row(
            "torch",
            f"GPU {i}",
            f"{said}: does not compute ({_line(error)}; torch has code for {built})",
            "warning",
            "eegfm train trainer=cpu ...  keeps off it; another torch: https://pytorch.org/get-started/locally",
            {**facts, "works": False},
        )
    return Row("torch", f"GPU {i}", said, facts={**facts, "works": True})


def _unused(seen: Sequence[dict[str, str]]) -> Row:
    """A GPU that the driver knows and torch does not reach."""
    import torch

    said = f"{seen[0]['name']}, driver {seen[0]['driver']}, but torch does not reach it: "
    facts = {"name": seen[0]["name"], "driver": seen[0]["driver"], "works": False}
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden in ("", "-1", "NoDevFiles"):
        why, remedy = f"CUDA_VISIBLE_DEVICES={hidden}", "unset CUDA_VISIBLE_DEVICES"
    elif torch.version.cuda is None:
        why = "it is built for the CPU only"
        remedy = f"{_pip()} uninstall -y torch && {_pip()} install {_torch_wanted()}"
    else:
        why = "no reason given"
        try:
            torch.cuda.init()
        except (RuntimeError, AssertionError) as error:
            why = _line(error)
        remedy = (
            f"a driver for CUDA {torch.version.cuda} (https://www.nvidia.com/drivers), "
            "or a torch for this driver (https://pytorch.org/get-started/locally)"
        )
    return Row("torch", "GPU", said + why, "warning", remedy, {**facts, "why": why})


def _compiler() -> Row:
    """What torch.compile needs on a GPU: Triton, and a C compiler that it calls."""
    compiler = os.environ.get("CC") or next(filter(shutil.which, ("cc", "gcc", "clang")), None)
    triton = _version("triton")
    facts = {"triton": triton, "compiler": compiler}
    if triton and compiler:
        return Row("torch", "torch.compile", f"Triton {triton}, {compiler}", facts=facts)
    lacks = " and ".join(["Triton"] * (not triton) + ["a C compiler"] * (not compiler))
    remedy = f"{_pip()} install triton" if not triton else "apt-get install gcc  (or module load gcc)"
    found = f"without {lacks}: scans run uncompiled"
    return Row("torch", "torch.compile", found, "warning", remedy, facts)


def driver_says() -> list[dict[str, str]]:
    """The GPUs that NVIDIA's driver lists, whatever torch thinks of them."""
    said = _says("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    rows = [line.rpartition(", ") for line in said.splitlines() if ", " in line]
    return [{"name": name, "driver": driver} for name, _, driver in rows]


# ---- what runs where -------------------------------------------------------------------------------------------------


def kernels() -> Iterator[Row]:
    """mamba-ssm and causal-conv1d: there, importable, or why not. They are for NVIDIA GPUs alone."""
    import torch

    from eegfm.nn.mamba2 import INSTALL, KERNELS

    on_gpu = torch.cuda.is_available()
    for module in KERNELS:
        name = module.partition(".")[0].replace("_", "-")
        version, why = _version(name), None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                importlib.import_module(module)
        except Exception as error:  # absent; built for another torch; no driver; a Triton that fits neither
            why = _line(error)
        facts = {"version": version, "importable": why is None, "why": why}
        if why is None:
            yield Row("kernels", name, f"{version}, can be imported", facts=facts)
            continue
        found = "not installed" if version is None else f"{version}, cannot be imported ({why})"
        if on_gpu:
            remedy = INSTALL.replace("pip", _pip(), 1)
            yield Row("kernels", name, f"{found}; the chunked form runs instead", "warning", remedy, facts)
        else:
            yield Row("kernels", name, f"{found}; of use on an NVIDIA GPU alone", "absent", "", facts)


def models(folder: Path | None = None) -> Iterator[Row]:
    """Which way the Mamba-2 layers of every model=<name> take on the device that trainer=auto chooses, and why."""
    import torch

    from eegfm.nn.mamba2 import Mamba2

    on_gpu, on_mac = torch.cuda.is_available(), torch.backends.mps.is_available()
    device = "cuda" if on_gpu else "mps" if on_mac else "cpu"
    for name, model in _models(folder):
        if isinstance(model, Exception):
            yield Row(
                "models",
                name,
                f"cannot be made here ({_line(model)})",
                "warning",
                f"eegfm train model={name}",
            )
            continue
        layers = [m for m in getattr(model, "modules", list)() if isinstance(m, Mamba2)]
        paths, reasons = set(), set()
        for layer in layers:
            u = torch.empty(1, 1, layer.d_model, device=device)
            try:
                with _silent("eegfm.nn.mamba2"):  # path() warns of what the row says
                    paths.add(layer.path(u))
            except ValueError as error:
                paths.add(f"refused: {error}")
            reasons.add(layer.not_fused(u) if layer.scan in ("auto", "fused") else f"scan={layer.scan}")
        why = "; ".join(sorted(filter(None, reasons)))
        if layers:
            path = " and ".join(sorted(paths))
            found = f"{path} scan on {device}{f': {why}' if why else ''}"
            facts = {"device": device, "paths": sorted(paths), "why": why or None, "layers": len(layers)}
            yield Row("models", name, found, facts=facts)


def _models(folder: Path | None) -> Iterator[tuple[str, Any]]:
    """Every model of the config tree that has Mamba-2 layers, or why it cannot be made."""
    import numpy as np
    from omegaconf import OmegaConf

    from eegfm.build import config_dir, make
    from eegfm.contracts import Montage, SampleSpec

    montage = Montage(tuple(f"E{i}" for i in range(16)), np.zeros((16, 3)))
    for path in sorted((folder or config_dir() / "model").glob("*.yaml")):
        config: Any = OmegaConf.load(path)
        if "scan" not in config.model:  # such models have no Mamba-2, and the others take seconds to import
            continue
        chosen: dict[str, str] = {}
        for node in config.get("defaults", []):
            chosen |= {} if isinstance(node, str) else dict(node)
        encoder = chosen.get("override /encoder", "raw")
        shape = (16, 800) if encoder == "raw" else (16, 4, 64)
        values = OmegaConf.load(config_dir() / "encoder" / f"{encoder}.yaml")
        root = OmegaConf.create({"paths": _paths(), "encoder": values, "model": config.model})
        try:
            yield path.stem, make(root.model, "model")(SampleSpec(montage, shape, 200.0, ("a", "b")))
        except Exception as error:  # one model that cannot be made does not hide the others
            yield path.stem, error


def encoders() -> Iterator[Row]:
    """Every encoder=<name>: its package and its weights, and where these are looked for."""
    from hydra.utils import get_object
    from omegaconf import OmegaConf

    from eegfm.build import config_dir

    for path in sorted((config_dir() / "encoder").glob("*.yaml")):
        node: Any = OmegaConf.create({"paths": _paths(), "encoder": OmegaConf.load(path)}).encoder
        module = sys.modules[getattr(get_object(node._target_), "__module__", "eegfm")]
        package, folder = getattr(module, "PACKAGE", None), node.get("weights")
        if package is None and folder is None:
            yield Row("encoders", path.stem, "needs nothing", facts={"package": None, "weights": None})
            continue
        has_package = package is None or _is_findable(package)
        at, url = _weights(node) if folder else (None, "")
        has_weights = not folder or at is not None
        said = [f"package {package} {'is there' if has_package else 'is missing'}"] * (package is not None)
        said += [f"weights {f'in {at.parent}' if at else f'not in {folder}'}"] * (folder is not None)
        remedies = [] if has_package else [module.INSTALL]
        if not has_weights:
            target = shlex.quote(f"{folder}/{url.rpartition('/')[2]}")
            remedies.append(f"curl -L --create-dirs -o {target} {url}")
        facts = {
            "package": package,
            "has_package": has_package,
            "weights": folder,
            "has_weights": has_weights,
        }
        yield Row(
            "encoders",
            path.stem,
            ", ".join(said),
            "absent" if remedies else "ok",
            "\n".join(remedies),
            facts,
        )


def _weights(node: Any) -> tuple[Path | None, str]:
    """The file that an encoder's config means, where it is there, and where it is published."""
    from hydra.utils import get_object
    from omegaconf import OmegaConf

    from eegfm.encoders.base import published_file

    options: Any = OmegaConf.to_container(node, resolve=True)
    target, folder = get_object(options.pop("_target_")), Path(options["weights"])
    options.pop("seen", None)  # a declaration, which is no argument
    encoder = target(**{**options, "weights": "random"})  # nothing is built yet: it knows its repository
    found = published_file(folder, encoder.repository, encoder.file, encoder.revision)
    return found, f"https://huggingface.co/{encoder.repository}/resolve/{encoder.revision}/{encoder.file}"


def wandb() -> Iterator[Row]:
    """Whether W&B would know who writes. Its servers are not asked."""
    mode, server = os.environ.get("WANDB_MODE"), os.environ.get("WANDB_BASE_URL")
    hosts = [urlsplit(server).netloc] if server else WANDB
    key = (
        "WANDB_API_KEY"
        if os.environ.get("WANDB_API_KEY")
        else "netrc"
        if any(map(_netrc_has, hosts))
        else None
    )
    facts = {"key": key, "WANDB_MODE": mode}
    said = "logger=wandb is offline unless logger.offline=false" + f"; WANDB_MODE={mode}" * bool(mode)
    if key:
        yield Row("logging", "W&B", f"{said}; a key in {key}", facts=facts)
    else:
        command = f"{_python()} -m wandb login"
        yield Row("logging", "W&B", f"{said}; no key", "absent", command, facts)


def _netrc_has(host: str) -> bool:
    named = os.environ.get("NETRC")
    for path in [Path(named)] if named else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        try:
            if netrc.netrc(path).authenticators(host):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


# ---- the screen ------------------------------------------------------------------------------------------------------


def as_text(rows: Sequence[Row], width: int = WIDTH) -> str:
    """A screen: a line a fact, then what to type about each that is not well. Commands are never broken over lines."""
    lines: list[str] = []
    section = None
    for row in rows:
        if row.section != section:
            lines += ([""] if lines else []) + [row.section]
            section = row.section
        head = f"  {MARK[row.verdict]:<5}{row.name:<15}"
        if len(row.name) > 14:
            lines.append(head.rstrip())
            head = ""
        lines += textwrap.wrap(
            row.found,
            width,
            initial_indent=head or " " * 22,
            subsequent_indent=" " * 22,
            break_on_hyphens=False,
        )
    for title, verdicts in (("to repair", ("off", "warning")), ("to add what is optional", ("absent",))):
        chosen = [row for row in rows if row.verdict in verdicts and row.remedy]
        lines += ["", title] if chosen else []
        for row in chosen:
            lines.append(f"  {row.section}, {row.name}")
            lines += [f"    {command}" for command in row.remedy.splitlines()]
    n = {verdict: sum(row.verdict == verdict for row in rows) for verdict in MARK}
    warned = f"{n['warning']} warning{'s' * (n['warning'] != 1)}"
    return "\n".join(
        [*lines, "", f"{n['ok']} ok, {n['absent']} optional and absent, {warned}, {n['off']} off"]
    )


def as_json(rows: Sequence[Row]) -> str:
    """The same as JSON by section and name; home folder, user name and keys do not appear."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        told = {"verdict": row.verdict, "found": row.found, "remedy": row.remedy, "facts": row.facts}
        found.setdefault(row.section, {})[row.name] = told
    return json.dumps(_private(found), indent=2, ensure_ascii=False)


def _private(value: Any) -> Any:
    """The value with every text made fit to be shown to strangers."""
    if isinstance(value, dict):
        return {key: _private(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_private(item) for item in value]
    return _without_names(value) if isinstance(value, str) else value


def _without_names(text: str) -> str:
    for key, secret in os.environ.items():
        if len(secret) >= 8 and re.search(r"(KEY|TOKEN|SECRET|PASSWORD)$", key):
            text = text.replace(secret, "<secret>")
    homes = {str(Path.home()), str(Path.home().resolve())}
    for home in sorted(homes - {"/"}, key=len, reverse=True):
        text = text.replace(home, "~")
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return text
    return re.sub(rf"(?<=[/\\]){re.escape(user)}(?=[/\\\s'\",:;)]|$)", "<user>", text)


# ---- small things ----------------------------------------------------------------------------------------------------


def _python() -> str:
    """This Python as one would type it here."""
    here, executable = Path.cwd(), Path(sys.executable)
    path = executable.relative_to(here) if executable.is_relative_to(here) else executable
    return shlex.quote(str(path))


def _pip() -> str:
    return f"{_python()} -m pip"


@contextmanager
def _silent(name: str) -> Iterator[None]:
    log = logging.getLogger(name)
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _is_findable(module: str) -> bool:
    try:
        return util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _line(error: BaseException) -> str:
    """The first line of what an error says."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _says(*command: str) -> str:
    """What a program prints; nothing where it is absent or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


if __name__ == "__main__":
    main()

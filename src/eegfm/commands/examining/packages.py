"""Examine which of the required and optional packages are installed."""

import importlib
import platform
import shlex
import tomllib
from collections.abc import Iterator, Sequence
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eegfm.commands.examining.screen import Row, first_line, pip

if TYPE_CHECKING:
    from packaging.requirements import Requirement

# Import names that differ from the distribution's name with _ for -
MODULE = {
    "hydra-core": "hydra",
    "scikit-learn": "sklearn",
    "markdown-it-py": "markdown_it",
    "chronos-forecasting": "chronos",
    "pytest-xdist": "xdist",
    "hydra-submitit-launcher": "hydra_plugins.hydra_submitit_launcher",
    "import-linter": "importlinter",
}


# Required packages with compiled parts. They load within a fraction of a second, and only an import shows a wheel that
# is for another Python, numpy or system.
IMPORTED = ("numpy", "torch", "scipy", "h5py", "lmdb", "xxhash", "safetensors", "psutil")


def packages() -> Iterator[Row]:
    """Compare pyproject.toml with what is installed: a row for all good packages, and one for each faulty package."""
    try:
        from packaging.specifiers import SpecifierSet  # comes with lightning
    except ImportError as error:
        found = f"without it no version can be compared ({error})"
        yield Row("packages", "packaging", found, "off", f"{pip()} install packaging")
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
            version = version_of(name)
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
        # An extra is optional. Without a checkout nobody needs the packages to develop us, and without a GPU mamba's
        # kernels cannot be built (with a GPU, their own row has the command).
        is_absent = bool(extra and lacking)
        has_remedy = is_absent and extra != "mamba" and (extra != "dev" or _is_checkout())
        remedy = _install(lacking, extra) if has_remedy else ""
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
    """The requirements for this system, by extra; those without an extra under "".

    They are read from the checkout's pyproject.toml, which may be newer than what `pip install -e` noted, or from the
    wheel if there is no checkout.
    """
    from packaging.requirements import Requirement

    project = _project()
    if project:
        texts = {"": project["dependencies"], **project["optional-dependencies"]}
        parsed = {extra: [Requirement(text) for text in listed] for extra, listed in texts.items()}
        return {
            extra: [r for r in listed if r.marker is None or r.marker.evaluate()]
            for extra, listed in parsed.items()
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
    """The name by which a distribution is imported."""
    return MODULE.get(distribution, distribution.replace("-", "_"))


def _fault(requirement: "Requirement", version: str | None, *, importing: bool) -> str | None:
    """What is wrong with a package; None if nothing."""
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
    except Exception as error:  # a broken package may raise anything
        return "missing" if version is None else f"cannot be imported ({first_line(error)})"
    return None


def _install(requirements: Sequence["Requirement"], extra: str, *, again: bool = False) -> str:
    wanted = " ".join(shlex.quote(f"{r.name}{r.specifier}") for r in requirements)
    # the builds of mamba's packages need the installed torch
    options = (
        " --no-build-isolation" if extra == "mamba" else " --force-reinstall --no-deps" if again else ""
    )
    return f"{pip()} install{options} {wanted}"


def torch_wanted() -> str:
    return next(shlex.quote(f"{r.name}{r.specifier}") for r in wanted_packages()[""] if r.name == "torch")


def version_of(distribution: str) -> str | None:
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
    path = Path(__file__).resolve().parents[4] / "pyproject.toml"
    if not path.is_file():
        return {}
    project = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {})
    return project if project.get("name") == "eegfm" else {}


def _is_checkout() -> bool:
    return bool(_project())

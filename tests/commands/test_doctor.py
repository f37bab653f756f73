"""`eegfm doctor`: its facts against sources that are not us, what it says of what is broken, what it keeps quiet."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import joblib
import pytest
import torch
from omegaconf import OmegaConf
from packaging.utils import canonicalize_name
from packaging.version import Version
from torch import nn

from eegfm.commands import doctor
from eegfm.commands.doctor import examine
from eegfm.commands.examining import gpus, machine, models, packages, wandb
from eegfm.commands.examining.screen import Row, as_json, as_text
from eegfm.config.schema import config_dir
from eegfm.nn.mamba2 import Mamba2
from tests.contract import test_backbones

SOURCE = Path(doctor.__file__).resolve().parents[2]

# Takes a package away from a Python, its metadata too, before anything of ours is imported.
WITHOUT = """
import sys
from importlib.machinery import PathFinder

class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] != {module!r}:
            return PathFinder.find_spec(name, path, target)
    def find_distributions(self, context):
        return (d for d in PathFinder.find_distributions(context) if d.name != {module!r})

sys.meta_path[sys.meta_path.index(PathFinder)] = Without()
"""

# Ends a Python with status 99 at the first look for another machine.
WITHOUT_NETWORK = """
import os, sys
sys.addaudithook(lambda event, _: os._exit(99) if event in ("socket.connect", "socket.getaddrinfo") else None)
"""


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return examine()


def facts(rows: Iterator[Row] | list[Row]) -> dict[str, dict]:
    return {row.name: row.facts for row in rows}


def named(rows: Iterator[Row] | list[Row], name: str) -> Row:
    (row,) = (row for row in rows if row.name == name)
    return row


def run(
    place: Path, *arguments: str, before: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """The command as one process, from an empty folder, with nothing of ours in its environment."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("EEGFM_", "WANDB_"))}
    call = f"{before}\nimport sys; sys.argv = ['eegfm', 'doctor', *{arguments!r}]\n"
    return subprocess.run(
        [sys.executable, "-c", f"{call}from eegfm.__main__ import main; main()"],
        cwd=place, capture_output=True, text=True, timeout=120, env={**kept, **environment},
    )  # fmt: skip


def test_the_machine_is_as_the_system_tells_it(rows):
    found = facts(rows)
    assert found["Python"]["version"] == platform.python_version()
    assert found["CPU"]["threads"] == os.cpu_count()
    assert 0 < found["CPU"]["usable"] <= os.cpu_count()
    assert found["torch"]["version"] == torch.__version__ == metadata.version("torch")
    assert found["threads"]["threads"] == torch.get_num_threads()
    if shutil.which("lscpu") and found["CPU"]["cores"]:
        listed = subprocess.run(
            ["lscpu", "-p=CORE,SOCKET"], capture_output=True, text=True, check=True
        ).stdout
        assert found["CPU"]["cores"] == len({line for line in listed.splitlines() if line[:1] != "#"})
    if sys.platform == "linux":
        free = subprocess.run(
            ["free", "-b"], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        assert found["memory"]["total_bytes"] <= int(free[1].split()[1])


def test_folders_are_those_of_the_environment_and_are_left_alone(tmp_path, monkeypatch):
    here = tmp_path / "stores"
    here.mkdir()
    monkeypatch.setenv("EEGFM_CACHE", str(here))
    monkeypatch.setenv("EEGFM_RUNS", str(tmp_path / "not" / "yet"))
    found = facts(machine.folders())
    assert (
        found["stores"]["path"] == str(here) and found["stores"]["exists"] and not found["runs"]["exists"]
    )
    for name in ("stores", "runs"):
        free = shutil.disk_usage(tmp_path).free  # others write to this disk at the same time
        assert found[name]["free_bytes"] == pytest.approx(free, rel=0.05) and found[name]["writable"]
    assert list(tmp_path.rglob("*")) == [here]


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder that nobody may write to: /proc")
def test_runs_that_cannot_be_written_are_off_and_raw_files_a_warning(monkeypatch):
    monkeypatch.setenv("EEGFM_RUNS", "/proc/eegfm-runs")
    monkeypatch.setenv("EEGFM_DATA", "/proc/eegfm-data")
    found = list(machine.folders())
    assert named(found, "runs").verdict == "off" and "export EEGFM_RUNS=" in named(found, "runs").remedy
    assert named(found, "raw files").verdict == "warning"


def test_packages_have_the_versions_that_are_installed_and_pyproject_s_ranges(rows):
    found = named(rows, "required").facts
    assert {"torch", "lightning", "numpy", "mne", "lmdb"} < set(found)
    assert {name: f["version"] for name, f in found.items()} == {
        name: metadata.version(name) for name in found
    }
    assert found["hydra-core"]["wanted"] in (">=1.3.8,<1.4", "<1.4,>=1.3.8")


def test_every_package_is_looked_up_under_the_name_that_it_is_imported_by():
    """importlib.metadata reads that from the files that were installed."""
    listed = metadata.packages_distributions()
    for requirements in packages.wanted_packages().values():
        for name in (requirement.name for requirement in requirements):
            try:
                metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
            module = packages.module_of(name).partition(".")[0]
            assert canonicalize_name(name) in map(canonicalize_name, listed[module]), name


@pytest.mark.parametrize(
    ("name", "version", "fault", "wanted"),
    [
        ("lmdb", "2.0.0", "too old", "lmdb>=2.1.1"),
        ("hydra-core", "1.4.0", "too new", "hydra-core<1.4,>=1.3.8"),
    ],
)
def test_a_version_out_of_range_is_off_with_the_command(
    tmp_path, monkeypatch, name, version, fault, wanted
):
    folder = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert Version(metadata.version(name)) == Version(version)
    row = named(packages.packages(), name)
    assert row.verdict == "off" and row.found.startswith(f"{version} {fault}")
    assert row.remedy.endswith(f"-m pip install '{wanted}'")


def test_more_threads_than_cpus_are_a_warning():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(joblib.cpu_count() + 1)
        row = named(gpus.torch_and_gpus(), "threads")
    finally:
        torch.set_num_threads(before)
    assert row.verdict == "warning"
    assert row.remedy == f"export OMP_NUM_THREADS={joblib.cpu_count()}"


@pytest.mark.skipif(torch.cuda.is_available() or sys.platform == "win32", reason="torch reaches a GPU here")
def test_a_gpu_that_torch_does_not_reach_is_a_warning_with_the_reason(tmp_path, monkeypatch):
    """A driver's program that lists a card, as on a machine whose torch cannot use it."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H200, 570.86.15'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    row = named(gpus.torch_and_gpus(), "GPU")
    assert row.verdict == "warning" and row.found.startswith("NVIDIA H200, driver 570.86.15, but")
    if torch.version.cuda is None:
        assert "built for the CPU only" in row.found and "pip uninstall -y torch && " in row.remedy
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert named(gpus.torch_and_gpus(), "GPU").remedy == "unset CUDA_VISIBLE_DEVICES"


class Layers(nn.Module):
    """A model of one Mamba2 layer, for the config trees below."""

    def __init__(self, spec, *, scan: str) -> None:
        super().__init__()
        self.layer = Mamba2(16, d_state=8, headdim=8, scan=scan)


@pytest.mark.parametrize("scan", ["chunked", "recurrent", "fused"])
def test_a_model_s_way_is_the_one_that_its_config_says(tmp_path, scan):
    target = f"{__name__}.Layers"
    node = {"_target_": target, "_partial_": True, "scan": scan}
    (tmp_path / "some.yaml").write_text(OmegaConf.to_yaml({"model": node}))
    (row,) = models.models(tmp_path)
    assert row.name == "some" and row.facts["layers"] == 1
    if scan == "fused" and not torch.cuda.is_available():
        assert "need CUDA" in row.found and "scan=fused cannot be had" in row.found
    else:
        assert row.facts["paths"] == [scan]


def test_every_model_with_mamba_2_layers_is_listed_and_no_other(rows):
    """It is told by `scan` in its config; here the models themselves are looked through."""
    have = set()
    for path in (config_dir() / "model").glob("*.yaml"):
        kinds = list(test_backbones.takes(path.stem)) if test_backbones.is_backbone(path.stem) else []
        model = test_backbones.build(path.stem, kinds[0], {}) if kinds else None
        have |= {path.stem} if model and any(isinstance(m, Mamba2) for m in model.modules()) else set()
    listed = [row for row in rows if row.section == "models"]
    assert have == {row.name for row in listed} and {row.verdict for row in listed} <= {"ok"}
    if not torch.cuda.is_available():
        assert {tuple(row.facts["paths"]) for row in listed} <= {("chunked",)}


def test_an_encoder_without_its_weights_says_where_they_belong(tmp_path, monkeypatch):
    monkeypatch.setenv("EEGFM_WEIGHTS", str(tmp_path))
    row = named(models.encoders(), "ttm")
    place = tmp_path / "ttm-r2-512-96" / "model.safetensors"
    assert row.verdict == "absent" and not row.facts["has_weights"]
    assert row.facts["weights"] == str(place.parent)
    assert row.remedy.splitlines()[-1] == "eegfm weights fetch encoder=ttm"
    place.parent.mkdir()
    place.touch()
    row = named(models.encoders(), "ttm")
    assert row.facts["has_weights"] and "fetch" not in row.remedy


def test_the_cache_of_hugging_face_counts_as_well(tmp_path, monkeypatch):
    monkeypatch.setattr("eegfm.encoders.base.in_cache", lambda *named: tmp_path / "cached" / "a.file")
    row = named(models.encoders(), "moment")
    assert row.facts["has_weights"] and f"weights in {tmp_path / 'cached'}" in row.found


def test_wandb_s_key_is_found_where_wandb_looks_for_it(tmp_path, monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    row = named(wandb.wandb(), "W&B")
    assert row.facts["key"] is None and row.remedy.endswith("wandb login") and row.verdict == "absent"
    (tmp_path / "netrc").write_text("machine api.wandb.ai\n  login user\n  password 0123456789abcdef\n")
    assert named(wandb.wandb(), "W&B").facts["key"] == "netrc"
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.lab.example:8080")
    assert named(wandb.wandb(), "W&B").facts["key"] is None
    (tmp_path / "netrc").write_text(
        "machine wandb.lab.example:8080\n  login user\n  password 0123456789abcdef\n"
    )
    assert named(wandb.wandb(), "W&B").facts["key"] == "netrc"


def test_the_screen_fits_80_columns_and_commands_stay_whole(rows):
    text = as_text(rows)
    screen, _, commands = text.partition("\nto ")
    assert all(len(line) <= 80 for line in screen.splitlines())
    for row in rows:
        if row.verdict != "ok" and row.remedy:
            assert all(f"    {line}" in commands.splitlines() for line in row.remedy.splitlines())


def test_json_has_every_row(rows):
    told = json.loads(as_json(rows))
    assert [(s, n) for s, section in told.items() for n in section] == [(r.section, r.name) for r in rows]


@pytest.mark.slow
def test_the_command_answers_without_a_network_and_names_nobody(tmp_path):
    home, place = tmp_path / "home" / "dorothea", tmp_path / "empty"
    home.mkdir(parents=True)
    place.mkdir()
    secret = "0123456789abcdef0123456789abcdef01234567"
    (home / ".netrc").write_text(f"machine api.wandb.ai\n  login dorothea\n  password {secret}\n")
    environment = {"HOME": str(home), "LOGNAME": "dorothea", "WANDB_API_KEY": secret}
    environment |= {"EEGFM_CACHE": f"{home}/cache", "EEGFM_RUNS": f"{tmp_path}/scratch/dorothea/runs"}
    done = run(place, "--json", before=WITHOUT_NETWORK, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert "dorothea" not in done.stdout and secret not in done.stdout and str(home) not in done.stdout
    assert told["folders"]["stores"]["facts"]["path"] == "~/cache"
    assert told["logging"]["W&B"]["facts"]["key"] == "WANDB_API_KEY"
    assert {path.name for path in tmp_path.rglob("*")} == {"home", "dorothea", ".netrc", "empty"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "module",
    [
        "torch",
        *(
            pytest.param(name, marks=pytest.mark.long)
            for name in ("lmdb", "omegaconf", "packaging", "rich")
        ),
    ],
)
def test_without_a_package_it_says_so_and_looks_at_the_rest(tmp_path, module):
    done = run(tmp_path, "--json", before=WITHOUT.format(module=module))
    assert done.returncode == 1, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert set(told) >= {"machine", "packages", "folders", "torch", "encoders", "logging"}
    row = told["packages"][module]
    assert row["verdict"] == "off" and f"pip install {module}" in row["remedy"].replace("'", "")


@pytest.mark.slow
def test_a_package_that_does_not_load_is_told_from_one_that_is_missing(tmp_path):
    broken = tmp_path / "path" / "h5py"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('undefined symbol: H5Pset')\n")
    done = run(tmp_path, PYTHONPATH=str(broken.parent))
    assert done.returncode == 1 and "cannot be imported (undefined" in done.stdout
    assert "-m pip install --force-reinstall --no-deps 'h5py>=3.12'" in done.stdout


@pytest.mark.slow
def test_an_installed_wheel_needs_no_checkout(tmp_path):
    """A wheel has eegfm/conf beside the code, and the requirements only in its metadata."""
    shutil.copytree(SOURCE / "eegfm", tmp_path / "site" / "eegfm")
    shutil.copytree(config_dir(), tmp_path / "site" / "eegfm" / "conf")
    done = run(tmp_path, "--json", PYTHONPATH=str(tmp_path / "site"))
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["machine"]["eegfm"]["facts"]["commit"] is None
    assert told["packages"]["required"]["facts"]["torch"]["version"] == torch.__version__
    assert "eegm2" in told["models"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_gpus_are_those_of_torch_and_of_the_driver(rows):
    found = facts(rows)
    for i in range(torch.cuda.device_count()):
        assert found[f"GPU {i}"]["name"] == torch.cuda.get_device_name(i) and found[f"GPU {i}"]["works"]
        assert found[f"GPU {i}"]["capability"] == "{}.{}".format(*torch.cuda.get_device_capability(i))
    driver = Path("/proc/driver/nvidia/version")
    if driver.exists() and found["GPU 0"]["driver"]:
        assert found["GPU 0"]["driver"] in driver.read_text()

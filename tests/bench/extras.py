"""What each extra adds: the wheel installed into an empty environment with every extra in turn, and tried.

python -m tests.bench.extras [extra ...]        wants a package index; half an hour with all of them

Prints a table in Markdown: packages and MB beyond the package without extras, and whether what the extra is for begins
to work beside the torch that is there. `constraints.txt` holds, so torch is the tested one; uv reads UV_FIND_LINKS
where a build of torch lies on the disk. The packages of mamba are not built from source here: that wants a compiler for
CUDA.
"""

import subprocess
import sys
import tempfile
import tomllib
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FROM_WHEELS = ("mamba-ssm", "causal-conv1d")
TRIED = {  # what the extra is for, in one statement
    "": "import eegfm, torch, lightning.pytorch, mne; eegfm.evaluate, eegfm.load",
    "mamba": "from mamba_ssm.modules.mamba2 import Mamba2; import causal_conv1d",
    "tsfm": "import transformers, chronos; from eegfm.encoders.chronos import Chronos",
    "peft": "import peft; peft.LoraConfig()",
    "braindecode": "from braindecode.models import EEGNet; EEGNet(n_chans=19, n_outputs=2, n_times=800)",
    "riemann": "from pyriemann.tangentspace import TangentSpace; TangentSpace()",
    "bids": "import mne_bids; mne_bids.BIDSPath(subject='1')",
    "hub": "import huggingface_hub; huggingface_hub.HfApi()",
    "moabb": "from moabb.datasets import BNCI2014_001; BNCI2014_001()",
    "lsl": "import mne_lsl.lsl; mne_lsl.lsl.library_version()",
    "onnx": "import onnx, onnxscript, onnxruntime; onnxruntime.get_available_providers()",
    "slurm": "import submitit; from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher",
    "search": "import optuna; optuna.create_study()",
    "dashboard": "import wandb_workspaces.reports.v2, wandb_workspaces.workspaces",
    "docs": "import sphinx, myst_parser, furo, sphinx_copybutton, sphinx_design",
    "dev": "import pytest, hypothesis, xdist, beartype, playwright, build",
}


def extras() -> list[str]:
    """The extras of pyproject.toml, in its order."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        return list(tomllib.load(file)["project"]["optional-dependencies"])


def said(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=1800)


def tried(wheel: Path, extra: str, place: Path) -> tuple[set[str], float, str]:
    """The packages of an environment with one extra, their MB, and what came of trying it."""
    python = place / "bin" / "python"
    made = said("uv", "venv", "-q", "--python", sys.executable, place)
    assert made.returncode == 0, made.stderr
    only = [word for name in FROM_WHEELS for word in ("--only-binary", name)]
    wanted = f"{wheel}[{extra}]" if extra else str(wheel)
    constraints = ("-c", ROOT / "constraints.txt")
    done = said("uv", "pip", "install", "-q", "--python", python, *constraints, *only, wanted)
    if done.returncode:
        return set(), 0.0, f"not installed: {reason(done.stderr)}"
    packages = set(said("uv", "pip", "freeze", "--python", python).stdout.split("\n")) - {""}
    (site,) = place.glob("lib/python*/site-packages")
    size = sum(file.stat().st_size for file in site.rglob("*") if file.is_file() and not file.is_symlink())
    broken = said("uv", "pip", "check", "--python", python)
    begun = subprocess.run(
        [str(python), "-c", TRIED[extra]], cwd=place, capture_output=True, text=True, timeout=600
    )
    came = "works" if begun.returncode == 0 else f"fails: {reason(begun.stderr)}"
    return packages, size / 1e6, came if broken.returncode == 0 else f"{came}; {reason(broken.stderr)}"


def reason(text: str) -> str:
    """The last line of an error that says something."""
    lines = [line.strip(" ╰─▶├│×") for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("hint:")]
    return lines[-1][:160] if lines else "without a word"


def main(*wanted: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        built = said(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
        assert built.returncode == 0, built.stderr
        (wheel,) = Path(folder).glob("*.whl")
        base, size, came = tried(wheel, "", Path(folder) / "none")
        torch = next((one for one in base if one.startswith("torch==")), "no torch")
        print(f"{date.today()}, Python {sys.version.split()[0]}, {torch}\n")
        print("| extra | packages | MB | tried | which |\n|---|---|---|---|---|")
        print(f"| none | {len(base)} | {size:,.0f} | {came} | |", flush=True)
        for extra in wanted or extras():
            found, mb, came = tried(wheel, extra, Path(folder) / extra)
            new = sorted(one.partition("==")[0] for one in found - base)
            more = f"+{len(new)} | +{mb - size:,.0f}" if found else "|"
            print(
                f"| `{extra}` | {more} | {came} | {', '.join(new[:12])}{' ...' * (len(new) > 12)} |",
                flush=True,
            )


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The wheel carries its configs: built, installed into an empty environment, composed from the root folder."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_a_wheel_in_an_empty_environment_composes_from_anywhere(tmp_path):
    def run(*command: object, cwd: Path | str = ROOT) -> str:
        done = subprocess.run(
            [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist")
    (wheel,) = (tmp_path / "dist").glob("eegfm-*.whl")
    venv.create(tmp_path / "empty", symlinks=True)
    python = tmp_path / "empty" / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    run(sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--target", site, wheel)
    # the dependencies are those of the tested environment; its own editable eegfm does not come along
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    assert Path(run(python, "-c", "import eegfm; print(eegfm.__file__)", cwd="/").strip()).is_relative_to(
        site
    )
    choices = ("model=stamp", "data=physionet_mi", "search=optuna")
    composed = run(python, "-m", "eegfm.train", "--cfg", "all", *choices, cwd="/")
    assert "eegfm.benchmarks.physionet_mi.PHYSIONET_MI" in composed
    assert "hydra_plugins.eegfm_search.SearchSweeper" in composed
    assert "train" in run(tmp_path / "empty" / "bin" / "python", "-m", "eegfm", cwd="/")

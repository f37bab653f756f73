"""Real recordings and weights: where they lie, or why a test cannot run without them. No deadlines for examples."""

import gc
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

from tests.command_line import call

hypothesis.settings.register_profile("suite", deadline=None)  # a busy machine is no fault of the code
hypothesis.settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with real commands begin first: one that begins last keeps a single worker busy at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """Collections of garbage leave alone what the imports made, and come less often: a ninth of all time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Lays the simulated corpus into a folder, prepared and checked, as the first command there would leave it."""
    made = tmp_path_factory.mktemp("simulated")
    done = call("eegfm.prepare", "data=synthetic", "encoder=spectrum", cwd=made)
    assert done.returncode == 0, done.stderr

    def lay(place: Path) -> Path:
        shutil.copytree(made / "data", place / "data")
        return place

    return lay


@pytest.fixture(scope="session")
def eeg_data(pytestconfig: pytest.Config) -> Path:
    """Folder of real recordings: `mental_arithmetic_eegmat/`, `eegmmidb/` and so on, under their original names."""
    return _folder(pytestconfig, "EEGFM_TEST_DATA", "real recordings")


@pytest.fixture(scope="session")
def weights_data(pytestconfig: pytest.Config) -> Path:
    """Folder of published weights, one folder a model."""
    return _folder(pytestconfig, "EEGFM_TEST_WEIGHTS", "published weights")


def _folder(config: pytest.Config, variable: str, what: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} does not name a folder of {what}")
    folder = config.invocation_params.dir / value  # a test may have changed the working directory
    if not folder.is_dir():
        pytest.skip(f"{variable}={value} is not a folder (of {what})")
    return folder

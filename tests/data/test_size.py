"""The memory of a preparation does not grow with the corpus: each worker holds one recording."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import many_recordings

SECONDS = 50
PREPARE = """
import resource, sys
from pathlib import Path
from eegfm.data.preparing.pipeline import prepare
from tests.many_recordings import benchmark
raw, cache, n, workers = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
store = prepare(benchmark(n), raw, cache, workers=workers, progress=False)
print(len(store), *(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
"""


def peak_mb(raw: Path, cache: Path, n: int, workers: int) -> float:
    """Peak memory of the largest of the processes."""
    arguments = [sys.executable, "-c", PREPARE, str(raw), str(cache), str(n), str(workers)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    windows, *kilobytes = map(int, done.stdout.split())
    assert windows == n * SECONDS // 5
    shutil.rmtree(cache)
    return max(kilobytes) / 1024


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("size") / "raw"
    many_recordings.write(folder, 200, SECONDS)
    return folder


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
def test_two_hundred_recordings_take_the_memory_of_ten(raw, tmp_path, workers):
    """A recording is 2 MB as float64, the corpus 390 MB; its windows are 150 MB."""
    few = peak_mb(raw, tmp_path / "few", 10, workers)
    many = peak_mb(raw, tmp_path / "many", 200, workers)
    assert many < few + 50, f"{few:.0f} MB for 10 recordings, {many:.0f} MB for 200"

"""The file of a fit in one go: what is not one, not of this model, or holds what could run, is refused."""

import random
from pathlib import PurePosixPath
from zipfile import ZIP_DEFLATED

import numpy as np
import pytest
from skops.io import dump

from eegfm.contracts import EegfmError
from eegfm.models.majority import Majority
from eegfm.tasks.estimate import Estimate
from eegfm.tasks.fitted import FILE, read_fitted, write_fitted

from .autoencoder import SPEC


def task():
    return Estimate(Majority(SPEC), SPEC)


def test_a_run_that_has_kept_nothing_says_so(tmp_path):
    with pytest.raises(EegfmError, match="has not ended"):
        read_fitted(task(), tmp_path)


def test_a_damaged_file_is_refused(tmp_path):
    fitted = task()
    fitted.backbone.frequency = np.array([0.25, 0.75])
    write_fitted(fitted, tmp_path)
    path, draw = tmp_path / FILE, random.Random(5)
    assert {one.name for one in path.parent.iterdir()} == {"fitted.skops", "fitted.skops.sha256"}
    good = path.read_bytes()
    for _ in range(20):
        position, damaged = draw.randrange(8 * len(good)), bytearray(good)
        damaged[position // 8] ^= 1 << position % 8
        path.write_bytes(damaged)
        with pytest.raises(EegfmError, match=r"fitted\.skops is not as it was written"):
            read_fitted(task(), tmp_path)
    (path.parent / "fitted.skops.sha256").unlink()
    path.write_bytes(good[:-50])
    with pytest.raises(EegfmError, match="cannot be read"):
        read_fitted(task(), tmp_path)


@pytest.mark.parametrize(
    ("held", "sentence"),
    [
        ({"found": {"estimator": None}, "backbone": {}}, "another model than Majority: it holds estimator"),
        ({"found": {"frequency": PurePosixPath("x")}, "backbone": {}}, "not written by eegfm"),
    ],
)
def test_what_is_of_another_model_or_could_run_is_refused(held, sentence, tmp_path):
    (tmp_path / FILE).parent.mkdir()
    dump(held, tmp_path / FILE)
    with pytest.raises(EegfmError, match=sentence):
        read_fitted(task(), tmp_path)


def test_a_file_that_unpacks_to_more_than_it_is_is_not_read(tmp_path):
    (tmp_path / FILE).parent.mkdir()
    held = {"found": {"frequency": np.zeros(10**6)}, "backbone": {}}
    dump(held, tmp_path / FILE, compression=ZIP_DEFLATED)
    with pytest.raises(EegfmError, match="compressed"):
        read_fitted(task(), tmp_path)

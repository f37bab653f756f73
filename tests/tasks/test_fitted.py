"""The file of a fit in one go: what is not one, not of this model, or holds what could run, is refused."""

from pathlib import PurePosixPath

import numpy as np
import pytest
from skops.io import dump

from eegfm.contracts import EegfmError
from eegfm.models.majority import Majority
from eegfm.tasks.estimate import Estimate
from eegfm.tasks.fitted import FILE, keep, take

from .autoencoder import SPEC


def task():
    return Estimate(Majority(SPEC), SPEC)


def test_a_run_that_has_kept_nothing_says_so(tmp_path):
    with pytest.raises(EegfmError, match="has not ended"):
        take(task(), tmp_path)


def test_a_damaged_file_is_refused(tmp_path):
    fitted = task()
    fitted.backbone.frequency = np.array([0.25, 0.75])
    keep(fitted, tmp_path)
    assert [path.name for path in (tmp_path / FILE).parent.iterdir()] == ["fitted.skops"]
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:-50])
    with pytest.raises(EegfmError, match="cannot be read"):
        take(task(), tmp_path)


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
        take(task(), tmp_path)

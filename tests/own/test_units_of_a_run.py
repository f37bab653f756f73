"""predict and embed read a recording by the units that the run's own data set has declared."""

from types import SimpleNamespace
from typing import Any

import mne
import numpy as np
import pytest

from eegfm.commands.work.applied import Applied


@pytest.mark.parametrize(("benchmark", "factor"), [({"units": {"*": "mV"}}, 1e-3), ({}, 1.0), (None, 1.0)])
def test_what_the_declaration_says_of_units_counts(benchmark, factor, tmp_path):
    """The file says volts, and holds what the declaration calls millivolts."""
    data = np.random.default_rng(0).normal(0, 5e-3, (2, 500))
    path = tmp_path / "one_raw.fif"
    mne.io.RawArray(data, mne.create_info(["C3", "C4"], 250, "eeg"), verbose="error").save(
        path, verbose="error"
    )
    run: Any = SimpleNamespace(config={"data": {"benchmark": benchmark}})
    nothing: Any = None
    opened = Applied(run, nothing, nothing, nothing, True).opened(path)
    np.testing.assert_allclose(opened.take(["C3", "C4"], 0, 500), data * 1e6 * factor, rtol=1e-5)

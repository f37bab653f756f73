"""A data set of MOABB by its name, with the package itself and the data set that it makes for tests: no download."""

import re
from pathlib import Path

import numpy as np
import pytest

from eegfm.benchmarks.own.new.from_moabb import from_moabb
from eegfm.contracts import EegfmError
from eegfm.data.store import SampleStore
from tests.command_line import call

moabb = pytest.importorskip("moabb")
pytestmark = pytest.mark.slow


def test_a_name_becomes_a_folder_and_a_data_set_with_nothing_left_to_decide(tmp_path, monkeypatch):
    from moabb.datasets.fake import FakeDataset

    small = dict(
        n_subjects=5, n_sessions=1, n_runs=1, n_events=12, duration=60, seed=3, annotations=True, stim=False
    )
    kind = type("Fake", (FakeDataset,), {"__init__": lambda self: FakeDataset.__init__(self, **small)})
    monkeypatch.setattr(moabb.datasets, "Fake", kind, raising=False)
    folder, decided = from_moabb("Fake", tmp_path / "data" / "raw")
    assert (folder / "dataset_description.json").is_file()
    assert decided["classes"][0] == "{fake1: fake1, fake2: fake2, fake3: fake3}"
    monkeypatch.chdir(tmp_path)
    from eegfm.commands.new import main

    main(["moabb:Fake"])
    text = (tmp_path / "conf" / "data" / "fake.yaml").read_text()
    assert "???" not in text and "windows: {cut: events, from_s: 0, to_s: 3}  # as MOABB has it" in text
    done = call("eegfm", "prepare", "data=fake", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (place,) = (path for path in (tmp_path / "data" / "cache" / "fake").iterdir() if path.is_dir())
    store = SampleStore(place)
    # the windows are those that MOABB itself cuts, in its order of events
    (raw,) = kind().get_data(subjects=[1])[1]["0"].values()
    rows = np.flatnonzero(store.index.subject == "1")
    names = [store.recipe.facts["classes"][i] for i in store.index.label[rows]]
    assert names == [str(one) for one in raw.annotations.description]
    np.testing.assert_allclose(store.index.onset_s[rows], raw.annotations.onset, atol=1e-3)


def test_a_name_that_is_none_is_told_with_what_is_near():
    with pytest.raises(EegfmError, match=re.escape("moabb has no BNCI2014_01")) as error:
        from_moabb("BNCI2014_01", Path("nowhere"))
    assert "BNCI2014_001" in str(error.value)

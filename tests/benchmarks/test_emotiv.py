"""The Emotiv sets: what their files may hold, and STEW's own texts against EEG2Rep's way written out in SciPy."""

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import scipy.signal

from eegfm.benchmarks.emotiv import STEW_PEOPLE, crowdsourced, stew, stew_read
from eegfm.contracts import EegfmError
from eegfm.data.preparing.making import process
from tests.corpora.emotiv import LENGTH_S, SIZES, write_npy, write_stew


def held(**changes: object) -> dict[str, object]:
    x, label = np.zeros((3, 14, 256)), np.array([0, 1, 1])
    values = {f"{split}_data": x for split in SIZES} | {f"{split}_label": label for split in SIZES}
    return {key: value for key, value in {**values, **changes}.items() if value is not None}


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("/tmp/evil"),))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (held(val_data=None), "lacks val_data or val_label; it holds train_data, "),
        (held(val_label=np.array([0, 1])), "val: (3, 14, 256) of float64 and 2 labels"),
        (held(val_data=np.zeros((3, 256, 14))), "val: (3, 256, 14) of float64"),
        (held(val_label=np.array([0, 1, 2])), "val: labels other than 0 and 1"),
        (held(val_label=np.array(["a", "b", "a"])), "val: labels other than 0 and 1"),
        (held(test_data=Evil()), "asks for pathlib"),
        ([1, 2], "Crowdsource.npy"),
    ],
)
def test_a_file_that_holds_anything_else_is_a_sentence(tmp_path: Path, content: object, said: str) -> None:
    np.save(
        tmp_path / "Crowdsource.npy",
        np.array(content, dtype=object) if isinstance(content, dict) else content,
    )
    benchmark = crowdsourced()
    source = benchmark.sources(tmp_path)[1]
    with pytest.raises(EegfmError, match=re.escape(said)):
        benchmark.read(source)


def test_labels_of_any_shape_and_a_file_in_its_folder_are_read(tmp_path: Path) -> None:
    (tmp_path / "Crowdsource").mkdir()
    write_npy(tmp_path / "Crowdsource", SIZES, file="Crowdsource")
    benchmark = crowdsourced()
    assert [benchmark.windows(benchmark.read(s), s)[1].label for s in benchmark.sources(tmp_path)] == [
        1,
        1,
        1,
    ]
    content = held(train_label=np.array([[0.0], [1.0], [1.0]]))
    np.save(tmp_path / "Crowdsource.npy", np.array(content, dtype=object))
    source = benchmark.sources(tmp_path)[0]
    assert [one.label for one in benchmark.windows(benchmark.read(source), source)] == [0, 1, 1]


def test_stews_texts_are_filtered_whole_cut_and_filtered_again_as_published(tmp_path: Path) -> None:
    truths = write_stew(tmp_path, {"sub01": LENGTH_S})
    benchmark = replace(
        stew(files="raw", variant="published"), read=partial(stew_read, length_s=float(LENGTH_S))
    )
    source = next(s for s in benchmark.sources(tmp_path) if s.recording == "sub01_hi")
    found, index = process(benchmark, source, benchmark.steps)
    sections = scipy.signal.iirdesign((0.5, 40), (0.2, 48), 1, 40, ftype="cheby2", output="sos", fs=128)
    whole = scipy.signal.sosfiltfilt(sections, np.loadtxt(source.path).T, axis=1)
    cut = [whole[:, i : i + 256] for i in range(0, whole.shape[1] - 255, 64)]
    wanted = [scipy.signal.sosfiltfilt(sections, window, axis=1) for window in cut]
    np.testing.assert_allclose(found, np.stack(wanted), rtol=0, atol=1e-3)
    assert index.onset_s.tolist() == [t.onset_s for t in truths if t.recording == "sub01_hi"]
    assert index.label.tolist() == [1] * len(cut)


def test_stew_is_divided_by_person_and_has_the_published_number_of_windows() -> None:
    splits = stew(files="raw").splits or {}
    assert sorted(sum(splits.values(), ())) == sorted(STEW_PEOPLE)
    assert {name: len(people) for name, people in splits.items()} == {"train": 30, "val": 6, "test": 12}
    assert 48 * 2 * ((19_200 - 256) // 64 + 1) == stew().census.windows == stew(files="raw").census.windows

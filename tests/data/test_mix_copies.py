"""A near copy that one corpus of a mix tests on is not trained on in another; other people's signals are."""

import json
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest

from eegfm.benchmarks.spec import BenchmarkSpec
from eegfm.data.mixing import copies
from eegfm.signal.montage import today
from eegfm.support.summed import with_sum, without_sum
from tests.corpus import write_edf
from tests.data.small_mix import FIRST, SECONDS, SHARED, corpus, ready
from tests.data.test_near_copies import background

OTHER_ORDER = ("C3", "T7", "cz", "FZ")
COPY = corpus("copy", OTHER_ORDER, 2.0, {"train": ("p",), "val": ("q",), "test": ("x",)}, "N")
CHANGED = {
    "a step of noise": lambda x, rng: x + rng.uniform(-0.05, 0.05, x.shape),
    "another gain and an offset": lambda x, rng: 1.3 * x + 5,
    "the other sign": lambda x, rng: -x,
    "a shift": lambda x, rng: np.roll(x, -67, axis=1),
}


def write_noise(benchmark: BenchmarkSpec, root: Path, own: dict[str, np.ndarray] | None = None) -> None:
    """Recordings of 1/f noise, which nobody shares, but for those whose signals are given, by electrode."""
    root.mkdir(parents=True)
    for source in benchmark.sources(root):
        rows = (own or {}).get(source.subject, noise(f"{benchmark.name} {source.subject}"))
        rows = rows[[SHARED_TODAY.index(today(name)) for name in benchmark.channels]]
        write_edf(source.path, rows, 200.0, names=benchmark.channels)


SHARED_TODAY = tuple(map(today, SHARED))


def noise(name: str) -> np.ndarray:
    return background(zlib.crc32(name.encode()))[:, : SECONDS * 200]


@pytest.mark.parametrize("change", CHANGED)
def test_a_near_copy_in_another_corpus_is_in_one_split_of_the_mix(change, tmp_path):
    """The other's x is b's signal, changed, its channels in another order: tested on there, not trained on here."""
    changed = CHANGED[change](noise("first b"), np.random.default_rng(0))
    write_noise(FIRST, tmp_path / "raw" / "first")
    write_noise(COPY, tmp_path / "raw" / "copy", {"x": changed})
    facts = ready(tmp_path, FIRST, COPY).provenance()
    (left,) = facts.leakage.left_out
    assert left == {
        "corpus": "first",
        "split": "train",
        "windows": 6,
        "subjects": ["b"],
        "what": "near copy",
    }
    assert (
        "6 windows of 1 subjects (near copy in a later split of another corpus)" in facts.leakage.sentence()
    )


def test_other_peoples_signals_are_no_near_copies_and_what_was_found_is_kept_by_content(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(copies, "WORTH_S", 0.0)
    write_noise(FIRST, tmp_path / "raw" / "first")
    write_noise(COPY, tmp_path / "raw" / "copy")
    assert ready(tmp_path, FIRST, COPY).provenance().leakage.left_out == []
    (kept,) = (tmp_path / "cache" / "near_copies").iterdir()
    assert without_sum(json.loads(kept.read_text()), kept) == {"pairs": []}
    # what is kept is used, and one that is damaged is made again
    kept.write_text(json.dumps(with_sum({"pairs": [["Rb", "Nx"]]})))
    left = ready(tmp_path, FIRST, COPY).provenance().leakage.left_out
    assert [(gone["what"], gone["subjects"]) for gone in left] == [("near copy", ["b"])]
    kept.write_text("[[")
    assert ready(tmp_path, FIRST, COPY).provenance().leakage.left_out == []
    # by another version of the search as well
    kept.write_text(json.dumps([["Rb", "Nx"]]))
    monkeypatch.setattr(copies, "VERSION", copies.VERSION + 1)
    assert ready(tmp_path, FIRST, COPY).provenance().leakage.left_out == []
    # other content is searched anew
    shutil.rmtree(tmp_path / "raw" / "copy")
    shutil.rmtree(tmp_path / "cache" / "copy")
    write_noise(COPY, tmp_path / "raw" / "copy", {"x": 2 * noise("first b")})
    left = ready(tmp_path, FIRST, COPY).provenance().leakage.left_out
    assert [(gone["what"], gone["subjects"]) for gone in left] == [("near copy", ["b"])]

"""A corpus made from a known signal comes back: in microvolts, at its second, under its label, in its split.

For every benchmark, every argument that it takes, and any table of subjects that hypothesis draws.
"""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eegfm.data.preparing.pipeline import prepare
from tests.corpora import Corpus, corpora, made

CORPORA = list(corpora().values())
LARGE = ("faced", "seed_v", "physionet_mi")  # files that the protocol does not let be small


def marked(corpus: Corpus, *more: pytest.MarkDecorator):
    return pytest.param(
        corpus, id=corpus.name, marks=[pytest.mark.slow, *more] if corpus.option in LARGE else []
    )


# of FACED a file alone is drawn, the number of its subject, which the whole corpus has at every edge
@pytest.mark.parametrize(
    "corpus", [marked(c, *[pytest.mark.long] * (c.option == "faced")) for c in CORPORA]
)
@settings(
    max_examples=3, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)
@given(data=st.data())
def test_a_known_signal_comes_back(corpus, data):
    comes_back(corpus, data.draw(corpus.tables, label="table"))


@pytest.mark.parametrize("corpus", [marked(corpus) for corpus in CORPORA])
def test_a_whole_small_corpus_comes_back(corpus):
    comes_back(corpus, corpus.table)


def comes_back(corpus: Corpus, table) -> None:
    benchmark = made(corpus.name)
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw"
        raw.mkdir()
        truths = corpus.write(raw, table)
        store = prepare(benchmark, raw, Path(folder) / "cache", allow_partial=True, progress=False)
        index, stored = store.index, store.read(range(len(store)))
    found = {
        (subject, recording, split, round(onset_s, 6), label): row
        for row, (subject, recording, split, onset_s, label) in enumerate(
            zip(
                index.subject,
                index.recording,
                index.split,
                index.onset_s.tolist(),
                index.label,
                strict=True,
            )
        )
    }
    wanted = {(t.subject, t.recording, t.split, round(t.onset_s, 6), t.label): t for t in truths}
    assert found.keys() == wanted.keys()
    assert len(index) == len(truths), "a window twice"
    edge = round(corpus.margin_s * benchmark.sfreq)
    inner = slice(edge, benchmark.n_times - edge)
    for key, row in found.items():
        truth = wanted[key]
        seconds = truth.onset_s + np.arange(benchmark.n_times) / benchmark.sfreq
        expected = np.stack([corpus.signal(truth.recording, name, seconds) for name in benchmark.channels])
        assert np.abs(stored[row] - expected)[:, inner].max() < corpus.tolerance_uv, key

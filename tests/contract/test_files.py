"""Files as people have them, of every benchmark: one cut short, one without what goes with it, strays beside them.

What a reader says of a damaged file is shown in tests/signal, what a preparation does about it in tests/data.
"""

import re
from pathlib import Path

import pytest

from eegfm.contracts import EegfmError
from eegfm.data.preparing.pipeline import is_there, prepare
from tests.contract.test_protocols import CORPORA, marked
from tests.corpora import Corpus, made


def written(corpus: Corpus, folder: Path) -> tuple[Path, set[str]]:
    """The folder of the small corpus, and the recordings of which windows must come."""
    (folder / "raw").mkdir()
    return folder / "raw", {truth.recording for truth in corpus.write(folder / "raw", corpus.table)}


# one form a benchmark, and of BCIC-IV-2a either edition; EEG Eye State is one file
FORMS = {(corpus.option, corpus.arguments.get("files")): corpus for corpus in reversed(CORPORA)}
del FORMS["stew", "npy"]
ONE_FILE = ("eye_state", "crowdsourced", "dreamer", "alpha", "attention", "driver_distraction")
SEVERAL = [marked(corpus) for (option, _), corpus in FORMS.items() if option not in ONE_FILE]
ANOTHER = re.compile(r"(?<!\d)\d{1,3}(?!\d)")  # the number of a subject


@pytest.mark.parametrize("corpus", SEVERAL)
def test_a_file_cut_short_is_named_and_one_without_its_companion_is_missing_and_the_others_are_kept(
    corpus, tmp_path
):
    benchmark = made(corpus.name)
    raw, wanted = written(corpus, tmp_path)
    sources = [s for s in benchmark.sources(raw) if s.recording in wanted]
    cut = sources[-1]
    cut.path.write_bytes(cut.path.read_bytes()[: cut.path.stat().st_size // 2])
    alone = {
        s.recording
        for s in sources
        if s.beside and s.beside != cut.beside and s.beside == sources[0].beside
    }
    if alone:
        sources[0].beside[0].unlink()
    with pytest.raises(EegfmError):
        prepare(benchmark, raw, tmp_path / "cache", progress=False)
    store = prepare(benchmark, raw, tmp_path / "cache", allow_partial=True, progress=False)
    assert not store.complete and set(store.index.recording) == wanted - alone - {cut.recording}
    (failure,) = store.manifest.unusable
    assert failure["recording"] == cut.recording and str(cut.path) in failure["reason"]
    assert alone <= set(store.manifest.missing)


@pytest.mark.parametrize("corpus", [marked(corpus) for corpus in CORPORA])
def test_strays_move_nobody(corpus, tmp_path):
    """What a Mac, a download and a hand leave; where the protocol says which subjects there are, others as well."""
    benchmark = made(corpus.name)
    raw, _ = written(corpus, tmp_path)
    before = benchmark.sources(raw)
    beside = next(source.path for source in before if is_there(source))
    strays = [
        f"._{beside.name}",
        f"{beside.name}.part",
        f"{beside.name}.event",
        ".DS_Store",
        "RECORDS",
        "A00.edf",
    ]
    if benchmark.splits is not None:
        strays.append(ANOTHER.sub("999", beside.name, count=1))
    for stray in strays:
        beside.with_name(stray).write_bytes(b"stray")
    assert benchmark.sources(raw) == before

"""Whatever is wrong with a file: it is named, nothing that was done is lost, and no store looks complete.

Files are damaged as they are in life: cut, flipped in the header or in the data, missing, copied over another, renamed,
without permission. Where the corpus comes with its SHA-256 sums every flipped byte is found. Without them a byte that
still makes sense cannot be told from a true one; then the store's manifest holds the file's SHA-256, so that it can be
told later, and all other recordings are what they were.
"""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eegfm.contracts import EegfmError
from eegfm.data.preparing.pipeline import prepare
from tests import corpus
from tests.corpus import TINY

VICTIM, HEADER_BYTES = "S02_0", 256 * (1 + len(corpus.CHANNELS))
FAULTS = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The corpus, and its store."""
    raw = tmp_path_factory.mktemp("whole") / "raw"
    corpus.write(raw)
    return raw, prepare(TINY, raw, raw.parent / "cache", progress=False)


def assert_named_and_nothing_lost(raw: Path, cache: Path, *said: str, n_done: int = 9) -> None:
    with pytest.raises(EegfmError) as refusal:
        prepare(TINY, raw, cache, progress=False)
    assert all(text in str(refusal.value) for text in said)
    assert not list(cache.glob("tiny/*/recipe.json")), "a store that looks complete"
    assert len(list(cache.glob("tiny/*.parts/*.json"))) == n_done, "finished recordings were lost"


def sums_of(raw: Path) -> str:
    files = sorted(raw.glob("*.edf"))
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)


@FAULTS
@given(keep=st.floats(0, 0.999))
def test_truncated(whole, keep):
    with tempfile.TemporaryDirectory() as place:
        raw = Path(shutil.copytree(whole[0], f"{place}/raw"))
        path = raw / f"{VICTIM}.edf"
        os.truncate(path, int(keep * path.stat().st_size))
        assert_named_and_nothing_lost(raw, Path(place) / "cache", path.name)


def flip(path: Path, where: float, first: int, last: int, bits: int) -> None:
    content = bytearray(path.read_bytes())
    content[first + int(where * (last - first))] ^= bits
    path.write_bytes(content)


@FAULTS
@given(where=st.floats(0, 0.999), bits=st.integers(1, 255), in_header=st.booleans(), listed=st.booleans())
def test_flipped(whole, where, bits, in_header, listed):
    with tempfile.TemporaryDirectory() as place:
        raw = Path(shutil.copytree(whole[0], f"{place}/raw"))
        path, cache = raw / f"{VICTIM}.edf", Path(place) / "cache"
        if listed:
            (raw / "SHA256SUMS.txt").write_text(sums_of(raw))
        first, last = (0, HEADER_BYTES) if in_header else (HEADER_BYTES, path.stat().st_size)
        flip(path, where, first, last, bits)
        if listed:
            assert_named_and_nothing_lost(raw, cache, path.name)
            return
        try:
            store = prepare(TINY, raw, cache, progress=False)
        except EegfmError:
            assert_named_and_nothing_lost(raw, cache, path.name)
            return
        others = np.flatnonzero(store.index.recording != VICTIM)
        np.testing.assert_array_equal(store.read(others), whole[1].read(others))
        known = {fact["recording"]: fact["files"][0]["sha256"] for fact in whole[1].manifest.recordings}
        found = {fact["recording"]: fact["files"][0]["sha256"] for fact in store.manifest.recordings}
        assert {name for name in known if known[name] != found[name]} == {VICTIM}


def test_missing(whole, tmp_path):
    raw = Path(shutil.copytree(whole[0], tmp_path / "raw"))
    prepare(TINY, raw, tmp_path / "cache", progress=False, allow_partial=True)
    shutil.rmtree(tmp_path / "cache")
    (raw / f"{VICTIM}.edf").unlink()
    assert_named_and_nothing_lost(raw, tmp_path / "cache", f"{VICTIM}.edf", n_done=0)


def test_duplicated(whole, tmp_path):
    raw = Path(shutil.copytree(whole[0], tmp_path / "raw"))
    shutil.copyfile(raw / "S01_1.edf", raw / f"{VICTIM}.edf")
    assert_named_and_nothing_lost(raw, tmp_path / "cache", f"S01_1.edf = {VICTIM}.edf", n_done=10)
    with pytest.raises(EegfmError, match="the same bytes"):
        prepare(TINY, raw, tmp_path / "cache", progress=False, allow_partial=True)


def test_renamed(whole, tmp_path):
    """A file under another name is missing under its own; nothing is taken for it, whatever lies beside."""
    raw = Path(shutil.copytree(whole[0], tmp_path / "raw"))
    (raw / f"{VICTIM}.edf").rename(raw / "S02-0 copy.edf")
    assert_named_and_nothing_lost(raw, tmp_path / "cache", f"{VICTIM}.edf", n_done=0)
    (raw / "S02-0 copy.edf").rename(raw / f"{VICTIM}.edf")
    for stray in (".DS_Store", "README", "A00_0.edf", "S02_0.edf.event"):
        (raw / stray).write_bytes(b"stray")
    store = prepare(TINY, raw, tmp_path / "cache", progress=False)
    np.testing.assert_array_equal(store.index.split, whole[1].index.split)
    np.testing.assert_array_equal(store.index.digest, whole[1].index.digest)


def test_swapped(whole, tmp_path):
    """Two files under each other's names: only the published sums can tell."""
    raw = Path(shutil.copytree(whole[0], tmp_path / "raw"))
    (raw / "SHA256SUMS.txt").write_text(sums_of(raw))
    shutil.copyfile(whole[0] / "S01_1.edf", raw / f"{VICTIM}.edf")
    shutil.copyfile(whole[0] / f"{VICTIM}.edf", raw / "S01_1.edf")
    assert_named_and_nothing_lost(
        raw,
        tmp_path / "cache",
        f"The same of 1 more: {VICTIM}",
        "S01_1.edf is not the published file",
        n_done=8,
    )


def test_a_directory_in_a_files_place(whole, tmp_path):
    raw = Path(shutil.copytree(whole[0], tmp_path / "raw"))
    (raw / f"{VICTIM}.edf").unlink()
    (raw / f"{VICTIM}.edf").mkdir()
    assert_named_and_nothing_lost(raw, tmp_path / "cache", f"{VICTIM}.edf", n_done=0)


def test_without_permission(whole):
    """Root may read any file, so for root a forked process gives up its rights and asks as user nobody."""
    with tempfile.TemporaryDirectory() as place:
        raw, cache = Path(shutil.copytree(whole[0], f"{place}/raw")), Path(place) / "cache"
        cache.mkdir()
        for folder in (Path(place), raw, cache):
            folder.chmod(0o777)
        (raw / f"{VICTIM}.edf").chmod(0)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                if os.geteuid() == 0:
                    os.setuid(65534)
                assert_named_and_nothing_lost(raw, cache, f"{VICTIM}.edf")
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_lists_of_sums_that_are_none_are_said_and_not_believed(whole, tmp_path, caplog):
    raw = Path(shutil.copytree(whole[0], tmp_path / "raw"))
    (raw / "SHA256SUMS.txt").write_text("<html>Please log in</html>\n")
    assert prepare(TINY, raw, tmp_path / "cache", progress=False).complete
    assert "No file is compared with" in caplog.text

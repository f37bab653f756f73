"""`recipe.json` keeps its bytes: of windows and of vectors, read and written again."""

import json
from pathlib import Path

import pytest

from eegfm.contracts import EegfmError
from eegfm.data.manifest import Manifest
from eegfm.data.preparing.embed import embed
from eegfm.data.preparing.pipeline import prepare
from eegfm.data.store import SampleStore
from eegfm.encoders.spectrum import Spectrum
from eegfm.support.files import write_json
from tests import corpus
from tests.corpus import TINY

# A golden, as for the bytes of a store: a key that moves makes other bytes of every store.
WINDOWS = (
    "fingerprint recipe shape windows protocol simulated within_subject complete subjects_total census "
    "census_differences missing unusable left_out recordings prepared_with"
).split()
VECTORS = (
    "fingerprint recipe shape windows protocol complete simulated within_subject census census_differences "
    "recordings missing unusable left_out subjects_total prepared_with source"
).split()


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> dict[str, SampleStore]:
    root = tmp_path_factory.mktemp("manifest")
    corpus.write(root / "raw")
    windows = prepare(TINY, root / "raw", root / "cache", progress=False)
    return {"windows": windows, "vectors": embed(windows, Spectrum(), root / "cache", progress=False)}


@pytest.mark.parametrize(("kind", "keys"), [("windows", WINDOWS), ("vectors", VECTORS)])
def test_the_file_has_its_keys_in_their_order_and_is_written_as_it_was_read(stores, tmp_path, kind, keys):
    path = stores[kind].folder / "recipe.json"
    assert list(json.loads(path.read_text())) == keys
    write_json(tmp_path / "again.json", Manifest.read(path.parent).values())
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


def test_vectors_tell_of_the_recordings_of_their_windows(stores):
    windows, vectors = (stores[kind].manifest for kind in ("windows", "vectors"))
    assert vectors.recordings == windows.recordings and vectors.n_subjects == 5
    assert vectors.source is not None and vectors.source["fingerprint"] == windows.fingerprint


@pytest.mark.parametrize(
    "text", ["", "[]", '{"recipe": {}}', '{"recipe": {}, "shape": [1], "colour": "red"}'], ids=str
)
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, text):
    (tmp_path / "recipe.json").write_text(text)
    with pytest.raises(
        EegfmError, match=rf"{tmp_path}/recipe.json is damaged.*rm -r {tmp_path}  and the same command"
    ):
        Manifest.read(tmp_path)

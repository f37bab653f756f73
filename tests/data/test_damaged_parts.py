"""A part of a preparation that a disk has changed: the command names it, and typed again it makes that part anew."""

import shutil
from pathlib import Path

import pytest

from eegfm.contracts import EegfmError
from eegfm.data.preparing import embed, pipeline
from tests import corpus
from tests.data.test_damaged_store import flip, module

STOPPED = {"windows": pipeline, "vectors": embed}  # where the store is written, after its parts


@pytest.mark.parametrize("kind", STOPPED)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_the_same_command_typed_again_goes_on_and_nothing_is_left_behind(
    tmp_path, monkeypatch, kind, suffix
):
    place, undamaged = tmp_path / "place", tmp_path / "undamaged"
    corpus.write(place / "raw")
    if kind == "vectors":
        module(place, "windows").prepare_data()
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(STOPPED[kind], "write_store", _stopped)
        module(place, kind).prepare_data()
    shutil.copytree(place, undamaged)
    module(undamaged, kind).prepare_data()
    part = sorted(place.glob(f"cache/tiny/*.parts/*{suffix}"))[3]
    flip(part, part.stat().st_size // 2)
    with pytest.raises(EegfmError, match=f"{part.name} is damaged"):
        module(place, kind).prepare_data()
    assert not list(place.rglob("*.unfinished"))
    module(place, kind).prepare_data()
    assert stores(place) == stores(undamaged)


def _stopped(*_: object) -> None:
    raise KeyboardInterrupt


def stores(place: Path) -> dict[Path, bytes]:
    found = {path.relative_to(place): path.read_bytes() for path in place.glob("cache/tiny/*/samples.mdb")}
    assert found and not list(place.glob("cache/tiny/*.parts"))
    return found

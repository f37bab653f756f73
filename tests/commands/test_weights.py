"""Published weights: all are listed, and one is fetched from a hub on this machine by the hub library's own client."""

import hashlib
import json
import os
import time
from pathlib import Path

import pytest
from huggingface_hub import constants

from eegfm.commands.weights import main
from eegfm.commands.work import weights
from eegfm.commands.work.published_files import chosen, published_files
from eegfm.config.schema import config_dir
from eegfm.contracts import EegfmError
from eegfm.encoders.moment import Moment
from eegfm.encoders.ttm import Ttm
from tests.fake_hub import Shelf, serving_hub

CONTENT = os.urandom(300_000)
TTM, MAIN = "ibm-granite/granite-timeseries-ttm-r2", "a" * 40


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("EEGFM_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "weights"


@pytest.fixture
def hub(folder, monkeypatch):
    """A hub with the small MOMENT at its commit, and TinyTimeMixer, of which no commit is known."""
    moment = chosen(["encoder=moment", "encoder.size=small"])
    assert moment.revision is not None
    shelf = Shelf(
        files={
            (moment.repository, moment.revision, moment.file): CONTENT,
            (TTM, MAIN, "model.safetensors"): CONTENT,
        },
        main={TTM: MAIN},
    )
    with serving_hub(shelf) as address:
        at(address, monkeypatch)
        yield shelf


def at(address, monkeypatch):
    """The hub's client asks this address, and no other."""
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", address)


def test_every_option_with_published_weights_is_listed(folder, capsys):
    """What for, size, licence, what it has seen, here or not."""
    (folder / "ttm-r2-512-96").mkdir(parents=True)
    (folder / "ttm-r2-512-96" / "model.safetensors").write_bytes(b"1")
    main([])
    blocks = capsys.readouterr().out.split("\n  ")
    shown = "\n".join(blocks)
    encoders = [p.stem for p in (config_dir() / "encoder").glob("*.yaml") if "weights:" in p.read_text()]
    assert len(encoders) == 6 and all(f"encoder={name}" in shown for name in encoders)
    for said in (
        "encoder.size=mini",
        "model=cbramod",
        "model.name=Labram",
        "Dcode-AI/SAMBA-2s",
        "152 MB, MIT",
    ):
        assert said in shown
    assert f"here: {folder / 'ttm-r2-512-96' / 'model.safetensors'}" in shown
    assert f"not here ({folder / 'moment-1-small' / 'model.safetensors'})" in shown
    assert "seen: tuab, tuev" in shown and "seen: physionet_mi" in shown
    assert len({one.words for one in published_files()}) == len(published_files())


def test_a_file_comes_at_its_commit_and_is_held(folder, hub):
    said = weights.fetch(["encoder=moment", "encoder.size=small"])
    one = chosen(["encoder=moment", "encoder.size=small"])
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert one.revision in said and digest in said and "encoder=moment encoder.size=small" in said
    assert one.path.read_bytes() == CONTENT
    assert (one.path.parent / "model.safetensors.sha256").read_text() == f"{digest}  model.safetensors\n"
    assert sorted(p.name for p in one.folder.iterdir()) == [
        "fetched.json", "model.safetensors", "model.safetensors.sha256",
    ]  # fmt: skip
    hub.asked.clear()
    assert "here already" in weights.fetch(["encoder=moment", "encoder.size=small"]) and not hub.asked
    one.path.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(EegfmError, match="not the published file"):
        weights.fetch(["encoder=moment", "encoder.size=small"])


def test_where_no_commit_is_known_the_first_one_is_held(folder, hub):
    """The hub's main moves on; what is fetched again is what was fetched first."""
    weights.fetch(["encoder=ttm"])
    path = folder / "ttm-r2-512-96" / "model.safetensors"
    assert json.loads((path.parent / "fetched.json").read_text())[path.name]["revision"] == MAIN
    path.unlink()
    hub.main[TTM] = "b" * 40
    hub.files[TTM, "b" * 40, path.name] = CONTENT[::-1]
    weights.fetch(["encoder=ttm"])
    assert path.read_bytes() == CONTENT


def test_a_fetched_file_that_has_changed_since_is_not_used(folder, hub):
    with pytest.raises(EegfmError, match=r"Type: eegfm weights fetch encoder=moment encoder\.size=small\n"):
        Moment(size="small", weights=folder / "moment-1-small")
    weights.fetch(["encoder=ttm"])
    path = folder / "ttm-r2-512-96" / "model.safetensors"
    Ttm(weights=path.parent)
    path.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(
        EegfmError, match=r"is not the file that was fetched.*eegfm weights fetch encoder=ttm"
    ):
        Ttm(weights=path.parent)


def test_a_cut_connection_is_told_and_the_same_command_goes_on(folder, hub, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between tries
    hub.cut_after = 6 * 16384  # whole pieces, of which what has arrived is kept
    with pytest.raises(EegfmError, match="Type the command again: it goes on"):
        weights.fetch(["encoder=ttm"])
    path = folder / "ttm-r2-512-96" / "model.safetensors"
    assert not path.exists()
    hub.cut_after = None
    hub.asked.clear()
    weights.fetch(["encoder=ttm"])
    assert [asked for command, _, asked in hub.asked if command == "GET" and asked] == ["bytes=98304-"]
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("words", [["model=cbramod"], ["encoder=moment", "encoder.size=small"]])
def test_a_wrong_file_is_refused_by_name(folder, hub, words):
    """Of CBraMod's file the sum is known here; of MOMENT's the hub says it, and then sends something else."""
    one = chosen(words)
    assert one.revision is not None
    hub.files[one.repository, one.revision, one.file] = CONTENT
    hub.said = "0" * 64
    digest = hashlib.sha256(CONTENT).hexdigest()
    with pytest.raises(
        EegfmError, match=rf"{one.repository} gave another {one.file} .*is {digest}, wanted \w{{64}}\."
    ):
        weights.fetch(words)
    assert not list(one.folder.iterdir())


def test_without_a_network_it_is_said_where_to_put_the_file(folder, monkeypatch, capsys):
    at("http://127.0.0.1:9", monkeypatch)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with pytest.raises(SystemExit) as stop:
        main(["fetch", "encoder=moment"])
    one = chosen(["encoder=moment"])
    assert one.words == ("encoder=moment", "encoder.size=large")
    assert f"https://huggingface.co/{one.repository}/resolve/{one.revision}/{one.file}" in str(stop.value)
    assert f"as {one.path}" in str(stop.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["encoder=mommet"], "no published file"),
        (["model=samba"], "several files.*repository=SAMBA-2s"),
        (["model=braindecode", "model.name=BIOT"], "several files"),
    ],
)
def test_what_names_no_single_file_is_answered_by_the_choice(folder, words, said):
    with pytest.raises(EegfmError, match=f"(?s){said}"):
        chosen(words)

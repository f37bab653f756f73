"""A damaged journal of a search: the sentence names the file and what is lost, or what was half written is cut off."""

import logging
import re

import pytest

pytest.importorskip("optuna", reason="the extra `search` is not installed")

import optuna

from eegfm.contracts import EegfmError
from eegfm.search.study import open_storage


@pytest.fixture
def journal(tmp_path):
    """Five trials, three entries each, behind the entry of the study."""
    path = tmp_path / "study.journal"
    study = optuna.create_study(storage=open_storage(str(path)), study_name="s")
    for _ in range(5):
        trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
        study.tell(trial, trial.params["x"])
    return path


def trials(path):
    return optuna.load_study(storage=open_storage(str(path)), study_name="s").trials


@pytest.mark.parametrize("damage", [b"\x00", b"[]\n", b'{"op": 1}\n', b"\xff\xfe\n"])
def test_what_is_lost_is_said_and_the_command_that_is_told_goes_on_with_the_rest(journal, damage):
    lines = journal.read_bytes().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if b'"op_code":4,' in line and i > 6)
    journal.write_bytes(b"".join([*lines[:at], damage, *lines[at:]]))
    with pytest.raises(
        EegfmError, match=r"study\.journal is damaged: line \d+ of \d+ is not as it was written"
    ) as error:
        open_storage(str(journal))
    said = re.search(r"(\d) of its 5 trials begin before it.*head -n (\d+)", str(error.value))
    assert said and int(said[1]) == sum(b'"op_code":4,' in line for line in lines[:at])
    assert int(said[2]) == at
    journal.write_bytes(b"".join(lines[: int(said[2])]))
    assert len(trials(journal)) == int(said[1])


def test_half_an_entry_of_a_killed_process_is_cut_off_with_a_word(journal, caplog):
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":4,"worker_')
    with caplog.at_level(logging.WARNING):
        assert len(trials(journal)) == 5
    assert "study.journal ends in half an entry" in caplog.text
    assert journal.read_bytes() == whole
    study = optuna.load_study(storage=open_storage(str(journal)), study_name="s")
    study.ask()
    assert len(trials(journal)) == 6


def test_entries_that_make_no_study_are_told(journal):
    text = journal.read_text().replace('"study_name"', '"study_game"')
    journal.write_text(re.sub(r',"sha256":"\w+"', "", text))  # as they were written before they had sums
    with pytest.raises(EegfmError, match=r"study\.journal is damaged: its entries make no study"):
        open_storage(str(journal))


def test_an_empty_journal_and_none_are_a_search_that_begins(tmp_path):
    (tmp_path / "empty").touch()
    for name in ("empty", "none"):
        assert open_storage(str(tmp_path / name)).get_all_studies() == []

"""Changes of the process are undone, even if the work ends in an error."""

import logging
import os
import sys

import pytest

from eegfm.support.process import arguments, environment, level


def test_variables_are_as_they_were_whatever_happens_to_them_meanwhile(monkeypatch):
    monkeypatch.setenv("EEGFM_OURS", "mine")
    monkeypatch.delenv("EEGFM_NONE", raising=False)
    monkeypatch.setenv("EEGFM_LEFT", "left")
    with (
        pytest.raises(KeyError),
        environment(EEGFM_OURS="theirs", EEGFM_NONE="now", EEGFM_LEFT=None, EEGFM_SET=None),
    ):
        assert (os.environ["EEGFM_OURS"], os.environ["EEGFM_NONE"]) == ("theirs", "now")
        assert os.environ["EEGFM_LEFT"] == "left" and "EEGFM_SET" not in os.environ
        os.environ.update(EEGFM_OURS="third", EEGFM_LEFT="third", EEGFM_SET="third")
        raise KeyError
    assert (os.environ["EEGFM_OURS"], os.environ["EEGFM_LEFT"]) == ("mine", "left")
    assert not {"EEGFM_NONE", "EEGFM_SET"} & set(os.environ)


def test_the_command_line_is_as_it_was():
    before, copy = sys.argv, [*sys.argv]
    with pytest.raises(KeyError), arguments("eegfm train", "model=stamp"):
        assert sys.argv == ["eegfm train", "model=stamp"]
        raise KeyError
    assert sys.argv is before and sys.argv == copy


def test_loggers_have_their_own_levels_again():
    names = ("", "eegfm.test_process", "eegfm.test_process.inner")
    logging.getLogger(names[1]).setLevel(logging.DEBUG)
    before = [logging.getLogger(name).level for name in names]
    with pytest.raises(KeyError), level(logging.ERROR, *names):
        assert [logging.getLogger(name).level for name in names] == [logging.ERROR] * 3
        raise KeyError
    assert [logging.getLogger(name).level for name in names] == before

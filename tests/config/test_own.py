"""A person's own options: `./conf` beside them is found, by every command, and never takes the place of ours."""

import os
import sys
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig

from eegfm.commands.completion import candidates
from eegfm.commands.work.submit import cells_of
from eegfm.config.doors import help_screen
from eegfm.config.own import found_here, searchpath
from eegfm.config.schema import config_dir
from eegfm.contracts import EegfmError
from eegfm.train import main
from tests.command_line import call, environment

MINE = """# Rest or task, of my own.
defaults: [shared/module@_here_, _self_]
benchmark: {_target_: hydra.utils.get_object, path: tests.corpus.TINY}
raw: ${paths.raw}/tiny
"""


@pytest.fixture(params=["plain", "it's a [folder], =1"])
def place(request, tmp_path, monkeypatch) -> Path:
    folder = tmp_path / request.param
    (folder / "conf" / "data").mkdir(parents=True)
    (folder / "conf" / "data" / "tiny.yaml").write_text(MINE)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)  # a command leaves it set
    return folder


def test_options_beside_a_person_are_found_whatever_the_folder_is_called(place, monkeypatch, capsys):
    assert found_here() == place / "conf"
    monkeypatch.setattr(sys, "argv", ["eegfm train", "data=tiny", "--cfg", "job"])
    main()
    assert "path: tests.corpus.TINY" in capsys.readouterr().out
    assert "data=tiny" in candidates("eegfm train data=t")
    (cell,) = cells_of(["data=tiny"])
    assert "-tiny-s654-" in cell.folder.name and cell.overrides == ["data=tiny"]


def test_runs_of_one_kind_lie_in_a_folder_of_a_persons_choice_and_are_the_same_runs(place):
    (cell,), (named,), (shown,) = (
        cells_of(["data=tiny", *more]) for more in ([], ["folder=first"], ["folder=first", "row=bandpower"])
    )
    assert cell.folder.parts[-2:] == ("single", named.folder.name)
    assert named.folder.parts[-2:] == ("first", cell.folder.name)
    assert shown.folder.parent == named.folder.parent and shown.folder != named.folder


def test_an_option_that_says_nothing_is_a_sentence(place, monkeypatch):
    (place / "conf/data/tiny.yaml").write_text("")
    monkeypatch.setattr(sys, "argv", ["eegfm train", "data=tiny"])
    with pytest.raises(
        SystemExit, match=r"data=tiny: the file data/tiny.yaml does not say what to make. It has to"
    ):
        main()


def test_help_and_mistakes_name_them(place, monkeypatch, capsys):
    (line,) = [line for line in help_screen("train", "", found_here()).splitlines() if "data=tiny" in line]
    assert line.split(None, 1) == ["data=tiny", "Rest or task, of my own"]
    monkeypatch.setattr(sys, "argv", ["eegfm train", "data=tinny"])
    with pytest.raises(SystemExit, match="Did you mean tiny"):
        main()


def test_they_may_be_part_of_a_mix(place, monkeypatch, capsys):
    monkeypatch.setattr(
        sys, "argv", ["eegfm train", "data=mix", "data/corpora=[tiny,synthetic]", "--cfg", "job"]
    )
    main()
    assert "path: tests.corpus.TINY" in capsys.readouterr().out


def test_a_name_that_we_have_is_refused(place, monkeypatch):
    (place / "conf" / "data" / "tuev.yaml").write_text(MINE)
    monkeypatch.setattr(sys, "argv", ["eegfm train", "data=tiny"])
    with pytest.raises(SystemExit, match=r"tuev\.yaml: eegfm has data=tuev of its own"):
        main()


def test_a_tree_of_ours_and_other_programs_conf_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(config_dir().parent)
    assert found_here() is None  # a checkout
    (tmp_path / "conf" / "nginx").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert found_here() is None
    (tmp_path / "conf" / "data").mkdir()
    assert found_here() == tmp_path / "conf"
    assert searchpath(None) == searchpath(tmp_path / "not there") == []
    (tmp_path / "conf" / "data" / "synthetic.yaml").write_text(MINE)
    with pytest.raises(EegfmError, match="data=synthetic of its own"):
        searchpath(found_here())


@pytest.mark.slow
def test_the_overview_lists_them_and_a_run_is_not_filed_under_another_name(place):
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    env = environment(PYTHONPATH=path, COLUMNS="160")
    said = call("eegfm", "verify", cwd=place, env=env).stdout
    assert "tiny" in said and "synthetic" in said
    (place / "conf" / "data" / "other.yaml").write_text(MINE)
    (place / "conf" / "data" / "broken.yaml").write_text(MINE.replace("TINY", "HUGE"))
    again = call("eegfm", "verify", cwd=place, env=env)
    assert again.returncode == 0 and "unclear" in again.stdout, again.stderr
    refused = call("eegfm", "train", "data=other", "model=majority", cwd=place, env=env)
    assert (
        refused.returncode == 1 and "Keep it in conf/data/tiny.yaml, and type data=tiny" in refused.stderr
    )

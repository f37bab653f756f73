"""Keys that are left at ???: the file, all keys at once, and what each may be."""

import re
from pathlib import Path

import pytest

from tests.command_line import call
from tests.own.folder import folder


def said(place: Path, *typed: str) -> str:
    done = call("eegfm", *typed, cwd=place)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    return done.stderr


@pytest.mark.slow
def test_what_new_has_left_open_is_told_with_its_file_and_choices(tmp_path):
    folder(tmp_path / "recordings")
    assert call("eegfm", "new", "recordings", "--name=mine", cwd=tmp_path).returncode == 0
    file = tmp_path / "conf" / "data" / "mine.yaml"
    left = re.findall(r"^  (\w+): \?\?\?$", file.read_text(), flags=re.MULTILINE)
    assert {"labels", "windows"} <= {*left}
    told = said(tmp_path, "prepare", "data=mine")
    assert told.startswith(f"conf/data/mine.yaml: {len(left)} keys are not decided.")
    assert re.findall(r"^  (\w+): \?\?\?$", told, flags=re.MULTILINE) == left
    assert "{cut: end_to_end, length_s: 4}" in told and "{from: path}" in told
    # Hydra takes a ??? over a value for no value: without labels this would train for reconstruction alone
    told = said(tmp_path, "train", "data=mine", "data.benchmark.windows={cut: end_to_end, length_s: 2}")
    assert "windows" not in told.split("cut:")[0] and "  labels: ???" in told


@pytest.mark.slow
def test_what_a_file_does_not_say_at_all_is_told_with_the_comment_of_the_key(tmp_path):
    (tmp_path / "conf" / "data").mkdir(parents=True)
    text = 'defaults: [shared/own@_here_, _self_]\nbenchmark:\n  name: bare\n  files: "*.edf"\n'
    (tmp_path / "conf" / "data" / "bare.yaml").write_text(text)
    told = said(tmp_path, "verify", "data=bare")
    assert told.startswith("conf/data/bare.yaml: 2 keys are not decided.")
    assert "  channels: ???\n    [Fz, Cz, Pz], in the order to be stored" in told

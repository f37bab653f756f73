"""`eegfm verify`: the table and its exit status, the screen of all benchmarks, and the command line."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import DictConfig

from eegfm.commands.work.verify import Surveyed, overview, show_checks, show_overview
from eegfm.config.schema import benchmark_options
from eegfm.data.preparing.pipeline import prepare
from eegfm.data.verifying.checks import Check
from eegfm.data.verifying.verify import verify
from eegfm.signal.steps import BandPass, Resample
from eegfm.support.words import console
from tests import corpora
from tests.command_line import call, call_afresh
from tests.composed import composed

OPTIONS = [path.stem for path in benchmark_options()]
CHECKS = [
    Check("raw files", "3 of 4 in data/raw/x", "4 recordings", "off", "Fetch [them] again."),
    Check("50 Hz", "8.1 of the power around it", "not notched", "warning", "Nothing to do."),
    Check("subjects", "none shared", "no subject in two splits"),
]


def printed(show, *arguments, width: int) -> list[str]:
    screen = console(width=width, record=True, file=open("/dev/null", "w"))
    show(*arguments, screen)
    return screen.export_text().splitlines()


def config(tmp_path: Path) -> DictConfig:
    return composed(f"paths.raw={tmp_path}/raw", f"paths.cache={tmp_path}/cache", door="verify")


def surveyed(tmp_path: Path) -> dict[str, Surveyed]:
    return {row.name: row for row in overview(config(tmp_path))}


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_says_what_was_found_and_what_to_do_about_it(width):
    lines = printed(show_checks, "A corpus", CHECKS, width=width)
    assert all(len(line.rstrip()) <= width for line in lines[: len(CHECKS) + 3])
    assert lines[-1] == "1 ok, 1 warning, 1 off"
    assert [line.split()[0] for line in lines[3:6]] == ["OFF", "warn", "ok"]
    assert "raw files: Fetch [them] again." in lines


@pytest.mark.parametrize("width", [80, 120])
def test_the_screen_of_all_benchmarks_has_a_row_each_and_fits(tmp_path, width):
    lines = printed(show_overview, overview(config(tmp_path)), width=width)
    assert sorted(line.split()[0] for line in lines[2 : 2 + len(OPTIONS)]) == OPTIONS
    assert all(len(line.rstrip()) <= width for line in lines[: 2 + len(OPTIONS)])
    assert len(lines) <= len(OPTIONS) + 6


def test_an_empty_disk_says_how_to_begin(tmp_path):
    rows = surveyed(tmp_path)
    assert set(rows) == set(OPTIONS)
    assert rows["mental_arithmetic"].raw == "0/72" and rows["tuab"].raw == "0/2993"
    assert {row.prepared for row in rows.values()} == {row.verified for row in rows.values()} == {"–"}
    assert rows["mental_arithmetic"].next == "eegfm prepare data={} data.download=true"
    assert rows["synthetic"].next == "eegfm prepare data={}"
    assert "data/README.md" in rows["tuev"].next


def test_each_state_of_a_benchmark_is_told_from_the_others(tmp_path):
    """Raw, prepared, verified, spoilt: each has its word and its next command; another recipe's store is not it."""
    corpus = corpora.corpora()["mumtaz2016-repaired"]
    benchmark, raw, cache = corpora.made(corpus.name), tmp_path / "raw" / "mumtaz2016", tmp_path / "cache"
    raw.mkdir(parents=True)
    corpus.write(raw, corpus.table)
    assert surveyed(tmp_path)["mumtaz2016"].next == "eegfm verify data={}"

    other = (Resample(200.0), BandPass(low=0.5, high=40))
    prepare(benchmark, raw, cache, steps=other, allow_partial=True, progress=False)
    row = surveyed(tmp_path)["mumtaz2016"]
    assert (row.prepared, row.others) == ("–", 1)

    store = prepare(benchmark, raw, cache, allow_partial=True, progress=False)
    row = surveyed(tmp_path)["mumtaz2016"]
    assert (row.prepared, row.verified, row.others) == ("partial", "no", 1)
    assert (
        row.store == store.recipe.fingerprint and row.bytes > (store.folder / "samples.mdb").stat().st_size
    )

    verify(benchmark, raw, cache, progress=False)
    row = surveyed(tmp_path)["mumtaz2016"]
    assert (row.verified, row.next) == ("yes", "eegfm train data={} data.allow_partial=true")

    content = bytearray((store.folder / "samples.mdb").read_bytes())
    at = content.index(store.read([0])[0].tobytes())
    content[at] ^= 1
    (store.folder / "samples.mdb").write_bytes(content)
    assert surveyed(tmp_path)["mumtaz2016"].verified == "no"
    verify(benchmark, raw, cache, progress=False)
    assert surveyed(tmp_path)["mumtaz2016"].verified == "failed"


@pytest.mark.slow
def test_the_command_line(tmp_path, simulated):
    """Not prepared: exit 0 and a next step. Prepared: all checks pass. Damaged: exit 1, and the file is named."""
    before = call_afresh("eegfm", "verify", "data=synthetic", cwd=tmp_path)
    assert before.returncode == 0 and "eegfm prepare data=synthetic" in before.stdout, before.stderr
    simulated(tmp_path)
    right = call("eegfm", "verify", "data=synthetic", cwd=tmp_path)
    assert right.returncode == 0 and right.stdout.rstrip().endswith("0 warnings, 0 off"), right.stdout
    assert "train data=synthetic" in call("eegfm", "verify", cwd=tmp_path).stdout
    (tmp_path / "data/raw/synthetic/synthetic_S03_raw.fif").unlink()
    wrong = call("eegfm", "verify", "data=synthetic", cwd=tmp_path)
    # the column breaks lines by the length of the folder's name
    assert wrong.returncode == 1 and "missing:" in wrong.stdout and "synthetic_S03" in wrong.stdout, (
        wrong.stdout
    )
    assert "Traceback" not in wrong.stderr
    variant = call("eegfm", "verify", "data=mumtaz2016", "data.benchmark.variant=published", cwd=tmp_path)
    assert variant.returncode == 1 and "0 of" in variant.stdout, variant.stderr
    refused = call("eegfm", "verify", "data=mumtaz", cwd=tmp_path)
    assert refused.returncode == 1 and "mumtaz2016" in refused.stderr


@pytest.mark.slow
def test_what_is_told_to_type_puts_a_damaged_store_right(tmp_path):
    """Typed as it stands, with the folders and choices of the command that was told it."""
    corpus = corpora.corpora()["mental_arithmetic"]
    (tmp_path / "their files").mkdir()
    corpus.write(tmp_path / "their files", corpus.table)
    words = (
        "data=mental_arithmetic",
        "data.raw='their files'",
        "paths.cache=stores",
        "data.allow_partial=true",
    )
    assert call("eegfm", "prepare", *words, cwd=tmp_path).returncode == 0
    (damaged,) = tmp_path.glob("stores/*/*/index.npz")
    damaged.write_bytes(b"")
    wrong = call("eegfm", "verify", *words, cwd=tmp_path)
    assert wrong.returncode == 1
    (told,) = re.findall(r"(rm -r .*?)  and then type: (eegfm prepare .*)", wrong.stdout)
    subprocess.run(told[0], shell=True, check=True, cwd=tmp_path)
    again = call(*shlex.split(told[1]), cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    right = call("eegfm", "verify", *words, cwd=tmp_path)
    assert right.returncode == 0, right.stdout


@pytest.mark.slow
def test_neither_torch_nor_what_reads_recordings_is_loaded_for_the_overview(tmp_path):
    code = (
        "import sys; sys.argv = ['verify']\n"
        "from eegfm.commands.verify import main\n"
        "main()\n"
        "heavy = {'torch', 'lightning', 'scipy.signal', 'mne.io', 'h5py', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr

"""What must be known before a number is shown beside it, completely: on every screen, page, figure and file.

One run has all marks at once. Most it has come by honestly; what only a corpus of people or another laboratory's store
would bring is added to what the data say of themselves.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from eegfm import report
from eegfm.analysis.evaluate import evaluate
from eegfm.build import build_data
from eegfm.commands.export import export
from eegfm.commands.work.stream import stream
from eegfm.config.identity import named
from eegfm.data.module import EEGDataModule
from eegfm.prepare import show as show_store
from eegfm.reporting import dashboard, data_page, wandb_page
from eegfm.reporting.groups import group_runs
from eegfm.reporting.run_folders import read_runs
from eegfm.runs.reservations import reservations, reservations_of
from eegfm.runs.results import read_result, write_result
from eegfm.runs.summary import show
from eegfm.runs.wandb import summary
from eegfm.training.run import train
from tests.composed import composed, with_choices
from tests.made_run import facts, make_run
from tests.stream_runs import untrained_run, write_recording

OF_DATA = (
    "SIMULATED",
    "IMPORTED",
    "PARTIAL",
    "WITHIN-SUBJECT",
    "OTHER SPLIT",
    "OTHER STEPS",
    "OTHER WINDOWS",
)
OF_WEIGHTS = (*OF_DATA, "OVERLAP", "UNKNOWN PEOPLE", "SEEN")
OF_SCORES = (*OF_WEIGHTS, "CUT")
SMALL = (
    "data=synthetic",
    "model=stamp",
    "encoder=spectrum",
    "model.depth=1",
    "model.width=16",
    "model.ff_width=16",
)


def missing(text: str, marks: tuple[str, ...]) -> list[str]:
    """The marks that a text does not have; lines of a screen and of a title are joined."""
    said = " ".join(text.split())
    return [mark for mark in marks if mark not in said]


# ---- what is said ----------------------------------------------------------------------------------------------------


def test_nothing_is_said_of_a_whole_corpus_in_its_published_protocol():
    assert reservations(facts()) == []


ONE_EACH = {
    "SIMULATED": {"simulated": True},
    "IMPORTED": {"imported": "from a pickled LMDB"},
    "PARTIAL": {"complete": False, "subjects_total": 36},
    "WITHIN-SUBJECT": {"within_subject": True},
    "OTHER SPLIT": {"split": {"name": "KFold", "fold": 0}},
    "OTHER STEPS": {"published_steps": False},
    "OTHER WINDOWS": {"window_s": 30.0},
}


@pytest.mark.parametrize("mark", ONE_EACH)
def test_a_fact_of_the_data_is_one_mark_and_its_sentence_begins_with_it(mark):
    (one,) = reservations(facts(**ONE_EACH[mark]))
    assert one.mark == mark and str(one).startswith(mark)


def test_nothing_is_said_to_be_published_of_somebodys_own_recordings(tmp_path, capsys):
    own = facts(protocol="mine@own", **ONE_EACH["OTHER SPLIT"])
    assert reservations(own) == [] and own.division == "KFold, fold 0"
    changed = facts(protocol="mine@own", published_steps=False, window_s=2.0)
    assert [str(one) for one in reservations(changed)] == [
        "OTHER STEPS of signal processing than those of its file (data.steps)",
        "OTHER WINDOWS than those of its file: 2 s (data.window_s)",
    ]
    # a mix of both has a published one to differ from
    mixed = facts(corpora={"mine": own, "eegmat": facts()}, **ONE_EACH["OTHER SPLIT"])
    assert [one.mark for one in reservations(mixed)] == ["OTHER SPLIT"]
    benchmark = {"protocol": "mine@own", "split": {"name": "KFold", "fold": 0}}
    show(make_run(tmp_path / "run", 1, benchmark=benchmark), tmp_path / "run")
    report.main([str(tmp_path)])
    report.main([str(tmp_path), "--against", "paper"])
    said = capsys.readouterr().out
    assert "split: KFold, fold 0\n" in said and "split KFold, fold 0" in said
    assert "OTHER" not in said and "another split" not in said


def test_a_fact_of_the_run_is_one_mark():
    for mark, fact in (
        ("RANDOM WEIGHTS", {"task": "probe", "started_from": {}}),
        ("OVERLAP", {"overlap": ["mental_arithmetic/S32"]}),
        ("UNKNOWN PEOPLE", {"unknown": True}),
        ("SEEN", {"seen": {"mental_arithmetic": "told by its authors"}}),
        ("CUT", {"tested": 119}),
    ):
        assert [one.mark for one in reservations(facts(), **fact)] == [mark]
    nothing = {"task": "probe", "started_from": {"weights": "best.ckpt"}, "tested": 120}
    assert reservations(facts(), **nothing) == []


def test_of_many_overlapping_subjects_the_first_are_named():
    (one,) = reservations(facts(), overlap=[f"tuab/{i}" for i in range(7)])
    assert str(one).endswith("7 of the test subjects (tuab/0, tuab/1, tuab/2, tuab/3, tuab/4 and 2 more)")


# ---- everywhere ------------------------------------------------------------------------------------------------------


class Titles:
    """The titles of the figures that were drawn since they were last asked for."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def take(self) -> list[str]:
        found, self.found = self.found, []
        return found


@pytest.fixture(scope="module")
def titles():
    kept, real = Titles(), Figure.suptitle

    def suptitle(self, t, **kwargs):
        kept.found.append(t)
        return real(self, t, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "suptitle", suptitle)
        yield kept


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where things lie; the data that are opened there are partial and imported, of other windows, of persons twice."""
    real = EEGDataModule.provenance
    more = {
        **ONE_EACH["OTHER STEPS"],
        **ONE_EACH["PARTIAL"],
        **ONE_EACH["IMPORTED"],
        **ONE_EACH["WITHIN-SUBJECT"],
        **ONE_EACH["OTHER WINDOWS"],
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EEGDataModule, "provenance", lambda self: replace(real(self), **more))
        yield tmp_path_factory.mktemp("reservations")


@pytest.fixture(scope="module")
def run(place, titles):
    """The folder of a trained run with every mark: it starts, on another split, from weights that know everybody, and
    do not say whether that is all."""
    here = (f"paths.cache={place}/cache", f"paths.raw={place}/raw", f"paths.runs={place}/runs")
    before = untrained_run(place / "before", *SMALL, *here)
    kept = torch.load(before / "checkpoints" / "best.ckpt", weights_only=True)
    everybody = {"subjects": [f"S{i:02d}" for i in range(100)], "beside": []}
    kept["seen"] = {"people": {"synthetic": everybody}, "whole": False}
    torch.save(kept, before / "checkpoints" / "best.ckpt")
    config, choices = with_choices(
        *SMALL, *here, "trainer=smoke", f"weights={before}", "allow_overlap=true", "split=kfold",
        "+encoder.seen={synthetic: its authors say so}",
    )  # fmt: skip
    folder = Path(config.paths.runs) / named(config, choices)
    folder.mkdir(parents=True)
    train(config, folder, choices)
    assert {one.mark for one in reservations_of(read_result(folder))} == set(OF_SCORES)
    return folder


@pytest.fixture(params=["folder", "checkpoint"])
def asked(run, request):
    """`run=`: the run's folder, or the checkpoint in it."""
    return run if request.param == "folder" else run / "checkpoints" / "best.ckpt"


@pytest.mark.slow
def test_training_shows_all_marks_on_its_figures(run, titles):
    """It is the first to draw: every figure of the run, its curves as well."""
    drawn = titles.take()
    assert len(drawn) >= 3 and not [title for title in drawn if missing(title, OF_SCORES)]


@pytest.mark.slow
def test_scores_show_all_marks(run, asked, place, capsys):
    evaluate(composed(f"run={asked}", f"paths.cache={place}/cache", door="evaluate"))
    assert missing(capsys.readouterr().out, OF_SCORES) == []


@pytest.mark.slow
def test_explain_shows_all_marks_on_its_screen_page_file_and_figures(run, asked, place, titles, capsys):
    titles.take()
    evaluate(composed(f"run={asked}", "explain=true", f"paths.cache={place}/cache", door="evaluate"))
    (folder,) = run.glob("evaluations/test-best-*")
    for text in (capsys.readouterr().out, (folder / "explain_test.html").read_text()):
        assert missing(text, OF_WEIGHTS) == []
    assert (
        missing(" ".join(json.loads((folder / "explain_test.json").read_text())["warnings"]), OF_WEIGHTS)
        == []
    )
    drawn = titles.take()
    assert len(drawn) >= 3 and not [title for title in drawn if missing(title, OF_WEIGHTS)]


@pytest.mark.slow
def test_an_embedding_map_shows_all_marks(run, asked, place, titles, capsys):
    titles.take()
    evaluate(composed(f"run={asked}", "embedding_map=true", f"paths.cache={place}/cache", door="evaluate"))
    (folder,) = run.glob("evaluations/val-best-*")
    assert missing(capsys.readouterr().out, OF_WEIGHTS) == []
    said = json.loads((folder / "embedding_map_val.json").read_text())["warnings"]
    assert missing(" ".join(said), OF_WEIGHTS) == []
    (title,) = titles.take()
    assert missing(title, OF_WEIGHTS) == []


@pytest.mark.slow
def test_a_checkpoint_that_left_its_run_still_knows_whom_it_has_seen(run, place, tmp_path, capsys):
    copy = shutil.copy(run / "checkpoints" / "best.ckpt", tmp_path)
    evaluate(composed(f"run={copy}", f"paths.cache={place}/cache", door="evaluate"))
    assert missing(capsys.readouterr().out, OF_SCORES) == []


@pytest.mark.slow
def test_a_stream_shows_all_marks(run, asked, tmp_path, titles, capsys):
    spec = build_data(composed(*SMALL)).spec
    file = write_recording(tmp_path / "night.edf", list(spec.montage.names), 200, 60)
    titles.take()
    out = tmp_path / "out"
    stream(
        composed(f"run={asked}", f"file={file}", f"out={out}", "steps=none", "device=cpu", door="stream")
    )
    assert missing(capsys.readouterr().out, OF_WEIGHTS) == []
    assert missing(" ".join(json.loads((out / "stream.json").read_text())["warnings"]), OF_WEIGHTS) == []
    (title,) = titles.take()
    assert missing(title, OF_WEIGHTS) == []


@pytest.mark.slow
def test_a_report_shows_all_marks_in_every_format(run, tmp_path, capsys):
    """Also in the title of a comparison, which stands apart from the scores."""
    runs = tmp_path / "runs" / "single"
    for name in ("stamp", "samba"):
        shutil.copytree(run, runs / name)
        write_result(runs / name, replace(read_result(run), name=name, model=name))
    files = {name: tmp_path / f"table.{name}" for name in ("markdown", "latex", "html", "csv")}
    report.main(
        [
            str(runs),
            "--compare",
            *(part for name, file in files.items() for part in (f"--{name}", str(file))),
        ]
    )
    texts = {name: file.read_text() for name, file in files.items()} | {"screen": capsys.readouterr().out}
    assert {
        name: missing(text, OF_SCORES) for name, text in texts.items() if missing(text, OF_SCORES)
    } == {}
    (compared,) = [
        line for line in texts["markdown"].splitlines() if line.startswith("## ") and "pairs" in line
    ]
    assert missing(compared, OF_SCORES) == []


@pytest.mark.slow
def test_pages_and_rows_of_a_finished_run_show_all_marks(run, tmp_path, capsys):
    result = read_result(run)
    groups, _ = group_runs(read_runs([run])[0])
    page = wandb_page.Page("single", None, "eegfm", groups)
    export(run, tmp_path / "export")
    shown = {
        "dashboard": dashboard.page(run, tmp_path / "dashboard.html"),
        "card": (tmp_path / "export" / "README.md").read_text(),
        "W&B's row": summary(result, {})["marks"],
        "W&B's table of means": " ".join(wandb_page.means(page).notes),
        "W&B's table of runs": " ".join(wandb_page.cells(page).rows[0]),
    }
    assert {
        name: missing(text, OF_SCORES) for name, text in shown.items() if missing(text, OF_SCORES)
    } == {}


@pytest.mark.slow
def test_a_data_page_and_the_screen_of_a_preparation_show_what_is_known_of_the_data(run, place, capsys):
    config = composed(*SMALL, "encoder=raw", f"paths.cache={place}/cache", "split=kfold")
    data = build_data(config)
    data.prepare_data()
    page = data_page.page(data)
    assert missing(page.split("</h1>")[0], OF_DATA) == []
    store = data.open()
    store.manifest = replace(
        store.manifest, complete=False, within_subject=True, imported={"said": "from a pickled LMDB"}
    )
    capsys.readouterr()
    show_store(store, data.benchmark, 30.0)
    of_store = tuple(
        mark for mark in OF_DATA if mark not in ("OTHER SPLIT", "OTHER STEPS")
    )  # its own, published
    assert missing(capsys.readouterr().out, of_store) == []

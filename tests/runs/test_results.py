"""What a run leaves can be read again, exactly, and its figures show what they say."""

import csv
import json
import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib import util
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.metrics import confusion_matrix as sk_confusion_matrix

from eegfm.contracts import EegfmError
from eegfm.drawing import runs, style
from eegfm.runs import machine
from eegfm.runs.machine import environment
from eegfm.runs.outputs import subject_scores
from eegfm.runs.predictions import read_predictions, write_predictions
from eegfm.runs.results import read_result, write_result
from tests.made_run import make_run


def test_a_result_comes_back_as_it_was(tmp_path: Path) -> None:
    result = make_run(tmp_path / "demo" / "a", 7)
    assert read_result(tmp_path / "demo" / "a") == result


def test_what_is_not_a_number_is_null_in_the_file_and_nan_again(tmp_path: Path) -> None:
    """NaN is not JSON: a reader in another language must not trip over the file."""
    result = make_run(tmp_path / "demo" / "a", 7, one_class="S33")
    write_result(tmp_path, replace(result, metrics={"test": {"auroc": math.nan, "auc_pr": math.inf}}))
    text = (tmp_path / "result.json").read_text(encoding="utf-8")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    plain = json.loads(text, parse_constant=refuse)
    assert plain["metrics"]["test"] == {"auroc": None, "auc_pr": None}
    assert next(iter(plain)) == "schema"
    again = read_result(tmp_path)
    assert math.isnan(again.metrics["test"]["auroc"])
    assert math.isnan(again.by_subject["test"]["S33"]["auroc"])
    assert again.by_subject["test"]["S33"]["per_class"] == {"rest": 40, "arithmetic": 0}


def test_scalars_of_numpy_are_written_as_numbers(tmp_path: Path) -> None:
    result = make_run(tmp_path / "demo" / "a", 7)
    write_result(
        tmp_path, replace(result, wall_s=np.float32(0.5), metrics={"test": {"auroc": np.float64(0.25)}})
    )
    assert read_result(tmp_path).metrics == {"test": {"auroc": 0.25}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "schema list"),
        ('{"schema": 99}', "schema 99"),
        ('{"schema": 1, "name": "a"}', "lacks"),
    ],
)
def test_a_damaged_result_is_refused_with_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "result.json").write_text(text, encoding="utf-8")
    with pytest.raises(EegfmError, match=said):
        read_result(tmp_path)


def test_a_folder_without_a_result_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(EegfmError, match="No finished run at"):
        read_result(tmp_path)


def test_predictions_keep_every_digit(tmp_path: Path) -> None:
    """Then a score computed from the file is the run's score, to the last digit."""
    random = np.random.default_rng(0)
    probability = random.dirichlet([0.1, 0.1, 0.1], size=50)
    probability[0] = [1 - 1e-17, 1e-17, 0.0]
    labels = random.integers(0, 3, 50)
    keys, subjects = [f"=r,{i}/0s" for i in range(50)], [f'S"{i % 4}' for i in range(50)]
    write_predictions(tmp_path / "p.csv", keys, subjects, labels, probability, ("a", "b, c", "@d"))
    assert not {"=", "@"} & {one[:1] for row in csv.reader(open(tmp_path / "p.csv")) for one in row}
    table = read_predictions(tmp_path / "p.csv")
    assert (table.keys, table.subjects, table.classes) == (keys, subjects, ("a", "b, c", "@d"))
    np.testing.assert_array_equal(table.labels, labels)
    np.testing.assert_array_equal(table.probabilities, probability)
    assert [path.name for path in tmp_path.iterdir()] == ["p.csv"]


def test_no_predictions_are_still_predictions(tmp_path: Path) -> None:
    write_predictions(tmp_path / "p.csv", [], [], np.zeros(0, int), np.zeros((0, 2)), ("a", "b"))
    assert read_predictions(tmp_path / "p.csv").probabilities.shape == (0, 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a file of predictions"),
        ("a,b\n1,2\n", "not a file of"),
        ("key,subject,label,p(a)\nk,s,zz,1\n", "damaged"),
    ],
)
def test_a_file_that_holds_no_predictions_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "p.csv").write_text(text, encoding="utf-8")
    with pytest.raises(EegfmError, match=said):
        read_predictions(tmp_path / "p.csv")


def test_a_subject_is_scored_on_its_own_windows_alone() -> None:
    random = np.random.default_rng(1)
    subjects = np.array(["b", "a", "c"])[random.integers(0, 3, 90)]
    labels = random.integers(0, 2, 90)
    labels[subjects == "c"] = 1
    positive = random.random(90)
    found = subject_scores(
        np.stack([1 - positive, positive], axis=1), labels, subjects.tolist(), ("x", "y")
    )
    assert list(found) == ["a", "b", "c"]
    for name in ("a", "b"):
        mine = subjects == name
        assert found[name]["n_windows"] == mine.sum()
        assert found[name]["per_class"] == {"x": (labels[mine] == 0).sum(), "y": (labels[mine] == 1).sum()}
        assert found[name]["auroc"] == roc_auc_score(labels[mine], positive[mine])
        assert found[name]["balanced_accuracy"] == balanced_accuracy_score(
            labels[mine], positive[mine] > 0.5
        )
    mine = subjects == "c"  # one class: nothing to compare, but the recall of that class is a number
    assert all(math.isnan(found["c"][metric]) for metric in ("auroc", "auc_pr", "average_precision"))
    assert found["c"]["balanced_accuracy"] == (positive[mine] > 0.5).mean()


def test_the_commit_is_that_of_the_checkout_which_holds_the_code(tmp_path: Path) -> None:
    """There is no commit if the code only lies inside another project's checkout, as a wheel in a .venv does."""
    git = [
        "git",
        "-C",
        str(tmp_path),
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b.c",
        "-c",
        "commit.gpgsign=false",
    ]
    subprocess.run([*git, "init", "-q"], check=True)
    shutil.copy(machine.__file__, tmp_path / "machine_copy.py")
    spec = util.spec_from_file_location("machine_copy", tmp_path / "machine_copy.py")
    assert spec is not None and spec.loader is not None
    copy = util.module_from_spec(spec)
    sys.modules["machine_copy"] = copy  # dataclasses look their module up
    spec.loader.exec_module(copy)
    shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
    assert copy._git() == {"commit": None, "dirty": None}
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "one"], check=True)
    head = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    assert copy._git() == {"commit": head, "dirty": False}
    (tmp_path / "new.py").touch()
    assert copy._git() == {"commit": head, "dirty": True}


def test_the_environment_needs_no_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = environment()
    assert found["git"] == {"commit": None, "dirty": None}
    assert found["packages"]["numpy"] == np.__version__
    assert "ruff" not in found["packages"]  # a tool of ours that changes no number


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peak_memory_remembers_what_was_freed() -> None:
    program = (
        "from eegfm.runs.machine import peak_memory_mb as peak; a = peak()['host']; b = bytearray(200_000_000); del b; "
        "print(peak()['host'] - a)"
    )
    grown = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    assert 195 < float(grown) < 230


def _texts(figure: runs.Figure) -> list[str]:
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def test_the_confusion_matrix_shows_scikit_learns_counts_and_their_share_of_the_row() -> None:
    random = np.random.default_rng(2)
    labels, predicted = (
        random.integers(0, 3, 2000),
        random.integers(0, 4, 2000),
    )  # nothing is of the fourth class
    truth = sk_confusion_matrix(labels, predicted, labels=range(4))
    shown = _texts(runs.confusion_matrix(labels, predicted, ("a", "b", "c", "d")))
    assert [text for text in shown if "%" not in text and text != "–"] == [f"{n:,}" for n in truth.ravel()]
    shares = [text for text in shown if "%" in text]
    assert shares == [f"{100 * n / row.sum():.0f} %" for row in truth[:3] for n in row]
    assert shown.count("–") == 4


def test_the_learning_curve_marks_the_kept_epoch_and_leaves_gaps() -> None:
    history = [
        {"epoch": str(e), "train/loss": "0.5", "val/auroc": "" if e == 1 else "0.75"} for e in range(4)
    ]
    figure = runs.learning_curve(history, chosen_epoch=2)
    loss, metric = figure.axes
    assert [line.get_label() for line in loss.get_lines()] == ["train", "kept: epoch 3"]  # the third
    assert list(np.atleast_1d(loss.get_lines()[1].get_xdata())) == [3, 3]
    assert np.isnan(np.asarray(metric.get_lines()[0].get_ydata(), float)).tolist() == [
        False,
        True,
        False,
        False,
    ]


def test_a_history_of_nothing_is_a_figure_too(tmp_path: Path) -> None:
    assert style.save(runs.learning_curve([]), tmp_path / "figures" / "a.png").stat().st_size > 0


def test_subjects_stand_best_first_and_the_undefined_last() -> None:
    subjects = {
        "x": {"n_windows": 1, "cohen_kappa": -0.25},
        "y": {"n_windows": 1, "cohen_kappa": math.nan},
        "z": {"n_windows": 1234, "cohen_kappa": 0.5},
    }
    (axis,) = runs.by_subject(subjects, "cohen_kappa", n_classes=4, overall=0.1).axes
    assert [label.get_text() for label in axis.get_yticklabels()] == [
        "z  (n=1,234)",
        "x  (n=1)",
        "y  (n=1)",
    ]
    assert [bar.get_width() for bar in axis.patches] == [0.5, -0.25, 0]  # type: ignore[attr-defined]
    assert axis.get_xlim()[0] <= -0.25


def test_figures_need_no_display_and_no_pyplot_and_repeat_to_the_byte(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from eegfm.drawing import runs, style; "
        "[style.save(runs.confusion_matrix([0, 1], [0, 0], 'ab'), Path(p)) for p in sys.argv[1:]]; "
        "assert 'matplotlib.pyplot' not in sys.modules and 'torch' not in sys.modules"
    )
    paths = [tmp_path / "1.png", tmp_path / "2.png"]
    clean = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "MPLBACKEND")}
    subprocess.run([sys.executable, "-c", program, *map(str, paths)], check=True, env=clean)
    assert paths[0].read_bytes() == paths[1].read_bytes()

"""A run whose files are damaged, or do not agree, is a row with its reason, and hides no other."""

import json
import random
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from eegfm.report import main
from eegfm.reporting.dashboard_facts import collected
from eegfm.reporting.groups import group_runs
from eegfm.reporting.run_folders import find_runs, read_runs
from eegfm.runs.results import read_result, sums_of_files, write_result
from eegfm.support.summed import with_sum
from tests.made_run import make_run


def edited(name: str, old: str, new: str):
    """Edit a result by somebody who knows of its sum."""

    def edit(run: Path, other: Path) -> None:
        text = (run / name).read_text(encoding="utf-8")
        assert old in text
        write_values(run, json.loads(text.replace(old, new, 1)))

    return edit


def write_values(run: Path, values: dict) -> None:
    values.pop("sha256")
    (run / "result.json").write_text(json.dumps(with_sum(values)), encoding="utf-8")


def cut(name: str, length: int):
    def edit(run: Path, other: Path) -> None:
        (run / name).write_bytes((run / name).read_bytes()[:length])

    return edit


def with_score(run: Path, other: Path) -> None:
    values = json.loads((run / "result.json").read_text(encoding="utf-8"))
    values["metrics"]["test"]["auroc"] = 0.99
    write_values(run, values)


def of_a_subject(run: Path, other: Path) -> None:
    values = json.loads((run / "result.json").read_text(encoding="utf-8"))
    values["by_subject"]["test"]["S33"]["balanced_accuracy"] += 0.01
    write_values(run, values)


def flipped_digit(run: Path, other: Path) -> None:
    text = (run / "result.json").read_text(encoding="utf-8")
    assert '"seed": 2' in text
    (run / "result.json").write_text(text.replace('"seed": 2', '"seed": 3'), encoding="utf-8")


def named_and_changed(name: str):
    """A run whose result names its files, and one of them is another's."""

    def edit(run: Path, other: Path) -> None:
        write_result(run, replace(read_result(run), files=sums_of_files(run)))
        shutil.copy(other / name, run)

    return edit


def not_utf_8(name: str):
    return lambda run, other: (run / name).write_bytes(b"key,\xff\xfe\n")


def a_folder(name: str):
    def edit(run: Path, other: Path) -> None:
        (run / name).unlink()
        (run / name).mkdir()

    return edit


DAMAGES = {
    "an empty result": (cut("result.json", 0), "cannot be read"),
    "a cut result": (cut("result.json", 500), "cannot be read"),
    "a result in another encoding": (not_utf_8("result.json"), "cannot be read"),
    "a folder for a result": (a_folder("result.json"), "cannot be read"),
    "a text for a number": (edited("result.json", '"wall_s": 12.5', '"wall_s": "x"'), "its wall_s is 'x'"),
    "a list for a mapping": (edited("result.json", '"corpora": {}', '"corpora": []'), "its benchmark is"),
    "a lost key": (edited("result.json", '"trainable"', '"trainabme"'), "lack trainable"),
    "another score": (with_score, r"auroc 0\.\d+ in the one, 0.99 in the other"),
    "another score of a subject": (of_a_subject, "balanced_accuracy of S33"),
    "another seed": (flipped_digit, "its values are not those of its sha256"),
    "a config of another run": (named_and_changed("config.yaml"), r"config\.yaml is not as the run wrote it"),
    "predictions of another run, by sum": (
        named_and_changed("predictions_val.csv"), r"predictions_val\.csv is not as the run wrote it"
    ),
    "no predictions": (lambda run, other: (run / "predictions_test.csv").unlink(), "No predictions at"),
    "predictions of another run": (
        lambda run, other: shutil.copy(other / "predictions_test.csv", run),
        "predictions_test.csv and result.json disagree",
    ),
    "validation of another run": (
        lambda run, other: shutil.copy(other / "predictions_val.csv", run),
        "predictions_val.csv and result.json disagree",
    ),
    "predictions cut at a line": (
        lambda run, other: (run / "predictions_test.csv").write_text(
            "".join((other / "predictions_test.csv").read_text().splitlines(keepends=True)[:-7])
        ),
        "disagree",
    ),
    "predictions cut within a line": (cut("predictions_test.csv", 2000), "damaged|disagree"),
    "predictions in another encoding": (not_utf_8("predictions_test.csv"), "damaged"),
    "a folder for predictions": (a_folder("predictions_test.csv"), "No predictions at"),
    "no windows": (cut("predictions_test.csv", len("key,subject,label,p(rest),p(arithmetic)\r\n")), "no probabilities"),
    "a config in another encoding": (not_utf_8("config.yaml"), "unreadable"),
    "a folder for a config": (a_folder("config.yaml"), "unreadable"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_is_a_row_with_its_reason_and_the_others_are_counted(tmp_path, damage, capsys):
    for seed in (1, 2, 3):
        make_run(tmp_path / f"s{seed}", seed)
    edit, said = DAMAGES[damage]
    edit(tmp_path / "s2", tmp_path / "s1")
    groups, problems = _read(tmp_path)
    assert [run.result.seed for group in groups for run in group.runs] == [1, 3]
    (problem,) = problems
    assert problem.folder == tmp_path / "s2" and re.search(said, problem.what), problem.what
    main([str(tmp_path), "--by-subject"])
    printed = re.sub(r"\s+", "", capsys.readouterr().out)
    assert "s2" in printed and problem.what[:20].replace(" ", "") in printed
    cells = {cell["name"]: cell for cell in collected(tmp_path, tmp_path / "page.html")["cells"]}
    assert {name: cell["state"] for name, cell in cells.items()} == {
        "s1": "done", "s2": "no score", "s3": "done",
    }  # fmt: skip
    assert problem.what in cells["s2"]["why"] and cells["s2"]["test"] == {}


def test_runs_as_they_were_written_agree_whatever_their_metrics(tmp_path):
    """Two classes and four, a subject of one class, and a split of one class, whose metrics have no meaning."""
    make_run(tmp_path / "two", 1)
    make_run(tmp_path / "four", 1, n_classes=4)
    make_run(tmp_path / "one_class", 2, one_class="S33")
    make_run(tmp_path / "only", 3, tested=["S33"], one_class="S33")
    runs, problems = read_runs(find_runs([tmp_path]))
    assert problems == [] and len(runs) == 4


def test_a_run_of_before_a_metric_is_counted_with_the_metrics_that_it_has(tmp_path, capsys):
    for seed in (1, 2):
        make_run(tmp_path / f"s{seed}", seed)
    values = json.loads((tmp_path / "s1" / "result.json").read_text(encoding="utf-8"))
    for scores in (values["metrics"]["test"], *values["by_subject"]["test"].values()):
        del scores["average_precision"]
    write_values(tmp_path / "s1", values)
    runs, problems = read_runs(find_runs([tmp_path]))
    assert problems == [] and len(runs) == 2
    main([str(tmp_path)])
    assert "2 seeds" in capsys.readouterr().out


def test_no_flipped_bit_of_a_result_hides_another_run(tmp_path):
    for seed in (1, 2):
        make_run(tmp_path / f"s{seed}", seed)
    path, draw = tmp_path / "s2" / "result.json", random.Random(3)
    good = path.read_bytes()
    for _ in range(60):
        position, damaged = draw.randrange(8 * len(good)), bytearray(good)
        damaged[position // 8] ^= 1 << position % 8
        path.write_bytes(damaged)
        facts = collected(tmp_path, tmp_path / "page.html")
        assert {cell["name"] for cell in facts["cells"]} == {"s1", "s2"}
        (first,) = [cell for cell in facts["cells"] if cell["name"] == "s1"]
        assert first["state"] == "done" and first["test"]["auroc"] is not None


def _read(place: Path):
    runs, problems = read_runs(find_runs([place]))
    groups, repeats = group_runs(runs)
    return groups, problems + repeats

"""Alarms of a run over recordings whose seizures are known: threshold, scores, report, pictures."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from eegfm.drawing import alarms as pictures
from eegfm.drawing import style
from eegfm.reporting import alarms
from eegfm.reporting.groups import group_runs
from eegfm.reporting.run_folders import find_runs, read_runs
from eegfm.runs.alarms import a_day, alarms_of, sentences, watched
from eegfm.runs.predictions import PredictionTable, read_predictions, write_predictions
from eegfm.runs.results import read_result, write_result
from tests.made_run import make_run

CLASSES = ("no seizure", "seizure")
HOUR = 360  # windows of 10 s


def hours(recordings: dict[str, tuple[str, list[int], dict[int, float]]]) -> PredictionTable:
    """Hours of windows of 10 s: whose they are, the windows of seizures, and probabilities other than 0.1."""
    keys, subjects, labels, values = [], [], [], []
    for name, (person, seizures, said) in recordings.items():
        for i in np.random.default_rng(0).permutation(HOUR).tolist():  # a file has no order
            keys.append(f"{name}/{10 * i}s")
            subjects.append(person)
            labels.append(int(i in seizures))
            values.append(said.get(i, 0.1))
    p = np.array(values)
    return PredictionTable(keys, subjects, np.array(labels), np.stack([1 - p, p], axis=1), CLASSES)


def write(path: Path, table: PredictionTable) -> Path:
    write_predictions(path, table.keys, table.subjects, table.labels, table.probabilities, table.classes)
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Validation: a seizure at 0.4, an alarm without one at 0.3. Test: two seizures, one found late; two alarms."""
    validation = hours({"v1": ("V", [100, 101], {100: 0.4, 101: 0.4, 200: 0.3}), "v2": ("V", [], {})})
    test = hours(
        {
            "a1": ("A", [50, 51, 52], {52: 0.9, 53: 0.6, 300: 0.45}),
            "a2": ("A", [120], {}),
            "b1": ("B", [], {10: 0.8, 200: 0.35}),
        }
    )
    return write(tmp_path / "test.csv", test), write(tmp_path / "val.csv", validation)


def test_the_threshold_is_validations_and_the_scores_are_those_of_the_known_seizures(files) -> None:
    found = alarms_of(*files, "seizure", 10.0)
    assert found["threshold"] == 0.3 and found["validation"]["f1"] == 1
    for rule in ("szcore", "any_overlap"):
        one = found[rule]
        assert (one["events"], one["found"], one["sensitivity"], one["hours"]) == (2, 1, 0.5, 3)
        assert (one["false"], one["false_a_day"]) == (3, 24)
    assert found["any_overlap"]["delay_s"] == 30  # the window at 520 s ends 30 s behind the beginning
    assert found["by_person"]["A"]["found"] == 1 and found["by_person"]["B"]["events"] == 0
    assert [one["sensitivity"] for one in found["curve"]] == sorted(
        (one["sensitivity"] for one in found["curve"]), reverse=True
    )
    assert sentences(found)[0].startswith(
        "alarms above 0.3, chosen on validation (F1 1.00 of 1 events there)"
    )
    assert "1 of 2 found" in sentences(found)[1] and sentences({}) == []


def test_without_a_seizure_on_validation_one_half_decides_and_without_an_alarm_nothing_is_said(
    files,
) -> None:
    test, validation = files
    quiet = write(validation.with_name("quiet.csv"), hours({"v": ("V", [], {3: 0.9})}))
    found = alarms_of(test, quiet, "seizure", 10.0)
    assert found["threshold"] == 0.5 and found["validation"] == {} and "no event" in sentences(found)[0]
    assert (found["szcore"]["found"], found["szcore"]["false"]) == (1, 1)
    assert (
        alarms_of(test, validation, "", 10.0)
        == {}
        == alarms_of(test.with_name("none"), test, "seizure", 10.0)
    )


def test_a_report_has_a_table_of_events_and_a_day_is_a_picture(files, tmp_path: Path) -> None:
    for seed in (1, 2):
        make_run(tmp_path / f"s{seed}", seed)
        result = dataclasses.replace(
            read_result(tmp_path / f"s{seed}"), events=alarms_of(*files, "seizure", 10.0)
        )
        write_result(tmp_path / f"s{seed}", result)
    groups, _ = group_runs(read_runs(find_runs([tmp_path]))[0])
    (sheet,) = alarms.sheets(groups)
    assert [row[1:5] for row in sheet.rows] == [
        ["2", "2 in 3 h", "SzCORE", "0.500"],
        ["", "2 in 3 h", "any overlap", "0.500"],
    ]
    events = groups[0].first.events
    known = watched(read_predictions(files[0]), "seizure", 10.0)
    hour, probability, marked, raised = a_day(list(known.values()), events["threshold"])
    assert len(hour) == 3 * HOUR and hour.max() < 3 and len(marked) == 2
    assert marked[1] == pytest.approx((1 + 1200 / 3600, 1 + 1210 / 3600))
    figure = pictures.day(
        hour,
        probability,
        marked=marked,
        alarms=raised,
        threshold=events["threshold"],
        alarm="seizure",
        title="t",
    )
    for name, drawn in (("day", figure), ("curve", pictures.curve(events, title="t"))):
        assert style.save(drawn, tmp_path / f"{name}.png").stat().st_size > 5000


def test_of_many_hours_the_day_with_the_most_events_is_drawn() -> None:
    table = hours({f"r{i:02d}": ("A", [5] if i in (3, 30, 31, 40) else [], {}) for i in range(48)})
    known = watched(table, "seizure", 10.0)
    hour, _, marked, raised = a_day(list(known.values()), 0.5)
    assert len(marked) == 3 and hour.max() < 24 and raised == []

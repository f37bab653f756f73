"""The page of an experiment: its numbers are those of the runs, no run is hidden, and it works from disk."""

import base64
import csv
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from omegaconf import OmegaConf
from sklearn.metrics import roc_auc_score

from eegfm.commands.dashboard import main
from eegfm.reporting import dashboard_facts
from eegfm.reporting.dashboard import page
from eegfm.reporting.dashboard_facts import collected
from eegfm.reporting.run_curve import POINTS, curve
from eegfm.runs.intervals import intervals
from eegfm.runs.lock import LOCK
from eegfm.runs.predictions import read_predictions
from eegfm.runs.status import Status, write_status
from tests.made_run import config, make_run

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
HOSTILE = '</script><script>document.title = "taken"</script><img src=x onerror=alert(1)>'
SAMBA = {"model._target_": "eegfm.models.samba.Samba"}


def history(folder: Path, epochs: int) -> None:
    with open(folder / "metrics.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["epoch", "step", "lr", "train/loss", "val/loss", "val/auroc", "val/cohen_kappa"])
        for i in range(epochs):
            rows.writerow([i, 9 * (i + 1), 1e-4, 1 / (i + 1), 1.2 / (i + 1), 0.5 + i / 40, i / 50])


def unfinished(folder: Path, seed: int, status: Status, *, epochs: int, **overrides) -> None:
    folder.mkdir(parents=True)
    made = OmegaConf.to_yaml(OmegaConf.create(config(seed, **overrides)))
    (folder / "config.yaml").write_text(made, encoding="utf-8")
    if epochs:
        history(folder, epochs)
    write_status(folder, status)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> Path:
    """Three groups with scores on two data sets, and one run of every kind that has none."""
    root = tmp_path_factory.mktemp("runs") / "night & day"
    for seed in (1, 2, 10):
        run = root / f"stamp-spectrum-mental_arithmetic-s{seed}-0000000{seed % 10}"
        make_run(run, seed, benchmark={"complete": False, "subjects_total": 36})
        history(run, 12)
        (run / "figures").mkdir()
        (run / "figures" / "confusion_matrix.png").write_bytes(PIXEL)
    for seed in (1, 2):
        run = root / f"samba-spectrum-mental_arithmetic-s{seed}-1000000{seed}"
        make_run(run, seed, model="samba", **SAMBA)
        history(run, 5)
        other = {"data.benchmark": "mi"}
        make_run(
            root / f"stamp-spectrum-physionet_mi-s{seed}-2000000{seed}",
            seed,
            data="physionet_mi",
            n_classes=4,
            **other,
        )
    failed = Status(state="failed", reason=f"ValueError: {HOSTILE}", step=27, steps=108)
    unfinished(
        root / "samba-spectrum-mental_arithmetic-s10-10000010", 10, failed, epochs=3, **SAMBA
    )  # of a group
    running = root / 'stamp-raw-mental_arithmetic-s1 "#?%é-30000001'
    at_work = Status(state="running", host="another", pid=1, step=50, steps=100, steps_per_s=2.5)
    unfinished(running, 1, at_work, epochs=4, **{"encoder._target_": "eegfm.encoders.raw.Raw"})
    (running / LOCK).write_text(json.dumps({"host": "another", "pid": 1, "job": ""}), encoding="utf-8")
    lost = Status(state="running", host="another", pid=1)
    unfinished(root / "eegm2-raw-mental_arithmetic-s1-40000001", 1, lost, epochs=0, **{"model.width": 9})
    queued = root / "stamp-spectrum-mental_arithmetic-s3-00000003"  # sent off, and not begun
    queued.mkdir()
    write_status(queued, Status(state="queued"))
    broken = root / "stamp-spectrum-mental_arithmetic-s4-00000004"
    broken.mkdir()
    (broken / "result.json").write_text("{", encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def facts(experiment: Path) -> dict:
    return collected(experiment, experiment / "dashboard.html")


def group_of(facts: dict, label: str, data: str = "mental_arithmetic") -> dict:
    (found,) = [one for one in facts["groups"] if (one["label"], one["data"]) == (label, data)]
    return found


def test_scores_and_intervals_come_out_of_the_prediction_files(experiment: Path, facts: dict) -> None:
    group = group_of(facts, "stamp · spectrum")
    tables = [
        read_predictions(path) for path in sorted(experiment.glob("stamp-*arith*/predictions_test.csv"))
    ]
    scores = [roc_auc_score(table.labels, table.probabilities[:, 1]) for table in tables]
    assert group["scores"]["auroc"]["mean"] == pytest.approx(np.mean(scores), abs=1e-12)
    assert group["scores"]["auroc"]["text"] == f"{np.mean(scores):.4f} ± {np.std(scores):.4f}"
    assert group["scores"]["auroc"]["ends"] == intervals(tables)["auroc"]
    for cell in facts["cells"]:
        if cell["test"].get("auroc") is not None:
            table = read_predictions(experiment / cell["name"] / "predictions_test.csv")
            own = roc_auc_score(table.labels, table.probabilities[:, 1])
            assert cell["test"]["auroc"] == pytest.approx(own, abs=1e-12)
            assert cell["interval"]["auroc"] == pytest.approx(intervals([table])["auroc"], rel=1e-4)


def test_no_run_is_hidden_and_each_says_what_has_become_of_it(experiment: Path, facts: dict) -> None:
    found = {cell["name"]: (cell["state"], cell["why"]) for cell in facts["cells"]}
    assert found.keys() == {path.name for path in experiment.iterdir()}
    states = [state for state, _ in found.values()]
    assert {state: states.count(state) for state in states} == {
        "done": 7,
        "failed": 1,
        "running": 1,
        "lost": 1,
        "queued": 1,
        "no score": 1,
    }
    assert found["samba-spectrum-mental_arithmetic-s10-10000010"][1] == f"ValueError: {HOSTILE}"
    assert found["stamp-spectrum-mental_arithmetic-s4-00000004"][1].startswith("unreadable: ")
    assert "2.5 steps a second" in found['stamp-raw-mental_arithmetic-s1 "#?%é-30000001'][1]


def test_a_run_without_a_score_stands_with_its_group(facts: dict) -> None:
    assert group_of(facts, "samba · spectrum")["gone"] == ["10: failed"]
    assert group_of(facts, "stamp · spectrum")["gone"] == ["3: queued", "4: no score"]  # by its name alone
    assert group_of(facts, "samba · spectrum")["absent"] == [3, 4]
    alone = [group for group in facts["groups"] if not group["seeds"]]
    assert sorted(group["label"] for group in alone)[0] == "eegm2 · raw" and len(alone) == 2


def test_a_difference_is_given_where_it_may_be_and_the_reason_where_not(facts: dict) -> None:
    partial = group_of(facts, "stamp · spectrum")["published"]["auroc"]
    assert partial["comparable"] == "no: partial corpus" and partial["difference"] == ""
    whole = group_of(facts, "stamp · spectrum", "physionet_mi")
    beside, ours = whole["published"]["cohen_kappa"], whole["scores"]["cohen_kappa"]["mean"]
    assert beside["comparable"].startswith("yes")
    assert beside["difference"].startswith(f"{ours - beside['mean']:+.3f}") and beside["source"]


def test_curves_are_the_rows_of_metrics_csv_of_unfinished_runs_as_well(facts: dict) -> None:
    curve = {cell["state"]: cell["curve"] for cell in facts["cells"]}
    assert len(curve["running"]["epoch"]) == 4 and curve["lost"] == curve["queued"] == {}
    (cell,) = [cell for cell in facts["cells"] if cell["state"] == "failed"]
    assert cell["curve"]["epoch"] == [1, 2, 3] and cell["curve"]["val/auroc"] == [0.5, 0.525, 0.55]


def test_long_curves_are_thinned_and_keep_their_ends_and_the_chosen_epoch(tmp_path: Path) -> None:
    result = replace(make_run(tmp_path / "run", 1), best_epoch=301)
    history(tmp_path / "run", 3 * POINTS)
    columns, damages = curve(tmp_path / "run", result)
    found = columns["epoch"]
    assert len(found) <= POINTS + 2 and {1, 302, 3 * POINTS} <= {*found} and damages == []


def test_every_group_has_figures_inside_before_any_has_more(tmp_path: Path, monkeypatch) -> None:
    for width in (64, 128):
        for seed in (1, 2):
            run = tmp_path / f"w{width}-{seed}"
            make_run(run, seed, **{"model.width": width})
            (run / "figures").mkdir()
            (run / "figures" / "by_subject.png").write_bytes(PIXEL)
    (tmp_path / "w64-1" / "figures" / "large.png").write_bytes(
        PIXEL + bytes(dashboard_facts.FIGURE_KB * 1000)
    )
    monkeypatch.setattr(dashboard_facts, "FIGURES_MB", 2.5 * len(PIXEL) / 1e6)
    held = {
        (cell["name"], one["name"]): one["src"]
        for cell in collected(tmp_path, tmp_path / "page.html")["cells"]
        for one in cell["figures"]
    }
    assert {name for name, src in held.items() if src} == {
        ("w64-1", "by_subject"),
        ("w128-1", "by_subject"),
    }
    assert held["w64-1", "large"] is None and held["w64-2", "by_subject"] is None
    assert base64.b64decode(held["w128-1", "by_subject"].partition(",")[2]) == PIXEL


def test_links_lead_from_the_page_to_the_folders(experiment: Path, tmp_path: Path) -> None:
    for to in (experiment / "dashboard.html", tmp_path / "elsewhere" / "page.html"):
        for cell in collected(experiment, to)["cells"]:
            assert not re.search(r'["#?: ]', cell["href"])
            place = Path(f"{to.parent}/{unquote(cell['href'])}")
            to.parent.mkdir(exist_ok=True)
            assert (place / "result.json").exists() or (place / "status.json").exists()


def test_words_of_files_end_no_element(experiment: Path) -> None:
    html = page(experiment, experiment / "dashboard.html")
    assert html.count("</script>") == 2 and "<img" not in html and "<title>night &amp; day" in html
    held = re.search(r'<script type="application/json" id="facts">(.*?)</script>', html, re.DOTALL)
    assert held and HOSTILE in json.dumps(json.loads(held[1])).replace('\\"', '"')
    assert not re.search(r'(src|href)="?https?:', html)


def test_the_door_ends_in_a_sentence(tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit, match="There is no folder"):
        main([str(tmp_path / "nowhere")])
    with pytest.raises(SystemExit, match="There is no run at or below"):
        main([str(tmp_path)])
    make_run(tmp_path / "e" / "one", 1)
    with pytest.raises(SystemExit, match=r"is a folder; a file is wanted: --to .*dashboard\.html"):
        main([str(tmp_path / "e"), "--to", str(tmp_path)])
    main([str(tmp_path / "e")])
    assert (tmp_path / "e" / "dashboard.html").is_file()
    assert str(tmp_path / "e" / "dashboard.html") in capsys.readouterr().out
    main([str(tmp_path / "e")])  # the page is no run
    assert re.search(r"\(\d+(\.\d)? kB\)", capsys.readouterr().out)


@pytest.mark.slow
def test_it_starts_without_torch(tmp_path: Path) -> None:
    make_run(tmp_path / "one", 1)
    code = "import sys; from eegfm.commands.dashboard import main; main(sys.argv[1:])"
    code += "; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# ---- in a browser ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def opened(experiment: Path, tmp_path_factory):
    """The page in a real Chromium, from disk; at the end it has said nothing and asked for nothing else."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on this machine")
    to = tmp_path_factory.mktemp("page") / "a page.html"
    main([str(experiment), "--to", str(to)])
    said: list[str] = []
    asked: list[str] = []
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        tab = chromium.new_page(viewport={"width": 1300, "height": 900})
        tab.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(to.as_uri())
        yield tab
        chromium.close()
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [to.as_uri()]


def column(tab, table: str, name: str) -> list[str]:
    heads = [text.strip() for text in tab.locator(f"#{table} thead button").all_inner_texts()]
    cells = tab.locator(f"#{table} tbody tr > :nth-child({heads.index(name) + 1})").all_inner_texts()
    return [text.split("\n")[0].strip() for text in cells]


def sort_by(tab, table: str, name: str) -> str:
    tab.locator(f"#{table} thead button", has_text=re.compile(f"^{re.escape(name)}$")).press("Enter")
    head = tab.locator(f"#{table} thead th", has_text=re.compile(f"^{re.escape(name)}$"))
    return head.get_attribute("aria-sort")


def choose(tab, **options: str) -> None:
    for name, value in options.items():
        tab.locator(f"select[name={name}]").select_option(value)


@pytest.mark.slow
def test_columns_are_sorted_as_numbers_and_as_words_both_ways(opened) -> None:
    n = opened.locator("#runs tbody tr").count()
    assert n == 12
    assert sort_by(opened, "runs", "seed") == "ascending"
    assert column(opened, "runs", "seed") == sorted(column(opened, "runs", "seed"), key=int)
    assert "10" in column(opened, "runs", "seed")  # which as a word would stand before 2
    assert sort_by(opened, "runs", "seed") == "descending"
    assert column(opened, "runs", "seed") == sorted(column(opened, "runs", "seed"), key=int, reverse=True)
    for way in (1, -1):
        sort_by(opened, "runs", "test AUROC")
        values = column(opened, "runs", "test AUROC")
        known = [float(text) for text in values if text != "–"]
        assert known == sorted(known)[::way] and len(known) == 5
        assert values[5:] == ["–"] * 7  # what is missing is last, whichever way
    sort_by(opened, "runs", "model")
    assert column(opened, "runs", "model") == sorted(column(opened, "runs", "model"))
    assert opened.locator("#runs th[aria-sort=ascending]").count() == 1


@pytest.mark.slow
def test_filters_reach_tables_curves_and_dots(opened) -> None:
    curves = opened.locator("#curves path.curve")
    choose(opened, curve="val/auroc")
    assert curves.count() == 7  # also of the run that failed, and of the one at work
    choose(opened, data="physionet_mi")
    assert opened.locator("#runs tbody tr").count() == 2 and curves.count() == 0
    choose(opened, data="mental_arithmetic", model="samba")
    assert set(column(opened, "runs", "model")) == {"samba"}
    assert curves.count() == 3 and opened.locator("#groups tbody tr").count() == 1
    assert "10: failed" in opened.locator("#groups").inner_text()
    choose(opened, state="failed")
    assert column(opened, "runs", "state") == ["failed, step 27 of 108"]
    assert HOSTILE in opened.locator("#runs").inner_text()  # as words
    choose(opened, data="", model="", state="")
    opened.locator("input[name=text]").fill("RAW lost")
    assert column(opened, "runs", "model") == ["eegm2"]
    opened.locator("input[name=text]").fill("")
    opened.locator("button", has_text="only this").first.click()
    assert opened.locator("#groups tbody tr").count() == 1
    opened.locator("output button").click()
    assert opened.locator("#runs tbody tr").count() == 12 and curves.count() == 7
    choose(opened, metric="balanced_accuracy")
    assert opened.locator(".forest circle").count() == 7
    choose(opened, metric="")
    assert opened.title() == "night & day: runs"


@pytest.mark.slow
def test_it_is_dark_by_night_and_fits_a_narrow_window(opened) -> None:
    def paper() -> str:
        return opened.evaluate("getComputedStyle(document.body).backgroundColor")

    opened.emulate_media(color_scheme="light")
    day = paper()
    opened.emulate_media(color_scheme="dark")
    assert (day, paper()) == ("rgb(255, 255, 255)", "rgb(23, 25, 28)")
    opened.set_viewport_size({"width": 420, "height": 800})
    assert opened.evaluate("document.documentElement.scrollWidth") <= 420
    figures = opened.locator("#gallery img")
    assert figures.count() == 3
    figures.first.scroll_into_view_if_needed()
    assert opened.evaluate("document.querySelector('#gallery img').naturalWidth") == 1


def test_pictures_of_evaluations_stand_beside_those_of_the_run_with_their_reservations(
    tmp_path: Path,
) -> None:
    run, secret = tmp_path / "runs" / "a", "not-for-anybody-4242"
    make_run(run, 1)
    (tmp_path / "numbers").write_text(json.dumps({"warnings": [secret]}))
    for name, warnings in (
        ("test-best-0123abcd", ["UNKNOWN PEOPLE: not known"]),
        ("val-last-0123abcd", []),
    ):
        place = run / "evaluations" / name
        (place / "figures").mkdir(parents=True)
        (place / "figures" / f"curves_{name[:3]}.png").write_bytes(PIXEL)
        (place / "explain.json").write_text(json.dumps({"warnings": warnings}))
        (place / "made_from.json").write_text("{}")
        (place / "elsewhere.json").symlink_to(tmp_path / "numbers")
    (run / "evaluations" / "val-last-0123abcd" / "damaged.json").write_text("{")
    (cell,) = collected(tmp_path / "runs", tmp_path / "page.html")["cells"]
    assert [(one["name"], one["said"]) for one in cell["figures"]] == [
        ("curves_tes", "test-best-0123abcd; UNKNOWN PEOPLE: not known"),
        ("curves_val", "val-last-0123abcd; damaged.json cannot be read"),
    ]
    assert all(base64.b64decode(one["src"].partition(",")[2]) == PIXEL for one in cell["figures"])
    html = page(tmp_path / "runs", tmp_path / "page.html")
    assert "UNKNOWN PEOPLE: not known" in html and secret not in html


def test_a_page_takes_in_no_file_that_is_not_a_picture_of_the_run(tmp_path: Path) -> None:
    """The page goes to other people; links of a run folder lead anywhere on this machine."""
    run, secret = tmp_path / "runs" / "a", b"user:not-for-anybody-4242\n1\n"
    make_run(run, 1)
    (run / "figures").mkdir()
    (tmp_path / "secret").write_bytes(secret)
    (tmp_path / "own.png").write_bytes(PIXEL + secret)
    (run / "figures" / "secret.png").symlink_to(tmp_path / "secret")
    (run / "figures" / "elsewhere.png").symlink_to(tmp_path / "own.png")
    (run / "figures" / "called.png").write_bytes(secret)
    (run / "figures" / "roc.png").write_bytes(PIXEL)
    (run / "metrics.csv").symlink_to(tmp_path / "secret")
    (cell,) = collected(tmp_path / "runs", tmp_path / "page.html")["cells"]
    assert [one["name"] for one in cell["figures"]] == ["roc"] and not cell["curve"]
    (run / "figures").rename(tmp_path / "figures")
    (run / "figures").symlink_to(tmp_path / "figures")
    (cell,) = collected(tmp_path / "runs", tmp_path / "page.html")["cells"]
    assert not cell["figures"]
    html = page(tmp_path / "runs", tmp_path / "page.html")
    assert "4242" not in html and base64.b64encode(secret).decode()[:20] not in html


def test_links_that_lead_back_are_followed_once(tmp_path: Path) -> None:
    """Twelve links to their own folder are 12 ** 40 paths."""
    make_run(tmp_path / "runs" / "a", 1)
    for i in range(12):
        (tmp_path / "runs" / f"z{i}").symlink_to(tmp_path / "runs")
    assert len(collected(tmp_path / "runs", tmp_path / "page.html")["cells"]) == 1


def test_a_config_without_end_is_a_row_with_its_reason(tmp_path: Path) -> None:
    make_run(tmp_path / "a", 1)
    make_run(tmp_path / "b", 2)
    bomb = "a0: &a0 [1, 1]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}]\n" for i in range(40))
    (tmp_path / "b" / "config.yaml").write_text(bomb)
    cells = {cell["name"]: cell for cell in collected(tmp_path, tmp_path / "page.html")["cells"]}
    assert cells["a"]["state"] == "done" and "no aliases" in cells["b"]["why"]

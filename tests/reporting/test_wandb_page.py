"""The W&B page of an experiment: what it is made of, as W&B's own package writes it, and that it can be saved."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import wandb
from wandb_workspaces.reports.v2 import internal as of_reports
from wandb_workspaces.workspaces import internal as of_workspaces

from eegfm.contracts import EegfmError
from eegfm.reporting.wandb_page import ADDRESSES, means, page_of, report, save, workspace
from tests.made_run import make_run
from tests.wandb_server import serving

LOGGED = {"logger": {"name": "wandb", "project": "eegfm", "entity": None}}


@pytest.fixture
def runs(tmp_path) -> Path:
    """Two models and two seeds on data that papers have numbers of; one has maps, and was explained."""
    for model in ("stamp", "samba"):
        for seed in (1, 2):
            folder = tmp_path / "mine" / f"{model}-s{seed}"
            make_run(folder, seed, model=model, **LOGGED)
            (folder / "figures").mkdir()
            names = ("confusion_matrix", "learning_curve", "confusion_matrix_test", "attention_0_test")
            for name in (*names, *(["spatial_importance"] if model == "samba" else [])):
                (folder / "figures" / f"{name}.png").touch()
    return tmp_path / "mine"


def spec(made: Any) -> dict[str, Any]:
    """What is sent to W&B, except for a report, which asks W&B for the number of its project."""
    return json.loads(made._to_model().spec.model_dump_json(by_alias=True, exclude_none=True))


def values(found: Any, key: str) -> list[Any]:
    """Every value of a key, however deep."""
    if isinstance(found, dict):
        here = [found[key]] if key in found else []
        return here + [v for one in found.values() for v in values(one, key)]
    return [v for one in found for v in values(one, key)] if isinstance(found, list) else []


def test_the_workspace_is_of_these_runs_and_has_a_section_for_each_question(runs):
    found = spec(workspace(page_of(runs), "lab"))
    of_workspaces.WorkspaceViewspec.model_validate(found)
    sections = {one["name"]: one["panels"] for one in found["section"]["panelBankConfig"]["sections"]}
    assert {"Scores", "By seed", "Against the papers", "Learning curves", "Where the models look"} < set(
        sections
    )
    assert {"Figures", "Test subjects", "Cells"} < set(sections)
    (runset,) = found["section"]["runSets"]
    assert "mine" in json.dumps(runset["filters"]) and "group" in json.dumps(runset["filters"])
    assert "summary:test/auroc_low" in runset["runFeed"]["columnOrder"]
    assert values(sections["Where the models look"], "mediaKeys") == [
        ["spatial_importance"],
        ["explain_test/attention_0"],
    ]
    assert sorted(values(sections["Figures"], "mediaKeys")) == [
        ["confusion_matrix"],
        ["explain_test/confusion_matrix"],
        ["learning_curve"],
    ]
    curves = [name for names in values(sections["Learning curves"], "metrics") for name in names]
    assert {"train/loss_epoch", "val/loss", "val/auroc"} <= set(curves)


def test_the_report_says_what_the_folder_knows_and_wandb_cannot(runs):
    """Means over seeds with intervals over test subjects, and the papers' numbers with what must not be compared."""
    page = page_of(runs)
    made = report(page, "lab")
    texts = "\n".join(block.text for block in made.blocks if type(block).__name__ == "MarkdownBlock")
    for row in means(page).rows:
        assert all(cell.replace("|", "\\|") in texts for cell in row)
    assert texts.count("stamp-s1 |") == 1, "a row a run"
    assert "STAMP" in texts and "0.811" in texts, "the paper's AUROC on MentalArithmetic"
    grids = [block for block in made.blocks if type(block).__name__ == "PanelGrid"]
    assert all("mine" in runset.filters for grid in grids for runset in grid.runsets)


def test_where_nothing_was_logged_there_a_sentence_says_so(tmp_path):
    make_run(tmp_path / "mine" / "a", 1)
    with pytest.raises(EegfmError, match="logger=wandb"):
        page_of(tmp_path)
    make_run(tmp_path / "mine" / "b", 1, **LOGGED)
    assert len(page_of(tmp_path).runs) == 1
    make_run(tmp_path / "mine" / "c", 2, **{"logger": {"project": "other", "entity": "lab"}})
    with pytest.raises(EegfmError, match=r"yours/eegfm|several W&B projects"):
        page_of(tmp_path)


@pytest.fixture
def server(monkeypatch, tmp_path):
    wandb.teardown()
    os.environ.pop("WANDB_SERVICE", None)  # of an earlier test in this process, for good: it has ended
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_ENTITY", "WANDB_PROJECT"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb_config"))
    with serving() as memory:
        monkeypatch.setenv("WANDB_BASE_URL", memory.url)
        yield memory
    wandb.teardown()


@pytest.mark.slow
def test_the_page_is_saved_once_and_then_replaced(runs, server, monkeypatch):
    with pytest.raises(EegfmError, match="wandb login"):
        save(runs)
    wandb.teardown()
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    first = save(runs)
    assert json.loads((runs / ADDRESSES).read_text()) == first
    assert len(server.views) == 2
    assert {view["type"] for view in server.views.values()} == {"project-view", "runs"}
    assert all(view["entityName"] == "lab" for view in server.views.values())
    make_run(runs / "stamp-s3", 3, **LOGGED)
    assert save(runs) == first
    assert len(server.views) == 2, "the same two, replaced"
    assert all("stamp-s3" in view["spec"] for view in server.views.values())
    (told,) = (view for view in server.views.values() if view["type"] == "runs")
    of_reports.Spec.model_validate_json(told["spec"])
    assert ["spatial_importance"] in values(json.loads(told["spec"]), "mediaKeys")


@pytest.mark.slow
def test_a_folder_that_names_another_place_is_told_and_not_followed(tmp_path, server, monkeypatch):
    theirs = tmp_path / "theirs"
    make_run(theirs / "a", 1, **{"logger": {"project": "collected", "entity": "them"}})
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    wandb.teardown()
    said = r"name them/collected at W&B, and yours is lab/eegfm.*--entity them --project collected  or  --entity lab"
    with pytest.raises(EegfmError, match=said):
        save(theirs)
    assert not server.views
    before = save(theirs, project="eegfm")
    assert {view["entityName"] for view in server.views.values()} == {"lab"} and len(server.views) == 2
    for view in server.views.values():  # somebody else's page, whose address stands in the folder
        view["project"]["entityName"], view["entityName"] = "them", "them"
    elsewhere = {what: url.replace("/lab/", "/them/") for what, url in before.items()}
    (theirs / ADDRESSES).write_text(json.dumps(elsewhere))
    assert all("/lab/" in url for url in save(theirs, project="eegfm").values())
    assert sum(view["entityName"] == "lab" for view in server.views.values()) == 2

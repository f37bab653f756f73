"""A search through the real sweeper, over trainings that cost nothing; what it is held against is Hydra's own sweep."""

import csv
import json
import os
import subprocess
import time
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="the extra `search` is not installed")

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from eegfm.commands.sweep import collect, status
from eegfm.commands.work.submit import searchers_of
from eegfm.config.identity import run_identity
from eegfm.contracts import EegfmError
from eegfm.runs.status import look
from eegfm.search.space import distribution_of, refuse_key, values_of
from eegfm.search.study import open_storage
from tests.command_line import Process, call, environment, start
from tests.search.toy_search import main, quick, value_of

SEARCH = "search=optuna"
GRID = "search.sampler._target_=optuna.samplers.GridSampler"


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def searched(place: Path, *overrides: str) -> Path:
    """The folder of the one search that there is, after it."""
    quick([*overrides])
    return only_search(place)


def only_search(place: Path) -> Path:
    (folder,) = (place / "runs" / "single" / "searches").iterdir()
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "search.csv", newline="") as file:
        return list(csv.DictReader(file))


def begun(place: Path) -> list[str]:
    return [line.split()[1] for line in (place / "begun").read_text().splitlines()]


def study_of(folder: Path):
    import optuna

    return optuna.load_study(study_name=folder.name, storage=open_storage(str(folder / "study.journal")))


# ---- what it finds ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_grid_finds_what_hydras_own_sweep_of_every_cell_finds(place, capfd):
    """Down to the names of the folders, so that each trial is the run that the sweep would have made."""
    space = ["model.a=range(1,3)", "model.b=choice(0,1)"]
    main(place, ["-m", "paths.runs=every", *space])
    every = {
        path.parent.name: json.loads(path.read_text()) for path in place.glob("every/single/*/result.json")
    }
    assert len(every) == 4
    main(place, [SEARCH, "search.n_trials=100", "search/sampler=grid", *space])
    folder = only_search(place)
    found = json.loads((folder / "search.json").read_text())
    assert {path.parent.name for path in place.glob("runs/single/*/result.json")} == set(every)
    assert found["tried"]["complete"] == len(rows(folder)) == 4  # of a hundred: there are no more
    best = max(every, key=lambda name: every[name]["monitor_value"])
    assert Path(found["best"]["folder"]).name == best and found["best"]["value"] == value_of(2, 1) == 1.0
    again = "eegfm train -m model.a=2 model.b=1 seed=654,114,25,759,281"
    assert found["best"]["with_five_seeds"] == again
    capfd.readouterr()
    with pytest.raises(SystemExit):
        main(place, [SEARCH, "seed=0,1"])
    said = capfd.readouterr().err
    assert "luck" in said and "Traceback" not in said


def test_the_test_score_chooses_nothing_and_is_nowhere_to_be_seen(place, capsys):
    """It is best where validation is worst."""
    folder = searched(place, "model.a=choice(0,2,3)", "model.b=1", GRID)
    found = json.loads((folder / "search.json").read_text())
    assert found["best"]["params"] == {"model.a": "2"} and found["selected_by"] == "validation auroc"
    assert "-1.0" not in (folder / "search.json").read_text() + (folder / "search.csv").read_text()
    out = capsys.readouterr().out
    assert "Best of 3 settings by validation auroc: 1.0000" in out and "-1.0" not in out
    assert "model.a=2 seed=654,114,25,759,281" in out and SEARCH not in out.split("next")[1]


def test_a_search_that_goes_on_tries_what_the_uninterrupted_one_does(place):
    """The sampler's numbers follow from the trial; Optuna's own would begin with the first ones again."""
    space = ["model.a=interval(0,4)", "model.b=tag(log,interval(1e-3,1))"]
    folder = searched(place, "search.n_trials=4", *space)
    searched(place, "search.n_trials=13", *space)  # beyond the first ten, which are random
    quick(["paths.runs=whole", "search.n_trials=13", *space])
    (whole,) = (place / "whole" / "single" / "searches").iterdir()
    tried = [[(row["model.a"], row["model.b"]) for row in rows(one)] for one in (folder, whole)]
    assert tried[0] == tried[1] and len(set(tried[0])) == 13
    n = len(begun(place))
    searched(place, "search.n_trials=13", *space)
    assert len(begun(place)) == n  # finished: nothing is trained again


def test_what_fails_is_told_with_its_reason_and_the_search_goes_on(place):
    folder = searched(place, "model.a=choice(9,1)", GRID)
    by_a = {row["model.a"]: row for row in rows(folder)}
    assert by_a["9"]["state"] == "fail" and by_a["9"]["reason"] == "Nine is no depth."
    assert by_a["1"]["state"] == "complete"
    with pytest.raises(EegfmError, match=r"No setting of 1 .*Nine is no depth"):
        quick(["paths.runs=none", "model.a=choice(9)"])


def test_a_search_whose_disk_is_full_stops_and_goes_on_when_there_is_room(place):
    """The disk says nothing of a setting: none is told to have failed, and none is lost."""
    space = ["model.a=choice(0,1,2)", GRID]
    (place / "full").touch()
    for _ in range(5):
        with pytest.raises(EegfmError, match="A disk is full"):
            quick(space)
    assert len(begun(place)) == 5, "one training a time, not every setting in turn"
    (place / "full").unlink()
    folder = searched(place, *space)
    assert sorted(row["state"] for row in rows(folder)) == ["complete"] * 3 + ["interrupted"] * 5
    assert {row["model.a"] for row in rows(folder) if row["state"] == "complete"} == {"0", "1", "2"}


@pytest.mark.slow
@pytest.mark.long  # imports of seconds
def test_sqlite_holds_a_search_as_well(place):
    folder = searched(place, "search.storage=sqlite", "search.n_trials=2", "model.a=choice(0,1)")
    assert (folder / "study.sqlite").exists() and len(rows(folder)) == 2
    assert look(folder / "worker-0").state == "done"


# ---- the space -------------------------------------------------------------------------------------------------------


def distribution(text: str):
    (one,) = OverridesParser.create().parse_overrides([text])
    return distribution_of(one)


@pytest.mark.parametrize(
    "space",
    [
        "x=1,2,a",
        "x=choice([1,2],true,a.b)",
        "x=range(3)",
        "x=range(1,10,3)",
        "x=range(5,1,-2)",
        "x=range(0,1,0.1)",
    ],
)
def test_a_discrete_space_holds_the_values_of_hydras_sweep(space):
    (one,) = OverridesParser.create().parse_overrides([space])
    hydras, ours = list(one.sweep_string_iterator()), values_of(distribution(space))
    assert ours is not None
    numbers = isinstance(ours[0], float)
    assert sorted(f"{v:.12g}" if numbers else str(v) for v in ours) == sorted(
        f"{float(v):.12g}" if numbers else v for v in hydras
    )


def test_an_interval_is_one_by_factors_where_it_says_so():
    plain, by_factors = distribution("x=interval(1,4)"), distribution("x=tag(log,interval(1e-4,1e-2))")
    assert (plain.low, plain.high, plain.log) == (1.0, 4.0, False) and type(plain.low) is float
    assert (by_factors.low, by_factors.high, by_factors.log) == (1e-4, 1e-2, True)
    whole = distribution("x=int(interval(1,64))")
    assert values_of(whole) == list(range(1, 65)) and values_of(plain) is None


@pytest.mark.parametrize(
    "space",
    ["x=shuffle(range(3))", "x=interval(2,1)", "x=tag(log,interval(0,1))", "x=range(3,3)", "x=tag(a,interval(0,1))",
     "x=tag(log,range(1,9,2))", "x=tag(log,choice(1,2))"],
)  # fmt: skip
def test_a_space_that_cannot_be_is_a_sentence(space):
    with pytest.raises(EegfmError, match=r"^x="):
        distribution(space)


@pytest.mark.parametrize(
    "key, why",
    [("seed", "luck"), ("task.seed", "luck"), ("data", "judged"), ("split", "judged"), ("data.window_s", "judged"),
     ("+split.fold", "judged"), ("task", "easiest"), ("trainer.limit_val_batches", "how much"),
     ("trainer.devices", "not change"), ("paths.runs", "not change"), ("experiment", "not change"),
     ("search.n_trials", "not change")],
)  # fmt: skip
def test_what_would_pick_luck_or_ease_is_refused(key, why):
    with pytest.raises(EegfmError, match=f"over .*{key.lstrip('+')}.*{why}"):
        refuse_key(key)


def test_what_makes_another_training_may_be_searched():
    for key in ("model", "model.depth", "encoder", "task.optimizer.lr", "task.mask.ratio", "trainer.max_epochs",
                "data.batch_size", "++task.dropout"):  # fmt: skip
        refuse_key(key)
    for key in ("task.mask.ratio", "task/mask", "task.scale"):  # where the loss is the judge
        with pytest.raises(EegfmError, match="easiest"):
            refuse_key(key, of_loss=True)
    refuse_key("task.schedule.max_lr", of_loss=True)


@pytest.mark.parametrize(
    "overrides, why",
    [([], "nothing to search over"), (["model.a=1,2", "search.n_trials=0"], "above 0"), (["seed=1,2"], "luck"),
     (["model.a=interval(0,1)", GRID], "List them"), (["model.a=1,2", "search.direction=up"], "minimize")],
)  # fmt: skip
def test_a_search_that_cannot_be_says_so_before_anything_runs(place, overrides, why):
    with pytest.raises(EegfmError, match=why):
        quick(overrides)
    assert not list(place.glob("runs/single/*/result.json"))


def test_a_key_that_is_not_there_begins_nothing(place):
    with pytest.raises(HydraException, match="aa"):
        quick(["model.aa=1,2"])
    assert not (place / "runs").exists()


def test_a_trial_has_the_name_of_its_run_without_the_search():
    config = {"seed": 1, "model": {"a": 2}}
    assert run_identity({**config, "search": {"trial": 3, "study": "s"}}) == run_identity(config)


# ---- several processes, and killed ones ------------------------------------------------------------------------------


def search_of_toys(place: Path, *overrides: str, **more: str) -> Process:
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    env = environment(PYTHONPATH=path, **more)
    with open(place / "said", "a") as log:
        return start("tests.search.toy_search", SEARCH, *overrides, cwd=place, out=log, env=env)


@pytest.mark.slow
def test_a_killed_search_goes_on_and_loses_nothing(place):
    space = ["model.a=choice(0,1,2,3)", GRID]
    killed = search_of_toys(place, *space, TOY_HANGS_AT="2")
    deadline = time.monotonic() + 60
    while not ((place / "begun").exists() and len(begun(place)) == 2):
        assert time.monotonic() < deadline and killed.poll() is None, (place / "said").read_text()
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    folder = only_search(place)
    assert look(folder / "worker-0").state == "lost"
    first, second = begun(place)
    main(place, [SEARCH, *space])
    assert (
        begun(place).count(first) == 1 and begun(place).count(second) == 2 and len(set(begun(place))) == 4
    )
    states = [one.state.name for one in study_of(folder).trials]
    assert sorted(states) == ["COMPLETE"] * 4 + ["FAIL"]
    found = json.loads((folder / "search.json").read_text())
    assert (
        found["tried"]["interrupted"] == 1
        and found["tried"]["failed"] == 0
        and found["best"]["value"] == 0.9
    )


@pytest.mark.slow
@pytest.mark.long
def test_two_processes_share_one_study(place):
    """Every setting is trained once, by the one or the other, and none beyond the number wanted."""
    space = ["model.a=interval(0,4)", "search.n_trials=5"]
    main(place, [SEARCH, *space, "search.n_trials=1"])  # the config tree is there then
    both = [search_of_toys(place, *space, TOY_WAITS_FOR="3") for _ in range(2)]
    assert [one.wait(timeout=120) for one in both] == [0, 0], (place / "said").read_text()
    trials = study_of(only_search(place)).trials
    assert [one.state.name for one in trials] == ["COMPLETE"] * 5
    assert len(set(begun(place))) == len(begun(place)) == 5
    assert {one.user_attrs["worker"] for one in trials[1:]} == {"worker-0", "worker-1"}


def test_submit_sends_processes_that_share_the_search(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    space = "task.schedule.max_lr=tag(log,interval(1e-4,1e-2))"
    cells = searchers_of([SEARCH, "experiment=demo", space, "hydra/launcher=basic"], 2)
    assert [cell.folder.name for cell in cells] == ["worker-0", "worker-1"]
    assert cells[0].folder.parent == cells[1].folder.parent and cells[0].experiment == Path("runs/demo")
    assert cells[1].overrides == [SEARCH, "experiment=demo", space, "search.worker=1"]
    with pytest.raises(EegfmError, match="luck"):
        searchers_of([SEARCH, "experiment=demo", "seed=0,1"], 2)


# ---- trainings that are given up -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_fit_that_falls_behind_is_given_up_and_goes_on_where_it_was(place):
    """The pruner is Optuna's own: below the median of the trials before, at the first epoch that it may look at."""
    import lightning.pytorch as lightning
    import optuna
    import torch

    from eegfm.runs.status import Pruned, at_work
    from eegfm.search.prune import Prune
    from eegfm.search.storage import Trials
    from eegfm.training.keep_curves import KeepCurves
    from eegfm.training.selection import checkpoint_callbacks

    class Straight(lightning.LightningModule):
        """A task whose validation metric is `level` times the number of the epoch."""

        def __init__(self, level: float) -> None:
            super().__init__()
            self.level, self.weight = level, torch.nn.Parameter(torch.zeros(1))

        def training_step(self, batch, _):
            return (self.weight * batch[0]).sum()

        def validation_step(self, batch, _):
            self.log("val/auroc", self.level * (self.current_epoch + 1))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(2, 1)))
    storage = open_storage(str(place / "study.journal"))
    study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
    trials = Trials(study, storage)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=1)

    def fit(level: float, trial: int, folder: Path, pruner=pruner) -> None:
        folder.mkdir(exist_ok=True)
        pruning = Prune(trials, trial, pruner, folder, ("auroc", "max"))
        last = folder / "checkpoints" / "last.ckpt"
        trainer = lightning.Trainer(
            max_epochs=4, accelerator="cpu", logger=False, enable_progress_bar=False, num_sanity_val_steps=0,
            enable_model_summary=False,
            callbacks=[KeepCurves(folder), pruning,
                       *checkpoint_callbacks(last.parent, monitor="val/auroc", mode="max", rule={})],
        )  # fmt: skip
        with at_work(folder):
            trainer.fit(Straight(level), loader, loader, ckpt_path=last if last.exists() else None)
            pruning.leave()

    fit(0.2, study.ask().number, place / "good")
    study.tell(0, 0.8)
    bad = study.ask().number
    with pytest.raises(Pruned, match=r"epoch 2: val/auroc 0\.2"):
        fit(0.1, bad, place / "bad")
    assert (look(place / "bad").state, look(place / "bad").reason) == (
        "pruned",
        "given up in epoch 2: val/auroc 0.2",
    )
    assert list(study.trials[bad].intermediate_values) == [0, 1]
    study.tell(bad, state=optuna.trial.TrialState.PRUNED)
    # another trial of the same settings, that is not given up: it goes on, and knows of the epochs before
    again = study.ask().number
    fit(0.1, again, place / "bad", optuna.pruners.NopPruner())
    assert study.trials[again].intermediate_values == pytest.approx({0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4})
    with open(place / "bad" / "metrics.csv", newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2", "3"]
    # a task whose better end is the other one says so, before an hour is spent on it
    with pytest.raises(EegfmError, match=r"search\.direction=minimize"):
        Prune(trials, again, pruner, place, ("loss", "min"))


@pytest.mark.slow
@pytest.mark.long
def test_the_walk_of_a_search(place, capsys):
    """Real trainings: all given up, then what was best of them finished by the ordinary command."""
    small = [
        "model.depth=1",
        "model.width=16",
        "model.ff_width=16",
        "trainer.accelerator=cpu",
        "trainer.max_epochs=3",
    ]

    def train(*overrides: str) -> subprocess.CompletedProcess[str]:
        return call("eegfm.train", *overrides, *small, cwd=place)

    space = ["task.schedule.max_lr=1e-3,1e-4", GRID]
    out_of_reach = ["search.pruner._target_=optuna.pruners.ThresholdPruner", "+search.pruner.lower=2"]
    out_of_reach += ["search.pruner.n_warmup_steps=0", "~search.pruner.n_startup_trials"]
    done = train("-m", SEARCH, *space, *out_of_reach)
    assert done.returncode == 1 and "No setting of 2 has a validation value" in done.stderr
    folders = [path.parent for path in place.glob("runs/single/*/status.json")]
    assert len(folders) == 2 and {look(one).state for one in folders} == {"pruned"}
    capsys.readouterr()
    collect(place / "runs" / "single")
    assert "A search gave up 2 cells" in capsys.readouterr().out
    assert set(status(place / "runs")) == {*folders, only_search(place) / "worker-0"}
    done = train("task.schedule.max_lr=1e-3")
    assert done.returncode == 0, done.stderr
    (finished,) = [one for one in folders if look(one).state == "done"]
    assert "Going on from" in (finished / "train.log").read_text()
    done = train("-m", SEARCH, "task.schedule.max_lr=1e-3", "seed=654")
    assert done.returncode == 1 and "nothing to search over" in done.stderr

"""Which of two values of a setting wins: the one chosen or typed later; a model's training recipe comes early."""

import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from eegfm.config.identity import without_hydra
from eegfm.config.refusals import refuse
from eegfm.config.schema import config_dir
from eegfm.contracts import EegfmError
from tests.composed import composed
from tests.composed import read as read_yaml

OPTIONS = {
    group: sorted(path.stem for path in (config_dir() / group).glob("*.yaml"))
    for group in ("model", "task", "trainer", "row", "adapt", "experiment")
}
RECIPES = sorted(path.name for path in (config_dir() / "recipe").iterdir())


def cells():
    """Every model with every task, and with every trainer among them; a third of these are in `make check`."""
    for i, model in enumerate(OPTIONS["model"]):
        for k, task in enumerate(OPTIONS["task"]):
            asks_for_a_recipe = model in RECIPES and task in ("classify", "probe")
            marks = () if asks_for_a_recipe or k == i % len(OPTIONS["task"]) else pytest.mark.long
            yield pytest.param(
                model, task, OPTIONS["trainer"][(i + k) % len(OPTIONS["trainer"])], marks=marks
            )


def test_the_cells_are_all_pairs():
    found = [cell.values for cell in cells()]
    for at, group in ((1, "task"), (2, "trainer")):
        assert {(one[0], one[at]) for one in found} == {*product(OPTIONS["model"], OPTIONS[group])}


def read(*parts: str) -> Any:
    return read_yaml(config_dir().joinpath(*parts[:-1], f"{parts[-1]}.yaml"))


def written(node: Any) -> Any:
    """A node as it is written, references and all."""
    return OmegaConf.to_container(node)


def stacked(group: str, option: str, recipe: Path) -> Any:
    """An option's file laid by hand on what its defaults name, with the recipe where they ask for one."""
    own = read(group, option)
    defaults = written(own).get("defaults", ["_self_"])
    own.pop("defaults", None)
    layers = []
    for default in defaults:
        if default == "_self_":
            layers.append(own)
        elif isinstance(default, str):
            layers.append(stacked(group, default, recipe))
        else:
            ((key, value),) = default.items()
            if key.startswith("optional /recipe"):
                part = recipe / f"{value.rpartition('/')[2]}.yaml"
                layers += [read_yaml(part)] if part.exists() else []
            elif value is not None:  # a mask or a contrast, of which the last one holds
                name = key.removeprefix("override ")
                layers += [{name: None}, {name: read(group, name, value)}]
    return OmegaConf.merge(*layers)


def leaves(node: Any, path: str = "") -> dict[str, Any]:
    """The values of a node in plain Python, by dotted key."""
    if not isinstance(node, dict) or not node:
        return {path: node}
    return {k: v for key in node for k, v in leaves(node[key], f"{path}.{key}".lstrip(".")).items()}


@pytest.mark.parametrize(("model", "task", "trainer"), [*cells()])
def test_the_chosen_task_and_trainer_overrule_the_recipe_and_it_overrules_what_they_start_from(
    model, task, trainer
):
    """Each is what its files say, laid one on another by hand."""
    config, recipe = (
        composed(f"model={model}", f"task={task}", f"trainer={trainer}"),
        config_dir() / "recipe",
    )
    assert written(config.task) == written(stacked("task", task, recipe / model))
    assert written(config.trainer) == written(stacked("trainer", trainer, recipe / model))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory) -> str:
    """A config folder of a person's own: for every base an option that says everything otherwise, and a bare model."""
    files = {
        "task/mine.yaml": """
            defaults: [classify, _self_]
            optimizer: {lr: 7.0, weight_decay: 7.0}
            schedule: null
            hidden: [7]
            head_lr: 7.0
            label_smoothing: 0.7
            scale: 7.0""",
        "task/my_probe.yaml": "{defaults: [probe, _self_], scale: 7.0}",
        "trainer/quick.yaml": "{defaults: [auto, _self_], max_epochs: 3, gradient_clip_val: 7.0}",
        "row/my_row.yaml": """
            # @package _global_
            defaults: [override /model: stamp]
            trainer: {max_epochs: 9}""",
        "experiment/my_experiment.yaml": """
            # @package _global_
            defaults: [override /trainer: cpu]
            trainer: {max_epochs: 9, gradient_clip_val: 9.0, accelerator: auto}""",
        "data/mine.yaml": "{defaults: [synthetic, _self_], batch_size: 7}",
        "model/bare.yaml": """
            # @package _global_
            model: {_target_: eegfm.models.majority.Majority, _partial_: true}""",
    }
    place = tmp_path_factory.mktemp("theirs")
    for name, text in files.items():
        (place / name).parent.mkdir(exist_ok=True)
        lines = text.strip("\n").splitlines()
        indent = len(lines[0]) - len(lines[0].lstrip())
        (place / name).write_text("\n".join(line[indent:] for line in lines) + "\n")
    return f"hydra.searchpath=[file://{place}]"


@pytest.mark.parametrize("model", RECIPES)
def test_a_person_s_own_options_overrule_every_recipe(model, theirs):
    config = composed(theirs, f"model={model}", "task=mine", "trainer=quick", "data=mine")
    optimizer = {k: v for k, v in config.task.optimizer.items() if k in ("lr", "weight_decay")}
    assert optimizer == {"lr": 7.0, "weight_decay": 7.0} and config.task.schedule is None
    task = config.task
    assert (list(task.hidden), task.head_lr, task.label_smoothing, task.scale) == ([7], 7.0, 0.7, 7.0)
    assert (config.trainer.max_epochs, config.trainer.gradient_clip_val) == (3, 7.0)
    assert config.data.batch_size == 7
    assert composed(theirs, f"model={model}", "task=my_probe").task.scale == 7.0


@pytest.mark.parametrize("model", RECIPES)
def test_what_is_typed_overrules_every_value_of_a_recipe(model):
    typed = {}
    for path in sorted((config_dir() / "recipe" / model).glob("*.yaml")):
        if path.stem != "probe":  # which would be another task's
            node = {"classify": "task"}.get(path.stem, path.stem)
            typed |= {f"{node}.{key}": i + 7 for i, key in enumerate(leaves(written(read_yaml(path))))}
    config = composed(
        f"model={model}", "task=classify", *(f"{key}={value}" for key, value in typed.items())
    )
    assert {key: OmegaConf.select(config, key) for key in typed} == typed


def test_a_model_without_a_recipe_has_what_task_and_trainer_start_from(theirs):
    config = composed(theirs, "model=bare")
    assert written(config.task) == written(stacked("task", "classify", Path("nowhere")))
    assert written(config.trainer) == written(stacked("trainer", "auto", Path("nowhere")))
    assert config.data.batch_size == 64


def kept(*overrides: str) -> tuple[Any, str]:
    """The config of these words, and what is refused of it."""
    config = composed(*overrides, hydra=True)
    try:
        refuse(without_hydra(config), config.hydra, Path("nowhere"))
    except EegfmError as error:
        return config, str(error)
    return config, ""


RECIPES_OF_RUNS = [
    *((group, option) for group in ("row", "adapt", "experiment") for option in OPTIONS[group]),
    ("row", "my_row"),
    ("experiment", "my_experiment"),
]


@pytest.mark.parametrize(
    ("group", "option", "trainer"),
    [
        one
        for i, (group, option) in enumerate(RECIPES_OF_RUNS)
        for one in (
            pytest.param(group, option, "quick", marks=pytest.mark.slow),
            pytest.param(
                group, option, OPTIONS["trainer"][i % len(OPTIONS["trainer"])], marks=pytest.mark.long
            ),
        )
    ],
)
def test_a_trainer_that_a_person_types_holds_or_she_is_told_what_overrules_it(
    group, option, trainer, theirs
):
    words = [theirs, f"{group}={option}", f"trainer={trainer}"]
    config, refused = kept(*words)
    if refused:
        # by the option itself, or by what an experiment has chosen
        assert re.match(rf"(row|adapt|experiment)=\w+ overrules trainer={trainer}\. ", refused)
        mine = re.search(r"says, type (.*) and to have", refused)
        assert mine is not None
        config, refused = kept(*words, *mine[1].split())
        assert refused == ""
    if trainer == "quick":
        assert (config.trainer.max_epochs, config.trainer.gradient_clip_val) == (3, 7.0)
    elif trainer != "auto":  # whose values are what the others start from
        own = read("trainer", trainer)
        own.pop("defaults")
        assert {key: OmegaConf.to_container(config.trainer)[key] for key in own} == written(own)


@pytest.mark.parametrize("option", OPTIONS["experiment"])
def test_no_experiment_overrules_what_it_sweeps_over(option):
    params = composed(f"experiment={option}", hydra=True).hydra.sweeper.get("params") or {}
    first = [f"{key}={re.sub(r'range.*', '0', str(value)).split(',')[0]}" for key, value in params.items()]
    assert kept(f"experiment={option}", *first)[1] == ""


@pytest.mark.parametrize("model", OPTIONS["model"])
def test_a_model_s_file_sets_nothing_of_the_task_the_trainer_or_the_data(model):
    """It stands behind them, and would overrule what a person has chosen: such values are the recipe's."""
    assert set(read("model", model)) <= {"defaults", "model", "resources", "seen"}


@pytest.mark.parametrize("model", RECIPES)
def test_a_recipe_has_parts_that_something_asks_for(model):
    assert model in OPTIONS["model"]
    parts = {path.stem for path in (config_dir() / "recipe" / model).iterdir()}
    assert parts <= {"classify", "probe", "trainer", "data", "selection"}

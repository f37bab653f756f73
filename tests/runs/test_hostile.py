"""Run folders, checkpoints and exported folders of somebody who means no good: nothing runs, nothing secret is told."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from omegaconf import OmegaConf

import eegfm
from eegfm.build import build, trained
from eegfm.config.identity import plain
from eegfm.config.schema import config_dir
from eegfm.contracts import EegfmError
from eegfm.export.model import write
from eegfm.runs.corpora_seen import corpora_seen
from eegfm.runs.place import Place
from tests.command_line import call, environment
from tests.config.test_build import OPTIONS, composed
from tests.stream_runs import untrained_run

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
SECRET = "not-for-anybody-4242"
SMALL = (
    "model=stamp",
    "data=synthetic",
    "model.width=8",
    "model.depth=1",
    "model.ff_width=8",
    "model.n_heads=2",
)


@pytest.fixture(scope="module")
def honest(tmp_path_factory) -> Path:
    """A run as training leaves it, and what `eegfm export` writes of it, in `exported`."""
    folder = untrained_run(tmp_path_factory.mktemp("runs") / "single" / "honest", *SMALL)
    write(eegfm.load(folder), folder.parent / "exported")
    return folder


@pytest.fixture
def theirs(honest, tmp_path, monkeypatch) -> Path:
    """A copy of the run, to be changed, in a folder where nothing else may appear."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CANARY", SECRET)
    return shutil.copytree(honest, tmp_path / "theirs")


def change(folder: Path, path: str, value: Any) -> None:
    """Set a value of the config, in the folder and in its checkpoint, as a text editor would."""
    config = yaml.load((folder / "config.yaml").read_text(), LOADER)
    node, (*way, last) = config, path.split(".")
    for name in way:
        node = node.setdefault(name, {})
    node[last] = value
    write_config(folder, yaml.dump(config, Dumper=DUMPER))


def write_config(folder: Path, text: str) -> None:
    (folder / "config.yaml").write_text(text)
    file = folder / "checkpoints" / "best.ckpt"
    torch.save({**torch.load(file, weights_only=True), "config": text}, file)


def refusal(work: Callable[[], Any]) -> str:
    with pytest.raises(EegfmError) as caught:
        work()
    assert SECRET not in str(caught.value) and len(str(caught.value)) < 1000
    return str(caught.value)


# ---- targets ---------------------------------------------------------------------------------------------------------

RUN = {"_target_": "subprocess.getoutput", "cmd": "touch canary"}
EVIL = {
    "a command for a model": ("model", RUN),
    "a command for data": ("data", RUN),
    "a command for an encoder": ("encoder", RUN),
    "a command for a task": ("task", RUN),
    "a command for a split": ("split", RUN),
    "a command for a trainer": ("trainer", RUN),
    "a shell": ("model", {"_target_": "os.system", "command": "touch canary"}),
    "our own way to run a command": (
        "model", {"_target_": "eegfm.runs.slurm._ask", "_args_": ["touch", "canary"]},
    ),
    "our own functions": ("model", {"_target_": "eegfm.support.files.write_text", "path": "canary", "text": ""}),
    "a function that a module of ours imports": ("model.move", {"_target_": "eegfm.runs.slurm.subprocess.getoutput"}),
    "joblib": ("encoder", {"_target_": "joblib.load", "filename": "evil"}),
    "pandas": ("encoder", {"_target_": "pandas.read_pickle", "filepath_or_buffer": "evil"}),
    "torch": ("encoder", {"_target_": "torch.load", "f": "evil", "weights_only": False}),
    "numpy": ("encoder", {"_target_": "numpy.load", "file": "evil", "allow_pickle": True}),
    "eval": ("encoder", {"_target_": "builtins.eval", "_args_": ["open('canary', 'w')"]}),
    "another object": ("data.benchmark", {"_target_": "hydra.utils.get_object", "path": "os.environ"}),
    "an import": ("data.benchmark", {"_target_": "hydra.utils.get_object", "path": "evil.x"}),
    "a call by hydra": ("data.benchmark", {"_target_": "hydra.utils.instantiate", "config": RUN}),
    "a step": ("data.steps", [RUN]),
    "a step that is none": ("data.steps", [{"_target_": "eegfm.signal.steps.np.load"}]),
    "a module beside": ("model", {"_target_": "evil.Model"}),
    "a command in an optimiser": ("task.optimizer.params", RUN),
    "a command in a list": ("model.positions", [["token"], {"a": RUN}]),
    "a callback of the trainer's": ("trainer.callbacks", [RUN]),
    "another root of the trainer's": ("trainer.default_root_dir", "elsewhere"),
    "a profiler of the trainer's": ("trainer.profiler", "advanced"),
    "plugins of the trainer's": ("trainer.plugins", ["x"]),
    "arguments by place": ("model._args_", [RUN]),
    "a way to convert": ("model._convert_", "all"),
    "a target that is none": ("model", {"_target_": {"a": 1}}),
    "a target out of the environment": ("model._target_", "${oc.env:CANARY}"),
    "an argument that is none": ("model.run", "touch canary"),
}  # fmt: skip


@pytest.mark.parametrize("what", EVIL)
def test_a_file_makes_nothing_that_conf_does_not_name(theirs, what):
    (theirs.parent / "evil.py").write_text("open('canary', 'w')")
    change(theirs, *EVIL[what])
    before = sorted(theirs.parent.rglob("*"))
    for place in (theirs, theirs / "checkpoints" / "best.ckpt"):
        refusal(lambda place=place: trained(Place.of(place).config, Place.of(place)))
    refusal(lambda: eegfm.load(theirs))
    assert sorted(theirs.parent.rglob("*")) == before


@pytest.mark.parametrize("what", ["callbacks.x", "search", "pretrain.task", "resources", "paper", "logger"])
def test_what_is_not_needed_any_more_is_not_made(theirs, what):
    change(theirs, what, RUN)
    Place.of(theirs).config  # noqa: B018
    trained(Place.of(theirs).config, Place.of(theirs))
    assert not (theirs.parent / "canary").exists()


def test_a_module_of_somebodys_own_wants_their_word(theirs, monkeypatch):
    """The word is for that module, and for nothing else in the file."""
    change(theirs, "task._target_", "tests.tasks.own.Own")
    assert "type trust=tests.tasks.own" in refusal(lambda: Place.of(theirs).config)
    assert Place.of(theirs, trust="tests.tasks").config.task._target_ == "tests.tasks.own.Own"
    assert Place.of(theirs, trust=["tests.tasks.own"]).config
    refusal(lambda: Place.of(theirs, trust="tests.task").config)
    change(theirs, "model", RUN)
    refusal(lambda: Place.of(theirs, trust="tests.tasks").config)


LONG = [pytest.param(group, marks=pytest.mark.long) for group in ("data", "experiment", "adapt", "row")]


@pytest.mark.parametrize("group", ["model", "task", "encoder", "trainer", *LONG])
def test_whatever_conf_composes_is_built_from_a_file(group, tmp_path):
    """The other side: nobody has to trust what comes with eegfm. Two models are the code of whoever names its path."""
    for option in {*OPTIONS[group]} - {"mine", "sklearn"}:
        overrides = ["data/corpora=[synthetic,tuab]"] if (group, option) == ("data", "mix") else []
        config = composed(f"{group}={option}", *overrides)
        config.search = {}
        (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(plain(config))))
        own = Place.of(tmp_path).config
        for node in ("model", "task", "encoder", "trainer"):
            assert own[node] == OmegaConf.create(plain(config)[node]), option


# ---- what the environment says ---------------------------------------------------------------------------------------

LEAKS = {
    "an epoch": ("selection.keep", "${oc.env:CANARY}"),
    "a seed": ("seed", "${oc.env:CANARY}"),
    "a width": ("model.width", "${oc.env:CANARY}"),
    "a width, decoded": ("model.width", "${oc.decode:${oc.env:CANARY}}"),
    "a unit": ("task.scale", "${oc.env:CANARY}"),
    "a raw folder": ("data.raw", "/nowhere/${oc.env:CANARY}"),
    "a cache": ("data.cache", "${oc.env:CANARY}"),
    "behind a place": ("data.raw", "${paths.raw}/${oc.env:CANARY}"),
    "a project": ("logger.project", "${oc.env:CANARY}"),
    "a place": ("paths.cache", "${oc.env:CANARY}"),
    "in a text": ("model.input_norm", "a ${oc.env:CANARY} b"),
    "escaped": ("model.input_norm", "\\${oc.env:CANARY}"),
    "through another value": ("model.input_norm", "${paper}"),
}


@pytest.mark.parametrize("what", LEAKS)
def test_nothing_of_a_file_is_resolved(theirs, what):
    change(theirs, "paper", "${oc.env:CANARY}")
    change(theirs, *LEAKS[what])
    said = []
    for work in (
        lambda: str(plain(Place.of(theirs).config)),
        lambda: str(trained(Place.of(theirs).config, Place.of(theirs)).config),
        lambda: str(Place.of(theirs).checkpoint),
        lambda: str(build(composed(*SMALL, f"weights={theirs}"), theirs).written),
        lambda: str(eegfm.load(theirs).config),
    ):
        try:
            said.append(work())
        except EegfmError as error:
            said.append(str(error))
    assert SECRET not in "".join(said)


def test_weights_that_started_from_themselves_are_followed_to_no_end(theirs):
    change(theirs, "weights", str(theirs))
    assert "without end" in refusal(lambda: corpora_seen(plain(Place.of(theirs).config), theirs))


# ---- where it writes -------------------------------------------------------------------------------------------------


def test_folders_that_a_file_names_are_not_made(theirs, tmp_path):
    """Stores and simulated recordings go where such things lie, or into this machine's own folders."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").touch()
    for raw in (tmp_path / "home", "../../x", "${paths.raw}/../../x"):
        change(theirs, "data.raw", str(raw))
        change(theirs, "data.cache", str(raw))
        change(theirs, "data.download", True)
        data = Place.of(theirs).config.data
        assert (data.raw, data.cache, data.download) == ("data/raw/synthetic", "data/cache", False)
    store = tmp_path / "stores" / "synthetic" / "0123abcd"
    store.mkdir(parents=True)
    (store / "recipe.json").touch()
    change(theirs, "data.cache", str(tmp_path / "stores"))
    assert Place.of(theirs).config.data.cache == str(tmp_path / "stores")


# ---- sizes and shapes ------------------------------------------------------------------------------------------------

SHAPES = {
    "laughs": "a0: &a0 [1, 1]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}]\n" for i in range(40)),
    "deep": "model: " + "[" * 5000 + "]" * 5000,
    "deep mappings": "".join(f"{' ' * i}a:\n" for i in range(60)),
    "wide": "model: [" + "1," * 100_000 + "]",
    "long": "model: " + "x" * 2_000_000,
    "a tag": "model: !!python/object/apply:os.system [touch canary]",
    "a tag for a path": "model: !!python/object/apply:pathlib.PosixPath [x]",
    "a list": "- model",
    "a text": "model",
    "nothing": "",
    "no YAML": "model: {a: [}\nsecret-line: x",
    "twice": "model: {a: 1, a: 2}",
    "a model that is a list": "model: []",
    "an open reference": "model: {_target_: '${'}",
    "infinity": "data: {window_s: .inf}",
    "a very large number": f"data: {{window_s: {10**30}}}",
    "a thousand thousand processes": "data: {num_workers: 1000000}",
    "nothing given": "data: {raw: ???}",
}  # fmt: skip


@pytest.mark.parametrize("what", SHAPES)
def test_a_config_of_no_run_is_a_sentence(theirs, what):
    began = time.monotonic()
    write_config(theirs, SHAPES[what])
    said = [refusal(lambda: Place.of(theirs).config)]
    if SHAPES[what]:  # a checkpoint without a config is one of weights alone
        said.append(refusal(lambda: Place.of(theirs / "checkpoints" / "best.ckpt").config))
    assert time.monotonic() - began < 5 and "secret-line" not in "".join(said)
    assert not (theirs.parent / "canary").exists()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("model.width", 10**9),
        ("model.depth", 10**9),
        ("model.ff_width", 4 * 10**9),
        ("task.hidden", [10**9] * 3),
    ],
)
def test_a_model_of_absurd_size_is_a_sentence(theirs, path, value):
    """Typed or read: before its memory is taken."""
    change(theirs, path, value)
    began = time.monotonic()
    assert "mistyped" in refusal(lambda: trained(Place.of(theirs).config, Place.of(theirs)))
    assert "mistyped" in refusal(lambda: build(composed(*SMALL, f"{path}={value}"), None))
    assert time.monotonic() - began < 60


EXPORTED = {
    "a command": ("backbone", {"class": "subprocess.getoutput", "arguments": {"cmd": "touch canary"}}),
    "a class of ours that is no model": (
        "backbone",
        {"class": "eegfm.support.files.write_text", "arguments": {}},
    ),
    "a width": ("backbone.arguments.width", 10**9),
    "a wide layer": ("backbone.arguments.ff_width", 10**7),
    "a depth": ("backbone.arguments.depth", 10**9),
    "a text for a width": ("backbone.arguments.width", "x" * 10**6),
    "a hidden layer": ("head.hidden", [10**9]),
    "a window": ("input.shape", [20, 10**9]),
    "a shape that is none": ("input.shape", "x"),
    "channels that are none": ("input.montage", {"names": 3, "coords": None, "ends": None}),
}


@pytest.mark.parametrize("what", EXPORTED)
def test_an_exported_folder_makes_no_more_than_its_weights(honest, tmp_path, what, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = shutil.copytree(honest.parent / "exported", tmp_path / "exported")
    config = json.loads((folder / "config.json").read_text())
    node, (*way, last) = config, EXPORTED[what][0].split(".")
    for name in way:
        node = node[name]
    node[last] = EXPORTED[what][1]
    (folder / "config.json").write_text(json.dumps(config))
    began = time.monotonic()
    refusal(lambda: eegfm.load(folder))
    assert time.monotonic() - began < 20 and not (tmp_path / "canary").exists()


def test_a_config_of_a_thousand_brackets_is_damaged(honest, tmp_path):
    folder = shutil.copytree(honest.parent / "exported", tmp_path / "exported")
    (folder / "config.json").write_text("[" * 100_000)
    refusal(lambda: eegfm.load(folder))


# ---- through the commands --------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("eegfm.evaluate", "run=theirs"),
        ("eegfm.evaluate", "run=theirs/checkpoints/best.ckpt"),
        ("eegfm.evaluate", "run=theirs", "explain=true"),
        ("eegfm.evaluate", "run=theirs", "embedding_map=true"),
        ("eegfm.commands.stream", "run=theirs", "file=x.edf"),
        ("eegfm", "export", "theirs"),
    ],
)
def test_no_command_runs_what_a_file_names(theirs, command):
    change(theirs, "model", RUN)
    change(theirs, "logger.project", "${oc.env:CANARY}")
    (theirs.parent / "x.edf").touch()
    before = sorted(theirs.parent.rglob("*"))
    done = call(*command, cwd=theirs.parent, env=environment(CANARY=SECRET))
    assert done.returncode == 1 and "conf/ does not" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr and SECRET not in done.stdout + done.stderr
    assert sorted(theirs.parent.rglob("*")) == before and os.getcwd() == str(theirs.parent)


@pytest.mark.slow
def test_a_run_does_not_choose_where_figures_of_it_are_sent(tmp_path):
    """Its folder says that it was logged, and its config to whom; the person at the keyboard has typed neither."""
    theirs = untrained_run(tmp_path / "theirs", *SMALL, "model.input_norm=instance")
    (theirs / "wandb").mkdir()
    logger = OmegaConf.to_container(OmegaConf.load(config_dir() / "logger" / "wandb.yaml"))
    change(theirs, "logger", {**logger, "project": "theirs", "entity": "them"})
    asked = ("eegfm.evaluate", "run=theirs", "explain=true")
    done = call(*asked, cwd=theirs.parent)
    assert done.returncode == 0 and "type logger=wandb" in done.stdout, done.stderr
    assert not list((theirs / "wandb").iterdir())
    done = call(*asked, "logger=wandb", "logger.project=mine", cwd=theirs.parent)
    assert done.returncode == 0, done.stderr
    (log,) = theirs.glob("wandb/offline-run-*/*.wandb")
    assert b"mine" in log.read_bytes() and b"them" not in log.read_bytes()

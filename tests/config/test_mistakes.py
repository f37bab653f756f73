"""A mistake in a command gets one sentence, before torch is loaded; a path needs no quotes."""

import inspect
import json
import os
import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest
from hydra.utils import get_object

from eegfm.config.mistakes import for_hydra, without_folder
from eegfm.config.schema import config_dir
from eegfm.config.signatures import arguments
from tests.composed import composed

ROOT = Path(__file__).parents[2]
MISTAKES = [
    ("modle=stamp", "modle=stamp: there is no modle. Did you mean model?"),
    ("model.dpeth=4", "model.dpeth=4: model has no dpeth. Did you mean depth?"),
    (
        "task.optimizer.weight_dcay=1",
        "task.optimizer.weight_dcay=1: task.optimizer has no weight_dcay. Did you mean weight_decay?",
    ),
    ("~model.dpeth", "~model.dpeth: model has no dpeth. Did you mean depth?"),
    ("zzz=1", "zzz=1: there is no zzz. There are: adapt, "),
    ("data=tuevv", "data=tuevv: data has no tuevv. Did you mean tuev?"),
    (
        "data=published/tueev",
        "data=published/tueev: data has no published/tueev. Did you mean published/tuev?",
    ),
    ("encoder=xyz", "encoder=xyz: encoder has no xyz. There are: chronos, "),
    (
        "data/corpora=[tuab,tueev]",
        "data/corpora=[tuab,tueev]: data/corpora has no tueev. Did you mean tuev?",
    ),
    ("model=null", "model=null: one of these is needed: bandpower, "),
    ("model=", "model=: one of these is needed: bandpower, "),
    ("paths.runs=", "paths.runs=: this names no folder. Type paths.runs=<folder>, or leave it out."),
    ("hydra.run.dir=''", "hydra.run.dir=: this names no folder."),
    ("folder=../x", "folder=../x: a name below runs/ is wanted."),
    ("=3", "=3: a setting is written name=value."),
    ("+modle=stamp", "modle: there is no modle. Did you mean model?"),
    ("+seed=4", "seed is there already: type it without +."),
    ("~task", "task cannot be left out."),
    ("~model", "~model: model cannot be left out."),
    ("~data", "~data: data cannot be left out."),
    ("~seed", "~seed: seed cannot be left out."),
    ("seed=abc", "seed=abc: a whole number is wanted here."),
    ("diagnostics=maybe", "diagnostics=maybe: true or false is wanted here."),
    ("selection.keep=bset", "selection.keep=bset: one of these is wanted here: best, last."),
    ("seed=1,2", "seed=1,2: several values are a sweep, and a sweep is asked for by -m: -m seed=1,2"),
    ("model.depth", "model.depth: a setting is written name=value."),
    ("model.depth=choice(1,2", "model.depth=choice(1,2: this cannot be read."),
    ("model.depth=many", "model.depth=many: a whole number is wanted here."),
    ("+model.heads=3", "model.heads: eegfm.models.stamp.Stamp has no such argument. It has: spec, width"),
    ("task.optimizer.lr=-1", "task.optimizer.lr=-1: a number of 0 or more is wanted here."),
    (
        "trainer.max_epochs=0",
        "trainer.max_epochs=0: a whole number of 1 or more, -1 or null is wanted here.",
    ),
    ("data.batch_size=0", "data.batch_size=0: a whole number of 1 or more is wanted here."),
    ("--hlep", "--hlep: there is no --hlep. Did you mean --help?"),
    ("--mutlirun", "--mutlirun: there is no --mutlirun. Did you mean --multirun?"),
    ("--xyz=1", "--xyz: there is no --xyz. There are: --help, "),
    (
        "callbacks.early_stopping.patience=0",
        "callbacks.early_stopping.patience=0: callbacks has no early_stopping unless you choose callbacks=early_st",
    ),
    (
        "model.width_scale=8",
        "model.width_scale=8: model has no width_scale unless you choose model=eegm2 or model=samba.",
    ),
    ("model@foo=stamp", "model@foo=stamp: there is no model@foo. Did you mean model?"),
    (
        "task=nonsense",
        "task=nonsense: task has no nonsense. There are: classify, estimate, forecast, forecast_published, probe, "
        "reconstruct, reconstruct_published, reconstruct_samba, reconstruct_samba_published.",
    ),
    ("task=mask/blocks", "task=mask/blocks: task has no mask/blocks. Did you mean task/mask=blocks?"),
    ("data=shared/batch", "data=shared/batch: data has no shared/batch."),
    (
        "~data.batch_size",
        "~data.batch_size: data needs its batch_size. To change it, type data.batch_size=<value>",
    ),
    ("~trainer.max_epochs", "~trainer.max_epochs: trainer needs its max_epochs. To change it, type "),
    ("weights=/nonexistent", "weights=/nonexistent: there is no run and no checkpoint of that name."),
    ("split=recordings", "split.test and split.val are missing. Type split.test=... split.val=..."),
]


OUT_OF_ONE_PROCESS = """
import json, sys
from eegfm.train import main
from tests.composed import parsed_once

said = {}
for typed in json.loads(sys.argv[1]):
    sys.argv = arguments = ["eegfm train", *typed]
    try:
        with parsed_once():
            main()
    except SystemExit as stop:
        said[" ".join(typed)] = stop.code
    assert sys.argv == arguments
heavy = {"torch", "lightning", "mne", "scipy", "sklearn", "matplotlib", "wandb"} & set(sys.modules)
print(json.dumps([said, sorted(heavy)]))
"""
QUICK = ("--config-dir", "own", "trainer=quick")  # options of a person's own
SEVERAL = [
    (
        ("callbacks=early_stopping", "callbacks.early_stopping.patience=abc"),
        "callbacks.early_stopping.patience=abc: a whole number of 0 or more is wanted here.",
    ),
    (
        ("model=eegm2", "model.width_scale=8", "task=probe", "task.layr=pool3"),
        "task.layr=pool3: task has no layr.",
    ),
    (
        ("-m", "seed=1,2", "model=stamp,sambaa"),
        "model=stamp,sambaa: model has no sambaa. Did you mean samba?",
    ),
    ((*QUICK[:2], "trainer=quikc"), "trainer=quikc: trainer has no quikc. Did you mean quick?"),
    (
        (*QUICK, "trainer.max_epoch=1"),
        "trainer.max_epoch=1: trainer has no max_epoch. Did you mean max_epochs?",
    ),
    (("weights=runs/a=b", "sed=3"), "sed=3: there is no sed. Did you mean seed?"),
    (("--help", "modle=stamp"), "modle=stamp: there is no modle. Did you mean model?"),
    (
        ("model=samba", "adapt=eegm2_finetune"),
        "adapt=eegm2_finetune is for model=eegm2; you have model=samba. Leave one of the two out.",
    ),
    (
        ("model=samba", "adapt=eegm2_published_light"),  # which says so in the file that it starts from
        "adapt=eegm2_published_light is for model=eegm2; you have model=samba. Leave one of the two out.",
    ),
    (
        ("row=stamp_ttm", "model=samba"),
        "row=stamp_ttm is for model=stamp; you have model=samba. Leave one of the two out.",
    ),
    (
        ("row=stamp_moment_small", "encoder=ttm"),
        "row=stamp_moment_small is for encoder=moment; you have encoder=ttm. Leave one of the two out.",
    ),
    (
        ("adapt=eegm2_finetune", "task=probe"),
        "adapt=eegm2_finetune is for task=classify; you have task=probe. Leave one of the two out.",
    ),
    (
        ("experiment=demo", "model=eegm2"),
        "experiment=demo is for model=stamp; you have model=eegm2. Leave one of the two out.",
    ),
    (
        (*QUICK, "experiment=demo"),
        "experiment=demo overrules trainer=quick. To have what trainer=quick says, type trainer.max_epochs=3 and to "
        "have what experiment=demo says, trainer.max_epochs=15",
    ),
]
COMMANDS = [*(((typed,), sentence) for typed, sentence in MISTAKES), *SEVERAL]


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> tuple[dict[str, str], list[str], str]:
    """The last sentence of each command, the heavy packages that it loaded, and what else it printed."""
    place = tmp_path_factory.mktemp("mistakes")
    (place / "own" / "trainer").mkdir(parents=True)
    (place / "own" / "trainer" / "quick.yaml").write_text("{defaults: [auto, _self_], max_epochs: 3}")
    commands = json.dumps([typed for typed, _ in COMMANDS])
    done = subprocess.run(
        [sys.executable, "-c", OUT_OF_ONE_PROCESS, commands],
        cwd=place,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    *printed, last = done.stdout.splitlines()
    assert not list(place.rglob("status.json")), "a run has begun"
    return *json.loads(last), "\n".join(printed) + done.stderr


@pytest.mark.parametrize(("typed", "sentence"), COMMANDS)
def test_a_mistake_is_one_sentence_with_what_was_typed_and_what_is_near(typed, sentence, said):
    """The exit status is 1, which Python gives for `sys.exit(text)`."""
    found = said[0][" ".join(typed)]
    assert found.startswith(sentence) and len(found.splitlines()) == 1


def test_a_mistake_costs_neither_torch_nor_data_and_nothing_else_is_printed(said):
    assert said[1:] == ([], "")


@pytest.mark.slow
def test_a_mistake_ends_a_command_with_status_1(tmp_path):
    shown = subprocess.run(
        [sys.executable, "-m", "eegfm.train", "modle=stamp"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr == "modle=stamp: there is no modle. Did you mean model?\n"


PATHS = [
    "/a=b",
    "/a,b",
    "/a[x]",
    "/a=b/c,d[x]",
    "/a b (c)",
    "~/a:b",
    "../a{b}",
    "runs/a=b",
    "/a(1)",
    '/it\'s "x"',
    "it's\\",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_needs_no_quotes(path):
    config = composed(for_hydra(f"data.raw={path}", "train"), for_hydra(f"weights={path}", "train"))
    assert config.data.raw == config.weights == path


@pytest.mark.parametrize(
    "typed",
    ["data=published/tuev", "data.raw='/a=b'", "data.steps=[{a: 1}]", "model.depth=choice(1,2)", "seed=1,2",
     "data.raw=/a,/b", "weights=${paths.runs}/a", "--cfg", "-m", "encoder=null", "+data@pretrain.data=mix"],
)  # fmt: skip
def test_what_hydra_reads_by_itself_is_left_alone(typed):
    assert for_hydra(typed, "train") == typed


@pytest.mark.parametrize("group", ["row", "adapt", "search", "experiment"])
def test_null_is_no_option_where_none_is_needed(group):
    assert composed(for_hydra(f"{group}=null", "train")) == composed()


def test_a_null_that_is_typed_overrules_an_experiment(tmp_path):
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\ndefaults: [override /row: cbramod]\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    mine = [f"hydra.searchpath=[file://{tmp_path}]", "experiment=mine"]
    assert composed(*mine).model._target_.endswith("CBraMod")
    assert composed(*mine, for_hydra("row=null", "train")).model._target_.endswith("Stamp")


TARGETS = {
    target
    for path in config_dir().rglob("*.yaml")
    for target in re.findall(r"_target_: (eegfm[\w.]+)", path.read_text(encoding="utf-8"))
}


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_the_source_of_a_constructor_says_what_the_constructor_says(target):
    """All arguments have the same names; those of plain types have the same types. One that passes on says nothing."""
    made = get_object(target)
    if isinstance(made, type) and made.__init__ is object.__init__:
        assert arguments(target) is None  # it takes none
        return
    if any(one.kind is one.VAR_KEYWORD for one in inspect.signature(made).parameters.values()):
        assert arguments(target) is None
        return
    hints = typing.get_type_hints(made.__init__ if isinstance(made, type) else made)
    found = arguments(target)
    assert found is not None and list(found) == list(inspect.signature(made).parameters)
    assert {k: v for k, v in found.items() if v is not typing.Any} == {
        name: hint for name, hint in hints.items() if name in found and _is_plain(hint)
    }


def _is_plain(hint: object) -> bool:
    parts = typing.get_args(hint) if typing.get_origin(hint) is not typing.Literal else ()
    if parts:
        return (
            typing.get_origin(hint) is not None
            and all(map(_is_plain, parts))
            and "Union" in str(typing.get_origin(hint))
        )
    return hint in (int, float, bool, str, type(None)) or typing.get_origin(hint) is typing.Literal


def test_of_what_is_not_ours_nothing_is_said():
    assert arguments("torch.optim.AdamW") is None and arguments("eegfm.nowhere.Nothing") is None


def test_a_folder_that_the_environment_names_by_nothing_is_told():
    assert without_folder([], {"EEGFM_RUNS": ""}).startswith("EEGFM_RUNS=: this names no folder.")
    assert without_folder(["paths.runs=here", "seed="], {"EEGFM_RUNS": "/runs", "EEGFM_OTHER": ""}) == ""

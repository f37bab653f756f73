"""Every option composes, every argument of a model is in its YAML, and every wrong override is a sentence."""

import inspect
import itertools
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from eegfm.build import build, build_data, pretraining
from eegfm.config.identity import chosen, identity_hash, named
from eegfm.config.make import check_types, make
from eegfm.config.schema import config_dir
from eegfm.contracts import EegfmError
from eegfm.reporting.published import published
from tests.command_line import call, call_afresh, environment
from tests.composed import composed
from tests.config.test_who_wins import leaves

GROUPS = ("data", "model", "encoder", "task", "trainer", "logger", "adapt", "row", "experiment")
OPTIONS = {group: sorted(path.stem for path in (config_dir() / group).glob("*.yaml")) for group in GROUPS}
PRETRAINED = [
    one for one in OPTIONS["adapt"] if "_" in one and not one.endswith("_scratch")
]  # the others take any model, from weights=<run or file>


AS_CROWDSOURCED = (
    "stew",
    "dreamer",
    "alpha",
    "attention",
    "driver_distraction",
)  # the same channels and windows


def resolved(*overrides: str) -> dict:
    plain = OmegaConf.to_container(composed(*overrides), resolve=True)
    assert isinstance(plain, dict)
    return plain


@pytest.mark.parametrize("model", OPTIONS["model"])
def test_every_model_composes_and_takes_the_windows_of_every_data_set(model):
    """An option of data says nothing of a model, so that each needs composing once. `mix` is of nothing yet."""
    own = {"mine": "tests.models.own_models.Net", "sklearn": "tests.models.own_models.make_classifier"}
    path = [f"model.path={own[model]}"] if model in own else []
    config = composed(f"model={model}", "data=tuab", *path)
    for node in ("encoder", "task", "model"):
        if "_target_" in config[node]:
            check_types(config[node], node)
    package = getattr(get_object(config.model._target_), "package", "torch")
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    for data in {*OPTIONS["data"]} - {"mix", *AS_CROWDSOURCED}:
        config.data = composed("model=eegm2", f"data={data}").data
        check_types(config.data, "data")
        spec = build_data(config).spec
        if model == "stamp_lora":  # its encoder stops here without weights
            with pytest.raises(EegfmError, match="encoder=moment: there is no"):
                make(config.model, "model")
            continue
        if model == "cbramod" and spec.sfreq != 200:
            with pytest.raises(EegfmError, match=f"windows at 200 Hz, and these are at {spec.sfreq:g} Hz"):
                make(config.model, "model")(spec)
            continue
        with torch.device("meta"):
            assert make(config.model, "model")(spec) is not None


def file_of(option: str, group: str = "experiment") -> DictConfig:
    node = OmegaConf.load(config_dir() / group / f"{option}.yaml")
    assert isinstance(node, DictConfig)
    return node


def swept(experiment: str) -> dict[str, list[str]]:
    """The values of every parameter that an experiment sweeps."""
    found = {}
    for name, values in (OmegaConf.select(file_of(experiment), "hydra.sweeper.params") or {}).items():
        override = OverridesParser.create().parse_override(f"{name}={values}")
        found[name] = (
            list(override.sweep_string_iterator()) if override.is_sweep_override() else [str(values)]
        )
    return found


def check_cell(*overrides: str) -> DictConfig:
    """The config composes, and so does that of the pre-training which it starts from, if any."""
    config = composed(*overrides)
    OmegaConf.to_container(config, resolve=True)
    for node in ("data", "encoder", "task", "model"):
        check_types(config[node], node)
    if config.weights == "pretrain":
        before, _ = pretraining(config, {})
        check_types(before.task, "pretrain.task")
    return config


def check_holds(file: Path, config: DictConfig, *later: str) -> None:
    """Everything that a file of conf/ says, as it is written, is in the config, but for keys that came later."""
    said = OmegaConf.load(file)
    for key in ("defaults", "hydra"):
        said.pop(key, None)
    found = leaves(OmegaConf.to_container(config, enum_to_str=True))
    for key, value in leaves(OmegaConf.to_container(said)).items() if said else ():
        assert key in later or found[key] == value, key


@pytest.mark.parametrize("experiment", OPTIONS["experiment"])
def test_every_experiment_composes_and_what_it_says_holds(experiment):
    """In its last cell."""
    last = {name: values[-1] for name, values in swept(experiment).items()}
    config = check_cell(f"experiment={experiment}", *(f"{name}={value}" for name, value in last.items()))
    check_holds(config_dir() / "experiment" / f"{experiment}.yaml", config, *last)


@pytest.mark.parametrize("adapt", OPTIONS["adapt"])
def test_what_an_adaptation_says_holds(adapt):
    check_holds(config_dir() / "adapt" / f"{adapt}.yaml", composed(f"adapt={adapt}"))


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("experiment", OPTIONS["experiment"])
def test_every_value_that_an_experiment_sweeps_composes(experiment):
    params = {name: values for name, values in swept(experiment).items() if name != "seed"}
    for i in range(max(map(len, params.values()), default=0)):
        check_cell(
            f"experiment={experiment}",
            *(f"{name}={values[i % len(values)]}" for name, values in params.items()),
        )


@pytest.mark.parametrize("row", OPTIONS["row"])
def test_a_row_is_its_model_and_its_encoder_within_an_experiment(row):
    file = config_dir() / "row" / f"{row}.yaml"
    said = dict(re.findall(r"override /(model|encoder): (\w+)", file.read_text(encoding="utf-8")))
    config = composed("experiment=mental_arithmetic_table", f"row={row}")
    check_holds(file, config)
    assert config.trainer.max_epochs == 15  # the experiment's, for the recipe's 50
    assert config.model._target_ == file_of(said["model"], "model").model._target_
    encoder = said.get("encoder", "raw")  # which every other model names itself
    assert config.encoder._target_ == file_of(encoder, "encoder")._target_


@pytest.mark.parametrize("encoder", OPTIONS["encoder"])
def test_every_encoder_says_which_norm_its_vectors_want(encoder):
    config = composed("model=stamp", f"encoder={encoder}")
    assert config.model.input_norm == config.encoder.input_norm


def test_every_argument_of_a_model_can_be_overridden():
    """A value that is not in the YAML is one that `model.<name>=` refuses."""
    for model in OPTIONS["model"]:
        node = composed(f"model={model}").model
        arguments = set(inspect.signature(get_object(node._target_)).parameters) - {"spec"}
        assert arguments == set(node) - {"_target_", "_partial_"}, model


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("model.depth=2.5", r"model\.depth=2\.5: a whole number is wanted"),
        ("model.dropout=true", r"model\.dropout=True: a number is wanted"),
        ("task.freeze=3", r"task\.freeze=3: true or false is wanted"),
        ("model.input_norm=layer", r"input_norm"),
        ("+model.heads=3", r"model\.heads: .* has no such argument"),
        ("encoder=raw", r"encoder=spectrum"),
        ("model=bandpower encoder=spectrum", r"encoder=raw"),
        ("data.batch_size=0", r"batch_size=0"),
    ],
)
def test_a_wrong_value_is_a_sentence_that_names_it(override, sentence):
    config = composed(*override.split())
    with pytest.raises(EegfmError, match=sentence):
        data = build_data(config)
        backbone = make(config.model, "model")(data.spec)
        make(config.task, "task")(backbone, data.spec)


def test_a_run_is_named_by_what_makes_it_what_it_is():
    """Another depth or seed is another run; another disk, logger or device is not."""
    base = resolved("model=stamp")
    same = resolved(
        "model=stamp",
        "paths.cache=/elsewhere",
        "logger=wandb",
        "data.num_workers=3",
        "trainer.accelerator=cpu",
    )
    assert identity_hash(base) == identity_hash(same)
    for other in (
        "model.depth=4",
        "seed=1",
        "data.batch_size=32",
        "trainer.max_epochs=3",
        "encoder.high_hz=40",
    ):
        assert identity_hash(base) != identity_hash(resolved("model=stamp", other)), other
    here = resolved("encoder=ttm", "paths.weights=/here")
    assert identity_hash(here) == identity_hash(resolved("encoder=ttm", "paths.weights=/there"))
    assert identity_hash(here) != identity_hash(resolved("encoder=ttm", "encoder.weights=random"))
    inside = resolved("model=stamp_lora", "paths.weights=/here", "model.encoder.device=cpu")
    assert identity_hash(inside) == identity_hash(resolved("model=stamp_lora", "paths.weights=/there"))
    assert identity_hash(inside) != identity_hash(resolved("model=stamp_lora", "model.encoder.size=small"))
    seeds = [identity_hash(resolved("model=stamp", f"seed={seed}"), without_seed=True) for seed in (1, 2)]
    assert seeds[0] == seeds[1]


@pytest.mark.parametrize("model", ["stamp", "eegm2", "samba", "cbramod", "braindecode"])
def test_a_ridge_probe_takes_any_model_with_the_scale_of_its_recipe(model):
    config = composed(f"model={model}", "adapt=ridge")
    assert config.task._target_ == "eegfm.tasks.probe.Probe"
    assert (config.task.head, config.task.balanced, config.task.layer) == ("ridge", True, None)
    assert config.task.scale == {"stamp": None, "cbramod": 100.0, "braindecode": 100.0}.get(
        model, "typical"
    )


@pytest.mark.parametrize(
    "adapt",
    [pytest.param(a, marks=[pytest.mark.slow] * (a != "samba_published_probe")) for a in PRETRAINED],
)
def test_a_pre_training_is_a_run_of_its_own(adapt):
    """Shared by every way to use it, named by what it is, and no part of a run that does not start from it."""
    config = composed("experiment=eegm2_pretrain_probe", f"adapt={adapt}")
    choices = {
        "model": "eegm2",
        "encoder": "raw",
        "data": "mental_arithmetic",
        "task@pretrain.task": "reconstruct",
    }
    before, its = pretraining(config, choices)
    assert its["task"] == "reconstruct" and before.weights is None and before.task.loss
    assert before.trainer.max_epochs == 10 and config.trainer.max_epochs == 15
    sister = adapt.replace("probe", "finetune") if "probe" in adapt else adapt.replace("finetune", "probe")
    its_sisters, _ = pretraining(composed("experiment=eegm2_pretrain_probe", f"adapt={sister}"), choices)
    assert named(before, its) == named(its_sisters, its)

    def name(*overrides: str) -> str:
        return identity_hash(resolved("experiment=eegm2_pretrain_probe", f"adapt={adapt}", *overrides))

    longer = "pretrain.trainer.max_epochs=11"
    assert name() != name(longer) and name() != name("weights=null")
    assert name("weights=null") == name("weights=null", longer)
    assert name() == name("pretrain.task.observe.every=2")


def test_a_pre_training_that_cannot_be_used_is_refused_before_it_is_run():
    with pytest.raises(EegfmError, match=r"adapt=eegm2_probe"):
        pretraining(composed("model=eegm2", "weights=pretrain"), {})
    with pytest.raises(EegfmError, match=r"task\.scale=typical, and this run by quantile"):
        pretraining(composed("adapt=eegm2_probe", "task.scale=quantile"), {})


@pytest.mark.slow
def test_the_screen_of_commands_names_each(tmp_path):
    shown = call_afresh("eegfm", cwd=tmp_path)
    assert shown.returncode == 0
    assert all(command in shown.stdout for command in ("train", "prepare", "evaluate", "report"))
    assert len(shown.stdout.splitlines()) <= 25
    wrong = call("eegfm", "tarin", cwd=tmp_path)
    assert wrong.returncode == 2 and "train" in wrong.stderr


@pytest.mark.slow
@pytest.mark.parametrize("typed", [[], ["train", "--help"]])
def test_a_screen_that_nobody_reads_to_its_end_is_no_traceback(tmp_path, typed):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "eegfm", *typed],
        cwd=tmp_path,
        env=environment(),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.slow
def test_help_and_composition_load_neither_torch_nor_lightning_nor_mne(tmp_path):
    """A person waits only for Hydra; the benchmark measures how long."""
    code = (
        "import sys; sys.argv = ['train', '--cfg', 'job']\n"
        "from eegfm.train import main\n"
        "main()\n"
        "heavy = {'torch', 'lightning', 'mne', 'scipy', 'sklearn', 'matplotlib', 'wandb'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_refusal_is_a_sentence_and_not_a_traceback(tmp_path):
    refused = call_afresh("eegfm.prepare", "data=mental_arithmetic", cwd=tmp_path)
    assert refused.returncode == 1
    assert "72 of 72 recordings are missing" in refused.stderr and "Traceback" not in refused.stderr


def test_other_steps_are_another_recipe_that_says_so():
    """The paper's words for MentalArithmetic, 0.5 to 45 Hz, instead of its code's."""
    steps = (
        "data.steps=[{_target_: eegfm.signal.steps.Resample, sfreq: 200}, "
        "{_target_: eegfm.signal.steps.BandPass, low: 0.5, high: 45}]"
    )
    published = build_data(composed("data=mental_arithmetic", "model=bandpower"))
    other = build_data(composed("data=mental_arithmetic", "model=bandpower", steps))
    assert published.recipe.facts["published_steps"] and not other.recipe.facts["published_steps"]
    assert other.recipe.fingerprint != published.recipe.fingerprint
    assert "steps[1].step: absent → BandPass" in other.recipe.diff(published.recipe)


@pytest.mark.parametrize("data", swept("stamp_spectrum_table")["data"])
def test_the_papers_recipe_over_spectra_stands_on_the_published_protocol(data):
    """Faults included: only there may its numbers stand beside the paper's."""
    config = composed("experiment=stamp_spectrum_table", f"data={data}")
    assert make(config.data.benchmark, "data.benchmark").protocol.split("@")[0] == "cbramod"
    assert (config.selection.min_delta, config.selection.first_epoch) == (0.001, 1)


TABLES = {  # the published column, and what is swept beside data and seed
    "stamp_main_table": ("STAMP", []),
    "stamp_tsfm_table": ("STAMP", ["row"]),
    "stamp_width_study": ("STAMP", ["model.width"]),
    "cbramod_main_table": ("CBraMod", []),
    "eegm2_tuab_table": ("EEGM2", ["data.benchmark.length", "adapt"]),
    "eegm2_ablation": ("EEGM2", ["paper.variant"]),
    "eegm2_emotiv_table": ("EEGM2", ["adapt"]),
    "eegm2_cross_domain_table": ("EEGM2", []),
}
WAYS = {
    "eegm2_published_probe": "EEGM2 Linear",
    "eegm2_published_light": "EEGM2 Light",
    "eegm2_published_scratch": "EEGM2 from scratch",
    "eegm2_published_finetune": "EEGM2, fine-tuned",
}
NOT_PUBLIC = {"alpha", "attention", "driver_distraction"}  # swept by those who have them


@pytest.mark.parametrize("experiment", TABLES)
def test_every_cell_of_a_published_table_has_its_number(experiment):
    """The cells that are swept are the cells that are published; comparable ones on the published protocol."""
    title, more = TABLES[experiment]
    params, (table, *_) = swept(experiment), file_of(experiment).paper.tables
    assert params.keys() == {"seed", *more} | ({"data"} & params.keys())
    of_paper = [r for r in published() if r.table == table and r.title.startswith(title)]
    if table == "cbramod_main":  # what it tells of another pre-training cannot be repeated
        of_paper = [r for r in of_paper if r.title == title]
    data = params.get("data", ["published/tuab_eegm2"])
    (protocol,) = {r.protocol for r in of_paper}
    for option in data:
        config = composed(f"experiment={experiment}", f"data={option}")
        assert make(config.data.benchmark, "data.benchmark").protocol.split("@")[0] == protocol
    cells = {
        (option.rpartition("/")[2], tuple(value.removeprefix("stamp_") for value in values))
        for option, *values in itertools.product(data, *(params[name] for name in more))
    }

    def cell(r):
        said = {"data.benchmark.length": r.variant, "adapt": r.title.removesuffix(f", {r.variant}")}
        names = {way: name for name, way in WAYS.items()}
        values = [said.get(name, r.variant).rpartition("=")[2] for name in more]
        return r.data, tuple(names.get(value, value) for value in values)

    if experiment == "eegm2_emotiv_table":
        of_paper = [r for r in of_paper if r.data not in NOT_PUBLIC]
    assert {cell(r) for r in of_paper} == cells


@pytest.mark.parametrize(
    "experiment", [e for e, (title, _) in TABLES.items() if title in ("STAMP", "CBraMod")]
)
def test_published_tables_are_of_the_seeds_of_their_code(experiment):
    assert swept(experiment)["seed"] == ["654", "114", "25", "759", "281"]


@pytest.mark.parametrize("experiment", OPTIONS["experiment"])
def test_tables_that_are_repeated_are_published(experiment):
    """A table of another spelling would never find its numbers."""
    tables = (file_of(experiment).get("paper") or {}).get("tables", [])
    assert {*tables} <= {r.table for r in published()}
    assert not tables or experiment in TABLES


def test_a_published_choice_has_the_name_of_its_benchmark():
    assert chosen({"data": "published/tuev", "encoder": "ttm"}, "data") == "tuev"
    assert chosen({"data": "published/tuev", "encoder": "ttm"}, "encoder") == "ttm"


def test_a_run_starts_from_the_published_weights_in_the_unit_that_they_want(tmp_path):
    """A file of CBraMod's published layout, which is what weights=published looks for."""
    from tests.models.cbramod import state_of_the_layout

    file = tmp_path / "cbramod" / "pretrained_weights.pth"
    wanted = ("model=cbramod", "weights=published", f"paths.weights={tmp_path}")
    with pytest.raises(
        EegfmError,
        match=r"there is no .*pretrained_weights\.pth\.\nType: eegfm weights fetch model=cbramod\nor download",
    ):
        build(composed(*wanted), "published")
    file.parent.mkdir()
    torch.save(state_of_the_layout(), file)
    run = build(composed(*wanted), "published")
    assert run.started_from == {"weights": str(file), "left_out": []}
    for key, value in state_of_the_layout().items():
        assert torch.equal(run.task.backbone.state_dict()[key], value), key
    with pytest.raises(EegfmError, match=r"Type task\.scale=100\.0"):
        build(composed(*wanted, "task.scale=null"), "published")
    with pytest.raises(EegfmError, match="no published weights of Stamp"):
        build(composed("model=stamp"), "published")

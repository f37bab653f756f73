"""A mix by its config: how it is spelled and named, what it cannot, and the real commands."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from eegfm.build import build_data
from eegfm.config.identity import identity_hash
from eegfm.config.make import make
from eegfm.contracts import EegfmError
from eegfm.data.mix import Mix
from eegfm.runs.curves import read_curves
from eegfm.runs.results import read_result
from tests.command_line import call, environment
from tests.composed import composed
from tests.corpora import tuab, tuev


def of_eegm2(*overrides: str):
    return composed("model=eegm2", *overrides)


def test_a_mix_is_spelled_in_three_ways_that_are_one():
    ways = (
        ["data=tuh"],
        ["data=mix", "data/corpora=[tuab,tuev]"],
        ["data=mix", "+data@data.corpora.tuab=tuab", "+data@data.corpora.tuev=tuev"],
    )
    plain = [OmegaConf.to_container(of_eegm2(*way), resolve=True) for way in ways]
    assert plain[0] == plain[1] == plain[2]
    data = build_data(of_eegm2(*ways[0]))
    assert isinstance(data, Mix) and data.spec.shape == (16, 1000) and data.spec.corpora == ("tuab", "tuev")
    assert make(of_eegm2("data=tuh").model, "model")(data.spec).n_channels == 16


def test_a_mix_is_named_by_what_makes_it_what_it_is():
    def name(*overrides: str) -> str:
        config = OmegaConf.to_container(of_eegm2("data=tuh", *overrides), resolve=True)
        assert isinstance(config, dict)
        return identity_hash({str(key): value for key, value in config.items()})

    base = name()
    for same in (
        "data.corpora.tuab.raw=/a",
        "data.corpora.tuev.cache=/b",
        "data.num_workers=2",
        "paths.raw=/c",
    ):
        assert name(same) == base, same
    for other in (
        "data.corpora.tuab.train_ratio=0.5",
        "data.corpora.tuev.benchmark.variant=published",
        "data.channels=common",
        "data/corpora=[tuab]",
        "data/corpora=[tuev,tuab]",
        "data.batch_size=32",
    ):
        assert name(other) != base, other


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["data=mix"], r"data/corpora=\[tuab,tuev\]"),
        (["data=mix", "data/corpora=[tuab,synthetic]"], "0 in common, too few"),
        (
            ["data=tuh", "data.corpora.tuab.train_ratio=half"],
            r"data\.corpora\.tuab\.train_ratio=half: a number",
        ),
        (["data=tuh", "data.corpora.tuab.benchmark.variant=x"], "'repaired' or 'published' is wanted"),
        (["data=tuh", "task=classify"], "names 0"),
        (["data=tuh", "task=probe"], "names 0"),
        (["data=tuh", "model=bandpower", "task=estimate"], "names 0"),
        (["data=tuh", "task.observe.every=1"], "no labels"),
    ],
)
def test_what_a_mix_cannot_is_a_sentence(overrides, sentence):
    config = of_eegm2(*overrides)
    with pytest.raises(EegfmError, match=sentence):
        spec = build_data(config).spec
        make(config.task, "task")(make(config.model, "model")(spec), spec)


def door(place: Path, name: str, *arguments: str) -> str:
    done = call(f"eegfm.{name}", *arguments, cwd=place, env=environment(COLUMNS="200"))
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


SMALL = ("model=eegm2", "model.width_scale=8", "task.scale=100.0", "trainer.accelerator=cpu")


@pytest.mark.slow
@pytest.mark.long
def test_from_pre_training_on_two_corpora_to_a_probe_on_one(tmp_path):
    """TUAB tests on a patient whom TUEV trains on: TUEV's windows of that patient are not trained on."""
    files = [
        *tuab.TABLE[:12],
        tuab.File("eval", "normal", "aaaaaaar"),
        tuab.File("eval", "abnormal", "aaaaaaby"),
    ]
    tuab.write(tmp_path / "data/raw/tuab", files, by_class=False)
    tuev.write(tmp_path / "data/raw/tuev", tuev.TABLE, variant="repaired")
    partial_ = [f"data.corpora.{name}.allow_partial=true" for name in ("tuab", "tuev")]
    assert "TUAB" in (said := door(tmp_path, "prepare", "data=tuh", *partial_)) and "TUEV" in said

    said = door(
        tmp_path, "train", *SMALL, "data=tuh", *partial_, "trainer.max_epochs=1", "task.loss.stft=0"
    )
    (run,) = (tmp_path / "runs" / "single").glob("eegm2-raw-tuh-*")
    result = read_result(run)
    facts = result.benchmark
    assert "PARTIAL corpus (tuab, tuev)" in said and "left out of tuev, train: " in said
    assert list(facts.corpora) == ["tuab", "tuev"]
    (gone,) = json.loads((run / "leakage.json").read_text())["left_out"]
    assert (gone["corpus"], gone["split"], gone["subjects"]) == ("tuev", "train", ["aaaaaaar"])
    assert "tuab/aaaaaaar" in facts.subjects["test"] and "tuev/aaaaaaar" not in facts.subjects["train"]
    (row,) = read_curves(run / "metrics.csv")
    for name in ("val/loss", "val/loss/tuab", "val/loss/tuev", "val/hidden_rmse_uv/tuev"):
        assert float(row[name]) > 0
    assert {"rmse_uv", "rmse_uv/tuab", "rmse_uv/tuev"} <= result.metrics["test"].keys()
    for name in ("reconstruction_tuab", "reconstruction_tuev", "error_by_channel", "loss_terms"):
        assert (run / "figures" / f"{name}.png").stat().st_size > 5000
    door(tmp_path, "evaluate", f"run={run}")
    (again,) = run.glob("evaluations/test-*/reconstruction_test.csv")
    assert again.read_text() == (run / "reconstruction_test.csv").read_text()

    probe = ("data=tuab", "data.allow_partial=true", "task=probe", f"weights={run}", "task.layer=pool3")
    said = door(tmp_path, "train", *SMALL, *probe)
    (probed,) = (tmp_path / "runs" / "single").glob("eegm2-raw-tuab-*")
    started = read_result(probed).started_from
    assert started["weights"].startswith(str(run)) and started["left_out"] == []
    report = door(tmp_path, "report", "runs")
    assert "TUAB + TUEV" in report and "rmse_uv/tuab" not in report

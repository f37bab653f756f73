"""What goes to other people names places as they were written, and says of every published file that its people are
not known."""

import json

import pytest

from eegfm.build import Run
from eegfm.reporting.groups import group_runs
from eegfm.reporting.run_folders import read_runs
from eegfm.runs.overlap import of_others
from eegfm.runs.results import read_result
from eegfm.training import run as training
from tests.command_line import call, environment
from tests.made_run import make_run


def test_a_store_is_named_as_the_config_names_its_cache(tmp_path):
    make_run(tmp_path / "a", 1)
    facts = read_result(tmp_path / "a").benchmark
    run = Run(None, None, print, {}, written={"data": {"cache": "${paths.cache}"}})  # type: ignore[arg-type]
    assert run.facts_as_written(facts).store.startswith("${paths.cache}/")
    assert len(run.facts_as_written(facts).store.split("/")) == 3


@pytest.mark.parametrize(
    ("config", "unknown"),
    [
        ({"encoder": {"name": "raw"}, "model": {}}, False),
        ({"encoder": {"name": "moment", "weights": "random"}, "model": {}}, False),
        ({"encoder": {"name": "moment", "weights": "weights/moment"}, "model": {}}, True),
        ({"encoder": {"name": "raw"}, "model": {"encoder": {"weights": "weights/moment"}}}, True),
        ({"encoder": {"name": "raw"}, "model": {"encoder": {"weights": "random"}}}, False),
    ],
)
def test_published_weights_of_an_encoder_list_no_people(config, unknown):
    assert of_others(config) == unknown


@pytest.mark.parametrize("weights", ["random", "weights/moment"])
def test_a_run_over_an_encoder_of_others_does_not_know_all_people(weights, monkeypatch):
    monkeypatch.setattr(training, "people_of", lambda data: {})  # of its own data
    run = Run(None, None, print, {"encoder": {"weights": weights}, "model": {}})  # type: ignore[arg-type]
    assert training._people(run, False)[0]["whole"] == (weights == "random")


@pytest.mark.slow
def test_a_result_does_not_say_where_the_environment_put_the_cache(tmp_path):
    home = tmp_path / "home-4242"
    done = call(
        "eegfm.train", "model=bandpower", "data=synthetic", "trainer=smoke", "hydra.run.dir=a",
        cwd=tmp_path, env=environment(EEGFM_CACHE=str(home)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "4242" not in (tmp_path / "a" / "result.json").read_text()
    facts = json.loads((tmp_path / "a" / "result.json").read_text())["benchmark"]
    assert (home / "synthetic" / facts["fingerprint"]).is_dir()
    assert facts["store"] == f"${{paths.cache}}/synthetic/{facts['fingerprint']}"
    done = call("eegfm.evaluate", "run=a", cwd=tmp_path, env=environment(EEGFM_CACHE=str(home)))
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "data" / "cache").exists()


def test_runs_that_differ_in_what_the_environment_said_are_no_seeds_of_one_row(tmp_path):
    norm = {"model.input_norm": "${oc.env:NORM}"}
    for name, seed, more in (("a", 1, norm), ("b", 2, norm), ("c", 1, {}), ("d", 2, {})):
        make_run(tmp_path / name, seed, **more)
    groups, _ = group_runs(read_runs([tmp_path / name for name in "abcd"])[0])
    assert sorted(len(group.runs) for group in groups) == [1, 1, 2]

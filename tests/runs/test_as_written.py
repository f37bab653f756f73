"""What goes to other people names places as they were written, and says of every published file that its people are
not known."""

import json
from pathlib import Path

import pytest

from eegfm.build import Run
from eegfm.config.written import on_this_machine
from eegfm.contracts import EegfmError
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
    """By the hash of what it said, where their results keep one."""
    norm = {"model.input_norm": "${oc.env:NORM}"}
    kept = [("e", 1, "0001"), ("f", 2, "0001"), ("g", 3, "0001"), ("h", 4, "0002")]
    for name, seed, more in (("a", 1, norm), ("b", 2, norm), ("c", 1, {}), ("d", 2, {})):
        make_run(tmp_path / name, seed, **more)
    for name, seed, row in kept:
        make_run(tmp_path / name, seed, row=row, **norm)
    groups, _ = group_runs(read_runs([tmp_path / name for name in "abcdefgh"])[0])
    names = sorted("".join(run.folder.name for run in group.runs) for group in groups)
    assert names == ["a", "b", "cd", "efg", "h"]


@pytest.mark.parametrize(
    ("started_from", "config", "wanted"),
    [
        ("/home/4242/pre/checkpoints/best.ckpt", {"weights": "/home/4242/pre"}, "${oc.env:PRE}/checkpoints/best.ckpt"),
        ("/home/4242/x.safetensors", {"weights": "/home/4242/x.safetensors"}, "${oc.env:PRE}"),
        ("/home/4242/runs/a/best.ckpt", {"paths": {"runs": "/home/4242/runs"}}, "${paths.runs}/a/best.ckpt"),
        ("/home/4242/runs2/a", {"paths": {"runs": "/home/4242/runs"}}, "/home/4242/runs2/a"),
    ],
)  # fmt: skip
def test_weights_are_named_as_the_config_names_them(started_from, config, wanted):
    written = (
        {"weights": "${oc.env:PRE}"} if "weights" in config else {"paths": {"runs": "${oc.env:EEGFM_RUNS}"}}
    )
    run = Run(None, None, print, config, {"weights": started_from, "left_out": ["a"]}, written)  # type: ignore[arg-type]
    assert run.started_as_written() == {"weights": wanted, "left_out": ["a"]}
    same = Run(None, None, print, config, {"weights": started_from}, config)  # type: ignore[arg-type]
    assert same.started_as_written() == {"weights": started_from}


def test_a_file_that_was_named_by_the_environment_is_found_there_or_nothing_is_said_of_it(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("EEGFM_RUNS", str(tmp_path))
    monkeypatch.setenv("PRE", str(tmp_path / "pre-4242"))
    (tmp_path / "pre-4242").mkdir()
    assert on_this_machine("runs/a") == Path("runs/a"), "it stands for itself"
    for place in ("${oc.env:PRE}", "${paths.runs}/pre-4242", f"${{oc.env:NOT_SET,{tmp_path}}}/pre-4242"):
        assert on_this_machine(place) == tmp_path / "pre-4242"
    for place in ("${oc.env:PRE}/a", "${oc.env:NOT_SET}/a", "${eegfm.anything:}/a"):
        with pytest.raises(EegfmError) as error:
            on_this_machine(place)
        assert place in str(error.value) and "4242" not in str(error.value)


@pytest.mark.slow
@pytest.mark.long
def test_a_result_does_not_say_where_the_environment_put_the_weights(tmp_path):
    home = tmp_path / "home-4242"
    words = ("model=stamp", "data=synthetic", "trainer=smoke")

    def typed(*command: str, **variables: str) -> str:
        done = call(*command, cwd=tmp_path, env=environment(**variables))
        assert "Traceback" not in done.stderr
        return done.stderr if done.returncode else ""

    assert not typed("eegfm.train", *words, f"hydra.run.dir={home}/pre")
    for seed in ("1", "2"):
        probe = (
            "adapt=ridge",
            "weights=${oc.env:PRE}",
            "allow_overlap=true",
            f"seed={seed}",
            f"hydra.run.dir=s{seed}",
        )
        assert not typed("eegfm.train", *words, *probe, PRE=str(home / "pre"))
        assert "4242" not in (tmp_path / f"s{seed}" / "result.json").read_text()
    started = read_result(tmp_path / "s1").started_from
    assert started["weights"] == "${oc.env:PRE}/checkpoints/best.ckpt"
    groups, _ = group_runs(read_runs([tmp_path / "s1", tmp_path / "s2"])[0])
    assert [len(group.runs) for group in groups] == [2]
    assert not typed("eegfm.evaluate", "run=s1", PRE=str(home / "pre"))
    assert "There is no ${oc.env:PRE}/checkpoints/best.ckpt" in typed("eegfm.evaluate", "run=s1")

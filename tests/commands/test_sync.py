"""Runs that were written offline, sent later: to a server on this machine, by W&B's own client."""

import json
import os
import re
import struct
import time
import zlib
from pathlib import Path

import pytest
import wandb
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from eegfm.commands.sync import main, offline_runs, send, unsent
from eegfm.drawing.style import save
from eegfm.runs.intervals import intervals
from eegfm.runs.predictions import read_predictions
from eegfm.runs.results import read_result
from eegfm.runs.status import Status, write_status
from eegfm.runs.wandb import send as tell
from eegfm.runs.wandb import wandb_of
from eegfm.runs.wandb_log import place_named
from eegfm.runs.wandb_place import PROJECT, WandbPlace
from tests.made_run import make_run
from tests.wandb_server import serving

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    """W&B has no account and no settings here, and nothing of it stays in this process."""
    wandb.teardown()
    os.environ.pop("WANDB_SERVICE", None)  # of an earlier test in this process, for good: it has ended
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "")  # restored in the end: Lightning sets it
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb_config"))


@pytest.fixture
def server(monkeypatch):
    """The server, and its address where W&B looks for it; settings are read once a process, so that it begins anew."""
    with serving() as memory:
        monkeypatch.setenv("WANDB_BASE_URL", memory.url)
        yield memory
    wandb.teardown()


def fragment(run: Path, name: str, *, size: int = 100) -> Path:
    file = run / "wandb" / f"offline-run-{name}" / "run-0a1b2c3d.wandb"
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes(size))
    return file


def test_fragments_are_found_by_run_in_the_order_of_their_making(tmp_path):
    last = fragment(tmp_path / "a" / "one", "20261121_090000-0a1b2c3d")
    first = fragment(tmp_path / "a" / "one", "20261120_235959-0a1b2c3d")
    other = fragment(tmp_path / "b" / "two", "20261119_000000-0a1b2c3d")
    (last.parents[1] / "latest-run").symlink_to(last.parent)
    fragment_online = (
        tmp_path / "b" / "two" / "wandb" / "run-20261119_000000-0a1b2c3d" / "run-0a1b2c3d.wandb"
    )
    fragment_online.parent.mkdir()
    fragment_online.write_bytes(bytes(100))
    wanted = {tmp_path / "a" / "one": [first, last], tmp_path / "b" / "two": [other]}
    assert offline_runs([tmp_path]) == offline_runs([tmp_path / "b", tmp_path]) == wanted
    assert offline_runs([tmp_path / "a" / "one"]) == {tmp_path / "a" / "one": [first, last]}


def test_what_is_marked_or_empty_is_not_sent(tmp_path):
    names = ("20261121_090000-x", "20261121_100000-x", "20261121_110000-x")
    sent, empty, left = (
        fragment(tmp_path, name, size=size) for name, size in zip(names, (90, 7, 90), strict=True)
    )
    sent.with_name(sent.name + ".synced").touch()
    assert unsent([sent, empty, left]) == [left]


@pytest.mark.parametrize(("folder", "words"), [("nowhere", "no folder"), (".", "logger=wandb")])
def test_where_there_is_nothing_to_send_a_sentence_says_so(tmp_path, folder, words):
    with pytest.raises(SystemExit, match=words):
        main([str(tmp_path / folder)])


def test_a_run_that_is_being_written_waits_for_its_end(tmp_path, capsys):
    run = tmp_path / "one"
    file = fragment(run, "20261121_090000-x")
    write_status(run, Status(state="running", host="another node", pid=1))
    (run / "running.lock").write_text(json.dumps({"host": "another node", "pid": 1, "job": ""}))
    main([str(tmp_path)])
    assert "still being written" in capsys.readouterr().out
    assert not file.with_name(file.name + ".synced").exists()


def test_without_a_key_nothing_is_sent_and_nothing_lost(tmp_path, server):
    file = fragment(tmp_path / "one", "20261121_090000-x")
    before = file.read_bytes()
    wandb.teardown()
    with pytest.raises(SystemExit, match="Type: wandb login"):
        main([str(tmp_path)])
    assert file.read_bytes() == before and [*file.parent.iterdir()] == [file]


def test_without_a_network_it_is_said_at_once(tmp_path, monkeypatch):
    """W&B's client alone would go on trying for many minutes."""
    file = fragment(tmp_path / "one", "20261121_090000-x")
    with serving() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    wandb.teardown()
    with pytest.raises(SystemExit, match="does not answer"):
        main([str(tmp_path)])
    wandb.teardown()
    assert [*file.parent.iterdir()] == [file]


def test_a_damaged_fragment_is_named_before_anything_of_its_run_is_sent(tmp_path, monkeypatch, server):
    """W&B's client would begin the run, and stop at the damage."""
    first, second = (fragment(tmp_path / "one", f"20261121_{hour}0000-x") for hour in ("09", "10"))
    content = b"a row"
    record = struct.pack("<IHB", zlib.crc32(content, zlib.crc32(b"\x01")), len(content), 1) + content
    first.write_bytes(b":W&B\x24\xbe\x00" + record)
    second.write_bytes(b":W&B\x24\xbe\x00" + record + record.replace(b"row", b"rot") + record)
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    assert re.fullmatch(
        rf"{re.escape(str(second))} is damaged at byte 19,.* mv .*100000-x <elsewhere>",
        send([first, second], WandbPlace("lab", PROJECT)),
    )
    assert not server.runs and not server.asked
    assert place_named(second) == WandbPlace("", ""), "its records are none of W&B's"


def written(folder: Path, seed: int, **place: str) -> Path:
    """A run that was stopped, gone on with and finished, as training leaves it: two fragments, ten steps."""
    result = make_run(folder, seed, benchmark={"simulated": True})
    config = {"logger": OmegaConf.merge(OmegaConf.load(CONF / "logger" / "wandb.yaml"), place)}
    logger = wandb_of(config, folder, job_type="classify", tags=["stamp"])
    for step in range(6):
        logger.log_metrics({"train/loss": 1 - step / 10}, step)
    wandb.run.mark_preempting()
    wandb.finish(exit_code=1)
    time.sleep(1)  # fragments are called by the second
    logger = wandb_of(config, folder, job_type="classify", tags=["stamp"])
    logger.experiment.config.update({"provenance": {"fingerprint": "0123abcd"}})
    for step in range(6, 10):
        logger.log_metrics({"train/loss": 1 - step / 10, "val/auroc": 0.5}, step)
    tell(logger, folder, result, {"confusion_matrix": save(Figure(), folder / "figures" / "x.png")})
    return folder


@pytest.mark.slow
def test_fragments_become_one_run_with_all_that_the_folder_knows(tmp_path, monkeypatch, server, capsys):
    """A refused run is named, does not keep the others from being sent, and is sent by the same command later."""
    one, two = (written(tmp_path / "mine" / f"stamp-s{seed}", seed) for seed in (1, 2))
    first, second = ((run / "wandb_id").read_text() for run in (one, two))
    wandb.teardown()
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_MODE", "offline")  # as the nodes of a cluster have it
    server.refuse = {first}
    with pytest.raises(SystemExit, match="1 of 2 runs were not sent"):
        main([str(tmp_path)])
    out = capsys.readouterr().out
    assert f"{one}: 2 of 2 fragments were not sent" in out and "permission denied" in out
    assert f"{two}: 2 fragments" in out
    assert set(server.runs) == {second}
    steps = [row["trainer/global_step"] for row in server.history(second)]
    assert steps[:10] == [*range(10)], "in the order of their making"
    assert [row["_step"] for row in server.history(second)] == [*range(len(steps))]
    begun = server.runs[second]["upserts"][0]
    assert (begun["entity"], begun["project"]) == ("lab", PROJECT)
    assert (begun["groupName"], begun["jobType"], begun["tags"]) == ("mine", "classify", ["stamp"])
    assert server.runs[second]["config"]["provenance"]["value"] == {"fingerprint": "0123abcd"}
    row, result = server.summary(second), read_result(two)
    for split, found in result.metrics.items():
        assert {name: row[f"{split}/{name}"] for name in found} == pytest.approx(found)
    low, high = intervals([read_predictions(two / "predictions_test.csv")])["auroc"]
    assert (row["test/auroc_low"], row["test/auroc_high"]) == pytest.approx((low, high))
    assert row["simulated"] and row["complete"] and row["fingerprint"] == "0123abcd"
    (name,) = (name for name in server.runs[second]["files"] if name.endswith(".png"))
    assert server.runs[second]["files"][name] == (two / "figures" / "x.png").read_bytes()
    (name,) = (name for name in server.runs[second]["files"] if "subjects" in name)
    table = json.loads(server.runs[second]["files"][name])
    assert [line[0] for line in table["data"]] == list(result.by_subject["test"])

    server.refuse, server.asked = set(), []
    main([str(tmp_path)])
    assert set(server.runs) == {first, second} and len(server.history(first)) == len(steps)
    assert "stamp-s2" not in capsys.readouterr().out, "it is there already"
    main([str(tmp_path)])
    assert "Nothing to send: 2 of 2" in capsys.readouterr().out


def test_what_a_folder_names_is_text_and_nothing_a_shell_would_run():
    named = WandbPlace("me; rm -r x", "\x1b[2Jcleared")
    assert named.typed == r"--entity 'me; rm -r x' --project '\x1b[2Jcleared'" and "\x1b" not in str(named)
    assert WandbPlace("them", "").typed == "--entity them"


def test_the_project_is_that_of_the_option_wandb():
    assert OmegaConf.load(CONF / "logger" / "wandb.yaml").project == PROJECT


@pytest.mark.slow
def test_a_folder_that_names_another_place_is_told_and_not_followed(tmp_path, monkeypatch, server, capsys):
    """Neither to the project that its run names, nor to the server that its settings of W&B name."""
    run = written(tmp_path / "theirs" / "stamp-s1", 1, entity="them", project="collected")
    with serving() as elsewhere:
        for place in (run, tmp_path / "theirs"):
            (place / "wandb").mkdir(exist_ok=True)
            (place / "wandb" / "settings").write_text(
                f"[default]\nbase_url = {elsewhere.url}\nproject = x\n"
            )
        monkeypatch.delenv("WANDB_BASE_URL")
        (tmp_path / "wandb_config").mkdir(exist_ok=True)
        (tmp_path / "wandb_config" / "settings").write_text(f"[default]\nbase_url = {server.url}\n")
        monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
        monkeypatch.chdir(run)
        wandb.teardown()
        with pytest.raises(SystemExit, match="1 of 1 runs were not sent"):
            main(["."])
        said = capsys.readouterr().out
        assert f"{run}: it names them/collected at W&B, and yours is lab/{PROJECT}" in said
        assert f"--entity them --project collected  or  --entity lab --project {PROJECT}" in said
        assert not server.runs and [*Path().rglob("*.synced")] == []
        main([".", "--project", "mine"])
        assert "2 fragments to lab/mine" in capsys.readouterr().out
        assert not elsewhere.asked and not elsewhere.runs
    (sent,) = server.runs.values()
    assert {(one["entity"], one["project"]) for one in sent["upserts"]} == {("lab", "mine")}

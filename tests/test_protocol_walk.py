"""Every benchmark from its native files to a report, through the real command line, on its small corpus.

A corpus that is there to be pre-trained on, without classes, has its walk in tests/test_samba_walk.py.
"""

import json
from pathlib import Path

import pytest

from tests.command_line import call, environment
from tests.corpora import corpora, made

# one form a benchmark: the default of its config
WALKED = {corpus.option: corpus for corpus in reversed(corpora().values()) if made(corpus.name).classes}


FEW = ("physionet_mi",)  # the others take the same steps; all together take minutes


@pytest.mark.slow
@pytest.mark.parametrize(
    "option", [pytest.param(o, marks=[pytest.mark.long] * (o not in FEW)) for o in sorted(WALKED)]
)
def test_prepare_verify_train_report(option, tmp_path):
    corpus = WALKED[option]
    (tmp_path / "raw").mkdir()
    truths = corpus.write(tmp_path / "raw", corpus.table)
    places = [f"data={option}", f"data.raw={tmp_path / 'raw'}", f"paths.cache={tmp_path / 'cache'}"]
    places.append("data.allow_partial=true")
    # a specification made small for the corpus has no other way into a command
    places += ["data.benchmark._target_=tests.corpora.made", f"+data.benchmark.name={corpus.name}"]

    said = eegfm("prepare", *places)
    assert "PARTIAL" in said, "a small corpus is no whole one"
    said = eegfm("verify", *places)
    assert "not ok" not in said
    runs = tmp_path / "runs"
    options = [
        "model=stamp",
        "encoder=spectrum" if made(corpus.name).sfreq == 200 else "encoder=spectrum_128",
        "trainer=smoke",
        "trainer.max_epochs=2",
        f"paths.runs={runs}",
    ]
    eegfm("train", *places, *options, "model.width=16", "model.depth=1", "model.ff_width=32")
    (result,) = runs.rglob("result.json")
    facts = json.loads(result.read_text())["benchmark"]
    assert sum(map(sum, facts["census"].values())) == len(truths)
    leakage = json.loads(result.with_name("leakage.json").read_text())
    assert bool(leakage["shared_subjects"]) == facts["within_subject"]
    said = eegfm("report", str(runs))
    assert facts["title"] in said and "PARTIAL corpus" in said
    assert ("WITHIN-SUBJECT" in said) == facts["within_subject"]


def eegfm(command: str, *arguments: str) -> str:
    checkout = Path(__file__).parents[1]  # from where it can import `tests`
    done = call("eegfm", command, *arguments, cwd=checkout, env=environment(COLUMNS="160"))
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr

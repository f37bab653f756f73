"""`eegfm check`: what a model owes is looked for, and each fault is found, on a batch of real windows of the store."""

import os
from pathlib import Path

import pytest
import torch

from eegfm.commands.work import check as work
from eegfm.contracts import EEGBatch, SampleSpec
from eegfm.models.mine import Mine
from eegfm.tasks.classify import Classify
from tests.command_line import call, environment
from tests.models import own_models
from tests.models.test_mine import COORDS, MONTAGE
from tests.nn.tokens import randn, seeded

HERE = "tests.models.own_models"


def found(path, **args):
    """What the checks say of a network, by name."""
    spec = SampleSpec(MONTAGE, (19, 200), 200.0, ("rest", "task"))
    made = []
    for seed in (0, 1):
        with seeded(seed):
            backbone = Mine(spec, path=path, args=args)
            made.append(Classify(backbone, spec, optimizer=torch.optim.AdamW, hidden="published", seed=0))
    batch = EEGBatch(
        20 * randn(8, 19, 200), COORDS, torch.arange(8) % 2, torch.zeros(8, dtype=torch.long), [""] * 8
    )
    return {one.name: one for one in work._of_network(*made, batch)}


def test_a_network_that_owes_nothing_fails_nothing():
    all_found = found(f"{HERE}.Net")
    assert len(all_found) == 8 and not any(one.failed for one in all_found.values())
    assert "0.000 MB" not in all_found["save and load"].said


@pytest.mark.parametrize(
    ("faulty", "check", "said"),
    [
        ("Mixes", "batch-mates", "must not depend on the others"),
        ("Idle", "gradients", "backbone.network.forgotten.weight"),
        ("Squeezes", "shape", "1 as well"),
        ("Restless", "train and eval mode", "Two passes in eval mode differ"),
        ("Counts", "train and eval mode", "Let only training change state"),
        ("Outside", "save and load", "make it a parameter or a buffer"),
        ("Dice", "same seed", "draw random numbers by torch alone"),
    ],
)
def test_each_fault_is_found(faulty, check, said):
    one = found(f"{HERE}.{faulty}")[check]
    assert said in one.failed, one


def test_a_network_of_one_length_is_told_and_does_not_fail():
    one = found(f"{HERE}.Tied")["another length"]
    assert one.only_told and "refused" in one.said


@pytest.mark.slow
def test_the_command_says_what_it_finds_and_ends_in_status_1_when_something_fails(simulated, tmp_path):
    place = simulated(tmp_path)
    root = Path(own_models.__file__).parents[2]
    env = environment(PYTHONPATH=os.pathsep.join([str(root), str(root / "src")]))

    def checked(*typed):
        return call("eegfm.commands.check", "data=synthetic", *typed, cwd=place, env=env)

    for model in (
        ("model=mine", f"model.path={HERE}.Net"),
        ("model=sklearn", f"model.path={HERE}.make_classifier"),
        ("model=eegm2", "model.width_scale=8", "model.d_state=4"),
        ("model=stamp", "model.depth=1"),
        ("model=bandpower",),
    ):
        done = checked(*model)
        assert done.returncode == 0 and "FAILED" not in done.stdout, (done.stdout, done.stderr)
        assert "save and load" in done.stdout and not (place / "runs").exists()
    done = checked("model=mine", f"model.path={HERE}.Idle")
    assert (
        done.returncode == 1
        and "FAILED gradients" in done.stdout
        and "1 of the checks failed" in done.stderr
    )
    assert "forgotten.weight" in done.stdout

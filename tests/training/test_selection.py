"""Which epoch is kept, in fits whose validation metric is given beforehand."""

from functools import partial

import lightning.pytorch as lightning
import pytest
import torch
from torch.utils.data import DataLoader

from eegfm.contracts import EegfmError
from eegfm.tasks.classify import Classify
from eegfm.training.selection import BestEpoch, checkpoint_callbacks, chooses
from tests.composed import composed
from tests.tasks.toy import Backbone, spec_of


class Scripted(lightning.LightningModule):
    """Logs a given validation metric epoch by epoch; its one weight counts the epochs."""

    def __init__(self, metric: list[float]) -> None:
        super().__init__()
        self.metric, self.epochs = metric, torch.nn.Parameter(torch.zeros(()))
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        with torch.no_grad():
            self.epochs += 1

    def validation_step(self, batch, batch_idx):
        self.log("val/auroc", self.metric[self.current_epoch])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def on_train_batch_end(self, *_):
        self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress.increment_completed()


def fit(
    folder, metric: list[float], *, mode="max", stop_after: int | None = None, moved=None, **rule
) -> dict[str, int]:
    """Epochs (from 0) whose weights are in best.ckpt and last.ckpt; a fit that has stopped goes on in `moved`."""
    one = DataLoader(torch.zeros(1, 1))
    rule = {"min_delta": 0.0, "first_epoch": 0, **rule}
    for epochs in [stop_after, len(metric)] if stop_after else [len(metric)]:
        if moved and folder.exists():
            folder = folder.rename(moved)
        trainer = lightning.Trainer(
            max_epochs=epochs,
            callbacks=checkpoint_callbacks(folder, monitor="val/auroc", mode=mode, rule=rule),
            logger=False,
            accelerator="cpu",
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        last = folder / "last.ckpt"
        trainer.fit(
            Scripted(metric), one, one, ckpt_path=last if last.exists() else None, weights_only=True
        )
    found = {path.stem: torch.load(path, weights_only=True) for path in folder.glob("*.ckpt")}
    for state in found.values():
        assert int(state["state_dict"]["epochs"]) == state["epoch"] + 1
    return {name: state["epoch"] for name, state in found.items()}


def test_the_best_epoch_and_the_last_are_kept_and_nothing_else(tmp_path):
    assert fit(tmp_path, [0.6, 0.8, 0.7, 0.75]) == {"best": 1, "last": 3}


def test_the_first_of_equals_is_kept(tmp_path):
    assert fit(tmp_path, [0.6, 0.8, 0.8])["best"] == 1


@pytest.mark.parametrize(("min_delta", "best"), [(0.0, 3), (0.001, 1), (0.3, 0)])
def test_a_new_best_must_exceed_the_old_by_more_than_min_delta(tmp_path, min_delta, best):
    """STAMP's reference asks for more than 1e-3, so a slow climb is not followed."""
    assert fit(tmp_path, [0.6, 0.8, 0.8004, 0.8009], min_delta=min_delta)["best"] == best


@pytest.mark.parametrize(("min_delta", "best"), [(0.0, 3), (0.001, 1), (0.3, 0)])
def test_a_new_best_of_a_loss_must_lie_below_the_old_by_more_than_min_delta(tmp_path, min_delta, best):
    assert fit(tmp_path, [0.4, 0.2, 0.1996, 0.1991, 0.9], mode="min", min_delta=min_delta)["best"] == best


@pytest.mark.parametrize("mode", ["max", "min"])
def test_a_gain_of_just_min_delta_is_none(tmp_path, mode):
    """Fractions of two, so that the gain is exact: 0.25, and then 0.375 over the epoch that is still the best."""
    metric = [0.5, 0.75, 0.875] if mode == "max" else [0.5, 0.25, 0.125]
    assert fit(tmp_path, metric, mode=mode, min_delta=0.25)["best"] == 2


def test_epochs_before_the_first_never_count(tmp_path):
    assert fit(tmp_path, [0.9, 0.7, 0.8], first_epoch=1) == {"best": 2, "last": 2}
    assert fit(tmp_path / "short", [0.9], first_epoch=1) == {"best": 0, "last": 0}  # there is no other


def test_a_classifier_is_chosen_by_its_loss_and_where_stamps_recipe_runs_by_the_rule_of_its_reference():
    """AUROC is order alone: the epoch of the highest one may have learnt nothing else."""
    task = Classify(Backbone(), spec_of(2), optimizer=partial(torch.optim.AdamW, lr=1e-3), seed=0)
    assert chooses(task, composed("model=cbramod").selection) == ("loss", "min")
    for choices in (["model=stamp"], ["experiment=cbramod_main_table"], ["adapt=eegm2_published_finetune"]):
        assert chooses(task, composed(*choices).selection) == ("auroc", "max")
    stamp = composed("model=stamp").selection
    assert (stamp.min_delta, stamp.first_epoch) == (0.001, 1)
    assert composed("model=stamp", "selection.by=loss").selection.by == "loss"
    with pytest.raises(EegfmError, match=r"selection\.by=auroc: one of these is wanted"):
        chooses(task, {"by": "auroc"})


PUBLISHED = ("experiment=stamp_main_table", "experiment=cbramod_main_table", "experiment=stamp_width_study",
             "adapt=eegm2_published_finetune", "adapt=eegm2_published_probe", "adapt=eegm2_published_light",
             "adapt=samba_published_finetune")  # fmt: skip


def test_classes_weigh_alike_but_in_what_was_published():
    for model in ("stamp", "cbramod", "braindecode", "samba", "eegm2", "stamp_lora"):
        for task in ("classify", "probe"):
            assert composed(f"model={model}", f"task={task}").task.balanced is True
    for choice in PUBLISHED:
        assert composed(choice).task.balanced is False


def test_a_probe_and_a_fine_tuning_start_from_one_pre_training():
    """Whatever rule chooses the epoch of the run that follows."""
    for of in ("eegm2_published", "samba_published"):
        found = [composed(f"adapt={of}_{way}").pretrain.selection.by for way in ("probe", "finetune")]
        assert found == ["loss", "loss"]


def test_a_metric_that_is_not_a_number_is_never_the_best(tmp_path):
    assert fit(tmp_path, [float("nan"), 0.6, float("nan"), 0.5])["best"] == 1


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_a_resumed_fit_keeps_what_an_uninterrupted_one_keeps(tmp_path, stop_after):
    """The best comes in the very epoch behind which the fit stops, and must not be forgotten."""
    assert fit(tmp_path, [0.6, 0.8, 0.7, 0.75], stop_after=stop_after) == {"best": 1, "last": 3}


def test_a_fit_whose_folder_was_moved_does_not_forget_the_best(tmp_path):
    """Here epoch 3 is better than every epoch that comes after the move, and worse than one before."""
    metric, moved = [0.6, 0.8, 0.7, 0.75], tmp_path / "moved"
    assert fit(tmp_path / "run", metric, stop_after=2, moved=moved) == {"best": 1, "last": 3}
    assert {path.name for path in moved.iterdir()} == {"best.ckpt", "last.ckpt"}


def test_a_resumed_run_keeps_all_that_its_checkpoint_says_of_the_choice(tmp_path):
    """Killed after its last epoch, it would write another checkpoint than the run that was not."""
    best = BestEpoch(tmp_path, monitor="val/auroc", mode="max")
    score = torch.tensor(0.7)
    best.current_score = best.best_model_score = best.kth_value = score
    best.best_model_path = best.kth_best_model_path = str(tmp_path / "best.ckpt")
    best.best_k_models = {best.best_model_path: score}
    again = BestEpoch(tmp_path, monitor="val/auroc", mode="max")
    again.load_state_dict(best.state_dict())
    assert again.state_dict() == best.state_dict()

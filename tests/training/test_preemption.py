"""A fit that gets a stop signal saves, ends, and continues as if uninterrupted: real signals, sent to this process."""

import os
import signal
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader

from eegfm.data.loaders import Windows, ignore_stop_signals
from eegfm.training.keep_curves import KeepCurves
from eegfm.training.preemption import KeepProgress, Preempted, SaveAndLeave, listening
from eegfm.training.selection import checkpoint_callbacks
from tests.data.small_mix import mix, places, task_of  # noqa: F401
from tests.data.test_mix_sampling import Traced
from tests.tasks.toy import trainer
from tests.training.test_selection import Scripted

EPOCHS, BATCHES = 3, 4  # see `whole`


class Ask(Callback):
    """Sends this process a signal at the n-th time of a hook."""

    def __init__(self, hook: str, n: int, signum: int) -> None:
        self.n, self.signum = n, signum
        setattr(self, hook, self.count)

    def count(self, *_) -> None:
        self.n -= 1
        if self.n == 0:
            os.kill(os.getpid(), self.signum)


def fitted(places, folder: Path, *asks: Callback, accumulate=1, every=None, device_cache=False) -> Traced:  # noqa: F811
    """One benchmark, shuffled anew every epoch; goes on from the folder's checkpoint where there is one."""
    data = mix(places, own={}).corpora["first"]
    data.batch_size, data.device_cache = 5, device_cache
    task = task_of(data)
    task.__class__, task.trace = Traced, []
    last = folder / "last.ckpt"
    folder.mkdir(exist_ok=True)
    with listening() as asked:
        fit = trainer(
            folder,
            max_epochs=EPOCHS,
            num_sanity_val_steps=0,
            accumulate_grad_batches=accumulate,
            enable_checkpointing=True,
            callbacks=[KeepCurves(folder), *asks, SaveAndLeave(asked, last),
                       *checkpoint_callbacks(folder, monitor="val/loss", mode="min", rule={}, every=every)],
        )  # fmt: skip
        found = last if last.exists() else None
        try:
            fit.fit(task, datamodule=data, ckpt_path=found, weights_only=True)
        finally:
            fitted.trace = task.trace
    return task


@pytest.fixture(scope="module")
def whole(places, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("whole")
    task = fitted(places, folder)
    assert len(task.trace) == EPOCHS * BATCHES
    return folder, task


@pytest.mark.parametrize(
    ("hook", "n", "step", "signum"),
    [
        ("on_train_batch_start", 1, 1, signal.SIGTERM),
        ("on_train_batch_start", 2 * BATCHES - 1, 2 * BATCHES - 1, signal.SIGUSR2),
        ("on_train_batch_end", BATCHES, BATCHES, signal.SIGUSR1),  # the validation that follows is not lost
        ("on_validation_start", 2, 2 * BATCHES, signal.SIGTERM),
        ("on_train_batch_start", EPOCHS * BATCHES, EPOCHS * BATCHES, signal.SIGUSR2),
    ],
)
def test_it_goes_on_from_the_step_where_it_was_asked_to_stop(
    places,  # noqa: F811
    whole,
    tmp_path,
    hook,
    n,
    step,
    signum,
):
    with pytest.raises(Preempted) as left:
        fitted(places, tmp_path, Ask(hook, n, signum))
    assert left.value.code == 128 + signum and f"step {step}" in left.value.args[1]
    assert fitted.trace == whole[1].trace[:step]
    resumed = fitted(places, tmp_path)
    assert resumed.trace == whole[1].trace[step:]
    for name, value in whole[1].state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    for name in ("loss.csv", "metrics.csv"):
        assert (tmp_path / name).read_text() == (whole[0] / name).read_text()
    best = [torch.load(folder / "best.ckpt", weights_only=True)["epoch"] for folder in (tmp_path, whole[0])]
    assert best[0] == best[1]


def test_a_split_on_the_device_goes_on_as_well(places, whole, tmp_path):  # noqa: F811
    """Batches that an interrupted epoch has seen are not seen again, nor are those of the next one left out."""
    with pytest.raises(Preempted):
        fitted(places, tmp_path, Ask("on_train_batch_start", 2, signal.SIGTERM), device_cache=True)
    resumed = fitted(places, tmp_path, device_cache=True)
    assert resumed.trace == whole[1].trace[2:]
    assert (tmp_path / "loss.csv").read_text() == (whole[0] / "loss.csv").read_text()


@pytest.mark.parametrize("cut", ["\n1", "\n1,0.6", "\n1,", "\n11", "\n2,0.5\n1,0.25\n"])
def test_a_row_that_was_cut_short_is_not_taken_for_an_earlier_step(places, whole, tmp_path, cut):  # noqa: F811
    """A kill or a full disk ends a row anywhere: "1" is what is left of step 12 of a run."""
    with pytest.raises(Preempted):
        fitted(places, tmp_path, Ask("on_train_batch_start", 5, signal.SIGTERM))
    losses = tmp_path / "loss.csv"
    losses.write_text(losses.read_text().rstrip("\n") + cut)
    fitted(places, tmp_path)
    assert losses.read_text() == (whole[0] / "loss.csv").read_text()


class PowerCut(Exception):
    pass


class Cut(Callback):
    """Ends a fit in the validation of its second epoch, as a power cut does."""

    def on_validation_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            raise PowerCut


def test_saving_every_few_steps_loses_no_validation_to_a_power_cut(places, whole, tmp_path):  # noqa: F811
    """A checkpoint from behind the last batch would go on with the next epoch."""
    with pytest.raises(PowerCut):
        fitted(places, tmp_path, Cut(), every=2)
    assert fitted(places, tmp_path, every=2).trace == whole[1].trace[2 * BATCHES - 2 :]
    for name in ("loss.csv", "metrics.csv"):
        assert (tmp_path / name).read_text() == (whole[0] / name).read_text()


def test_gradients_that_wait_for_their_step_are_not_lost(places, tmp_path):  # noqa: F811
    whole = fitted(places, tmp_path / "whole", accumulate=3)
    with pytest.raises(Preempted):
        fitted(places, tmp_path / "cut", Ask("on_train_batch_start", 2, signal.SIGTERM), accumulate=3)
    assert len(fitted.trace) == 3
    assert fitted.trace + fitted(places, tmp_path / "cut", accumulate=3).trace == whole.trace


def test_the_handler_that_was_there_before_is_called_behind_the_checkpoint(places, tmp_path):  # noqa: F811
    """submitit's handler is such a one: it then submits the job again and ends the process."""

    def sends_off_again(signum, frame):
        assert (tmp_path / "last.ckpt").exists()
        raise SystemExit(-1)

    before = signal.signal(signal.SIGUSR2, sends_off_again)
    try:
        with pytest.raises(SystemExit) as left:
            fitted(places, tmp_path, Ask("on_train_batch_start", 2, signal.SIGUSR2))
        assert left.value.code == -1 and len(fitted.trace) == 2
        assert signal.getsignal(signal.SIGUSR2) is sends_off_again
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_outside_of_a_training_it_leaves_at_once_and_handlers_are_put_back():
    before = [signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)]
    with pytest.raises(Preempted) as left, listening(), listening():
        os.kill(os.getpid(), signal.SIGTERM)
    assert left.value.code == 143
    assert before == [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)]


@pytest.mark.parametrize(
    ("signum", "is_worker", "status"),
    [(signal.SIGUSR2, False, 0), (signal.SIGTERM, False, -15), (signal.SIGTERM, True, 0)],
)
def test_a_forked_child_does_not_take_itself_for_the_run(signum, is_worker, status):
    """TERM ends a child, so that pools can be shut down; a loader's worker outlives it, so that the run can save."""
    with listening() as asked:
        child = os.fork()
        if child == 0:
            if is_worker:
                ignore_stop_signals(0)
            os.kill(os.getpid(), signum)
            os._exit(0)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert ended == status and asked.signum is None


def test_what_an_interrupted_epoch_leaves_out_is_what_it_has_seen():
    whole = Windows(50, 4, 3)
    cut = Windows(50, 4, 3)
    cut.skip(1, 5)
    for epoch, n in ((0, 0), (1, 5), (2, 0)):
        whole.set_epoch(epoch)
        cut.set_epoch(epoch)
        assert list(cut) == list(whole)[n:] and len(cut) == 13


def test_a_fit_that_fails_before_its_first_step_fails_with_its_own_reason(tmp_path):
    class Wrong(Scripted):
        def configure_optimizers(self):
            raise ValueError("no such rate")

    one = DataLoader(torch.zeros(1, 1))
    with pytest.raises(ValueError, match="no such rate"):
        trainer(tmp_path, max_epochs=1, callbacks=[KeepProgress(tmp_path)]).fit(Wrong([0.5]), one, one)

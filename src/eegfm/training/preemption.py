"""A run that is asked to stop (USR2 of submitit, USR1, TERM) saves at the end of its batch and leaves.

The same command then goes on from there, in the same folder, from the same step, with the same losses on
the CPU. The exit status is 128 + the signal: 143 after TERM, 140 after USR2, 138 after USR1; Lightning
2.6.6 alone ends with 0. An earlier handler of USR1 or USR2 is called once the checkpoint is written:
submitit's handler resubmits the job and decides on the exit status itself.

A signal raises nothing by itself while batches are trained, since it may arrive in the middle of an
optimiser's step. At any other time (preparing, testing) the process leaves at once: finished work is on
disk, and unfinished work is done again. In a validation it leaves after the end, so the time from signal to
kill must be enough for one validation.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import lightning.pytorch as lightning
from lightning.pytorch import Callback

from eegfm.runs.status import progress
from eegfm.support.alive import stop_signals

log = logging.getLogger(__name__)

SIGNALS = stop_signals()
PROGRESS_S = 10  # between two writings of a run's progress


class Preempted(SystemExit):
    """Ends the process, with 128 + the signal or another status; its second argument says why, for `status.json`."""

    def __init__(self, signum: int, where: str, status: Any = None) -> None:
        code = 128 + signum if status is None else status
        super().__init__(code, f"{signal.Signals(signum).name} {where}")
        self.code = code


class Asked:
    """Whether a signal has asked this process to stop. `training`: a fit checks it after each batch."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self.training = False
        self.leaving = False
        self.owner = os.getpid()
        self.before: dict[int, Any] = {}

    def listen(self) -> None:
        """Install our handlers; a fit does it again, since Lightning installs its own over them."""
        for signum in SIGNALS:
            found = signal.signal(signum, self._handle)
            self.before.setdefault(signum, found)

    def restore(self) -> None:
        for signum, handler in self.before.items():
            signal.signal(signum, handler)

    def leave(self, signum: int, where: str) -> None:
        """End the process, through the handler from before ours if that handler resubmits the job."""
        before = self.before[signum]
        self.leaving = True  # SLURM sends TERM to a job that has just resubmitted itself
        self.restore()
        if signum != signal.SIGTERM and callable(before):
            log.warning("%s %s; it is sent off again.", signal.Signals(signum).name, where)
            try:
                before(signum, None)
            except SystemExit as stop:
                raise Preempted(signum, where, stop.code) from None
        log.warning("%s %s. The same command goes on from there.", signal.Signals(signum).name, where)
        raise Preempted(signum, where)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if os.getpid() != self.owner:  # a forked child was not asked: act as without our handler
            if signum == signal.SIGTERM:
                signal.signal(signum, signal.SIG_DFL)
                os.kill(os.getpid(), signum)
        elif self.leaving:
            pass
        elif self.training:
            self.signum = self.signum or signum
        else:
            self.leave(signum, "outside of the training")


_listening: Asked | None = None


@contextmanager
def listening() -> Iterator[Asked]:
    """Listen to the signals during a run; a nested call (a pre-training) shares the outer one."""
    global _listening
    outer = _listening
    asked = outer or Asked()
    if outer is None and threading.current_thread() is threading.main_thread():
        asked.listen()
        _listening = asked
    try:
        yield asked
    finally:
        if outer is None:
            asked.restore()
            _listening = None


class SaveAndLeave(Callback):
    """At the end of a batch, if a signal asks to stop, write `last`, from which a fit goes on.

    After the last batch of an epoch it waits for the validation, which writes that checkpoint anyway: a fit
    that goes on from a checkpoint before the validation would leave the validation out.
    """

    def __init__(self, asked: Asked, last: Path) -> None:
        self.asked, self.last = asked, last

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self.asked.before:
            self.asked.listen()
        self.asked.training = True

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return  # gradients that wait for their step would be lost
        if batch_idx + 1 == trainer.num_training_batches or trainer.global_step == trainer.max_steps:
            return
        signum = self._signal(trainer)
        if signum is not None:
            trainer.save_checkpoint(self.last)
            self._leave(trainer, signum)

    def on_train_epoch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        signum = self._signal(trainer)
        if signum is not None and self.last.exists():  # before the first epoch there is nothing to lose
            self._leave(trainer, signum)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.asked.training = False
        signum = self._signal(trainer)
        if signum is not None:
            self._leave(trainer, signum)

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        self.asked.training = False

    def _signal(self, trainer: lightning.Trainer) -> int | None:
        """The signal that any of the processes got: they save together, or not at all."""
        signum = self.asked.signum
        if trainer.world_size > 1 and trainer.strategy.reduce_boolean_decision(
            signum is not None, all=False
        ):
            return signum or signal.SIGTERM
        return signum

    def _leave(self, trainer: lightning.Trainer, signum: int) -> None:
        self.asked.training = False
        self.asked.leave(signum, f"at step {trainer.global_step}")


class KeepProgress(Callback):
    """Writes into `status.json` how far a fit has come, every few seconds."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder, self.clock = folder, clock
        self.begun: float | None = None  # the fit may fail before

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.begun = self.said = self.clock()
        self.first = trainer.global_step
        self._say(trainer)

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        if self.clock() - self.said >= PROGRESS_S:
            self._say(trainer)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._say(trainer)

    def on_exception(self, trainer: lightning.Trainer, *_: Any) -> None:
        if trainer.training and self.begun is not None:
            self._say(trainer)

    def _say(self, trainer: lightning.Trainer) -> None:
        assert self.begun is not None
        self.said = self.clock()
        if not trainer.is_global_zero:
            return
        steps = trainer.estimated_stepping_batches
        rate = (trainer.global_step - self.first) / max(self.said - self.begun, 1e-9)
        progress(
            self.folder, trainer.global_step, int(steps) if 0 < steps < float("inf") else 0, round(rate, 4)
        )

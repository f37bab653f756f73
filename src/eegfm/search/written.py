"""What is written down of a trial by whoever has no more of it than its number.

`study.ask()` gives an object that may write, to the process that searches. The training of a trial is another process,
and so is one that settles what a dead one has left. Optuna's storages take a trial by an id of their own.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial


class Trials:
    """The trials of a study by their numbers, to be read as they are now and written to."""

    def __init__(self, study: "Study", storage: "BaseStorage") -> None:
        self.study, self.storage = study, storage
        self.study_id = storage.get_study_id_from_name(study.study_name)

    def get(self, number: int) -> "FrozenTrial":
        return self.storage.get_trial(self._id(number))

    def note(self, number: int, name: str, value: Any) -> None:
        """Set a user attribute."""
        self.storage.set_trial_user_attr(self._id(number), name, value)

    def report(self, number: int, epoch: int, value: float) -> None:
        """Set the value of an epoch, which pruners compare."""
        self.storage.set_trial_intermediate_value(self._id(number), epoch, value)

    def _id(self, number: int) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self.study_id, number)

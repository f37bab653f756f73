"""Read and write trials by their numbers, from any process.

Optuna lets only the object that `study.ask()` returned write to a trial. That object is in the searching process; the
run of the trial is another process, and so is one that settles the trials of a dead one. Optuna's storages know a
trial by an id of their own, which this module looks up.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial


class Trials:
    """The trials of a study by their numbers; `get` reads the present state from the storage."""

    def __init__(self, study: "Study", storage: "BaseStorage") -> None:
        self.study, self.storage = study, storage
        self.study_id = storage.get_study_id_from_name(study.study_name)

    def get(self, number: int) -> "FrozenTrial":
        return self.storage.get_trial(self._id(number))

    def note(self, number: int, name: str, value: Any) -> None:
        """Set a user attribute."""
        self.storage.set_trial_user_attr(self._id(number), name, value)

    def report(self, number: int, epoch: int, value: float) -> None:
        """Set the value of an epoch, for pruners to compare."""
        self.storage.set_trial_intermediate_value(self._id(number), epoch, value)

    def _id(self, number: int) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self.study_id, number)

"""The space of a search: the keys that it may change, and the values of each."""

import math
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from eegfm.config.identity import NOT_THE_RUN
from eegfm.contracts import EegfmError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FIVE_SEEDS = "seed=654,114,25,759,281"


# Groups that a search may change. A better metric after any other change would not mean better settings.
MAY_CHANGE = ("model", "encoder", "task", "trainer", "adapt", "method", "weights", "pretrain", "selection")


# of data: only keys that leave the windows as they are
MAY_CHANGE_OF_DATA = ("batch_size", "weights", "epoch_windows")


# of a task that is judged by its own loss: all other keys change the loss itself
MAY_CHANGE_OF_LOSS = ("optimizer", "schedule", "decay")


def refuse_key(key: str, *, of_loss: bool = False) -> None:
    """Raise EegfmError for a key whose best value would be no better setting.

    `of_loss`: the runs are judged by their loss.
    """
    top, _, rest = key.lstrip("+~").partition("@")[0].replace("/", ".").partition(".")
    leaf = rest.partition(".")[0]
    if top == "seed" or leaf == "seed":
        raise EegfmError(
            f"A search over {key}: searching over seeds picks luck. Search with one seed (seed=654), then train the "
            f"best settings with five: {FIVE_SEEDS}"
        )
    if top in ("data", "split") and leaf not in MAY_CHANGE_OF_DATA:
        raise EegfmError(
            f"A search over {key}: it would change the data that models are trained and judged on, so the values "
            f"could not be compared. It may change {', '.join(f'data.{name}' for name in MAY_CHANGE_OF_DATA)}. "
            "To compare data sets or splits, use a plain sweep without search=optuna."
        )
    if top == "task" and (not rest or (of_loss and leaf not in MAY_CHANGE_OF_LOSS)):
        raise EegfmError(
            f"A search over {key}: it changes the loss that the settings are judged by, so the easiest would win. In "
            f"this task a search may change {', '.join(f'task.{name}' for name in MAY_CHANGE_OF_LOSS)}."
        )
    if top == "trainer" and leaf.startswith("limit_"):
        raise EegfmError(
            f"A search over {key}: it changes on how much of the data the settings are judged."
        )
    left_out = NOT_THE_RUN.get(top, ()) or ()
    if top != "data" and (top not in MAY_CHANGE or leaf in left_out):
        raise EegfmError(
            f"A search over {key}: it does not change the training. A search may change {', '.join(MAY_CHANGE)}."
        )


def distribution_of(override: Override) -> "BaseDistribution":
    """Optuna's distribution for a sweep in Hydra's grammar, with the same values; choices stay Hydra's text.

    Raises:
        EegfmError: the sweep is shuffled (the sampler chooses the order), has a tag other than log, or has an empty
            or impossible range.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value: Any = override.value()
    where = override.input_line or override.get_key_element()
    tags = getattr(value, "tags", set())
    if getattr(value, "shuffle", False):
        raise EegfmError(f"{where}: shuffle has no meaning in a search. Leave it out.")
    if tags - {"log"} or (tags and override.is_choice_sweep()):
        raise EegfmError(
            f"{where}: a search knows only the tag log, for an interval or a range: tag(log,interval(1,9))"
        )
    try:
        if isinstance(value, IntervalSweep):
            assert value.start is not None and value.end is not None
            if value.start >= value.end:
                raise ValueError("the start has to be below the end")
            if isinstance(value.start, int) and isinstance(value.end, int):
                return IntDistribution(value.start, value.end, log="log" in tags)
            return FloatDistribution(value.start, value.end, log="log" in tags)
        if isinstance(value, RangeSweep):
            values = sorted(float(x) if isinstance(x, float) else int(x) for x in [*value.range()])
            if not values:
                raise ValueError("the range is empty; as in Python, it does not include its end")
            if "log" in tags and (len(values) < 2 or values[1] - values[0] != 1):
                raise ValueError("with tag(log) a range holds whole numbers in steps of 1")
            step = values[1] - values[0] if len(values) > 1 else 1
            if all(isinstance(x, int) for x in values):
                return IntDistribution(int(values[0]), int(values[-1]), log="log" in tags, step=int(step))
            return FloatDistribution(values[0], values[-1], step=step)
    except ValueError as error:
        raise EegfmError(f"{where}: {error}.") from None
    return CategoricalDistribution(list(dict.fromkeys(override.sweep_string_iterator())))


def values_of(distribution: "BaseDistribution") -> list[Any] | None:
    """All values of a distribution, for a grid; None if there are infinitely many."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution):
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    assert isinstance(distribution, FloatDistribution)
    if distribution.step is None:
        return None
    n = round((distribution.high - distribution.low) / distribution.step) + 1
    return [min(distribution.low + i * distribution.step, distribution.high) for i in range(n)]


def n_points(distribution: "BaseDistribution") -> float:
    values = values_of(distribution)
    return math.inf if values is None else len(values)


def first_of(distribution: "BaseDistribution") -> Any:
    values = values_of(distribution)
    return distribution.low if values is None else values[0]  # pyright: ignore[reportAttributeAccessIssue]


def as_text(value: Any) -> str:
    """A value as the text of an override. With twelve digits, 0.1 + 0.2 is 0.3, also in the name of a run."""
    return repr(float(f"{value:.12g}")) if isinstance(value, float) else str(value)

"""The plan of a search, from its config and overrides."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from eegfm.config.identity import chosen, folder_of, identity_hash, model_name, plain, without_hydra
from eegfm.contracts import EegfmError
from eegfm.search.space import as_text, distribution_of, first_of, n_points, refuse_key

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

BY_LOSS = (
    "eegfm.tasks.reconstruct.Reconstruct",
    "eegfm.tasks.forecast.Forecast",
)  # by name, because the imports take seconds


@dataclass(frozen=True)
class Plan:
    """One study: the space that it tries, the overrides that its trials share (`fixed`), and its folder.

    `base` is the config without the space; `typed` is the space as the person wrote it.
    """

    config: DictConfig
    loader: ConfigLoader
    base: DictConfig
    fixed: dict[str, str]
    space: dict[str, "BaseDistribution"]
    typed: dict[str, str]
    folder: Path
    maximize: bool

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def storage(self) -> str:
        kind = str(self.base.search.storage)
        if kind in ("journal", "sqlite"):
            path = self.folder.absolute() / f"study.{kind}"
            return f"sqlite:///{path}" if kind == "sqlite" else str(path)
        return kind  # a URL of Optuna's

    @property
    def size(self) -> float:
        """How many settings the space holds."""
        return math.prod(n_points(distribution) for distribution in self.space.values())


def plan_of(config: DictConfig, loader: ConfigLoader, arguments: Sequence[str]) -> Plan:
    """The plan of a search, from its overrides. A config of the space is composed, so a mistake shows before any run.

    Raises:
        EegfmError: there is no space, a number is wrong, or the space would pick luck or an easier problem instead of
            a good setting.
    """
    fixed: dict[str, str] = {}
    space: dict[str, BaseDistribution] = {}
    typed: dict[str, str] = {}
    for override in OverridesParser.create(config_loader=loader).parse_overrides([*arguments]):
        key = override.get_key_element()
        for by_key in (fixed, space, typed):  # the last override of a key wins
            by_key.pop(key, None)
        if override.is_sweep_override():
            space[key] = distribution_of(override)
            typed[key] = (override.input_line or "").partition("=")[2]
        else:
            fixed[key] = override.get_value_element_as_str()
    if not space:
        raise EegfmError(
            "search=optuna has nothing to search over. Give a space to at least one key: "
            "'task.schedule.max_lr=tag(log,interval(1e-4,1e-2))', 'model.depth=choice(1,2,4)'"
        )
    base = loader.load_sweep_config(config, as_overrides(fixed))
    settings = base.search
    for key in ("n_trials", "n_jobs"):
        if not isinstance(settings[key], int) or settings[key] < 1:
            raise EegfmError(f"search.{key}={settings[key]}: a whole number above 0 is wanted.")
    maximize = _direction(base)
    for key in space:
        refuse_key(key, of_loss=not maximize)
    first = {key: as_text(first_of(distribution)) for key, distribution in space.items()}
    loader.load_sweep_config(config, as_overrides({**fixed, **first}))

    choices = base.hydra.runtime.choices
    identity = json.dumps([identity_hash(plain(without_hydra(base))), typed, maximize], sort_keys=True)
    of_data = (chosen(choices, group) for group in ("encoder", "data"))
    parts = [model_name(base, choices), *of_data, f"s{base.seed}"]
    name = "-".join([*parts, sha256(identity.encode()).hexdigest()[:8]])
    folder = Path(base.paths.runs) / folder_of(base, choices) / "searches" / name
    return Plan(config, loader, base, fixed, space, typed, folder, maximize)


def as_overrides(values: Mapping[str, str]) -> list[str]:
    return [f"{key}={value}" if value or not key.startswith("~") else key for key, value in values.items()]


def _direction(base: DictConfig) -> bool:
    """Whether a larger value is better. Each run checks it against its task's metric (`eegfm.search.prune`)."""
    direction = base.search.direction
    if direction is None:
        return base.task._target_ not in BY_LOSS
    if direction not in ("maximize", "minimize"):
        raise EegfmError(f"search.direction={direction}: maximize, minimize or null is wanted.")
    return direction == "maximize"

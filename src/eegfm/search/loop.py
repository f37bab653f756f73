"""A search for good settings with Optuna: `search=optuna`, whose YAML file says how a space is written.

  eegfm train -m search=optuna experiment=demo 'task.schedule.max_lr=tag(log,interval(1e-4,1e-2))'

Optuna is asked for settings and told their validation metric; the test subjects play no part in it. A trial is an
ordinary run, in the folder that its config names: what is finished there is not trained again, and each trial can be
repeated by its overrides. A study is named by the config that all its trials share and by the space, so that the same
command goes on with it. It lies in `runs/<experiment>/searches/<study>/`, with what was found: `search.json`,
`search.csv` and two figures.

Several processes may search in one study at once: those of `eegfm sweep submit --parallel 4 search=optuna ...`,
or the same command typed on several nodes. Each holds a folder `worker-<n>` with a lock and a `status.json`. A trial
whose process is gone is put back and goes on from its last checkpoint, up to three times; Optuna's own heartbeat for
this exists for databases only. What failed is told as failed, with the reason, and the search goes on.

The best value of many is optimistic, the more so the more were tried: what is found is to be run with several seeds,
and judged by these.
"""

import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack

from hydra.core.config_loader import ConfigLoader
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from eegfm.contracts import EegfmError
from eegfm.search.found import report, show
from eegfm.search.plan import plan_of
from eegfm.search.study import open_study, quiet
from eegfm.search.trials import alone, ask, launch, running, say_progress, settle_mine, take_worker_folder

log = logging.getLogger(__name__)

WAIT_S = 2.0  # between two looks at runs that are still at work


def search(config: DictConfig, loader: ConfigLoader, launcher: Launcher, arguments: Sequence[str]) -> float:
    """Search as the config says, write what was found, and return the best value of the validation metric.

    Raises:
        EegfmError: nothing to search, a space that is refused, or no trial that came to an end.
    """
    with ExitStack() as stack:
        stack.enter_context(quiet())
        plan = plan_of(config, loader, arguments)
        plan.folder.mkdir(parents=True, exist_ok=True)
        worker = take_worker_folder(stack, plan)
        trials = open_study(plan)
        study = trials.study
        mine: set[int] = set()
        begun = time.monotonic()
        while cells := ask(plan, trials, worker, mine):
            error = launch(launcher, [*cells.values()], len(mine) - len(cells))
            settle_mine(plan, trials, mine, error)
            say_progress(plan, study, worker, len(mine), begun)
        while running(
            study, mine
        ):  # runs that another process works on, or that have outlived their launcher
            time.sleep(WAIT_S)
            settle_mine(plan, trials, mine, "its job left no sign")
        with alone(plan.folder):
            found = report(plan, study)
    show(found, plan)
    if found["best"] is None:
        reasons = [one.user_attrs["reason"] for one in study.trials if "reason" in one.user_attrs]
        raise EegfmError(
            f"No setting of {len(study.trials)} has a validation value. The first said: {(reasons or ['–'])[0]}"
        )
    return found["best"]["value"]

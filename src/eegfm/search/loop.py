"""A search for good settings with Optuna: `search=optuna`. `conf/search/optuna.yaml` tells how to write a space.

  eegfm train -m search=optuna experiment=demo 'task.schedule.max_lr=tag(log,interval(1e-4,1e-2))'

Optuna suggests settings and gets their validation metric back; the test subjects play no part. A trial is an ordinary
run in the folder that its config names: a finished run is not trained again, and the overrides of a trial repeat it.
The name of a study follows from the space and from the config that all its trials share, so the same command continues
it. Its folder is `runs/<experiment>/searches/<study>/`, with the results: `search.json`, `search.csv` and two figures.

Several processes may search in one study at once: `eegfm sweep submit --parallel 4 search=optuna ...` starts them, or
the same command typed on several nodes. Each holds a folder `worker-<n>` with a lock and a `status.json`. If the
process of a trial dies, the trial is queued again and continues from its last checkpoint, up to three times; Optuna's
own heartbeat for this works with databases only. A failed trial is recorded with its reason, and the search continues.

The best of many values is optimistic, the more so the more were tried. Train the best settings with several seeds, and
judge them by those runs.
"""

import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack

from hydra.core.config_loader import ConfigLoader
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from eegfm.contracts import EegfmError
from eegfm.search.plan import plan_of
from eegfm.search.report import report, show
from eegfm.search.study import open_study, quiet
from eegfm.search.trials import alone, ask, launch, running, say_progress, settle_mine, take_worker_folder

log = logging.getLogger(__name__)

WAIT_S = 2.0  # between two looks at runs that still train


def search(config: DictConfig, loader: ConfigLoader, launcher: Launcher, arguments: Sequence[str]) -> float:
    """Search as the config says, write the results, and return the best value of the validation metric.

    Raises:
        EegfmError: there is nothing to search, the space is refused, or no trial has finished.
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
        # runs that another process trains, or that have outlived their launcher
        while running(study, mine):
            time.sleep(WAIT_S)
            settle_mine(plan, trials, mine, "its job left no status")
        with alone(plan.folder):
            results = report(plan, study)
    show(results, plan)
    if results["best"] is None:
        reasons = [trial.user_attrs["reason"] for trial in study.trials if "reason" in trial.user_attrs]
        raise EegfmError(
            f"No setting of {len(study.trials)} has a validation value. The first reason: {(reasons or ['–'])[0]}"
        )
    return results["best"]["value"]

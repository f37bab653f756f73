"""The flat CSV table of a report, one row a run, for other programs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from eegfm.drawing import sheet
from eegfm.reporting.groups import Group, n_subjects
from eegfm.reporting.remarks import marks, remarks
from eegfm.reporting.run_folders import Problem, Run


def flat_table(groups: Sequence[Group], problems: Sequence[Problem]) -> str:
    """CSV with one row a run; a run without a number has its reason in `problem`."""
    rows = [_csv_row(group, run) for group in groups for run in group.runs]
    rows += [
        {"folder": p.folder.as_posix(), "status": "without a number", "problem": p.what} for p in problems
    ]
    return sheet.csv_text(rows)


def _csv_row(group: Group, run: Run) -> dict[str, Any]:
    r, facts = run.result, run.result.benchmark
    subjects = r.by_subject.get("test", {})
    return {
        "folder": run.label(),
        "status": r.status,
        "problem": "",
        "group": f"{group.label} [{group.identity}]",
        **{
            name: getattr(r, name)
            for name in ("name", "experiment", "data", "model", "encoder", "task", "adapt", "seed")
        },
        "protocol": facts.protocol,
        "fingerprint": facts.fingerprint,
        "content": facts.content,
        **{
            name: getattr(facts, name)
            for name in ("complete", "simulated", "imported", "within_subject", "published_steps")
        },
        "subjects_used": n_subjects(r),
        "subjects_total": facts.subjects_total,
        "test_subjects": len(subjects),
        "test_windows": sum(row["n_windows"] for row in subjects.values()),
        **{
            f"{split}_{metric}": "" if math.isnan(value) else repr(value)
            for split, values in sorted(r.metrics.items())
            for metric, value in values.items()
        },
        **{
            f"group_{metric}_{end}": repr(value)
            for metric, ends in group.intervals.items()
            for end, value in zip(("low", "high"), ends, strict=True)
        },
        **_spatial_columns(r.spatial),
        **{
            f"diagnostics_{name}_{metric}": value
            for name, numbers in r.diagnostics.items()
            for metric, value in numbers.items()
        },
        "monitor": r.monitor,
        "monitor_value": r.monitor_value,
        "best_epoch": r.best_epoch,
        "parameters_trainable": r.parameters["trainable"],
        "parameters_total": r.parameters["total"],
        "flops": "" if r.flops is None else r.flops,
        "wall_s": r.wall_s,
        **{f"peak_memory_mb_{name}": value for name, value in r.peak_memory_mb.items()},
        "device": r.device,
        "weights": r.started_from.get("weights", ""),
        "git_commit": r.git.get("commit"),
        "git_dirty": r.git.get("dirty"),
        "finished_at": r.finished_at,
        "remarks": "; ".join([*marks(group), *remarks(group)]),
    }


def _spatial_columns(spatial: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Columns such as "spatial_synthetic_end_second", "spatial_synthetic_end_rank_correlation_gradient".

    Empty for a model without a spatial matrix.
    """
    columns: dict[str, Any] = {}
    for corpus, matrix in spatial.items():
        for when in ("start", "end"):
            for name in ("second", "effective_rank"):
                if when in matrix:
                    columns[f"spatial_{corpus}_{when}_{name}"] = matrix[when][name]
            for kind in ("rank_correlation", "correlation"):
                for name, value in matrix.get(when, {}).get(kind, {}).items():
                    columns[f"spatial_{corpus}_{when}_{kind}_{name}"] = value
    return columns

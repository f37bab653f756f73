"""`eegfm.evaluate`, `eegfm.datasets` and `eegfm.windows`: from Python what the commands do, and nothing else.

`evaluate` composes the config that the same words on a command line would give, so its run folders are those of
`eegfm train`: a run that is there already is not trained again.
"""

import copy
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import get_object
from jaxtyping import Float, Int
from omegaconf import DictConfig, OmegaConf, open_dict
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import Dataset

from eegfm.build import build, build_data
from eegfm.config.corpora import one_corpus
from eegfm.config.doors import settings_for_hydra
from eegfm.config.identity import named
from eegfm.config.mistakes import mistake
from eegfm.config.own import found_here, searchpath
from eegfm.config.refusals import refuse
from eegfm.config.schema import config_dir, register
from eegfm.contracts import EegfmError, SampleSpec
from eegfm.runs.intervals import intervals
from eegfm.runs.predictions import OF_TEST, read_predictions
from eegfm.runs.reservations import reservations_of
from eegfm.runs.results import SUBJECT_FACTS, read_result
from eegfm.support.words import some
from eegfm.tasks.weights import sum_of_tensors
from eegfm.training.described import is_estimator, node_of, path_of, refuse_edited
from eegfm.training.opened import opened
from eegfm.training.run import train

How = Literal["scratch", "finetune", "probe"]
SEEDS = (654, 114, 25, 759, 281)  # STAMP's


def evaluate(
    model: Any,
    data: str,
    how: How = "scratch",
    *,
    seeds: int | Sequence[int] = 1,
    args: Mapping[str, Any] | None = None,
    weights: str | Path | None = None,
    name: str | None = None,
    settings: Sequence[str] = (),
) -> Any:
    """Train and test a model once a seed, and give a table; see `eegfm.evaluate`."""
    if how not in get_args(How):
        raise EegfmError(f"how={how!r}: one of these is wanted: {', '.join(get_args(How))}.")
    option, node = _model(model, args)
    typed = [f"model={option}", f"data={data}"]
    if option == "sklearn":
        if how != "scratch" or weights is not None:
            raise EegfmError(
                f"how={how!r}: an estimator of scikit-learn is fitted anew; leave how and weights out."
            )
    elif how == "probe" or option == "mine" or weights is not None:
        typed.append(f"task={'probe' if how == 'probe' else 'classify'}")
    folders = []
    for seed in _seeds(seeds):
        config = composed("train", [*typed, f"seed={seed}", *settings], node)
        if isinstance(model, nn.Module):
            _refuse_another(model, config)
            if how != "scratch" and weights is None:
                weights = _kept(model, config)
        if weights is None and how == "finetune":
            raise EegfmError(
                "how='finetune' begins with weights: pass a module that has them, or weights=<run or file>."
            )
        if weights is not None:
            config = composed("train", [*typed, f"seed={seed}", f"weights={weights}", *settings], node)
        folders.append(_trained(config, name))
    return _table(folders)


def _seeds(seeds: int | Sequence[int]) -> Sequence[int]:
    if not isinstance(seeds, int):
        return list(seeds)
    if not 1 <= seeds <= len(SEEDS):
        raise EegfmError(f"seeds={seeds}: a number from 1 to {len(SEEDS)}, or the seeds: seeds=[1, 2, 3].")
    return SEEDS[:seeds]


def _model(model: Any, args: Mapping[str, Any] | None) -> tuple[str, dict[str, Any]]:
    """The option of a model, and what its node in the config says beside the option's file."""
    if isinstance(model, str) and "." not in model:
        return model, dict(args or {})
    if is_estimator(model):
        node = node_of(model)
        return "sklearn", {"path": node.pop("_target_"), "args": {**node, **(args or {})}}
    if isinstance(model, nn.Module):
        refuse_edited(type(model))
        return "mine", {"path": path_of(type(model)), "args": dict(args or {})}
    path = model if isinstance(model, str) else path_of(model)
    if not isinstance(model, str):
        refuse_edited(model)
    return "sklearn" if _makes_estimator(path) else "mine", {"path": path, "args": dict(args or {})}


def _makes_estimator(path: str) -> bool:
    """Whether a path stands for scikit-learn: a class says so, a function by what it gives without arguments."""
    try:
        found = get_object(path)
    except ImportError as error:
        raise EegfmError(f"{path} cannot be imported: {error}") from error
    if isinstance(found, type):
        return not issubclass(found, nn.Module)
    wants = (
        [one for one in inspect.signature(found).parameters.values() if one.default is one.empty]
        if callable(found)
        else []
    )
    return not wants and not isinstance(found() if callable(found) else found, nn.Module)


def _trained(config: DictConfig, name: str | None) -> Path:
    """The folder of the finished run of a composed config."""
    hydra = OmegaConf.masked_copy(config, "hydra")
    with open_dict(config):
        config.pop("hydra")
    choices = {str(key): value for key, value in hydra.hydra.runtime.choices.items()}
    if name is not None:
        choices["model"] = name
    folder = Path(config.paths.runs) / named(config, choices)
    refuse(config, hydra.hydra, folder)
    folder.mkdir(parents=True, exist_ok=True)
    with opened(folder, config, hydra):
        train(config, folder, choices)
    return folder


def _kept(module: nn.Module, config: DictConfig) -> Path:
    """The file of a module's weights; it is made once, named by what it holds."""
    state = {key: value.detach().cpu().contiguous().clone() for key, value in module.state_dict().items()}
    name = f"{type(module).__name__}-{sum_of_tensors(state, {})[:8]}.safetensors"
    file = Path(config.paths.runs) / "weights" / name
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(state, file)
    return file


def _refuse_another(module: nn.Module, config: DictConfig) -> None:
    """Raise EegfmError if the class and the arguments of a config do not make this module again."""
    with torch.random.fork_rng(devices=[]):
        run = build(config, None)
    backbone, spec = run.task.backbone, run.data.spec
    state = module.state_dict()
    ours = backbone.from_published(state)[0]
    again = backbone.state_dict()
    other = [
        key
        for key in {**ours, **again}
        if getattr(ours.get(key), "shape", 0) != getattr(again.get(key), "shape", 1)
    ]
    layers = {key: repr(one) for key, one in backbone.network.named_modules() if not any(one.children())}
    theirs = {key: repr(one) for key, one in module.named_modules() if not any(one.children())}
    other += [key for key, said in layers.items() if key != backbone.last and theirs.get(key) != said]
    if not other and not _alike(module, backbone, ours, spec):
        other = ["its output"]
    if other:
        raise EegfmError(
            f"{type(module).__name__}, made again by its class, is not this module: {some(other, 3)} differ. Pass the "
            "arguments that it was made with: args={...}"
        )


def _alike(module: nn.Module, backbone: Any, state: Mapping[str, Tensor], spec: SampleSpec) -> bool:
    """Whether the module gives its last layer what the backbone embeds, with the same weights."""
    backbone.load_state_dict(state)
    x = 20 * torch.randn(2, *spec.shape, generator=torch.Generator().manual_seed(0))
    coords = torch.tensor(spec.montage.coords, dtype=torch.float32)
    mine = copy.deepcopy(module).cpu().eval()
    given: list[Tensor] = []
    if backbone.last:
        mine.get_submodule(backbone.last).register_forward_pre_hook(
            lambda _, inputs: given.append(inputs[0])
        )
    with torch.no_grad():
        whole = copy.deepcopy(backbone)
        whole.network = mine
        out = whole.embed(x, coords)
        return torch.allclose((given[0] if given else out).flatten(1), backbone.eval().embed(x, coords))


# ---- the table -------------------------------------------------------------------------------------------------------


class Table(list[dict[str, Any]]):
    """Rows of scores where pandas is not installed: a dict each. `attrs` as of a data frame."""

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        super().__init__(rows)
        self.attrs: dict[str, Any] = {}

    def __str__(self) -> str:
        columns = list(self[0])
        cells = [columns, *([_short(row[name]) for name in columns] for row in self)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
        return "\n".join(
            "  ".join(f"{text:>{w}}" for text, w in zip(row, widths, strict=True)) for row in cells
        )

    __repr__ = __str__


def _short(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _table(folders: Sequence[Path]) -> Any:
    """The test scores of the runs of one experiment: their means over seeds, a row for all and one for each subject."""
    results = [read_result(folder) for folder in folders]
    found = intervals([read_predictions(folder / OF_TEST) for folder in folders])
    first = results[0].by_subject["test"]
    rows = [
        {"subject": "all", "windows": sum(one["n_windows"] for one in first.values())}
        | _scores([one.metrics["test"] for one in results], found)
    ]
    for subject, facts in first.items():
        of_seeds = [one.by_subject["test"][subject] for one in results]
        scores = [{k: v for k, v in one.items() if k not in SUBJECT_FACTS} for one in of_seeds]
        rows.append({"subject": subject, "windows": facts["n_windows"]} | _scores(scores, {}))
    try:
        import pandas

        table: Any = pandas.DataFrame(rows, columns=list(rows[0])).set_index("subject")
    except ImportError:
        table = Table([{key: row.get(key, float("nan")) for key in rows[0]} for row in rows])
    table.attrs |= {
        "runs": [str(folder) for folder in folders],
        "reservations": sorted({one.sentence for result in results for one in reservations_of(result)}),
    }
    return table


def _scores(
    of_seeds: Sequence[Mapping[str, float]], found: Mapping[str, tuple[float, float]]
) -> dict[str, float]:
    """Of each metric the mean, the population standard deviation over seeds, and the ends of the 95 % interval."""
    row = {}
    for metric in of_seeds[0]:
        values = np.array([one[metric] for one in of_seeds], dtype=np.float64)
        low, high = found.get(metric, (float("nan"), float("nan")))
        row |= {metric: float(values.mean()), f"{metric}_sd": float(values.std())}
        row |= {f"{metric}_low": low, f"{metric}_high": high}
    return row


# ---- data ------------------------------------------------------------------------------------------------------------


class Windows(Dataset[tuple[Tensor, int]]):
    """A split of a prepared store: item n is (x [channel, time] in microvolts, class as a number), in stored order.

    `subjects` and `keys` name every window's person and the window ("Subject05_2/35.0s"); `labels` are the classes.
    A `torch.utils.data.DataLoader` reads a batch at once.
    """

    def __init__(self, rows: Any, subjects: Sequence[str], spec: SampleSpec) -> None:
        self.rows, self.spec = rows, spec
        self.labels: Int[np.ndarray, " window"] = rows.labels
        self.subjects = [subjects[i] for i in rows.subject[rows.rows]]
        self.keys = [rows.store.index.key(row) for row in rows.rows.tolist()]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        if not -len(self) <= place < len(self):
            raise IndexError(f"{place}: there are {len(self)} windows.")
        return self.__getitems__([place])[0]

    def __getitems__(self, places: Sequence[int]) -> list[tuple[Tensor, int]]:
        batch = self.rows.__getitems__(places)
        return list(zip(batch.x, batch.label.tolist(), strict=True))


class Splits(NamedTuple):
    """The splits of a benchmark."""

    train: Windows
    val: Windows
    test: Windows


def datasets(data: str, *, settings: Sequence[str] = ()) -> Splits:
    """The splits of a data set; see `eegfm.datasets`."""
    found = _data(data, settings)
    return Splits(
        *(Windows(found.dataset(split), found.subjects, found.spec) for split in ("train", "val", "test"))
    )


def windows(
    data: str, split: str = "train", *, settings: Sequence[str] = ()
) -> tuple[Float[np.ndarray, "window channel *time"], Int[np.ndarray, " window"], np.ndarray]:
    """A split as arrays; see `eegfm.windows`."""
    if split not in Splits._fields:
        raise EegfmError(
            f"split={split!r} is not a split. One of these is wanted: {', '.join(Splits._fields)}."
        )
    found = _data(data, settings)
    x, y = found.arrays(split)
    rows = found.dataset(split)
    return x, y, np.array(found.subjects)[rows.subject[rows.rows]]


def _data(data: str, settings: Sequence[str]) -> Any:
    """The opened data module, its store prepared if it is missing."""
    config = composed("train", [f"data={data}", "model=majority", *settings])
    one_corpus(config, "datasets and windows")
    found: Any = build_data(config)
    found.prepare_data()
    found.enter("test")
    return found


def composed(config_name: str, typed: Sequence[str], model: Mapping[str, Any] | None = None) -> DictConfig:
    """The config of a command with these settings, Hydra's node within it; `model` goes into its node of that name.

    Raises EegfmError for a mistake in the settings, with what is near.
    """
    own = found_here()
    more = searchpath(own)
    register(own)
    settings = settings_for_hydra(typed, config_name)
    try:
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            config = compose(config_name, [*more, *settings.values()], return_hydra_config=True)
    except Exception as error:
        said = mistake(error, config_name, settings, more)
        if not said:
            raise
        raise EegfmError(said) from error
    with open_dict(config):
        for key, value in (model or {}).items():
            OmegaConf.update(config, f"model.{key}", value, merge=False)
    return config

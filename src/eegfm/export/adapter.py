"""A run's adapters by themselves: peft's two files, and what else a training has changed.

They are small and go onto a backbone that others have, where a merged model brings the backbone along. peft puts them
on by itself (`PeftModel.from_pretrained(backbone, folder)`); `eegfm.load(folder, weights=<backbone>)` gives the whole
model.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from eegfm.build import trained
from eegfm.config.written import on_this_machine
from eegfm.contracts import EegfmError
from eegfm.export.described import CONFIG
from eegfm.export.model import Portable, filled, read_config
from eegfm.nn.adapters import PEFT_CONFIG, PEFT_WEIGHTS, put_back, take_out, tensors_of, write_config
from eegfm.runs.place import Place
from eegfm.runs.results import read_result
from eegfm.support.files import refuse_links
from eegfm.support.summed import with_sum
from eegfm.tasks.weights import load_backbone, read_safetensors, save_tensors, sum_of_tensors

REST = "rest.safetensors"  # the head, and statistics of the backbone that have followed the data
FILES = (CONFIG, PEFT_CONFIG, PEFT_WEIGHTS, REST)
BACKBONE = "backbone_sha256"  # a key of config.json: the sum of the backbone that the adapters belong to


def write(place: Place, model: Portable, folder: Path) -> None:
    """Write the adapters of a run; `model` is the run's, with the adapters merged.

    Raises:
        EegfmError: the run has none that stand beside its backbone, or its backbone began from random weights.
    """
    run = place.config
    if (run.task.get("adapters") or {}).get("kind") in (None, "bitfit"):
        raise EegfmError(
            f"{place} has no adapters beside its backbone, as adapt=lora, dora and ia3 have. Leave --adapter out."
        )
    start = read_result(place.path).started_from
    if not start:
        raise EegfmError(
            "the backbone began from random weights (weights=null), which nobody else has. Leave --adapter out: the "
            "exported model is whole."
        )
    task = trained(run, place).task
    base = Portable(model.config, trust=place.trust).backbone
    load_backbone(base, Place.of(on_this_machine(start["weights"])).checkpoint)
    began = base.state_dict()
    now = {key.replace(".base_layer.", "."): one for key, one in task.backbone.state_dict().items()}
    rest = {f"backbone.{key}": now[key] for key, one in began.items() if not torch.equal(now[key], one)}
    rest |= {key: one for key, one in model.state_dict().items() if not key.startswith("backbone.")}
    refuse_links(folder, *(folder / name for name in FILES))
    folder.mkdir(parents=True, exist_ok=True)
    config = {**model.config, BACKBONE: sum_of_tensors(began, {})}
    text = json.dumps(with_sum(config), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
    write_config(task.backbone, folder)
    for name, tensors in ((PEFT_WEIGHTS, tensors_of(task.backbone)), (REST, rest)):
        save_tensors(tensors, folder / name, {})
        # safetensors makes a file that only its owner may read
        (folder / name).chmod((folder / CONFIG).stat().st_mode)


def read(folder: Path, weights: str | Path | None, trust: Sequence[str] = ()) -> Portable:
    """The whole model: the backbone of `weights`, with the adapters of a folder merged into it.

    Raises:
        EegfmError: no weights are named, they are not those that the adapters were trained on, or a file is damaged.
    """
    if weights is None:
        raise EegfmError(
            f"{folder} holds adapters alone. Name what they were trained on: "
            f'eegfm.load("{folder}", weights="<run, exported folder or file>")'
        )
    config = read_config(folder)
    model = Portable(config, trust=trust)
    load_backbone(model.backbone, Place.of(weights).checkpoint)
    if sum_of_tensors(model.backbone.state_dict(), {}) != config.get(BACKBONE):
        raise EegfmError(
            f"{weights} holds another backbone than the one that the adapters of {folder} were trained on. Name the "
            "weights that their run began with."
        )
    read_safetensors(folder / PEFT_WEIGHTS)  # refuses a damaged file
    put_back(model.backbone, folder)
    take_out(model.backbone)
    rest = read_safetensors(folder / REST)[0]
    return filled(model, {**model.state_dict(), **rest}, str(folder))


def remove(folder: Path) -> None:
    """Remove what `write` has written, of an earlier export."""
    for name in FILES:
        (folder / name).unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()

"""A run with adapters: exported apart, put onto its backbone again, and streamed."""

import csv
import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file

import eegfm
from eegfm.benchmarks.synthetic import CHANNELS
from eegfm.build import build
from eegfm.commands.export import export
from eegfm.commands.work.stream import stream
from eegfm.contracts import EegfmError
from eegfm.export.model import Portable
from eegfm.nn.head import class_probabilities
from eegfm.nn.scaling import UNIT
from eegfm.runs.results import write_result
from eegfm.signal.formats.edf import read_edf
from eegfm.tasks.weights import load_backbone
from tests.composed import composed
from tests.made_run import make_run
from tests.nn.tokens import randn, seeded
from tests.stream_runs import SMALL, write_recording

absent = [name for name in ("peft",) if importlib.util.find_spec(name) is None]
# importing peft takes seconds
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(absent), reason=f"not installed: {absent}")]

COMMON = ("model=eegm2", "data=synthetic", "model.causal=true", *SMALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """`base.safetensors`, a backbone, and `other.safetensors`, another."""
    place = tmp_path_factory.mktemp("adapters")
    for seed, name in enumerate(("base", "other")):
        with seeded(seed):
            state = build(composed(*COMMON, "task=classify"), None).task.backbone.state_dict()
        for key in (one for one in state if one.endswith(UNIT)):
            state[key].fill_(100.0)  # a training would have fitted it
        save_file({f"backbone.{key}": one for key, one in state.items()}, place / f"{name}.safetensors")
    return place


def adapted(place: Path, kind: str, weights: Path | None):
    """The task of a run with adapters, as training leaves it in `place/<kind>`, and that folder."""
    folder = place / f"{kind}{'' if weights else '-random'}"
    config = composed(*COMMON, f"adapt={kind}", f"weights={weights}" if weights else "weights=null")
    task = build(config, weights).task.eval()
    for key, one in task.state_dict().items():
        if key.endswith(UNIT):
            one.fill_(100.0)
    with seeded(3), torch.no_grad():
        for one in task.parameters():
            if one.requires_grad:
                one += 0.05 * torch.randn_like(one)
        still = next(one for key, one in task.backbone.named_parameters() if not one.requires_grad)
        still += 0.01  # as a batch norm that follows the data
    result = make_run(folder, 1)
    write_result(
        folder, replace(result, started_from={"weights": str(weights), "left_out": []} if weights else {})
    )
    text = OmegaConf.to_yaml(
        OmegaConf.create(OmegaConf.to_container(config, resolve=True, enum_to_str=True))
    )
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    (folder / "checkpoints").mkdir()
    torch.save({"state_dict": task.state_dict(), "config": text}, folder / "checkpoints" / "best.ckpt")
    return task, folder


@pytest.mark.parametrize(
    "kind", ["lora", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("dora", "ia3"))]
)
def test_adapters_apart_go_onto_their_backbone_again(place, kind, tmp_path):
    from peft import PeftModel

    base = place / "base.safetensors"
    task, run = adapted(tmp_path, kind, base)
    out, apart = tmp_path / "out", tmp_path / "out" / "adapter"
    export(run, out, adapter=True)
    assert {one.name for one in apart.iterdir()} == {
        "config.json", "adapter_config.json", "adapter_model.safetensors", "rest.safetensors",
    }  # fmt: skip
    assert (
        str(tmp_path)
        not in (apart / "config.json").read_text() + (apart / "adapter_config.json").read_text()
    )
    assert (apart / "adapter_model.safetensors").stat().st_size < base.stat().st_size
    merged, model = eegfm.load(out), eegfm.load(apart, weights=base)
    x, coords = 20 * randn(4, *model.spec.shape, seed=1), model.coords
    with torch.no_grad():
        wanted = task(x, coords)
        torch.testing.assert_close(model.logits(x), wanted, rtol=1e-5, atol=1e-5)
        again = model.state_dict()
        assert all(torch.equal(one, again[key]) for key, one in merged.state_dict().items())
        # peft alone, with a module of the backbone
        bare = Portable(json.loads((apart / "config.json").read_text()))
        load_backbone(bare.backbone, base)
        before = bare.logits(x)
        PeftModel.from_pretrained(bare.backbone, str(apart))
        bare.load_state_dict(load_file(apart / "rest.safetensors"), strict=False)
        torch.testing.assert_close(bare.eval().logits(x), wanted, rtol=1e-6, atol=1e-7)
        assert not torch.allclose(before, wanted, atol=1e-4)
    with pytest.raises(EegfmError, match="holds adapters alone"):
        eegfm.load(apart)
    with pytest.raises(EegfmError, match="another backbone than the one that the adapters"):
        eegfm.load(apart, weights=place / "other.safetensors")
    with pytest.raises(EegfmError, match="is for a folder of adapters alone"):
        eegfm.load(out, weights=base)
    export(run, out)
    assert not apart.exists()


def test_adapters_that_do_not_stand_apart_are_refused_after_the_rest(place, tmp_path):
    for kind, weights, why in (
        ("bitfit", place / "base.safetensors", "has no adapters beside its backbone"),
        ("lora", None, "the backbone began from random weights"),
    ):
        _, run = adapted(tmp_path, kind, weights)
        with pytest.raises(EegfmError, match=f"no adapter/: .*{why}"):
            export(run, tmp_path / f"out-{kind}", adapter=True)
        assert (tmp_path / f"out-{kind}" / "model.safetensors").is_file()


@pytest.mark.parametrize("kind", ["lora", pytest.param("ia3", marks=pytest.mark.long)])
def test_a_run_with_adapters_streams(place, kind, tmp_path):
    """What it says of a recording is what its task says of the windows."""
    task, run = adapted(tmp_path, kind, place / "base.safetensors")
    file = write_recording(tmp_path / "night.edf", [f"EEG {name}-REF" for name in CHANNELS], 200, 24)
    typed = (f"run={run}", f"file={file}", f"out={tmp_path / 'out'}", "hop_s=4", "steps=none", "device=cpu")
    stream(composed(*typed, door="stream"))
    with open(tmp_path / "out" / "probabilities.csv", newline="") as text:
        rows = list(csv.DictReader(text))
    data = read_edf(file, channels={f"EEG {name}-REF": name for name in CHANNELS}).data.astype(np.float32)
    windows = torch.from_numpy(data).reshape(len(CHANNELS), -1, 800).transpose(0, 1)
    with torch.no_grad():
        wanted = class_probabilities(task(windows, eegfm.load(run).coords))[:, 1].numpy()
    assert len(rows) == len(wanted) == 6
    np.testing.assert_allclose([float(row["p(right)"]) for row in rows], wanted, atol=1e-4)

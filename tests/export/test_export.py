"""Models taken elsewhere: a folder gives back what went in, nothing else is made from it, and its card is true."""

import functools
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard, constants

import eegfm
from eegfm.build import build
from eegfm.commands.export import _programs
from eegfm.commands.export import main as door
from eegfm.contracts import EegfmError, SampleSpec
from eegfm.export import described as export_described
from eegfm.export import fitted as export_fitted
from eegfm.export import from_run, hub, programs
from eegfm.export import model as export_model
from eegfm.export.model import Portable
from eegfm.models.bandpower import BandPower
from eegfm.models.majority import Majority
from eegfm.models.stamp import InputNorm
from eegfm.runs.intervals import intervals
from eegfm.runs.place import Place
from eegfm.runs.predictions import read_predictions
from eegfm.runs.results import read_result
from eegfm.support.files import sha256_of
from eegfm.support.summed import with_sum, without_sum
from eegfm.tasks import heads, stream
from eegfm.tasks.estimate import Estimate
from eegfm.tasks.metrics import probabilities
from eegfm.tasks.probe import Probe
from eegfm.tasks.weights import read_state
from tests.contract.test_backbones import CASES, N_CHANNELS, model_config, spec_of
from tests.fake_hub import COMMIT, fake_hub
from tests.nn.tokens import randn, seeded
from tests.stream_runs import untrained_run

# every option of conf/model, as small as it goes
TINY = {
    "stamp": {"width": 8, "depth": 1, "ff_width": 12, "n_heads": 2, "n_queries": 3},
    "eegm2": {"width_scale": 8, "d_state": 4},
    "samba": {"width_scale": 8, "d_state": 4},
    "cbramod": {"depth": 1},
    "csp_lda": {"filters": [2, 4]},
}
for_each_model = pytest.mark.parametrize(("name", "kind"), CASES)


def config(name: str, kind: str = "raw", *, task: str = "classify", scale=50.0, **more) -> dict:
    """The config of an exported model with that option."""
    node = model_config(name)
    for key, value in TINY.get(name, {}).items():
        node[key] = value
    return {
        "format": export_described.FORMAT,
        "schema": export_described.SCHEMA,
        "kind": task,
        "input": export_described.spec_json(spec_of(kind)),
        "scale": scale,
        "encoder": None,
        "backbone": from_run._described(node),
        "head": {"hidden": [], "activation": "elu", "dropout": 0.0} if task == "classify" else None,
        "encoder_left_out": "",
        "steps": {},
        **more,
    }


def drawn(name: str, kind: str = "raw", seed: int = 0, **more) -> Portable:
    with seeded(seed):
        return Portable(config(name, kind, **more))


def windows(model: Portable, n: int = 3, seed: int = 0) -> torch.Tensor:
    return 20 * randn(n, *model.spec.shape, seed=seed)


def over_spectrum() -> dict:
    """STAMP on windows, with the encoder in front of it."""
    encoder = {
        "class": "eegfm.encoders.spectrum.Spectrum",
        "arguments": {"tapers": 3, "high_hz": 12, "input_norm": "none"},
    }
    return config("stamp", encoder=encoder, scale=None)


# --- a folder


@for_each_model
def test_a_folder_gives_back_the_module_to_the_bit(name, kind, tmp_path):
    """Its weights are not those that the same config draws, and nothing in it is but plain values and tensors."""
    model = drawn(name, kind, seed=1)
    export_model.write(model, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    again = eegfm.load(tmp_path)
    assert not again.training
    x = windows(model)
    assert torch.equal(again(x), model(x)) and torch.equal(again.embed(x), model.embed(x))
    assert not torch.equal(again(x), drawn(name, kind, seed=2)(x))
    assert again.spec.montage.names == spec_of(kind).montage.names
    torch.testing.assert_close(again(x).sum(1), torch.ones(3))


def test_a_montage_comes_back_with_its_holes_and_both_ends():
    spec = spec_of("raw")
    coords, ends = spec.montage.coords.copy(), np.full((N_CHANNELS, 2, 3), 0.05)
    coords[2], ends[1, 0] = np.nan, np.nan
    spec = SampleSpec(
        type(spec.montage)(spec.montage.names, coords, ends), spec.shape, 128.0, (), ("a",), ()
    )
    again = export_described.spec_of(
        json.loads(json.dumps(export_described.spec_json(spec), allow_nan=False))
    )
    np.testing.assert_array_equal(again.montage.coords, coords)
    np.testing.assert_array_equal(again.montage.ends, ends)
    assert (again.shape, again.sfreq, again.classes, again.corpora) == (spec.shape, 128.0, (), ("a",))


@pytest.mark.parametrize(
    "node",
    [
        {"class": "os.system", "arguments": {"command": "true"}},
        {"class": "torch.nn.Linear", "arguments": {}},
        {"class": "eegfm.train.main", "arguments": {}},
        {"class": "eegfm.models.stamp.SampleSpec", "arguments": {}},  # what a module imports is not its own
        {"class": "eegfm.models.stamp.Nothing", "arguments": {}},
        {"class": "eegfm.models.nothing.Stamp", "arguments": {}},
        {
            "class": "eegfm.models.stamp.Stamp",
            "arguments": {"a": [{"class": "os.system", "arguments": {}}]},
        },
        {"class": "eegfm.encoders.ttm.Ttm", "arguments": {"weights": "/etc"}},
    ],
)
def test_a_config_makes_our_models_and_encoders_and_nothing_else(node):
    with pytest.raises(EegfmError, match=r"not a model or encoder|does not have|tells an encoder to read"):
        export_described.made(node)


def test_what_is_not_a_whole_export_is_refused_with_a_sentence(tmp_path):
    model = drawn("cbramod", seed=1)
    export_model.write(model, tmp_path)
    good = json.loads((tmp_path / "config.json").read_text())
    plain = without_sum(good, tmp_path / "config.json")
    for broken, sentence in (
        ("{", "damaged"),
        ("[]", "was not written by eegfm export"),
        (json.dumps({**good, "scale": 2}), "not those of its sha256"),
        (json.dumps(with_sum({**plain, "format": "x"})), "was not written by eegfm export"),
        (json.dumps({**plain, "schema": 99}), "schema 99"),
        (json.dumps({k: v for k, v in plain.items() if k != "scale"}), "damaged.*scale"),
        (json.dumps(config("eegm2")), "does not hold the weights"),
    ):
        (tmp_path / "config.json").write_text(broken)
        with pytest.raises(EegfmError, match=sentence):
            eegfm.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(good))
    (tmp_path / "model.safetensors").write_bytes(b"12345678")
    with pytest.raises(EegfmError, match="damaged"):
        eegfm.load(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(EegfmError, match=r"no model\.safetensors"):
        eegfm.load(tmp_path)
    for nowhere in (tmp_path / "nowhere", tmp_path.parent):
        with pytest.raises(EegfmError, match="No model at"):
            eegfm.load(nowhere)
    with pytest.raises(EegfmError, match="revision=main needs a model on the hub"):
        eegfm.load(tmp_path, revision="main")


# --- what goes in


def test_inputs_that_are_none_are_told_in_words():
    model = drawn("eegm2")
    x = windows(model)
    with pytest.raises(
        EegfmError, match=r"The model takes \[batch, channel, time\]: 6 channels .* microvolts"
    ):
        model(x[0])
    with pytest.raises(EegfmError, match="4 channels, and their places have the shape"):
        model(x[:, :4])
    with pytest.warns(UserWarning, match="looks like volts"):
        model(x * 1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(model(x.double().numpy()), model(x))


def test_a_model_that_reads_places_takes_another_montage():
    """Fewer channels by their places are the same as all of them with the others at no place."""
    model = drawn("samba", task="reconstruct")
    x = windows(model)
    some = model.coords.clone()
    some[4:] = torch.nan
    torch.testing.assert_close(
        model(x[:, :4], model.coords[:4]), model(x, some)[:, :4], rtol=1e-4, atol=1e-3
    )


def test_windows_go_through_the_encoder_as_its_store_has_them():
    from eegfm.encoders.spectrum import Spectrum

    with seeded(0):
        model = Portable(over_spectrum())
    x = windows(model)
    encoder = Spectrum(tapers=3, high_hz=12, input_norm="none")
    wanted = stream.embedded(encoder, x)
    assert model.encoder is not None
    assert torch.equal(model.encoder(x), wanted)
    torch.testing.assert_close(model.embed(x), model.backbone.embed(wanted, model.coords))
    with pytest.raises(EegfmError, match="whole seconds of 200 samples"):
        model(x[..., :390])


def test_a_forecast_looks_at_no_future_and_is_the_tasks():
    from eegfm.tasks.forecast import Forecast

    for head in (None, "convolution", "mamba"):
        more = {"ratio": 0.25, "head": None if head is None else {"name": head}}
        model = drawn("eegm2", task="forecast", scale="quantile", **more)
        loss = {"optimizer": torch.optim.AdamW, "loss": {"l1": 1.0}}
        task = Forecast(
            model.backbone, model.spec, ratio=0.25, head=head, scale="quantile", seed=0, **loss
        ).eval()
        task.load_state_dict(model.state_dict(), strict=False)
        x, other = windows(model), windows(model)
        other[..., 300:] = 1000
        torch.testing.assert_close(model(x), task(x, model.coords))
        assert torch.equal(model(x), model(other)) and model(x).shape == (3, N_CHANNELS, 100)


# --- fitted in one go


@pytest.mark.parametrize("head", ["logistic", "ridge", "mlp"])
@pytest.mark.parametrize("classes", [(0, 1), (0, 1, 2), (0, 2)])
def test_a_fitted_head_is_scikit_learns_to_rounding(head, classes):
    """Also where the training windows were of two of three classes."""
    random = np.random.default_rng(0)
    label = np.resize(classes, 60)
    x = random.normal(size=(60, 5)) * [1, 10, 0.1, 3, 1] + 0.4 * label[:, None]
    n_classes = 2 if classes == (0, 1) else 3
    if head == "mlp" and classes == (0, 2):
        return  # its network has an output a class, whichever it has met
    fitted = heads.HEADS[head](n_classes, balanced=True, seed=0)
    fitted.fit(x, label, x, label)
    node, arrays = from_run._head(fitted, n_classes)
    module = export_fitted.FittedHead(n_classes=n_classes, **json.loads(json.dumps(node)))
    module.load_state_dict({k: torch.as_tensor(v, dtype=torch.float64) for k, v in arrays.items()})
    found = module.eval()(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(found, fitted.probabilities(x), rtol=1e-4, atol=1e-6)


def test_nearest_neighbours_would_be_other_peoples_windows():
    fitted = heads.Neighbours(2, seed=0)
    x, label = np.random.default_rng(0).normal(size=(40, 3)), np.resize((0, 1), 40)
    fitted.fit(x, label, x, label)
    with pytest.raises(EegfmError, match="consists of the training windows"):
        from_run._head(fitted, 2)


def classical(name: str, spec: SampleSpec):
    """The model as conf/model has it, and those settings."""
    described = config(name)["backbone"]
    return described, export_described.made(described)(spec)


@pytest.mark.parametrize("pooling", ["statistics", "logcov"])
def test_a_probe_predicts_from_its_folder_by_its_own_pooling(pooling):
    """One of before there was another says nothing of it, and takes statistics."""
    x, label = windows(drawn("eegm2"), 12), np.resize((0, 1, 2), 12)
    described = config("eegm2")["backbone"]
    with seeded(0):
        backbone = export_described.made(described)(spec_of("raw"))
    task = Probe(backbone, spec_of("raw"), layer="pool3", pooling=pooling, scale=50.0, seed=0)
    features = task.features(x, drawn("eegm2").coords).numpy()
    task.head.fit(features, label, features, label)
    more, state = from_run._fitted("probe", task, 3)
    if pooling == "statistics":
        del more["pooling"]
    made = Portable({**config("eegm2", task="probe"), "backbone": described, **more})
    found = export_model.filled(made, state, "here")(x)
    torch.testing.assert_close(
        found.double(), torch.from_numpy(task.head.probabilities(features)), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("name", ["majority", "bandpower", "csp_lda", "tangent"])
def test_a_classical_model_predicts_from_its_folder_as_it_did(name, tmp_path):
    if name in ("csp_lda", "tangent"):
        pytest.importorskip("pyriemann")
    spec = spec_of("raw")
    x, label = windows(drawn("eegm2"), 30).numpy(), np.resize((0, 2), 30)  # a class is absent
    x[label == 2, 1] *= 3
    described, model = classical(name, spec)
    model.fit(x, label, x, label)
    more, state = from_run._fitted("estimate", Estimate(model, spec), 3)
    made = Portable({**config("eegm2", task="estimate", scale=None), "backbone": described, **more})
    export_model.write(export_model.filled(made, state, "here"), tmp_path)
    again = eegfm.load(tmp_path)
    with torch.no_grad():
        np.testing.assert_allclose(again(torch.from_numpy(x)).numpy(), model.probabilities(x), atol=1e-6)
    with pytest.raises(EegfmError, match="gives no vector for a window"):
        again.embed(torch.from_numpy(x))
    assert isinstance(model, BandPower | Majority) or state["backbone." + next(iter(more["fitted"]))].any()


def test_what_is_no_program_is_said_and_the_rest_stands(tmp_path):
    """A classical model computes outside of torch; ONNX wants packages of its own."""
    described, _ = classical("majority", spec_of("raw"))
    made = config("eegm2", task="estimate", scale=None, fitted={})
    head = {"link": "softmax", "n_features": 1, "n_values": 3, "classes": [0, 1, 2]}
    model = Portable({**made, "backbone": described, "head": head})
    written, refused = _programs(model, tmp_path, torch=True, onnx=True)
    assert not written and not [*tmp_path.iterdir()]
    assert [sentence.split(":")[0] for sentence in refused] == ["no model.pt2", "no model.onnx"]
    assert all("compute with scikit-learn and pyriemann" in sentence for sentence in refused)


def test_a_program_that_cannot_be_made_is_one_sentence_and_an_exit_status(
    run, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(SystemExit) as left:
        door([str(run), "--to", str(tmp_path / "folder"), "--torch", "--onnx"])
    assert str(left.value.code).startswith("no model.onnx: --onnx needs") and "\n" not in str(
        left.value.code
    )
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == sorted(
        {"README.md", "SHA256SUMS", "config.json", "model.pt2", "model.safetensors"}
    )
    assert "eegfm.load" in capsys.readouterr().out, "the rest stands"


@pytest.mark.slow
def test_a_bit_that_flips_in_any_file_of_an_export_is_found_by_its_sums(run, tmp_path):
    """A program is used without eegfm: ONNX's own reader gives other numbers of a flipped weight in silence."""
    folder = tmp_path / "folder"
    door([str(run), "--to", str(folder), "--torch", "--onnx"])
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    wanted = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert (
        wanted.keys() == {path.name for path in folder.iterdir()} - {"SHA256SUMS"}
        and "model.onnx" in wanted
    )
    for name in wanted:
        assert sha256_of(folder / name) == wanted[name]
    assert "sha256sum -c SHA256SUMS" in (folder / "README.md").read_text()
    if shutil.which("sha256sum"):
        content = bytearray((folder / "model.onnx").read_bytes())
        content[len(content) // 2] ^= 1
        (folder / "model.onnx").write_bytes(content)
        told = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True)
        assert told.returncode == 1 and "model.onnx: FAILED" in told.stdout
    door([str(run), "--to", str(folder)])
    assert "model.onnx" not in (folder / "SHA256SUMS").read_text(), "of the export before"


def test_onnx_without_its_packages_says_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(EegfmError, match=r"pip install 'eegfm\[onnx\]'"):
        programs.to_onnx(None, drawn("cbramod"), tmp_path / "model.onnx")  # type: ignore[arg-type]


# --- runs


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run as training leaves it, without the training."""
    return untrained_run(
        tmp_path_factory.mktemp("runs") / "single" / "stamp", "data=synthetic", "model=stamp", "encoder=spectrum",
        "model.depth=1", "model.width=8", "model.ff_width=8", "model.input_norm=instance",
    )  # fmt: skip


def test_a_run_gives_what_its_task_says_of_its_stores_vectors(run):
    """The encoder in front of it; without it where the vectors are asked for."""
    built = build(Place.of(run).config, None)
    built.task.load_state_dict(read_state(Place.of(run).checkpoint))
    model = eegfm.load(run, tokens=True)
    x = windows(model)
    with torch.no_grad():
        wanted = probabilities(built.task.eval()(x, model.coords))
        np.testing.assert_allclose(model(x).numpy(), wanted, rtol=1e-5)
    assert model.spec.shape == built.data.spec.shape and model.spec.classes == built.data.spec.classes


def test_an_encoder_that_is_not_the_stores_is_left_out_and_why(run, caplog):
    """The made result speaks of another store than this encoder would make."""
    model = eegfm.load(run)
    assert model.encoder is None and len(model.spec.shape) == 3
    assert "not the one of the run's store" in model.config["encoder_left_out"]
    assert "The exported model has no encoder" in caplog.text and "the store is 0123abcd" in caplog.text


def test_the_command_leaves_a_folder_whose_card_is_true(run, tmp_path, capsys):
    folder = tmp_path / "out"
    door([str(run), "--to", str(folder)])
    said = capsys.readouterr().out
    assert "without its encoder" in said and str(folder) in said
    card = ModelCard.load(folder / "README.md")
    result = read_result(run)
    found = {one.metric_type: one.metric_value for one in card.data.eval_results}
    assert found == {k: round(v, 4) for k, v in result.metrics["test"].items() if np.isfinite(v)}
    assert card.data.library_name == "eegfm" and "stamp" in card.data.tags
    low, high = intervals([read_predictions(run / "predictions_test.csv")])["auroc"]
    assert f"| AUROC | {result.metrics['test']['auroc']:.4g} | {low:.3f} to {high:.3f} |" in card.text
    for words in ("cbramod@b9e9610", "S32", "MIT", "arXiv:2511.10848", "Not a medical device"):
        assert words in card.text, words
    code = re.findall(r"```python\n(.*?)```", card.text, flags=re.DOTALL)[0]
    code = re.sub(r"eegfm\.load\(.*?\)", f"eegfm.load({str(folder)!r})", code)
    model = eegfm.load(run)
    space = {"x": windows(model)}
    exec(code, space)
    assert torch.equal(space["output"], model(space["x"]))
    # again is no trouble; a folder of something else is
    door([str(run), "--to", str(folder)])
    (folder / "thesis.tex").write_text("")
    with pytest.raises(SystemExit, match="holds something other"):
        door([str(run), "--to", str(folder)])


@pytest.mark.parametrize("place", ["nowhere", "."])
def test_the_command_wants_a_run(place, tmp_path):
    with pytest.raises(SystemExit, match="is no run"):
        door([str(tmp_path / place)])


# --- the hub


def test_the_mixin_saves_and_reads_a_local_folder(tmp_path):
    model = drawn("cbramod", seed=1)
    export_model.write(model, tmp_path / "a")
    (tmp_path / "a" / "README.md").write_text("mine")
    first = hub.OnHub.from_pretrained(tmp_path / "a")
    first.save_pretrained(tmp_path / "b")
    assert (tmp_path / "b" / "README.md").read_text() == "mine"
    again = hub.OnHub.from_pretrained(tmp_path / "b")
    x = windows(model)
    assert isinstance(again, Portable) and torch.equal(again(x), model(x))


def test_what_the_hubs_cache_holds_is_loaded_by_its_revision(tmp_path, monkeypatch):
    """The layout of the library's cache, without a network."""
    commit = "0123456789" * 4
    model = drawn("cbramod", seed=1)
    place = tmp_path / "models--some--one"
    export_model.write(model, place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs" / "weights-01234567").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    again = eegfm.load("hub:some/one", revision="weights-01234567")
    x = windows(model)
    assert torch.equal(again(x), model(x))
    with pytest.raises(EegfmError, match="hub:some/other could not be downloaded"):
        eegfm.load("hub:some/other")
    with pytest.raises(EegfmError, match=r"Type .*<user>/<name>"):
        eegfm.load("hub:other")


def test_what_is_pushed_is_what_is_loaded_and_carries_the_tag_of_its_card(tmp_path, monkeypatch):
    """The hub library's own client pushes to a server on this machine."""
    model = drawn("cbramod", seed=1)
    for name in ("a", "there"):
        (tmp_path / name).mkdir()
    export_model.write(model, tmp_path / "a")
    for name in ("README.md", "model.pt2", "notes.txt"):
        (tmp_path / "a" / name).write_text("---\nlibrary_name: eegfm\n---\n")
    monkeypatch.setenv("HF_TOKEN", "hf_nobody")
    with fake_hub(tmp_path / "there") as (address, asked):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        commit, tag = hub.push(tmp_path / "a", "some/one")
    assert commit.endswith(COMMIT) and tag == export_model.tag_of(tmp_path / "a")
    assert f"/api/models/some/one/tag/{COMMIT}" in asked
    names = {path.name for path in (tmp_path / "there").iterdir()}
    assert names == {"README.md", "config.json", "model.pt2", "model.safetensors"}
    x = windows(model)
    assert torch.equal(eegfm.load(tmp_path / "there")(x), model(x))


def test_nothing_is_pushed_without_a_login(tmp_path, monkeypatch):
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    export_model.write(drawn("cbramod"), tmp_path)
    with pytest.raises(EegfmError, match="hf auth login"):
        hub.push(tmp_path, "some/one")


# --- programs


def lora() -> dict:
    """STAMP with its encoder inside, drawn: TinyTimeMixer, the smallest."""
    encoder = {"class": "eegfm.encoders.ttm.Ttm", "arguments": {"weights": "random", "device": "cpu"}}
    stamp = {"class": "eegfm.models.stamp.Stamp", "arguments": TINY["stamp"], "partial": True}
    arguments = {"encoder": encoder, "stamp": stamp, "rank": 2, "chunk": 4}
    node = {"class": "eegfm.models.stamp_lora.StampLora", "arguments": arguments, "partial": True}
    return {**config("eegm2", scale=None), "backbone": node}


PROGRAMS = {
    **{name: functools.partial(config, name, kind) for name, kind in CASES},
    "eegm2 back": functools.partial(config, "eegm2", task="reconstruct"),
    "samba back": functools.partial(config, "samba", task="reconstruct"),
    "stamp over spectrum": over_spectrum,
    "stamp_lora": lora,
}


@functools.cache
def program_of(name: str):
    """The module and its program, which takes seconds to make."""
    if name == "stamp_lora" and not all(map(importlib.util.find_spec, ("tsfm_public", "peft"))):
        pytest.skip("not installed: granite-tsfm, peft. make setup-tsfm")
    with seeded(0):
        model = Portable(PROGRAMS[name]())
    return model, programs.exported(model)


@pytest.mark.slow
@pytest.mark.parametrize(
    "norm",
    [
        pytest.param(norm, marks=[pytest.mark.long] * (norm != "standardise"))
        for norm in get_args(InputNorm)
    ],
)
def test_a_model_of_every_norm_is_a_program_after_it_was_loaded(norm, tmp_path):
    """Also one that has statistics of its training split, which is how `make train` trains."""
    made = config("stamp", "tokens")
    made["backbone"]["arguments"]["input_norm"] = norm
    with seeded(0):
        model = Portable(made)
    if norm == "standardise":
        model.backbone.fit_input([3 * windows(model, 5) + 1])
    export_model.write(model.eval(), tmp_path)
    model = eegfm.load(tmp_path)
    program = programs.exported(model)
    assert programs.to_torch(program, model, tmp_path / "model.pt2") < 1e-4
    if importlib.util.find_spec("onnxscript"):
        worst = programs.to_onnx(program, model, tmp_path / "model.onnx")
        assert worst is None or worst < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] * (name != "cbramod")) for name in PROGRAMS]
)
def test_a_program_of_torch_gives_what_the_module_gives(name, tmp_path):
    """Read back from its file, for one window and for more than the example had."""
    model, program = program_of(name)
    assert programs.to_torch(program, model, tmp_path / "model.pt2") < 1e-4
    again = torch.export.load(tmp_path / "model.pt2").module()
    for n in (1, 4):
        x = windows(model, n, seed=n)
        with torch.no_grad():
            torch.testing.assert_close(again(x), model(x), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", PROGRAMS)
def test_onnx_gives_what_the_module_gives(name, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model, program = program_of(name)
    worst = programs.to_onnx(program, model, tmp_path / "model.onnx")
    assert worst is not None and worst < 1e-4
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    for n in (1, 4):
        x = windows(model, n, seed=n)
        (found,) = session.run(None, {"windows": x.numpy()})
        with torch.no_grad():
            torch.testing.assert_close(torch.from_numpy(found), model(x), rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@pytest.mark.long
def test_what_onnx_has_no_operator_for_is_said_by_its_name(tmp_path):
    """The eigenvalues of a matrix, which torch.export can hold."""
    pytest.importorskip("onnxscript")

    class Eigen(torch.nn.Module):
        def forward(self, x):
            return torch.linalg.eigvalsh(x @ x.mT)

    program = torch.export.export(Eigen(), (windows(drawn("cbramod")),))
    with pytest.raises(EegfmError, match=r"ONNX cannot hold this model.*eigh"):
        programs.to_onnx(program, drawn("cbramod"), tmp_path / "model.onnx")
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_a_folder_is_read_without_hydra_and_lightning(tmp_path):
    export_model.write(drawn("eegm2"), tmp_path)
    code = (
        "import sys, eegfm; assert 'torch' not in sys.modules; "
        f"model = eegfm.load({str(tmp_path)!r}); print(model.spec.n_channels); "
        "print(sorted({'hydra', 'omegaconf', 'lightning', 'sklearn', 'mne'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(N_CHANNELS), "[]"]

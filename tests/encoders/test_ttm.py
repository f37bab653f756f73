import hashlib
import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from eegfm.contracts import EegfmError
from eegfm.encoders.ttm import ARCHITECTURE, Ttm, padded
from tests.encoders.tiny import noise

has_tsfm = pytest.mark.skipif(
    importlib.util.find_spec("tsfm_public") is None, reason="granite-tsfm is not installed: make setup-tsfm"
)


def needs_tsfm(test):
    """The import alone takes some ten seconds, so whatever builds the model is slow."""
    return pytest.mark.slow(has_tsfm(test))


@pytest.fixture(scope="module")
def random_weights() -> Ttm:
    return Ttm(weights="random", device="cpu")


@pytest.fixture
def published(weights_data):
    return weights_data / "ttm-r2-512-96"


# --- the published weights ---


@needs_tsfm
def test_a_vector_is_the_published_model_read_another_way(published):
    """Oracle: transformers' own loading of config and weights, the layers below the scaler, NumPy for the rest."""
    from tsfm_public.models.tinytimemixer import TinyTimeMixerForPrediction

    series = noise(16)
    x = series.double().numpy()
    scaled = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    patches = np.concatenate([scaled, np.zeros((16, 312))], axis=1).reshape(16, 1, 8, 64)
    model = TinyTimeMixerForPrediction.from_pretrained(published).eval()
    with torch.no_grad():
        tokens = model.backbone.encoder(torch.from_numpy(patches).float()).last_hidden_state
    expected = tokens[:, 0, :4].mean(1)
    vectors = Ttm(weights=published, device="cpu").encode(series)
    torch.testing.assert_close(vectors, expected, rtol=1e-4, atol=1e-5)


@needs_tsfm
def test_the_loaded_model_can_forecast(published):
    """It has been trained: a sine of period 24 goes on as it began; random weights miss it by about its variance."""
    wave = 5 * torch.sin(2 * torch.pi * torch.arange(608) / 24)
    errors = {}
    for weights in (published, "random"):
        with torch.no_grad():
            out = Ttm(weights=weights).forecaster().eval()(past_values=wave[None, :512, None])
        errors[weights] = (out.prediction_outputs[0, :, 0] - wave[512:]).square().mean() / wave.var()
    assert errors[published] < 0.02
    assert errors["random"] > 0.5


@needs_tsfm
def test_the_architecture_is_that_of_the_published_config(published):
    from tsfm_public.models.tinytimemixer import TinyTimeMixerConfig

    ours = TinyTimeMixerConfig(**ARCHITECTURE).to_dict()
    theirs = json.loads((published / "config.json").read_text())
    # dropout is off when embedding; the rest is what the library fills in when it builds, or does not read
    apart = {"architectures", "dropout", "head_dropout", "init_processing", "num_patches", "torch_dtype"}
    apart |= {"d_model_scale", "decoder_d_model_scale", "stride_ratio"}
    assert {key: ours[key] for key in theirs.keys() - apart} == {
        key: theirs[key] for key in theirs.keys() - apart
    }


@needs_tsfm
def test_the_file_and_the_model_have_the_same_134_tensors(published):
    tensors = load_file(published / "model.safetensors")
    assert tensors.keys() == Ttm(weights="random").forecaster().state_dict().keys()
    assert len(tensors) == 134
    assert sum(tensor.numel() for tensor in tensors.values()) == 805_280


def test_the_recipe_names_the_weights_by_their_sha256(published):
    digest = hashlib.sha256((published / "model.safetensors").read_bytes()).hexdigest()
    assert Ttm(weights=published).settings()["weights"] == digest
    assert digest == "a706726a7eb01bbcb42994b7dcb3c06ea9557898dbae8d480eb04fe8ccb89710"


# --- what the padding and the mask do ---


@needs_tsfm
def test_the_scaler_sees_the_samples_alone_and_the_padding_is_zero(random_weights):
    series = noise(8)
    with torch.inference_mode():
        patches = random_weights.network(**padded(series)).patch_input.flatten(1)  # series 512
    x = series.double().numpy()
    expected = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(patches[:, :200].numpy(), expected, atol=1e-4)
    assert patches[:, 200:].abs().max() < 1e-5


@needs_tsfm
def test_the_mask_scales_but_does_not_hide(random_weights):
    """Masked samples do reach the tokens, which is why the padding has to be the same in every series."""
    given = padded(noise(8))
    other = {**given, "past_values": given["past_values"].clone()}
    other["past_values"][:, 200:] = 50.0
    with torch.inference_mode():
        tokens = random_weights.network(**given).last_hidden_state
        with_other_padding = random_weights.network(**other).last_hidden_state
        without_mask = random_weights.network(past_values=given["past_values"])
    assert (tokens - with_other_padding)[:, 0, :3].abs().max() > 1e-3
    # without the mask the deviation is taken over 512 values, 312 of them zeros
    x = noise(8).double()
    expected = (x.var(1, correction=0) * 200 / 512 + 1e-5).sqrt()
    torch.testing.assert_close(without_mask.scale.flatten().double(), expected, rtol=1e-4, atol=0)


@needs_tsfm
def test_offset_and_amplitude_of_a_second_leave_no_trace(random_weights):
    series = noise(8)
    torch.testing.assert_close(
        random_weights.encode(37 * series + 500), random_weights.encode(series), rtol=0, atol=1e-4
    )


# --- random weights ---


# --- what can be wrong ---


@needs_tsfm
@pytest.mark.parametrize("damage", ["one missing", "one too many", "another shape", "not safetensors"])
def test_weights_of_another_model_are_refused(tmp_path, damage):
    file = tmp_path / "model.safetensors"
    tensors = {key: value.clone() for key, value in Ttm(weights="random").forecaster().state_dict().items()}
    key = next(iter(tensors))
    if damage == "one missing":
        del tensors[key]
    elif damage == "one too many":
        tensors["backbone.encoder.freq_mod.0.weight"] = torch.zeros(1)
    elif damage == "another shape":
        tensors[key] = torch.zeros(3)
    save_file(tensors, file)
    if damage == "not safetensors":
        file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(EegfmError, match="Download it again"):
        Ttm(weights=tmp_path).encode(noise(1))


@needs_tsfm
@pytest.mark.parametrize("configured", [pytest.param(False, marks=pytest.mark.long), True])
def test_the_root_logger_is_left_alone_and_nothing_is_printed(configured):
    """granite-tsfm's import calls logging.basicConfig; in a fresh process, since an import happens once."""
    program = f"""
import logging, torch
root = logging.getLogger()
if {configured}:
    root.addHandler(logging.NullHandler())
    root.setLevel(logging.ERROR)
before = (list(root.handlers), root.level)
from eegfm.encoders.ttm import Ttm
Ttm(weights="random").encode(torch.zeros(1, 200))
assert (root.handlers, root.level) == before, (root.handlers, root.level)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

"""TSPulse: against granite-tsfm's own loading and its own embeddings, and what padding and mask do."""

import importlib.util
import json

import pytest
import torch
from safetensors.torch import load_file, save, save_file

from eegfm.contracts import EegfmError
from eegfm.encoders.tspulse import ALWAYS, Tspulse
from tests.encoders.tiny import noise


def needs_tsfm(test):
    """The import alone takes some ten seconds, so whatever builds the model is slow."""
    absent = importlib.util.find_spec("tsfm_public") is None
    reason = "granite-tsfm is not installed: make setup-tsfm"
    return pytest.mark.slow(pytest.mark.skipif(absent, reason=reason)(test))


@pytest.fixture(scope="module")
def random_weights() -> Tspulse:
    return Tspulse(weights="random", device="cpu")


@pytest.fixture(scope="module")
def folder(random_weights, tmp_path_factory):
    """Weights and config as granite-tsfm writes them, with numbers large enough to tell two options apart."""
    folder = tmp_path_factory.mktemp("published")
    model = random_weights.reconstructor()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    model.save_pretrained(folder)
    return folder


def by_granite(folder, series):
    """Embed as STAMP does: granite-tsfm loads config and weights, and embeds series by 100, padded and masked."""
    from tsfm_public.models.tspulse import TSPulseForReconstruction
    from tsfm_public.models.tspulse.utils.helpers import get_embeddings

    model = TSPulseForReconstruction.from_pretrained(folder, **ALWAYS).eval()
    padded = torch.nn.functional.pad(series / 100, (0, 312)).unsqueeze(-1)
    mask = torch.zeros_like(padded, dtype=torch.bool)
    mask[:, :200] = True
    with torch.no_grad():
        return get_embeddings(model, padded, mask, mode="register").squeeze(1)


# --- the published package ---


@needs_tsfm
def test_a_vector_is_that_of_the_published_package(folder):
    """The files are as published; one series is flat, and one has half a microvolt."""
    series = torch.cat([noise(8), torch.full((1, 200), 40.0), 0.01 * noise(1, seed=1)])
    expected = by_granite(folder, series)
    found = Tspulse(weights=folder, device="cpu").encode(series)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert expected.shape == (10, 240) and expected.std(0).mean() > 0.05


@needs_tsfm
def test_the_config_beside_the_weights_is_the_one_that_is_used(folder, tmp_path):
    """No shape tells which end of the spectrum is cut; the vectors and the store's recipe do."""
    given = json.loads((folder / "config.json").read_text())
    assert given["fft_remove_component"] == "last"
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    (tmp_path / "config.json").write_text(json.dumps({**given, "fft_remove_component": "dc"}))
    one, other = (Tspulse(weights=place, device="cpu") for place in (folder, tmp_path))
    assert one.settings()["weights"] == other.settings()["weights"] and one.settings() != other.settings()
    found = other.encode(noise(4))
    assert (found - one.encode(noise(4))).abs().max() > 1e-2
    torch.testing.assert_close(found, by_granite(tmp_path, noise(4)), rtol=1e-4, atol=1e-4)


@needs_tsfm
def test_the_model_has_the_length_of_the_published_file(random_weights):
    """4,305,624 bytes, header and all, as others report the file of commit b121645."""
    state = random_weights.reconstructor().state_dict()
    state = {name: tensor.contiguous() for name, tensor in state.items()}
    assert len(save(state, metadata={"format": "pt"})) == 4_305_624


# --- what padding, mask and scaling do ---


@needs_tsfm
def test_what_is_masked_changes_nothing(random_weights):
    padded = torch.nn.functional.pad(noise(8) / 100, (0, 312)).unsqueeze(-1)
    other = padded.clone()
    other[:, 200:] = 7.0
    with torch.no_grad():
        assert torch.equal(random_weights.network(other), random_weights.network(padded))


@needs_tsfm
def test_offset_and_amplitude_leave_no_trace_above_three_microvolts(random_weights):
    series, encode = noise(8), random_weights.encode
    torch.testing.assert_close(encode(37 * series + 500), encode(series), rtol=0, atol=1e-4)
    quiet = series / series.std(dim=1, keepdim=True)  # 1 µV
    torch.testing.assert_close(encode(4 * quiet), encode(8 * quiet), rtol=0, atol=1e-4)
    assert (encode(0.5 * quiet) - encode(quiet)).abs().max() > 1e-3


# --- what can be wrong ---


def test_weights_without_their_config_say_so(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(
        EegfmError, match=r"no config\.json beside it[\s\S]*granite-timeseries-tspulse-r1/tree"
    ):
        Tspulse(weights=tmp_path)


@needs_tsfm
@pytest.mark.parametrize("damage", ["one missing", "another variant", "not safetensors"])
def test_weights_of_another_model_are_refused(folder, tmp_path, damage):
    tensors, config = (
        load_file(folder / "model.safetensors"),
        json.loads((folder / "config.json").read_text()),
    )
    if damage == "one missing":
        del tensors[next(iter(tensors))]
    elif damage == "another variant":
        config["patch_register_tokens"] = 8
    save_file(tensors, tmp_path / "model.safetensors")
    if damage == "not safetensors":
        (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:1000])
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(EegfmError, match=r"Download (it|both files) again"):
        Tspulse(weights=tmp_path).encode(noise(1))

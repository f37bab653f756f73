"""Chronos, Chronos-Bolt and Chronos-2: against the authors' package, and what names and weights promise."""

import importlib.util

import pytest
import torch
from safetensors.torch import load_file, save_file

from eegfm.contracts import EegfmError
from eegfm.encoders import chronos
from eegfm.encoders.chronos import Chronos, t5_config, tokens
from eegfm.encoders.chronos_2 import Chronos2
from eegfm.encoders.chronos_bolt import ARCHITECTURE, ChronosBolt
from tests.encoders.tiny import TINY_T5, noise, tiny_bolt, tiny_chronos, tiny_chronos_2


def needs(package):
    """The package's import takes seconds, so whatever builds a network is slow."""
    absent = importlib.util.find_spec(package) is None
    skip = pytest.mark.skipif(absent, reason=f"{package} is not installed: make setup-tsfm")
    return lambda test: pytest.mark.slow(skip(test))


def odd_ones() -> torch.Tensor:
    """Seconds at the edges of what is asked: zeros, a constant, a spike beyond the outermost bins on either side."""
    spike = torch.zeros(200)
    spike[17] = 5e4
    return torch.stack([torch.zeros(200), torch.full((200,), -250.0), spike, -spike])


def published(model, folder):
    """The model's weights in a file as the authors publish it: every number once, the embedding as shared.weight."""
    names = [name for name, _ in model.named_parameters()]  # a tied one once, under its first name
    assert "shared.weight" in names and not any("embed_tokens" in name for name in names)
    state = model.state_dict()
    save_file({name: state[name].clone() for name in names}, folder / "model.safetensors")
    return folder


def drawn(model):
    """Every weight of size one, where a first weight would hide which is which; norms among them."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            scale = parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 1.0
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@pytest.fixture(scope="module")
def theirs():
    """The authors' pipeline at a small size."""
    from chronos.chronos import ChronosConfig, ChronosModel, ChronosPipeline
    from transformers import T5ForConditionalGeneration

    config = ChronosConfig(
        tokenizer_class="MeanScaleUniformBins",
        tokenizer_kwargs={"low_limit": -15.0, "high_limit": 15.0},
        context_length=512,
        prediction_length=64,
        n_tokens=4096,
        n_special_tokens=2,
        pad_token_id=0,
        eos_token_id=1,
        use_eos_token=True,
        model_type="seq2seq",
        num_samples=20,
        temperature=1.0,
        top_k=50,
        top_p=1.0,
    )  # the published chronos_config, the same for every size
    model = drawn(T5ForConditionalGeneration(t5_config(TINY_T5, vocabulary=4096)))
    return ChronosPipeline(tokenizer=config.create_tokenizer(), model=ChronosModel(config, model))


@pytest.fixture(scope="module")
def file(theirs, tmp_path_factory):
    return published(theirs.model.model, tmp_path_factory.mktemp("chronos"))


@pytest.fixture(scope="module")
def bolt_theirs():
    from chronos.chronos_bolt import ChronosBoltModelForForecasting, ChronosBoltPipeline

    config = t5_config(TINY_T5, vocabulary=2, chronos_config=ARCHITECTURE)
    return ChronosBoltPipeline(drawn(ChronosBoltModelForForecasting(config)))


@pytest.fixture(scope="module")
def two_theirs():
    """The authors' pipeline of Chronos-2 at a small size, its config written out as the published file has it."""
    from chronos.chronos2 import Chronos2Model, Chronos2Pipeline
    from chronos.chronos2.config import Chronos2CoreConfig

    config = Chronos2CoreConfig(
        d_model=TINY_T5.width,
        d_kv=64,
        d_ff=TINY_T5.ff_width,
        num_layers=TINY_T5.layers,
        num_heads=TINY_T5.heads,
        dropout_rate=0.1,
        layer_norm_epsilon=1e-6,
        feed_forward_proj="relu",
        rope_theta=10000.0,
        chronos_config={
            "context_length": 8192,
            "input_patch_size": 16,
            "input_patch_stride": 16,
            "max_output_patches": 64,
            "output_patch_size": 16,
            "quantiles": [0.01, *(i / 20 for i in range(1, 20)), 0.99],
            "time_encoding_scale": 8192,
            "use_arcsinh": True,
            "use_reg_token": True,
        },
    )
    return Chronos2Pipeline(drawn(Chronos2Model(config)))


def names_of_two(layers: int) -> set[str]:
    """The names in the published file, with this many layers in place of its 12."""
    patches = {
        f"{end}_patch_embedding.{part}_layer.{kind}"
        for end in ("input", "output")
        for part in ("hidden", "output", "residual")
        for kind in ("weight", "bias")
    }
    block = {
        *(f"layer.{i}.self_attention.{part}.weight" for i in (0, 1) for part in "qkvo"),
        *(f"layer.{i}.layer_norm.weight" for i in range(3)),
        *(f"layer.2.mlp.{part}.weight" for part in ("wi", "wo")),
    }
    blocks = {f"encoder.block.{i}.{name}" for i in range(layers) for name in block}
    return {"shared.weight", "encoder.final_layer_norm.weight"} | patches | blocks


# --- the authors' package ---


@needs("chronos")
def test_a_second_has_the_tokens_of_the_published_package(theirs):
    series = torch.cat([noise(200), odd_ones()])
    expected, _, _ = theirs.tokenizer.context_input_transform(series)
    assert torch.equal(tokens(series), expected)
    assert (
        expected.min() == 1 and expected[:, :-1].min() == 3 and expected.max() == 4095
    )  # all bins can be met


@needs("chronos")
@pytest.mark.parametrize("pooling", ["eos", "mean"])
def test_a_vector_is_that_of_the_published_package(theirs, file, pooling):
    """The file has the published names. The authors' package gives 201 vectors; STAMP takes the last or the others."""
    series = torch.cat([noise(6), odd_ones()])
    all_of_them = theirs.embed(series)[0]
    assert all_of_them.shape == (10, 201, TINY_T5.width)
    expected = all_of_them[:, -1] if pooling == "eos" else all_of_them[:, :-1].mean(dim=1)
    found = tiny_chronos(weights=file, pooling=pooling).encode(series)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@needs("chronos")
@pytest.mark.parametrize("pooling", ["reg", "mean"])
def test_a_vector_of_bolt_is_that_of_the_published_package(bolt_theirs, tmp_path, pooling):
    """13 patches and the register token."""
    file = published(bolt_theirs.model, tmp_path)
    series = torch.cat([noise(6), odd_ones()])
    all_of_them = bolt_theirs.embed(series)[0]
    assert all_of_them.shape == (10, 14, TINY_T5.width)
    expected = all_of_them[:, -1] if pooling == "reg" else all_of_them[:, :-1].mean(dim=1)
    found = tiny_bolt(weights=file, pooling=pooling).encode(series)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@needs("chronos")
@pytest.mark.parametrize("pooling", ["reg", "mean"])
def test_a_vector_of_chronos_2_is_that_of_the_published_package(two_theirs, tmp_path, pooling):
    """13 patches, the register token, and a patch of the future, which is no part of a second."""
    state = two_theirs.model.state_dict()
    assert set(state) == names_of_two(TINY_T5.layers)
    save_file(state, tmp_path / "model.safetensors")
    series = torch.cat([noise(6), odd_ones()])
    all_of_them = torch.cat(two_theirs.embed(list(series), batch_size=4)[0])
    assert all_of_them.shape == (10, 15, TINY_T5.width)
    expected = all_of_them[:, -2] if pooling == "reg" else all_of_them[:, :-2].mean(dim=1)
    found = tiny_chronos_2(weights=tmp_path, pooling=pooling).encode(series)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    # as one series of ten variates they attend to each other, and their vectors are others
    as_variates = two_theirs.embed(series[None])[0][0]
    assert (
        (as_variates - all_of_them).flatten(1).norm(dim=1) > 0.1 * all_of_them.flatten(1).norm(dim=1)
    ).all()


# --- the published sizes ---


@needs("transformers")
@pytest.mark.parametrize(
    ("size", "megabytes"), [("tiny", 33.6), ("mini", 81.8), ("small", 185), ("base", 806), ("large", 2840)]
)
def test_a_model_has_the_length_of_its_published_file(size, megabytes):
    """Sizes are those that Hugging Face lists, to three figures and with headers; the model is built without memory."""
    from transformers import T5ForConditionalGeneration

    with torch.device("meta"):
        model = T5ForConditionalGeneration(t5_config(chronos.SIZES[size], vocabulary=4096))
    n = sum(parameter.numel() for parameter in model.parameters())
    assert 4 * n / 1e6 == pytest.approx(megabytes, rel=3e-3)


@needs("chronos")
def test_bolt_has_the_length_of_its_published_file():
    """34.6 MB, and 8.65 million numbers as its page says."""
    model = ChronosBolt(size="tiny", weights="random").forecaster()
    n = sum(parameter.numel() for parameter in model.parameters())
    assert (f"{4 * n / 1e6:.3g}", f"{n / 1e6:.3g}") == ("34.6", "8.65")


@needs("chronos")
def test_chronos_2_has_the_size_of_its_published_file():
    """119,477,664 numbers, "120M" on its page; built without memory."""
    with torch.device("meta"):
        model = Chronos2(weights="random").forecaster()
    assert sum(parameter.numel() for parameter in model.parameters()) == 119_477_664
    assert set(model.state_dict()) == names_of_two(12)


@pytest.mark.parametrize("of", [Chronos, ChronosBolt])
def test_what_is_not_published_is_refused(of):
    with pytest.raises(EegfmError, match=r"no size=huge: choose encoder\.size=tiny\|mini"):
        of(size="huge", weights="random")
    with pytest.raises(EegfmError, match=r"no pooling=max: choose encoder\.pooling=(eos|reg)\|mean"):
        of(size="tiny", pooling="max", weights="random")


def test_a_pooling_that_chronos_2_has_not_is_refused():
    with pytest.raises(EegfmError, match=r"no pooling=max: choose encoder\.pooling=reg\|mean"):
        Chronos2(pooling="max", weights="random")


@pytest.mark.parametrize("of", [Chronos, ChronosBolt])
def test_size_and_pooling_are_in_the_recipe(of):
    recipes = [of(size=s, pooling="mean", weights="random").settings() for s in ("tiny", "mini")]
    assert recipes[0] != recipes[1] != of(size="mini", weights="random").settings()


# --- what a second's tokens keep ---


def test_the_amplitude_leaves_no_trace_in_the_tokens_and_the_offset_does():
    """A power of two, so that no value crosses the border of a bin by rounding."""
    series = noise(20)
    assert torch.equal(tokens(32 * series), tokens(series))
    assert not torch.equal(tokens(series + 100), tokens(series))


# --- what can be wrong ---


@needs("chronos")
@pytest.mark.parametrize("damage", ["one missing", "one too many", "another shape", "not safetensors"])
def test_weights_of_another_model_are_refused(file, tmp_path, damage):
    tensors = load_file(file / "model.safetensors")
    if damage == "one missing":
        del tensors[
            "decoder.final_layer_norm.weight"
        ]  # which no vector needs: the file is another all the same
    elif damage == "one too many":
        tensors["input_patch_embedding.hidden_layer.weight"] = torch.zeros(1)
    elif damage == "another shape":
        tensors["shared.weight"] = torch.zeros(2, TINY_T5.width)
    save_file(tensors, tmp_path / "model.safetensors")
    if damage == "not safetensors":
        (tmp_path / "model.safetensors").write_bytes((file / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(EegfmError, match="Download it again"):
        tiny_chronos(weights=tmp_path).encode(noise(1))

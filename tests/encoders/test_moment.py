"""MOMENT: against the published package where it is installed, and what masks, names and weights promise."""

import importlib.util

import pytest
import torch
from safetensors.torch import save_file

from eegfm.contracts import EegfmError
from eegfm.encoders.moment import CONTEXT, SIZES, VOCABULARY, Moment, MomentNetwork, scaled
from tests.encoders.tiny import TINY, in_double, noise, tiny_moment


def needs(package, command="make setup-tsfm"):
    return pytest.mark.skipif(
        importlib.util.find_spec(package) is None, reason=f"{package} is not installed: {command}"
    )


def needs_transformers(test):
    """Its import takes seconds, so whatever builds the network is slow."""
    return pytest.mark.slow(needs("transformers")(test))


# --- the published package ---


@pytest.fixture(scope="module")
def theirs():
    """momentfm's own model for embedding, at the tiny size, every parameter drawn anew."""
    from momentfm import MOMENTPipeline  # pyright: ignore[reportMissingImports]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MOMENTPipeline(
            {
                "task_name": "reconstruction",
                "seq_len": CONTEXT,
                "patch_len": 8,
                "patch_stride_len": 8,
                "d_model": TINY.width,
                "transformer_backbone": "google/flan-t5-small",
                "transformer_type": "encoder_only",
                "t5_config": {
                    "d_model": TINY.width,
                    "d_kv": 64,
                    "d_ff": TINY.ff_width,
                    "num_layers": TINY.layers,
                    "num_heads": TINY.heads,
                    "feed_forward_proj": "gated-gelu",
                    "vocab_size": VOCABULARY,
                },
            },
            model_kwargs={"task_name": "embedding"},
        )
        for (
            parameter
        ) in model.parameters():  # not the zeros of the mask's embedding, nor the ones of the norms
            parameter.data.normal_(std=0.3)
    return model.eval()


@pytest.fixture(scope="module")
def file(theirs, tmp_path_factory):
    """A folder with a file of the published layout, as momentfm itself would write it."""
    folder = tmp_path_factory.mktemp("published")
    save_file(
        {name: tensor.contiguous() for name, tensor in theirs.state_dict().items()},
        folder / "model.safetensors",
    )
    return folder


@needs_transformers
@needs("momentfm")
@pytest.mark.parametrize("trim", [True, False])
def test_a_vector_is_that_of_the_published_package(theirs, file, trim):
    """Their padded and masked path, from their own file of weights; a flat second among the series."""
    series = torch.cat([noise(8), torch.full((1, 200), 40.0)])
    padded = torch.nn.functional.pad(series / 100, (0, CONTEXT - 200))[:, None]
    mask = (torch.arange(CONTEXT) < 200).float().expand(len(series), -1)
    with torch.no_grad():
        expected = theirs.embed(x_enc=padded, input_mask=mask).embeddings
    found = tiny_moment(weights=file, trim=trim).encode(series)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert expected.std() > 0.1


@needs_transformers
@needs("momentfm")
def test_the_published_package_has_the_same_tensors(theirs):
    ours = MomentNetwork(TINY, vocabulary=VOCABULARY).state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.state_dict().items()}


# --- the published sizes ---


@needs_transformers
def test_the_small_file_has_its_37901512_numbers():
    """Others count as many in the published file (commit 411e288); the model is built without memory."""
    with torch.device("meta"):
        network = MomentNetwork(SIZES["small"], vocabulary=VOCABULARY)
    state = network.state_dict()
    assert sum(tensor.numel() for tensor in state.values()) == 37_901_512
    layer = [f"SelfAttention.{name}" for name in "qkvo"]
    assert {f"encoder.block.7.layer.0.{name}.weight" for name in layer} <= state.keys()
    assert not any(f"encoder.block.{SIZES['small'].layers}." in key for key in state)


def test_a_size_that_is_not_published_is_refused():
    with pytest.raises(EegfmError, match="small, base, large"):
        Moment(size="huge", weights="random")


def test_the_recipe_names_size_and_padding():
    trimmed, padded = (tiny_moment(trim=trim).settings() for trim in (True, False))
    assert trimmed["model"] == "moment-1-tiny" and trimmed["weights"] == "random, seed 0"
    assert "padded" not in trimmed and padded["padded"] == 512


# --- what padding, mask and scaling do ---


@needs_transformers
def test_what_is_masked_changes_nothing_so_it_need_not_be_computed():
    """The trimmed path and the padded one, and the padded one with other numbers in the padding."""
    trimmed, padded = tiny_moment(), tiny_moment(trim=False)
    series = noise(20)
    with in_double(trimmed, padded):
        torch.testing.assert_close(trimmed.encode(series), padded.encode(series), rtol=0, atol=1e-10)
    patches = torch.nn.functional.pad(scaled(series).unflatten(1, (25, 8)), (0, 0, 0, 39))
    observed = (torch.arange(64) < 25).expand(20, -1)
    other = patches.clone()
    other[:, 25:] = 7.0
    with torch.no_grad():
        found = padded.network(patches, observed)
        assert torch.equal(padded.network(other, observed), found)
        padded.network.patch_embedding.mask_embedding.fill_(3.0)
        torch.testing.assert_close(padded.network(patches, observed), found, rtol=0, atol=2e-6)
        assert (padded.network(other, torch.ones_like(observed)) - found).abs().max() > 1e-2


@needs_transformers
def test_offset_and_amplitude_of_a_second_leave_no_trace():
    moment, series = tiny_moment(), noise(8)
    torch.testing.assert_close(moment.encode(37 * series + 500), moment.encode(series), rtol=0, atol=1e-3)


# --- the network, as others use it ---


@needs_transformers
def test_there_is_a_gradient_where_weights_have_one_and_no_weight_that_no_series_reads():
    """Frozen as it comes. The mask's embedding is the one parameter that a whole second does not need."""
    moment = tiny_moment()
    assert not any(p.requires_grad for p in moment.network.parameters()) and not moment.network.training
    moment.network.requires_grad_(True)
    moment.vectors(noise(4)).square().sum().backward()
    unused = {name for name, p in moment.network.named_parameters() if p.grad is None}
    assert unused == {"patch_embedding.mask_embedding"}
    assert all(p.grad.isfinite().all() for p in moment.network.parameters() if p.grad is not None)


@needs_transformers
def test_adapters_go_beside_queries_and_values_of_every_layer():
    """48 places in the large model, as STAMP's LoRA variant."""
    linear = [n for n, m in tiny_moment().network.named_modules() if isinstance(m, torch.nn.Linear)]
    beside = [name for name in linear if name.rpartition(".")[2] in Moment.adapters]
    assert len(beside) == 2 * TINY.layers and all("SelfAttention" in name for name in beside)
    assert 2 * SIZES["large"].layers == 48


# --- what can be wrong ---


@needs_transformers
@pytest.mark.parametrize("damage", ["none", "one missing", "one too many", "another size"])
def test_a_file_is_read_by_its_own_names_and_all_of_it(tmp_path, damage):
    network = MomentNetwork(TINY, vocabulary=VOCABULARY)
    tensors = dict(network.state_dict())
    if damage == "one missing":
        del tensors["encoder.block.1.layer.0.SelfAttention.v.weight"]
    elif damage == "one too many":
        tensors["encoder.block.2.layer.0.SelfAttention.v.weight"] = torch.zeros(1)
    elif damage == "another size":
        tensors["head.linear.weight"] = torch.zeros(8, 64)
    save_file(tensors, tmp_path / "model.safetensors")
    moment = tiny_moment(weights=tmp_path)
    if damage == "none":
        kept = moment.network.state_dict()
        assert tensors.keys() - kept.keys() == {
            "encoder.embed_tokens.weight",
            "head.linear.weight",
            "head.linear.bias",
        }
        assert all(torch.equal(tensor, tensors[key]) for key, tensor in kept.items())
    else:
        with pytest.raises(EegfmError, match=r"MOMENT-1-tiny.*Download it again"):
            moment.encode(noise(1))

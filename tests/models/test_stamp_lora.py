"""STAMP with its encoder inside: what is trained, what is not, and that chunks, merging and saving change nothing."""

import importlib.util
import io
import sys
from functools import partial

import pytest
import torch
from torch import nn

from eegfm.contracts import EegfmError, Montage, SampleSpec
from eegfm.encoders.moment import SIZES, Moment, MomentNetwork
from eegfm.encoders.spectrum import Spectrum
from eegfm.encoders.ttm import Ttm
from eegfm.models.stamp import Stamp
from eegfm.models.stamp_lora import StampLora
from eegfm.nn.adapters import inject
from tests.encoders.tiny import tiny_moment
from tests.nn.tokens import randn, seeded, token_spec

N_CHANNELS, N_SECONDS = 3, 2
MONTAGE = Montage(tuple("ABC"), torch.zeros(N_CHANNELS, 3).numpy())
SPEC = SampleSpec(MONTAGE, (N_CHANNELS, 200 * N_SECONDS), 200.0, ("rest", "task"))
COORDS = torch.zeros(N_CHANNELS, 3)
SMALL = partial(Stamp, width=8, depth=1, ff_width=12, n_heads=2, n_queries=3)


def needs(*packages):
    absent = [package for package in packages if importlib.util.find_spec(package) is None]
    skip = pytest.mark.skipif(bool(absent), reason=f"not installed: {absent}. make setup-tsfm")
    return lambda test: pytest.mark.slow(skip(test))  # their imports take seconds


needs_both = needs("transformers", "peft")


def lora(encoder=None, seed=0, **options) -> StampLora:
    with seeded(seed):
        return StampLora(
            SPEC, encoder=encoder or tiny_moment(), stamp=SMALL, **{"rank": 4, "alpha": 2.0, **options}
        )


def windows(n, seed=0):
    return 5 * randn(n, *SPEC.shape, seed=seed).cumsum(-1)


def trained(model, steps=2, seed=5, optimizer=torch.optim.AdamW):
    """A few steps of the recipe's optimiser, weight decay and all, on what has a gradient."""
    optimizer = optimizer([p for p in model.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.05)
    model.train()
    for step in range(steps):
        optimizer.zero_grad()
        with seeded(seed + step):
            loss = model.embed(windows(4, seed=step), COORDS).square().mean()
        loss.backward()
        optimizer.step()
    return model


def gradients(model, x):
    model.zero_grad()
    model.embed(x, COORDS).square().sum().backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def adapters(model):
    return {name: p for name, p in model.named_parameters() if "lora_" in name}


# --- before training ---


@needs_both
def test_an_untrained_one_is_stamp_over_the_frozen_encoder():
    """The same vectors in the same order as a store of them: what an adapter adds starts at zero."""
    model, x = lora(chunk=5).eval(), windows(4)
    vectors = tiny_moment().encode(x.reshape(-1, 200)).reshape(4, N_CHANNELS, N_SECONDS, -1)
    torch.testing.assert_close(model.tokens(x), vectors, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        model.embed(x, COORDS), model.stamp.embed(vectors, COORDS), rtol=1e-4, atol=1e-4
    )


@needs_both
def test_the_adapters_of_the_published_recipe_have_their_size():
    """Beside 16 matrices of the small model, 64 x (512 + 384) each; the large one's 48 are 64 x (1024 + 1024)."""
    with torch.device("meta"):
        network = MomentNetwork(SIZES["small"], vocabulary=2)
        inject(network, "lora", places=Moment.adapters, rank=64, alpha=32.0, dropout=0.05)
    learned = [p for p in network.parameters() if p.requires_grad]
    assert len(learned) == 2 * 16 and sum(p.numel() for p in learned) == 16 * 64 * (512 + 384)
    places = [m for m in network.modules() if hasattr(m, "scaling") and hasattr(m, "lora_A")]
    assert len(places) == 16 and all(place.scaling == {"default": 0.5} for place in places)  # type: ignore


# --- what learns ---


@needs_both
def test_a_fresh_one_is_in_training_mode_throughout():
    """Lightning keeps the modes that it finds, and an encoder is made for evaluation: its dropout would be off."""
    model, x = lora(), windows(2)
    assert all(module.training for module in model.modules())
    assert not torch.equal(model.tokens(x), model.tokens(x))


@pytest.mark.parametrize("chunk", [None, 5])
@needs_both
def test_every_adapter_and_all_of_stamp_gets_a_gradient_and_nothing_else(chunk):
    """At the start one factor of an adapter is zero, so the other gets no gradient: the test takes a step first."""
    model = trained(lora(chunk=chunk), steps=1)
    found = gradients(model, windows(4))
    assert found.keys() == {name for name, p in model.named_parameters() if p.requires_grad}
    assert found.keys() == adapters(model).keys() | {
        f"stamp.{n}" for n, _ in model.stamp.named_parameters()
    }
    assert len(adapters(model)) == 2 * 2 * 2  # two factors, queries and values, two layers
    for name in adapters(model):
        assert found[name].isfinite().all() and found[name].any(), name


@needs_both
def test_frozen_weights_keep_their_bits_and_the_rest_moves():
    model = lora(chunk=5)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    buffers = {name: b.clone() for name, b in model.encoder.named_buffers()}
    trained(model, steps=3)
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name]) == (not p.requires_grad), name
    assert buffers and all(torch.equal(b, buffers[name]) for name, b in model.encoder.named_buffers())
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert sum("SelfAttention" in name for name in frozen) == 2 * 4 + 1


@pytest.mark.long
@needs("tsfm_public", "peft")
def test_any_encoder_that_is_a_network_can_be_tuned():
    """TinyTimeMixer has no attention: its adapters are beside the layers of its mixers."""
    model = trained(lora(Ttm(weights="random", device="cpu"), chunk=5), steps=1)
    found = gradients(model, windows(4))
    assert len(adapters(model)) > 8
    for key in adapters(model):
        assert key in found and found[key].any(), key


# --- what changes nothing ---


@needs_both
def test_recomputing_in_chunks_gives_the_same_vectors_and_gradients():
    whole = trained(lora())
    chunked = lora(chunk=5)
    chunked.load_state_dict(whole.state_dict())
    x = windows(4)
    exact, found = gradients(whole.eval(), x), gradients(chunked.eval(), x)
    assert exact.keys() == found.keys()
    for name, gradient in exact.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(chunked.embed(x, COORDS), whole.embed(x, COORDS), rtol=1e-5, atol=1e-5)


@needs_both
def test_the_noise_of_a_chunk_is_the_same_when_it_is_computed_again():
    """Otherwise the gradient would be that of another network. With a single chunk, nothing is recomputed."""
    whole, chunked = lora(lora_dropout=0.5).train(), lora(lora_dropout=0.5, chunk=10_000).train()
    found = []
    for model in (whole, chunked):
        with seeded(3):
            found.append(gradients(model, windows(4)))
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-4, atol=1e-6)


@needs_both
def test_merging_the_adapters_leaves_the_logits_as_they_are():
    model, head, x = trained(lora()).eval(), nn.Linear(8, 1), windows(4)
    with torch.no_grad():
        before = head(model.embed(x, COORDS))
        untrained = head(lora().eval().embed(x, COORDS))
        model.merge()
        merged = head(model.embed(x, COORDS))
    torch.testing.assert_close(merged, before, rtol=1e-4, atol=1e-5)
    assert (before - untrained).abs().max() > 1e-3
    linear = model.encoder.get_submodule("encoder.block.0.layer.0.SelfAttention.q.base_layer")
    assert not torch.equal(
        linear.weight, tiny_moment().network.encoder.block[0].layer[0].SelfAttention.q.weight
    )


@needs_both
def test_a_saved_state_loads_into_a_fresh_one_and_embeds_the_same():
    model, file = trained(lora()), io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    fresh = lora(tiny_moment(seed=1), seed=1)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(fresh.eval().embed(windows(3), COORDS), model.eval().embed(windows(3), COORDS))


@needs_both
def test_training_twice_from_one_seed_is_bit_equal():
    first, second = (trained(lora(chunk=5)) for _ in range(2))
    for (name, mine), other in zip(first.named_parameters(), second.parameters(), strict=True):
        assert torch.equal(mine, other), name


@needs_both
def test_a_sample_does_not_depend_on_its_batch_mates_and_attention_is_stamps():
    model, x = lora(chunk=5).eval(), windows(5)
    with torch.no_grad():
        together = model.embed(x, COORDS)
        torch.testing.assert_close(together[2:3], model.embed(x[2:3], COORDS), rtol=1e-4, atol=1e-5)
        assert (together[2] - together[3]).abs().max() > 1e-4
        attention = model.attention(x, COORDS)
    assert attention.shape == (5, 2, N_CHANNELS * N_SECONDS)
    torch.testing.assert_close(attention.sum(-1), torch.ones(5, 2))


@needs_both
def test_an_input_norm_that_learns_from_the_training_split_sees_tokens():
    with seeded(0):
        model = StampLora(
            SPEC, encoder=tiny_moment(), stamp=partial(SMALL, input_norm="standardise"), rank=4
        )
    x = windows(20)
    model.eval().fit_input([x[:10], x[10:]])
    with torch.no_grad():
        normed = model.stamp.input_norm(model.tokens(x).transpose(1, 2))
    torch.testing.assert_close(
        normed.mean((0, 1)), torch.zeros(N_CHANNELS, normed.shape[-1]), rtol=0, atol=1e-3
    )


# --- what can be wrong ---


def test_an_encoder_without_weights_is_refused():
    with pytest.raises(EegfmError, match=r"spectrum.*encoder@model.encoder=moment"):
        lora(Spectrum())


def test_tokens_and_broken_seconds_are_refused():
    with pytest.raises(EegfmError, match="encoder=raw"):
        StampLora(token_spec(3, 2, 32), encoder=tiny_moment(), stamp=SMALL)
    for n_times, sfreq in ((450, 200.0), (400, 250.0)):
        spec = SampleSpec(MONTAGE, (N_CHANNELS, n_times), sfreq, SPEC.classes)
        with pytest.raises(EegfmError, match="seconds of 200 samples"):
            StampLora(spec, encoder=tiny_moment(), stamp=SMALL)


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"lora_dropout": 1.0}, {"chunk": 0}])
def test_numbers_that_cannot_be_are_refused(wrong):
    with pytest.raises(EegfmError, match=next(iter(wrong))):
        lora(**wrong)


@needs("transformers")
def test_a_missing_package_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)  # how Python marks what cannot be imported
    with pytest.raises(EegfmError, match=r"need peft.*make setup-tsfm"):
        lora()

"""What Eegm2 promises about lengths, channels, gradients, embeddings, causality and streams."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eegfm.config.make import make
from eegfm.contracts import Embeds, ShowsLayers
from eegfm.models.eegm2 import Eegm2
from eegfm.nn.covariance import log_covariance
from eegfm.nn.mamba2 import scans_used
from tests.composed import composed
from tests.models.eegm2 import COORDS, raw_spec
from tests.models.variants import VARIANTS, named
from tests.nn.tokens import as_a_person, float64, randn, randomise, seeded

N_CHANNELS, N_TIMES = 3, 64
SMALL = {"width_scale": 4, "d_state": 8}
each_variant = pytest.mark.parametrize("options", [{}, *VARIANTS["eegm2"]], ids=named)


def eegm2(n_channels=N_CHANNELS, n_times=N_TIMES, *, seed=0, **options):
    with seeded(seed):
        return Eegm2(raw_spec(n_channels, n_times), **{**SMALL, **options})


def windows(n, seed=0, n_channels=N_CHANNELS, n_times=N_TIMES):
    return randn(n, n_channels, n_times, seed=seed)


def both(model, x):
    """The reconstruction, if there is one, and the embedding, with one row for each window."""
    coords = COORDS[: x.shape[1]].to(x.dtype)
    found = [model.embed(x, coords)]
    if not model.light:
        found.append(model(x, coords).flatten(1))
    return torch.cat(found, 1)


# --- any model


def test_only_attention_draws_noise():
    for mixer in ("mamba2", "mamba1", "attention"):
        model, x = eegm2(mixer=mixer), windows(2)
        noisy = both(model.train(), x)
        assert torch.equal(noisy, both(model.eval(), x)) == (mixer != "attention"), mixer


@pytest.mark.parametrize("n_channels", [1, 2, 19, 64])
@pytest.mark.parametrize("options", [{}, {"embedding": "single"}, {"causal": True}], ids=named)
def test_any_number_of_channels(n_channels, options):
    model = eegm2(n_channels, **options)
    x = windows(1, n_channels=n_channels)
    assert model(x, COORDS[:n_channels]).shape == x.shape
    assert model.embed(x, COORDS[:n_channels]).shape == (1, model.width)


@pytest.mark.parametrize("options", [{}, {"mixer": "attention"}, {"causal": True}], ids=named)
def test_any_length_from_eight_samples_on(options):
    """Also another than the one it was made for."""
    model = eegm2(**options).eval()
    for n_times in (8, 9, 10, 13, 15, 16, 23, 31, 32, 40):
        x = windows(2, n_times=n_times)
        out = model(x, COORDS[:N_CHANNELS])
        assert out.shape == x.shape and torch.isfinite(out).all()
        embedded = eegm2(n_times=n_times, **options).eval().embed(x, COORDS[:N_CHANNELS])
        torch.testing.assert_close(embedded, model.embed(x, COORDS[:N_CHANNELS]))
        x = x.requires_grad_()
        (gradient,) = torch.autograd.grad(model.embed(x, COORDS[:N_CHANNELS]).sum(), x)
        assert torch.isfinite(gradient).all()  # one step of the bottleneck has no deviation


@pytest.mark.parametrize("name", ["layer", "pooling", "embedding", "mixer"])
def test_a_choice_that_is_none_is_refused_with_the_choices(name):
    with pytest.raises(ValueError, match=f"{name}='other' is not a choice"), as_a_person():
        eegm2(**{name: "other"})


@pytest.mark.parametrize(
    ("spec", "options", "sentence"),
    [
        ((3, 7), {}, "halves windows three times: it takes 8 samples or more, .* these have 7"),
        ((3, 40), {"mixer": "convolution"}, "16, 32, 48, .* these have 40"),
        ((3, 64), {"width_scale": 3}, "width_scale=3 must divide"),
        ((3, 64), {"mixer": "attention", "causal": True}, "causal=true is for mixer=mamba2"),
        ((3, 64), {"light": True}, "model.layer=pool3"),
        ((3, 64), {"mixer": "convolution", "layer": "pool3"}, "no pool3"),
        ((3, 64), {"layer": "mixer2", "pooling": "flatten"}, "and not mixer2"),
        ((3, 4, 200), {}, "Type encoder=raw"),
    ],
)
def test_what_does_not_go_together_is_refused_with_what_to_type(spec, options, sentence):
    made = raw_spec(3, 64)
    with pytest.raises(ValueError, match=sentence):
        Eegm2(type(made)(made.montage, spec, 128.0, made.classes), **options)


def test_windows_that_do_not_fit_are_refused():
    model = eegm2()
    for x, sentence in (
        (windows(1, n_channels=5), "made for 3 channels and was given 5"),
        (windows(1, n_times=7), "these have 7"),
    ):
        for run in (model, model.embed):
            with pytest.raises(ValueError, match=sentence):
                run(x, COORDS[: x.shape[1]])
    flat = eegm2(layer="output", pooling="flatten")
    with pytest.raises(
        ValueError, match=r"216 numbers of windows of 72 samples, not 192.*pooling=mean_std"
    ):
        flat.embed(windows(1, n_times=72), COORDS[:3])
    with pytest.raises(ValueError, match="encoder alone"):
        eegm2(light=True, layer="pool3")(windows(1), COORDS[:3])


# --- embeddings and layers


UP = ("mixer3", "rise2", "mixer2")


def test_embeddings_are_statistics_of_the_layer_they_name():
    x, coords = windows(2), COORDS[:3]
    for layer, path in (
        ("pool3", "pool3"),
        ("bottleneck", "bottleneck"),
        ("mixer3", "mixer3"),
        ("rise2", "rise2"),
        ("mixer2", "mixer2"),
        ("output", "output_embedding"),
    ):
        found = {}
        for pooling in ("mean", "mean_std", "logcov", *["flatten"] * (layer not in UP)):
            model = eegm2(layer=layer, pooling=pooling).eval()
            assert isinstance(model, Embeds)
            seen = []
            model.get_submodule(path).register_forward_hook(lambda m, i, o, seen=seen: seen.append(o))
            found[pooling] = model.embed(x, coords)
            assert found[pooling].shape == (2, model.width)
        h = seen[0].movedim(model.time_axis[path], 2)
        torch.testing.assert_close(found["mean"], h.mean(2))
        torch.testing.assert_close(found["logcov"], log_covariance(h))
        if layer not in UP:
            torch.testing.assert_close(found["flatten"], h.flatten(1))
        expected = torch.cat([h.mean(2), (h.var(2, correction=0) + 1e-5).sqrt()], 1)
        torch.testing.assert_close(found["mean_std"], expected)


@each_variant
def test_every_layer_that_is_shown_has_its_time_where_it_says(options):
    """Twice the window makes that axis of its output twice as long and no other."""
    model = eegm2(**{**options, "pooling": "mean"})
    assert isinstance(model, ShowsLayers) and model.time_axis
    shapes = []
    for n_times in (N_TIMES, 2 * N_TIMES):
        seen = {}
        handles = [
            model.get_submodule(path).register_forward_hook(
                lambda m, i, o, path=path, seen=seen: seen.__setitem__(path, o.shape)
            )
            for path in model.time_axis
        ]
        both(model, windows(2, n_times=n_times))
        for handle in handles:
            handle.remove()
        shapes.append(seen)
    assert shapes[0].keys() == model.time_axis.keys()
    for path, axis in model.time_axis.items():
        once, twice = shapes[0][path], shapes[1][path]
        assert [n for n in range(3) if once[n] != twice[n]] == [axis], path
        assert twice[axis] == 2 * once[axis]


def test_light_embeds_what_the_whole_net_shows_of_its_encoder():
    whole = eegm2(layer="pool3").eval()
    light = eegm2(light=True, layer="pool3", seed=1).eval()
    light.load_state_dict({key: v for key, v in whole.state_dict().items() if key in light.state_dict()})
    x = windows(2)
    torch.testing.assert_close(light.embed(x, COORDS[:3]), whole.embed(x, COORDS[:3]))


def test_the_way_of_the_scan_is_handed_on():
    x = windows(1)
    outs = []
    for scan, used in (("auto", "chunked"), ("recurrent", "recurrent")):
        model = eegm2(scan=scan)
        outs.append(model(x, COORDS[:3]))
        assert scans_used(model) == [used]
    torch.testing.assert_close(*outs, rtol=1e-4, atol=1e-5)


def test_what_must_not_decay_says_so_or_has_fewer_than_two_axes():
    for mixer in ("mamba2", "mamba1"):
        for name, parameter in eegm2(mixer=mixer).named_parameters():
            decays = parameter.ndim >= 2 and not getattr(parameter, "_no_weight_decay", False)
            assert decays == (name.endswith("weight") and "norm" not in name), name


# --- causality


def changed_after(model, t, x):
    """Which outputs move when every input from t on does."""
    other = x.clone()
    other[..., t:] += randn(*x[..., t:].shape, seed=9)
    coords = COORDS[: x.shape[1]].to(x.dtype)
    return ((model(x, coords) - model(other, coords)).abs() > 1e-9).any(1).any(0)


@pytest.mark.parametrize("n_times", [64, 61])
@pytest.mark.parametrize("embedding", ["branches", "single"])
def test_a_causal_output_depends_on_no_input_after_its_latency(embedding, n_times):
    """The latency is exact: the first sample of a block does see the last one, seven samples later."""
    with float64():
        model = randomise(eegm2(causal=True, embedding=embedding), scale=0.2).eval()
        assert model.latency == 7
        x = windows(2, n_times=n_times)
        for t in (1, 7, 8, 20, 31, 32, 55):
            moved = changed_after(model, t, x)
            assert not moved[: max(0, t - model.latency)].any()
            assert moved.nonzero().min() == t // 8 * 8


def test_the_published_net_looks_ahead():
    """Its convolutions and its way up look ahead, and so does its whole window."""
    with float64():
        model = randomise(eegm2(), scale=0.2).eval()
        assert model.latency is None
        assert changed_after(model, 32, windows(2)).nonzero().min() < 32 - 8


def streamed(model, x, cuts):
    state, found = None, []
    for piece in x.tensor_split(sorted(cuts), dim=-1):
        y, state = model.stream(piece, COORDS[: x.shape[1]].to(x.dtype), state)
        found.append(y)
    return torch.cat(found, -1), state


@settings(deadline=None, max_examples=12)
@given(
    cuts=st.lists(st.integers(0, 100), max_size=6),
    seed=st.integers(0, 5),
    options=st.sampled_from(
        [{}, {"embedding": "single"}, {"d_conv": 4}, {"d_conv": 1}, {"scan": "recurrent"}]
    ),
)
def test_a_stream_in_any_pieces_is_one_pass(cuts, seed, options):
    """Pieces of no samples too. What waits for its block comes with zeros at the end, as one pass does it."""
    with float64(), torch.no_grad():
        model = eegm2(causal=True, seed=seed, **options).eval()
        x = windows(2, seed=seed, n_times=100)
        coords = COORDS[:3].double()
        expected = model(x, coords)
        found, state = streamed(model, x, cuts)
        assert found.shape[-1] == 96 and state.waiting.shape[-1] == 4
        rest, _ = model.stream(torch.zeros(2, 3, 4), coords, state)
        found = torch.cat([found, rest[..., :4]], -1)
    assert (found - expected).abs().max() < 1e-12 * max(1.0, float(expected.abs().max()))


def test_the_state_of_a_stream_does_not_grow_and_holds_no_recording():
    def held(state):
        return sum(v.untyped_storage().nbytes() for v in tensors(state))

    model = eegm2(causal=True).eval()
    with torch.no_grad():
        _, after_one = model.stream(windows(1, n_times=17), COORDS[:3])
        _, after_many = streamed(model, windows(1, n_times=4001), range(900, 4000, 900))
    assert held(after_many) == held(after_one) < 300_000


def test_a_stream_can_be_left_and_gone_on_with():
    """The state handed in is not changed: two futures of one past."""
    model, x = eegm2(causal=True).eval(), windows(1, n_times=60)
    with torch.no_grad():
        _, state = model.stream(x[..., :21], COORDS[:3])
        first, _ = model.stream(x[..., 21:], COORDS[:3], state)
        model.stream(windows(1, seed=3, n_times=30), COORDS[:3], state)
        again, _ = model.stream(x[..., 21:], COORDS[:3], state)
    assert torch.equal(first, again)


@pytest.mark.slow
def test_a_stream_can_be_exported_with_its_state():
    """Block by block, the state in and out as tensors: the small program for a small device."""

    class Block(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, x, coords, state):
            return self.model.stream(x, coords, state)

    model, x = eegm2(causal=True).eval(), windows(1, n_times=40)
    with torch.no_grad():
        state = model.initial_state(x)
        program = torch.export.export(Block(model), (x[..., :8], COORDS[:3], state)).module()
        found = []
        for piece in x.split(8, -1):
            y, state = program(piece, COORDS[:3], state)
            found.append(y)
        torch.testing.assert_close(torch.cat(found, -1), model(x, COORDS[:3]), rtol=1e-5, atol=1e-5)


def test_an_empty_past_may_be_given_as_tensors():
    model, x = eegm2(causal=True).eval(), windows(2, n_times=21)
    empty, later = model.initial_state(x), model.stream(x, COORDS[:3])
    given = model.stream(x, COORDS[:3], empty)
    assert torch.equal(given[0], later[0])
    assert [v.shape for v in tensors(empty.layers)] == [v.shape for v in tensors(later[1].layers)]
    assert not any(v.any() for v in tensors(empty))


def tensors(value):
    return [value] if isinstance(value, torch.Tensor) else [t for v in value for t in tensors(v)]


@pytest.mark.parametrize("options", [{}, {"causal": True, "light": True, "layer": "pool3"}], ids=named)
def test_a_net_that_cannot_stream_says_so(options):
    with pytest.raises(ValueError, match=r"model\.causal=true"):
        eegm2(**options).stream(windows(1), COORDS[:3])


def test_causal_parameters_are_those_of_the_centred_net():
    assert list(eegm2().state_dict()) == list(eegm2(causal=True).state_dict())


# --- the configs


def test_the_repaired_presets_differ_from_the_published_ones_where_they_say():
    """Rates, batches and the network are the same; the published values stand in tests/parity/test_eegm2_numbers.py."""
    repaired = composed("model=eegm2", "task=reconstruct")
    published = composed("model=eegm2", "task=reconstruct_published")
    finetune, published_finetune = (
        composed(f"adapt={a}") for a in ("eegm2_finetune", "eegm2_published_finetune")
    )
    for node in ("model", "data", "trainer"):
        assert published[node] == repaired[node]
    for node in ("optimizer", "schedule"):
        assert published.task[node] == repaired.task[node]
    assert (repaired.task.mask.ratio, repaired.task.mask.span_s) == (0.5, 0.25)
    assert {k for k, v in repaired.task.loss.items() if v} == {"l1", "stft"}
    assert repaired.task.decay == "matrices"
    assert published_finetune.task.scale == published.task.scale == "quantile"
    backbone = make(published_finetune.model, "model")(raw_spec(20, 1000))
    assert backbone.width == 20 * 1000
    assert finetune.task.schedule is None and finetune.task.scale == repaired.task.scale
    for adapted, alone in ((finetune, repaired), (published_finetune, published)):
        assert (
            adapted.pretrain.task == alone.task
        )  # what is pre-trained by the way is what the task alone trains

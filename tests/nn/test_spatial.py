"""The spatial embedding: a matrix that knows places and nothing else, and what it starts as."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from eegfm.contracts import EegfmError
from eegfm.nn.spatial import HEAD_RADIUS, Spatial, spectrum
from eegfm.signal.montage import TEN_TEN, layout, montage_of, template_frame
from tests.nn.tokens import randn

EMOTIV = tuple("AF3 F7 F3 FC5 T7 P7 O1 O2 P8 T8 FC6 F4 F8 AF4".split())
SETTINGS = [{"start": "published"}, {}, {"signed": True}]
places = st.integers(0, 2**31)


def made(seed=0, dtype=torch.float32, targets=None, learned=1.0, **kwargs):
    """An embedding to the 90 places; `learned` multiplies its network, which starts small."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        targets = layout("distinct").coords if targets is None else targets
        spatial = Spatial(torch.as_tensor(targets), **kwargs)
    with torch.no_grad():
        spatial.net[-1].weight.mul_(learned)
    return spatial.to(dtype)


def head(n, seed, dtype=torch.float32):
    """Places on a head of 0.095 m and within it."""
    generator = torch.Generator().manual_seed(seed)
    d = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    radius = 0.07 + 0.025 * torch.rand(n, 1, generator=generator, dtype=torch.float64)
    return (radius * d / d.norm(dim=1, keepdim=True)).to(dtype)


def test_the_published_weights_are_those_of_its_definition():
    """By loops in NumPy: softmax over channels of w2 . relu(w1 (target - channel) + b1) + b2, all in metres."""
    spatial, coords = made(start="published", dtype=torch.float64, learned=30.0), head(5, 1, torch.float64)
    assert {name: tuple(p.shape) for name, p in spatial.state_dict().items()} == {
        "net.0.weight": (32, 3),
        "net.0.bias": (32,),
        "net.2.weight": (1, 32),
        "net.2.bias": (1,),
    }
    w1, b1, w2, b2 = (p.detach().numpy() for p in spatial.parameters())
    expected = np.empty((90, 5))
    for row, target in zip(expected, spatial.targets.numpy(), strict=True):
        logits = [
            float((w2 @ np.maximum(w1 @ (target - place) + b1, 0) + b2)[0]) for place in coords.numpy()
        ]
        row[:] = np.exp(logits) / np.exp(logits).sum()
    assert expected.std(axis=1).min() > 1e-3  # not the plain mean
    np.testing.assert_allclose(spatial.weights(coords).detach().numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("signed", [False, True])
def test_the_local_weights_are_those_of_its_definition(signed):
    spatial, coords = made(signed=signed, dtype=torch.float64, learned=5.0), head(6, 2, torch.float64)
    d = (spatial.targets[:, None] - coords) / 0.095
    near = spatial.net(d) - d.norm(dim=-1, keepdim=True) ** 2 / (2 * spatial.log_reach.exp() ** 2)
    expected = near[..., 0].exp() / near[..., 0].exp().sum(1, keepdim=True)
    if signed:
        broad = near[..., 1].exp() / near[..., 1].exp().sum(1, keepdim=True)
        expected = 2 * expected - broad
    torch.testing.assert_close(spatial.weights(coords), expected, rtol=1e-10, atol=1e-12)
    assert set(spatial.state_dict()) == {"net.0.weight", "net.0.bias", "net.2.weight", "log_reach"} | (
        {"contrast"} if signed else set()
    )


@pytest.mark.parametrize("kwargs", SETTINGS)
@settings(max_examples=15, deadline=None)
@given(n=st.integers(1, 70), seed=places, learned=st.sampled_from([1.0, 30.0]))
def test_rows_sum_to_one(kwargs, n, seed, learned):
    weights = made(seed % 97, learned=learned, **kwargs).weights(head(n, seed))
    assert weights.shape == (90, n)
    torch.testing.assert_close(weights.sum(1), torch.ones(90), atol=2e-5, rtol=0)
    assert kwargs.get("signed") or weights.min() >= 0


@pytest.mark.parametrize("kwargs", SETTINGS)
@settings(max_examples=10, deadline=None)
@given(n=st.integers(2, 40), seed=places)
def test_the_order_of_channels_does_not_matter(kwargs, n, seed):
    spatial, coords = made(1, torch.float64, learned=10.0, **kwargs), head(n, seed, torch.float64)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, n, 7, generator=generator, dtype=torch.float64)
    order = torch.randperm(n, generator=generator)
    torch.testing.assert_close(
        spatial(x[:, order], coords[order]), spatial(x, coords), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("kwargs", SETTINGS)
@settings(max_examples=10, deadline=None)
@given(seed=places, shift=st.tuples(*[st.floats(-0.2, 0.2)] * 3))
def test_shifting_head_and_targets_together_changes_nothing(kwargs, seed, shift):
    there, coords, shift = (
        head(20, seed + 1, torch.float64),
        head(9, seed, torch.float64),
        torch.tensor(shift),
    )
    here, moved = (made(3, torch.float64, t, 10.0, **kwargs) for t in (there, there + shift))
    torch.testing.assert_close(
        moved.weights(coords + shift), here.weights(coords), rtol=1e-5, atol=1e-6
    )  # targets are made as float32


@pytest.mark.parametrize("kwargs", SETTINGS)
@settings(max_examples=10, deadline=None)
@given(n=st.integers(1, 20), ignored=st.integers(1, 5), seed=places)
def test_channels_without_a_place_are_as_if_absent(kwargs, n, ignored, seed):
    """Whatever their samples are: their weight is exactly zero, and zero times infinity is never computed."""
    spatial, coords = made(2, torch.float64, learned=10.0, **kwargs), head(n, seed, torch.float64)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, n, 7, generator=generator, dtype=torch.float64)
    bad = torch.tensor([math.nan, math.inf, -math.inf, 1e300, 0.0]).double()[:ignored]
    order = torch.randperm(n + ignored, generator=generator)
    padded = torch.cat([x, bad[:, None].expand(2, ignored, 7)], dim=1)[:, order]
    nowhere = torch.full((ignored, 3), math.nan, dtype=torch.float64)
    nowhere[0, 1:] = 0.0  # one coordinate missing is no place either
    everywhere = torch.cat([coords, nowhere])[order]
    torch.testing.assert_close(spatial(padded, everywhere), spatial(x, coords), rtol=1e-9, atol=1e-12)
    weights = spatial.weights(everywhere)
    assert torch.equal((weights == 0).all(0), order >= n)
    grown = torch.autograd.grad(spatial(padded, everywhere).square().sum(), list(spatial.parameters()))
    alone = torch.autograd.grad(spatial(x, coords).square().sum(), list(spatial.parameters()))
    for with_ignored, without in zip(grown, alone, strict=True):
        torch.testing.assert_close(with_ignored, without, rtol=1e-7, atol=1e-9)


def test_samples_of_ignored_channels_change_no_bit():
    spatial, coords = made(), head(12, 0)
    coords[[3, 7]] = math.nan
    x = torch.randn(2, 12, 50, generator=torch.Generator().manual_seed(0))
    y = spatial(x, coords)
    x[:, [3, 7]] = math.nan
    assert torch.equal(spatial(x, coords), y)


def test_a_place_that_is_none_sees_nothing():
    """Leading back to channels: one at NaN gets zero, not NaN, and gives no NaN to any gradient."""
    spatial, coords = made(signed=True), head(6, 0)
    coords[2] = math.nan
    back = spatial.between(spatial.targets, coords)
    assert back.shape == (6, 90) and bool((back[2] == 0).all())
    torch.testing.assert_close(back.sum(1), torch.tensor([1.0, 1, 0, 1, 1, 1]))
    back.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in spatial.parameters())


@pytest.mark.parametrize("kwargs", SETTINGS)
def test_millimetres_are_refused(kwargs):
    coords = torch.tensor(montage_of(EMOTIV).coords).float()
    with pytest.raises(EegfmError, match=r"millimetres: divide them by 1000"):
        made(**kwargs).weights(coords * 1000)
    with pytest.raises(EegfmError, match=r"targets reach 141.* where metres"):
        made(targets=layout("distinct").coords * 1000, **kwargs)


def test_a_montage_without_any_place_is_refused():
    with pytest.raises(EegfmError, match="None of the 4 channels has a place"):
        made()(torch.zeros(1, 4, 8), torch.full((4, 3), math.nan))


def test_what_cannot_be_is_refused():
    with pytest.raises(EegfmError, match="no weights below zero"):
        made(start="published", signed=True)
    with pytest.raises(EegfmError, match="target of the spatial embedding has no place"):
        made(targets=np.array([[0.0, 0.0, 0.1], [np.nan] * 3]))


@pytest.mark.parametrize("names", [EMOTIV, TEN_TEN], ids=["emotiv", "64"])
def test_the_published_start_is_the_mean_of_the_channels(names):
    """Over 40 random starts: all weights within some percent of 1/C, the second singular value about 0.001."""
    coords = torch.tensor(template_frame(montage_of(names).coords)).float()
    targets = layout("standard_1020", "template").coords
    found = [made(seed, targets=targets, start="published").weights(coords) for seed in range(40)]
    second = np.array([spectrum(weights)["second"] for weights in found])
    assert 5e-4 < np.median(second) < 2.5e-3 and second.max() < 0.01
    spread = torch.stack([weights * len(names) for weights in found])
    assert 0.9 < spread.min() and spread.max() < 1.1
    assert spread.flatten(1).sub(1).abs().amax(1).median() < 0.04


def test_scaling_alone_does_not_make_it_local():
    """The published network on the unit sphere: the second singular value is some hundredths of the first, no more."""
    coords, targets = montage_of(TEN_TEN).coords, layout("standard_1020").coords
    second = []
    for seed in range(40):
        spatial = made(seed, targets=targets, start="published")
        d = (spatial.targets[:, None] - torch.tensor(coords).float()) / HEAD_RADIUS
        second.append(spectrum(spatial.net(d)[..., 0].softmax(1))["second"])
    assert 0.02 < np.median(second) < 0.08


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("names", [EMOTIV, TEN_TEN], ids=["emotiv", "64"])
def test_the_local_start_looks_at_neighbours(names, signed):
    """Every electrode's own place sees that electrode most, and what is far hardly; most channels get through."""
    montage = montage_of(names)
    for seed in range(5):
        spatial = made(seed, targets=montage.coords, signed=signed)
        weights = spatial.weights(torch.tensor(montage.coords).float())
        assert torch.equal(weights.argmax(1), torch.arange(len(names)))
        far = torch.cdist(spatial.targets, spatial.targets) > 0.1
        assert weights[far].abs().max() < (0.1 if signed else 0.02)
        found = spectrum(made(seed, signed=signed).weights(torch.tensor(montage.coords).float()))
        assert found["second"] > 0.85 and found["effective_rank"] > 0.6 * len(names)


def test_signed_weights_start_as_a_surface_laplacian():
    """A field that is everywhere the same passes as it is; a hill stands out, with a trough around it."""
    montage = montage_of(TEN_TEN)
    coords = torch.tensor(montage.coords).float()
    plain, signed = (made(signed=s, targets=montage.coords) for s in (False, True))
    flat = torch.full((1, 64, 1), 3.0, dtype=torch.float64)
    exact = made(signed=True, targets=montage.coords, dtype=torch.float64)
    torch.testing.assert_close(exact(flat, coords.double()), flat, rtol=1e-12, atol=0)
    hill = torch.exp(-((coords - coords[TEN_TEN.index("Cz")]).norm(dim=1) ** 2) / (2 * 0.03**2))[
        None, :, None
    ]
    at = TEN_TEN.index("Cz")
    assert signed(hill, coords)[0, at] > plain(hill, coords)[0, at] + 0.1
    assert signed(hill, coords).min() < -0.02 and plain(hill, coords).min() >= 0


def rounding(dtype, x) -> float:
    """Rounding of a mean of ten channels in float32, and of windows, weights, result in `dtype`: half an eps each."""
    return (10 * torch.finfo(torch.float32).eps + 2 * torch.finfo(dtype).eps) * float(x.abs().max())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_windows_keep_their_precision(dtype):
    spatial, coords = made(), head(10, 0)
    x = torch.randn(2, 10, 16, generator=torch.Generator().manual_seed(0))
    y = spatial(x.to(dtype), coords)
    assert y.dtype == dtype
    torch.testing.assert_close(y.float(), spatial(x, coords), atol=rounding(dtype, x), rtol=0)


def test_weights_are_exact_under_autocast():
    """Displacements of a few millimetres and their squares would lose their digits in bfloat16."""
    spatial, coords = made(), head(10, 0)
    x = torch.randn(2, 10, 16, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(spatial.weights(coords), spatial.weights(coords).float())
        weights, y = spatial.weights(coords), spatial(x, coords)
    assert torch.equal(weights, spatial.weights(coords)) and y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), spatial(x, coords), atol=rounding(torch.bfloat16, x), rtol=0)


def test_all_parameters_learn_but_a_bias_that_no_softmax_sees():
    for kwargs in SETTINGS:
        spatial, coords = made(dtype=torch.float64, **kwargs), head(10, 0, torch.float64)
        spatial(randn(2, 10, 16, dtype=torch.float64), coords).square().sum().backward()
        for name, parameter in spatial.named_parameters():
            assert torch.isfinite(parameter.grad).all()
            assert (parameter.grad.abs().max() > 1e-9) != (name == "net.2.bias"), name


class _WithWindows(nn.Module):
    def __init__(self, **kwargs):
        super().__init__()
        self.spatial = made(**kwargs)

    def forward(self, x, coords):
        return self.spatial(x, coords)


@pytest.mark.parametrize("kwargs", SETTINGS)
def test_it_can_be_exported(kwargs):
    """One program for any number of channels, also of those that are to be ignored."""
    model = _WithWindows(**kwargs).eval()
    channel = torch.export.Dim("channel", min=2, max=256)
    program = torch.export.export(
        model, (torch.randn(2, 10, 16), head(10, 0)), dynamic_shapes=({1: channel}, {0: channel})
    ).module()
    coords = head(19, 1)
    coords[4] = math.nan
    x = torch.randn(2, 19, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(program(x, coords), model(x, coords))


def test_the_spectrum_is_that_of_numpy():
    weights = np.random.default_rng(0).random((12, 10))
    values = np.linalg.svd(weights, compute_uv=False)
    found = spectrum(torch.tensor(weights))
    np.testing.assert_allclose(found["singular_values"], (values / values[0])[:8], rtol=1e-5)
    assert found["second"] == pytest.approx(values[1] / values[0], rel=1e-5)
    assert spectrum(torch.eye(7))["effective_rank"] == pytest.approx(7)
    assert spectrum(torch.full((5, 4), 0.25))["effective_rank"] == pytest.approx(1)
    assert spectrum(torch.ones(5, 1)) == {"singular_values": [1.0], "second": 0.0, "effective_rank": 1.0}

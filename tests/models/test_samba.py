"""What Samba promises about montages, lengths, causality, streams and its ablations."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eegfm.contracts import EegfmError, MapsPlaces, SampleSpec
from eegfm.models.samba import Samba
from eegfm.nn.masks import hide
from eegfm.signal.montage import layout, montage_of, to_template
from tests.models.samba import CAP, EMOTIV, coords_of, ours, published, spec_of
from tests.nn.tokens import as_a_person, randn, seeded

CLINICAL = montage_of("Fp1 Fp2 F7 F3 Fz F4 F8 T3 C3 Cz C4 T4 T5 P3 Pz P4 T6 O1 O2".split())
SMALL = {"width_scale": 8}


def small(montage=EMOTIV, seed=0, **options):
    with seeded(seed):
        return ours(montage, **SMALL | options).eval()


def test_one_network_takes_any_montage_without_a_change():
    model = small(EMOTIV)
    for montage in (EMOTIV, CLINICAL, CAP):
        x = randn(2, len(montage.names), 100)
        assert model(x, coords_of(montage)).shape == x.shape
        assert model.embed(x, coords_of(montage)).shape == (2, model.width)
    assert {key: value.shape for key, value in model.state_dict().items()} == {
        key: value.shape for key, value in small(CAP).state_dict().items()
    }


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), signed=st.booleans())
def test_the_order_of_channels_says_nothing(seed, signed):
    model = small(seed=seed, signed=signed)
    x, coords = randn(2, 14, 64, seed=seed), coords_of(EMOTIV)
    order = torch.randperm(14, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        torch.testing.assert_close(
            model(x[:, order], coords[order]), model(x, coords)[:, order], rtol=1e-4, atol=1e-4
        )
        torch.testing.assert_close(
            model.embed(x[:, order], coords[order]), model.embed(x, coords), rtol=1e-4, atol=1e-4
        )


def test_a_channel_without_a_place_is_as_if_absent_and_comes_back_as_zero():
    model = small()
    x, coords = randn(2, 14, 64), coords_of(EMOTIV)
    coords[3] = torch.nan
    x[:, 3] = torch.inf
    rest = [i for i in range(14) if i != 3]
    with torch.no_grad():
        given_back = model(x, coords)
        torch.testing.assert_close(
            given_back[:, rest], model(x[:, rest], coords[rest]), rtol=1e-5, atol=1e-5
        )
        torch.testing.assert_close(
            model.embed(x, coords), model.embed(x[:, rest], coords[rest]), rtol=1e-5, atol=1e-5
        )
    assert not given_back[:, 3].any()


def test_coordinates_may_come_in_another_frame_that_targets_share():
    """The published targets are in the template's frame: moved there, channels see the head as if all were in ours."""
    x, coords = randn(2, 14, 64), coords_of(EMOTIV)
    options = {"look": "published", **SMALL}
    with seeded(0):
        here = Samba(spec_of(), targets=layout("standard_1020"), **options).eval()
    with seeded(0):
        there = Samba(
            spec_of(), targets=layout("standard_1020", "template"), move=to_template(), **options
        ).eval()
    rotation = torch.tensor(to_template()[:3, :3], dtype=torch.float32)
    with torch.no_grad():  # the same displacements, turned by three degrees
        for spatial in (there.spatial, there.back):
            spatial.net[0].weight.copy_(spatial.net[0].weight @ rotation.T)
        torch.testing.assert_close(there(x, coords), here(x, coords), rtol=1e-4, atol=1e-4)
        off = there(x, coords + torch.tensor([0.0, 0.03, 0.04]))
    assert (off - here(x, coords)).abs().max() > 1e-5


def test_ours_does_not_depend_on_the_windows_length_but_at_its_end_and_the_published_one_does():
    x = randn(1, 14, 512)
    coords = coords_of(EMOTIV)
    with torch.no_grad(), seeded(1):
        for model, depends in ((small(), False), (published(n_times=512, **SMALL).eval(), True)):
            apart = (model(x, coords)[..., :300] - model(x[..., :400], coords)[..., :300]).abs().max()
            assert (apart > 1e-4) == depends


def test_at_the_start_ours_sees_places_and_the_published_one_the_mean():
    coords = coords_of(CAP)
    first, second = torch.linalg.svdvals(small(CAP).spatial_weights(coords).detach())[:2]
    assert second / first > 0.5
    first, second = torch.linalg.svdvals(published(CAP, **SMALL).spatial_weights(coords).detach())[:2]
    assert second / first < 0.005
    assert isinstance(small(), MapsPlaces)


@pytest.mark.slow
def test_it_learns_to_fill_what_is_hidden():
    """A source that all channels share, as far as they are near: in a few steps better than saying nothing."""
    model = small().train()
    coords = coords_of(EMOTIV)
    near = torch.exp(-((coords - coords[0]).norm(dim=1) / 0.08).square())[:, None]
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    t = torch.arange(128) / 200
    for step in range(60):
        phase = 6.3 * torch.rand(16, 1, 1, generator=torch.Generator().manual_seed(step))
        x = near * torch.sin(2 * torch.pi * 6 * t + phase)
        hidden = torch.zeros_like(x, dtype=torch.bool)
        hidden[..., 40:60] = True
        loss = (model(hide(x, hidden), coords) - x)[hidden].square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.5 * x[hidden].square().mean()


@settings(max_examples=10, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 100), max_size=6).map(sorted), seed=st.integers(0, 100), conv=st.booleans()
)
def test_a_stream_in_any_pieces_is_one_pass(cuts, seed, conv):
    model = small(seed=seed, causal=True, mixer="convolution" if conv else "mamba2")
    x, coords = randn(2, 14, 100, seed=seed), coords_of(EMOTIV)
    with torch.no_grad():
        expected = model(x, coords)
        found, state = [], None
        for start, stop in zip([0, *cuts], [*cuts, 100], strict=True):
            y, state = model.stream(x[..., start:stop], coords, state)
            found.append(y)
        assert state.waiting.shape[-1] == 4
        found.append(model.stream(torch.zeros(2, 14, 4), coords, state)[0][..., :4])
    found = torch.cat(found, -1)
    assert (found - expected).abs().max() < 1e-5 * max(1.0, float(expected.abs().max()))


def test_causal_says_no_block_before_it_has_come():
    model, x, coords = small(causal=True), randn(1, 14, 96), coords_of(EMOTIV)
    changed = x.clone()
    changed[..., 56:] += 1
    with torch.no_grad():
        assert torch.equal(model(changed, coords)[..., :56], model(x, coords)[..., :56])
        assert not torch.equal(small()(changed, coords)[..., :56], small()(x, coords)[..., :56])
    assert model.latency == 7 and small().latency is None


@pytest.mark.slow
def test_a_stream_can_be_exported_with_its_state():
    model, x, coords = small(causal=True), randn(1, 14, 24), coords_of(EMOTIV)

    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, x, coords, state):
            return self.model.stream(x, coords, state)

    with torch.no_grad():
        state = model.initial_state(x)
        program = torch.export.export(Block(), (x[..., :8], coords, state)).module()
        found = []
        for start in (0, 8, 16):
            y, state = program(x[..., start : start + 8], coords, state)
            found.append(y)
        torch.testing.assert_close(torch.cat(found, -1), model(x, coords), rtol=1e-4, atol=1e-5)


def test_choices_that_do_not_go_together_are_refused_with_what_to_type():
    with as_a_person():
        for options, said in (
            ({"width_scale": 3}, "width_scale=3"),
            ({"causal": True, "norm": "published"}, "norm=per_token"),
            ({"look": "none"}, "model.head=published"),
            ({"look": "nearest"}, "look="),
            ({"n_times": 7}, "8 samples or more"),
        ):
            with pytest.raises(EegfmError, match=said):
                ours(**options)
        mixed = SampleSpec(CAP, (64, 100), 200.0, (), ("a", "b"), (CAP, EMOTIV))
        with pytest.raises(EegfmError, match="head=coordinates"):
            Samba(mixed, targets=layout("distinct"), head="published")
        with pytest.raises(EegfmError, match=r"14 channels and was given 19"):
            published(**SMALL)(randn(1, 19, 64), coords_of(CLINICAL))
        with pytest.raises(EegfmError, match="coordinates of 19"):
            small()(randn(1, 14, 64), coords_of(CLINICAL))
        with pytest.raises(EegfmError, match="divide them by 1000"):
            small()(randn(1, 14, 64), 1000 * coords_of(EMOTIV))
        with pytest.raises(EegfmError, match=r"model\.causal=true"):
            small().stream(randn(1, 14, 64), coords_of(EMOTIV))
        tokens = SampleSpec(EMOTIV, (14, 4, 32), 200.0, ())
        with pytest.raises(EegfmError, match="encoder=raw"):
            Samba(tokens, targets=layout("distinct"))
    assert np.isfinite(to_template()).all()

"""The Mamba-2 layer: streams, and the ways it can be computed (layout and first weights: tests/parity)."""

import importlib.util
import logging
import math
import sys
import types

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eegfm.contracts import EegfmError
from eegfm.nn import mamba2
from eegfm.nn.mamba2 import Mamba2, State, scans_used
from tests.nn.scans import relative
from tests.nn.tokens import as_a_person, float64, randn, randomise, seeded

SMALL = {"d_state": 4, "expand": 2, "headdim": 4, "ngroups": 2}
EEGM2 = {"d_state": 16, "d_conv": 2, "expand": 8}


def layer(d_model=8, *, random=True, seed=0, **options) -> Mamba2:
    with seeded(seed):
        made = Mamba2(d_model, **{**SMALL, **options})
    return randomise(made, seed) if random else made


def gradients(module, u, y):
    loss = (y * randn(*y.shape, seed=7, dtype=torch.float64).to(y)).sum()
    return torch.autograd.grad(loss, [u, *module.parameters()])


# --- layout and first weights


def test_first_steps_keep_their_floor_and_ranges_are_arguments():
    layer_ = layer(64, random=False, headdim=1, dt_min=1e-6, dt_max=1e-2, A_init_range=(2.0, 3.0))
    dt = torch.nn.functional.softplus(layer_.dt_bias).detach()
    assert float(dt.min()) / 1e-4 == pytest.approx(1, rel=1e-4)
    assert 0.3 < (dt < 1.0001e-4).float().mean() < 0.7  # log-uniform: half of it lies below the floor
    assert layer_.A_log.exp().min() >= 2 * (1 - 1e-6) and layer_.A_log.exp().max() <= 3 * (1 + 1e-6)


def test_what_must_not_decay_has_fewer_than_two_axes():
    """The rule that a task's optimiser can use: A_log, D, dt_bias, norms and biases, and nothing else."""
    layer_ = layer(bias=True)
    flat = {name for name, value in layer_.named_parameters() if value.ndim < 2}
    biases = {"conv1d.bias", "in_proj.bias", "out_proj.bias"}
    assert flat == {"A_log", "D", "dt_bias", "norm.weight"} | biases


# --- what it computes


@pytest.mark.parametrize("conv_bias", [True, False])
def test_gradients_of_the_layer_pass_gradcheck(conv_bias):
    """Against finite differences, for the input and every parameter: the convolution's is written by hand too."""
    with float64():
        module = layer(2, headdim=2, ngroups=1, d_state=2, d_conv=3, conv_bias=conv_bias, chunk=2)
        names = [name for name, _ in module.named_parameters()]

        def run(u, *values):
            return torch.func.functional_call(module, dict(zip(names, values, strict=True)), (u,))

        leaves = [v.detach().requires_grad_() for v in module.parameters()]
        assert torch.autograd.gradcheck(run, (randn(1, 5, 2).requires_grad_(), *leaves))


@settings(max_examples=20, deadline=None)
@given(time=st.integers(2, 60), data=st.data(), d_conv=st.integers(1, 4))
def test_causal_and_blind_to_other_samples(time, data, d_conv):
    at = data.draw(st.integers(1, time - 1))
    module, u = layer(d_conv=d_conv, chunk=8), randn(2, time, 8, seed=time)
    changed = u.clone()
    changed[0, at:] = randn(time - at, 8, seed=time + 1)
    y, found = module(u).detach(), module(changed).detach()
    torch.testing.assert_close(found[0, :at], y[0, :at], rtol=1e-5, atol=1e-5)
    assert torch.equal(found[1], y[1])
    assert not torch.allclose(found[0, at:], y[0, at:])


@settings(max_examples=30, deadline=None)
@given(
    time=st.integers(2, 60),
    data=st.data(),
    d_conv=st.integers(1, 4),
    scan=st.sampled_from(["auto", "recurrent"]),
    seed=st.integers(0, 5),
)
def test_a_stream_in_any_pieces_is_one_pass(time, data, d_conv, scan, seed):
    """Pieces shorter than the convolution too; of one step by `step` or by `stream`."""
    with float64():
        module, u = layer(d_conv=d_conv, scan=scan, chunk=8, seed=seed), randn(3, time, 8, seed=seed)
    cuts = sorted(data.draw(st.sets(st.integers(1, time - 1), max_size=8)))
    lengths = [b - a for a, b in zip([0, *cuts], [*cuts, time], strict=True)]
    by_step = data.draw(st.booleans())
    with torch.no_grad():
        expected = module(u)
        found, state = [], None
        for piece in u.split(lengths, dim=1):
            if by_step and piece.shape[1] == 1:
                y, state = module.step(piece[:, 0], state)
                found.append(y[:, None])
            else:
                y, state = module.stream(piece, state)
                found.append(y)
    assert relative(torch.cat(found, 1), expected) < 1e-12


def test_the_state_of_a_stream_does_not_grow():
    """Hours of recording: what is carried is a few numbers, and holds on to nothing larger."""
    module, state = layer(), None
    expected = 4 * (2 * (16 + 2 * 2 * 4) * 3 + 2 * 4 * 4 * 4)  # float32 of conv (features x past) and scan
    with torch.no_grad():
        for length in (1, 500, 7):
            _, state = module.stream(randn(2, length, 8), state)
            assert sum(v.untyped_storage().nbytes() for v in state) == expected


def test_a_gradient_flows_through_the_carried_state():
    with float64():
        module, u = layer(), randn(2, 20, 8).requires_grad_()
        y = module(u)
        expected = gradients(module, u, y)
        first, state = module.stream(u[:, :9])
        second, _ = module.stream(u[:, 9:], state)
        pieces = torch.cat((first, second), 1)
        for ours, theirs in zip(gradients(module, u, pieces), expected, strict=True):
            assert relative(ours, theirs) < 1e-10


def test_what_is_forgotten_and_computed_again_is_the_same():
    """With and without `remember`, at a length that it does not divide."""
    with float64():
        u = randn(2, 53, 8).requires_grad_()
        whole, pieces = layer(remember=None), layer(remember=10)
        expected, found = whole(u), pieces(u)
        assert relative(found, expected) < 1e-12
        for ours, theirs in zip(gradients(pieces, u, found), gradients(whole, u, expected), strict=True):
            assert relative(ours, theirs) < 1e-12
        with torch.no_grad():
            assert relative(pieces(u), expected) < 1e-12


def test_remember_bounds_what_is_kept():
    def kept(module):
        total = {}

        def count(v):
            total[v.untyped_storage().data_ptr()] = v.untyped_storage().nbytes()
            return v

        with torch.autograd.graph.saved_tensors_hooks(count, lambda v: v):
            y = module(u)
        assert y.grad_fn is not None
        return sum(total.values())

    u = randn(1, 4096, 16).requires_grad_()
    size = u.numel() * u.element_size()
    assert kept(layer(16, remember=256)) < 3 * size
    assert kept(layer(16, remember=None)) > 8 * size


def test_autocast_keeps_its_type_and_most_of_its_digits():
    module, u = layer(random=False, d_conv=4), randn(2, 100, 8).requires_grad_()
    expected = module(u)
    with torch.autocast("cpu", torch.bfloat16):
        y = module(u)
        _, state = module.stream(u)
    assert y.dtype == torch.bfloat16 and state.scan.dtype == torch.float32
    assert relative(y, expected) < 0.02
    for gradient in gradients(module, u, y):
        assert torch.isfinite(gradient).all()


def test_steps_stay_within_their_limits():
    """Limits that leave one value make dt that value, whatever the input."""
    with float64():
        u = randn(1, 12, 8)
        pinned, free = layer(dt_limit=(0.05, 0.05)), layer(dt_limit=(0.0, math.inf))
        with torch.no_grad():
            free.in_proj.weight[-free.sizes[2] :] = 0  # dt from its bias alone
            free.dt_bias.fill_(math.log(math.expm1(0.05)))
        assert relative(pinned(u), free(u)) < 1e-12


def test_a_step_can_be_exported_with_its_state():
    class Step(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer()

        def forward(self, u, conv, scan):
            y, state = self.layer.step(u, State(conv, scan))
            return y, *state

    u = randn(1, 5, 8)
    with as_a_person():
        module = Step()
        state = module.layer.initial_state(u)
        exported = torch.export.export(module, (u[:, 0], *state)).module()
        expected = module.layer(u)
        for t in range(5):
            y, *state = exported(u[:, t], *state)
            assert relative(y, expected[:, t]) < 1e-5


# --- which way, and what is said about it


def test_on_a_cpu_auto_is_chunked_and_fused_is_refused_with_a_way_out(monkeypatch):
    """And no kernel is looked for, whose import may take seconds."""
    monkeypatch.setattr(mamba2, "missing_kernels", lambda: pytest.fail("looked for kernels"))
    u = randn(1, 5, 8)
    assert layer(scan="auto").path(u) == "chunked"
    with pytest.raises(EegfmError, match=r"scan=fused cannot be had: the tensor is on cpu.*pip install"):
        layer(scan="fused")(u)


def test_the_ways_taken_can_be_asked_of_a_model():
    model = torch.nn.Sequential(layer(scan="chunked"), layer(scan="recurrent"), torch.nn.Linear(8, 8))
    assert scans_used(model) == []
    model(randn(1, 5, 8))
    assert scans_used(model) == ["chunked", "recurrent"]


def test_a_message_is_said_once(caplog):
    with caplog.at_level(logging.WARNING, logger="eegfm.nn.mamba2"):
        for _ in range(3):
            mamba2._say_once("once and for all")
    assert caplog.messages == ["once and for all"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"headdim": 5}, "must divide them"),
        ({"ngroups": 3}, "ngroups=3 must divide the 4 heads"),
        ({"d_state": 0}, "All sizes are positive"),
        ({"scan": "fast"}, "Choose one of: auto, fused, chunked, recurrent"),
    ],
    ids=str,
)
def test_sizes_that_do_not_fit_are_refused(options, sentence):
    with as_a_person(), pytest.raises(EegfmError, match=sentence):
        layer(**options)


# --- on a GPU


@pytest.fixture
def kernels():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    if importlib.util.find_spec("selective_scan_cuda") is None:
        # mamba-ssm's __init__ imports it for Mamba-1; a build without it still holds all of Mamba-2
        sys.modules.setdefault("selective_scan_cuda", types.ModuleType("selective_scan_cuda"))
    mamba2.missing_kernels.cache_clear()
    if (reason := mamba2.missing_kernels()) is not None:
        pytest.skip(reason)


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("dtype", "forward", "backward"),
    # float32: the kernels' products are in TF32, ten bits; bfloat16: eight bits
    [(torch.float32, 3e-3, 1e-2), (torch.bfloat16, 2e-2, 6e-2)],
    ids=["float32", "bfloat16"],
)
@pytest.mark.parametrize(
    "sizes", [EEGM2, {"d_state": 16, "expand": 4, "headdim": 16, "ngroups": 2}], ids=str
)
@pytest.mark.parametrize("time", [200, 1000])
def test_fused_is_chunked(kernels, dtype, forward, backward, sizes, time):
    with seeded(0):
        exact = Mamba2(32, **sizes, scan="chunked").cuda()
        fused = Mamba2(32, **sizes, scan="fused").cuda()
    fused.load_state_dict(exact.state_dict())
    u = randn(2, time, 32).cuda().requires_grad_()
    expected = exact(u)
    with torch.autocast("cuda", dtype, enabled=dtype != torch.float32):
        y = fused(u)
    assert fused.used == "fused"
    assert relative(y.float(), expected) < forward
    for ours, theirs in zip(gradients(fused, u, y), gradients(exact, u, expected), strict=True):
        assert relative(ours.float(), theirs) < backward


@pytest.mark.gpu
def test_chunked_on_a_gpu_is_chunked_on_a_cpu(kernels):
    module, u = layer(32, **{**EEGM2, "ngroups": 1, "headdim": 64}, scan="chunked"), randn(2, 300, 32)
    expected = module(u)
    assert relative(module.cuda()(u.cuda()).cpu(), expected) < 1e-4

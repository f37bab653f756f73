"""The scan: chunks, blocks and pieces rewrite the recurrence exactly, and so does the gradient written by hand."""

import pytest
import torch

from eegfm.nn import ssd, ssd_factored
from eegfm.nn.ssd import chunked, default_chunk, recurrent
from tests.nn.scans import relative, scan_inputs
from tests.nn.tokens import randn

LENGTHS = [*range(1, 11), 15, 16, 17, 23, 24, 25, 101]  # about chunks of 8, and blocks of 24


@pytest.fixture(params=[1, 3, 1000], ids=lambda n: f"{n} chunks a block")
def chunk_of_8(request, monkeypatch):
    """Chunks of 8 steps, in blocks of one, of three, and all at once."""
    monkeypatch.setitem(ssd.BLOCK, "cpu", request.param * 8 * 2 * 4 * 3)
    monkeypatch.setattr(ssd_factored, "BLOCK", request.param * 8 * 2 * 4 * 3)
    return 8


@pytest.fixture(params=["decays apart", "pair by pair"])
def decays(request, monkeypatch):
    """Both forms with a gradient written by hand: what a CPU takes where it can, and what every device does."""
    if request.param == "pair by pair":
        monkeypatch.setattr(ssd_factored, "RANGE", -1.0)


def run(form, inputs, **options):
    *inputs, first = inputs
    return form(*inputs, state=first, **options)


def gradients(outputs, inputs):
    y, last = outputs
    loss = (y * randn(*y.shape, seed=7, dtype=torch.float64).to(y.dtype)).sum() + last.sin().sum()
    return torch.autograd.grad(loss, inputs)


def written_out(x, dt, A, B, C, D, state):
    """The formula, with plain loops over everything, in Python's numbers."""
    x, dt, A, B, C, D, state = (v.tolist() for v in (x, dt, A, B, C, D, state))
    heads_a_group = len(A) // len(B[0][0])
    y = [[[[0.0] * len(row) for row in step_] for step_ in sample] for sample in x]
    for b, sample in enumerate(x):
        for t, step_ in enumerate(sample):
            for h, row in enumerate(step_):
                decay, g = (
                    torch.tensor(dt[b][t][h] * A[h], dtype=torch.float64).exp().item(),
                    h // heads_a_group,
                )
                for p, value in enumerate(row):
                    s = state[b][h][p]
                    for n in range(len(s)):
                        s[n] = decay * s[n] + dt[b][t][h] * value * B[b][t][g][n]
                    y[b][t][h][p] = sum(a * c for a, c in zip(s, C[b][t][g], strict=True)) + D[h] * value
    return torch.tensor(y, dtype=torch.float64), torch.tensor(state, dtype=torch.float64)


@pytest.mark.parametrize("form", [recurrent, chunked])
def test_every_form_is_the_formula(form):
    inputs = scan_inputs(time=7)
    for found, expected in zip(run(form, inputs), written_out(*inputs), strict=True):
        assert relative(found, expected) < 1e-14


def test_chunked_is_the_recurrence_at_every_length(chunk_of_8, decays):
    for time in LENGTHS:
        inputs = scan_inputs(time=time, seed=time)
        expected = run(recurrent, inputs)
        found = run(chunked, inputs, chunk=chunk_of_8)
        for ours, theirs in zip(found, expected, strict=True):
            assert relative(ours, theirs) < 1e-10, time


def test_gradients_are_those_of_the_recurrence(chunk_of_8, decays):
    for time in (1, 7, 8, 9, 24, 50):
        inputs = scan_inputs(time=time, seed=time)
        expected = gradients(run(recurrent, inputs), inputs)
        found = gradients(run(chunked, inputs, chunk=chunk_of_8), inputs)
        for ours, theirs in zip(found, expected, strict=True):
            assert relative(ours, theirs) < 1e-10, time


@pytest.mark.parametrize("sizes", [(8, 64, 1, 16), (8, 16, 8, 16), (6, 4, 2, 24)], ids=str)
@pytest.mark.parametrize("time", [63, 333])
def test_single_precision(decays, sizes, time):
    """At the default chunk: a hundred-thousandth of the largest value, forward and backward."""
    heads, size, groups, state = sizes
    inputs = scan_inputs(2, time, heads, size, groups, state, dtype=torch.float32)
    double = [v.detach().double().requires_grad_() for v in inputs]
    expected, found = run(recurrent, double), run(chunked, inputs)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == torch.float32
        assert relative(ours, theirs) < 1e-5
    for ours, theirs in zip(gradients(found, inputs), gradients(expected, double), strict=True):
        assert relative(ours, theirs) < 5e-5


def test_the_gradient_written_by_hand_passes_gradcheck(decays, monkeypatch):
    """Against finite differences: two blocks of two chunks, and a tail."""
    monkeypatch.setitem(ssd.BLOCK, "cpu", 4 * 2)
    monkeypatch.setattr(ssd_factored, "BLOCK", 4 * 2)
    inputs = scan_inputs(batch=1, time=9, heads=2, size=1, state=2)
    assert torch.autograd.gradcheck(lambda *v: run(chunked, v, chunk=2), inputs)


def test_without_skip_and_without_a_first_state():
    x, dt, A, B, C, D, first = scan_inputs(time=21)
    leaves = (x, dt, A, B, C)
    expected = recurrent(*leaves, torch.zeros_like(D), state=torch.zeros_like(first))
    wanted = gradients(expected, leaves)
    for form in (recurrent, chunked):
        found = form(*leaves)
        for ours, theirs in zip((*found, *gradients(found, leaves)), (*expected, *wanted), strict=True):
            assert relative(ours, theirs) < 1e-12


def test_second_derivatives_are_refused_by_hand_and_given_by_autograd():
    inputs = scan_inputs(batch=1, time=3, heads=2, size=1, state=2)
    assert torch.autograd.gradgradcheck(lambda *v: run(chunked, v, chunk=2, recompute=False), inputs)
    loss = run(chunked, inputs, chunk=2)[0].sin().sum()
    (dx,) = torch.autograd.grad(loss, inputs[0], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        dx.sum().backward()


def test_autograd_finds_the_same(chunk_of_8):
    inputs = scan_inputs(time=50)
    expected, found = run(recurrent, inputs), run(chunked, inputs, chunk=chunk_of_8, recompute=False)
    for ours, theirs in zip(
        (*found, *gradients(found, inputs)), (*expected, *gradients(expected, inputs)), strict=True
    ):
        assert relative(ours, theirs) < 1e-10


@pytest.mark.parametrize("forgotten", [0.5, 0.99, 1.01])
def test_decays_are_taken_apart_as_far_as_single_precision_carries(forgotten):
    """Chunks that forget by nearly exp(-RANGE), and by more: then the pairs of steps are gone through."""
    x, dt, A, B, C, D, first = scan_inputs(time=96, dtype=torch.float32)
    with torch.no_grad():
        dt.fill_(forgotten * ssd_factored.RANGE / ssd_factored.CHUNK)
        A.fill_(-1.0)
    assert ssd_factored.fits(x, dt, A, B, C, ssd_factored.CHUNK) is (forgotten < 1)
    inputs = [x, dt, A, B, C, D, first]
    double = [v.detach().double().requires_grad_() for v in inputs]
    expected, found = run(recurrent, double), run(chunked, inputs)
    for ours, theirs in zip(found, expected, strict=True):
        assert relative(ours, theirs) < 1e-5
    ours, theirs = gradients(found, inputs), gradients(expected, double)
    for i in (0, 1, 3, 4, 5, 6):
        assert relative(ours[i], theirs[i]) < 1e-5
    # that of A adds up differences of y·dy and x·dx, each one carried through the steps of its chunk
    y, dy, x, dx = expected[0], randn(*expected[0].shape, seed=7, dtype=torch.float64), double[0], theirs[0]
    added = ((y * dy).abs() + (x * dx).abs()).sum((0, 1, 3)).max() * ssd_factored.CHUNK * dt.max()
    assert (ours[2] - theirs[2]).abs().max() < torch.finfo(torch.float32).eps * added


def test_numbers_that_are_none_do_not_go_the_short_way():
    x, dt, A, B, C, _, _ = scan_inputs(time=40, dtype=torch.float32)
    assert ssd_factored.fits(x, dt, A, B, C, 16)
    with torch.no_grad():
        dt[0, 35] = torch.nan
    assert not ssd_factored.fits(x, dt, A, B, C, 16)
    assert not ssd_factored.fits(x.half(), dt, A, B, C, 16)


def test_decay_may_be_as_fast_as_it_likes():
    """exp(s_i - s_j) of a later step j would overflow: nothing may become infinite or NaN, gradients included."""
    for factor in (1e2, 1e4, 1e8):
        x, dt, A, B, C, D, first = scan_inputs(time=40, dtype=torch.float32)
        inputs = [x, dt, (A.detach() * factor).requires_grad_(), B, C, D, first]
        expected = run(recurrent, inputs)
        for recompute in (True, False):
            found = run(chunked, inputs, chunk=16, recompute=recompute)
            assert relative(found[0], expected[0]) < 1e-5
            for ours in gradients(found, inputs):
                assert torch.isfinite(ours).all()


def test_a_step_of_no_time_changes_nothing():
    x, dt, A, B, C, D, first = scan_inputs(time=20)
    still = dt.detach().clone()
    still[:, 10:] = 0
    _, last = chunked(x, still, A, B, C, D, state=first, chunk=8)
    _, expected = chunked(x[:, :10], dt[:, :10], A, B[:, :10], C[:, :10], D, state=first, chunk=8)
    torch.testing.assert_close(last, expected)


@pytest.mark.parametrize("form", [recurrent, chunked])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_rounded_once_at_the_end(form, dtype):
    """The answer to rounded inputs, exactly computed, then rounded: within one unit in the last place of the type."""
    inputs = [v.detach().to(dtype) for v in scan_inputs(time=150, size=16, state=16, dtype=torch.float32)]
    x, dt, A, B, C, D, first = inputs
    exact, last = recurrent(*(v.double() for v in inputs[:-1]), state=first.double())
    y, state = form(x, dt, A, B, C, D, state=first)
    assert y.dtype == dtype and state.dtype == torch.float32
    assert relative(y.double(), exact) < torch.finfo(dtype).eps
    assert relative(state.double(), last) < 1e-5


def test_autocast_does_not_reach_the_scan():
    inputs = scan_inputs(time=50, dtype=torch.float32)
    expected = run(chunked, inputs)
    wanted = gradients(expected, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        for form in (recurrent, chunked):
            assert relative(run(form, inputs)[0], expected[0]) < 1e-5
        found = gradients(run(chunked, inputs), inputs)
    for ours, theirs in zip(found, wanted, strict=True):
        assert torch.equal(ours, theirs)


def test_what_is_kept_for_the_gradient_is_little_more_than_the_inputs():
    """Autograd keeps everything between; the form with its own gradient keeps one state a block."""

    def kept(**options):
        total = {}

        def count(v):
            total[v.untyped_storage().data_ptr()] = v.untyped_storage().nbytes()
            return v

        with torch.autograd.graph.saved_tensors_hooks(count, lambda v: v):
            outputs = run(chunked, inputs, **options)
        assert outputs[0].grad_fn is not None
        return sum(total.values())

    inputs = scan_inputs(1, 4096, 8, 64, 1, 16, dtype=torch.float32)
    size = sum(v.numel() * v.element_size() for v in inputs)
    assert kept() < 1.1 * size
    assert kept(recompute=False) > 4 * size


def test_no_gradient_is_asked_of_inputs_that_want_none():
    x, dt, A, B, C, D, first = (v.detach() for v in scan_inputs(time=30))
    y, last = chunked(x, dt, A, B, C, D, state=first)
    assert not y.requires_grad and not last.requires_grad
    A.requires_grad_()
    chunked(x, dt, A, B, C, D, state=first)[0].sum().backward()
    assert A.grad is not None and torch.isfinite(A.grad).all()


def test_default_chunks():
    """As measured; see the benchmark."""
    assert default_chunk(64) == 64
    assert default_chunk(16) == 32

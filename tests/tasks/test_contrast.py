"""The contrast of halves: NT-Xent against a loop in NumPy and its properties, and beside a reconstruction."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from eegfm.contracts import EEGBatch, EegfmError, SampleSpec
from eegfm.tasks.contrast import Halves, nt_xent

from .autoencoder import PLACES, SPEC, Autoencoder
from .test_reconstruct import task_of

COORDS = torch.tensor(PLACES, dtype=torch.float32)
LAYERS = ["encoder", "turned"]


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_hand(first, second, temperature):
    views = np.concatenate([first, second]).astype(np.float64)
    views /= np.linalg.norm(views, axis=1, keepdims=True)
    n, total = len(first), 0.0
    for i in range(2 * n):
        others = [math.exp(views[i] @ views[j] / temperature) for j in range(2 * n) if j != i]
        total -= math.log(math.exp(views[i] @ views[(i + n) % (2 * n)] / temperature) / sum(others))
    return total / (2 * n)


@pytest.mark.parametrize(("n", "temperature"), [(2, 0.2), (7, 0.05), (16, 1.0)])
def test_it_is_the_formula_whatever_the_order_of_windows_and_of_halves(n, temperature):
    first, second = randn(n, 5), randn(n, 5, seed=1)
    found = nt_xent(first, second, temperature)
    assert found == pytest.approx(by_hand(first.numpy(), second.numpy(), temperature), rel=1e-5)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(nt_xent(first[order], second[order], temperature), found)
    torch.testing.assert_close(nt_xent(second, first, temperature), found)
    torch.testing.assert_close(nt_xent(3 * first, 0.1 * second, temperature), found)


def test_nothing_told_apart_is_chance_and_everything_told_apart_is_nothing():
    """Chance is log(2 B - 1): exactly where all are alike, nearly where they are drawn in many dimensions."""
    alike = torch.ones(16, 4)
    assert nt_xent(alike, alike, 0.2) == pytest.approx(math.log(31), rel=1e-6)
    drawn = nt_xent(randn(16, 20_000), randn(16, 20_000, seed=1), 0.2)
    assert drawn == pytest.approx(math.log(31), abs=0.02)
    apart = torch.eye(16)
    assert nt_xent(apart, apart, 0.05) < 1e-6
    assert nt_xent(apart[:1], apart[:1], 0.2) == 0  # one window has no others


def test_its_gradient_is_that_of_differences_and_training_tells_halves_apart():
    first, second = (randn(3, 4, seed=s).double().requires_grad_() for s in (0, 1))

    def loss(a, b):  # in double, which the loss itself does not keep
        views = torch.nn.functional.normalize(torch.cat([a, b]), dim=1)
        alike = (views @ views.T / 0.2).masked_fill(torch.eye(6, dtype=torch.bool), -torch.inf)
        return torch.nn.functional.cross_entropy(alike, torch.arange(6).roll(3))

    (expected,) = torch.autograd.grad(loss(first, second), first)
    (found,) = torch.autograd.grad(nt_xent(first, second, 0.2), first)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def windows(n, seed=0):
    """Windows that tell themselves: each has a loudness of its own at each channel, in both halves."""
    loud = randn(n, SPEC.shape[0], 1, seed=seed).exp()
    return loud * randn(n, *SPEC.shape, seed=seed + 1)


def test_halves_go_through_alone_and_training_brings_them_together():
    net = Autoencoder(SPEC).eval()
    contrast = Halves(net, SPEC, layers=LAYERS)
    x, half = windows(8), SPEC.shape[-1] // 2
    found = contrast(x, COORDS)
    other = x.clone()
    other[..., half:] = x[..., half:].roll(1, 0)  # strangers' second halves
    assert contrast(other, COORDS) != found
    torch.testing.assert_close(contrast(torch.cat([x, x[..., :1]], -1), COORDS), found)  # an odd sample
    optimizer = torch.optim.Adam([*net.parameters(), *contrast.parameters()], 3e-3)
    for step in range(60):
        optimizer.zero_grad()
        contrast(windows(16, seed=2 * step), COORDS).backward()
        optimizer.step()
    assert contrast(windows(16, seed=999), COORDS) < 0.6 * math.log(31)


def test_beside_a_reconstruction_it_is_a_term_and_leaves_the_backbone_its_names(tmp_path):
    make = partial(Halves, layers=LAYERS, weight=0.5)
    alone, both = task_of(), task_of(contrast=make)
    names = {k for k in both.state_dict() if not k.startswith("contrast.projector.")}
    assert names == set(alone.state_dict())
    both.backbone.load_state_dict(alone.backbone.state_dict())
    x = 30 * windows(6)
    batch = EEGBatch(x, COORDS, torch.zeros(6).long(), torch.zeros(6).long(), [str(i) for i in range(6)])
    for task in (alone, both):
        task.eval()
    plain, terms, passed = alone._loss(batch, training=False)
    loss, more, _ = both._loss(batch, training=False)
    assert more.keys() - terms.keys() == {"contrast"}
    torch.testing.assert_close(loss, plain + 0.5 * more["contrast"])
    torch.testing.assert_close(more["contrast"], both.contrast(passed.true, COORDS))


@pytest.mark.parametrize(
    ("options", "spec", "sentence"),
    [
        ({"layers": ["middle"]}, SPEC, r"task.contrast.layers=middle.*It shows encoder, turned"),
        ({"layers": []}, SPEC, "task/contrast=null"),
        ({"layers": LAYERS, "temperature": 0.0}, SPEC, "above 0"),
        ({"layers": LAYERS}, SampleSpec(SPEC.montage, (SPEC.shape[0], 15), 200.0, ()), "16 are wanted"),
    ],
)
def test_what_cannot_work_is_a_sentence(options, spec, sentence):
    with pytest.raises(EegfmError, match=sentence):
        Halves(Autoencoder(SPEC), spec, **options)

"""What CBraMod promises about windows, heads and the rates of its recipe."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.optim import AdamW

from eegfm.contracts import EegfmError
from eegfm.models.cbramod import CBraMod
from eegfm.tasks.classify import Classify
from eegfm.tasks.schedules import cosine, one_cycle
from tests.models.cbramod import spec_of
from tests.nn.tokens import as_a_person, randn, seeded, token_spec

SPEC = spec_of(4, 2)
COORDS = torch.zeros(4, 3)


def small(spec=SPEC, seed=0, **options):
    with seeded(seed):
        return CBraMod(spec, depth=1, **options)


def task_of(backbone, spec=SPEC, **options):
    with seeded(1):
        return Classify(
            backbone,
            spec,
            optimizer=partial(AdamW, lr=1e-4, weight_decay=0.05),
            **{"hidden": "published", "head_lr": 5e-4, "scale": 100.0, "seed": 0} | options,
        )


def test_the_mean_of_patches_takes_any_channels_and_lengths_and_the_others_say_so():
    pooled, flat = small(head="avgpooling_patch_reps").eval(), small().eval()
    assert pooled.width == 200 and flat.width == 4 * 2 * 200
    for n_channels, n_seconds in ((4, 2), (1, 3), (7, 1)):
        x, coords = randn(2, n_channels, 200 * n_seconds), torch.zeros(n_channels, 3)
        assert pooled.embed(x, coords).shape == (2, 200)
        assert flat(x, coords).shape == x.shape
    with pytest.raises(EegfmError, match=r"made for 4 channels of 2 s and was given 7 of 1 s.*avgpooling"):
        flat.embed(x, coords)


def test_the_embedding_runs_channel_by_channel_then_second_by_second():
    model, x = small().eval(), randn(2, 4, 400)
    features = model.features(x)
    assert torch.equal(model.embed(x, COORDS)[:, 3 * 400 + 200 : 3 * 400 + 400], features[:, 3, 1])


def test_neighbours_say_where_a_patch_is():
    """Position comes from the convolution over the grid alone: without it, channels could change places."""
    model, x = small(head="avgpooling_patch_reps").eval(), randn(2, 4, 400)
    order = [2, 0, 3, 1]
    with torch.no_grad():
        assert (model.embed(x, COORDS) - model.embed(x[:, order], COORDS)).abs().max() > 1e-3
        model.patch_embedding.positional_encoding[0].weight.zero_()
        torch.testing.assert_close(
            model.embed(x, COORDS), model.embed(x[:, order], COORDS), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize(
    ("head", "layers"),
    [
        ("all_patch_reps", [(1600, 400), (400, 200), (200, 3)]),
        ("all_patch_reps_twolayer", [(1600, 200), (200, 3)]),
        ("all_patch_reps_onelayer", [(1600, 3)]),
        ("avgpooling_patch_reps", [(200, 3)]),
    ],
)
def test_the_heads_are_upstreams(head, layers):
    expected = []
    for n_in, n_out in layers[:-1]:
        expected += [nn.Linear(n_in, n_out), nn.ELU(), nn.Dropout(0.2)]
    expected.append(nn.Linear(*layers[-1]))
    assert repr(small(head=head, dropout=0.2).published_head(3)) == repr(nn.Sequential(*expected))


@pytest.mark.parametrize("decay", ["all", "matrices"])
def test_head_and_backbone_have_their_rates_and_both_end_at_the_last_one(decay):
    task = task_of(
        small(head="avgpooling_patch_reps"), schedule=partial(cosine, final_lr=1e-6), decay=decay
    )
    task.trainer = SimpleNamespace(estimated_stepping_batches=10, strategy=None)
    made = task.configure_optimizers()
    optimizer, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for name, p in task.named_parameters():
        if name.startswith("backbone.proj_out"):
            assert id(p) not in rates and not p.requires_grad, name
        else:
            assert rates[id(p)] == (5e-4 if name.startswith("head.") else 1e-4), name
    for _ in range(10):
        optimizer.step()
        schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(
        [1e-6] * len(optimizer.param_groups)
    )


def test_one_cycle_has_one_rate_and_says_so():
    task = task_of(small(), schedule=partial(one_cycle, max_lr=3e-4))
    task.trainer = SimpleNamespace(estimated_stepping_batches=10)
    with pytest.raises(EegfmError, match=r"task\.head_lr=null"):
        task.configure_optimizers()


def test_in_a_few_steps_of_its_recipe_it_tells_two_rhythms_apart():
    """Both rates as published, the gradient clipped: 6 and 20 Hz at random phases."""
    spec = spec_of(4, 2, n_classes=2)
    task = task_of(small(spec), spec).train()
    optimizer = torch.optim.AdamW(task.parameter_groups(), lr=1e-4, weight_decay=0.05)
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(16) % 2
    hz = torch.where(label == 1, 20.0, 6.0)[:, None, None]
    t = torch.arange(400) / 200
    losses = []
    with seeded(2):
        for _ in range(12):
            phase = 6.3 * torch.rand(16, 4, 1, generator=generator)
            x = 30 * torch.sin(2 * torch.pi * hz * t + phase)
            loss = task.loss(task(x, COORDS), label)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(task.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("spec", "options", "sentence"),
    [
        (token_spec(4, 2, 12), {}, "Type encoder=raw"),
        (spec_of(4, 2, sfreq=250.0), {}, "at 200 Hz, and these are at 250 Hz"),
        (SPEC, {"head": "mean"}, "Choose one of: all_patch_reps"),
        (SPEC, {"dropout": 1.0}, "dropout=1.0"),
    ],
)
def test_what_it_cannot_read_is_said(spec, options, sentence):
    with as_a_person(), pytest.raises(EegfmError, match=sentence):
        CBraMod(spec, **options)


def test_windows_are_whole_seconds():
    with pytest.raises(EegfmError, match=r"these windows have 500\. Type data\.window_s=2"):
        small()(randn(1, 4, 500), COORDS)


def test_another_backbone_has_no_head_to_publish():
    class Bare(nn.Linear):
        width = 8

        def embed(self, x, coords):
            return x

    with pytest.raises(EegfmError, match=r"Bare has no head of its own. Type task\.hidden=\[\]"):
        task_of(Bare(8, 8))

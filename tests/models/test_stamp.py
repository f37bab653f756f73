"""What Stamp as a whole promises about samples, batches, gradients and its options."""

import pytest
import torch
from torch import nn

from eegfm.contracts import EegfmError, Montage, SampleSpec
from eegfm.models.stamp import Stamp
from tests.models.variants import SMALL, VARIANTS, named
from tests.nn.tokens import as_a_person, float64, randn, randomise, seeded, token_spec

N_CHANNELS, N_TIMES, EMBEDDING = 5, 3, 12
SPEC = token_spec(N_CHANNELS, N_TIMES, EMBEDDING)
COORDS = torch.zeros(N_CHANNELS, 3)
each_variant = pytest.mark.parametrize("options", [{}, *VARIANTS["stamp"]], ids=named)


def stamp(spec=SPEC, seed=0, **options):
    with seeded(seed):
        backbone = Stamp(spec, **SMALL["stamp"] | options)
    backbone.fit_input([randn(30, *spec.shape, seed=99) + 1])
    return backbone


def samples(n, seed=0):
    return 2 * randn(n, N_CHANNELS, N_TIMES, EMBEDDING, seed=seed) + 1


@pytest.mark.parametrize("input_norm", ["instance", "standardise", "none"])
def test_nor_in_training_does_a_sample_depend_on_its_batch_mates_but_for_the_batch_norm(input_norm):
    with float64():
        x = samples(4)
        backbone = randomise(stamp(input_norm=input_norm, dropout=0.0)).train()
        torch.testing.assert_close(backbone.embed(x, COORDS)[:1], backbone.embed(x[:1], COORDS))
        batch = randomise(stamp(input_norm="batch", dropout=0.0)).train()
        assert (batch.embed(x, COORDS)[:1] - batch.embed(x[:1], COORDS)).abs().max() > 1e-3


@each_variant
def test_without_dropout_training_computes_what_evaluation_does(options):
    """Except the batch norm, which uses the batch in training and its running statistics in evaluation."""
    with float64():
        backbone = randomise(stamp(dropout=0.0, **options))
        x = samples(3)
        difference = (backbone.train().embed(x, COORDS) - backbone.eval().embed(x, COORDS)).abs().max()
        assert (difference < 1e-9) == (options.get("input_norm") != "batch")


def test_training_noise_follows_the_seed():
    backbone, x, runs = stamp().train(), samples(3), []
    for seed in (5, 5, 6):
        with seeded(seed):
            runs.append(backbone.embed(x, COORDS))
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])


@pytest.mark.parametrize(
    "shape",
    [(62, 1, 16), (1, 9, 16), (7, 5, 3), (19, 3, 31), (1, 2, 1)],
    ids=lambda shape: "x".join(map(str, shape)),
)
@pytest.mark.parametrize("mixer", ["cc_gmlp", "gmlp", "cc_transformer", "transformer", "none"])
def test_any_grid_works(shape, mixer):
    """One second as in SEED-V, one channel, odd sizes; a batch of one."""
    backbone = stamp(token_spec(*shape), mixer=mixer)
    out = backbone.embed(randn(1, *shape), torch.zeros(shape[0], 3))
    assert out.shape == (1, SMALL["stamp"]["width"]) and torch.isfinite(out).all()


def test_strides_of_the_batch_do_not_matter():
    with float64():
        backbone, x = randomise(stamp()).eval(), samples(3)
        strided = x.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0)
        torch.testing.assert_close(backbone.embed(strided, COORDS), backbone.embed(x, COORDS))


@pytest.mark.parametrize("query_mode", ["weighted_sum", "max", "learned_weights", "all_concat"])
def test_attention_maps_sum_to_one_in_the_papers_order_of_tokens(query_mode):
    """Token n = second * n_channels + channel. Without mixing and positions a map follows its tokens."""
    with float64():
        backbone = randomise(
            stamp(query_mode=query_mode, mixer="none", positions=(), input_norm="none", residual_lambda=0.0)
        ).eval()
        x = samples(2)
        attention = backbone.attention(x, COORDS)
        assert attention.shape == (2, SMALL["stamp"]["n_heads"], N_TIMES * N_CHANNELS)
        torch.testing.assert_close(attention.sum(-1), torch.ones(2, SMALL["stamp"]["n_heads"]))
        swapped = x.clone()
        swapped[:, 4, 2], swapped[:, 1, 0] = x[:, 1, 0], x[:, 4, 2]
        grid = attention.unflatten(-1, (N_TIMES, N_CHANNELS))
        found = backbone.attention(swapped, COORDS).unflatten(-1, (N_TIMES, N_CHANNELS))
        if query_mode == "learned_weights":
            grid, found = grid.sum((2, 3)), found.sum((2, 3))
        else:
            torch.testing.assert_close(found[..., 2, 4], grid[..., 0, 1])
            torch.testing.assert_close(found[..., 0, 1], grid[..., 2, 4])
            assert (grid[..., 0, 1] - grid[..., 2, 4]).abs().max() > 1e-3


def test_mean_pooling_has_no_map():
    with pytest.raises(EegfmError, match="no attention"):
        stamp(pooling="mean").attention(samples(2), COORDS)


def test_standardise_sees_channels_and_embedding_dimensions_of_the_batch_layout():
    backbone = stamp(input_norm="standardise")
    x = samples(20, seed=3) * torch.arange(1, N_CHANNELS + 1).view(-1, 1, 1)
    backbone.fit_input(iter(x.split(6)))
    torch.testing.assert_close(backbone.input_norm.mean, x.mean((0, 2)), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        backbone.input_norm.std, x.transpose(1, 2).flatten(0, 1).std(0, correction=0), rtol=1e-5, atol=0
    )


@pytest.mark.parametrize("input_norm", ["instance", "batch", "none"])
def test_other_norms_do_not_touch_the_training_split(input_norm):
    def split():
        raise AssertionError("the split was read")
        yield

    stamp(input_norm=input_norm).fit_input(split())


def test_sums_of_two_positions_come_from_the_projected_tokens():
    """Tables and convolution stand side by side: the convolution does not see the tables."""
    with float64():
        both = randomise(stamp(acpe_kernel=(3, 3), mixer="none")).eval()
        seen = []
        both.acpe.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
        both.position.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
        tokens = both._tokens(samples(2)).unflatten(1, (N_TIMES, N_CHANNELS))
        projected, convolved = seen
        torch.testing.assert_close(projected, both.projection(both.input_norm(samples(2).transpose(1, 2))))
        torch.testing.assert_close(
            tokens - projected, (convolved - projected) + (both.position(projected) - projected)
        )


def test_raw_windows_are_refused_with_the_way_out():
    spec = SampleSpec(Montage(("C3", "C4"), torch.zeros(2, 3).numpy()), (2, 800), 200.0, ("left", "right"))
    with pytest.raises(
        EegfmError, match=r"frozen encoder.*\(2, 800\): raw windows. Type encoder=spectrum or encoder=ttm"
    ):
        Stamp(spec)


def test_samples_of_another_shape_are_refused():
    with (
        as_a_person(),
        pytest.raises(
            EegfmError, match=r"made for samples of shape \(5, 3, 12\) and was given \(3, 5, 12\)"
        ),
    ):
        stamp().embed(samples(2).transpose(1, 2), COORDS)


@pytest.mark.parametrize(
    ("spec", "options", "sentence"),
    [
        (SPEC, {"recurrent": True, "mixer": "transformer"}, "recurrent=true is for"),
        (SPEC, {"dropout": 1.0}, "dropout=1.0"),
        (SPEC, {"depth": -1}, "depth=-1"),
        (SPEC, {"width": 0}, "width=0"),
        (SPEC, {"n_heads": 3}, "n_heads=3"),
        (token_spec(1, 1, 8), {}, "one token"),
    ],
)
def test_settings_that_cannot_work_are_refused(spec, options, sentence):
    with as_a_person(), pytest.raises(EegfmError, match=sentence):
        Stamp(spec, **SMALL["stamp"] | options)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "options", [{}, {"input_norm": "standardise", "mixer": "gmlp", "query_mode": "all_concat"}], ids=str
)
def test_embed_can_be_exported_for_any_batch_size(options):
    class Embed(nn.Module):
        def __init__(self, backbone):
            super().__init__()
            self.backbone = backbone

        def forward(self, x, coords):
            return self.backbone.embed(x, coords)

    backbone = stamp(**options).eval()
    with as_a_person(), torch.no_grad():
        backbone.embed(samples(2), COORDS)
        dynamic = {"x": {0: torch.export.Dim("batch")}, "coords": None}
        program = torch.export.export(
            Embed(backbone), (samples(3), COORDS), dynamic_shapes=dynamic
        ).module()
        for n in (2, 7):
            torch.testing.assert_close(program(samples(n), COORDS), backbone.embed(samples(n), COORDS))

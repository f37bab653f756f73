"""A stream is one pass, windows are themselves, seconds are means: however a recording comes in."""

import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eegfm.contracts import EegfmError, Encodes
from eegfm.encoders.spectrum import Spectrum
from eegfm.models.eegm2 import Eegm2
from eegfm.models.stamp import Stamp
from eegfm.tasks import stream
from eegfm.tasks.classify import Classify
from eegfm.tasks.metrics import probabilities
from eegfm.tasks.reconstruct import Reconstruct
from tests.models.eegm2 import COORDS, raw_spec
from tests.nn.tokens import seeded, token_spec

N_CHANNELS, WINDOW = 3, 64
OPTIMIZER = functools.partial(torch.optim.AdamW, lr=1e-3)
LOSS = {"l1": 1.0}


def reconstruction(*, scale=100.0, seed=0, **options) -> Reconstruct:
    with seeded(seed):
        spec = raw_spec(N_CHANNELS, WINDOW)
        model = Eegm2(spec, width_scale=8, d_state=8, **options)
        return Reconstruct(model, spec, optimizer=OPTIMIZER, loss=LOSS, scale=scale, seed=0).eval()


def signal(n, seed=0) -> np.ndarray:
    """Microvolts, as `Pieces` gives them."""
    return 30 * np.random.default_rng(seed).standard_normal((N_CHANNELS, n))


def one_pass(task, x) -> np.ndarray:
    with torch.no_grad():
        return task(torch.from_numpy(x.astype(np.float32))[None], COORDS[:N_CHANNELS])[0].numpy()


def joined(backs) -> tuple[np.ndarray, np.ndarray]:
    """Signal and reconstruction, which must come end to end."""
    backs = list(backs)
    ends = np.cumsum([0, *(back.true.shape[1] for back in backs)])
    assert [back.start for back in backs] == ends[:-1].tolist()
    return np.concatenate([b.true for b in backs], 1), np.concatenate([b.pred for b in backs], 1)


# --- one stream


@settings(deadline=None, max_examples=15)
@given(
    cuts=st.lists(st.integers(0, 300), max_size=6),
    n=st.integers(1, 300),
    seed=st.integers(0, 3),
    scale=st.sampled_from([100.0, 30.0, None]),
)
def test_a_stream_in_any_pieces_is_one_pass(cuts, n, seed, scale):
    """To 1e-5 of the largest value, in microvolts, lengths that no block of 8 divides and pieces of none included."""
    task, x = reconstruction(causal=True, seed=seed, scale=scale), signal(n, seed)
    pieces = np.split(x, sorted(min(cut, n) for cut in cuts), axis=1)
    true, pred = joined(stream.streamed(task, pieces, coords=COORDS[:3]))
    # one pass takes eight samples at least; its own fill of the last block is zeros
    wanted = one_pass(task, np.pad(x, ((0, 0), (0, max(0, 8 - n)))))[:, :n]
    np.testing.assert_array_equal(true, x.astype(np.float32))
    assert np.abs(pred - wanted).max() <= 1e-5 * max(1.0, np.abs(wanted).max())


def test_a_long_piece_goes_through_in_short_ones():
    """Longer than what the network is given at once."""
    task, x = reconstruction(causal=True), signal(stream.PIECE * 2 + 77)
    _, pred = joined(stream.streamed(task, [x], coords=COORDS[:3]))
    wanted = one_pass(task, x)
    assert np.abs(pred - wanted).max() <= 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        (reconstruction(), r"model\.causal=true"),
        (
            reconstruction(causal=True, scale="quantile"),
            r"task\.scale=quantile .*Train with .* task\.scale=100",
        ),
    ],
)
def test_what_cannot_be_one_stream_is_refused(task, sentence, tmp_path):
    with pytest.raises(EegfmError, match=sentence):
        next(stream.streamed(task, [signal(80)], coords=COORDS[:3]))
    with pytest.raises(EegfmError, match=sentence):
        stream.export(task, tmp_path / "a.pt2", coords=COORDS[:3])


@pytest.mark.slow
def test_an_exported_model_streams_as_the_module_does(tmp_path, samples=8):
    """Read back from its file: a piece and the state in, the reconstruction and the state out."""
    task, x = reconstruction(causal=True), signal(20 * samples)
    before = {name: value.clone() for name, value in task.state_dict().items()}
    stream.export(task, tmp_path / "deep" / "a.pt2", coords=COORDS[:3], samples=samples)
    assert all(torch.equal(before[name], value) for name, value in task.state_dict().items())
    assert all(parameter.requires_grad for parameter in task.parameters())
    program = torch.export.load(tmp_path / "deep" / "a.pt2")
    silence, state = program.example_inputs[0]
    assert not silence.any() and not any(tensor.any() for tensor in state)
    step, found = program.module(), []
    for piece in np.split(x.astype(np.float32), 20, axis=1):
        y, state = step(torch.from_numpy(piece)[None], state)
        found.append(y[0].numpy())
    _, wanted = joined(stream.streamed(task, [x], coords=COORDS[:3]))
    np.testing.assert_allclose(np.concatenate(found, 1), wanted, rtol=1e-5, atol=1e-4)


def test_a_piece_of_an_exported_model_is_whole_blocks(tmp_path):
    with pytest.raises(EegfmError, match=r"samples=12: .* blocks of 8"):
        stream.export(reconstruction(causal=True), tmp_path / "a.pt2", coords=COORDS[:3], samples=12)


# --- windows


@settings(deadline=None, max_examples=40)
@given(window=st.integers(2, 40), data=st.data())
def test_windows_faded_into_one_another_give_every_sample_once_and_back(window, data):
    """A model that gives back what it is given gives the recording back, whatever the windows and pieces are."""
    hop = data.draw(st.integers(1, window))
    n = data.draw(st.integers(window, 200))
    x = signal(n)
    true, pred = joined(
        stream.cross_faded(
            lambda x, coords: x,
            lambda a, b: x[:, a:b],
            n,
            window=window,
            hop=hop,
            coords=COORDS[:N_CHANNELS],
        )
    )
    np.testing.assert_array_equal(true, x.astype(np.float32))
    np.testing.assert_allclose(pred, true, rtol=1e-5, atol=1e-4)


def test_windows_in_stretches_are_windows_in_one(monkeypatch):
    """How much of a recording is held at once is not seen in what comes out."""
    task, x = reconstruction(), signal(1000)
    found = []
    for at_once in (100_000, 150):
        monkeypatch.setattr(stream, "STRETCH", at_once)
        windows = stream.cross_faded(
            task, lambda a, b: x[:, a:b], 1000, window=WINDOW, hop=24, coords=COORDS[:N_CHANNELS]
        )
        found.append(joined(windows)[1])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-3)


def test_a_sample_is_the_weighted_mean_of_the_windows_that_hold_it():
    """By hand, for the windows at 32, 64 and so on of a net that is not causal."""
    task, x = reconstruction(), signal(320)
    windows = stream.cross_faded(
        task, lambda a, b: x[:, a:b], 320, window=WINDOW, hop=32, coords=COORDS[:N_CHANNELS]
    )
    _, pred = joined(windows)
    at = 100  # in the windows that begin at 64 and at 96
    weights = [np.sin(np.pi * (at - start + 0.5) / WINDOW) ** 2 for start in (64, 96)]
    values = [one_pass(task, x[:, start : start + WINDOW])[:, at - start] for start in (64, 96)]
    assert sum(weights) == pytest.approx(1)
    np.testing.assert_allclose(
        pred[:, at], weights[0] * values[0] + weights[1] * values[1], rtol=1e-4, atol=1e-3
    )


def test_windows_are_not_one_pass_and_how_far_from_it():
    """A net that sees its whole window says something else of a recording in windows: this is the size of it."""
    task = reconstruction()
    x = signal(4000)
    wanted = one_pass(task, x)
    share = {}
    for window in (64, 512):
        windows = stream.cross_faded(
            task, lambda a, b: x[:, a:b], 4000, window=window, hop=window // 2, coords=COORDS[:N_CHANNELS]
        )
        _, pred = joined(windows)
        share[window] = np.sqrt(np.mean((pred - wanted) ** 2) / np.mean(wanted**2))
    assert 1e-6 < share[512] < share[64] < 0.1, share


@settings(deadline=None, max_examples=15)
@given(n=st.integers(WINDOW, 400), hop=st.integers(1, WINDOW))
def test_every_window_is_judged_as_it_would_be_alone(n, hop):
    with seeded(0):
        spec = raw_spec(N_CHANNELS, WINDOW)
        task = Classify(
            Eegm2(spec, width_scale=8, d_state=8, layer="pool3", light=True),
            spec,
            optimizer=OPTIMIZER,
            scale=100.0,
            seed=0,
        ).eval()
    x = signal(n)
    judged = list(
        stream.judged(
            task, None, lambda a, b: x[:, a:b], n, window=WINDOW, hop=hop, coords=COORDS[:N_CHANNELS]
        )
    )
    starts = np.concatenate([starts for starts, _ in judged])
    found = np.concatenate([probability for _, probability in judged])
    np.testing.assert_array_equal(starts, np.arange(0, n - WINDOW + 1, hop))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    for i in (0, len(starts) // 2, len(starts) - 1):
        alone = torch.from_numpy(x[:, starts[i] : starts[i] + WINDOW].astype(np.float32))[None]
        with torch.no_grad():
            np.testing.assert_allclose(
                found[i], probabilities(task(alone, COORDS[:N_CHANNELS]))[0], rtol=1e-4, atol=1e-6
            )


def test_windows_behind_an_encoder_are_those_of_its_store():
    """Every second of every channel alone, kept in 16 bits."""
    encoder = Spectrum()
    assert isinstance(encoder, Encodes)
    x = torch.from_numpy(signal(1000).astype(np.float32))[None]
    found = stream.embedded(encoder, x)
    assert found.shape == (1, N_CHANNELS, 5, encoder.width)
    assert torch.equal(found.to(torch.float16).float(), found)
    for channel, second in ((0, 0), (2, 4), (1, 3)):
        alone = encoder.encode(x[0, channel : channel + 1, second * 200 : (second + 1) * 200])[0]
        # rounding may differ between one series and many: by a digit of the 16 bits, where it lies between two
        digit = torch.finfo(torch.float16).eps
        torch.testing.assert_close(found[0, channel, second], alone, rtol=digit, atol=digit)
    with seeded(0):
        spec = token_spec(N_CHANNELS, 5, encoder.width)
        task = Classify(
            Stamp(spec, width=16, depth=1, ff_width=16, input_norm="instance"),
            spec,
            optimizer=OPTIMIZER,
            seed=0,
        ).eval()
    ((starts, probability),) = stream.judged(
        task,
        encoder,
        lambda a, b: x[0, :, a:b].numpy(),
        1000,
        window=1000,
        hop=1000,
        coords=COORDS[:N_CHANNELS],
    )
    with torch.no_grad():
        np.testing.assert_allclose(probability, probabilities(task(found, COORDS[:N_CHANNELS])), rtol=1e-5)
    assert starts.tolist() == [0]


def test_a_recording_shorter_than_a_window_is_refused():
    for windows in (
        stream.cross_faded(None, signal, 63, window=WINDOW, hop=8, coords=COORDS[:3]),
        stream.judged(None, None, signal, 63, window=WINDOW, hop=8, coords=COORDS[:3]),
    ):
        with pytest.raises(EegfmError, match="63 samples after its steps, and a window of this run 64"):
            next(windows)


@settings(deadline=None, max_examples=50)
@given(
    n=st.integers(1, 700),
    cuts=st.lists(st.integers(0, 700), max_size=8),
    sfreq=st.sampled_from([1.0, 50.0, 128.5, 99.9]),
)
def test_seconds_are_means_over_their_samples(n, cuts, sfreq):
    x = np.abs(signal(n))
    seconds, rows = stream.Seconds(N_CHANNELS, sfreq), []
    for piece in np.split(x, sorted(min(cut, n) for cut in cuts), axis=1):
        rows += seconds.add(piece)
    rows += seconds.rest()
    which = np.floor(np.arange(n) / sfreq).astype(int)
    assert [second for second, _ in rows] == sorted(set(which.tolist()))
    for second, mean in rows:
        np.testing.assert_allclose(mean, x[:, which == second].mean(axis=1))

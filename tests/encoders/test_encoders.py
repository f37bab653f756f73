"""What holds for every encoder and every file in conf/encoder."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from eegfm.config.make import make
from eegfm.contracts import EegfmError, Encodes
from eegfm.encoders import chronos, chronos_bolt, moment
from eegfm.encoders.base import Pretrained
from eegfm.encoders.chronos import Chronos
from eegfm.encoders.chronos_2 import Chronos2
from eegfm.encoders.chronos_bolt import ChronosBolt
from eegfm.encoders.moment import Moment
from eegfm.encoders.spectrum import Spectrum
from eegfm.encoders.tspulse import Tspulse
from eegfm.encoders.ttm import Ttm
from tests.encoders.tiny import in_double, noise, tiny_bolt, tiny_chronos, tiny_chronos_2, tiny_moment

# with random weights, and what package it needs
ENCODERS = {
    "spectrum": (lambda device, seed=0: Spectrum(), None),
    "ttm": (lambda device, seed=0: Ttm(weights="random", device=device, seed=seed), "tsfm_public"),
    "moment": (lambda device, seed=0: tiny_moment(device=device, seed=seed), "transformers"),
    "chronos": (lambda device, seed=0: tiny_chronos(device=device, seed=seed), "transformers"),
    "chronos_bolt": (lambda device, seed=0: tiny_bolt(device=device, seed=seed), "chronos"),
    "chronos_2": (lambda device, seed=0: tiny_chronos_2(device=device, seed=seed), "chronos"),
    "tspulse": (lambda device, seed=0: Tspulse(weights="random", device=device, seed=seed), "tsfm_public"),
}
CONFIGS = sorted((Path(__file__).parents[2] / "conf" / "encoder").glob("*.yaml"))


def needing(name: str, package: str | None):
    """The encoder's name, skipped without its package; the import alone takes seconds."""
    if package is None:
        return name
    absent = importlib.util.find_spec(package) is None
    skip = pytest.mark.skipif(absent, reason=f"{package} is not installed: make setup-tsfm")
    return pytest.param(name, marks=[pytest.mark.slow, skip])


NAMES = [needing(name, package) for name, (_, package) in ENCODERS.items()]


@pytest.fixture(scope="module", params=NAMES)
def encoder(request: pytest.FixtureRequest) -> Encodes:
    return ENCODERS[request.param][0]("cpu")


def test_a_vector_is_float32_of_the_promised_width(encoder):
    vectors = encoder.encode(noise(3).double())
    assert vectors.dtype == torch.float32
    assert vectors.shape == (3, encoder.width)


def test_a_vector_does_not_depend_on_the_series_beside_it(encoder):
    """It depends neither on its position in the batch nor on where a chunk ends."""
    chunk = getattr(encoder, "chunk", 64)
    series = noise(chunk + 3)
    with in_double(encoder):
        together = encoder.encode(series)
        for i in (0, 7, chunk - 1, chunk, chunk + 2):
            alone = encoder.encode(series[i : i + 1])[0]
            torch.testing.assert_close(alone, together[i], rtol=1e-10, atol=1e-10)
        turned = encoder.encode(series.flip(0)).flip(0)
        torch.testing.assert_close(turned, together, rtol=1e-10, atol=1e-10)


def test_the_same_series_give_the_same_bits(encoder):
    assert torch.equal(encoder.encode(noise(50)), encoder.encode(noise(50)))


@pytest.mark.parametrize("value", [0.0, -250.0, 1e5])
def test_a_flat_second_has_a_finite_vector(encoder, value):
    assert encoder.encode(torch.full((2, 200), value)).isfinite().all()


def test_different_seconds_have_different_vectors(encoder):
    a, b = encoder.encode(noise(2))
    assert (a - b).abs().max() > 1e-2


def test_every_sample_counts_and_so_does_its_place(encoder):
    """The first, one of the middle and the last; to the vectors, a second that begins later is another one."""
    series = noise(1)
    for sample in (0, 7, 100, 191, 199):
        changed = series.clone()
        changed[0, sample] += 200.0
        assert (encoder.encode(changed) - encoder.encode(series)).abs().max() > 1e-3
    assert (encoder.encode(series.roll(8, 1)) - encoder.encode(series)).abs().max() > 1e-3


@pytest.mark.parametrize("name", NAMES[1:])
def test_random_weights_follow_their_seed_and_leave_the_global_generator_alone(name):
    before, series = torch.random.get_rng_state(), noise(4)
    first, again, other = (ENCODERS[name][0]("cpu", seed) for seed in (0, 0, 1))
    assert torch.equal(first.encode(series), again.encode(series))
    assert (other.encode(series) - first.encode(series)).abs().max() > 1e-2
    assert other.settings() != first.settings()
    assert torch.equal(torch.random.get_rng_state(), before)


MISSING = [  # what is to be had where, under which licence, and how large it is
    (Ttm, {}, ("ibm-granite/granite-timeseries-ttm-r2", "Apache-2.0", "3.2 MB")),
    (Tspulse, {}, ("ibm-granite/granite-timeseries-tspulse-r1", "4.3 MB", "config.json", "b12164578f7b")),
    (Chronos2, {}, ("amazon/chronos-2/tree/29ec3766", "478 MB, Apache-2.0")),
    *((Chronos, {"size": s}, (f"amazon/chronos-t5-{s}", "B, Apache-2.0")) for s in chronos.PUBLISHED),
    *(
        (ChronosBolt, {"size": s}, (f"amazon/chronos-bolt-{s}", "B, Apache-2.0"))
        for s in chronos_bolt.PUBLISHED
    ),
    *(
        (Moment, {"size": s}, (f"AutonLab/MOMENT-1-{s}", about.about, "MIT"))
        for s, about in moment.SIZES.items()
    ),
]


@pytest.mark.parametrize(("of", "options", "parts"), MISSING)
def test_missing_weights_say_what_to_download_and_where_to_put_it(of, options, parts, tmp_path):
    with pytest.raises(EegfmError) as caught:
        of(**options, weights=tmp_path / "nowhere")
    for part in (*parts, str(tmp_path / "nowhere"), "encoder.weights=random"):
        assert part in str(caught.value)


TSFM = r"make setup-tsfm.*pip install --no-deps granite-tsfm==0\.3\.11"


@pytest.mark.parametrize(
    ("name", "modules", "sentence"),
    [
        ("ttm", ["tsfm_public", "tsfm_public.models.tinytimemixer"], TSFM),
        ("tspulse", ["tsfm_public", "tsfm_public.models.tspulse"], TSFM),
        ("moment", ["transformers"], "needs transformers.*make setup-tsfm"),
        ("chronos", ["transformers"], r"needs transformers .*make setup-tsfm.*pip install 'eegfm\[tsfm\]'"),
        (
            "chronos_bolt",
            ["chronos", "chronos.chronos_bolt"],
            "needs chronos-forecasting .*make setup-tsfm",
        ),
        (
            "chronos_2",
            ["chronos", "chronos.chronos2.config"],
            "needs chronos-forecasting .*make setup-tsfm",
        ),
    ],
)
def test_a_missing_package_says_how_to_install_it(monkeypatch, name, modules, sentence):
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)  # how Python itself marks what cannot be imported
    encoder = ENCODERS[name][0]("cpu")  # no complaint yet: a prepared store needs the settings only
    with pytest.raises(EegfmError, match=sentence):
        encoder.encode(noise(1))


def test_a_backbone_can_learn_from_the_vectors(encoder):
    """Tensors made in inference mode refuse to be saved for a backward pass; these must not."""
    head = torch.nn.Linear(encoder.width, 1)
    head(encoder.encode(noise(4))).sum().backward()
    assert head.weight.grad is not None and head.weight.grad.isfinite().all()


def test_a_gradient_reaches_every_layer_that_adapters_go_beside(encoder):
    """A network that is trained through its adapters holds no layer of that name which a vector does not need."""
    if not isinstance(encoder, Pretrained):
        pytest.skip("not a network")
    linear = [(n, m) for n, m in encoder.network.named_modules() if isinstance(m, torch.nn.Linear)]
    ends = tuple(f".{end}" for end in encoder.adapters)  # as peft reads them
    beside = {name: layer.weight for name, layer in linear if f".{name}".endswith(ends)}
    assert len(beside) >= 4
    for weight in beside.values():
        weight.requires_grad_(True)
    encoder.vectors(noise(4)).square().sum().backward()
    without = [name for name, weight in beside.items() if weight.grad is None or not weight.grad.any()]
    for weight in beside.values():
        weight.requires_grad_(False).grad = None
    assert not without


def test_the_series_are_left_as_they_were(encoder):
    series = noise(4)
    before = series.clone()
    encoder.encode(series)
    assert torch.equal(series, before)


@pytest.mark.parametrize("shape", [(3, 250), (200,), (2, 5, 200)])
def test_what_is_not_a_second_is_refused(encoder, shape):
    with pytest.raises(EegfmError, match=r"\[n, 200\]; these are \[.*Resample"):
        encoder.encode(torch.zeros(shape))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", NAMES)
def test_a_gpu_gives_the_same_vectors(name):
    on_cpu, on_gpu = (ENCODERS[name][0](device) for device in ("cpu", "cuda"))
    vectors = on_gpu.encode(noise(2000).cuda())
    assert vectors.is_cuda
    torch.testing.assert_close(vectors.cpu(), on_cpu.encode(noise(2000)), rtol=1e-3, atol=1e-3)


def config_of(path: Path, **overrides: str) -> DictConfig:
    """The file as the group `encoder` of a config, beside a model that reads its input norm."""
    paths = OmegaConf.load(path.parents[1] / "paths.yaml")
    config = OmegaConf.create(
        {"encoder": OmegaConf.load(path), "paths": paths, "input_norm": "${encoder.input_norm}"}
    )
    config.encoder.update(overrides)
    return config


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_makes_what_it_says(path):
    config = config_of(path, **({"weights": "random"} if "weights" in OmegaConf.load(path) else {}))
    encoder = make(config.encoder, "encoder")
    assert config.input_norm in ("instance", "standardise", "none", "batch")
    if path.stem == "raw":
        assert encoder is None
        return
    assert isinstance(encoder, Encodes)
    rate = 128.0 if path.stem == "spectrum_128" else 200.0
    assert (encoder.name, encoder.input_norm, encoder.sfreq) == (path.stem, config.input_norm, rate)
    assert (
        json.loads(json.dumps(encoder.settings())) == encoder.settings()
    )  # plain values, as a recipe file holds them


def test_raw_is_among_the_configs():
    assert {"raw", *ENCODERS} <= {path.stem for path in CONFIGS}


def test_the_weights_folder_comes_from_the_environment(monkeypatch, tmp_path):
    ttm = next(path for path in CONFIGS if path.stem == "ttm")
    monkeypatch.setenv("EEGFM_WEIGHTS", str(tmp_path))
    assert config_of(ttm).encoder.weights == f"{tmp_path}/ttm-r2-512-96"
    monkeypatch.delenv("EEGFM_WEIGHTS")
    assert config_of(ttm).encoder.weights == "data/weights/ttm-r2-512-96"
    moment = next(path for path in CONFIGS if path.stem == "moment")
    assert config_of(moment, size="small").encoder.weights == "data/weights/moment-1-small"

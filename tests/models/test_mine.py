"""A model of one's own by its path: the network that a person wrote, and nothing that a file could name unasked."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone

import eegfm
from eegfm.commands.export import export
from eegfm.config.make import make
from eegfm.contracts import EegfmError, SampleSpec
from eegfm.models.mine import GIVEN, Estimator, Mine
from eegfm.runs.place import Place
from eegfm.runs.predictions import read_predictions
from eegfm.signal.montage import montage_of
from eegfm.training.calls import evaluate
from tests.composed import composed
from tests.models.own_models import Features, Net
from tests.nn.tokens import randn, seeded

MONTAGE = montage_of("Fp1 Fp2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 Fz Cz Pz".split())
COORDS = torch.tensor(MONTAGE.coords, dtype=torch.float32)
HERE = "tests.models.own_models"
SHORT = ["trainer.max_epochs=1", "trainer.accelerator=cpu"]


def spec_of(n_classes):
    return SampleSpec(MONTAGE, (19, 600), 200.0, tuple(f"class {i}" for i in range(n_classes)))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_backbone_and_head_are_the_network_and_two_logits_become_one(n_classes):
    with seeded(3):
        backbone = Mine(spec_of(n_classes), path=f"{HERE}.Net", args={"width": 5}).eval()
    with seeded(3):
        net = Net(19, n_classes, width=5).eval()
    head, x = backbone.published_head(1 if n_classes == 2 else 3).eval(), 20 * randn(4, 19, 600)
    assert (backbone.width, backbone.last) == (5, "classify")
    with torch.no_grad():
        logits, theirs = head(backbone.embed(x, COORDS)), net(x)
    if n_classes == 2:
        torch.testing.assert_close(torch.sigmoid(logits[:, 0]), theirs.softmax(1)[:, 1])
    else:
        assert torch.equal(logits, theirs)


def test_a_network_of_features_is_given_places_and_rate_and_gets_a_linear_layer():
    backbone = Mine(spec_of(3), path=f"{HERE}.Features").eval()
    net, x = backbone.network, 20 * randn(2, 19, 600)
    assert isinstance(net, Features) and net.sfreq == 200 and backbone.width == 6
    assert torch.equal(backbone.embed(x, COORDS), net(x, COORDS))
    head = backbone.published_head(3)
    assert isinstance(head, torch.nn.Linear) and (head.in_features, head.out_features) == (6, 3)


@pytest.mark.parametrize("name", ["EEGNet", "ATCNet", "Labram"])
def test_a_network_of_braindecode_is_its_own(name):
    theirs = pytest.importorskip("braindecode.models", reason="braindecode is not installed")
    options = {"num_layers": 1} if name == "Labram" else {}
    with seeded(1):
        backbone = Mine(spec_of(3), path=f"braindecode.models.{name}", args=options).eval()
    from eegfm.models.braindecode import channels_of_mne

    given = {
        "n_chans": 19,
        "n_times": 600,
        "sfreq": 200.0,
        "n_outputs": 3,
        "chs_info": channels_of_mne(spec_of(3)),
    }
    with seeded(1):
        net = getattr(theirs, name)(**given, **options).eval()
    x = 20 * randn(2, 19, 600)
    with torch.no_grad():
        out = net(x, **backbone.settings)
        assert torch.equal(backbone.published_head(3).eval()(backbone.embed(x, COORDS)), out)


def test_what_cannot_be_used_is_a_sentence():
    spec = spec_of(2)
    for kind, path, args, said in (
        (Mine, "Net", {}, "cannot be imported"),
        (Mine, f"{HERE}.Nett", {}, "cannot be imported"),
        (Mine, f"{HERE}.Three", {}, "told that there are 2 classes, and gives 7"),
        (Mine, f"{HERE}.make_classifier", {}, "Type model=sklearn"),
        (Mine, f"{HERE}.Net", {"width": "wide"}, "model.args.<name>"),
        (Mine, "torch.nn.Linear", {}, r"model.args.in_features=\.\.\. model.args.out_features"),
        (
            Mine,
            "torch.nn.Conv2d",
            {"in_channels": 1, "out_channels": 1, "kernel_size": 700},
            "fails on windows",
        ),
        (Estimator, f"{HERE}.Net", {}, "Type model=mine"),
        (Estimator, "sklearn.preprocessing.StandardScaler", {}, "A scikit-learn classifier is wanted"),
    ):
        with pytest.raises(EegfmError, match=said):
            kind(spec, path=path, args=args)
    x, label = np.zeros((6, 19, 20)), np.arange(6) % 2
    with pytest.raises(EegfmError, match="Vectorizer"):
        Estimator(spec, path="sklearn.linear_model.LogisticRegression").fit(x, label, x, label)


def test_every_name_of_an_argument_stands_for_one_thing():
    names = [name for group in GIVEN for name in group]
    assert len(names) == len(set(names))


def test_edited_code_is_another_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("edited.py").write_text("class Net: ...\n")
    first = composed("model=mine", "model.path=edited.Net").model.code
    nested = "model.args.steps=[[scale,{_target_: edited.Net}]]"
    whole = composed("model=sklearn", "model.path=sklearn.pipeline.Pipeline", f"++{nested}").model.code
    Path("edited.py").write_text("class Net: width = 3\n")
    second = composed("model=mine", "model.path=edited.Net").model.code
    assert re.fullmatch("[0-9a-f]{8}", first) and first != second
    # lru_cache: the same words are composed once
    again = composed("model=sklearn", "model.path=sklearn.pipeline.Pipeline", f"+{nested}").model.code
    assert whole != again


@pytest.fixture
def place(simulated, tmp_path, monkeypatch):
    monkeypatch.chdir(simulated(tmp_path))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", [f"{HERE}.Net", pytest.param("braindecode.models.ShallowFBCSPNet", marks=pytest.mark.long)]
)
def test_a_trained_network_is_exported_and_loaded_where_its_module_is_trusted(place, path):
    module = path.rpartition(".")[0]
    pytest.importorskip(module)
    (run,) = evaluate(path, "synthetic", settings=SHORT).attrs["runs"]
    trained = read_predictions(place / run / "predictions_test.csv").probabilities
    x = eegfm.windows("synthetic", "test")[0]
    for load in (lambda: eegfm.load(run), lambda: Place.of(run).config):
        with pytest.raises(EegfmError, match=f"type trust={re.escape(module)}"):
            load()
    model = eegfm.load(run, trust=[module])
    np.testing.assert_allclose(model.predict_proba(x), trained, atol=1e-6)
    assert np.array_equal(model.predict(x), trained[:, 1] > 0.5)
    export(Path(run), place / "out", torch=True, onnx=True, trust=[module])
    assert {"model.pt2", "model.onnx"} <= {path.name for path in (place / "out").iterdir()}
    with pytest.raises(EegfmError, match="If you trust who wrote it"):
        eegfm.load(place / "out")
    again = eegfm.load(place / "out", trust=[module])
    assert torch.equal(again.logits(torch.from_numpy(x)), model.logits(torch.from_numpy(x)))


@pytest.mark.slow
def test_a_fitted_pipeline_is_exported_and_loaded_where_its_module_is_trusted(place):
    path = f"{HERE}.make_classifier"
    (run,) = evaluate(path, "synthetic").attrs["runs"]
    fitted = read_predictions(place / run / "predictions_test.csv").probabilities
    x, y, _ = eegfm.windows("synthetic", "train")
    x_test = eegfm.windows("synthetic", "test")[0]
    with pytest.raises(EegfmError, match=f"type trust={re.escape(HERE)}"):
        eegfm.load(run)
    model = eegfm.load(run, trust=[HERE])
    np.testing.assert_allclose(model.predict_proba(x_test), fitted, atol=1e-6)
    export(Path(run), place / "out", trust=[HERE])
    with pytest.raises(EegfmError, match=f"trust=.{re.escape(HERE)}"):
        eegfm.load(place / "out")
    again = eegfm.load(place / "out", trust=[HERE])
    assert np.array_equal(again.predict_proba(x_test), model.predict_proba(x_test))
    anew = clone(again.estimator).fit(x, y)
    np.testing.assert_allclose(anew.predict_proba(x_test), fitted, rtol=1e-6)
    (place / "out" / "model.skops").write_bytes(b"PK")
    with pytest.raises(EegfmError, match="skops"):
        eegfm.load(place / "out", trust=[HERE])


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", ["bandpower", *(pytest.param(name, marks=pytest.mark.long) for name in ("tangent", "csp_lda"))]
)
def test_a_fitted_model_of_ours_is_a_pipeline_of_scikit_learn(place, model):
    (run,) = evaluate(model, "synthetic").attrs["runs"]
    fitted = read_predictions(place / run / "predictions_test.csv").probabilities
    pipeline, x_test = eegfm.load(run).estimator, eegfm.windows("synthetic", "test")[0]
    np.testing.assert_allclose(pipeline.predict_proba(x_test), fitted, rtol=1e-6)
    x, y, _ = eegfm.windows("synthetic")
    np.testing.assert_allclose(clone(pipeline).fit(x, y).predict_proba(x_test), fitted, rtol=1e-4)


@pytest.mark.slow
def test_it_is_found_in_the_working_folder_by_the_command_that_is_installed(place):
    (place / "beside.py").write_text("from torch import nn\n\n\nclass Lin(nn.Sequential):\n"
        "    def __init__(self, n_channels, n_times, n_classes):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(n_channels * n_times, n_classes))\n")  # fmt: skip
    code = "import sys; sys.path[:] = [one for one in sys.path if one]; from eegfm.__main__ import main; main()"
    typed = ["train", "model=mine", "model.path=beside.Lin", "data=synthetic", *SHORT]
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *typed], cwd=place, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert [*(place / "runs" / "single").glob("Lin-raw-synthetic-*/result.json")]


def test_the_option_is_made_as_any_other():
    config = composed("model=mine", f"model.path={HERE}.Net")
    assert isinstance(make(config.model, "model")(spec_of(2)), Mine)

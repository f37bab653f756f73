"""Features of layers, always over time, and small classifiers over them, against NumPy and scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from torch import nn

from eegfm.contracts import EegfmError, SampleSpec
from eegfm.nn.covariance import log_covariance
from eegfm.tasks import heads
from eegfm.tasks.features import PER_CHANNEL, QUANTILES, Features, time_statistics
from eegfm.tasks.fitted import read_fitted, write_fitted
from eegfm.tasks.heads import HEADS
from eegfm.tasks.probe import Probe, stratified
from tests.nn.tokens import as_a_person

from .autoencoder import PLACES, SPEC, Autoencoder
from .test_reconstruct import Labelled
from .toy import Backbone

COORDS = torch.tensor(PLACES, dtype=torch.float32)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def backbone(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Autoencoder(SPEC, dropout=0.5)


@pytest.mark.parametrize("n_times", [2, 3, 160])
def test_statistics_are_those_of_numpy_in_the_published_order(n_times):
    """pool3 of EEGM2 gives 9 x 256 = 2304 features: minima, maxima, means, deviations, then quantiles by channel."""
    h = randn(3, 256, n_times)
    found, x = time_statistics(h).numpy(), h.double().numpy()
    assert found.shape == (3, 2304) and PER_CHANNEL == 9 and QUANTILES == (0.05, 0.25, 0.5, 0.75, 0.95)
    quantiles = np.quantile(x, QUANTILES, axis=-1).transpose(1, 2, 0).reshape(3, -1)
    parts = [x.min(-1), x.max(-1), x.mean(-1), x.std(-1, ddof=1), quantiles]
    np.testing.assert_allclose(found, np.concatenate(parts, axis=1), rtol=1e-4, atol=1e-6)


def test_statistics_of_one_moment_are_refused():
    with pytest.raises(EegfmError, match="two moments"):
        time_statistics(randn(2, 3, 1))


@pytest.mark.parametrize(("layer", "width"), [("encoder", 16), ("turned", 16)])
def test_features_are_over_time_whatever_the_order_of_the_layers_axes(layer, width):
    """Oracle: the layer's output by hand. `turned` gives [batch, time, channel], the references' trap."""
    net, x = backbone().eval(), 30 * randn(4, *SPEC.shape)
    with torch.no_grad():
        h = net.encoder(x / 10)
        if layer == "turned":
            h = net.turned(net.middle(h).transpose(1, 2)).transpose(1, 2)
    found = Features(net, layer=layer, scale=10.0)(x, COORDS)
    assert found.shape == (4, PER_CHANNEL * width)  # 9 a channel, not a moment
    torch.testing.assert_close(found, time_statistics(h))


def test_features_leave_no_trace_and_need_nothing_behind_the_layer():
    """Dropout is off whatever the mode; modes and hooks are as before; what follows is not computed."""
    net, x = backbone().train(), randn(2, *SPEC.shape)
    net.middle.eval()
    net.turned = nn.Sequential(nn.Dropout(0.5), net.turned)
    net.decoder = nn.Linear(1, 1)  # cannot work
    modes = [module.training for module in net.modules()]
    features = Features(net, layer="turned")
    assert torch.equal(features(x, COORDS), features(x, COORDS))
    assert [module.training for module in net.modules()] == modes
    assert not any(module._forward_hooks for module in net.modules())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_a_layer_may_be_pooled_by_its_covariance_and_an_embedding_is_pooled_already():
    net, x = backbone().eval(), 30 * randn(4, *SPEC.shape)
    with torch.no_grad():
        h = net.turned(net.middle(net.encoder(x / 10)).transpose(1, 2)).transpose(1, 2)
    found = Features(net, layer="turned", pooling="logcov", scale=10.0)(x, COORDS)
    assert found.shape == (4, 136)  # 16 features
    torch.testing.assert_close(found, log_covariance(h))
    with pytest.raises(EegfmError, match=r"Name a layer .*model\.pooling=logcov"):
        Features(net, layer=None, pooling="logcov")
    with pytest.raises(EegfmError, match=r"task\.pooling='mean' is not a choice"), as_a_person():
        Probe(net, SPEC, layer="turned", pooling="mean", seed=0)


def test_without_a_layer_the_embedding_is_taken():
    net, x = backbone().eval(), randn(2, *SPEC.shape)
    torch.testing.assert_close(Features(net, layer=None)(x, COORDS), net.embed(x, COORDS).detach())


def test_a_layer_that_is_not_shown_is_refused_with_those_that_are():
    with pytest.raises(EegfmError, match="It shows encoder, turned"):
        Features(backbone(), layer="middle")
    with pytest.raises(EegfmError, match=r"task\.layer=null"):
        Features(Backbone(), layer="layers")
    net = backbone()
    net.time_axis = {"noise": 2, "spare": 2}
    net.spare = nn.Identity()
    with pytest.raises(EegfmError, match="does not come through"):
        Features(net, layer="spare")(randn(2, *SPEC.shape), COORDS)
    for output in (torch.zeros(2, 3, 4, 5), (torch.zeros(2, 3, 4),)):
        net.noise.register_forward_hook(lambda *_, output=output: output)
        with pytest.raises(EegfmError, match="no tensor of three axes"):
            Features(net, layer="noise")(randn(2, *SPEC.shape), COORDS)


def blobs(n, n_classes, seed):
    """Classes whose means are apart in three of six features of very different sizes; and the labels."""
    random = np.random.default_rng(seed)
    label = np.arange(n) % n_classes
    means = np.random.default_rng(99).normal(size=(n_classes, 6)) * [4, 4, 4, 0, 0, 0]
    x = (random.normal(size=(n, 6)) + means[label]) * [1, 100, 0.01, 1, 1000, 1]
    return x.astype(np.float32), label


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("balanced", [False, True])
def test_every_head_learns_and_gives_probabilities(name, n_classes, balanced, monkeypatch):
    monkeypatch.setattr(HEADS["mlp"], "RATE", 3e-3)  # 600 windows are no data set of the paper's
    train, val, test = (blobs(600, n_classes, seed) for seed in range(3))
    head = HEADS[name](n_classes, balanced=balanced, seed=0)
    head.fit(*train, *val)
    found = head.probabilities(test[0])
    assert found.shape == (600, n_classes) and (found >= 0).all()
    rounding = 4 * n_classes * np.finfo(np.float32).eps  # of an exponential, a sum and a division, a class
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=rounding)
    assert (found.argmax(axis=1) == test[1]).mean() > 0.85
    again = HEADS[name](n_classes, balanced=balanced, seed=0)
    again.fit(*train, *val)
    np.testing.assert_array_equal(again.probabilities(test[0]), found)


@pytest.mark.parametrize("name", HEADS)
def test_balanced_heads_do_not_pass_over_a_rare_class(name, monkeypatch):
    monkeypatch.setattr(HEADS["mlp"], "RATE", 3e-3)
    random = np.random.default_rng(0)
    label = (np.arange(1000) % 20 == 0).astype(int)
    x = (random.normal(size=(1000, 3)) + label[:, None]).astype(np.float32)
    recall = {}
    for balanced in (False, True):
        head = HEADS[name](2, balanced=balanced, seed=0)
        head.fit(x, label, x, label)
        recall[balanced] = (head.probabilities(x).argmax(axis=1) == label)[label == 1].mean()
    assert recall[True] > recall[False] + 0.1


@pytest.mark.parametrize("name", HEADS)
def test_a_class_without_training_windows_keeps_its_column(name):
    (x, label), other = blobs(90, 2, 0), blobs(30, 3, 1)
    head = HEADS[name](3, balanced=True, seed=0)
    head.fit(x, label, *other)
    found = head.probabilities(other[0])
    assert found.shape == (30, 3) and np.isfinite(found).all()
    assert name == "mlp" or (found[:, 2] == 0).all()


def with_nothing_to_choose(monkeypatch):
    """Heads that choose on the validation split are left one strength and one epoch."""
    monkeypatch.setattr(HEADS["ridge"], "STRENGTHS", (1.0,))
    monkeypatch.setattr(HEADS["mlp"], "EPOCHS", 1)


@pytest.mark.parametrize("name", HEADS)
def test_features_are_standardised_by_the_training_windows_alone(name, monkeypatch):
    """Validation windows of another place and size change nothing, nor do other windows that are predicted along."""
    with_nothing_to_choose(monkeypatch)
    (x, label), (x_val, label_val), (x_test, _) = blobs(90, 2, 0), blobs(40, 2, 1), blobs(30, 2, 2)
    found = []
    for moved in (x_val, 7 * x_val + 100):
        head = HEADS[name](2, seed=0)
        head.fit(x, label, moved, label_val)
        found.append(head.probabilities(x_test))
        np.testing.assert_allclose(head.probabilities(x_test[:3]), found[-1][:3], rtol=1e-5)
    np.testing.assert_array_equal(*found)


def test_the_linear_probe_is_the_references_and_the_neighbours_are_scikit_learns():
    (x, label), (x_test, _) = blobs(300, 3, 0), blobs(50, 3, 1)
    scaler = StandardScaler().fit(x)
    for name, model, n in (
        ("logistic", OneVsRestClassifier(LogisticRegression(max_iter=1_000_000)), 3 * 7),
        ("knn", KNeighborsClassifier(20), 0),
    ):
        head = HEADS[name](3, seed=0)
        head.fit(x, label, x, label)
        expected = model.fit(scaler.transform(x), label).predict_proba(scaler.transform(x_test))
        np.testing.assert_allclose(head.probabilities(x_test), expected, atol=1e-8)
        assert head.n_parameters == n


def test_ridge_is_the_closed_form_and_takes_the_strength_that_validation_prefers():
    (x, label), val, (x_test, _) = blobs(300, 2, 0), blobs(80, 2, 1), blobs(50, 2, 2)
    head = HEADS["ridge"](2, seed=0)
    head.fit(x, label, *val)
    scaler = StandardScaler().fit(x)
    a, y = scaler.transform(x).astype(float), 2.0 * label - 1
    weights = np.linalg.solve(a.T @ a + head.strength * np.eye(6), a.T @ (y - y.mean()))
    value = scaler.transform(x_test) @ weights + y.mean()
    np.testing.assert_allclose(head.probabilities(x_test)[:, 1], 1 / (1 + np.exp(-2 * value)), rtol=1e-3)
    assert head.n_parameters == 7 and head.strength == 1  # the first of equals


def noisy(n, seed, every=2):
    """Two classes and 40 features, most of them noise, so that what fits training windows best is not the best."""
    random = np.random.default_rng(seed)
    label = (np.arange(n) % every == 0).astype(int)
    x = random.normal(size=(n, 40)) + np.where(np.arange(40) < 4, 0.5, 0) * label[:, None]
    return x.astype(np.float32), label


def test_ridge_takes_the_first_strength_of_the_best_auroc_on_validation(monkeypatch):
    """Oracle: a head for every strength alone. Validation windows are standardised by the training windows too."""
    train, val, strengths = noisy(60, 0), noisy(200, 1), HEADS["ridge"].STRENGTHS
    head = HEADS["ridge"](2, seed=0)
    head.fit(*train, *val)
    alone = []
    for strength in strengths:
        monkeypatch.setattr(HEADS["ridge"], "STRENGTHS", (strength,))
        one = HEADS["ridge"](2, seed=0)
        one.fit(*train, *val)
        alone.append(roc_auc_score(val[1], one.probabilities(val[0])[:, 1]))
    assert len(set(alone)) > 3 and head.strength == strengths[int(np.argmax(alone))] != strengths[0]


@pytest.mark.parametrize("balanced", [False, True])
def test_the_small_network_keeps_the_epoch_of_the_least_validation_loss(balanced, monkeypatch):
    """More epochs never make it worse; once the loss rises, they change nothing any more."""
    monkeypatch.setattr(HEADS["mlp"], "RATE", 6e-3)
    every = 4 if balanced else 2
    train, val, losses = noisy(60, 0, every), noisy(200, 1, every), []
    weight = len(train[1]) / np.bincount(train[1])[val[1]] if balanced else None
    for epochs in range(1, 13):
        monkeypatch.setattr(HEADS["mlp"], "EPOCHS", epochs)
        head = HEADS["mlp"](2, balanced=balanced, seed=0)
        head.fit(*train, *val)
        losses.append(log_loss(val[1], head.probabilities(val[0]), sample_weight=weight))
    assert (np.diff(losses) <= 0).all() and losses[-1] == losses[-3] < losses[0]


def test_the_small_network_learns_with_dropout_of_its_own_seed(monkeypatch):
    train, val = noisy(60, 0), noisy(60, 1)
    made, found = heads.light_mlp, []
    for without in (False, True):

        def small(*sizes, without=without):
            return nn.Sequential(*(m for m in made(*sizes) if not (without and isinstance(m, nn.Dropout))))

        monkeypatch.setattr(heads, "light_mlp", small)
        monkeypatch.setattr(HEADS["mlp"], "EPOCHS", 1)
        head, noise = HEADS["mlp"](2, seed=0), torch.get_rng_state()
        head.fit(*train, *val)
        assert torch.equal(noise, torch.get_rng_state())  # of its own seed, and nobody else's
        found.append(head.probabilities(val[0]))
    assert not np.array_equal(*found)


@pytest.mark.parametrize("name", HEADS)
def test_a_few_training_windows_and_a_window_far_away_are_no_matter(name):
    (x, label), (x_test, _) = blobs(12, 2, 0), blobs(6, 2, 1)
    head = HEADS[name](2, seed=0)
    head.fit(x, label, x, label)
    found = head.probabilities(1e6 * x_test)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)


def test_a_part_of_the_windows_is_the_same_of_every_class_and_follows_the_seed():
    label = np.repeat([0, 1, 2], [900, 90, 3])
    part = stratified(label, 100, seed=1)
    assert (np.diff(part) > 0).all() and len(part) <= 100
    np.testing.assert_array_equal(np.bincount(label[part]), [90, 9, 1])
    np.testing.assert_array_equal(part, stratified(label, 100, seed=1))
    assert not np.array_equal(part, stratified(label, 100, seed=2))
    np.testing.assert_array_equal(stratified(label, 993, seed=1), np.arange(993))


class Stored(Labelled):
    """What a probe asks of the data module, over rhythms in memory."""

    batch_size = 16

    def dataset(self, split):
        rows = super().dataset(split)
        rows.subject = np.arange(len(rows)) % 4
        rows.store.key = lambda row: f"{split}/{row}"
        return rows


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("layer", ["turned", None])
def test_a_probe_scores_a_split_in_stored_order_and_again_from_its_file(head, layer, tmp_path):
    probe = Probe(backbone(), SPEC, layer=layer, head=head, scale=30.0, device="cpu", seed=0)
    before = {key: value.clone() for key, value in probe.backbone.state_dict().items()}
    probe.fit(Stored())
    found = probe.predict(Stored(), "test")
    assert found.keys == [f"test/{i}" for i in range(22)]
    np.testing.assert_array_equal(found.label, np.arange(22) % 2)
    assert all(torch.equal(value, before[key]) for key, value in probe.backbone.state_dict().items())
    n = sum(p.numel() for p in probe.backbone.parameters())
    assert probe.parameters["total"] == n + probe.parameters["trainable"]
    if layer and head != "mlp":  # 5 and 7 Hz, through random filters
        assert ((found.probability[:, 1] > 0.5) == found.label).mean() > 0.8
    write_fitted(probe, tmp_path)
    again = Probe(backbone(), SPEC, layer=layer, head=head, scale=30.0, device="cpu", seed=0)
    read_fitted(again, tmp_path)
    np.testing.assert_array_equal(again.predict(Stored(), "test").probability, found.probability)
    assert again.parameters == probe.parameters
    with pytest.raises(EegfmError, match="other weights of Autoencoder"):
        read_fitted(Probe(backbone(seed=1), SPEC, layer=layer, head=head, device="cpu", seed=0), tmp_path)


@pytest.mark.parametrize("head", HEADS)
def test_a_probe_is_fitted_on_the_training_windows_alone(head, monkeypatch):
    """The validation split chooses: where nothing is left to choose, another one makes no other probe."""
    with_nothing_to_choose(monkeypatch)
    louder = Stored()
    louder.splits["val"].x = 9 * louder.splits["val"].x.flip(0)
    found = []
    for data in (Stored(), louder):
        probe = Probe(backbone(), SPEC, layer="turned", head=head, scale=30.0, device="cpu", seed=0)
        probe.fit(data)
        probe.predict(data, "val")
        found.append(probe.predict(data, "test").probability)
    np.testing.assert_array_equal(*found)


def predicted(data=None, *, head="ridge", layer="turned", **options):
    probe = Probe(backbone(), SPEC, layer=layer, head=head, device="cpu", **({"seed": 0} | options))
    probe.fit(data or Stored())
    return probe.predict(data or Stored(), "test").probability


def test_every_setting_of_a_probe_tells():
    """The seed changes the drawn part and the head; the scale matters, and with uneven classes so does balance."""
    part = {"at_most": 20, "scale": 30.0}
    assert not np.array_equal(predicted(seed=0, **part), predicted(seed=1, **part))
    assert not np.array_equal(predicted(head="mlp", seed=0), predicted(head="mlp", seed=1))
    divided, uneven = Stored(), Stored()
    for rows in divided.splits.values():
        rows.x = rows.x / 30
    np.testing.assert_allclose(predicted(scale=30.0), predicted(divided), rtol=1e-4)
    assert not np.allclose(predicted(scale=30.0), predicted(), rtol=1e-4)
    uneven.splits["train"].label = (torch.arange(96) % 8 == 0).long()
    assert not np.allclose(predicted(uneven, balanced=True), predicted(uneven), rtol=1e-2)


def test_a_probe_sees_at_most_so_many_training_windows():
    seen = []

    class Counting(Stored):
        def dataset(self, split):
            rows = super().dataset(split)
            if split == "train":
                whole = rows.__getitems__
                rows.__class__ = type(
                    "Rows", (type(rows),), {"__getitems__": lambda s, r: seen.extend(r) or whole(r)}
                )
            return rows

    Probe(backbone(), SPEC, layer="encoder", head="ridge", at_most=20, device="cpu", seed=0).fit(Counting())
    assert len(seen) == len(set(seen)) == 20 and sum(row % 2 for row in seen) == 10


def test_what_cannot_be_probed_is_refused():
    with pytest.raises(EegfmError, match="at least two classes"):
        Probe(backbone(), SampleSpec(SPEC.montage, SPEC.shape, SPEC.sfreq, ()), seed=0)
    with pytest.raises(EegfmError, match="logistic, mlp, knn, ridge"), as_a_person():
        Probe(backbone(), SPEC, head="tree", seed=0)  # type: ignore[arg-type]
    with pytest.raises(EegfmError, match="task=estimate"), as_a_person():
        Probe(object(), SPEC, seed=0)  # type: ignore[arg-type]
    net = backbone()
    nn.init.constant_(net.encoder.bias[:1], float("nan"))  # one channel of sixteen
    with pytest.raises(EegfmError, match="Features of 96 of 96 windows are not numbers"):
        Probe(net, SPEC, layer="encoder", device="cpu", seed=0).fit(Stored())

"""Log-covariance pooling against pyriemann, scikit-learn and SciPy, and its gradient where eigenvalues are equal."""

import numpy as np
import pytest
import torch
from pyriemann.geometry.tangentspace import tangent_space
from scipy.fft import dct
from sklearn.covariance import shrunk_covariance

from eegfm.nn.covariance import AT_MOST, SHRINKAGE, log_covariance, mixture, n_pairs


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    ("n_features", "n_times"), [(1, 20), (5, 200), (8, 4), (32, 50), (40, 60), (256, 25)]
)
def test_it_is_pyriemanns_tangent_vector_of_scikit_learns_shrunk_covariance(n_features, n_times):
    """Also of windows with fewer moments than features, and of more features than are kept."""
    h = 7 * randn(3, n_features, n_times) + 3
    found = log_covariance(h)
    kept = h.numpy()
    if n_features > AT_MOST:
        kept = dct(kept, axis=1, norm="ortho")[:, :AT_MOST]
    cov = np.stack(
        [shrunk_covariance(np.cov(one, ddof=0).reshape(len(one), -1), SHRINKAGE) for one in kept]
    )
    expected = tangent_space(cov, np.eye(kept.shape[1]), metric="logeuclid")
    assert found.shape == (3, n_pairs(n_features)) == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(log_covariance(h.float()), found.float(), rtol=1e-3, atol=1e-3)


def test_its_gradient_is_that_of_differences_also_between_equal_eigenvalues():
    """Two moments of four features leave two eigenvalues that are equal: torch's own gradient is not a number there."""
    for shape in ((2, 4, 9), (2, 4, 2), (1, 3, 4)):
        assert torch.autograd.gradcheck(log_covariance, randn(*shape).requires_grad_())
    short = randn(2, 40, 5).float().requires_grad_()
    log_covariance(short).square().sum().backward()
    assert torch.isfinite(short.grad).all()


def test_what_it_sees_and_does_not():
    """A gain moves the diagonal alone, an offset nothing; order of moments is nothing; a flat window is finite."""
    h = randn(2, 6, 80)
    found = log_covariance(h)
    diagonal = torch.tensor([i == j for i in range(6) for j in range(i, 6)])
    louder = log_covariance(10 * h) - found
    torch.testing.assert_close(louder, diagonal.double().expand(2, -1) * np.log(100))
    torch.testing.assert_close(log_covariance(h + 5), found)
    torch.testing.assert_close(log_covariance(h.flip(-1)), found)
    flat = torch.zeros(1, 6, 80, requires_grad=True)
    log_covariance(flat).sum().backward()
    assert torch.isfinite(log_covariance(flat)).all() and torch.isfinite(flat.grad).all()


def test_the_mixtures_are_at_right_angles_and_miss_no_feature():
    rows = mixture(100)
    torch.testing.assert_close(rows @ rows.T, torch.eye(AT_MOST, dtype=rows.dtype))
    assert rows.norm(dim=0).min() > 0.4

"""A sine wave in noise, sampled and scaled in many ways: exact by quadrature, with as many modes as the sampling leaves.

A sin(omega t + phi0) with phi0 uniform on the circle, A uniform on (-4, 4), omega uniform: for each omega and phi0 the
likelihood is normal in (A cos phi0, A sin phi0), and the rest is a grid.
"""
import numpy as np
from scipy import special, stats

from problems import Problem, normal

LIMIT = 4.0


def exact(t, y, sigma, low, high, n_omega=40_000):
    """Log-evidence, and (omega at grid points, their probabilities)."""
    omega = low + (np.arange(n_omega) + 0.5) * (high - low) / n_omega
    constant, w = normal(y, 0.0, sigma), 1 / sigma**2
    sums = np.empty((5, n_omega))
    for rows in np.array_split(np.arange(n_omega), n_omega // 2_000):
        s, c = np.sin(omega[rows, None] * t), np.cos(omega[rows, None] * t)
        sums[:, rows] = (s * s) @ w, (c * c) @ w, (s * c) @ w, s @ (w * y), c @ (w * y)
    _, a, b = best_fit(*sums)
    gain = 0.5 * (sums[3] * a + sums[4] * b)
    likely, narrow = gain > gain.max() - 60, amplitude(*sums) > 8
    log_density = np.full(n_omega, -np.inf)
    # Where the amplitude is well known the plane of (A cos phi0, A sin phi0) is Gaussian but for the prior 1 / |A|.
    for some, integral in ((likely & narrow, in_the_plane), (likely & ~narrow, over_phases)):
        for rows in np.array_split(np.flatnonzero(some), n_omega // 1_000):
            log_density[rows] = constant + integral(*sums[:, rows])
    log_evidence = special.logsumexp(log_density) - np.log(n_omega)
    return log_evidence, omega, np.exp(log_density - special.logsumexp(log_density))


def known(t, y, sigma, low, high):
    """Log-evidence, and what else is expected of draws (phi0, A, omega)."""
    log_evidence, omega, probability = exact(t, y, sigma, low, high)
    middle = probability @ omega
    expected = [("mass at A < 0", lambda theta: theta[:, 1] < 0, 0.5), ("mean of omega", lambda theta: theta[:, 2], middle)]
    for first, last, mass in peaks_of(omega, probability):
        expected.append((f"mass at omega {first:.3f} to {last:.3f}", lambda th, a=first, b=last: (th[:, 2] >= a) & (th[:, 2] <= b), mass))
    return log_evidence, expected


def best_fit(ss, cc, sc, sy, cy):
    determinant = np.maximum(ss * cc - sc**2, 1e-9 * (ss + cc) ** 2)
    return determinant, (cc * sy - sc * cy) / determinant, (ss * cy - sc * sy) / determinant


def amplitude(ss, cc, sc, sy, cy):
    """The best one, in its largest standard deviation."""
    determinant, a, b = best_fit(ss, cc, sc, sy, cy)
    least = 0.5 * (ss + cc) - np.sqrt(0.25 * (ss - cc) ** 2 + sc**2)
    return np.hypot(a, b) * np.sqrt(np.maximum(least, 1e-9 * (ss + cc)))


def in_the_plane(ss, cc, sc, sy, cy):
    determinant, a, b = best_fit(ss, cc, sc, sy, cy)
    node, weight = np.polynomial.hermite_e.hermegauss(24)
    # Lower factor of the covariance [[cc, -sc], [-sc, ss]] / determinant.
    first = np.sqrt(cc / determinant)
    second = -sc / determinant / first
    third = np.sqrt(np.maximum(ss / determinant - second**2, 1e-300))
    u, v = node[:, None], node[None, :]
    radius = np.hypot(a[:, None, None] + first[:, None, None] * u, b[:, None, None] + second[:, None, None] * u + third[:, None, None] * v)
    prior = np.where(radius <= LIMIT, 1 / (2 * np.pi * LIMIT * np.maximum(radius, 1e-12)), 0.0)
    mean_prior = np.einsum("nuv,u,v->n", prior, weight, weight) / (2 * np.pi)
    with np.errstate(divide="ignore"):
        return 0.5 * (sy * a + cy * b) + np.log(2 * np.pi) - 0.5 * np.log(determinant) + np.log(mean_prior)


def over_phases(ss, cc, sc, sy, cy, n=128):
    phi = np.linspace(0, 2 * np.pi, n, endpoint=False)
    cos, sin = np.cos(phi), np.sin(phi)
    square = ss[:, None] * cos**2 + cc[:, None] * sin**2 + 2 * sc[:, None] * sin * cos
    linear = sy[:, None] * cos + cy[:, None] * sin
    square = np.maximum(square, 1e-12)
    mean, sd = linear / square, 1 / np.sqrt(square)
    inside = log_difference(special.log_ndtr((LIMIT - mean) / sd), special.log_ndtr((-LIMIT - mean) / sd))
    log_a = 0.5 * linear**2 / square + np.log(sd) + 0.5 * np.log(2 * np.pi) + inside - np.log(2 * LIMIT)
    return special.logsumexp(log_a, axis=1) - np.log(n)


def log_difference(a, b):
    with np.errstate(divide="ignore"):
        return a + np.log1p(-np.exp(np.minimum(b - a, 0)))


def peaks_of(omega, probability):
    """Intervals of omega that hold the modes of at least 1 %: (low, high, mass)."""
    order = np.flatnonzero(probability > 1e-6 * probability.max())
    groups = np.split(order, np.flatnonzero(np.diff(order) > 1) + 1)
    found = [(omega[g[0]], omega[g[-1]], probability[g].sum()) for g in groups]
    return [group for group in found if group[2] > 0.01]


def sine(name, t, truth, sigma, seed, low=2 * np.pi, high=12 * np.pi):
    rng = np.random.default_rng(seed)
    t, sigma = np.asarray(t, dtype=float), np.full(len(t), sigma)
    phi0, amplitude, frequency = truth
    y = amplitude * np.sin(frequency * t + phi0) + sigma * rng.normal(size=len(t))

    def log_likelihood(theta):
        phi, a, omega = theta.T[:, :, None]
        return normal(y, a * np.sin(omega * t + phi), sigma)

    log_evidence, expected = known(t, y, sigma, low, high)
    priors = {"phi0": stats.uniform(0, 2 * np.pi), "A": stats.uniform(-LIMIT, 2 * LIMIT), "omega": stats.uniform(low, high - low)}
    return Problem(name, priors, log_likelihood, log_evidence, None, expected, ("phi0",))


def problems():
    even = np.linspace(0, 1, 50)
    yield sine("sine-loud", even, (1.0, 2.0, 20.0), 0.1, 1)
    yield sine("sine-louder", even, (4.0, -3.5, 11.0), 0.1, 2)
    yield sine("sine-sharp", np.sort(np.random.default_rng(3).random(50)), (2.0, 1.5, 30.0), 0.01, 3)
    yield sine("sine-quiet", even, (0.5, 0.12, 25.0), 0.1, 4)
    # Eight points a unit of time: frequencies 16 pi / 2 apart look alike.
    yield sine("alias-even", np.arange(24) / 8.0, (1.0, 1.2, 13.0), 0.2, 5, 2.0, 75.0)
    nights = np.concatenate([night + 0.05 * np.sort(np.random.default_rng(6).random(4)) for night in range(12)])
    yield sine("alias-nights", nights, (2.5, 1.5, 9.0), 0.3, 6, 2.0, 30.0)
    yield sine("alias-ten", np.arange(30) / 2.0, (0.7, 1.0, 5.0), 0.3, 7, 4 * np.pi, 24 * np.pi)

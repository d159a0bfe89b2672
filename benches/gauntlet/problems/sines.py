"""A sine wave in noise, sampled and scaled in many ways: exact by quadrature, with as many modes as the sampling leaves.

A sin(omega t + phi0) with phi0 uniform on the circle, A uniform on (-4, 4), omega uniform: for each omega and phi0 the
likelihood is normal in A, which is integrated in closed form; omega and phi0 on a grid.
"""
import numpy as np
from scipy import special, stats

from problems import Problem, normal

LIMIT = 4.0


def exact(t, y, sigma, low, high):
    """Log-evidence, and (omega at grid points, their probabilities)."""
    phi = np.linspace(0, 2 * np.pi, 256, endpoint=False)
    n_omega = int(64 * (high - low) * max(1.0, np.ptp(t) / sigma.min() * 0.05)) + 1
    # Fine to a small part of the width of a peak, which is no less than sigma / (A × range of t × √n).
    n_omega = min(max(n_omega, 20_000), 400_000)
    omega = low + (np.arange(n_omega) + 0.5) * (high - low) / n_omega
    constant = normal(y, 0.0, sigma)
    log_density = np.empty(n_omega)
    for rows in np.array_split(np.arange(n_omega), max(1, n_omega // 2_000)):
        s, c = np.sin(omega[rows, None] * t), np.cos(omega[rows, None] * t)
        w = 1 / sigma**2
        ss, cc, sc, sy, cy = (s * s) @ w, (c * c) @ w, (s * c) @ w, s @ (w * y), c @ (w * y)
        cos, sin = np.cos(phi), np.sin(phi)
        square = ss[:, None] * cos**2 + cc[:, None] * sin**2 + 2 * sc[:, None] * sin * cos
        linear = sy[:, None] * cos + cy[:, None] * sin
        square = np.maximum(square, 1e-12)
        mean, sd = linear / square, 1 / np.sqrt(square)
        inside = log_difference(special.log_ndtr((LIMIT - mean) / sd), special.log_ndtr((-LIMIT - mean) / sd))
        log_a = constant + 0.5 * linear**2 / square + np.log(sd) + 0.5 * np.log(2 * np.pi) + inside - np.log(2 * LIMIT)
        log_density[rows] = special.logsumexp(log_a, axis=1) - np.log(len(phi))
    log_evidence = special.logsumexp(log_density) - np.log(n_omega)
    return log_evidence, omega, np.exp(log_density - special.logsumexp(log_density))


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

    log_evidence, omega, probability = exact(t, y, sigma, low, high)
    middle = probability @ omega
    expected = [("mass at A < 0", lambda theta: theta[:, 1] < 0, 0.5), ("mean of omega", lambda theta: theta[:, 2], middle)]
    for first, last, mass in peaks_of(omega, probability):
        expected.append((f"mass at omega {first:.3f} to {last:.3f}", lambda th, a=first, b=last: (th[:, 2] >= a) & (th[:, 2] <= b), mass))
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

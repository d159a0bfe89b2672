"""Velocities of a star with two planets on circles, observed in nights: each frequency has aliases a day⁻¹ apart, and the planets may be swapped.

v(t) = sum of a_i sin(2 pi f_i t) + b_i cos(2 pi f_i t) with a_i and b_i of Normal(0, K): for each pair of frequencies the rest is Gaussian, and the
frequencies are a grid.
"""
import numpy as np
from scipy import ndimage, special, stats

from problems import Problem, normal

K = 10.0
LOW, HIGH = 0.05, 1.45


def exact(t, y, sigma, n):
    """Log-evidence, n frequencies, and the probability of each pair of them."""
    f = LOW + (np.arange(n) + 0.5) * (HIGH - LOW) / n
    waves = np.stack([np.sin(2 * np.pi * f[:, None] * t), np.cos(2 * np.pi * f[:, None] * t)])
    log_density = np.empty((n, n))
    for i in range(n):
        lower = np.linalg.cholesky(np.diag(sigma**2) + K**2 * waves[:, i].T @ waves[:, i])
        white = np.linalg.inv(lower)
        s, c = waves @ white.T
        u = white @ y
        ss, cc, sc = (1 + K**2 * (s * s).sum(axis=1)), (1 + K**2 * (c * c).sum(axis=1)), K**2 * (s * c).sum(axis=1)
        sy, cy = K * (s @ u), K * (c @ u)
        determinant = ss * cc - sc**2
        one = -0.5 * u @ u - np.log(np.diag(lower)).sum() - 0.5 * len(t) * np.log(2 * np.pi)
        log_density[i] = one - 0.5 * np.log(determinant) + 0.5 * (cc * sy**2 - 2 * sc * sy * cy + ss * cy**2) / determinant
    log_sum = special.logsumexp(log_density)
    return log_sum - 2 * np.log(n), f, np.exp(log_density - log_sum)


def problems(n=700):
    rng = np.random.default_rng(8)
    t = np.sort(rng.choice(45, 28, replace=False)) + rng.uniform(-0.07, 0.07, 28)
    sigma = np.full(28, 4.0)
    y = 9 * np.sin(2 * np.pi * t / 7.3 + 1.0) + 7 * np.sin(2 * np.pi * t / 2.9 + 4.0) + sigma * rng.normal(size=28)

    def log_likelihood(theta):
        a, b = theta[:, 2:4, None], theta[:, 4:6, None]
        phase = 2 * np.pi * theta[:, :2, None] * t
        return normal(y, np.sum(a * np.sin(phase) + b * np.cos(phase), axis=1), sigma)

    log_evidence, f, probability = exact(t, y, sigma, n)
    half = 0.5 * (f[1] - f[0])
    expected = [("mass at f1 < f2", lambda theta: theta[:, 0] < theta[:, 1], 0.5)]
    expected += [("mean of f1", lambda theta: theta[:, 0], probability.sum(axis=1) @ f)]
    labels, _ = ndimage.label(probability > 1e-7 * probability.max())
    for rows, columns in ndimage.find_objects(labels):
        mass = float(probability[rows, columns].sum())
        if mass > 0.01:
            low = np.array([f[rows.start], f[columns.start]]) - half
            high = np.array([f[rows.stop - 1], f[columns.stop - 1]]) + half
            inside = lambda theta, low=low, high=high: ((theta[:, :2] >= low) & (theta[:, :2] <= high)).all(axis=1)
            expected.append((f"mass at f1 {low[0]:.2f} to {high[0]:.2f}, f2 {low[1]:.2f} to {high[1]:.2f}", inside, mass))
    priors = {name: stats.uniform(LOW, HIGH - LOW) for name in ("f1", "f2")} | {name: stats.norm(0, K) for name in ("a1", "a2", "b1", "b2")}
    yield Problem("planets-nights", priors, log_likelihood, float(log_evidence), None, expected)

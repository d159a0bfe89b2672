"""Problems whose evidence and moments are known in closed form or by quadrature."""
import json

import numpy as np
from scipy import stats

from problems import Problem


def coordinate(i):
    return lambda theta: theta[:, i]


def square(i, mean):
    return lambda theta: (theta[:, i] - mean) ** 2


def below(i, threshold):
    return lambda theta: theta[:, i] < threshold


def moments(i, name, mean, sd):
    return [(f"mean of {name}", coordinate(i), mean), (f"variance of {name}", square(i, mean), sd**2)]


def eggbox():
    def log_likelihood(theta):
        return (2 + np.cos(theta[:, 0] / 2) * np.cos(theta[:, 1] / 2)) ** 5

    def near(i, j):
        # The nearest of the 18 peaks, by its two indices in units of 2 pi.
        def mask(theta):
            u = theta / (2 * np.pi)
            peaks = np.array([(a, b) for a in range(6) for b in range(6) if (a - b) % 2 == 0])
            nearest = peaks[np.argmin(((u[:, None] - peaks) ** 2).sum(axis=2), axis=1)]
            return (nearest == (i, j)).all(axis=1)

        return mask

    expected = []
    for i in range(6):
        for j in range(6):
            if (i - j) % 2 == 0:
                edges = (i in (0, 5)) + (j in (0, 5))
                expected.append((f"mass at ({i}, {j})", near(i, j), 2 / 25 / 2**edges))
    priors = {name: stats.uniform(0, 10 * np.pi) for name in ("x", "y")}
    return Problem("eggbox_2", priors, log_likelihood, 235.8559, expected=expected)


def loggamma():
    s = 1 / 30

    def log_gamma(x, m):
        z = (x - m) / s
        return z - np.exp(z) - np.log(s)

    def log_normal(x, m):
        return -0.5 * ((x - m) / s) ** 2 - np.log(s) - 0.5 * np.log(2 * np.pi)

    def log_likelihood(theta):
        a, b, c, d, e = theta.T
        first = np.logaddexp(log_gamma(a, 1 / 3), log_gamma(a, 2 / 3)) + np.logaddexp(log_normal(b, 1 / 3), log_normal(b, 2 / 3))
        return first - 2 * np.log(2) + log_gamma(c, 2 / 3) + log_normal(d, 2 / 3) + log_normal(e, 2 / 3)

    expected = moments(0, "x1", 0.48076, 0.17206) + moments(1, "x2", 0.5, 0.16997) + moments(2, "x3", 0.64743, 0.04275)
    expected += moments(3, "x4", 0.66667, 0.03333) + moments(4, "x5", 0.66667, 0.03333)
    for low_1, low_2 in ((True, True), (True, False), (False, True), (False, False)):
        mass = 0.5 * (0.50335 if low_1 else 0.49665)
        words = f"mass at x1 {'<' if low_1 else '>'} 1/2, x2 {'<' if low_2 else '>'} 1/2"
        expected.append((words, lambda t, a=low_1, b=low_2: ((t[:, 0] < 0.5) == a) & ((t[:, 1] < 0.5) == b), mass))
    return Problem("loggamma_5", {f"x{i}": stats.uniform(0, 1) for i in range(1, 6)}, log_likelihood, -2.2703e-5, expected=expected)


def rosenbrock():
    def log_likelihood(theta):
        return -np.sum(100 * (theta[:, 1:] - theta[:, :-1] ** 2) ** 2 + (1 - theta[:, :-1]) ** 2, axis=1)

    known = [
        (0.7660, 0.4104, (-0.1420, 0.4912, 0.8865, 1.0698, 1.1492)),
        (0.7572, 0.3790, (0.0681, 0.3142, 0.8025, 1.1463, 1.3154)),
        (0.7196, 0.5479, (-0.0010, 0.1195, 0.6483, 1.3182, 1.7311)),
        (0.8180, 1.0006, (-0.0507, 0.0267, 0.4247, 1.7414, 3.0046)),
    ]
    expected = []
    for i, (mean, sd, quantiles) in enumerate(known):
        expected += moments(i, f"x{i + 1}", mean, sd)
        for share, at in zip((0.05, 0.16, 0.5, 0.84, 0.95), quantiles):
            expected.append((f"P(x{i + 1} < {at})", below(i, at), share))
    return Problem("rosenbrock_4", {f"x{i}": stats.uniform(-5, 10) for i in range(1, 5)}, log_likelihood, -15.1017, expected=expected)


def shells():
    def shell(theta, middle):
        q = np.hypot(theta[:, 0] - middle, theta[:, 1])
        return -0.5 * ((q - 2) / 0.1) ** 2 - 0.5 * np.log(2 * np.pi * 0.1**2)

    def log_likelihood(theta):
        return np.logaddexp(shell(theta, -3.5), shell(theta, 3.5))

    expected = [("mass at x1 < 0", below(0, 0.0), 0.5), ("mean of |x1|", lambda t: np.abs(t[:, 0]), 3.5)]
    expected += moments(1, "x2", 0.0, 1.4195)
    return Problem("shells_2", {name: stats.uniform(-6, 12) for name in ("x1", "x2")}, log_likelihood, -1.7456, expected=expected)


def expwave(folder):
    data = json.loads((folder / "expwave_7" / "data.json").read_text())
    x, y = np.array(data["x"]), np.array(data["y"])

    def log_likelihood(theta):
        a1, f1, p1, a2, f2, p2, s = theta.T[:, :, None]
        with np.errstate(over="ignore", invalid="ignore"):
            model = np.exp(10**a1 * np.sin(10**f1 * x + p1) + 10**a2 * np.sin(10**f2 * x + p2))
            log_l = np.sum(-0.5 * ((y - model) / 10**s) ** 2 - np.log(10) * s - 0.5 * np.log(2 * np.pi), axis=1)
        return np.where(np.isfinite(log_l), log_l, -np.inf)

    priors = {}
    for i in (1, 2):
        priors |= {f"a{i}": stats.uniform(-2, 4), f"f{i}": stats.uniform(-2, 4), f"p{i}": stats.uniform(0, 2 * np.pi)}
    expected = [("mass at f1 < f2", lambda theta: theta[:, 1] < theta[:, 4], 0.5)]
    return Problem("expwave_7", priors | {"s": stats.uniform(-2, 2)}, log_likelihood, None, None, expected, ("p1", "p2"))


def problems(folder):
    found = [eggbox(), loggamma(), rosenbrock(), shells()]
    return found + ([expwave(folder)] if folder.is_dir() else [])

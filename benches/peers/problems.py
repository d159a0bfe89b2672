"""The two problems that all peers are given: model, uniform prior and Gaussian likelihood, vectorized, calls counted."""
import csv
import pathlib

import numpy as np

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"


class Problem:
    """Parameters with independent uniform priors, and data with independent Gaussian errors.

    `log_evidence` is by other means (examples' references); `periodic` lists the parameters that are angles.
    """

    def __init__(self, name, labels, low, high, model, periodic, log_evidence):
        self.name, self.labels, self.periodic, self.log_evidence = name, labels, periodic, log_evidence
        self.low, self.high = np.array(low), np.array(high)
        with open(EXAMPLES / name / "observation.csv", newline="") as file:
            rows = [[float(cell) for cell in row] for row in list(csv.reader(file))[1:]]
        self.grid, self.value, self.sigma = np.array(rows).T
        self.model = model
        self.log_volume = np.log(self.high - self.low).sum()
        self.n_calls = 0

    @property
    def n_parameters(self):
        return len(self.labels)

    def from_cube(self, cube):
        return self.low + np.asarray(cube) * (self.high - self.low)

    def is_inside(self, theta):
        return ((theta >= self.low) & (theta <= self.high)).all(axis=-1)

    def prior(self, n, rng):
        return self.from_cube(rng.random((n, self.n_parameters)))

    def simulate(self, theta):
        """[n, parameters] -> [n, data], without noise; each row is one call of the forward model."""
        theta = np.atleast_2d(theta)
        self.n_calls += len(theta)
        return self.model(theta, self.grid)

    def noisy(self, theta, rng):
        x = self.simulate(theta)
        return x + self.sigma * rng.standard_normal(x.shape)

    def log_likelihood_of(self, x):
        """Of simulated data [n, data], normalization included."""
        z = (self.value - x) / self.sigma
        return -0.5 * (z**2).sum(axis=-1) - np.log(self.sigma).sum() - 0.5 * len(self.sigma) * np.log(2 * np.pi)

    def log_likelihood(self, theta):
        """[n, parameters] -> [n]"""
        return self.log_likelihood_of(self.simulate(theta))


def sine(theta, t):
    phi0, a, omega = theta.T[:, :, None]
    return a * np.sin(omega * t + phi0)


def microlensing(theta, t):
    t0, u0, log10te, fs, m_base = theta.T[:, :, None]
    u2 = u0**2 + ((t - t0) / 10**log10te) ** 2
    magnification = (u2 + 2) / np.sqrt(u2 * (u2 + 4))
    return m_base - 2.5 * np.log10(np.maximum(fs * magnification + 1 - fs, 1e-12))


def problem(name):
    tau = 2 * np.pi
    match name:
        case "sine":
            return Problem(name, ["phi0", "A", "omega"], [0, -4, tau], [tau, 4, 6 * tau], sine, [0], 28.4925)
        case "microlensing":
            labels = ["t0", "u0", "log10tE", "fs", "m_base"]
            low, high = [5370, 0, 0.5, 0.05, 13.8], [5390, 1.5, 2.5, 1.5, 14.05]
            return Problem(name, labels, low, high, microlensing, [], 1319.81)
        case _:
            raise SystemExit(f"unknown problem {name!r}, expected sine or microlensing")

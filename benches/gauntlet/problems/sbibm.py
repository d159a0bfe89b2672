"""Tasks of sbibm 1.1.0 (Lueckmann et al. 2021) that have a likelihood and independent priors, observations 1 to 3."""
import csv

import numpy as np
from scipy import stats

from problems import Problem, normal


def numbered(n, prior):
    return {f"parameter_{i + 1}": prior for i in range(n)}


def gaussian_linear(y):
    return numbered(10, stats.norm(0, 0.1**0.5)), lambda theta: normal(y, theta, 0.1**0.5)


def gaussian_linear_uniform(y):
    return numbered(10, stats.uniform(-1, 2)), lambda theta: normal(y, theta, 0.1**0.5)


def gaussian_mixture(y):
    def log_likelihood(theta):
        return np.logaddexp(normal(y, theta, 1.0), normal(y, theta, 0.1)) - np.log(2)

    return numbered(2, stats.uniform(-10, 20)), log_likelihood


def two_moons(y):
    def log_likelihood(theta):
        # x = p + (-|a + b|, b - a) / sqrt 2, p a half circle of radius Normal(0.1, 0.01) around (0.25, 0).
        a, b = theta.T
        p = y + np.stack([np.abs(a + b), a - b], axis=1) / np.sqrt(2) - (0.25, 0)
        radius = np.hypot(*p.T)
        with np.errstate(divide="ignore"):
            log_p = stats.norm.logpdf(radius, 0.1, 0.01) - np.log(np.pi * radius)
        return np.where(p[:, 0] > 0, log_p, -np.inf)

    return numbered(2, stats.uniform(-1, 2)), log_likelihood


def slcp(y):
    points = y.reshape(4, 2)

    def log_likelihood(theta):
        s1, s2, rho = theta[:, 2] ** 2, theta[:, 3] ** 2, np.tanh(theta[:, 4])
        with np.errstate(all="ignore"):
            z1 = (points[:, 0] - theta[:, :1]) / s1[:, None]
            z2 = (points[:, 1] - theta[:, 1:2]) / s2[:, None]
            rest = 1 - rho[:, None] ** 2
            log_p = -0.5 * (z1**2 - 2 * rho[:, None] * z1 * z2 + z2**2) / rest - np.log(2 * np.pi) - 0.5 * np.log(rest)
            log_l = np.sum(log_p - np.log(s1 * s2)[:, None], axis=1)
        return np.where(np.isfinite(log_l), log_l, -np.inf)

    return numbered(5, stats.uniform(-3, 6)), log_likelihood


def runge_kutta(slope, state, duration, step):
    for _ in range(round(duration / step)):
        a = slope(state)
        b = slope(state + step / 2 * a)
        c = slope(state + step / 2 * b)
        d = slope(state + step * c)
        state = state + step / 6 * (a + 2 * b + 2 * c + d)
    return state


def sir(y):
    population = 1e6

    def log_likelihood(theta):
        beta, gamma = theta.T

        def slope(state):
            s, i = state
            return np.stack([-beta * s * i / population, beta * s * i / population - gamma * i])

        with np.errstate(all="ignore"):
            state = np.stack([np.full(len(theta), population - 1), np.ones(len(theta))])
            log_l = stats.binom.logpmf(y[0], 1000, state[1] / population)
            for count in y[1:]:
                state = runge_kutta(slope, state, 17.0, 0.1)
                log_l = log_l + stats.binom.logpmf(count, 1000, np.clip(state[1] / population, 0, 1))
        return np.where(np.isfinite(log_l), log_l, -np.inf)

    priors = [stats.lognorm(s=0.5, scale=0.4), stats.lognorm(s=0.2, scale=0.125)]
    return {f"parameter_{i + 1}": prior for i, prior in enumerate(priors)}, log_likelihood


def lotka_volterra(y):
    log_y = np.log(y.reshape(2, -1))

    def log_likelihood(theta):
        alpha, beta, gamma, delta = theta.T

        def slope(state):
            return np.stack([alpha - beta * np.exp(state[1]), -gamma + delta * np.exp(state[0])])

        with np.errstate(all="ignore"):
            state = np.log(np.stack([np.full(len(theta), 30.0), np.ones(len(theta))]))
            path = [state]
            for _ in range(log_y.shape[1] - 1):
                state = runge_kutta(slope, state, 2.1, 0.02)
                path.append(state)
            log_l = sum(normal(log_y[i], np.array(path)[:, i].T, 0.1) for i in (0, 1)) - log_y.sum()
        return np.where(np.isfinite(log_l), log_l, -np.inf)

    rates = (-0.125, -3.0, -0.125, -3.0)
    priors = {f"parameter_{i + 1}": stats.lognorm(s=0.5, scale=np.exp(mean)) for i, mean in enumerate(rates)}
    return priors, log_likelihood


TASKS = [gaussian_linear, gaussian_linear_uniform, gaussian_mixture, two_moons, slcp, sir, lotka_volterra]


def problems(folder):
    for task in TASKS:
        for observation in (1, 2, 3):
            place = folder / task.__name__ / str(observation)
            with open(place / "observation.csv", newline="") as handle:
                y = np.array(list(csv.reader(handle))[1], dtype=float)
            priors, log_likelihood = task(y)
            yield Problem(f"{task.__name__}-{observation}", priors, log_likelihood, reference=place / "posterior.parquet")

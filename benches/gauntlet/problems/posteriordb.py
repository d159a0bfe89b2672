"""Models of posteriordb (stan-dev/posteriordb) with proper priors, as each reference's problem.md writes them."""
import json

import numpy as np
from scipy import stats

from problems import Problem, normal


def half_normal(scale):
    return stats.halfnorm(scale=scale)


def positive_normal(mean, sd):
    return stats.truncnorm(-mean / sd, np.inf, mean, sd)


def log_normal(mean, sd):
    return stats.lognorm(s=sd, scale=np.exp(mean))


def ark(data):
    order, y = data["K"], np.array(data["y"])
    past = np.stack([y[order - k : len(y) - k] for k in range(1, order + 1)], axis=1)
    priors = {name: stats.norm(0, 10) for name in ["alpha"] + [f"beta{k}" for k in range(1, order + 1)]}

    def log_likelihood(theta):
        return normal(y[order:], theta[:, :1] + theta[:, 1 : 1 + order] @ past.T, theta[:, -1:])

    return priors | {"sigma": stats.halfcauchy(scale=2.5)}, log_likelihood, 58.5876


def eight_schools(data):
    y, sigma = np.array(data["y"]), np.array(data["sigma"])
    priors = {f"eta{j}": stats.norm(0, 1) for j in range(1, 9)}

    def log_likelihood(theta):
        return normal(y, theta[:, 8:9] + theta[:, 9:10] * theta[:, :8], sigma)

    return priors | {"mu": stats.norm(0, 5), "tau": stats.halfcauchy(scale=5)}, log_likelihood, -31.3113


def garch11(data):
    y, first = np.array(data["y"]), data["sigma1"]
    priors = {"mu": stats.uniform(-20, 50), "alpha0": stats.uniform(0, 100)}
    priors |= {"alpha1": stats.uniform(0, 1), "beta1": stats.uniform(0, 1)}

    def log_likelihood(theta):
        mu, alpha0, alpha1, beta1 = theta.T
        variance = np.full((len(theta), len(y)), first**2)
        for t in range(1, len(y)):
            variance[:, t] = alpha0 + alpha1 * (y[t - 1] - mu) ** 2 + beta1 * variance[:, t - 1]
        return np.where(alpha1 + beta1 < 1, normal(y, mu[:, None], np.sqrt(variance)), -np.inf)

    return priors, log_likelihood, -459.5171


def gp_regr(data):
    x, y = np.array(data["x"]), np.array(data["y"])
    distance = (x[:, None] - x) ** 2
    priors = {"rho": stats.gamma(25, scale=1 / 4), "alpha": half_normal(2), "sigma": half_normal(1)}

    def log_likelihood(theta):
        rho, alpha, sigma = theta.T[:, :, None, None]
        covariance = alpha**2 * np.exp(-distance / (2 * rho**2)) + sigma * np.eye(len(x))
        sign, log_det = np.linalg.slogdet(covariance)
        ok = (sign > 0) & np.isfinite(log_det)
        log_l = np.full(len(theta), -np.inf)
        solved = np.linalg.solve(covariance[ok], np.broadcast_to(y[:, None], (ok.sum(), len(y), 1)))[..., 0]
        log_l[ok] = -0.5 * solved @ y - 0.5 * log_det[ok] - 0.5 * len(y) * np.log(2 * np.pi)
        return log_l

    return priors, log_likelihood, -27.5555


def hudson_lynx_hare(data):
    times = np.array([0, *data["ts"]])
    log_y = np.log(np.array([data["y_init"], *data["y"]]))
    priors = {"alpha": positive_normal(1, 0.5), "beta": positive_normal(0.05, 0.05)}
    priors |= {"gamma": positive_normal(1, 0.5), "delta": positive_normal(0.05, 0.05)}
    priors |= {name: log_normal(np.log(10), 1) for name in ("u0", "v0")}
    priors |= {name: log_normal(-1, 1) for name in ("sigma_u", "sigma_v")}
    step = 0.025

    def log_likelihood(theta):
        alpha, beta, gamma, delta = theta.T[:4]

        def slope(log_u, log_v):
            return alpha - beta * np.exp(log_v), -gamma + delta * np.exp(log_u)

        with np.errstate(all="ignore"):
            u, v = np.log(theta[:, 4]), np.log(theta[:, 5])
            found = [(u, v)]
            for _ in range(len(times) - 1):
                for _ in range(round(1 / step)):
                    a = slope(u, v)
                    b = slope(u + step / 2 * a[0], v + step / 2 * a[1])
                    c = slope(u + step / 2 * b[0], v + step / 2 * b[1])
                    d = slope(u + step * c[0], v + step * c[1])
                    u = u + step / 6 * (a[0] + 2 * b[0] + 2 * c[0] + d[0])
                    v = v + step / 6 * (a[1] + 2 * b[1] + 2 * c[1] + d[1])
                found.append((u, v))
            path = np.array(found)
            log_l = normal(log_y[:, 0], path[:, 0].T, theta[:, 6:7]) + normal(log_y[:, 1], path[:, 1].T, theta[:, 7:8])
        return np.where(np.isfinite(log_l), log_l - log_y.sum(), -np.inf)

    return priors, log_likelihood, -146.6855


def kidscore_interaction(data):
    y, hs, iq = (np.array(data[key], dtype=float) for key in ("kid_score", "mom_hs", "mom_iq"))
    design = np.stack([np.ones_like(iq), hs, iq, hs * iq])
    priors = {name: stats.uniform(-300, 600) for name in ("beta1", "beta2")}
    priors |= {name: stats.uniform(-5, 10) for name in ("beta3", "beta4")}

    def log_likelihood(theta):
        return normal(y, theta[:, :4] @ design, theta[:, 4:5])

    return priors | {"sigma": stats.halfcauchy(scale=2.5)}, log_likelihood, -1890.2149


def kilpisjarvi(data):
    x, y = np.array(data["x"], dtype=float), np.array(data["y"])
    priors = {"alpha": stats.norm(9.312903226, 100), "beta": stats.norm(0, 0.03333333333), "sigma": stats.uniform(0, 20)}

    def log_likelihood(theta):
        return normal(y, theta[:, :1] + theta[:, 1:2] * x, theta[:, 2:3])

    return priors, log_likelihood, -106.2219


def low_dim_gauss_mix(data):
    y = np.array(data["y"])
    priors = {"mu1": stats.norm(0, 2), "mu2": stats.norm(0, 2), "sigma1": half_normal(2), "sigma2": half_normal(2)}

    def log_likelihood(theta):
        mu1, mu2, sigma1, sigma2, share = theta.T[:, :, None]
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            first = np.log(share) - 0.5 * ((y - mu1) / sigma1) ** 2 - np.log(sigma1)
            second = np.log1p(-share) - 0.5 * ((y - mu2) / sigma2) ** 2 - np.log(sigma2)
            log_l = np.sum(np.logaddexp(first, second) - 0.5 * np.log(2 * np.pi), axis=1)
        return np.where((mu1 < mu2)[:, 0], log_l, -np.inf)

    return priors | {"theta": stats.beta(5, 5)}, log_likelihood, -2115.6823


MODELS = {
    "arK": ark,
    "eight_schools": eight_schools,
    "garch11": garch11,
    "gp_regr": gp_regr,
    "hudson_lynx_hare": hudson_lynx_hare,
    "kidscore_interaction": kidscore_interaction,
    "kilpisjarvi": kilpisjarvi,
    "low_dim_gauss_mix": low_dim_gauss_mix,
}


def problems(folder):
    for name, model in MODELS.items():
        data = json.loads((folder / name / "data.json").read_text())
        priors, log_likelihood, log_evidence = model(data)
        yield Problem(name, priors, log_likelihood, log_evidence, folder / name / "posterior.parquet")

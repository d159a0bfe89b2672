"""Problems with exact answers for run.py: what each campaign file says, and what must come out."""
import dataclasses
import functools
import itertools

import numpy as np
from scipy import optimize, special, stats


@dataclasses.dataclass
class Problem:
    """`tails` are (parameter, threshold, whether above it, probability); `masses` (name, test of draws, probability)."""

    name: str
    toml: str
    budget: int
    n_eff: int
    log_evidence: float
    mean: dict
    tails: list = dataclasses.field(default_factory=list)
    masses: list = dataclasses.field(default_factory=list)


def numbers(values):
    return "[" + ", ".join(numbers(v) if np.ndim(v) else repr(float(v)) for v in values) + "]"


# Priors as quantile functions of u, with their words in a campaign file.
def uniform(low, high):
    return f"uniform = {{ low = {low!r}, high = {high!r} }}", lambda u: low + (high - low) * u


def log_uniform(low, high):
    return f"log_uniform = {{ low = {low!r}, high = {high!r} }}", lambda u: low * (high / low) ** u


def beta(a, b):
    return f"beta = {{ alpha = {a!r}, beta = {b!r} }}", lambda u: special.betaincinv(a, b, u)


def truncated(mean, sd, low, high):
    words = f"truncated_normal = {{ mean = {mean!r}, sd = {sd!r}, low = {low!r}, high = {high!r} }}"
    return words, lambda u: stats.truncnorm.ppf(u, (low - mean) / sd, (high - mean) / sd, mean, sd)


def nodes():
    """Gauss-Legendre on pieces of (0, 1) that are finer towards both ends."""
    x, w = np.polynomial.legendre.leggauss(40)
    edges = np.r_[0, np.logspace(-7, np.log10(0.5), 60)]
    edges = np.r_[edges, 1 - edges[-2::-1]]
    half, middle = np.diff(edges) / 2, (edges[1:] + edges[:-1]) / 2
    return (middle[:, None] + half[:, None] * x).ravel(), (half[:, None] * w).ravel()


def leaning(name, leaners, ridges=(), probabilities=(0.1, 0.03, 0.01, 0.005), budget=15_000, n_eff=2_000):
    """Parameters measured one by one, (prior, value, sigma), and others tied to them, (low, high, coefficients, sigma):
    the data are each leaner, and each tied parameter plus its combination of the leaners."""
    parameters, rows, value, sigma, log_z, mean, tails = "", [], [], [], 0.0, {}, []
    u, weight = nodes()
    d = len(leaners) + len(ridges)
    middles = []
    for i, ((words, quantile), v, s) in enumerate(leaners):
        parameters += f'[[parameters]]\nname = "p{i}"\nprior = {{ {words} }}\n\n'
        theta = quantile(u)
        log_l = stats.norm.logpdf(v, theta, s)
        density = weight * np.exp(log_l - log_l.max())
        log_z += log_l.max() + np.log(density.sum())
        density /= density.sum()
        mean[f"p{i}"] = density @ theta
        middles.append(mean[f"p{i}"])
        below = np.cumsum(density) - density / 2
        for p, above in itertools.product(probabilities, (False, True)):
            at = np.interp(1 - p if above else p, below, theta)
            # At the bound itself, where the density is level or rises to it: elsewhere tails are no special case.
            edge = quantile(1.0 if above else 0.0)
            scale = abs(np.interp(0.8 if above else 0.2, below, theta) - edge)
            near = abs(np.interp(0.98 if above else 0.02, below, theta) - edge)
            if near < 0.35 * scale:
                tails.append((f"p{i}", float(at), above, p))
        rows.append(np.eye(d)[i])
        value.append(v)
        sigma.append(s)
    for j, (low, high, coefficients, s) in enumerate(ridges):
        k = len(leaners) + j
        words, _ = uniform(low, high)
        parameters += f'[[parameters]]\nname = "p{k}"\nprior = {{ {words} }}\n\n'
        row = np.eye(d)[k]
        row[: len(leaners)] = coefficients
        middle = low + 0.5 * (high - low)
        v = middle + float(np.dot(coefficients, middles))
        mean[f"p{k}"] = v - float(np.dot(coefficients, middles))
        log_z -= np.log(high - low)
        rows.append(row)
        value.append(v)
        sigma.append(s)
    toml = (
        f'{parameters}[simulator]\nbuiltin = "linear-gaussian"\nmatrix = {numbers(rows)}\n\n[noise]\n'
        f'gaussian = {{ sigma = "observed" }}\n\n[observation]\ngrid = {numbers(np.arange(d))}\nvalue = {numbers(value)}\n'
        f"sigma = {numbers(sigma)}\n\n"
    )
    return Problem(name, toml, budget, n_eff, log_z, mean, tails)


def bounds():
    """Posteriors that lean on their priors' bounds."""
    return [
        lambda: leaning(
            "one-bound",
            [(uniform(0.05, 1.5), 1.26, 0.19)],
            [(0.0, 2.0, [-0.38], 0.002), (0.5, 2.5, [0.117], 0.002)],
        ),
        lambda: leaning("two-bounds", [(uniform(-1.0, 1.0), 0.2, 0.9)], [(-3.0, 3.0, [0.5], 0.004)]),
        lambda: leaning(
            "corner",
            [(uniform(0.0, 1.0), 0.9, 0.15), (uniform(0.0, 1.0), 0.05, 0.2)],
            [(-2.0, 2.0, [0.4, -0.3], 0.003)],
        ),
        lambda: leaning("log-uniform", [(log_uniform(0.01, 1.0), 0.02, 0.06)], [(-1.0, 1.0, [0.5], 0.002)]),
        lambda: leaning("beta", [(beta(1.5, 0.8), 0.8, 0.2), (beta(1.0, 3.0), 0.1, 0.15)], [(-2.0, 2.0, [0.3, 0.4], 0.004)]),
        lambda: leaning("truncated-normal", [(truncated(0.0, 1.0, -0.5, 3.0), -0.4, 0.5)], [(-4.0, 4.0, [0.6], 0.005)]),
        lambda: leaning(
            "unmeasured",
            [(uniform(0.0, 1.0), 0.5, 40.0), (uniform(0.0, 1.0), 0.5, 40.0)],
            [(-2.0, 2.0, [0.5, 0.3], 0.01)],
        ),
        lambda: leaning(
            "four-at-once",
            [
                (uniform(0.0, 1.0), 1.0, 0.2),
                (uniform(0.0, 1.0), 0.0, 0.2),
                (uniform(0.0, 1.0), 1.1, 0.3),
                (uniform(0.0, 1.0), 0.5, 0.4),
            ],
        ),
        lambda: leaning("piled-up", [(uniform(0.05, 1.5), 1.9, 0.1)], [(-1.0, 1.0, [0.5], 0.001)]),
        lambda: leaning(
            "log-corner",
            [(log_uniform(0.1, 10.0), 9.5, 1.5), (uniform(-2.0, 2.0), -1.9, 0.4)],
            [(-8.0, 8.0, [0.3, 0.5], 0.01)],
        ),
    ]


def mixture(name, x, half_width=10.0, budget=20_000, n_eff=1_500):
    """A narrow Gaussian (0.1) in a wide one (1), of equal weight where the prior does not cut them."""
    x = np.asarray(x, dtype=float)
    log_mass, mean = [], []
    for scatter in (1.0, 0.1):
        a, b = (-half_width - x) / scatter, (half_width - x) / scatter
        log_mass.append(np.log(special.ndtr(b) - special.ndtr(a)).sum() - len(x) * np.log(2 * half_width) - np.log(2))
        mean.append(stats.truncnorm.mean(a, b, x, scatter))
    log_z = np.logaddexp(*log_mass)
    narrow = np.exp(log_mass[1] - log_z)
    mean = (1 - narrow) * mean[0] + narrow * mean[1]
    words, _ = uniform(-half_width, half_width)
    parameters = "".join(f'[[parameters]]\nname = "p{i}"\nprior = {{ {words} }}\n\n' for i in range(len(x)))
    toml = f'{parameters}[simulator]\nbuiltin = "gaussian-mixture"\n\n[observation]\nvalue = {numbers(x)}\n\n'
    # Within half a narrow cloud's typical radius there is next to nothing of the wide one.
    radius = 0.1 * np.sqrt(len(x))
    return Problem(
        f"{name}-{100 * narrow:.0f}%", toml, budget, n_eff, log_z, {f"p{i}": m for i, m in enumerate(mean)}
    )


def slcp(name, points):
    """Four points of a Gaussian; the signs of the third and fourth parameter are never seen."""
    points = np.asarray(points, dtype=float).reshape(4, 2)
    centre = points.mean(0)
    scatter = (points - centre).T @ (points - centre)
    x, w = np.polynomial.legendre.leggauss(120)
    roots, root_weight = 1.5 * (x + 1), 1.5 * w
    slopes, slope_weight = 3 * x, 3 * w
    inner, inner_weight = np.polynomial.legendre.leggauss(60)
    inner, inner_weight = 3 * inner, 3 * inner_weight
    s1, s2, slope = np.meshgrid(roots**2, roots**2, slopes, indexing="ij")
    v1, v2, rho = s1**2 + 1e-6, s2**2 + 1e-6, np.tanh(slope)
    c = rho * s1 * s2
    det = v1 * v2 - c**2
    trace = (v2 * scatter[0, 0] + v1 * scatter[1, 1] - 2 * c * scatter[0, 1]) / det
    log_l = -0.5 * trace - 2 * np.log(det) - 4 * np.log(2 * np.pi)
    # Over the means within [-3, 3]: of the first numerically, of the second given it in closed form.
    zero, first, second = np.zeros_like(det), np.zeros_like(det), np.zeros_like(det)
    for m, weight in zip(inner, inner_weight):
        conditional_mean = centre[1] + c / v1 * (m - centre[0])
        sd = np.sqrt(det / v1 / 4)
        low, high = (-3 - conditional_mean) / sd, (3 - conditional_mean) / sd
        mass = special.ndtr(high) - special.ndtr(low)
        moment = conditional_mean * mass - sd * (stats.norm.pdf(high) - stats.norm.pdf(low))
        log_density = -0.5 * (m - centre[0]) ** 2 * 4 / v1
        density = weight * np.exp(log_density) * sd * np.sqrt(2 * np.pi)
        zero += density * mass
        first += density * mass * m
        second += density * moment
    weight = root_weight[:, None, None] * root_weight[None, :, None] * slope_weight[None, None, :]
    largest = log_l.max()
    volume = weight * np.exp(log_l - largest)
    total = (volume * zero).sum()
    log_z = largest + np.log(4 * total) - 5 * np.log(6)
    mean = {
        "p0": (volume * first).sum() / total,
        "p1": (volume * second).sum() / total,
        "p2": 0.0,
        "p3": 0.0,
        "p4": (volume * zero * slope).sum() / total,
    }
    words, _ = uniform(-3.0, 3.0)
    parameters = "".join(f'[[parameters]]\nname = "p{i}"\nprior = {{ {words} }}\n\n' for i in range(5))
    toml = f'{parameters}[simulator]\nbuiltin = "slcp"\n\n[observation]\nvalue = {numbers(points.ravel())}\n\n'
    quadrants = [
        (f"quadrant {a:+d} {b:+d}", functools.partial(in_quadrant, a, b), 0.25) for a in (-1, 1) for b in (-1, 1)
    ]
    return Problem(name, toml, 20_000, 1_500, log_z, mean, masses=quadrants)


def in_quadrant(a, b, draws):
    return (np.sign(draws["p2"]) == a) & (np.sign(draws["p3"]) == b)


def glm(name, seed, d, n_events, sd, separation):
    """Yes-or-no events with normal priors: few of them, or nearly separable, make the posterior skewed."""
    rng = np.random.default_rng(seed)
    design = np.c_[np.ones(n_events), rng.normal(size=(n_events, d - 1))]
    true = separation * rng.normal(size=d)
    y = rng.random(n_events) < special.expit(design @ true)
    value = design.T @ y

    def log_posterior(theta):
        return theta @ value - np.logaddexp(0, theta @ design.T).sum(-1) + stats.norm.logpdf(theta, 0, sd).sum(-1)

    top = optimize.minimize(lambda t: -log_posterior(t), np.zeros(d), method="BFGS", options={"gtol": 1e-9}).x
    p = special.expit(design @ top)
    precision = design.T @ (design * (p * (1 - p))[:, None]) + np.eye(d) / sd**2
    # Importance sampling twice: from a wide t at the top, then from one with the moments found.
    mean, covariance = top, 2 * np.linalg.inv(precision)
    for n in (200_000, 1_000_000):
        t = stats.multivariate_t(mean, covariance, df=5, seed=rng)
        draws = t.rvs(n)
        log_w = log_posterior(draws) - t.logpdf(draws)
        w = np.exp(log_w - log_w.max())
        log_z = log_w.max() + np.log(w.mean())
        w /= w.sum()
        mean = w @ draws
        covariance = 1.3 * (draws - mean).T @ ((draws - mean) * w[:, None])
    parameters = "".join(
        f'[[parameters]]\nname = "p{i}"\nprior = {{ normal = {{ mean = 0.0, sd = {sd!r} }} }}\n\n' for i in range(d)
    )
    toml = (
        f'{parameters}[simulator]\nbuiltin = "bernoulli-glm"\ndesign_matrix = {numbers(design)}\n\n[observation]\n'
        f"value = {numbers(value)}\n\n"
    )
    return Problem(name, toml, 20_000, 1_500, log_z, {f"p{i}": m for i, m in enumerate(mean)})


def modes():
    """Narrow modes in wide ones, equal modes, skewed posteriors; built one by one, because some are integrated numerically."""
    wide = dict(budget=50_000)
    return [
        lambda: mixture("narrow-2", [10.1, 10.12]),
        lambda: mixture("narrow-2", [9.95, 3.0]),
        lambda: mixture("narrow-2", [0.2, -0.1], half_width=0.8),
        lambda: mixture("narrow-2", [0.1, 0.0], half_width=0.45),
        lambda: mixture("narrow-5", [10.1, 3.0, -10.12, 0.5, 2.0]),
        lambda: mixture("narrow-5", [10.06, 3.0, -1.0, 0.5, 2.0]),
        lambda: mixture("narrow-5", [3.0, -2.0, 9.9, 0.0, -7.0]),
        lambda: mixture("narrow-5", [9.85, -9.85, 9.85, -9.85, 2.0]),
        lambda: mixture("narrow-8", [10.1, 1.0, -10.12, 0.5, 2.0, -3.0, 4.0, 0.0], **wide),
        lambda: mixture("narrow-8", [10.06, 1.0, -2.0, 0.5, 2.0, -3.0, 4.0, 0.0], **wide),
        lambda: mixture("narrow-8", [9.85, 1.0, -9.85, 0.5, 2.0, -3.0, 4.0, 0.0], **wide),
        lambda: mixture("narrow-8", [9.85, -9.85, 9.85, -9.85, 2.0, -3.0, 4.0, 0.0], **wide),
        lambda: slcp("slcp-a", [0.5, -1.2, 1.7, 0.4, -0.9, -0.3, 0.8, 1.1]),
        lambda: slcp("slcp-b", [-2.1, 0.9, -1.4, 1.6, -2.6, 0.2, -0.7, 2.4]),
        lambda: slcp("slcp-c", [1.1, 2.0, 1.3, 1.9, 0.9, 2.2, 1.2, 2.05]),
        lambda: glm("glm-3-few", 1, 3, 8, 3.0, 1.5),
        lambda: glm("glm-4-separable", 2, 4, 12, 3.0, 3.0),
        lambda: glm("glm-6", 3, 6, 40, 2.0, 1.0),
        lambda: glm("glm-6-separable", 4, 6, 20, 2.5, 2.0),
        lambda: glm("glm-8", 5, 8, 60, 1.5, 1.0),
    ]


SETS = {"bounds": bounds, "modes": modes}


def chosen(name, beginnings):
    """The problems of a set whose names begin so. A builder is known by the first string in it, the beginning of the name."""
    for builder in SETS[name]():
        first = next(constant for constant in builder.__code__.co_consts if isinstance(constant, str))
        if first.startswith(beginnings) or any(beginning.startswith(first) for beginning in beginnings if beginning):
            problem = builder()
            if problem.name.startswith(beginnings):
                yield problem

"""Ridges, funnels, narrow modes in wide ones, and many dimensions: evidence in closed form or by quadrature."""
import numpy as np
from scipy import integrate, stats

from problems import Problem


def correlated(d, rho=0.9, sd=0.3):
    """A normal likelihood of equal correlations under wide uniform priors."""
    covariance = sd**2 * (rho * np.ones((d, d)) + (1 - rho) * np.eye(d))
    precision, log_det = np.linalg.inv(covariance), np.linalg.slogdet(covariance)[1]

    def log_likelihood(theta):
        return -0.5 * np.einsum("ni,ij,nj->n", theta, precision, theta) - 0.5 * (log_det + d * np.log(2 * np.pi))

    priors = {f"x{i}": stats.uniform(-5, 10) for i in range(d)}
    expected = [("mean of x0", lambda t: t[:, 0], 0.0), ("square of x0", lambda t: t[:, 0] ** 2, sd**2)]
    expected += [("x0 x1", lambda t: t[:, 0] * t[:, 1], rho * sd**2)]
    return Problem(f"normal-{d}", priors, log_likelihood, -d * np.log(10.0), None, expected)


def narrow_in_wide(d, ratio, share):
    """A mode `ratio` times as narrow as another one in each of d coordinates, with `share` of the mass."""
    wide, centre = 0.1, np.full(d, 0.3)

    def log_normal(theta, middle, sd):
        return -0.5 * np.sum(((theta - middle) / sd) ** 2, axis=1) - d * np.log(sd * np.sqrt(2 * np.pi))

    def log_likelihood(theta):
        broad = np.log1p(-share) + log_normal(theta, -centre, wide)
        return np.logaddexp(broad, np.log(share) + log_normal(theta, centre, wide / ratio))

    expected = [("mass of the narrow mode", lambda t: t.sum(axis=1) > 0, share)]
    expected += [("mean of x0", lambda t: t[:, 0], 0.3 * (2 * share - 1))]
    priors = {f"x{i}": stats.uniform(-1, 2) for i in range(d)}
    return Problem(f"narrow-{d}", priors, log_likelihood, -d * np.log(2.0), None, expected)


def funnel(d):
    """Neal's funnel with a datum a coordinate: y_i = 0 ± 1 of x_i ~ Normal(0, exp(v / 2)), x_i = exp(v / 2) z_i."""

    def log_likelihood(theta):
        x = np.exp(theta[:, :1] / 2) * theta[:, 1:]
        return -0.5 * np.sum(x**2, axis=1)

    def density(v, power=0):
        return v**power * stats.norm.pdf(v, 0, 3) * (1 + np.exp(v)) ** (-d / 2)

    total = integrate.quad(density, -40, 40, points=[0])[0]
    mean = integrate.quad(density, -40, 40, args=(1,), points=[0])[0] / total
    square = integrate.quad(density, -40, 40, args=(2,), points=[0])[0] / total
    priors = {"v": stats.norm(0, 3)} | {f"z{i}": stats.norm(0, 1) for i in range(d)}
    expected = [("mean of v", lambda t: t[:, 0], mean), ("square of v", lambda t: t[:, 0] ** 2, square)]
    return Problem(f"funnel-{d + 1}", priors, log_likelihood, np.log(total), None, expected)


def centred_funnel(d):
    """The same where x_i itself is a parameter, with a uniform prior: its width is the likelihood's."""

    def log_likelihood(theta):
        v, x = theta[:, :1], theta[:, 1:]
        return np.sum(-0.5 * x**2 * np.exp(-v) - 0.5 * v - 0.5 * np.log(2 * np.pi), axis=1)

    # The integral over x within its bounds, for a given v.
    def density(v, power=0):
        return v**power * stats.norm.pdf(v, 0, 1) * (2 * stats.norm.cdf(20 * np.exp(-v / 2)) - 1) ** d

    total = integrate.quad(density, -12, 12)[0]
    mean = integrate.quad(density, -12, 12, args=(1,))[0] / total
    priors = {"v": stats.norm(0, 1)} | {f"x{i}": stats.uniform(-20, 40) for i in range(d)}
    expected = [("mean of v", lambda t: t[:, 0], mean)]
    return Problem(f"centred-funnel-{d + 1}", priors, log_likelihood, np.log(total) - d * np.log(40.0), None, expected)


def banana(curvature=1.0):
    """A curved ridge, 50 times as long as wide: y given x is normal around curvature x²."""

    def log_likelihood(theta):
        x, y = theta.T
        ridge = -0.5 * ((y - curvature * x**2) / 0.05) ** 2 - np.log(0.05 * np.sqrt(2 * np.pi))
        return ridge - 0.5 * x**2 - 0.5 * np.log(2 * np.pi)

    # y has a uniform prior on (-2, 12): all but a part in 10⁵ of x lies within.
    inside = lambda x: stats.norm.pdf(x) * (stats.norm.cdf((12 - x**2) / 0.05) - stats.norm.cdf((-2 - x**2) / 0.05))
    total = integrate.quad(inside, -5, 5, points=[-np.sqrt(12), np.sqrt(12)], limit=500)[0]
    square = integrate.quad(lambda x: x**2 * inside(x), -5, 5, points=[-np.sqrt(12), np.sqrt(12)], limit=500)[0] / total
    priors = {"x": stats.uniform(-5, 10), "y": stats.uniform(-2, 14)}
    expected = [("mean of x", lambda t: t[:, 0], 0.0), ("square of x", lambda t: t[:, 0] ** 2, square), ("mean of y", lambda t: t[:, 1], square)]
    return Problem("banana", priors, log_likelihood, np.log(total) - np.log(10 * 14), None, expected)


def problems():
    yield correlated(5)
    yield correlated(10)
    yield correlated(20)
    yield narrow_in_wide(2, 20, 0.3)
    yield narrow_in_wide(5, 8, 0.5)
    yield funnel(9)
    yield centred_funnel(4)
    yield banana()

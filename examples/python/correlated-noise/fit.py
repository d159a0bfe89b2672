"""A planet's radial velocities under the noise of its star, a Gaussian process by celerite2.

    pip install "sidereal-inference[plots]" celerite2
    python fit.py
"""

from pathlib import Path

import celerite2
import numpy as np

import sidereal_inference as si

time, velocity, error = np.loadtxt(Path(__file__).with_name("velocities.csv"), delimiter=",", skiprows=1).T


def log_likelihood(theta):
    K, period, phase, offset, sd, timescale = theta
    signal = offset + K * np.sin(2 * np.pi * time / period + phase)
    noise = celerite2.GaussianProcess(celerite2.terms.RealTerm(a=sd**2, c=1 / timescale))
    noise.compute(time, yerr=error)
    return noise.log_likelihood(velocity - signal)


priors = {
    "K": si.Uniform(0, 20),  # m/s
    "period": si.Uniform(5, 10),  # days
    "phase": si.Uniform(0, 2 * np.pi),
    "offset": si.Normal(0, 10),
    "sd": si.LogUniform(0.1, 50),
    "timescale": si.LogUniform(0.1, 100),
}

if __name__ == "__main__":
    result = si.sample(log_likelihood, priors, periodic=["phase"], n_eff=2000, seed=0)
    print(result.summary())
    result.corner().savefig("corner.png")

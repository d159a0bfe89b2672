"""An eccentric orbit from radial velocities, with a model in JAX.

    pip install "sidereal-inference[plots]" jax
    python fit.py
"""

import numpy as np
from model import error, simulate, time, velocity

import sidereal_inference as si

priors = {
    "K": si.LogUniform(1, 1000),  # m/s
    "period": si.Uniform(20, 40),  # days
    "e": si.Beta(0.867, 3.03, low=0.0, high=0.95),  # Kipping (2013), scaled
    "omega": si.Uniform(0, 2 * np.pi),
    "M0": si.Uniform(0, 2 * np.pi),
    "offset": si.Normal(0, 100),
}

if __name__ == "__main__":
    result = si.fit(
        simulate,
        priors,
        x_obs=velocity,
        x_err=error,
        grid=time,
        periodic=["omega", "M0"],
        vectorized=1024,  # as many rows a call, always: XLA compiles once
        workers=1,  # one process, which has the GPU where there is one
        seed=0,
    )
    print(result.summary())
    result.corner().savefig("corner.png")

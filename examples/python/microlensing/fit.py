"""OGLE-2005-BLG-086, a long event with parallax: the data that MulensModel brings, and its own model.

    pip install "sidereal-inference[plots]" MulensModel scipy
    python fit.py
"""

import MulensModel as mm
import numpy as np
from scipy.stats import norm

import sidereal_inference as si

NAMES = ["t_0", "u_0", "t_E", "pi_E_N", "pi_E_E"]
FILE = f"{mm.DATA_PATH}/photometry_files/OB05086/starBLG234.6.I.218982.dat"
FLUX_SD = 1000.0  # of the Gaussian priors of both fluxes, around 0; flux 1 is I = 22, the event has 190 at baseline

data = mm.MulensData(file_name=FILE, add_2450000=True)
start = dict(zip(NAMES, [2453628.0, 0.4, 100.0, 0.0, 0.0]), t_0_par=2453628.0)
event = mm.Model(start, coords="18:04:45.71 -26:59:15.2")


def prior_transform(u):
    return np.array(
        [
            2453588.0 + 80.0 * u[0],
            -1.5 + 3.0 * u[1],
            10.0 ** (1.5 + 1.0 * u[2]),  # 32 to 316 days
            *norm.ppf(u[3:], scale=0.5),
        ]
    )


def log_likelihood(theta):
    """Of the light curve, with flux = source flux * magnification + blend flux, both fluxes integrated out."""
    for name, value in zip(NAMES, theta):
        setattr(event.parameters, name, value)
    design = np.column_stack([event.get_magnification(data.time), np.ones(len(data.time))]) / data.err_flux[:, None]
    y = data.flux / data.err_flux
    # y is normal with mean 0 and covariance 1 + FLUX_SD**2 design design^T: its inverse and determinant by a 2 x 2 matrix.
    precision = design.T @ design + np.eye(2) / FLUX_SD**2
    projection = design.T @ y
    chi2 = y @ y - projection @ np.linalg.solve(precision, projection)
    log_determinant = np.linalg.slogdet(precision)[1] + 2 * np.log(FLUX_SD**2)
    return -0.5 * (chi2 + log_determinant) - np.log(data.err_flux * np.sqrt(2 * np.pi)).sum()


if __name__ == "__main__":
    result = si.sample(log_likelihood, prior_transform=prior_transform, names=NAMES, n_eff=2000, seed=0)
    print(result.summary())
    result.corner().savefig("corner.png")

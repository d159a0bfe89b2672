//! Problems whose posterior has two modes of equal mass.

use sidereal_models::{ChaCha8Rng, SimulationError, Simulator};
use sidereal_trainer::BlindSpot;

pub struct Problem {
    pub name: &'static str,
    /// The campaign file, in `examples/` where it has observations beside it.
    pub file: Source,
    /// Where one of the modes lies.
    pub mode: BlindSpot,
}

pub enum Source {
    Path(&'static str),
    Text(&'static str),
}

pub static PROBLEMS: [Problem; 3] = [
    Problem {
        name: "sine",
        file: Source::Path("examples/sine/campaign.toml"),
        mode: |theta| theta[1] > 0.0,
    },
    Problem {
        name: "two-moons",
        file: Source::Text(TWO_MOONS),
        mode: |theta| theta[0] + theta[1] > 0.0,
    },
    Problem {
        name: "mixture",
        file: Source::Text(MIXTURE),
        mode: |theta| theta[0] > 0.0,
    },
];

const TWO_MOONS: &str = r#"
name = "two-moons"
parameters = [
    { name = "a", prior = { uniform = { low = -1.0, high = 1.0 } } },
    { name = "b", prior = { uniform = { low = -1.0, high = 1.0 } } },
]
[simulator]
builtin = "two-moons"
[observation]
value = [-0.2, 0.1]
[rounds]
stop = { n_eff = 3000, simulations = 8000 }
"#;

/// The noise is a sixtieth of the prior's range.
const MIXTURE: &str = r#"
name = "mixture"
parameters = [
    { name = "a", prior = { uniform = { low = -3.0, high = 3.0 } } },
    { name = "b", prior = { uniform = { low = -3.0, high = 3.0 } } },
    { name = "c", prior = { uniform = { low = -3.0, high = 3.0 } } },
    { name = "d", prior = { uniform = { low = -3.0, high = 3.0 } } },
    { name = "e", prior = { uniform = { low = -3.0, high = 3.0 } } },
]
[simulator]
guest = "mirrored"
[noise]
gaussian = { sigma = 0.1 }
[observation]
grid = [1, 2, 3, 4, 5]
value = [1.2, 0.5, -0.8, 0.3, -1.0]
[rounds]
stop = { n_eff = 3000, simulations = 12000 }
"#;

/// θ, or -θ where its first element is negative: a posterior of two Gaussians.
pub struct Mirrored;

impl Simulator for Mirrored {
    fn n_data(&self) -> usize {
        5
    }

    fn simulate(
        &self,
        parameters: &[f64],
        _: &mut ChaCha8Rng,
        out: &mut [f64],
    ) -> Result<(), SimulationError> {
        let sign = parameters[0].signum();
        for (x, theta) in out.iter_mut().zip(parameters) {
            *x = sign * theta;
        }
        Ok(())
    }
}

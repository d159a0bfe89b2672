//! The whole `sidereal` command with one more model: `guest = "radial-velocity"`.

mod kepler;
mod radial_velocity;

use radial_velocity::RadialVelocity;
use sidereal::models::Catalogue;
use std::process::ExitCode;

fn main() -> ExitCode {
    sidereal::run(Catalogue::default().with_guest(RadialVelocity))
}

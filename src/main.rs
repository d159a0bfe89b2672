//! The stock command: built-in models only.

use sidereal::models::Catalogue;
use std::process::ExitCode;

fn main() -> ExitCode {
    sidereal::run(Catalogue::default())
}

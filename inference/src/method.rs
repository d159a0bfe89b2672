//! The method: what flows are fitted to, how large rounds are, when to stop, and what to trust.

mod allocation;
mod calibration;
mod coverage;
mod effort;
pub mod fit_check;
mod forecast;
mod hills;
mod modes;
mod past;
mod probing;
mod refinement;
mod stopping;
mod tails;
mod trust;

pub use allocation::first_round_size;
pub use calibration::{
    Calibration, CalibrationTest, CalibrationVerdict, Coverage, SeenPosterior, Uniformity,
    calibration, coverage, standings,
};
pub use coverage::{MissingMass, missing_mass};
pub use effort::{Effort, next_draws};
pub use forecast::{Left, Pace, Prospect, RoundTiming, Standing, Way, prospect, standing};
pub use modes::{Mode, far_apart, modes};
pub use past::Past;
pub use probing::{Aim, Knowledge, Outcome, Probing, Search, probe};
pub use refinement::{asks_surrogate, fewest_draws, tempered_weights};
pub use stopping::{
    Decision, StopReason, after_round, fresh_draws_for, most_efficient, next_proposal, top_up_size,
};
pub use tails::thin_tail;
pub use trust::{misfit, open_searches, trust, trust_prediction};

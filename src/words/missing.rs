//! What a campaign's final proposal may be missing, in words.

use crate::numbers;
use sidereal_inference::method::{MissingMass, Outcome};

/// `none found by 3 searches; 0 % of the posterior that was drawn is outside the final proposal`
pub fn lost_modes(missing: &MissingMass) -> String {
    let found = missing.outcomes.iter().filter(|outcome| match outcome {
        Outcome::Found { .. } => true,
        Outcome::Known | Outcome::Merged | Outcome::Negligible | Outcome::GivenUp { .. } => false,
    });
    let mut text = match (missing.outcomes.len(), found.count()) {
        (0, _) => "not searched for".to_owned(),
        (1, 0) => "none found by one search".to_owned(),
        (n, 0) => format!("none found by {n} searches"),
        (n, n_found) => format!("{n_found} found and taken in, by {n} searches"),
    };
    for outcome in &missing.outcomes {
        if let Outcome::GivenUp { share } = outcome
            && *share >= NOTHING
        {
            text.push_str(&format!(
                ", one given up where {} of the posterior lies",
                numbers::short_percent(*share)
            ));
        }
    }
    if let Some(mass) = missing.mass {
        text.push_str(&format!(
            "; {} of the posterior that was drawn is outside the final proposal",
            numbers::percent(mass)
        ));
    }
    text
}

/// What the final proposal may be missing, and how that is known: one sentence each.
pub fn missing_mass(missing: &MissingMass) -> String {
    let mut sentences = Vec::new();
    if let Some(mass) = missing.mass {
        sentences.push(format!(
            "of the posterior mass that was drawn {} lies where the final proposal is under 1 % of the posterior; \
             of places that no draw came near nothing is known",
            numbers::percent(mass)
        ));
    }
    sentences.push(match missing.prior_volume {
        None => "no draw came from the prior: a mode that the flows lost would not be seen by that".to_owned(),
        Some(volume) => format!(
            "{} draws came from the prior: a mode with more than {volume:.2e} of the prior's volume was hit by at \
             least one of them with 95 % probability",
            numbers::count(missing.n_prior_draws)
        ),
    });
    sentences.push(match missing.outcomes.as_slice() {
        [] => "no search for lost modes was made".to_owned(),
        outcomes => format!(
            "searches for lost modes from {} places, {} simulations: {}",
            outcomes.len(),
            numbers::count(missing.probing_simulations),
            outcome_counts(outcomes)
        ),
    });
    sentences.join("; ")
}

/// A share of the posterior that is not worth a number.
const NOTHING: f64 = 1e-3;

/// `4 came to what was known, one found a mode with 50 % of the posterior`
fn outcome_counts(outcomes: &[Outcome]) -> String {
    let count =
        |is: &dyn Fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| is(outcome)).count();
    let mut parts = Vec::new();
    let n_known = count(&|outcome| *outcome == Outcome::Known);
    if n_known > 0 {
        parts.push(format!("{n_known} came to what was known"));
    }
    let n_merged = count(&|outcome| *outcome == Outcome::Merged);
    if n_merged > 0 {
        parts.push(format!("{n_merged} to where another one was"));
    }
    let n_negligible = count(&|outcome| *outcome == Outcome::Negligible);
    if n_negligible > 0 {
        parts.push(format!("{n_negligible} to peaks too small to matter"));
    }
    let is_left = |outcome: &Outcome| match outcome {
        Outcome::GivenUp { share } => *share < NOTHING,
        Outcome::Known | Outcome::Merged | Outcome::Negligible | Outcome::Found { .. } => false,
    };
    let n_left = count(&is_left);
    if n_left > 0 {
        parts.push(format!("{n_left} left on the way"));
    }
    for outcome in outcomes.iter().filter(|outcome| !is_left(outcome)) {
        match outcome {
            Outcome::Found { share } => parts.push(format!(
                "one found a peak with about {} of the posterior, which was taken in",
                numbers::short_percent(*share)
            )),
            Outcome::GivenUp { share } => parts.push(format!(
                "one was given up where its draws held {} of the posterior",
                numbers::short_percent(*share)
            )),
            Outcome::Known | Outcome::Merged | Outcome::Negligible => {}
        }
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidereal_inference::base::FlowId;

    #[test]
    fn missing_mass_is_said_with_its_limits() {
        let missing = MissingMass {
            flow: Some(FlowId(7)),
            mass: Some(0.012),
            n_prior_draws: 3000,
            prior_volume: Some(0.001),
            probing_simulations: 384,
            outcomes: vec![
                Outcome::Known,
                Outcome::GivenUp { share: 1e-70 },
                Outcome::Known,
                Outcome::Found { share: 0.5 },
                Outcome::Merged,
                Outcome::GivenUp { share: 0.25 },
                Outcome::Negligible,
            ],
        };
        assert_eq!(
            missing_mass(&missing),
            "of the posterior mass that was drawn 1.2 % lies where the final proposal is under 1 % of the posterior; \
             of places that no draw came near nothing is known; 3,000 draws came from the prior: a mode with more \
             than 1.00e-3 of the prior's volume was hit by at least one of them with 95 % probability; searches for \
             lost modes from 7 places, 384 simulations: 2 came to what was known, 1 to where another one was, 1 to \
             peaks too small to matter, 1 left on the way, one found a peak with about 50 % of the posterior, which \
             was taken in, one was given up where its draws held 25 % of the posterior"
        );
        assert_eq!(
            lost_modes(&missing),
            "1 found and taken in, by 7 searches, one given up where 25 % of the posterior lies; 1.2 % of the posterior \
             that was drawn is outside the final proposal"
        );
        let nothing = MissingMass {
            flow: None,
            mass: None,
            n_prior_draws: 0,
            prior_volume: None,
            probing_simulations: 0,
            outcomes: Vec::new(),
        };
        assert_eq!(
            missing_mass(&nothing),
            "no draw came from the prior: a mode that the flows lost would not be seen by that; no search for lost \
             modes was made"
        );
        assert_eq!(lost_modes(&nothing), "not searched for");
        let known = MissingMass {
            mass: Some(0.0),
            outcomes: vec![Outcome::Known, Outcome::Merged],
            ..nothing
        };
        assert_eq!(
            lost_modes(&known),
            "none found by 2 searches; 0 % of the posterior that was drawn is outside the final proposal"
        );
    }
}

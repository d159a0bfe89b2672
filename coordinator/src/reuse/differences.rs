//! What two campaigns must have in common for the one's simulations to be the other's.

use sidereal_inference::campaign::{Campaign, Noise};

/// Whether log-likelihoods that were computed there hold here.
pub fn is_same_likelihood(old: &Campaign, campaign: &Campaign) -> bool {
    old.noise == campaign.noise && old.observation == campaign.observation
}

/// Why simulations of the one campaign are none of the other; empty where they are.
pub fn differences(old: &Campaign, campaign: &Campaign) -> Vec<String> {
    let mut reasons = Vec::new();
    let (theirs, ours) = (&old.simulator, &campaign.simulator);
    if theirs.model != ours.model {
        reasons.push(format!(
            "model: {} there, {} here",
            theirs.model, ours.model
        ));
    } else if theirs.options != ours.options {
        reasons.push(format!(
            "options of {}: other ones there than here",
            ours.model
        ));
    }
    let digest = |campaign: &Campaign| {
        let external = campaign.simulator.external.as_ref();
        external.map(|external| external.digest.clone())
    };
    if theirs.model == ours.model && digest(old) != digest(campaign) {
        reasons.push(format!("files of {}: changed since then", ours.model));
    }
    if theirs.grid != ours.grid {
        reasons.push(format!(
            "grid of the data: {} points there, {} here, expected the same ones",
            theirs.grid.len(),
            ours.grid.len()
        ));
    }
    let (there, here) = (&old.space, &campaign.space);
    if there.names() != here.names() {
        reasons.push(format!(
            "parameters: {} there, {} here, expected the same in the same order",
            there.names().join(", "),
            here.names().join(", ")
        ));
    }
    for (there, here) in there.parameters.iter().zip(&here.parameters) {
        let ((low, high), (new_low, new_high)) = (there.prior.support(), here.prior.support());
        if there.name == here.name && (new_low < low || new_high > high) {
            reasons.push(format!(
                "prior of {}: from {low} to {high} there, from {new_low} to {new_high} here, expected one within: what was ruled \
                 out there was never drawn",
                here.name
            ));
        }
    }
    if there.fixed != here.fixed {
        reasons.push("fixed parameters: other ones there than here".to_owned());
    }
    if there.derived != here.derived || there.of_noise != here.of_noise {
        reasons.push(
            "derived quantities or parameters of the noise: other ones there than here".to_owned(),
        );
    }
    let follows = matches!(
        (&old.noise, &campaign.noise),
        (Noise::Gaussian(_), Noise::Gaussian(_))
    ) && here.linear().next().is_none();
    if !follows && !is_same_likelihood(old, campaign) {
        reasons.push(
            "observation or likelihood: changed, and log-likelihoods follow from simulated data only where the noise is \
             Gaussian and no parameter linear"
                .to_owned(),
        );
    }
    reasons
}

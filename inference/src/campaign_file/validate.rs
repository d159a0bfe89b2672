//! From the document to a [`Campaign`]: every key is looked at, whatever is wrong with the others.

use super::choices::{Choice, FlowKind, LossKind};
use super::document::{Entry, Section};
use super::keys::file::{NAME, NOISE, ROUNDS, SEED, TRAINING, TRUST, WORKERS};
use super::keys::stop::{EFFICIENCY, N_EFF, RULE, SIMULATIONS, TOP_UP, WALL_TIME};
use super::keys::trust::MISFIT;
use super::keys::{FEWEST_SIMULATIONS, MOST_SIMULATIONS, rounds, workers};
use super::linear::{Beside, without_linear};
use super::model::Known;
use super::parameters::with_blobs;
use super::{defaults, estimator, forward_model, parameters};
use crate::campaign::{Campaign, NoiseTerms, Rounds, Source, Stop, StopRule, Trust, Workers};
use std::path::{Path, PathBuf};

/// None where there is a mistake. Relative paths are relative to `directory`.
///
/// With the campaign comes where its observation is from, if that is a file.
pub(super) fn campaign(
    root: &Section<'_>,
    directory: &Path,
    known: Known<'_>,
) -> Option<(Campaign, Option<Source>)> {
    root.check_keys();
    let name = root
        .require(&NAME, "the campaign's name")
        .and_then(|entry| campaign_name(&entry));
    let seed = root.whole(&SEED);
    let parameters = parameters::parameters(root, directory);
    let names = parameters.names.as_deref();
    let n_parameters = names.map(<[_]>::len);
    let forward = forward_model::forward_model(root, directory, &parameters, known);
    let featurizer = estimator::featurizer(root, forward.n_data, n_parameters);
    let flow = estimator::flow(root, n_parameters);
    let training = estimator::training(root, flow.as_ref());
    let is_alone =
        matches!(&forward.observation, Some(Some(observation)) if observation.is_empty());
    let purpose = match is_alone || forward_model::has_observation(root) {
        true => Purpose::Posterior,
        false => Purpose::Amortized,
    };
    let refinement = training.as_ref().is_none_or(|training| training.refinement);
    let rounds = rounds(root, purpose, refinement);
    let workers = workers(root);
    let trust = trust(root);
    if let (Some(training), Some(flow), Some(entry)) = (&training, &flow, root.get(&TRAINING)) {
        let (loss, flow, maf) = (training.loss.kind(), flow.kind(), FlowKind::Maf);
        if loss == LossKind::Apt && flow != maf {
            return entry.refuse(format!(
                "the loss {} does not work with the flow {}, whose wide tails reach where the prior that it divides by \
                 is all but zero: take flow.kind = {:?}",
                loss.name(),
                flow.name(),
                maf.name()
            ));
        }
    }
    let noise = forward.noise?;
    let of_noise = noise.terms().map_or_else(Vec::new, NoiseTerms::names);
    let mut space = with_blobs(root, parameters.space?, &forward.blobs, !is_alone)?;
    space.of_noise = of_noise.into_iter().map(str::to_owned).collect();
    let stop_rule = rounds.as_ref().map(|rounds| rounds.stop.rule);
    let beside = Beside {
        noise: &noise,
        is_observed: purpose == Purpose::Posterior,
        is_refined: refinement && stop_rule != Some(StopRule::Paper),
    };
    let space = without_linear(root, space, &beside)?;
    let campaign = Campaign {
        name: name?,
        seed: seed?,
        space,
        truth_by_name: parameters.truth_by_name,
        simulator: forward.simulator?,
        observation: forward.observation?,
        reading: forward.reading?,
        noise,
        training_noise: forward.training_noise?,
        featurizer: featurizer?,
        flow: flow?,
        training: training?,
        rounds: rounds?,
        workers: workers?,
        trust: trust?,
    };
    if campaign.training_noise.is_some()
        && campaign.observation.is_some()
        && campaign.is_refined()
        && let Some(entry) = root.get(&NOISE)
    {
        return entry.refuse(
            "flows of a campaign on one observation are fitted to weighted draws, which have no noise, expected no python, \
             no [observation] or training.refinement = false",
        );
    }
    Some((campaign, forward.source))
}

fn campaign_name(entry: &Entry<'_>) -> Option<String> {
    let name = entry.text()?;
    let is_bad = |c: char| c.is_control() || c == '/' || c == '\\';
    if name.is_empty() || name.chars().count() > 100 || name.contains(is_bad) {
        return entry.refuse(format!(
            "found {name:?}, expected 1 to 100 characters, no slashes or control characters"
        ));
    }
    Some(name.to_owned())
}

/// What a campaign is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// The posterior of its observation.
    Posterior,
    /// A model for any observation.
    Amortized,
}

/// `refinement`: whether flows are to be fitted to weighted draws where the stop rule lets them.
fn rounds(root: &Section<'_>, purpose: Purpose, refinement: bool) -> Option<Rounds> {
    let section = root.section(&ROUNDS);
    let (default_max, default_simulations) = match purpose {
        Purpose::Posterior => (defaults::ROUNDS_MAX, defaults::ROUND_SIMULATIONS),
        Purpose::Amortized => (1, defaults::AMORTIZED_SIMULATIONS),
    };
    let simulations = section.whole_or(&rounds::SIMULATIONS, default_simulations);
    let stop_section = section.section(&rounds::STOP);
    let stop = stop(&stop_section, purpose, simulations, refinement);
    let is_planned = stop
        .as_ref()
        .is_some_and(|stop| is_planned(purpose, stop.rule, refinement));
    // Where a budget ends a campaign, the number of rounds need not.
    let default_max = match &stop {
        Some(stop) if is_planned && stop.simulations.is_some() => defaults::PLANNED_ROUNDS_MAX,
        Some(_) | None => default_max,
    };
    let max = section.optional(&rounds::MAX, |entry| {
        let max: u64 = entry.whole()?;
        match max > 1 && purpose == Purpose::Amortized {
            true => entry.refuse(format!("{max} rounds need an [observation], expected 1")),
            false => Some(max),
        }
    });
    let defensive_share = section.number(&rounds::DEFENSIVE_SHARE);
    let combine = section.choice(&rounds::COMBINE);
    let (simulations, mut stop) = (simulations?, stop?);
    let mut max = max?.unwrap_or(default_max);
    if is_planned && stop.simulations.is_none() {
        // Rounds of one size are a budget in other words: how many there are, and how large, the method knows better.
        let top_up = stop_section.get(&TOP_UP).map_or(0, |_| stop.top_up);
        let budget = max.saturating_mul(simulations).saturating_add(top_up);
        stop.simulations = Some(budget.min(MOST_SIMULATIONS));
        max = max.max(defaults::PLANNED_ROUNDS_MAX);
    }
    Some(Rounds {
        max: u32::try_from(max).ok()?,
        simulations,
        defensive_share: defensive_share?,
        combine: combine?,
        stop,
    })
}

/// Whether the sizes of rounds follow from what is left of a budget and what is missing.
fn is_planned(purpose: Purpose, rule: StopRule, refinement: bool) -> bool {
    match (purpose, rule) {
        (Purpose::Posterior, StopRule::Bootstrap) => refinement,
        (Purpose::Posterior, StopRule::Paper) | (Purpose::Amortized, _) => false,
    }
}

fn stop(
    section: &Section<'_>,
    purpose: Purpose,
    round_simulations: Option<u64>,
    refinement: bool,
) -> Option<Stop> {
    if purpose == Purpose::Amortized {
        for key in [RULE, N_EFF, EFFICIENCY, TOP_UP] {
            if let Some(entry) = section.get(&key) {
                entry.mistake("needs an [observation]: without one nothing is weighed");
            }
        }
    }
    let rule = section.choice(&RULE);
    let n_eff = section.optional(&N_EFF, Entry::number);
    let efficiency = section.optional(&EFFICIENCY, Entry::number);
    let simulations = section.optional(&SIMULATIONS, |entry| {
        if rule.is_some_and(|rule| is_planned(purpose, rule, refinement)) {
            return entry.whole_in(FEWEST_SIMULATIONS..=MOST_SIMULATIONS);
        }
        let simulations = entry.whole()?;
        match round_simulations.filter(|&round| simulations < round) {
            Some(round) => entry.refuse(format!(
                "{simulations} simulations in total are fewer than the {round} of one round"
            )),
            None => Some(simulations),
        }
    });
    let wall_time_s = section.optional(&WALL_TIME, wall_time);
    // Where a number of effective draws is asked for, one more round may be spent on reaching it.
    let default_top_up = match n_eff {
        Some(Some(_)) => round_simulations,
        Some(None) | None => Some(0),
    };
    let top_up = section.optional(&TOP_UP, Entry::whole);
    Some(Stop {
        rule: rule?,
        n_eff: n_eff?,
        efficiency: efficiency?,
        simulations: simulations?,
        wall_time_s: wall_time_s?,
        top_up: top_up?.or(default_top_up)?,
    })
}

/// Seconds, or text like `2h` or `1h30m`.
fn wall_time(entry: &Entry<'_>) -> Option<f64> {
    if !entry.is_text() {
        return entry.number();
    }
    let seconds = parse_duration(entry.text()?);
    let seconds = seconds.filter(|seconds| seconds.is_finite() && *seconds > 0.0);
    seconds.or_else(|| entry.wrong_type(&entry.expected()))
}

fn parse_duration(text: &str) -> Option<f64> {
    let mut seconds = 0.0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        let unit = rest[end..].chars().next()?;
        seconds += number
            * match unit {
                's' => 1.0,
                'm' => 60.0,
                'h' => 3600.0,
                'd' => 86_400.0,
                _ => return None,
            };
        rest = rest[end + unit.len_utf8()..].trim_start();
    }
    Some(seconds)
}

fn workers(root: &Section<'_>) -> Option<Workers> {
    let section = root.section(&WORKERS);
    let count = section.optional(&workers::COUNT, Entry::whole);
    let batch_rows = section.optional(&workers::BATCH_ROWS, Entry::whole);
    let python = section.optional(&workers::PYTHON, |entry| entry.text().map(PathBuf::from));
    Some(Workers {
        count: count?,
        batch_rows: batch_rows?,
        python: python?,
    })
}

fn trust(root: &Section<'_>) -> Option<Trust> {
    let misfit = root.section(&TRUST).choice(&MISFIT)?;
    Some(Trust { misfit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        let table = [
            ("90s", Some(90.0)),
            ("1.5h", Some(5400.0)),
            ("1d12h", Some(129_600.0)),
            ("1h 30m", Some(5400.0)),
            ("", None),
            ("90", None),
            ("h", None),
            ("2 h", None),
            ("2w", None),
            ("1.2.3s", None),
            ("2µ", None),
        ];
        for (text, seconds) in table {
            assert_eq!(parse_duration(text), seconds, "{text:?}");
        }
    }
}

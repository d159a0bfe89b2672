//! From the document to a [`Campaign`]: every key is looked at, whatever is wrong with the others.

use super::document::{Entry, Section};
use super::model::Known;
use super::{defaults, estimator, forward_model, parameters};
use crate::campaign::{
    Campaign, Combine, Flow, Loss, MOST_WORKERS, Misfit, Rounds, Stop, StopRule, Trust, Workers,
};
use crate::observation::Source;
use std::path::Path;

/// Fewer simulations in a round than this teach a network nothing.
const FEWEST_SIMULATIONS: u64 = 32;
const STOP_KEYS: [&str; 6] = [
    "rule",
    "n_eff",
    "efficiency",
    "simulations",
    "wall_time",
    "top_up",
];
const MOST_SIMULATIONS: u64 = 1_000_000_000_000;

const SECTIONS: [&str; 14] = [
    "name",
    "seed",
    "parameters",
    "prior",
    "simulator",
    "observation",
    "likelihood",
    "noise",
    "featurizer",
    "flow",
    "training",
    "rounds",
    "workers",
    "trust",
];

/// None where there is a mistake. Relative paths are relative to `directory`.
///
/// With the campaign comes where its observation is from, if that is a file.
pub(super) fn campaign(
    root: &Section<'_>,
    directory: &Path,
    known: Known<'_>,
) -> Option<(Campaign, Option<Source>)> {
    root.check_keys(&SECTIONS);
    let name = root
        .require("name", "the campaign's name")
        .and_then(|entry| campaign_name(&entry));
    // TOML promises whole numbers up to here.
    let seed = root
        .get("seed")
        .map_or(Some(0), |entry| entry.whole(0..=i64::MAX as u64));
    let parameters::Parameters {
        names,
        space,
        truth_by_name,
    } = parameters::parameters(root);
    let n_parameters = names.as_ref().map(Vec::len);
    let forward = forward_model::forward_model(root, directory, names.as_deref(), known);
    let featurizer = estimator::featurizer(root, forward.n_data, n_parameters);
    let flow = estimator::flow(root, n_parameters);
    let training = estimator::training(root, flow.as_ref());
    let purpose = if forward_model::has_observation(root) {
        Purpose::Posterior
    } else {
        Purpose::Amortized
    };
    let refinement = training.as_ref().is_none_or(|training| training.refinement);
    let rounds = rounds(root, purpose, refinement);
    let workers = workers(root);
    let trust = trust(root);
    if let (Some(training), Some(rounds), Some(entry)) = (&training, &rounds, root.get("training"))
        && training.loss == Loss::WeightedNll
        && rounds.defensive_share == 0.0
        && purpose == Purpose::Posterior
    {
        entry.mistake(
            "the weights of the loss weighted-nll have no bound where rounds.defensive_share is 0",
        );
        return None;
    }
    if let (Some(training), Some(flow), Some(entry)) = (&training, &flow, root.get("training")) {
        let spline_flow = match flow {
            Flow::Maf { .. } => None,
            Flow::Nsf(_) => Some("nsf"),
            Flow::NsfCoupling(_) => Some("nsf-coupling"),
        };
        let has_atoms = match training.loss {
            Loss::Apt { .. } => true,
            Loss::Nll | Loss::WeightedNll => false,
        };
        if let (Some(kind), true) = (spline_flow, has_atoms) {
            entry.mistake(format!(
                "the loss apt does not work with the flow {kind}, whose wide tails reach where the prior that it \
                 divides by is all but zero: take flow.kind = \"maf\", or the loss weighted-nll"
            ));
            return None;
        }
    }
    let campaign = Campaign {
        name: name?,
        seed: seed?,
        space: space?,
        truth_by_name,
        simulator: forward.simulator?,
        observation: forward.observation?,
        reading: forward.reading?,
        noise: forward.noise?,
        featurizer: featurizer?,
        flow: flow?,
        training: training?,
        rounds: rounds?,
        workers: workers?,
        trust: trust?,
    };
    Some((campaign, forward.source))
}

fn campaign_name(entry: &Entry<'_>) -> Option<String> {
    let name = entry.text()?;
    if name.is_empty()
        || name.chars().count() > 100
        || name
            .chars()
            .any(|c| c.is_control() || c == '/' || c == '\\')
    {
        entry.mistake(format!(
            "found {name:?}, expected 1 to 100 characters, no slashes or control characters"
        ));
        return None;
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
    let section = root.section(
        "rounds",
        &["max", "simulations", "defensive_share", "combine", "stop"],
    );
    let (default_max, default_simulations) = match purpose {
        Purpose::Posterior => (defaults::ROUNDS_MAX, defaults::ROUND_SIMULATIONS),
        Purpose::Amortized => (1, defaults::AMORTIZED_SIMULATIONS),
    };
    let simulations = section
        .get("simulations")
        .map_or(Some(default_simulations), |entry| {
            entry.whole(FEWEST_SIMULATIONS..=MOST_SIMULATIONS)
        });
    let stop_section = section.section("stop", &STOP_KEYS);
    let stop = stop(&stop_section, purpose, simulations, refinement);
    let is_planned = stop
        .as_ref()
        .is_some_and(|stop| is_planned(purpose, stop.rule, refinement));
    // Where a budget ends a campaign, the number of rounds need not.
    let default_max = match &stop {
        Some(stop) if is_planned && stop.simulations.is_some() => defaults::PLANNED_ROUNDS_MAX,
        Some(_) | None => default_max,
    };
    let max = section.get("max").map_or(Some(default_max), |entry| {
        let max = entry.whole(1..=10_000)?;
        if max > 1 && purpose == Purpose::Amortized {
            entry.mistake(format!("{max} rounds need an [observation], expected 1"));
            return None;
        }
        Some(max)
    });
    let defensive_share =
        section
            .get("defensive_share")
            .map_or(Some(defaults::DEFENSIVE_SHARE), |entry| {
                let share = entry.number()?;
                if !(0.0..=0.5).contains(&share) {
                    entry.mistake(format!("defensive share {share} is not in [0, 0.5]"));
                    return None;
                }
                Some(share)
            });
    let combine = section
        .get("combine")
        .map_or(Some(Combine::Fresh), |entry| {
            entry.choice(&[
                ("fresh", Combine::Fresh),
                ("mixture", Combine::Mixture),
                ("per-round", Combine::PerRound),
            ])
        });
    let (max, simulations, mut stop) = (max?, simulations?, stop?);
    let mut max = max;
    if is_planned && stop.simulations.is_none() {
        // Rounds of one size are a budget in other words: how many there are, and how large, the method knows better.
        let top_up = stop_section.get("top_up").map_or(0, |_| stop.top_up);
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
        for name in ["rule", "n_eff", "efficiency", "top_up"] {
            if let Some(entry) = section.get(name) {
                entry.mistake("needs an [observation]: without one nothing is weighed");
            }
        }
    }
    let rule = section
        .get("rule")
        .map_or(Some(StopRule::Bootstrap), |entry| {
            entry.choice(&[
                ("bootstrap", StopRule::Bootstrap),
                ("paper", StopRule::Paper),
            ])
        });
    let n_eff = optional(section.get("n_eff"), |entry| entry.positive());
    let efficiency = optional(section.get("efficiency"), |entry| {
        let target = entry.number()?;
        if !(target > 0.0 && target <= 1.0) {
            entry.mistake(format!("efficiency target {target} is not in (0, 1]"));
            return None;
        }
        Some(target)
    });
    let simulations = optional(section.get("simulations"), |entry| {
        if rule.is_some_and(|rule| is_planned(purpose, rule, refinement)) {
            return entry.whole(FEWEST_SIMULATIONS..=MOST_SIMULATIONS);
        }
        let simulations = entry.whole(1..=MOST_SIMULATIONS)?;
        if let Some(round) = round_simulations
            && simulations < round
        {
            entry.mistake(format!(
                "{simulations} simulations in total are fewer than the {round} of one round"
            ));
            return None;
        }
        Some(simulations)
    });
    let wall_time_s = optional(section.get("wall_time"), wall_time);
    // Where a number of effective draws is asked for, one more round may be spent on reaching it.
    let default_top_up = match n_eff {
        Some(Some(_)) => round_simulations,
        Some(None) | None => Some(0),
    };
    let top_up = match section.get("top_up") {
        Some(entry) => entry.whole(0..=MOST_SIMULATIONS),
        None => default_top_up,
    };
    Some(Stop {
        rule: rule?,
        n_eff: n_eff?,
        efficiency: efficiency?,
        simulations: simulations?,
        wall_time_s: wall_time_s?,
        top_up: top_up?,
    })
}

/// `Some(None)` where the key is missing, None where it is wrong.
fn optional<T>(
    entry: Option<Entry<'_>>,
    read: impl FnOnce(&Entry<'_>) -> Option<T>,
) -> Option<Option<T>> {
    match entry {
        Some(entry) => read(&entry).map(Some),
        None => Some(None),
    }
}

/// Seconds, or text like `2h` or `1h30m`.
fn wall_time(entry: &Entry<'_>) -> Option<f64> {
    if !entry.is_text() {
        return entry.positive();
    }
    let text = entry.text()?;
    let seconds = parse_duration(text).filter(|seconds| seconds.is_finite() && *seconds > 0.0);
    if seconds.is_none() {
        entry.mistake(format!("found {text:?}, expected seconds or a time such as \"90s\", \"45m\", \"2h\" or \"1d12h\""));
    }
    seconds
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
    let section = root.section("workers", &["count", "batch_rows"]);
    let count = optional(section.get("count"), |entry| {
        entry.whole(1..=u64::from(MOST_WORKERS))
    });
    let batch_rows = optional(section.get("batch_rows"), |entry| {
        entry.whole(1..=MOST_SIMULATIONS)
    });
    Some(Workers {
        count: count?.and_then(|count| u32::try_from(count).ok()),
        batch_rows: batch_rows?,
    })
}

fn trust(root: &Section<'_>) -> Option<Trust> {
    let section = root.section("trust", &["misfit"]);
    let misfit = section.get("misfit").map_or(Some(Misfit::Fail), |entry| {
        entry.choice(&[("fail", Misfit::Fail), ("warn", Misfit::Warn)])
    });
    Some(Trust { misfit: misfit? })
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

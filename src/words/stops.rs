//! When a campaign stops and why it did, in words.

use crate::numbers;
use sidereal_inference::campaign::{Campaign, Combine, StopRule};
use sidereal_inference::method::{StopReason, first_round_size};
use sidereal_inference::weights::MAX_PARETO_K;

pub fn stop_reason(reason: &StopReason) -> String {
    match reason {
        StopReason::TargetEffectiveSampleSize { n_eff, target } => {
            format!(
                "n_eff {} reached the target of {}",
                numbers::n_eff(*n_eff),
                numbers::n_eff(*target)
            )
        }
        StopReason::TargetEfficiency { efficiency, target } => {
            format!(
                "efficiency {} reached the target {}",
                numbers::percent(*efficiency),
                numbers::percent(*target)
            )
        }
        StopReason::EfficiencyDropped { efficiency, best } => format!(
            "efficiency dropped to {} from {}, whose proposal was taken up again",
            numbers::percent(*efficiency),
            numbers::percent(*best)
        ),
        StopReason::Rounds { max } => format!("all {max} rounds are done"),
        StopReason::Simulations { used, max, next } => {
            format!(
                "{} of at most {} simulations are used, and another round would have needed {}: with \
                 rounds.stop.simulations of {} or more the same command goes on",
                numbers::count(*used),
                numbers::count(*max),
                numbers::count(*next),
                numbers::count(used.saturating_add(*next))
            )
        }
        StopReason::WallTime { max_s } => {
            format!("the time limit of {} is over", numbers::seconds(*max_s))
        }
        StopReason::Amortized => "the amortized model is trained".to_owned(),
    }
}

/// How many rounds there are and how large.
pub fn rounds(campaign: &Campaign) -> String {
    let rounds = &campaign.rounds;
    let combined = match rounds.combine {
        Combine::Fresh => "each weighed by its own proposal",
        Combine::Mixture => "weighed together as one mixture",
        Combine::PerRound => "weighed round by round",
    };
    let n = numbers::count(rounds.simulations);
    let sizes = if campaign.observation.is_none() {
        return format!("one of {n} simulations");
    } else if campaign.is_refined() {
        let first = first_round_size(rounds, campaign.space.len(), campaign.refinement());
        format!(
            "the first of {} simulations, later ones of as many as are needed",
            numbers::count(first)
        )
    } else {
        format!("of {n} simulations each")
    };
    format!(
        "at most {}, {sizes}, defensive share {}, {combined}",
        rounds.max,
        numbers::short_percent(rounds.defensive_share)
    )
}

/// What ends the campaign, whichever comes first.
pub fn stops(campaign: &Campaign) -> String {
    let rounds = &campaign.rounds;
    let stop = &rounds.stop;
    if campaign.observation.is_none() {
        return "the model is trained".to_owned();
    }
    let light = if campaign.is_refined() {
        format!(" and its weights have k-hat at most {MAX_PARETO_K}, so that no few draws carry it")
    } else {
        String::new()
    };
    let mut stops = Vec::new();
    if let Some(n_eff) = stop.n_eff {
        stops.push(format!(
            "n_eff of all rounds reaches {}{light}",
            numbers::n_eff(n_eff)
        ));
    }
    if let Some(efficiency) = stop.efficiency {
        stops.push(format!(
            "efficiency of a round reaches {}{light}",
            numbers::percent(efficiency)
        ));
    }
    match stop.rule {
        StopRule::Paper => stops.push("efficiency drops".to_owned()),
        // Not judged where later flows learn from heavy weights.
        StopRule::Bootstrap if campaign.is_refined() => {}
        StopRule::Bootstrap => {
            stops.push("efficiency drops beyond twice its error".to_owned());
        }
    }
    if let Some(simulations) = stop.simulations {
        let after = if campaign.is_refined() {
            String::new()
        } else {
            match simulations / rounds.simulations.max(1) {
                1 => " (after the first round, which draws from the prior)".to_owned(),
                n => format!(" (after {n} rounds at the latest)"),
            }
        };
        stops.push(format!(
            "another round would take more than {} simulations in all{after}",
            numbers::count(simulations)
        ));
    }
    if let Some(seconds) = stop.wall_time_s {
        stops.push(format!("{} have passed", numbers::seconds(seconds)));
    }
    stops.push(match rounds.max {
        1 => "1 round is done".to_owned(),
        max => format!("{max} rounds are done"),
    });
    let mut text = stops.join(", or ");
    if stop.n_eff.is_some() && stop.top_up > 0 {
        text.push_str(&format!(
            "; then, if n_eff is missed, at most {} extra draws of the best proposal",
            numbers::count(stop.top_up)
        ));
    } else if stop.top_up > 0 {
        text.push_str(
            "; no extra draws, which are for an n_eff that is missed, and none is asked for",
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidereal_inference::campaign_file;
    use sidereal_models::Catalogue;
    use std::path::Path;

    fn campaign(rounds: &str) -> Campaign {
        let text = format!(
            r#"
            name = "line"
            [[parameters]]
            name = "a"
            prior = {{ normal = {{ mean = 0.0, sd = 1.0 }} }}
            [simulator]
            builtin = "linear-gaussian"
            [observation]
            grid = [0.0]
            value = [0.3]
            sigma = [0.1]
            [rounds]
            {rounds}
            "#
        );
        campaign_file::parse(&text, Path::new("line.toml"), &Catalogue::default())
            .expect("a campaign")
    }

    #[test]
    fn the_stops_that_apply_are_told() {
        let told = |rounds: &str| stops(&campaign(rounds));
        assert_eq!(
            told(""),
            "another round would take more than 12,800 simulations in all, or 50 rounds are done"
        );
        assert_eq!(
            told("max = 5\nsimulations = 2560\nstop = { n_eff = 4000 }"),
            "n_eff of all rounds reaches 4,000 and its weights have k-hat at most 0.7, so that no few draws carry it, or \
             another round would take more than 12,800 simulations in all, or 50 rounds are done; then, if n_eff is missed, at \
             most 2,560 extra draws of the best proposal"
        );
        assert_eq!(
            told("max = 1\nstop = { rule = \"paper\", efficiency = 0.5, wall_time = \"2h\" }"),
            "efficiency of a round reaches 50.0 %, or efficiency drops, or 2 h 00 min have passed, or 1 round is done"
        );
        assert_eq!(
            told("stop = { n_eff = 6500, simulations = 12800 }"),
            "n_eff of all rounds reaches 6,500 and its weights have k-hat at most 0.7, so that no few draws carry it, or another round would take more than 12,800 \
             simulations in all, or 50 rounds are done; then, if n_eff is missed, at most 1,280 extra draws of the \
             best proposal"
        );
        assert_eq!(
            told("stop = { simulations = 2000, top_up = 100 }"),
            "another round would take more than 2,000 simulations in all, or 50 rounds are done; no extra draws, which are \
             for an n_eff that is missed, and none is asked for"
        );
        assert_eq!(
            told("stop = { rule = \"paper\", simulations = 2000 }"),
            "efficiency drops, or another round would take more than 2,000 simulations in all (after the first round, \
             which draws from the prior), or 10 rounds are done"
        );
    }

    #[test]
    fn a_budget_that_ends_a_campaign_says_what_would_go_on() {
        let reason = StopReason::Simulations {
            used: 1280,
            max: 2000,
            next: 1280,
        };
        assert_eq!(
            stop_reason(&reason),
            "1,280 of at most 2,000 simulations are used, and another round would have needed 1,280: with \
             rounds.stop.simulations of 2,560 or more the same command goes on"
        );
    }
}

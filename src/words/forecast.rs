//! Where a campaign stands and what is left, in words.

use crate::numbers;
use sidereal_inference::account::CampaignStatus;
use sidereal_inference::method::{Left, Standing, Way};
use sidereal_inference::weights::MAX_PARETO_K;

/// `n_eff 1,830 of 6,500; about 4,100 to 6,000 simulations and 20 to 40 s left`
pub fn standing(standing: &Standing) -> String {
    let mut text = match standing.way {
        Some(way) => way_to(way),
        None => reached(standing),
    };
    if let Some(left) = &standing.left
        && left.simulations.1 > 0
    {
        text.push_str("; ");
        text.push_str(&rest(standing, left));
        if standing.way.is_some_and(|way| way.is_out_of_reach) {
            text.push_str(", which will not be enough to find it");
        }
    }
    text
}

/// `still running: 3 rounds are weighed; finding ...`: of a campaign without results; `is_open` where a coordinator has it.
pub fn unfinished(status: &CampaignStatus, is_open: bool) -> String {
    let state = match is_open {
        true => "still running",
        false => "not finished, and nothing runs it",
    };
    let rounds = match status.rounds.len() {
        0 => "no round is weighed".to_owned(),
        1 => "one round is weighed".to_owned(),
        n => format!("{n} rounds are weighed"),
    };
    match &status.standing {
        None => format!("{state}: {rounds}"),
        Some(standing) => format!("{state}: {rounds}; {}", self::standing(standing)),
    }
}

/// `finding the posterior: 7 of about 8 to 10 rounds`
fn way_to(way: Way) -> String {
    let Way {
        n_done, n_in_all, ..
    } = way;
    let in_all = match n_in_all {
        None if n_done == 1 => " round".to_owned(),
        None => " rounds".to_owned(),
        Some((fewest, most)) if fewest == most => format!(" of about {most} rounds"),
        Some((fewest, most)) => format!(" of about {fewest} to {most} rounds"),
    };
    format!("finding the posterior: {n_done}{in_all}")
}

fn reached(standing: &Standing) -> String {
    let n_eff = numbers::n_eff(standing.n_eff);
    let mut text = match standing.target {
        Some(target) => format!("n_eff {n_eff} of {}", numbers::n_eff(target)),
        None => format!("n_eff {n_eff}"),
    };
    let is_reached = standing
        .target
        .is_some_and(|target| standing.n_eff >= target);
    let heavy = standing.pareto_k.filter(|&k| k > MAX_PARETO_K);
    if let (true, Some(k), Some(_)) = (is_reached, heavy, standing.left) {
        text.push_str(&format!(
            ", but a few draws carry too much of it (k-hat {k:.2}, expected at most {MAX_PARETO_K})"
        ));
    }
    if standing.target.is_none() {
        match standing.budget {
            Some(budget) => text.push_str(&format!(
                ", {} of {} simulations",
                numbers::count(standing.simulations),
                numbers::count(budget)
            )),
            None => text.push_str(&format!(
                ", round {} of at most {}",
                standing.n_rounds, standing.max_rounds
            )),
        }
    }
    text
}

fn rest(standing: &Standing, left: &Left) -> String {
    let (fewest, most) = left.simulations;
    let time = left.seconds.map_or(String::new(), |(low, high)| {
        format!(" and {}", numbers::seconds_range(low, high))
    });
    // The rest of a budget, and what it comes to.
    let budget_left = standing
        .budget
        .map(|budget| budget.saturating_sub(standing.simulations));
    if let (Some(target), Some((low, high))) = (standing.target, left.n_eff)
        && high < target
        && Some(most) == budget_left
        && standing.way.is_none()
    {
        let end = match (two_digits_down(low), two_digits_up(high)) {
            (low, high) if low == high => numbers::count(high),
            (low, high) => format!("{} to {}", numbers::count(low), numbers::count(high)),
        };
        return format!(
            "the {} simulations{time} left bring it to about {end}",
            numbers::count(most)
        );
    }
    let simulations = if fewest == most {
        numbers::count(most)
    } else if fewest == 0 {
        format!("at most {}", numbers::count(two_digits_up(most as f64)))
    } else {
        format!(
            "about {} to {}",
            numbers::count(two_digits_down(fewest as f64)),
            numbers::count(two_digits_up(most as f64))
        )
    };
    format!("{simulations} simulations{time} left")
}

fn two_digits_up(number: f64) -> u64 {
    let unit = unit(number);
    ((number / unit).ceil() * unit) as u64
}

fn two_digits_down(number: f64) -> u64 {
    let unit = unit(number);
    ((number / unit).floor() * unit) as u64
}

/// What the second digit of a count stands for.
fn unit(number: f64) -> f64 {
    10f64.powf((number.max(10.0).log10().floor() - 1.0).max(0.0))
}

/// `9,000 to 12,800`
pub fn count_range((low, high): (u64, u64)) -> String {
    match low == high {
        true => numbers::count(high),
        false => format!("{} to {}", numbers::count(low), numbers::count(high)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidereal_inference::account::Stage;

    fn told(standing: &Standing) -> String {
        super::standing(standing)
    }

    fn at(n_eff: f64, left: Option<Left>) -> Standing {
        Standing {
            n_eff,
            pareto_k: Some(0.3),
            target: Some(6500.0),
            simulations: 7200,
            budget: Some(15_000),
            n_rounds: 9,
            max_rounds: 50,
            way: None,
            left,
        }
    }

    fn left(simulations: (u64, u64), seconds: Option<(f64, f64)>) -> Option<Left> {
        Some(Left {
            simulations,
            seconds,
            n_eff: Some((6600.0, 7000.0)),
        })
    }

    #[test]
    fn the_way_to_the_target_is_told_with_what_is_left() {
        let some = at(1830.4, left((4123, 5921), Some((20.7, 39.2))));
        assert_eq!(
            told(&some),
            "n_eff 1,830 of 6,500; about 4,100 to 6,000 simulations and 20 to 40 s left"
        );
        let untimed = at(31.42, left((744, 744), None));
        assert_eq!(told(&untimed), "n_eff 31.4 of 6,500; 744 simulations left");
        assert_eq!(told(&at(6593.0, None)), "n_eff 6,593 of 6,500");
        assert_eq!(
            told(&at(6593.0, left((0, 0), None))),
            "n_eff 6,593 of 6,500"
        );
    }

    #[test]
    fn rounds_on_the_way_are_counted() {
        let on_the_way = |n_in_all| Standing {
            way: Some(Way {
                n_done: 7,
                n_in_all,
                is_out_of_reach: false,
            }),
            ..at(6.7e-13, left((8768, 9720), Some((10.0, 200.0))))
        };
        assert_eq!(
            told(&on_the_way(Some((8, 11)))),
            "finding the posterior: 7 of about 8 to 11 rounds; about 8,700 to 9,800 simulations and 10 s to 4 min left"
        );
        assert_eq!(
            told(&on_the_way(Some((7, 7)))),
            "finding the posterior: 7 of about 7 rounds; about 8,700 to 9,800 simulations and 10 s to 4 min left"
        );
        assert_eq!(
            told(&on_the_way(None)),
            "finding the posterior: 7 rounds; about 8,700 to 9,800 simulations and 10 s to 4 min left"
        );
        let mut too_far = on_the_way(None);
        if let Some(way) = &mut too_far.way {
            way.is_out_of_reach = true;
        }
        assert_eq!(
            told(&too_far),
            "finding the posterior: 7 rounds; about 8,700 to 9,800 simulations and 10 s to 4 min left, which will not \
             be enough to find it"
        );
    }

    #[test]
    fn a_target_out_of_reach_and_a_target_reached_too_soon_are_said() {
        let short = Standing {
            n_eff: 4071.0,
            ..at(
                4071.0,
                Some(Left {
                    simulations: (7800, 7800),
                    seconds: Some((0.4, 3.2)),
                    n_eff: Some((4922.0, 5016.0)),
                }),
            )
        };
        assert_eq!(
            told(&short),
            "n_eff 4,071 of 6,500; the 7,800 simulations and at most 4 s left bring it to about 4,900 to 5,100"
        );
        let heavy = Standing {
            pareto_k: Some(0.75),
            ..at(6600.0, left((600, 1200), None))
        };
        assert_eq!(
            told(&heavy),
            "n_eff 6,600 of 6,500, but a few draws carry too much of it (k-hat 0.75, expected at most 0.7); \
             about 600 to 1,200 simulations left"
        );
    }

    #[test]
    fn without_a_target_it_is_the_budget_or_the_rounds_that_count() {
        let no_target = Standing {
            target: None,
            ..at(1830.0, left((0, 7800), Some((0.0, 70.0))))
        };
        assert_eq!(
            told(&no_target),
            "n_eff 1,830, 7,200 of 15,000 simulations; at most 7,800 simulations and at most 70 s left"
        );
        let rounds = Standing {
            budget: None,
            ..no_target
        };
        assert_eq!(
            told(&rounds),
            "n_eff 1,830, round 9 of at most 50; at most 7,800 simulations and at most 70 s left"
        );
    }

    #[test]
    fn a_campaign_without_results_says_whether_it_runs() {
        let mut status = CampaignStatus {
            campaign: "line".to_owned(),
            run: None,
            stage: Stage::Training,
            rounds: Vec::new(),
            open_round: None,
            combined: None,
            standing: None,
            n_simulations: 0,
            n_flows: 0,
            elapsed_s: 0.0,
            stopped: None,
            live: None,
        };
        assert_eq!(
            unfinished(&status, true),
            "still running: no round is weighed"
        );
        status.standing = Some(at(6593.0, None));
        assert_eq!(
            unfinished(&status, false),
            "not finished, and nothing runs it: no round is weighed; n_eff 6,593 of 6,500"
        );
    }
}

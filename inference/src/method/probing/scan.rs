//! A look around what is known, before searches begin: known modes are mirrored, and shifted by what parts two of them; where a
//! surrogate led, one or two parameters of known draws are drawn anew from the prior, too.
//!
//! Modes that a posterior has by a symmetry of the model share most parameters with each other: of a sinusoid of the other sign
//! the frequency is known, and of the next alias all but the frequency. From the prior such a mode is met by luck; from the
//! known one, two parameters away, a few draws come into its basin. Searches begin there like anywhere else (`starts.rs`).

use crate::base::{cholesky, equal_draws, mahalanobis_squared, moments};
use crate::method::modes::far_apart;
use crate::method::refinement::weights_at;
use crate::space::ParameterSpace;
use crate::space::circle::{cut_at, embedded, opposite_seams, quantile, turns};
use crate::weights::{LocalDensity, RoundColumns, normalized};

/// Known draws that stand for all.
const N_STAND: usize = 2000;
/// Pairs of parameters that are drawn anew at most, spread over all there are.
const MOST_PAIRS: usize = 60;
/// Known draws that a pair is drawn anew at.
const PER_PAIR: usize = 2;
/// How wide the parameters are that stay, in standard deviations of the posterior: next to nothing, so that they stay on
/// whatever narrow ridge they are on.
const HELD: f64 = 1e-3;
/// Modes that are mirrored and shifted, and copies, at most.
const MOST_MODES: usize = 40;
const MOST_COPIES: usize = 24;
/// How much wider than the known mode its copy is looked for.
const WIDER: f64 = 2.0;
/// Standard deviations, told by the median, from a mode's middle beyond which draws are of something small beside it.
const OF_ANOTHER: f64 = 8.0;
/// Squared standard deviations of such a density within which a copy is of a mode that is known, or is tried already.
const KNOWN: f64 = 9.0;

/// What to draw from, by all that was drawn so far. After tempering, which draws from the prior more often than a surrogate
/// needs to, copies alone, and only of modes that stand apart. None in one dimension, where all is drawn anew.
pub(super) fn scan(
    space: &ParameterSpace,
    rounds: &[RoundColumns],
    is_led: bool,
) -> Vec<LocalDensity> {
    let d = space.len();
    let Ok(weights) = weights_at(rounds, 1.0) else {
        return Vec::new();
    };
    let weight = normalized(&weights.log_weights.concat());
    let places: Vec<&[f64]> = rounds
        .iter()
        .flat_map(|round| round.z.chunks_exact(d))
        .collect();
    let mut rows = equal_draws(&weight, N_STAND, 0.5);
    rows.dedup();
    let known: Vec<&[f64]> = rows.iter().map(|&i| places[i]).collect();
    if d < 2 || known.len() < 2 * d {
        return Vec::new();
    }
    let modes = modes(space, &known);
    let mut densities = match is_led {
        true => drawn_anew(space, &known),
        false => Vec::new(),
    };
    if is_led || modes.len() > 1 {
        densities.extend(copies(space, &modes));
    }
    densities.retain(|density| density.is_valid(d));
    densities
}

/// The known draws of each mode that stands far apart.
fn modes<'a>(space: &ParameterSpace, known: &[&'a [f64]]) -> Vec<Vec<&'a [f64]>> {
    let places: Vec<Vec<f64>> = known.iter().map(|z| embedded(space, z)).collect();
    let mode_of = far_apart(&places);
    let n_modes = mode_of.iter().max().map_or(0, |last| last + 1);
    let of_mode = |mode: usize| {
        let own = known.iter().zip(&mode_of).filter(|(_, of)| **of == mode);
        core(space, own.map(|(z, _)| *z).collect())
    };
    (0..n_modes.min(MOST_MODES)).map(of_mode).collect()
}

/// A mode without the few draws of something small that was taken for a part of it.
fn core<'a>(space: &ParameterSpace, mode: Vec<&'a [f64]>) -> Vec<&'a [f64]> {
    let Some(first) = mode.first() else {
        return mode;
    };
    let first: Vec<f64> = first.iter().map(|&z| turns(z)).collect();
    let from_first = |z: &&[f64]| {
        let at: Vec<f64> = z.iter().map(|&z| turns(z)).collect();
        shift(space, &first, &at)
    };
    let places: Vec<Vec<f64>> = mode.iter().map(from_first).collect();
    let limits: Vec<(f64, f64)> = (0..space.len())
        .map(|j| {
            let middle = median(places.iter().map(|place| place[j]));
            let away = median(places.iter().map(|place| (place[j] - middle).abs()));
            (middle, OF_ANOTHER * 1.4826 * away)
        })
        .collect();
    let is_own = |place: &&Vec<f64>| {
        let mut away = place.iter().zip(&limits);
        away.all(|(x, (middle, most))| (x - middle).abs() <= *most)
    };
    let own = mode.iter().zip(&places).filter(|(_, place)| is_own(place));
    own.map(|(z, _)| *z).collect()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// At known draws, one after the other, with the parameters of each set drawn anew.
fn drawn_anew(space: &ParameterSpace, known: &[&[f64]]) -> Vec<LocalDensity> {
    let d = space.len();
    let sd = spread(space, known);
    let density = |(i, set): (usize, Vec<usize>)| {
        // Neighbours in a round's order are nothing to each other; a stride that is no divisor takes all of them in turn.
        let draw = known[(i * 7) % known.len()];
        let mut seams = opposite_seams(space, draw);
        let mut factor = vec![0.0; d * d];
        for j in 0..d {
            factor[j * d + j] = (HELD * sd[j]).max(1e-9);
        }
        let mut mean = cut(&seams, draw);
        for j in set {
            seams[j] = 0.0;
            mean[j] = 0.0;
            factor[j * d + j] = 1.0;
        }
        LocalDensity {
            seams,
            leans: Vec::new(),
            mean,
            factor,
        }
    };
    sets(d).into_iter().enumerate().map(density).collect()
}

/// Sets of one and of two parameters, the latter as often as they are drawn anew.
fn sets(d: usize) -> Vec<Vec<usize>> {
    let singles = (0..d).map(|i| vec![i]);
    let pairs: Vec<Vec<usize>> = (0..d)
        .flat_map(|i| (i + 1..d).map(move |j| vec![i, j]))
        .filter(|pair| pair.len() < d)
        .collect();
    let stride = pairs.len().div_ceil(MOST_PAIRS).max(1);
    let pairs = pairs.into_iter().step_by(stride);
    let pairs = pairs.flat_map(|pair| vec![pair; PER_PAIR]);
    singles.chain(pairs).collect()
}

/// Modes mirrored in the middle of the prior, and moved by what parts two of them; only what comes to a new place. First come
/// places that several pairs lead to.
fn copies(space: &ParameterSpace, modes: &[Vec<&[f64]>]) -> Vec<LocalDensity> {
    let mut seen: Vec<LocalDensity> = modes
        .iter()
        .filter_map(|mode| density_of(space, mode))
        .collect();
    let n_known = seen.len();
    let moved = moved_modes(space, modes);
    let (agreed, alone): (Vec<Copy>, Vec<Copy>) =
        moved.into_iter().partition(|copy| copy.n_votes > 1);
    let by_shift = |Copy { mode, shift, .. }: Copy| -> Vec<Vec<f64>> {
        let own = modes[mode].iter();
        own.map(|z| moved_by(space, z, &shift)).collect()
    };
    let mirrored = |mode: &Vec<&[f64]>| -> Vec<Vec<f64>> {
        let own = mode.iter();
        own.map(|z| z.iter().map(|z| -z).collect()).collect()
    };
    let all = agreed.into_iter().map(by_shift);
    let all = all.chain(modes.iter().map(mirrored));
    for draws in all.chain(alone.into_iter().map(by_shift)) {
        if seen.len() >= n_known + MOST_COPIES {
            break;
        }
        push_new(&mut seen, density_of(space, &draws));
    }
    seen.split_off(n_known)
}

fn push_new(seen: &mut Vec<LocalDensity>, density: Option<LocalDensity>) {
    let Some(density) = density else {
        return;
    };
    let z = density.uncut(&density.mean);
    let square =
        |other: &LocalDensity| mahalanobis_squared(&other.cut(&z), &other.mean, &other.factor);
    if seen.iter().all(|other| square(other) > KNOWN) {
        seen.push(density);
    }
}

/// A mode and a shift that takes it to where another one may be.
struct Copy {
    mode: usize,
    shift: Vec<f64>,
    /// In turns.
    place: Vec<f64>,
    /// Pairs of known modes whose difference leads there from a third one, or from one of them.
    n_votes: u32,
    size: f64,
}

/// Known modes moved by what parts any two of them: the next of a row (aliases), or the fourth corner of three (aliases of either
/// sign). Where several pairs lead to one place it comes before others, of equals the shortest way first; what is known
/// is left out.
fn moved_modes(space: &ParameterSpace, modes: &[Vec<&[f64]>]) -> Vec<Copy> {
    let middles: Vec<Vec<f64>> = modes.iter().map(|mode| middle(space, mode)).collect();
    let widths: Vec<Vec<f64>> = modes
        .iter()
        .zip(&middles)
        .map(|(mode, middle)| width(space, mode, middle))
        .collect();
    let is_at = |a: &[f64], b: &[f64], width: &[f64]| {
        let away = shift(space, a, b);
        away.iter()
            .zip(width)
            .all(|(away, width)| away * away <= KNOWN * width * width)
    };
    let mut copies: Vec<Copy> = Vec::new();
    for (a, from) in middles.iter().enumerate() {
        for (_, to) in middles.iter().enumerate().filter(|(b, _)| *b != a) {
            let shift = shift(space, from, to);
            let size = shift.iter().map(|shift| shift * shift).sum();
            for (mode, middle) in middles.iter().enumerate().filter(|(mode, _)| *mode != a) {
                let place: Vec<f64> = middle.iter().zip(&shift).map(|(x, s)| x + s).collect();
                let is_inside =
                    (0..space.len()).all(|j| space.parameters[j].periodic || within(place[j]));
                let mut known = middles.iter().zip(&widths);
                if !is_inside || known.any(|(known, width)| is_at(&place, known, width)) {
                    continue;
                }
                let at_it = |copy: &&mut Copy| is_at(&place, &copy.place, &widths[mode]);
                match copies.iter_mut().find(at_it) {
                    Some(copy) => copy.n_votes += 1,
                    None => copies.push(Copy {
                        mode,
                        shift: shift.clone(),
                        place,
                        n_votes: 1,
                        size,
                    }),
                }
            }
        }
    }
    copies.sort_by(|a, b| {
        let votes = b.n_votes.cmp(&a.n_votes);
        votes
            .then(a.size.total_cmp(&b.size))
            .then(a.mode.cmp(&b.mode))
    });
    copies
}

/// Standard deviations of a mode's draws from its middle, in turns.
fn width(space: &ParameterSpace, mode: &[&[f64]], middle: &[f64]) -> Vec<f64> {
    let mut squares = vec![0.0; space.len()];
    for z in mode {
        let at: Vec<f64> = z.iter().map(|&z| turns(z)).collect();
        for (square, away) in squares.iter_mut().zip(shift(space, middle, &at)) {
            *square += away * away / mode.len() as f64;
        }
    }
    squares
        .iter()
        .map(|square| square.sqrt().max(1e-9))
        .collect()
}

/// In turns, where a prior is level.
fn middle(space: &ParameterSpace, mode: &[&[f64]]) -> Vec<f64> {
    let seams = mode
        .first()
        .map_or_else(Vec::new, |z| opposite_seams(space, z));
    let mean = |j: usize| {
        let from_seam = |z: &&[f64]| match space.parameters[j].periodic {
            true => (turns(z[j]) - seams[j]).rem_euclid(1.0),
            false => turns(z[j]),
        };
        seams[j] + mode.iter().map(from_seam).sum::<f64>() / mode.len() as f64
    };
    (0..space.len()).map(mean).collect()
}

/// From one place in turns to another, the shorter way on circles.
fn shift(space: &ParameterSpace, from: &[f64], to: &[f64]) -> Vec<f64> {
    let parameters = space.parameters.iter().zip(from.iter().zip(to));
    parameters
        .map(|(parameter, (from, to))| match parameter.periodic {
            true => (to - from + 0.5).rem_euclid(1.0) - 0.5,
            false => to - from,
        })
        .collect()
}

fn within(turns: f64) -> bool {
    (0.0..=1.0).contains(&turns)
}

fn moved_by(space: &ParameterSpace, z: &[f64], shift: &[f64]) -> Vec<f64> {
    let moved = |(j, shift): (usize, &f64)| {
        let moved = turns(z[j]) + shift;
        quantile(match space.parameters[j].periodic {
            true => moved.rem_euclid(1.0),
            false => moved.clamp(0.0, 1.0),
        })
    };
    shift.iter().enumerate().map(moved).collect()
}

/// A density with the draws' own mean and, a little wider, their covariance.
fn density_of<Z: AsRef<[f64]>>(space: &ParameterSpace, draws: &[Z]) -> Option<LocalDensity> {
    let d = space.len();
    let (seams, mean, mut covariance) = cut_moments(space, draws)?;
    for j in 0..d {
        // Few draws may lie on a plane.
        covariance[j * d + j] *= 1.0 + 1e-6;
        covariance[j * d + j] += 1e-18;
    }
    let factor = cholesky(&covariance, d)?;
    Some(LocalDensity {
        seams,
        leans: Vec::new(),
        mean,
        factor: factor.iter().map(|entry| WIDER * entry).collect(),
    })
}

/// Standard deviations of known draws, on circles the shorter way from the first.
fn spread(space: &ParameterSpace, known: &[&[f64]]) -> Vec<f64> {
    let d = space.len();
    cut_moments(space, known).map_or_else(
        || vec![1.0; d],
        |(_, _, covariance)| (0..d).map(|j| covariance[j * d + j].sqrt()).collect(),
    )
}

/// Circles cut opposite of the first draw, and mean and covariance of all draws cut there; None for no draws.
fn cut_moments<Z: AsRef<[f64]>>(
    space: &ParameterSpace,
    draws: &[Z],
) -> Option<(Vec<f64>, Vec<f64>, Vec<f64>)> {
    let seams = opposite_seams(space, draws.first()?.as_ref());
    let cut: Vec<Vec<f64>> = draws.iter().map(|z| cut(&seams, z.as_ref())).collect();
    let (mean, covariance) = moments(&cut, &vec![1.0 / cut.len() as f64; cut.len()]);
    Some((seams, mean, covariance))
}

fn cut(seams: &[f64], z: &[f64]) -> Vec<f64> {
    let both = seams.iter().zip(z);
    both.map(|(&seam, &z)| cut_at(seam, z).0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::RoundId;
    use crate::weights::{Component, Proposal};
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;
    use rand_distr::{Distribution, StandardNormal};
    use std::collections::BTreeMap;

    /// A cloud of draws around each middle, in turns.
    fn draws(middles: &[[f64; 2]]) -> Vec<Vec<f64>> {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut near = |at: f64| {
            let normal: f64 = StandardNormal.sample(&mut rng);
            quantile(at + 0.004 * normal)
        };
        let clouds = middles.iter().flat_map(|middle| vec![middle; 80]);
        clouds.map(|[a, b]| vec![near(*a), near(*b)]).collect()
    }

    /// Where copies of these modes are looked for, in turns.
    fn copies_of(middles: &[[f64; 2]]) -> Vec<Vec<f64>> {
        let own = draws(middles);
        let known: Vec<&[f64]> = own.iter().map(Vec::as_slice).collect();
        let middle = |density: &LocalDensity| -> Vec<f64> {
            let z = density.uncut(&density.mean);
            z.iter().map(|&z| (turns(z) * 1e2).round() / 1e2).collect()
        };
        let mut found: Vec<Vec<f64>> = copies(
            &ParameterSpace::unit_cube(2),
            &modes(&ParameterSpace::unit_cube(2), &known),
        )
        .iter()
        .map(middle)
        .collect();
        found.sort_by(|a, b| a[0].total_cmp(&b[0]));
        found
    }

    #[test]
    fn one_and_two_parameters_are_drawn_anew_and_never_all() {
        assert_eq!(sets(2), [vec![0], vec![1]]);
        let pairs = [[0, 1], [0, 1], [0, 2], [0, 2], [1, 2], [1, 2]];
        assert_eq!(sets(3)[..3], [vec![0], vec![1], vec![2]]);
        assert_eq!(sets(3)[3..], pairs);
        // Of 190 pairs every fourth.
        assert_eq!(sets(20).len(), 20 + 2 * 48);
    }

    #[test]
    fn what_is_not_drawn_anew_stays_where_a_draw_is() {
        let own = draws(&[[0.3, 0.9]]);
        let known: Vec<&[f64]> = own.iter().map(Vec::as_slice).collect();
        let [first, second] = &drawn_anew(&ParameterSpace::unit_cube(2), &known)[..] else {
            panic!("not two");
        };
        assert_eq!((first.mean[0], first.factor[0]), (0.0, 1.0));
        assert!(first.factor[3] < 1e-3);
        assert!(
            known
                .iter()
                .any(|z| (first.uncut(&first.mean)[1] - z[1]).abs() < 1e-9)
        );
        // A circle that is drawn anew is cut at its bound, as the prior is.
        assert_eq!((second.seams[1], second.factor[3]), (0.0, 1.0));
        assert!(known.iter().any(|z| (second.mean[0] - z[0]).abs() < 1e-9));
    }

    #[test]
    fn known_modes_are_mirrored_and_shifted_by_what_parts_them() {
        // Over the circle's seam, from 0.9 to 0.2 and on to 0.5, and back to 0.6.
        assert_eq!(
            copies_of(&[[0.3, 0.9], [0.42, 0.2]]),
            [[0.18, 0.6], [0.54, 0.5], [0.58, 0.8], [0.7, 0.1]]
        );
    }

    #[test]
    fn copies_of_known_modes_are_not_looked_for() {
        // Three of an even row, the middle one in the middle of the prior: mirrored in the circle alone they are new, and the row
        // goes on at both ends.
        assert_eq!(
            copies_of(&[[0.3, 0.1], [0.5, 0.1], [0.7, 0.1]]),
            [[0.1, 0.1], [0.3, 0.9], [0.5, 0.9], [0.7, 0.9], [0.9, 0.1]]
        );
    }

    #[test]
    fn fourth_corners_of_three_come_first() {
        // Two aliases, one of them of either sign: three modes have three fourth corners, one of them beside each.
        let own = draws(&[[0.3, 0.1], [0.3, 0.5], [0.5, 0.1]]);
        let known: Vec<&[f64]> = own.iter().map(Vec::as_slice).collect();
        let modes: Vec<Vec<&[f64]>> = known.chunks(80).map(<[_]>::to_vec).collect();
        let copies = moved_modes(&ParameterSpace::unit_cube(2), &modes);
        let mut corners: Vec<(Vec<f64>, u32)> = copies
            .iter()
            .take(3)
            .map(|copy| {
                let place = copy.place.iter();
                let place = place.map(|x| (x.rem_euclid(1.0) * 1e2).round() / 1e2);
                (place.collect(), copy.n_votes)
            })
            .collect();
        corners.sort_by(|a, b| a.0[0].total_cmp(&b.0[0]).then(a.0[1].total_cmp(&b.0[1])));
        assert_eq!(
            corners,
            [
                (vec![0.1, 0.5], 2),
                (vec![0.5, 0.5], 2),
                (vec![0.5, 0.7], 2)
            ]
        );
    }

    /// What is scanned after one round that drew these.
    fn scanned(own: &[Vec<f64>], is_led: bool) -> Vec<LocalDensity> {
        let n = own.len();
        let round = RoundColumns {
            round: RoundId(0),
            proposal: Proposal::prior(),
            log_likelihood: vec![Some(0.0); n],
            log_prior: vec![0.0; n],
            log_proposal: vec![0.0; n],
            component: vec![Component::Prior; n],
            log_flow: BTreeMap::new(),
            z: own.concat(),
        };
        scan(&ParameterSpace::unit_cube(2), &[round], is_led)
    }

    #[test]
    fn after_tempering_copies_alone_are_looked_for_of_modes_that_stand_apart() {
        let one = draws(&[[0.3, 0.9]]);
        assert_eq!(scanned(&one, false), []);
        assert_eq!(
            scanned(&one, true).len(),
            3,
            "two drawn anew and a mirrored one"
        );
        let two = draws(&[[0.2, 0.5], [0.4, 0.5]]);
        let n_copies = scanned(&two, false).len();
        // The next of the row on either side, where the second is inside, and two mirrored ones.
        assert_eq!(n_copies, copies_of(&[[0.2, 0.5], [0.4, 0.5]]).len());
        assert_eq!(scanned(&two, true).len(), 2 + n_copies);
    }

    #[test]
    fn few_draws_of_another_mode_do_not_widen_one() {
        let mut own = draws(&[[0.3, 0.98]]);
        own.truncate(70);
        let expected: Vec<&[f64]> = own.iter().map(Vec::as_slice).collect();
        let another = draws(&[[0.6, 0.98]]);
        let both = expected
            .iter()
            .copied()
            .chain(another[..8].iter().map(Vec::as_slice));
        assert_eq!(
            core(&ParameterSpace::unit_cube(2), both.collect()),
            expected
        );
    }

    #[test]
    fn no_mode_is_shifted_out_of_the_prior() {
        // The mirrored ones alone.
        assert_eq!(
            copies_of(&[[0.1, 0.3], [0.6, 0.35]]),
            [[0.4, 0.65], [0.9, 0.7]]
        );
    }
}

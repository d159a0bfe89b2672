//! Corner plot: every parameter's weighted histogram and every pair's weighted density.

use super::PlotError;
use super::canvas::{Anchor, Canvas, Span};
use super::density::{self, Ends, Grid, Limits, Weights};
use super::shapes::{Color, INK, Pen, Rectangle};
use super::ticks::Axis;
use crate::numbers::{self, Estimate};
use sidereal_inference::base::weighted_quantiles;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::method::Mode;
use sidereal_inference::records::{ParameterSummary, Posterior};
use sidereal_inference::space::circle;

pub const MAX_PARAMETERS: usize = 30;

const BLUE: Color = Color(18, 78, 138);
const MEDIAN: Color = Color(176, 58, 46);
const TRUTH: Color = Color(224, 122, 0);
const QUANTILES: [f64; 3] = [0.16, 0.5, 0.84];
/// Shares of the mass that the two contours enclose.
const ENCLOSED: [f64; 2] = [0.68, 0.95];
const GRID_CELLS: usize = 96;
/// Limits leave out this share of the mass at each end (before some room is added).
const TAIL: f64 = 5e-4;
/// A circle is shown whole from this share of it on.
const MOST_OF_A_CIRCLE: f64 = 0.75;
const GAP: f64 = 5.0;
const TICK: f64 = 3.0;

/// Sizes that depend on the number of parameters.
struct Sizes {
    panel: f64,
    text: f64,
    name: f64,
    max_ticks: usize,
}

impl Sizes {
    fn of(n_parameters: usize) -> Self {
        let (panel, text, name, max_ticks) = match n_parameters {
            0..=2 => (165.0, 8.5, 11.0, 5),
            3..=4 => (130.0, 8.5, 10.5, 4),
            5..=7 => (108.0, 8.0, 10.0, 4),
            8..=11 => (92.0, 7.5, 9.5, 3),
            _ => (80.0, 7.0, 9.0, 3),
        };
        Self {
            panel,
            text,
            name,
            max_ticks,
        }
    }
}

/// One parameter or derived quantity as drawn.
struct Column<'a> {
    name: &'a str,
    /// The 16, 50 and 84 % quantiles of `values`.
    quantiles: [f64; 3],
    /// Medians of the posterior's modes, where this parameter tells them apart; else none.
    modes: Vec<f64>,
    values: Vec<f64>,
    axis: Axis,
    ends: Ends,
    /// What the user says that it is.
    truth: Option<f64>,
}

impl<'a> Column<'a> {
    /// The column at `position`. A periodic one is moved by whole periods, so that its axis begins where the posterior
    /// is emptiest, and may run beyond the prior's bounds.
    fn new(
        position: usize,
        posterior: &Posterior,
        found: &'a ParameterSummary,
        modes: &[Mode],
        campaign: &Campaign,
        measure: &Canvas,
        sizes: &Sizes,
    ) -> Self {
        let space = &campaign.space;
        let parameter = space
            .shown()
            .nth(position)
            .and_then(|(_, parameter)| parameter);
        let is_periodic = parameter.is_some_and(|parameter| parameter.periodic);
        let weight = &posterior.weight;
        let mut values: Vec<f64> = (0..posterior.n_rows())
            .map(|row| {
                posterior
                    .shown_row(space, row)
                    .nth(position)
                    .unwrap_or(f64::NAN)
            })
            // One without a value has no weight.
            .map(|value| if value.is_nan() { found.median } else { value })
            .collect();
        let mut truth = campaign.truth_by_name.get(&found.name).copied();
        let mut quantiles = [found.quantile_16, found.median, found.quantile_84];
        let everywhere = (f64::NEG_INFINITY, f64::INFINITY);
        let (low, high) = parameter.map_or(everywhere, |parameter| parameter.prior.support());
        let period = high - low;
        let (mut support, mut ends) = ((low, high), Ends::Walls);
        let mut modes = told_apart(position, modes, is_periodic.then_some(period));
        if is_periodic {
            let start = circle::axis_start(&values, weight, support);
            let moved = |value: f64| circle::moved_to(start, period, value);
            values.iter_mut().for_each(|value| *value = moved(*value));
            truth = truth.map(moved);
            modes.iter_mut().for_each(|median| *median = moved(*median));
            if let [low, median, high] = weighted_quantiles(&values, weight, &QUANTILES)[..] {
                quantiles = [low, median, high];
            }
            (support, ends) = ((start, start + period), Ends::Joined);
        }
        let limits = limits(&values, weight, support, ends, truth);
        Self {
            name: &found.name,
            quantiles,
            modes,
            values,
            axis: fitting_axis(measure, limits, sizes),
            ends: limits.ends,
            truth,
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            low: self.axis.low,
            high: self.axis.high,
            ends: self.ends,
        }
    }
}

/// Medians of the modes of one parameter, where two of them are further apart than both are wide.
fn told_apart(position: usize, modes: &[Mode], period: Option<f64>) -> Vec<f64> {
    let of_modes = || modes.iter().map(|mode| &mode.parameters[position]);
    let distance = |a: f64, b: f64| match period {
        Some(period) => {
            let ahead = (a - b).rem_euclid(period);
            ahead.min(period - ahead)
        }
        None => (a - b).abs(),
    };
    let are_apart =
        of_modes().any(|a| of_modes().any(|b| distance(a.median, b.median) > 2.0 * a.sd.max(b.sd)));
    if are_apart {
        of_modes().map(|found| found.median).collect()
    } else {
        Vec::new()
    }
}

/// The corner plot. `parameters` are the posterior's columns with their quantiles; where they tell `modes` apart, these are
/// marked in their place.
pub fn draw(
    posterior: &Posterior,
    parameters: &[ParameterSummary],
    modes: &[Mode],
    campaign: &Campaign,
) -> Result<Canvas, PlotError> {
    let n_parameters = parameters.len();
    if !(1..=MAX_PARAMETERS).contains(&n_parameters) {
        return Err(PlotError::TooManyParameters {
            n_parameters,
            max: MAX_PARAMETERS,
        });
    }
    let weights = Weights::new(&posterior.weight).ok_or(PlotError::NoWeight)?;
    let sizes = Sizes::of(n_parameters);
    let measure = Canvas::new(1.0, 1.0)?;
    let columns: Vec<Column> = parameters
        .iter()
        .enumerate()
        .map(|(position, found)| {
            Column::new(
                position, posterior, found, modes, campaign, &measure, &sizes,
            )
        })
        .collect();

    let widest_label = columns.iter().skip(1).flat_map(|column| &column.axis.ticks);
    let widest_label = widest_label
        .map(|(_, label)| measure.text_width(&[Span::plain(label.clone(), sizes.text)]))
        .fold(0.0, f64::max);
    let left = if n_parameters == 1 {
        14.0
    } else {
        widest_label + sizes.name * 1.9 + 14.0
    };
    let titles = Titles::of(&measure, &columns, &sizes);
    let top = match titles {
        Titles::OneLine => sizes.name + 16.0,
        Titles::TwoLines => sizes.name * 2.4 + 14.0,
    };
    let pitch = sizes.panel + GAP;
    let side = pitch * n_parameters as f64 - GAP;
    let bottom = sizes.text + sizes.name + 20.0;
    let mut canvas = Canvas::new(left + side + 14.0, top + side + bottom)?;

    let mut taken = f64::NEG_INFINITY;
    for row in 0..n_parameters {
        for column in 0..=row {
            let panel = Rectangle {
                left: left + pitch * column as f64,
                top: top + pitch * row as f64,
                width: sizes.panel,
                height: sizes.panel,
            };
            if row == column {
                draw_histogram(&mut canvas, panel, &columns[row], &weights);
                draw_title(&mut canvas, panel, &columns[row], &sizes, titles);
            } else {
                draw_pair(
                    &mut canvas,
                    panel,
                    &columns[column],
                    &columns[row],
                    &weights,
                );
            }
            draw_frame(
                &mut canvas,
                panel,
                &columns[column],
                (row != column).then_some(&columns[row]),
            );
            if row + 1 == n_parameters {
                draw_x_labels(&mut canvas, panel, &columns[column], &sizes, &mut taken);
            }
            if column == 0 && row > 0 {
                draw_y_labels(&mut canvas, panel, &columns[row], &sizes, widest_label);
            }
        }
    }
    Ok(canvas)
}

/// Limits of one parameter's axis: nearly all of the mass with some room, within `support`, whose ends are `ends`; the
/// truth too, where it is not far from there. A circle that is filled for the most part is shown whole.
fn limits(
    values: &[f64],
    weight: &[f64],
    support: (f64, f64),
    ends: Ends,
    truth: Option<f64>,
) -> Limits {
    let reached = weighted_quantiles(values, weight, &[TAIL, 1.0 - TAIL]);
    let (mut from, mut to) = (reached[0], reached[1]);
    let span = to - from;
    if let Some(truth) = truth.filter(|truth| (from - span..=to + span).contains(truth)) {
        (from, to) = (from.min(truth), to.max(truth));
    }
    let room = match (to - from) * 0.12 {
        room if room > 0.0 => room,
        _ => (from.abs() * 1e-6).max(1e-9),
    };
    let is_filled = to - from + 2.0 * room >= MOST_OF_A_CIRCLE * (support.1 - support.0);
    match ends {
        Ends::Joined if is_filled => {
            return Limits {
                low: support.0,
                high: support.1,
                ends,
            };
        }
        Ends::Joined | Ends::Walls => {}
    }
    let (low, high) = ((from - room).max(support.0), (to + room).min(support.1));
    let (low, high) = if low < high {
        (low, high)
    } else {
        (from - room, to + room)
    };
    Limits {
        low,
        high,
        ends: Ends::Walls,
    }
}

/// As many ticks as have room for their labels side by side.
fn fitting_axis(measure: &Canvas, limits: Limits, sizes: &Sizes) -> Axis {
    let mut axis = Axis::new(limits.low, limits.high, sizes.max_ticks);
    for max_ticks in (1..=sizes.max_ticks).rev() {
        axis = Axis::new(limits.low, limits.high, max_ticks);
        let width = |label: &String| measure.text_width(&[Span::plain(label.clone(), sizes.text)]);
        let fits = axis.ticks.windows(2).all(|pair| {
            let apart = (axis.place(pair[1].0) - axis.place(pair[0].0)) * sizes.panel;
            (width(&pair[0].1) + width(&pair[1].1)) / 2.0 + sizes.text * 0.6 <= apart
        });
        if fits {
            break;
        }
    }
    axis
}

fn draw_histogram(canvas: &mut Canvas, panel: Rectangle, column: &Column, weights: &Weights) {
    let (low, high) = (column.axis.low, column.axis.high);
    let n_bins = density::best_n_bins(&column.values, weights, low, high);
    let bins = density::histogram(&column.values, weights.weight, low, high, n_bins);
    let largest = bins.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let y = |mass: f64| panel.bottom() - mass / largest * panel.height * 0.92;
    let mut steps = vec![(panel.left, panel.bottom())];
    for (bin, &mass) in bins.iter().enumerate() {
        let x = |bin: usize| panel.left + panel.width * bin as f64 / n_bins as f64;
        steps.push((x(bin), y(mass)));
        steps.push((x(bin + 1), y(mass)));
    }
    steps.push((panel.right(), panel.bottom()));
    canvas.clip(panel);
    canvas.polygon(&steps, BLUE.tint(0.18));
    canvas.line(&steps, Pen::solid(BLUE, 1.1));
    let [quantile_16, median, quantile_84] = column.quantiles;
    let marks = if column.modes.is_empty() {
        vec![(quantile_16, INK), (median, MEDIAN), (quantile_84, INK)]
    } else {
        column.modes.iter().map(|&mode| (mode, MEDIAN)).collect()
    };
    let marks = marks
        .into_iter()
        .map(|(value, color)| (value, Pen::dashed(color, 0.9)));
    let truth = column.truth.map(|truth| (truth, Pen::solid(TRUTH, 1.1)));
    for (value, pen) in marks.chain(truth) {
        let x = panel.left + column.axis.place(value) * panel.width;
        canvas.line(&[(x, panel.top), (x, panel.bottom())], pen);
    }
    canvas.unclip();
}

fn draw_pair(canvas: &mut Canvas, panel: Rectangle, x: &Column, y: &Column, weights: &Weights) {
    let limits = [x.limits(), y.limits()];
    let grid = Grid::smooth(&x.values, &y.values, weights, limits, GRID_CELLS);
    let largest = grid.largest();
    if largest <= 0.0 {
        return;
    }
    // Light tones come early, so that faint mass is seen, the darkest only at the peak.
    canvas.shade(panel, |u, v| {
        BLUE.tint(0.85 * (grid.at(u, 1.0 - v) / largest).powf(0.7))
    });
    canvas.clip(panel);
    for (mass, width) in ENCLOSED.into_iter().zip([1.0, 0.8]) {
        let place = |(u, v): (f64, f64)| {
            (
                panel.left + u * panel.width,
                panel.bottom() - v * panel.height,
            )
        };
        let pieces: Vec<_> = grid
            .contour(grid.level(mass))
            .into_iter()
            .map(|piece| piece.map(place))
            .collect();
        canvas.segments(&pieces, Pen::solid(INK, width));
    }
    let of_x = x
        .truth
        .map(|truth| panel.left + x.axis.place(truth) * panel.width);
    let of_y = y
        .truth
        .map(|truth| panel.bottom() - y.axis.place(truth) * panel.height);
    let pen = Pen::solid(TRUTH, 1.1);
    if let Some(x) = of_x {
        canvas.line(&[(x, panel.top), (x, panel.bottom())], pen);
    }
    if let Some(y) = of_y {
        canvas.line(&[(panel.left, y), (panel.right(), y)], pen);
    }
    if let (Some(x), Some(y)) = (of_x, of_y) {
        canvas.dot(x, y, 2.4, TRUTH);
    }
    canvas.unclip();
}

fn draw_frame(canvas: &mut Canvas, panel: Rectangle, x: &Column, y: Option<&Column>) {
    let pen = Pen::solid(INK, 0.7);
    let mut ticks: Vec<[(f64, f64); 2]> = Vec::new();
    for (position, _) in &x.axis.ticks {
        let x = panel.left + x.axis.place(*position) * panel.width;
        ticks.push([(x, panel.bottom()), (x, panel.bottom() - TICK)]);
    }
    if let Some(y) = y {
        for (position, _) in &y.axis.ticks {
            let y = panel.bottom() - y.axis.place(*position) * panel.height;
            ticks.push([(panel.left, y), (panel.left + TICK, y)]);
        }
    }
    canvas.segments(&ticks, pen);
    canvas.frame(panel, pen);
}

/// How the titles are set: alike for all parameters.
#[derive(Clone, Copy)]
enum Titles {
    /// `name = median +above −below`
    OneLine,
    TwoLines,
}

impl Titles {
    fn of(measure: &Canvas, columns: &[Column], sizes: &Sizes) -> Self {
        let fits = |column: &Column| {
            let spans = estimate_spans(column, &format!("{} = ", column.name), sizes.name);
            measure.text_width(&spans) <= sizes.panel + GAP
        };
        if columns.iter().all(fits) {
            Self::OneLine
        } else {
            Self::TwoLines
        }
    }
}

/// Of a parameter that tells modes apart the name alone: one median of all would lie where nothing is.
fn estimate_spans(column: &Column, before: &str, size: f64) -> Vec<Span> {
    if !column.modes.is_empty() {
        return vec![Span::plain(before.trim_end_matches(" = "), size)];
    }
    let [quantile_16, median, quantile_84] = column.quantiles;
    let Estimate {
        value,
        above,
        below,
    } = numbers::estimate(median, quantile_16, quantile_84);
    let small = size * 0.72;
    vec![
        Span::plain(format!("{before}{value}"), size),
        Span {
            text: format!(" +{above}"),
            size: small,
            rise: size * 0.42,
            overlaid: true,
        },
        Span {
            text: format!(" −{below}"),
            size: small,
            rise: -size * 0.2,
            overlaid: false,
        },
    ]
}

fn draw_title(
    canvas: &mut Canvas,
    panel: Rectangle,
    column: &Column,
    sizes: &Sizes,
    titles: Titles,
) {
    let centre = panel.left + panel.width / 2.0;
    let baseline = panel.top - 7.0;
    let name = column.name;
    let value = match titles {
        Titles::OneLine => estimate_spans(column, &format!("{name} = "), sizes.name),
        Titles::TwoLines => {
            let size = fitting_size(canvas, name, sizes.name, panel.width + GAP);
            let position = (centre, baseline - sizes.name * 1.35);
            canvas.word(position, 0.0, Anchor::Middle, name, size);
            let spans = estimate_spans(column, "", sizes.name);
            let share = ((panel.width + GAP) / canvas.text_width(&spans)).min(1.0);
            estimate_spans(column, "", sizes.name * share)
        }
    };
    canvas.text((centre, baseline), 0.0, Anchor::Middle, &value, INK);
}

/// `taken` is where the labels of the panels to the left end.
fn draw_x_labels(
    canvas: &mut Canvas,
    panel: Rectangle,
    column: &Column,
    sizes: &Sizes,
    taken: &mut f64,
) {
    for (position, label) in &column.axis.ticks {
        let x = panel.left + column.axis.place(*position) * panel.width;
        let half = canvas.text_width(&[Span::plain(label, sizes.text)]) / 2.0;
        if x - half >= *taken + sizes.text * 0.4 {
            let position = (x, panel.bottom() + sizes.text + 3.0);
            canvas.word(position, 0.0, Anchor::Middle, label, sizes.text);
            *taken = x + half;
        }
    }
    let label = column.axis.label(column.name);
    let size = fitting_size(canvas, &label, sizes.name, panel.width + GAP);
    let position = (
        panel.left + panel.width / 2.0,
        panel.bottom() + sizes.text + sizes.name + 11.0,
    );
    canvas.word(position, 0.0, Anchor::Middle, &label, size);
}

fn draw_y_labels(
    canvas: &mut Canvas,
    panel: Rectangle,
    column: &Column,
    sizes: &Sizes,
    widest_label: f64,
) {
    for (position, label) in &column.axis.ticks {
        let y = panel.bottom() - column.axis.place(*position) * panel.height + sizes.text * 0.36;
        canvas.word((panel.left - 4.0, y), 0.0, Anchor::End, label, sizes.text);
    }
    let label = column.axis.label(column.name);
    let size = fitting_size(canvas, &label, sizes.name, panel.height + GAP);
    let position = (
        panel.left - widest_label - 12.0,
        panel.top + panel.height / 2.0,
    );
    canvas.word(position, 90.0, Anchor::Middle, &label, size);
}

/// `size`, or less where `text` would be wider than `room`.
fn fitting_size(canvas: &Canvas, text: &str, size: f64, room: f64) -> f64 {
    size * (room / canvas.text_width(&[Span::plain(text, size)])).min(1.0)
}

#[cfg(test)]
mod tests;

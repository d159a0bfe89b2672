//! How the flows were trained and how the rounds went: losses by epoch, efficiency by round, and n_eff as it grew.

use super::PlotError;
use super::canvas::{Anchor, Canvas, Span};
use super::panel::{
    GREY, Mark, TEXT, draw_frame, draw_grid, draw_legend, draw_title, draw_x_name, draw_x_tick,
    draw_x_ticks, draw_y_name,
};
use super::shapes::{Color, INK, Pen, Rectangle};
use super::ticks::{self, Axis};
use sidereal_inference::account::Summary;
use sidereal_inference::records::{Posterior, TrainingSummary};
use sidereal_inference::weights::{RoundKind, RoundSummary, n_eff_of};

const TRAINING: Color = Color(120, 166, 210);
const VALIDATION: Color = Color(18, 78, 138);
const BEST: Color = Color(176, 58, 46);
const WIDTH: f64 = 560.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 16.0;
const PANEL_HEIGHT: f64 = 165.0;
/// From the bottom of a panel's frame to the top of the next one's.
const BETWEEN: f64 = 78.0;

/// The figure as PNG: losses above; efficiency and n_eff below where there was an observation. Of the posterior the
/// weights are looked at.
pub fn draw(summary: &Summary, posterior: Option<&Posterior>) -> Result<Vec<u8>, PlotError> {
    let has_losses = summary
        .training
        .iter()
        .any(|flow| !flow.validation_loss.is_empty());
    // Draws of searches know some places only: their efficiency is not the proposal's.
    let rounds = summary.rounds.iter().filter(|round| match round.kind {
        RoundKind::Training | RoundKind::TopUp | RoundKind::Reused => true,
        RoundKind::Probe => false,
    });
    let rounds: Vec<RoundSummary> = rounds.cloned().collect();
    let has_rounds = summary.combined.is_some() && !rounds.is_empty();
    let n_rows = match (has_losses, has_rounds) {
        (false, false) => return Err(PlotError::NoHistory),
        (true, true) => 2.0,
        (true, false) | (false, true) => 1.0,
    };
    let mut canvas = Canvas::new(
        WIDTH,
        34.0 + n_rows * PANEL_HEIGHT + (n_rows - 1.0) * BETWEEN + 42.0,
    )?;
    let mut top = 34.0;
    if has_losses {
        let panel = Rectangle {
            left: LEFT,
            top,
            width: WIDTH - LEFT - RIGHT,
            height: PANEL_HEIGHT,
        };
        draw_losses(&mut canvas, panel, &summary.training);
        top += PANEL_HEIGHT + BETWEEN;
    }
    if has_rounds {
        let width = (WIDTH - 2.0 * LEFT - RIGHT) / 2.0;
        let panel = Rectangle {
            left: LEFT,
            top,
            width,
            height: PANEL_HEIGHT,
        };
        draw_efficiency(&mut canvas, panel, &rounds);
        let panel = Rectangle {
            left: 2.0 * LEFT + width,
            ..panel
        };
        let growth = posterior.map_or(Vec::new(), |posterior| growth(&summary.rounds, posterior));
        draw_n_eff(&mut canvas, panel, &summary.rounds, &growth);
    }
    canvas.png()
}

/// The flows one after another, epochs counted on from flow to flow. Flows are fitted to different densities, whose losses
/// have different levels: each is drawn from its own best validation loss.
fn draw_losses(canvas: &mut Canvas, panel: Rectangle, flows: &[TrainingSummary]) {
    draw_title(canvas, panel, "loss above the flow's best");
    let flows: Vec<Losses> = flows.iter().map(Losses::of).collect();
    let n_epochs: usize = flows.iter().map(|flow| flow.validation.len()).sum();
    let Some((low, high)) = loss_limits(&flows) else {
        return;
    };
    let x = Axis::new(0.0, n_epochs.max(2) as f64, 8);
    let y = Axis::new(low, high, 5);
    let place = |epoch: f64, loss: f64| {
        (
            panel.left + x.place(epoch) * panel.width,
            panel.bottom() - y.place(loss) * panel.height,
        )
    };

    draw_grid(canvas, panel, &y);
    let mut first = 0.0;
    for flow in &flows {
        let n = flow.validation.len();
        canvas.clip(panel);
        if first > 0.0 {
            canvas.line(
                &[place(first, low), place(first, high)],
                Pen::solid(GREY, 1.0),
            );
        }
        let curves = [
            (&flow.training, Pen::solid(TRAINING, 1.1)),
            (&flow.validation, Pen::solid(VALIDATION, 1.4)),
        ];
        for (losses, pen) in curves {
            let points = losses
                .iter()
                .enumerate()
                .filter(|(_, loss)| loss.is_finite());
            let points: Vec<_> = points
                .map(|(epoch, &loss)| place(first + epoch as f64 + 0.5, loss))
                .collect();
            canvas.line(&points, pen);
        }
        if let Some(loss) = flow.validation.get(flow.best) {
            let (x, y) = place(first + flow.best as f64 + 0.5, *loss);
            canvas.dot(x, y, 2.6, BEST);
        }
        canvas.unclip();
        let share = n as f64 / n_epochs.max(1) as f64;
        let label = [Span::plain(flow.name.clone(), TEXT)];
        if canvas.text_width(&label) + 6.0 < share * panel.width {
            let (x, y) = place(first + n as f64 / 2.0, high);
            let (width, height) = (canvas.text_width(&label) + 6.0, TEXT + 5.0);
            let behind = Rectangle {
                left: x - width / 2.0,
                top: y + 1.5,
                width,
                height,
            };
            canvas.rectangle(behind, Color::WHITE);
            canvas.text((x, y + TEXT + 4.0), 0.0, Anchor::Middle, &label, INK);
        }
        first += n as f64;
    }
    draw_frame(canvas, panel, &y);
    draw_x_ticks(canvas, panel, &x);
    draw_x_name(canvas, panel, "epoch");
    if y.label("loss") != "loss" {
        draw_y_name(canvas, panel, &y.label("loss"));
    }
    let legend = [
        ("training", Mark::Line(TRAINING)),
        ("validation", Mark::Line(VALIDATION)),
        ("best epoch", Mark::Dot(BEST)),
    ];
    draw_legend(canvas, panel, &legend);
}

/// The losses of one flow, less its best validation loss.
struct Losses {
    name: String,
    training: Vec<f64>,
    validation: Vec<f64>,
    /// Place of the best epoch.
    best: usize,
}

impl Losses {
    fn of(flow: &TrainingSummary) -> Self {
        let above = |losses: &[f64]| -> Vec<f64> {
            let best = flow.best_validation_loss;
            losses.iter().map(|loss| loss - best).collect()
        };
        Self {
            name: flow.flow.to_string(),
            training: above(&flow.training_loss),
            validation: above(&flow.validation_loss),
            // Epochs are counted from 1.
            best: (flow.best_epoch as usize).saturating_sub(1),
        }
    }
}

/// Of each flow the later three quarters of how its validation loss fell, and as far below its best as above: what is
/// beyond, first epochs and training losses of flows that learned their rows by heart, is cut off.
fn loss_limits(flows: &[Losses]) -> Option<(f64, f64)> {
    let mut highest = f64::NEG_INFINITY;
    for flow in flows {
        let losses = flow.validation.iter().copied();
        let mut losses: Vec<f64> = losses.filter(|loss| loss.is_finite()).collect();
        losses.sort_by(f64::total_cmp);
        if let Some(usual) = losses.get(losses.len().saturating_sub(1) * 3 / 4) {
            highest = highest.max(*usual);
        }
    }
    let training = flows.iter().flat_map(|flow| &flow.training);
    let lowest = training
        .copied()
        .filter(|loss| loss.is_finite())
        .fold(0.0, f64::min)
        .max(-highest);
    let room = ((highest - lowest) * 0.08).max(1e-9);
    highest
        .is_finite()
        .then_some((lowest - room, highest + 2.5 * room))
}

/// Efficiency of each round, of all rows and of those from the newest flow, on a logarithmic axis.
fn draw_efficiency(canvas: &mut Canvas, panel: Rectangle, rounds: &[RoundSummary]) {
    draw_title(canvas, panel, "efficiency");
    let values = rounds
        .iter()
        .flat_map(|round| [round.all.efficiency, round.newest_component.efficiency]);
    let axis = LogAxis::new(panel, values, 1e-5, 1.0);
    draw_log_axis(canvas, panel, &axis, |exponent| {
        format!("{} %", ticks::power_of_ten(exponent + 2))
    });
    let x = |i: usize| panel.left + panel.width * (i as f64 + 0.5) / rounds.len() as f64;
    let all: Vec<_> = rounds
        .iter()
        .enumerate()
        .map(|(i, round)| (x(i), axis.place(round.all.efficiency)))
        .collect();
    canvas.line(&all, Pen::solid(VALIDATION, 1.4));
    for &(x, y) in &all {
        canvas.dot(x, y, 2.8, VALIDATION);
    }
    for (i, round) in rounds
        .iter()
        .enumerate()
        .filter(|(_, round)| round.proposal.components.len() > 1)
    {
        let efficiency = round.newest_component.efficiency;
        let error = round.efficiency_error;
        let ends = [efficiency - error, efficiency + error].map(|end| (x(i), axis.place(end)));
        canvas.segments(&[ends], Pen::solid(BEST, 1.1));
        canvas.dot(x(i), axis.place(efficiency), 2.6, BEST);
    }
    draw_rounds(canvas, panel, rounds);
    draw_legend(
        canvas,
        panel,
        &[
            ("all rows", Mark::Dot(VALIDATION)),
            ("newest flow", Mark::Dot(BEST)),
        ],
    );
}

/// Simulations up to the end of each round, and what the posterior's draws of the rounds so far are worth.
fn growth(rounds: &[RoundSummary], posterior: &Posterior) -> Vec<(f64, f64)> {
    let mut simulations = 0;
    let points = rounds.iter().map(|round| {
        simulations += round.all.n;
        let n_rows = posterior
            .round
            .partition_point(|&drawn_in| drawn_in <= round.round.0);
        (simulations as f64, n_eff_of(&posterior.weight[..n_rows]))
    });
    points.collect()
}

/// n_eff against simulations: of each round by its own weights as an area, and of all rounds so far.
fn draw_n_eff(
    canvas: &mut Canvas,
    panel: Rectangle,
    rounds: &[RoundSummary],
    growth: &[(f64, f64)],
) {
    draw_title(canvas, panel, "n_eff");
    let n_simulations: u64 = rounds.iter().map(|round| round.all.n).sum();
    let of_rounds = rounds.iter().map(|round| round.all.n_eff);
    let highest = of_rounds
        .chain(growth.iter().map(|&(_, n_eff)| n_eff))
        .fold(1.0, f64::max);
    let x = Axis::new(0.0, n_simulations.max(1) as f64, 5);
    let y = Axis::new(0.0, 1.06 * highest, 5);
    let place = |simulations: f64, n_eff: f64| {
        (
            panel.left + x.place(simulations) * panel.width,
            panel.bottom() - y.place(n_eff) * panel.height,
        )
    };
    draw_grid(canvas, panel, &y);
    let mut before = 0.0;
    for round in rounds {
        let after = before + round.all.n as f64;
        let ((left, top), (right, _)) = (place(before, round.all.n_eff), place(after, 0.0));
        let area = Rectangle {
            left: left + 0.4,
            top,
            width: (right - left - 0.8).max(0.4),
            height: panel.bottom() - top,
        };
        if area.height > 0.0 {
            canvas.rectangle(area, VALIDATION.tint(0.45));
        }
        before = after;
    }
    let mut line = vec![place(0.0, 0.0)];
    line.extend(
        growth
            .iter()
            .map(|&(simulations, n_eff)| place(simulations, n_eff)),
    );
    canvas.line(&line, Pen::solid(BEST, 1.4));
    for &(x, y) in &line[1..] {
        canvas.dot(x, y, 2.4, BEST);
    }
    draw_frame(canvas, panel, &y);
    draw_x_ticks(canvas, panel, &x);
    draw_x_name(canvas, panel, &x.label("simulations"));
    if y.label("n_eff") != "n_eff" {
        draw_y_name(canvas, panel, &y.label("n_eff"));
    }
    let mut legend = vec![("of a round", Mark::Area(VALIDATION.tint(0.45)))];
    if !growth.is_empty() {
        legend.push(("of all so far", Mark::Line(BEST)));
    }
    draw_legend(canvas, panel, &legend);
}

/// A logarithmic axis upwards over whole decades.
struct LogAxis {
    panel: Rectangle,
    low: f64,
    high: f64,
}

impl LogAxis {
    /// Holds all `values` from `least` on, lower ones at its lower end, and a decade at least; `most` is the
    /// highest value that makes sense.
    fn new(panel: Rectangle, values: impl Iterator<Item = f64>, least: f64, most: f64) -> Self {
        let positive = values
            .filter(|value| *value > 0.0 && value.is_finite())
            .map(|value| value.max(least));
        let (low, high) = positive.fold((f64::INFINITY, 0.0_f64), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        let (low, high) = if low <= high { (low, high) } else { (0.1, 1.0) };
        let decade = |exponent: f64| 10f64.powi(exponent as i32);
        let low = decade((low / 1.05).log10().floor());
        let high = (high * 1.6).min(most * 1.15).max(low * 10.0);
        Self { panel, low, high }
    }

    fn place(&self, value: f64) -> f64 {
        let share =
            (value.max(self.low).min(self.high) / self.low).ln() / (self.high / self.low).ln();
        self.panel.bottom() - share * self.panel.height
    }
}

fn draw_log_axis(
    canvas: &mut Canvas,
    panel: Rectangle,
    axis: &LogAxis,
    label: impl Fn(i32) -> String,
) {
    let decades = ticks::decades(axis.low * 0.999, axis.high * 1.001);
    let every = decades.len().div_ceil(7).max(1);
    for &exponent in decades.iter().step_by(every) {
        let y = axis.place(10f64.powi(exponent));
        canvas.line(
            &[(panel.left, y), (panel.right(), y)],
            Pen::solid(GREY, 0.6),
        );
        let position = (panel.left - 5.0, y + TEXT * 0.36);
        canvas.word(position, 0.0, Anchor::End, &label(exponent), TEXT);
    }
    if every == 1 {
        let between = decades
            .iter()
            .flat_map(|&exponent| (2..10).map(move |i| 10f64.powi(exponent) * f64::from(i)));
        let between: Vec<_> = between
            .filter(|value| *value < axis.high)
            .map(|value| {
                [
                    (panel.left, axis.place(value)),
                    (panel.left + 2.5, axis.place(value)),
                ]
            })
            .collect();
        canvas.segments(&between, Pen::solid(INK, 0.6));
    }
}

fn draw_rounds(canvas: &mut Canvas, panel: Rectangle, rounds: &[RoundSummary]) {
    canvas.frame(panel, Pen::solid(INK, 0.7));
    let every = rounds.len().div_ceil(12).max(1);
    for (i, round) in rounds.iter().enumerate().step_by(every) {
        let label = match round.kind {
            RoundKind::Training | RoundKind::Probe | RoundKind::Reused => round.round.0.to_string(),
            RoundKind::TopUp => format!("{} (top-up)", round.round.0),
        };
        draw_x_tick(
            canvas,
            panel,
            (i as f64 + 0.5) / rounds.len() as f64,
            &label,
        );
    }
    draw_x_name(canvas, panel, "round");
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidereal_inference::base::{FlowId, RoundId};
    use sidereal_inference::weights::{Objective, Proposal, WeightDiagnostics};

    #[test]
    fn losses_are_seen_from_each_flows_best() {
        let flow = |level: f64| TrainingSummary {
            flow: FlowId(0),
            objective: Objective::Simulations,
            n_rows: 10,
            n_epochs: 5,
            best_epoch: 3,
            best_validation_loss: level,
            training_loss: [900.0, 0.5, 0.25, 0.0, -0.5]
                .map(|loss| level + loss)
                .to_vec(),
            validation_loss: [900.0, 1.0, 0.0, 0.25, 0.5]
                .map(|loss| level + loss)
                .to_vec(),
            n_recoveries: 0,
            weights_sha256: String::new(),
        };
        let flows = [Losses::of(&flow(-4.0)), Losses::of(&flow(1024.0))];
        for flow in &flows {
            assert_eq!((flow.name.as_str(), flow.best), ("flow 0", 2));
            assert_eq!(flow.training, [900.0, 0.5, 0.25, 0.0, -0.5]);
            assert_eq!(flow.validation, [900.0, 1.0, 0.0, 0.25, 0.5]);
        }
        // From the lowest training loss to three quarters of the validation losses, with some room.
        let (low, high) = loss_limits(&flows).expect("limits");
        assert!(
            (-0.75..-0.5).contains(&low) && (1.0..1.5).contains(&high),
            "{low} {high}"
        );
        assert_eq!(loss_limits(&[]), None);
    }

    #[test]
    fn n_eff_grows_by_the_weights_so_far() {
        let diagnostics = WeightDiagnostics {
            n: 4,
            n_eff: 1.0,
            efficiency: 0.25,
            pareto_k: None,
            max_weight: 0.5,
            evidence: None,
        };
        let round = |round: u32| RoundSummary {
            round: RoundId(round),
            kind: RoundKind::Training,
            proposal: Proposal::prior(),
            n_failed: 0,
            n_possible: 1000,
            failed_median: None,
            all: diagnostics.clone(),
            newest_component: diagnostics.clone(),
            efficiency_error: 0.0,
        };
        let posterior = Posterior {
            n_parameters: 1,
            theta: vec![0.0; 7],
            n_derived: 0,
            derived: Vec::new(),
            log_likelihood: vec![0.0; 7],
            log_prior: vec![0.0; 7],
            log_proposal: vec![0.0; 7],
            round: vec![0, 0, 0, 1, 1, 1, 1],
            row_id: vec![0, 1, 2, 0, 1, 2, 3],
            // The first round does not count: another one has taken its place.
            weight: vec![0.0, 0.0, 0.0, 0.25, 0.25, 0.25, 0.25],
        };
        let found = growth(&[round(0), round(1), round(2)], &posterior);
        assert_eq!(found, [(4.0, 0.0), (8.0, 3.0), (12.0, 3.0)]);
    }
}

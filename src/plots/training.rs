//! How the flows were trained and how the rounds went: losses by epoch, efficiency and n_eff by round.

use super::PlotError;
use super::canvas::{Anchor, Canvas, Color, Pen, Rectangle, Span};
use super::panel::{
    GREY, INK, Mark, TEXT, draw_frame, draw_grid, draw_legend, draw_title, draw_x_name,
    draw_x_tick, draw_y_name,
};
use super::ticks::{self, Axis};
use sidereal_inference::summary::{RoundKind, RoundSummary, Summary, TrainingSummary};

const TRAINING: Color = Color(120, 166, 210);
const VALIDATION: Color = Color(18, 78, 138);
const BEST: Color = Color(176, 58, 46);
const WIDTH: f64 = 560.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 16.0;
const PANEL_HEIGHT: f64 = 165.0;
/// From the bottom of a panel's frame to the top of the next one's.
const BETWEEN: f64 = 78.0;

/// The figure as PNG: losses above; efficiency and n_eff by round below where there was an observation.
pub fn draw(summary: &Summary) -> Result<Vec<u8>, PlotError> {
    let has_losses = summary
        .training
        .iter()
        .any(|flow| !flow.validation_loss.is_empty());
    // Draws of searches know some places only: their efficiency is not the proposal's.
    let rounds = summary.rounds.iter().filter(|round| match round.kind {
        RoundKind::Training | RoundKind::TopUp => true,
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
        let combined = summary.combined.as_ref();
        let together = combined.map_or(0.0, |combined| combined.n_eff);
        draw_n_eff(&mut canvas, panel, &rounds, together);
    }
    canvas.into_png()
}

/// The flows one after another, epochs counted on from flow to flow.
fn draw_losses(canvas: &mut Canvas, panel: Rectangle, flows: &[TrainingSummary]) {
    draw_title(canvas, panel, "loss");
    let n_epochs: usize = flows.iter().map(|flow| flow.validation_loss.len()).sum();
    let Some((low, high)) = loss_limits(flows) else {
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
    for flow in flows {
        let n = flow.validation_loss.len();
        canvas.clip(panel);
        if first > 0.0 {
            canvas.line(
                &[place(first, low), place(first, high)],
                Pen::solid(GREY, 1.0),
            );
        }
        let curves = [
            (&flow.training_loss, Pen::solid(TRAINING, 1.1)),
            (&flow.validation_loss, Pen::solid(VALIDATION, 1.4)),
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
        // Epochs are counted from 1.
        let best = (flow.best_epoch as usize).saturating_sub(1);
        if let Some(loss) = flow.validation_loss.get(best) {
            let (x, y) = place(first + best as f64 + 0.5, *loss);
            canvas.dot(x, y, 2.6, BEST);
        }
        canvas.unclip();
        let share = n as f64 / n_epochs.max(1) as f64;
        let label = [Span::plain(flow.flow.to_string(), TEXT)];
        if canvas.text_width(&label) + 6.0 < share * panel.width {
            let (x, y) = place(first + n as f64 / 2.0, high);
            let (width, height) = (canvas.text_width(&label) + 6.0, TEXT + 5.0);
            canvas.rectangle(
                Rectangle {
                    left: x - width / 2.0,
                    top: y + 1.5,
                    width,
                    height,
                },
                Color::WHITE,
            );
            canvas.text((x, y + TEXT + 4.0), 0.0, Anchor::Middle, &label, INK);
        }
        first += n as f64;
    }
    draw_frame(canvas, panel, &y);
    for (position, label) in &x.ticks {
        draw_x_tick(canvas, panel, x.place(*position), label);
    }
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

/// All losses but the far outliers of the first epochs.
fn loss_limits(flows: &[TrainingSummary]) -> Option<(f64, f64)> {
    let losses = flows
        .iter()
        .flat_map(|flow| flow.training_loss.iter().chain(&flow.validation_loss));
    let mut losses: Vec<f64> = losses.copied().filter(|loss| loss.is_finite()).collect();
    losses.sort_by(f64::total_cmp);
    let (&lowest, &highest) = (losses.first()?, losses.last()?);
    let usual = losses[(losses.len() - 1) * 97 / 100];
    let high = highest.min(usual + 0.35 * (usual - lowest));
    let room = ((high - lowest) * 0.08).max(1e-9 * high.abs().max(1e-3));
    Some((lowest - room, high + 1.8 * room))
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

/// n_eff of each round by its own weights, and of all rounds together.
fn draw_n_eff(canvas: &mut Canvas, panel: Rectangle, rounds: &[RoundSummary], together: f64) {
    draw_title(canvas, panel, "n_eff");
    let values = rounds.iter().map(|round| round.all.n_eff).chain([together]);
    let axis = LogAxis::new(panel, values, 0.1, f64::INFINITY);
    draw_log_axis(canvas, panel, &axis, ticks::power_of_ten);
    let slot = panel.width / rounds.len() as f64;
    for (i, round) in rounds.iter().enumerate() {
        let top = axis.place(round.all.n_eff);
        let bar = Rectangle {
            left: panel.left + slot * (i as f64 + 0.5) - slot.min(60.0) * 0.3,
            top,
            width: slot.min(60.0) * 0.6,
            height: panel.bottom() - top,
        };
        if bar.height > 0.0 {
            canvas.rectangle(bar, VALIDATION.tint(0.55));
        }
    }
    let y = axis.place(together);
    canvas.line(
        &[(panel.left, y), (panel.right(), y)],
        Pen::dashed(BEST, 1.2),
    );
    draw_rounds(canvas, panel, rounds);
    draw_legend(
        canvas,
        panel,
        &[
            ("round", Mark::Dot(VALIDATION.tint(0.55))),
            ("all rounds together", Mark::Line(BEST)),
        ],
    );
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
        let text = [Span::plain(label(exponent), TEXT)];
        canvas.text(
            (panel.left - 5.0, y + TEXT * 0.36),
            0.0,
            Anchor::End,
            &text,
            INK,
        );
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
            RoundKind::Training | RoundKind::Probe => round.round.0.to_string(),
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

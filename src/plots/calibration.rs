//! Where truths stand in their posteriors, of the network and of weighted draws, and how efficient these are.

use super::PlotError;
use super::canvas::Canvas;
use super::panel::{
    GREY, Mark, draw_frame, draw_grid, draw_legend, draw_title, draw_x_name, draw_x_tick,
    draw_x_ticks, draw_y_name,
};
use super::shapes::{Color, INK, Pen, Rectangle};
use super::ticks::{self, Axis};
use sidereal_inference::method::coverage;
use sidereal_inference::records::{CheckedTarget, Standings};

const RANK: Color = Color(120, 166, 210);
const CREDIBILITY: Color = Color(176, 58, 46);
const TARP: Color = Color(64, 130, 84);
const BAR: Color = Color(18, 78, 138);
const WIDTH: f64 = 620.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 16.0;
const PANEL_HEIGHT: f64 = 175.0;
const BETWEEN: f64 = 78.0;
const TOP: f64 = 34.0;
/// What the distance of Kolmogorov and Smirnov stays under, times the root of the number of targets, in 95 %.
const BAND: f64 = 1.358;
/// Efficiencies below this are shown at it.
const LEAST_DECADE: i32 = -4;
const BINS_PER_DECADE: usize = 8;

/// The figure as PNG.
pub fn draw(targets: &[CheckedTarget]) -> Result<Vec<u8>, PlotError> {
    let network: Vec<&Standings> = targets
        .iter()
        .filter_map(|one| one.network.as_ref())
        .collect();
    let trusted = targets.iter().filter(|one| one.warnings.is_empty());
    let weighted: Vec<&Standings> = trusted.filter_map(|one| one.weighted.as_ref()).collect();
    let mut canvas = Canvas::new(WIDTH, TOP + 2.0 * PANEL_HEIGHT + BETWEEN + 42.0)?;
    let width = (WIDTH - 2.0 * LEFT - RIGHT) / 2.0;
    let panel = Rectangle {
        left: LEFT,
        top: TOP,
        width,
        height: PANEL_HEIGHT,
    };
    draw_standings(&mut canvas, panel, "weighted draws", &weighted);
    let right = Rectangle {
        left: 2.0 * LEFT + width,
        ..panel
    };
    draw_standings(&mut canvas, right, "network alone", &network);
    let legend = [
        ("ranks", Mark::Line(RANK)),
        ("credibility", Mark::Line(CREDIBILITY)),
        ("TARP", Mark::Line(TARP)),
    ];
    draw_legend(&mut canvas, right, &legend);
    let below = Rectangle {
        top: TOP + PANEL_HEIGHT + BETWEEN,
        width: WIDTH - LEFT - RIGHT,
        ..panel
    };
    let efficiencies: Vec<f64> = targets.iter().map(|one| one.weights.efficiency).collect();
    draw_efficiencies(&mut canvas, below, &efficiencies);
    canvas.png()
}

fn draw_standings(canvas: &mut Canvas, panel: Rectangle, title: &str, standings: &[&Standings]) {
    draw_title(canvas, panel, title);
    let n_parameters = standings.first().map_or(0, |one| one.rank.len());
    let mut curves: Vec<(Vec<f64>, Color)> = Vec::new();
    for j in 0..n_parameters {
        curves.push((standings.iter().map(|one| one.rank[j]).collect(), RANK));
    }
    curves.push((standings.iter().map(|one| one.tarp).collect(), TARP));
    curves.push((
        standings.iter().map(|one| one.credibility).collect(),
        CREDIBILITY,
    ));
    let curves: Vec<(Vec<(f64, f64)>, Color)> = curves
        .into_iter()
        .map(|(values, color)| (above_the_level(&values), color))
        .collect();
    let band = (BAND / (standings.len().max(1) as f64).sqrt()).min(1.0);
    let points = curves.iter().flat_map(|(points, _)| points);
    let largest = points.fold(band, |largest, (_, y)| largest.max(y.abs()));
    let x = Axis::new(0.0, 1.0, 6);
    let y = Axis::new(-1.1 * largest, 1.1 * largest, 6);
    let place = |(level, above): (f64, f64)| {
        (
            panel.left + x.place(level) * panel.width,
            panel.bottom() - y.place(above) * panel.height,
        )
    };
    let (left, top) = place((0.0, band));
    let band = Rectangle {
        left,
        top,
        width: panel.width,
        height: place((0.0, -band)).1 - top,
    };
    canvas.rectangle(band, GREY.tint(0.5));
    draw_grid(canvas, panel, &y);
    canvas.line(
        &[place((0.0, 0.0)), place((1.0, 0.0))],
        Pen::solid(INK, 0.7),
    );
    canvas.clip(panel);
    for (points, color) in curves {
        let points: Vec<_> = points.into_iter().map(place).collect();
        canvas.line(&points, Pen::solid(color, 1.3));
    }
    canvas.unclip();
    draw_frame(canvas, panel, &y);
    draw_x_ticks(canvas, panel, &x);
    draw_x_name(canvas, panel, "level");
    draw_y_name(canvas, panel, "targets below less level");
}

/// From 0 on in hundredths; nothing without numbers.
fn above_the_level(values: &[f64]) -> Vec<(f64, f64)> {
    if values.is_empty() {
        return Vec::new();
    }
    let levels = coverage(values, 100).into_iter();
    let points = levels.map(|at| (at.level, at.found - at.level));
    std::iter::once((0.0, 0.0)).chain(points).collect()
}

fn draw_efficiencies(canvas: &mut Canvas, panel: Rectangle, efficiencies: &[f64]) {
    draw_title(canvas, panel, "efficiency of the network's draws");
    let n_bins = LEAST_DECADE.unsigned_abs() as usize * BINS_PER_DECADE;
    let mut counts = vec![0u32; n_bins];
    for efficiency in efficiencies {
        let decades = efficiency.log10() - f64::from(LEAST_DECADE);
        // What has no efficiency at all is at the least.
        let bin = (decades.max(0.0) * BINS_PER_DECADE as f64) as usize;
        counts[bin.min(n_bins - 1)] += 1;
    }
    let largest = counts.iter().copied().max().unwrap_or(0).max(1);
    let y = Axis::new(0.0, 1.08 * f64::from(largest), 5);
    draw_grid(canvas, panel, &y);
    let width = panel.width / n_bins as f64;
    for (bin, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let height = y.place(f64::from(count)) * panel.height;
        let bar = Rectangle {
            left: panel.left + bin as f64 * width + 0.5,
            top: panel.bottom() - height,
            width: width - 1.0,
            height,
        };
        canvas.rectangle(bar, BAR);
    }
    draw_frame(canvas, panel, &y);
    for decade in LEAST_DECADE..=0 {
        let share = f64::from(decade - LEAST_DECADE) / f64::from(-LEAST_DECADE);
        let label = format!("{} %", ticks::power_of_ten(decade + 2));
        draw_x_tick(canvas, panel, share, &label);
    }
    draw_x_name(canvas, panel, "n_eff / simulations");
    draw_y_name(canvas, panel, "targets");
}

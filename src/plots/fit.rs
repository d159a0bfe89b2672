//! The data with their errors, the bands of what the posterior predicts, and the residuals below.

use super::PlotError;
use super::canvas::Canvas;
use super::panel::{
    GREY, Mark, draw_frame, draw_grid, draw_legend, draw_x_name, draw_x_tick, draw_y_name,
};
use super::shapes::{Color, INK, Pen, Rectangle};
use super::ticks::Axis;
use sidereal_inference::records::ModelBand;

const MODEL: Color = Color(18, 78, 138);
const BAND_68: f64 = 0.42;
const BAND_95: f64 = 0.2;
const WIDTH: f64 = 560.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 28.0;
const DATA_HEIGHT: f64 = 230.0;
const RESIDUAL_HEIGHT: f64 = 100.0;
const BETWEEN: f64 = 12.0;
const BOTTOM: f64 = 42.0;

/// Residuals are shown to this many sigma at least.
const LEAST_RESIDUAL: f64 = 4.0;

/// More data than this lie so close that the model is drawn over them, and residuals have no bars, which are all alike.
const MOST_APART: usize = 300;

/// A datum whose sigma is this many times the usual one says nothing, and need not be seen.
const MOST_USUAL_SIGMAS: f64 = 30.0;

/// The figure as PNG; `grid_name` is the name of the horizontal axis.
pub fn draw(band: &ModelBand, grid_name: &str) -> Result<Vec<u8>, PlotError> {
    let n = band.value.len();
    if n == 0 {
        return Err(PlotError::NoData);
    }
    let mut canvas = Canvas::new(
        WIDTH,
        TOP + DATA_HEIGHT + BETWEEN + RESIDUAL_HEIGHT + BOTTOM,
    )?;
    let x = axis(&band.grid, 0.025, 8);
    let data = Rectangle {
        left: LEFT,
        top: TOP,
        width: WIDTH - LEFT - RIGHT,
        height: DATA_HEIGHT,
    };
    let residuals = Rectangle {
        top: data.bottom() + BETWEEN,
        height: RESIDUAL_HEIGHT,
        ..data
    };
    let series = series(&band.grid);
    let size = DotSize::of(n);
    draw_data(&mut canvas, data, &x, band, &series, size);
    draw_residuals(&mut canvas, residuals, &x, band, &series, size);
    for (position, label) in &x.ticks {
        draw_x_tick(&mut canvas, data, x.place(*position), "");
        draw_x_tick(&mut canvas, residuals, x.place(*position), label);
    }
    draw_x_name(&mut canvas, residuals, &x.label(grid_name));
    draw_legend(
        &mut canvas,
        data,
        &[
            ("data", Mark::Dot(INK)),
            ("best draw", Mark::Line(MODEL)),
            ("68 %", Mark::Area(MODEL.tint(BAND_68))),
            ("95 % of the model's draws", Mark::Area(MODEL.tint(BAND_95))),
        ],
    );
    canvas.png()
}

/// How data are drawn: the more there are, the smaller.
#[derive(Clone, Copy)]
struct DotSize {
    radius: f64,
    color: Color,
    bar: Pen,
    /// Whether data would cover the model, and it is drawn over them.
    are_crowded: bool,
}

impl DotSize {
    fn of(n: usize) -> Self {
        let (radius, tint, bar_width, bar_tint) = match n {
            0..=60 => (2.2, 1.0, 0.9, 0.8),
            61..=MOST_APART => (1.6, 1.0, 0.7, 0.6),
            n if n <= 1500 => (1.1, 0.7, 0.5, 0.35),
            _ => (0.7, 0.6, 0.4, 0.2),
        };
        Self {
            radius,
            color: INK.tint(tint),
            bar: Pen::solid(INK.tint(bar_tint), bar_width),
            are_crowded: n > MOST_APART,
        }
    }
}

fn draw_dots(
    canvas: &mut Canvas,
    bars: &[[(f64, f64); 2]],
    dots: impl Iterator<Item = (f64, f64)>,
    size: DotSize,
) {
    canvas.segments(bars, size.bar);
    for (x, y) in dots {
        canvas.dot(x, y, size.radius, size.color);
    }
}

fn draw_data(
    canvas: &mut Canvas,
    panel: Rectangle,
    x: &Axis,
    band: &ModelBand,
    series: &[Vec<usize>],
    size: DotSize,
) {
    let n = band.value.len();
    let mut sigmas = band.sigma.clone();
    sigmas.sort_by(f64::total_cmp);
    // A few huge errors must not flatten the rest.
    let usual = sigmas[n / 2];
    let mut extent: Vec<f64> = band.best.clone();
    for i in (0..n).filter(|&i| band.sigma[i] <= MOST_USUAL_SIGMAS * usual) {
        let reach = band.sigma[i].min(3.0 * usual);
        extent.extend([band.value[i] - reach, band.value[i] + reach]);
    }
    // Nor must a few wild draws: bands may reach as far beyond the data as these reach.
    let (low, high) = ends(&extent);
    let span = (high - low).max(0.0);
    let edges = band.quantiles.iter().flatten();
    extent.extend(edges.map(|value| value.max(low - span).min(high + span)));
    let y = axis(&extent, 0.05, 6);
    let place = |i: usize, value: f64| {
        (
            panel.left + x.place(band.grid[i]) * panel.width,
            panel.bottom() - y.place(value) * panel.height,
        )
    };
    draw_grid(canvas, panel, &y);
    canvas.clip(panel);
    let bars: Vec<_> = (0..n)
        .map(|i| {
            let (value, sigma) = (band.value[i], band.sigma[i]);
            [place(i, value - sigma), place(i, value + sigma)]
        })
        .collect();
    let dots = (0..n).map(|i| place(i, band.value[i]));
    if size.are_crowded {
        draw_dots(canvas, &bars, dots.clone(), size);
    }
    draw_bands(canvas, panel, series, &band.quantiles, &place);
    for places in series {
        let best: Vec<_> = places.iter().map(|&i| place(i, band.best[i])).collect();
        canvas.line(&best, Pen::solid(MODEL, 1.1));
    }
    if !size.are_crowded {
        draw_dots(canvas, &bars, dots, size);
    }
    canvas.unclip();
    draw_frame(canvas, panel, &y);
    draw_y_name(canvas, panel, &y.label("value"));
}

/// Data and bands less the best draw, in units of sigma.
fn draw_residuals(
    canvas: &mut Canvas,
    panel: Rectangle,
    x: &Axis,
    band: &ModelBand,
    series: &[Vec<usize>],
    size: DotSize,
) {
    let n = band.value.len();
    let in_sigma = |column: &[f64]| -> Vec<f64> {
        (0..n)
            .map(|i| (column[i] - band.best[i]) / band.sigma[i])
            .collect()
    };
    let residuals = in_sigma(&band.value);
    let largest = residuals
        .iter()
        .fold(0.0_f64, |largest, residual| largest.max(residual.abs()));
    let reach = if largest.is_finite() {
        (1.15 * largest).max(LEAST_RESIDUAL)
    } else {
        LEAST_RESIDUAL
    };
    let y = Axis::new(-reach, reach, 5);
    let place = |i: usize, value: f64| {
        (
            panel.left + x.place(band.grid[i]) * panel.width,
            panel.bottom() - y.place(value) * panel.height,
        )
    };
    draw_grid(canvas, panel, &y);
    canvas.clip(panel);
    let bars: Vec<_> = (0..n)
        .filter(|_| !size.are_crowded)
        .map(|i| [place(i, residuals[i] - 1.0), place(i, residuals[i] + 1.0)])
        .collect();
    let dots = (0..n).map(|i| place(i, residuals[i]));
    if size.are_crowded {
        draw_dots(canvas, &bars, dots.clone(), size);
    }
    let quantiles = [0, 1, 2, 3].map(|k| in_sigma(&band.quantiles[k]));
    draw_bands(canvas, panel, series, &quantiles, &place);
    let level = |value: f64| {
        let y = panel.bottom() - y.place(value) * panel.height;
        [(panel.left, y), (panel.right(), y)]
    };
    canvas.line(&level(0.0), Pen::solid(MODEL, 1.1));
    for value in [-3.0, 3.0] {
        canvas.line(&level(value), Pen::dashed(GREY, 0.9));
    }
    if !size.are_crowded {
        draw_dots(canvas, &bars, dots, size);
    }
    canvas.unclip();
    draw_frame(canvas, panel, &y);
    draw_y_name(canvas, panel, &y.label("residual / σ"));
}

fn draw_bands(
    canvas: &mut Canvas,
    panel: Rectangle,
    series: &[Vec<usize>],
    quantiles: &[Vec<f64>; 4],
    place: &impl Fn(usize, f64) -> (f64, f64),
) {
    let [lowest, low, high, highest] = quantiles;
    for (below, above, tint) in [(lowest, highest, BAND_95), (low, high, BAND_68)] {
        for places in series {
            if let [only] = places.as_slice() {
                let ends = [place(*only, below[*only]), place(*only, above[*only])];
                canvas.segments(&[ends], Pen::solid(MODEL.tint(tint), 6.0));
                continue;
            }
            let edge = places.iter().map(|&i| place(i, below[i]));
            let back = places.iter().rev().map(|&i| place(i, above[i]));
            // What lies outside is cut off; far outside, there is nothing to cut.
            let outline: Vec<_> = edge
                .chain(back)
                .map(|(x, y)| (x, y.clamp(panel.top - 20.0, panel.bottom() + 20.0)))
                .collect();
            canvas.polygon(&outline, MODEL.tint(tint));
        }
    }
}

/// The data in runs of a rising grid: one for each series that stands in them one after the other. Where the grid
/// has no such order, all data as one run.
fn series(grid: &[f64]) -> Vec<Vec<usize>> {
    let mut places: Vec<usize> = (0..grid.len()).collect();
    let runs: Vec<Vec<usize>> = places
        .chunk_by(|&a, &b| grid[a] <= grid[b])
        .map(<[usize]>::to_vec)
        .collect();
    if 4 * runs.len() <= grid.len() || runs.len() == 1 {
        return runs;
    }
    places.sort_by(|&a, &b| grid[a].total_cmp(&grid[b]));
    vec![places]
}

/// The least and the largest finite value; where there is none, the first is the larger.
fn ends(values: &[f64]) -> (f64, f64) {
    let finite = values.iter().copied().filter(|value| value.is_finite());
    finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}

/// Holds all `values` with a margin on both sides.
fn axis(values: &[f64], margin: f64, max_ticks: usize) -> Axis {
    let (low, high) = ends(values);
    let (low, high) = if low <= high { (low, high) } else { (0.0, 0.0) };
    let room = match high - low {
        span if span > 1e-9 * low.abs().max(high.abs()) => margin * span,
        _ => (1e-6 * high.abs()).max(0.5),
    };
    Axis::new(low - room, high + room, max_ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_end_where_the_grid_begins_anew() {
        let two: Vec<f64> = (0..20).map(|i| f64::from(i % 10)).collect();
        let found = series(&two);
        assert_eq!(
            found,
            [(0..10).collect::<Vec<_>>(), (10..20).collect::<Vec<_>>()]
        );
        assert_eq!(series(&[3.0, 2.0, 1.0, 0.0]), [[3, 2, 1, 0]]);
        assert_eq!(series(&[1.0, 1.0]), [[0, 1]]);
    }

    #[test]
    fn axes_hold_what_they_show() {
        let found = axis(&[1.0, 3.0, f64::NAN], 0.05, 5);
        assert!((found.low - 0.9).abs() < 1e-12 && (found.high - 3.1).abs() < 1e-12);
        let single = axis(&[5.0], 0.05, 5);
        assert_eq!((single.low, single.high), (4.5, 5.5));
        let zero = axis(&[0.0, 0.0], 0.05, 5);
        assert_eq!((zero.low, zero.high), (-0.5, 0.5));
    }
}

//! What the panels of a figure have in common: frame, grid, ticks, names and legend.

use super::canvas::{Anchor, Canvas, Span};
use super::shapes::{Color, INK, Pen, Rectangle};
use super::ticks::Axis;

pub const GREY: Color = Color(196, 200, 208);
/// Sizes of ticks and legends, and of titles.
pub const TEXT: f64 = 8.5;
pub const TITLE: f64 = 10.0;

pub fn draw_grid(canvas: &mut Canvas, panel: Rectangle, y: &Axis) {
    for (position, _) in &y.ticks {
        let y = panel.bottom() - y.place(*position) * panel.height;
        canvas.line(
            &[(panel.left, y), (panel.right(), y)],
            Pen::solid(GREY, 0.6),
        );
    }
}

pub fn draw_frame(canvas: &mut Canvas, panel: Rectangle, y: &Axis) {
    canvas.frame(panel, Pen::solid(INK, 0.7));
    for (position, label) in &y.ticks {
        let y = panel.bottom() - y.place(*position) * panel.height + TEXT * 0.36;
        canvas.word((panel.left - 5.0, y), 0.0, Anchor::End, label, TEXT);
    }
}

pub fn draw_x_ticks(canvas: &mut Canvas, panel: Rectangle, x: &Axis) {
    for (position, label) in &x.ticks {
        draw_x_tick(canvas, panel, x.place(*position), label);
    }
}

pub fn draw_x_tick(canvas: &mut Canvas, panel: Rectangle, share: f64, label: &str) {
    let x = panel.left + share * panel.width;
    canvas.line(
        &[(x, panel.bottom()), (x, panel.bottom() - 3.0)],
        Pen::solid(INK, 0.7),
    );
    let position = (x, panel.bottom() + TEXT + 4.0);
    canvas.word(position, 0.0, Anchor::Middle, label, TEXT);
}

pub fn draw_x_name(canvas: &mut Canvas, panel: Rectangle, name: &str) {
    let position = (
        panel.left + panel.width / 2.0,
        panel.bottom() + 2.0 * TEXT + 13.0,
    );
    canvas.word(position, 0.0, Anchor::Middle, name, TITLE * 0.95);
}

pub fn draw_y_name(canvas: &mut Canvas, panel: Rectangle, name: &str) {
    let position = (panel.left - 42.0, panel.top + panel.height / 2.0);
    canvas.word(position, 90.0, Anchor::Middle, name, TITLE * 0.95);
}

pub fn draw_title(canvas: &mut Canvas, panel: Rectangle, title: &str) {
    let position = (panel.left, panel.top - 9.0);
    canvas.word(position, 0.0, Anchor::Start, title, TITLE);
}

/// What a legend shows of a curve.
#[derive(Clone, Copy)]
pub enum Mark {
    Line(Color),
    Dot(Color),
    Area(Color),
}

/// In one line above the panel, at its right end.
pub fn draw_legend(canvas: &mut Canvas, panel: Rectangle, entries: &[(&str, Mark)]) {
    let mut right = panel.right();
    let baseline = panel.top - 9.0;
    for &(text, mark) in entries.iter().rev() {
        let text = [Span::plain(text, TEXT)];
        let left = right - canvas.text_width(&text);
        canvas.text((left, baseline), 0.0, Anchor::Start, &text, INK);
        let y = baseline - TEXT * 0.35;
        right = match mark {
            Mark::Line(color) => {
                canvas.line(&[(left - 18.0, y), (left - 5.0, y)], Pen::solid(color, 1.8));
                left - 28.0
            }
            Mark::Area(color) => {
                let area = Rectangle {
                    left: left - 18.0,
                    top: y - 4.0,
                    width: 13.0,
                    height: 8.0,
                };
                canvas.rectangle(area, color);
                left - 28.0
            }
            Mark::Dot(color) => {
                canvas.dot(left - 8.0, y, 2.8, color);
                left - 20.0
            }
        };
    }
}

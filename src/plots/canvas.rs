//! A drawing surface in points, y downwards from the top; text in DejaVu Sans. What is drawn is kept as shapes, of which
//! a PNG or a PDF is made.

use super::shapes::{Color, INK, PIXELS_PER_POINT, Pen, Rectangle, Shape, rectangle_path};
use super::{PlotError, pdf, raster};
use std::sync::OnceLock;
use tiny_skia::{Path, PathBuilder, Transform};
use ttf_parser::{Face, GlyphId, OutlineBuilder};

/// Which point of a text lies at the position given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// A piece of a line of text: size in points, raised by `rise` (superscripts).
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    pub text: String,
    pub size: f64,
    pub rise: f64,
    /// The following span starts where this one started (a subscript under a superscript).
    pub overlaid: bool,
}

impl Span {
    pub fn plain(text: impl Into<String>, size: f64) -> Self {
        Self {
            text: text.into(),
            size,
            rise: 0.0,
            overlaid: false,
        }
    }
}

/// The picture as drawn so far, on white.
pub struct Canvas {
    width: f64,
    height: f64,
    shapes: Vec<Shape>,
    face: &'static Face<'static>,
}

impl Canvas {
    pub fn new(width: f64, height: f64) -> Result<Self, PlotError> {
        Ok(Self {
            width,
            height,
            shapes: Vec::new(),
            face: face()?,
        })
    }

    pub fn png(&self) -> Result<Vec<u8>, PlotError> {
        let in_pixels = |points: f64| (points * PIXELS_PER_POINT).ceil() as u32;
        raster::png(in_pixels(self.width), in_pixels(self.height), &self.shapes)
    }

    /// One page of the picture's size.
    pub fn pdf(&self) -> Vec<u8> {
        pdf::pdf(self.width, self.height, &self.shapes)
    }

    /// Nothing is drawn outside `rectangle` until [`Canvas::unclip`].
    pub fn clip(&mut self, rectangle: Rectangle) {
        self.shapes.push(Shape::Clip(rectangle));
    }

    pub fn unclip(&mut self) {
        self.shapes.push(Shape::Unclip);
    }

    pub fn line(&mut self, points: &[(f64, f64)], pen: Pen) {
        let mut builder = PathBuilder::new();
        let mut end = None;
        for pair in points.windows(2) {
            let Some([from, to]) = self.near_part(pair[0], pair[1]) else {
                continue;
            };
            if end != Some(from) {
                builder.move_to(from.0 as f32, from.1 as f32);
            }
            builder.line_to(to.0 as f32, to.1 as f32);
            end = Some(to);
        }
        self.stroke(builder.finish(), pen);
    }

    /// Separate straight pieces in one go.
    pub fn segments(&mut self, segments: &[[(f64, f64); 2]], pen: Pen) {
        let mut builder = PathBuilder::new();
        for [from, to] in segments
            .iter()
            .filter_map(|[from, to]| self.near_part(*from, *to))
        {
            builder.move_to(from.0 as f32, from.1 as f32);
            builder.line_to(to.0 as f32, to.1 as f32);
        }
        self.stroke(builder.finish(), pen);
    }

    pub fn polygon(&mut self, points: &[(f64, f64)], color: Color) {
        self.fill(polyline_path(points), color);
    }

    pub fn frame(&mut self, rectangle: Rectangle, pen: Pen) {
        self.stroke(rectangle_path(rectangle), pen);
    }

    pub fn rectangle(&mut self, rectangle: Rectangle, color: Color) {
        self.fill(rectangle_path(rectangle), color);
    }

    pub fn dot(&mut self, x: f64, y: f64, radius: f64, color: Color) {
        let circle = PathBuilder::from_circle(x as f32, y as f32, radius as f32);
        self.fill(circle, color);
    }

    /// Fills `rectangle` pixel by pixel; `color` is given the place within it, both in [0, 1], v downwards.
    pub fn shade(&mut self, rectangle: Rectangle, color: impl Fn(f64, f64) -> Color) {
        let in_pixels = |points: f64| (points * PIXELS_PER_POINT).round().max(0.0) as u32;
        let (left, top) = (in_pixels(rectangle.left), in_pixels(rectangle.top));
        let right = in_pixels(rectangle.right().min(self.width));
        let bottom = in_pixels(rectangle.bottom().min(self.height));
        let (n_columns, n_rows) = (right.saturating_sub(left), bottom.saturating_sub(top));
        let place = |i: u32, n: u32| (f64::from(i) + 0.5) / f64::from(n);
        let pixels = (0..n_rows)
            .flat_map(|row| (0..n_columns).map(move |column| (row, column)))
            .map(|(row, column)| color(place(column, n_columns), place(row, n_rows)))
            .collect();
        self.shapes.push(Shape::Pixels {
            left,
            top,
            n_columns,
            pixels,
        });
    }

    /// One line of text whose baseline goes through (x, y), turned anticlockwise by `degrees`.
    pub fn text(
        &mut self,
        position: (f64, f64),
        degrees: f64,
        anchor: Anchor,
        spans: &[Span],
        color: Color,
    ) {
        let start = match anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => -self.text_width(spans) / 2.0,
            Anchor::End => -self.text_width(spans),
        };
        let mut x = start;
        let mut builder = PathBuilder::new();
        for span in spans {
            let scale = span.size / f64::from(self.face.units_per_em());
            let span_start = x;
            for character in span.text.chars() {
                let (glyph, advance) = self.glyph(character);
                let mut outline = Outline {
                    builder: &mut builder,
                    x,
                    y: -span.rise,
                    scale,
                };
                self.face.outline_glyph(glyph, &mut outline);
                x += advance * scale;
            }
            if span.overlaid {
                x = span_start;
            }
        }
        let (x, y) = (position.0 as f32, position.1 as f32);
        let turned =
            Transform::from_rotate(-degrees as f32).post_concat(Transform::from_translate(x, y));
        let path = builder.finish().and_then(|path| path.transform(turned));
        self.fill(path, color);
    }

    /// As [`Canvas::text`], of one size and in ink.
    pub fn word(
        &mut self,
        position: (f64, f64),
        degrees: f64,
        anchor: Anchor,
        text: &str,
        size: f64,
    ) {
        self.text(position, degrees, anchor, &[Span::plain(text, size)], INK);
    }

    /// Width of a line of text in points.
    pub fn text_width(&self, spans: &[Span]) -> f64 {
        let (mut x, mut widest) = (0.0, 0.0_f64);
        for span in spans {
            let width = self.span_width(span);
            widest = widest.max(x + width);
            if !span.overlaid {
                x += width;
            }
        }
        widest
    }

    fn span_width(&self, span: &Span) -> f64 {
        let scale = span.size / f64::from(self.face.units_per_em());
        let advance = |character| self.glyph(character).1 * scale;
        span.text.chars().map(advance).sum()
    }

    /// A character's glyph, and how far it moves the next one, in font units.
    fn glyph(&self, character: char) -> (GlyphId, f64) {
        let glyph = self.face.glyph_index(character).unwrap_or(GlyphId(0));
        let advance = self.face.glyph_hor_advance(glyph).unwrap_or(0);
        (glyph, f64::from(advance))
    }

    /// The part of a straight piece that lies on the canvas or near it (Liang and Barsky 1984):
    /// tiny-skia panics on strokes that reach far beyond.
    fn near_part(&self, from: (f64, f64), to: (f64, f64)) -> Option<[(f64, f64); 2]> {
        const NEAR: f64 = 20.0;
        let (right, bottom) = (self.width + NEAR, self.height + NEAR);
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let (mut enter, mut leave) = (0.0_f64, 1.0_f64);
        let limits = [
            (-dx, from.0 + NEAR),
            (dx, right - from.0),
            (-dy, from.1 + NEAR),
            (dy, bottom - from.1),
        ];
        for (outwards, distance) in limits {
            if !(outwards.is_finite() && distance.is_finite())
                || (outwards == 0.0 && distance < 0.0)
            {
                return None;
            }
            if outwards < 0.0 {
                enter = enter.max(distance / outwards);
            } else if outwards > 0.0 {
                leave = leave.min(distance / outwards);
            }
        }
        let at = |t: f64| match t {
            0.0 => from,
            1.0 => to,
            t => (from.0 + t * dx, from.1 + t * dy),
        };
        (enter <= leave).then(|| [at(enter), at(leave)])
    }

    /// None: nothing to see.
    fn fill(&mut self, path: Option<Path>, color: Color) {
        self.shapes
            .extend(path.map(|path| Shape::Fill { path, color }));
    }

    fn stroke(&mut self, path: Option<Path>, pen: Pen) {
        self.shapes
            .extend(path.map(|path| Shape::Stroke { path, pen }));
    }
}

fn face() -> Result<&'static Face<'static>, PlotError> {
    static FACE: OnceLock<Option<Face<'static>>> = OnceLock::new();
    FACE.get_or_init(|| Face::parse(dejavu::sans::regular(), 0).ok())
        .as_ref()
        .ok_or(PlotError::Font)
}

fn polyline_path(points: &[(f64, f64)]) -> Option<Path> {
    let (first, rest) = points.split_first()?;
    let mut builder = PathBuilder::new();
    builder.move_to(first.0 as f32, first.1 as f32);
    for point in rest {
        builder.line_to(point.0 as f32, point.1 as f32);
    }
    builder.finish()
}

/// Puts a glyph's outline (y upwards, in font units) into a path (y downwards, in points).
struct Outline<'a> {
    builder: &'a mut PathBuilder,
    x: f64,
    y: f64,
    scale: f64,
}

impl Outline<'_> {
    fn place(&self, x: f32, y: f32) -> (f32, f32) {
        (
            (self.x + f64::from(x) * self.scale) as f32,
            (self.y - f64::from(y) * self.scale) as f32,
        )
    }
}

impl OutlineBuilder for Outline<'_> {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.place(x, y);
        self.builder.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.place(x, y);
        self.builder.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.place(x1, y1), self.place(x, y));
        self.builder.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) =
            (self.place(x1, y1), self.place(x2, y2), self.place(x, y));
        self.builder.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.builder.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_where_they_leave_the_picture() {
        let canvas = Canvas::new(100.0, 100.0).expect("a canvas");
        let near = |from, to| canvas.near_part(from, to);
        assert_eq!(
            near((10.0, 10.0), (90.0, 50.0)),
            Some([(10.0, 10.0), (90.0, 50.0)])
        );
        assert_eq!(
            near((50.0, 0.0), (50.0, 1e12)),
            Some([(50.0, 0.0), (50.0, 120.0)])
        );
        assert_eq!(
            near((-140.0, 50.0), (260.0, 50.0)),
            Some([(-20.0, 50.0), (120.0, 50.0)])
        );
        assert_eq!(near((0.0, 200.0), (100.0, 200.0)), None);
        assert_eq!(near((0.0, f64::NAN), (100.0, 0.0)), None);
        assert_eq!(near((0.0, 0.0), (f64::INFINITY, 0.0)), None);
    }

    #[test]
    fn wild_lines_do_not_panic() {
        let mut canvas = Canvas::new(300.0, 200.0).expect("a canvas");
        canvas.clip(Rectangle {
            left: 40.0,
            top: 20.0,
            width: 200.0,
            height: 150.0,
        });
        // A loss that falls from far above the frame.
        for exponent in 0..40 {
            let mut points = vec![(41.0, -(10f64.powi(exponent)))];
            points.extend((0..60).map(|i| (44.0 + 3.0 * f64::from(i), 100.0 + f64::from(i))));
            canvas.line(&points, Pen::solid(Color(0, 0, 0), 1.1));
            canvas.line(&points, Pen::dashed(Color(0, 0, 0), 1.1));
            canvas.segments(&[[points[0], points[30]]], Pen::solid(Color(0, 0, 0), 0.8));
        }
        assert!(canvas.png().is_ok());
    }
}

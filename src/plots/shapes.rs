//! What a picture is made of: colours, pens, and shapes in points, y downwards from the top.

use tiny_skia::{Path, PathBuilder};

/// Pixels of a point: pictures are sharp on screens and in print at about 15 cm of width.
pub const PIXELS_PER_POINT: f64 = 2.0;

/// An opaque colour, red, green and blue in 0 to 255.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Color(pub u8, pub u8, pub u8);

/// Of lines and text.
pub const INK: Color = Color(24, 28, 36);

impl Color {
    pub const WHITE: Self = Self(255, 255, 255);

    /// `share` of `self` over white.
    pub fn tint(self, share: f64) -> Self {
        let mix = |channel: u8| {
            let value = 255.0 - share.clamp(0.0, 1.0) * (255.0 - f64::from(channel));
            value.round() as u8
        };
        Self(mix(self.0), mix(self.1), mix(self.2))
    }
}

/// A rectangle in points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rectangle {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

impl Rectangle {
    pub fn right(self) -> f64 {
        self.left + self.width
    }

    pub fn bottom(self) -> f64 {
        self.top + self.height
    }
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pen {
    pub color: Color,
    pub width: f64,
    /// Lengths of dash and gap.
    pub dash: Option<(f64, f64)>,
}

impl Pen {
    pub fn solid(color: Color, width: f64) -> Self {
        Self {
            color,
            width,
            dash: None,
        }
    }

    pub fn dashed(color: Color, width: f64) -> Self {
        Self {
            color,
            width,
            dash: Some((3.5, 2.5)),
        }
    }
}

/// What a picture is made of, one over the other. Paths are in points.
pub enum Shape {
    Fill {
        path: Path,
        color: Color,
    },
    Stroke {
        path: Path,
        pen: Pen,
    },
    /// What follows is drawn within the rectangle only, in place of an earlier one.
    Clip(Rectangle),
    Unclip,
    /// Rows of pixels from the top, `PIXELS_PER_POINT` a point; all in pixels.
    Pixels {
        left: u32,
        top: u32,
        n_columns: u32,
        pixels: Vec<Color>,
    },
}

pub fn rectangle_path(rectangle: Rectangle) -> Option<Path> {
    let Rectangle {
        left,
        top,
        width,
        height,
    } = rectangle;
    let rect = tiny_skia::Rect::from_xywh(left as f32, top as f32, width as f32, height as f32)?;
    Some(PathBuilder::from_rect(rect))
}

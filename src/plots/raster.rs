//! Shapes as PNG, by tiny-skia.

use super::PlotError;
use super::shapes::{Color, PIXELS_PER_POINT, Pen, Shape, rectangle_path};
use tiny_skia::{
    FillRule, LineCap, LineJoin, Mask, Paint, Pixmap, PremultipliedColorU8, Stroke, StrokeDash,
    Transform,
};

/// `width` and `height` in pixels.
pub fn png(width: u32, height: u32, shapes: &[Shape]) -> Result<Vec<u8>, PlotError> {
    let mut pixmap = Pixmap::new(width, height).ok_or(PlotError::Size { width, height })?;
    pixmap.fill(tiny_skia::Color::WHITE);
    let scale = Transform::from_scale(PIXELS_PER_POINT as f32, PIXELS_PER_POINT as f32);
    let mut mask: Option<Mask> = None;
    for shape in shapes {
        match shape {
            Shape::Fill { path, color } => {
                let paint = paint(*color);
                pixmap.fill_path(path, &paint, FillRule::Winding, scale, mask.as_ref());
            }
            Shape::Stroke { path, pen } => {
                let paint = paint(pen.color);
                pixmap.stroke_path(path, &paint, &stroke(*pen), scale, mask.as_ref());
            }
            Shape::Clip(rectangle) => {
                let path = rectangle_path(*rectangle);
                mask = Mask::new(width, height).zip(path).map(|(mut mask, path)| {
                    mask.fill_path(&path, FillRule::Winding, true, scale);
                    mask
                });
            }
            Shape::Unclip => mask = None,
            Shape::Pixels {
                left,
                top,
                n_columns,
                pixels,
            } => {
                for (row, pixels) in (*top..).zip(pixels.chunks(*n_columns as usize)) {
                    for (column, color) in (*left..).zip(pixels) {
                        set(&mut pixmap, column, row, *color);
                    }
                }
            }
        }
    }
    pixmap
        .encode_png()
        .map_err(|error| PlotError::Encode(error.to_string()))
}

fn set(pixmap: &mut Pixmap, column: u32, row: u32, Color(r, g, b): Color) {
    if column >= pixmap.width() || row >= pixmap.height() {
        return;
    }
    let place = (row * pixmap.width() + column) as usize;
    if let Some(opaque) = PremultipliedColorU8::from_rgba(r, g, b, 255) {
        pixmap.pixels_mut()[place] = opaque;
    }
}

fn paint(color: Color) -> Paint<'static> {
    let mut paint = Paint {
        anti_alias: true,
        ..Paint::default()
    };
    paint.set_color_rgba8(color.0, color.1, color.2, 255);
    paint
}

fn stroke(pen: Pen) -> Stroke {
    Stroke {
        width: pen.width as f32,
        line_cap: if pen.dash.is_some() {
            LineCap::Butt
        } else {
            LineCap::Round
        },
        line_join: LineJoin::Round,
        dash: pen
            .dash
            .and_then(|(dash, gap)| StrokeDash::new(vec![dash as f32, gap as f32], 0.0)),
        ..Stroke::default()
    }
}

//! Shapes as a PDF of one page: lines and text as paths, densities as pictures of their pixels.

use super::shapes::{Color, PIXELS_PER_POINT, Pen, Rectangle, Shape};
use miniz_oxide::deflate::compress_to_vec_zlib;
use pdf_writer::types::{LineCapStyle, LineJoinStyle};
use pdf_writer::{Content, Filter, Finish, Name, Pdf, Rect, Ref};
use tiny_skia::{Path, PathSegment, Point};

const CATALOG: Ref = Ref::new(1);
const PAGES: Ref = Ref::new(2);
const PAGE: Ref = Ref::new(3);
const CONTENT: Ref = Ref::new(4);
/// Pictures are numbered from here on.
const FIRST_PICTURE: i32 = 5;
const COMPRESSION: u8 = 6;

/// `width` and `height` in points. The same shapes are the same bytes.
pub fn pdf(width: f64, height: f64, shapes: &[Shape]) -> Vec<u8> {
    let mut page = Page {
        content: Content::new(),
        n_pictures: 0,
        is_clipped: false,
    };
    // y upwards in PDF.
    page.content
        .transform([1.0, 0.0, 0.0, -1.0, 0.0, height as f32]);
    let mut pdf = Pdf::new();
    for shape in shapes {
        page.draw(shape, &mut pdf);
    }
    page.unclip();

    pdf.catalog(CATALOG).pages(PAGES);
    pdf.pages(PAGES).kids([PAGE]).count(1);
    let mut written = pdf.page(PAGE);
    written
        .parent(PAGES)
        .media_box(Rect::new(0.0, 0.0, width as f32, height as f32))
        .contents(CONTENT);
    let mut resources = written.resources();
    let mut pictures = resources.x_objects();
    for i in 0..page.n_pictures {
        pictures.pair(Name(&picture_name(i)), picture_ref(i));
    }
    pictures.finish();
    resources.finish();
    written.finish();
    let content = compress_to_vec_zlib(page.content.finish().as_slice(), COMPRESSION);
    pdf.stream(CONTENT, &content).filter(Filter::FlateDecode);
    pdf.finish()
}

struct Page {
    content: Content,
    n_pictures: i32,
    is_clipped: bool,
}

impl Page {
    fn draw(&mut self, shape: &Shape, pdf: &mut Pdf) {
        match shape {
            Shape::Fill { path, color } => {
                let [r, g, b] = shares(*color);
                self.content.set_fill_rgb(r, g, b);
                self.path(path);
                self.content.fill_nonzero();
            }
            Shape::Stroke { path, pen } => {
                self.pen(*pen);
                self.path(path);
                self.content.stroke();
            }
            Shape::Clip(rectangle) => self.clip(*rectangle),
            Shape::Unclip => self.unclip(),
            Shape::Pixels {
                left,
                top,
                n_columns,
                pixels,
            } => self.picture(*left, *top, *n_columns, pixels, pdf),
        }
    }

    fn pen(&mut self, pen: Pen) {
        let [r, g, b] = shares(pen.color);
        self.content
            .set_stroke_rgb(r, g, b)
            .set_line_width(pen.width as f32)
            .set_line_join(LineJoinStyle::RoundJoin);
        match pen.dash {
            Some((dash, gap)) => self
                .content
                .set_line_cap(LineCapStyle::ButtCap)
                .set_dash_pattern([dash as f32, gap as f32], 0.0),
            None => self
                .content
                .set_line_cap(LineCapStyle::RoundCap)
                .set_dash_pattern([], 0.0),
        };
    }

    fn path(&mut self, path: &Path) {
        let mut end = Point::default();
        for segment in path.segments() {
            match segment {
                PathSegment::MoveTo(to) => {
                    self.content.move_to(short(to.x), short(to.y));
                    end = to;
                }
                PathSegment::LineTo(to) => {
                    self.content.line_to(short(to.x), short(to.y));
                    end = to;
                }
                PathSegment::QuadTo(middle, to) => {
                    // PDF knows cubic curves alone.
                    let towards = |from: Point| {
                        let part = |from: f32, to: f32| from + (to - from) * 2.0 / 3.0;
                        Point::from_xy(part(from.x, middle.x), part(from.y, middle.y))
                    };
                    self.curve(towards(end), towards(to), to);
                    end = to;
                }
                PathSegment::CubicTo(first, second, to) => {
                    self.curve(first, second, to);
                    end = to;
                }
                PathSegment::Close => {
                    self.content.close_path();
                }
            }
        }
    }

    fn curve(&mut self, first: Point, second: Point, to: Point) {
        self.content.cubic_to(
            short(first.x),
            short(first.y),
            short(second.x),
            short(second.y),
            short(to.x),
            short(to.y),
        );
    }

    fn clip(&mut self, rectangle: Rectangle) {
        self.unclip();
        let Rectangle {
            left,
            top,
            width,
            height,
        } = rectangle;
        self.content
            .save_state()
            .rect(left as f32, top as f32, width as f32, height as f32)
            .clip_nonzero()
            .end_path();
        self.is_clipped = true;
    }

    fn unclip(&mut self) {
        if self.is_clipped {
            self.content.restore_state();
            self.is_clipped = false;
        }
    }

    fn picture(&mut self, left: u32, top: u32, n_columns: u32, pixels: &[Color], pdf: &mut Pdf) {
        if pixels.is_empty() {
            return;
        }
        let n_rows = pixels.len() as u32 / n_columns;
        let bytes: Vec<u8> = pixels
            .iter()
            .flat_map(|&Color(r, g, b)| [r, g, b])
            .collect();
        let bytes = compress_to_vec_zlib(&bytes, COMPRESSION);
        let mut picture = pdf.image_xobject(picture_ref(self.n_pictures), &bytes);
        picture
            .width(n_columns as i32)
            .height(n_rows as i32)
            .bits_per_component(8)
            .interpolate(true)
            .filter(Filter::FlateDecode);
        picture.color_space().device_rgb();
        picture.finish();
        let in_points = |pixels: u32| (f64::from(pixels) / PIXELS_PER_POINT) as f32;
        let (width, height) = (in_points(n_columns), in_points(n_rows));
        let placed = [
            width,
            0.0,
            0.0,
            -height,
            in_points(left),
            in_points(top) + height,
        ];
        self.content
            .save_state()
            .transform(placed)
            .x_object(Name(&picture_name(self.n_pictures)))
            .restore_state();
        self.n_pictures += 1;
    }
}

fn picture_ref(i: i32) -> Ref {
    Ref::new(FIRST_PICTURE + i)
}

fn picture_name(i: i32) -> Vec<u8> {
    format!("P{i}").into_bytes()
}

fn shares(Color(r, g, b): Color) -> [f32; 3] {
    [r, g, b].map(|channel| f32::from(channel) / 255.0)
}

/// To a thousandth of a point: finer than any printer.
fn short(points: f32) -> f32 {
    (points * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::super::canvas::{Anchor, Canvas, Span};
    use super::*;

    #[test]
    fn a_page_has_its_size_its_paths_and_its_pixels() {
        let mut canvas = Canvas::new(100.0, 50.0).expect("a canvas");
        let area = Rectangle {
            left: 10.0,
            top: 5.0,
            width: 2.0,
            height: 1.0,
        };
        canvas.shade(area, |u, _| {
            if u < 0.5 {
                Color(255, 0, 0)
            } else {
                Color(0, 0, 255)
            }
        });
        canvas.clip(area);
        canvas.line(
            &[(1.0, 2.0), (3.0, 4.5)],
            Pen::dashed(Color(0, 255, 0), 0.5),
        );
        canvas.text(
            (20.0, 30.0),
            0.0,
            Anchor::Start,
            &[Span::plain("o", 9.0)],
            Color(0, 0, 0),
        );
        let pdf = canvas.pdf();
        assert_eq!(pdf, canvas.pdf());
        let text = String::from_utf8_lossy(&pdf);
        assert!(text.starts_with("%PDF-1.") && text.trim_end().ends_with("%%EOF"));
        assert!(text.contains("/MediaBox [0 0 100 50]"), "{text}");
        assert!(
            text.contains("/Width 4\n") && text.contains("/Height 2\n"),
            "{text}"
        );
        let streams = streams(&pdf);
        let [picture, content] = streams.as_slice() else {
            panic!("{} streams", streams.len());
        };
        let row = [[255, 0, 0], [255, 0, 0], [0, 0, 255], [0, 0, 255]].concat();
        assert_eq!(*picture, [row.clone(), row].concat());
        let content = String::from_utf8_lossy(content);
        let expected = "1 0 0 -1 0 50 cm\nq\n2 0 0 -1 10 6 cm\n/P0 Do\nQ\nq\n10 5 2 1 re\nW\nn\n0 1 0 RG\n0.5 w\n\
                        1 j\n0 J\n[3.5 2.5] 0 d\n1 2 m\n3 4.5 l\nS\n0 0 0 rg\n";
        assert!(content.starts_with(expected), "{content}");
        // The letter is an outline, and what was clipped is open again at the end.
        assert!(
            content.matches(" c\n").count() > 8 && content.trim_end().ends_with("f\nQ"),
            "{content}"
        );
        assert!(!content.contains("BT"));
    }

    /// The streams of a PDF, inflated.
    fn streams(pdf: &[u8]) -> Vec<Vec<u8>> {
        let find = |from: usize, what: &[u8]| {
            let place = pdf[from..]
                .windows(what.len())
                .position(|part| part == what);
            place.map(|place| from + place)
        };
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(start) = find(from, b"\nstream\n") {
            let start = start + b"\nstream\n".len();
            let end = find(start, b"\nendstream").expect("an end");
            let inflated = miniz_oxide::inflate::decompress_to_vec_zlib(&pdf[start..end]);
            found.push(inflated.expect("zlib"));
            from = end;
        }
        found
    }
}

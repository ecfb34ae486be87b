//! Line charts, drawn by plotters as SVG that takes its colours from the
//! page's style sheet, so that they follow the reader's light or dark theme.

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

/// The number of colours for lines; the style sheet has as many classes `s0`,
/// `s1`, … (stroke) and `f0`, `f1`, … (fill), and one more for the colour of the
/// text. Lines beyond are dashed.
pub(crate) const COLOURS: usize = 7;

/// Plotters places everything on whole units: drawing this many times larger
/// than shown keeps curves smooth.
pub(crate) const ZOOM: u32 = 4;

/// More points than this do not show in a chart and only make the file large.
const MOST_POINTS: usize = 400;

/// Up to so many points are marked: the line between them is a guess.
const FEW_POINTS: usize = 8;

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// In its own colour; dashed where that is of the second round.
    Own,
    /// Dashed, in the colour of the text: what the others are compared with.
    Dashed,
    /// Dotted, in the colour of the text.
    Dotted,
}

/// One line of a chart.
pub(super) struct Series {
    /// Its own colour, and beyond the number of colours also its style.
    pub colour: usize,
    pub line: Line,
    /// x and y, in the order of x.
    pub points: Vec<(f64, f64)>,
    /// x, least and greatest y; may be empty.
    pub band: Vec<(f64, f64, f64)>,
}

/// The frame of a chart.
pub(super) struct Frame<'a> {
    /// Width and height in units of the page.
    pub size: (u32, u32),
    pub x_label: &'a str,
    /// How numbers at the horizontal axis are written.
    pub x_text: fn(f64) -> String,
    /// Where the horizontal axis begins.
    pub begin: f64,
    pub y_label: &'a str,
    pub scale: Scale,
    /// A level to be marked.
    pub level: Option<f64>,
    /// What the drawing shows, for those who cannot see it.
    pub description: &'a str,
}

/// The vertical axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// From 0 to 1, written in per cent.
    Fraction,
    /// Logarithmic where the values are positive and span more than a decade,
    /// else linear from 0.
    Free,
}

/// Colours that stand for classes of the style sheet until the drawing is
/// done: red 1, green the role, blue the number.
const LINE_ROLE: u8 = 1;
const DASHED_ROLE: u8 = 2;
const DOTTED_ROLE: u8 = 3;
pub(crate) const BAND_ROLE: u8 = 4;
const FRAME_ROLE: u8 = 5;
/// The number that stands for the colour of the text.
const INK: u8 = COLOURS as u8;
pub(crate) const GRID: RGBColor = RGBColor(1, FRAME_ROLE, 0);
pub(crate) const AXIS: RGBColor = RGBColor(1, FRAME_ROLE, 1);
pub(crate) const LEVEL: RGBColor = RGBColor(1, FRAME_ROLE, 2);
pub(crate) const TEXT: RGBColor = RGBColor(1, FRAME_ROLE, 3);

/// A line chart as an SVG element, or the reason why there is nothing to draw.
pub(super) fn line_chart(frame: &Frame<'_>, series: &[Series]) -> Result<String, String> {
    let finite = |series: &Series| Series {
        colour: series.colour,
        line: series.line,
        points: thin(&series.points)
            .into_iter()
            .filter(|(x, y)| x.is_finite() && y.is_finite())
            .collect(),
        band: thin(&series.band)
            .into_iter()
            .filter(|(x, low, high)| x.is_finite() && low.is_finite() && high.is_finite())
            .collect(),
    };
    let series: Vec<Series> = series.iter().map(finite).collect();
    let ys = || {
        series.iter().flat_map(|one| {
            let band = one.band.iter().flat_map(|&(_, low, high)| [low, high]);
            one.points.iter().map(|&(_, y)| y).chain(band).chain(frame.level)
        })
    };
    let last = series
        .iter()
        .flat_map(|one| one.points.iter().map(|&(x, _)| x))
        .fold(f64::NEG_INFINITY, f64::max);
    if !last.is_finite() {
        return Err("no finite values".to_string());
    }
    let last = last.max(frame.begin + 1.0);
    let lowest = ys().fold(f64::INFINITY, f64::min);
    let highest = ys().fold(f64::NEG_INFINITY, f64::max);
    let svg = match frame.scale {
        Scale::Fraction => {
            draw(frame, &series, last, -0.02..1.02, &|y| format!("{:.0} %", y * 100.0), 0.0)
        }
        Scale::Free if lowest > 0.0 && highest > 10.0 * lowest => draw(
            frame,
            &series,
            last,
            (lowest * 0.8..highest * 1.25).log_scale(),
            &|y| power(*y),
            lowest * 0.8,
        ),
        Scale::Free => {
            let low = lowest.min(0.0);
            let high = if highest > low { highest } else { low + 1.0 };
            let high = high + 0.05 * (high - low);
            draw(frame, &series, last, low..high, &|y| short_number(*y), low)
        }
    }?;
    Ok(style(&svg, frame.description))
}

/// Draws into SVG with the placeholder colours.
fn draw<Y>(
    frame: &Frame<'_>,
    series: &[Series],
    last: f64,
    y_range: Y,
    y_text: &dyn Fn(&f64) -> String,
    floor: f64,
) -> Result<String, String>
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let (width, height) = frame.size;
    let small = width < 300;
    let zoomed = |units: u32| units * ZOOM;
    let font = |units: u32| ("sans-serif", zoomed(units)).into_font().color(&TEXT);
    let mut svg = String::new();
    {
        let area =
            SVGBackend::with_string(&mut svg, (zoomed(width), zoomed(height))).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(zoomed(4))
            .margin_right(zoomed(14))
            .x_label_area_size(zoomed(if small { 36 } else { 46 }))
            .y_label_area_size(zoomed(if small { 42 } else { 70 }))
            .build_cartesian_2d(frame.begin..last, y_range)
            .map_err(|error| told(&error))?;
        let x_text = |x: &f64| (frame.x_text)(*x);
        let mut mesh = chart.configure_mesh();
        mesh.disable_x_mesh()
            .bold_line_style(GRID.stroke_width(ZOOM))
            .light_line_style(TRANSPARENT)
            .axis_style(AXIS.stroke_width(ZOOM))
            .set_all_tick_mark_size(zoomed(3))
            .label_style(font(if small { 12 } else { 15 }))
            .axis_desc_style(font(if small { 12 } else { 16 }))
            .x_labels(if small { 4 } else { 6 })
            .y_labels(if small { 3 } else { 6 })
            .x_label_formatter(&x_text)
            .y_label_formatter(y_text)
            .x_desc(frame.x_label);
        if !small {
            mesh.y_desc(frame.y_label);
        }
        mesh.draw().map_err(|error| told(&error))?;
        if let Some(level) = frame.level {
            let line =
                LineSeries::new([(frame.begin, level), (last, level)], LEVEL.stroke_width(ZOOM));
            chart.draw_series(line).map_err(|error| told(&error))?;
        }
        // Bands below all lines.
        for one in series.iter().filter(|one| one.band.len() > 1) {
            let (_, colour) = placeholder(one);
            let above = one.band.iter().map(|&(x, _, high)| (x, high));
            let below = one.band.iter().rev().map(|&(x, low, _)| (x, low.max(floor)));
            let outline: Vec<(f64, f64)> = above.chain(below).collect();
            let band = Polygon::new(outline, RGBColor(1, BAND_ROLE, colour).filled());
            chart.draw_series(std::iter::once(band)).map_err(|error| told(&error))?;
        }
        for one in series {
            let (role, colour) = placeholder(one);
            let stroke = RGBColor(1, role, colour).stroke_width(2 * ZOOM);
            let line = LineSeries::new(one.points.iter().copied(), stroke);
            chart.draw_series(line).map_err(|error| told(&error))?;
            if one.line == Line::Own && one.points.len() <= FEW_POINTS {
                let dot = RGBColor(1, BAND_ROLE, colour).filled();
                let dots = one.points.iter().map(|&point| Circle::new(point, 3 * ZOOM, dot));
                chart.draw_series(dots).map_err(|error| told(&error))?;
            }
        }
        area.present().map_err(|error| told(&error))?;
    }
    Ok(svg)
}

/// The role and number of a series' placeholder colour.
fn placeholder(series: &Series) -> (u8, u8) {
    // The remainder is below the number of colours.
    let own = (series.colour % COLOURS) as u8;
    match series.line {
        Line::Own if series.colour < COLOURS => (LINE_ROLE, own),
        Line::Own => (DASHED_ROLE, own),
        Line::Dashed => (DASHED_ROLE, INK),
        Line::Dotted => (DOTTED_ROLE, INK),
    }
}

/// Puts classes in place of the placeholder colours, and lets the page decide
/// on the size.
pub(crate) fn style(svg: &str, description: &str) -> String {
    let mut styled = svg.to_string();
    let mut put = |role: u8, number: u8, attribute: &str, class: &str| {
        let colour = format!("{attribute}=\"#01{role:02X}{number:02X}\"");
        styled = styled.replace(&colour, &format!("class=\"{class}\""));
    };
    for number in 0..=INK {
        put(LINE_ROLE, number, "stroke", &format!("s{number}"));
        put(DASHED_ROLE, number, "stroke", &format!("s{number} dashed"));
        put(DOTTED_ROLE, number, "stroke", &format!("s{number} dotted"));
        put(BAND_ROLE, number, "fill", &format!("f{number}"));
    }
    for (number, class) in ["grid", "axis", "level"].iter().enumerate() {
        put(FRAME_ROLE, number as u8, "stroke", class);
    }
    put(FRAME_ROLE, 3, "fill", "label");
    // The first tag carries the fixed size and a name space that HTML does
    // not need.
    let inner = styled.find("viewBox").unwrap_or(0);
    let rest = styled[inner..].replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1);
    let description = maud::html! { (description) }.into_string();
    format!("<svg class=\"plot\" role=\"img\" aria-label=\"{description}\" {rest}")
        .replace(" opacity=\"1\"", "")
        .replace(" font-family=\"sans-serif\"", "")
}

/// Every n-th point and the last.
fn thin<T: Copy>(points: &[T]) -> Vec<T> {
    let stride = points.len().div_ceil(MOST_POINTS).max(1);
    let mut thinned: Vec<T> = points.iter().step_by(stride).copied().collect();
    if let Some(&last) = points.last()
        && !(points.len() - 1).is_multiple_of(stride)
    {
        thinned.push(last);
    }
    thinned
}

/// A label of a logarithmic axis.
pub(crate) fn power(value: f64) -> String {
    match value {
        0.001..1000.0 => short_number(value),
        _ => format!("{value:.0e}").replace('-', "−"),
    }
}

/// As many digits as it takes.
pub(super) fn short_number(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    match text {
        "-0" | "" => "0".to_string(),
        text => text.replace('-', "−"),
    }
}

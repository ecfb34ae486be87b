//! The timings of `speck bench ops` as a page with the machine's roofline
//! (Williams, Waterman and Patterson, "Roofline", CACM 2009).

use super::Peaks;
use super::ops::Row;
use crate::report::page::{self, Section, drawing, figure, scrolling};
use crate::report::plots::{AXIS, BAND_ROLE, COLOURS, GRID, LEVEL, TEXT, ZOOM, power, style};
use maud::html;
use plotters::prelude::*;

/// The page, complete in one file.
pub fn page(rows: &[Row], peaks: &Peaks) -> String {
    let variants = variants(rows);
    let header = html! {
        header {
            h1 { "Kernels against the machine" }
            p {
                @if peaks.on_gpu() { (peaks.device) }
                @else { (peaks.threads) @if peaks.threads == 1 { " thread" } @else { " threads" } }
                ", f32. Measured in the same run: "
                (format!("{:.0}", peaks.flops / 1e9)) " GFLOP/s of multiply-adds in registers ("
                (peaks.variant) "), " (format!("{:.1}", peaks.bandwidth / 1e9))
                " GB/s read and written by a copy beyond the caches."
            }
        }
    };
    let chart = html! {
        (figure(
            "",
            &drawing(&roofline(rows, peaks, &variants)),
            &html! {
                "Each dot is a variant of an op's kernel on one case. Left of the ridge the bound is "
                "memory, right of it arithmetic. Dots above the roof have operands that stay in a "
                "cache. Ops without floating-point work are in the table only."
            },
        ))
        ul.legend {
            @for (number, variant) in variants.iter().enumerate() {
                li {
                    svg.swatch viewBox="0 0 24 8" aria-hidden="true" {
                        circle class={ "f" (number % COLOURS) } cx="12" cy="4" r="4" {}
                    }
                    span { (variant) }
                }
            }
        }
    };
    let table = html! {
        table.compact {
            thead { tr {
                th.left { "op" } th.left { "case" } th.left { "kernel" } th.left { "variant" } th { "µs" }
                th { "GFLOP/s" } th { "GB/s" } th { "of the roof" }
                th { "against the first" } th { "error" }
                @if peaks.on_gpu() { th { "ULP" } }
            } }
            tbody {
                @for row in rows {
                    tr {
                        td { (row.op) } td { (row.case) } td { (row.kernel) } td { (row.variant) }
                        td.v { (format!("{:.1}", row.seconds * 1e6)) }
                        td.v { (rate(row.flops, row.seconds)) }
                        td.v { (rate(row.bytes, row.seconds)) }
                        td.v { (format!("{:.0} %", row.share * 100.0)) }
                        td.v { (format!("{:.2}×", row.ratio)) }
                        td.v { (error(row.error)) }
                        @if peaks.on_gpu() { td.v { (units(row.ulps)) } }
                    }
                }
            }
        }
    };
    let sections = [
        Section {
            id: "roofline".to_owned(),
            title: "Roofline".to_owned(),
            lead: html! { p { "Work a second over work a byte, both as the op counts them." } },
            body: chart,
        },
        Section {
            id: "table".to_owned(),
            title: "All timings".to_owned(),
            lead: html! { p {
                "Medians over interleaved rounds. “control” is the first variant once more: how far "
                "its ratio is from 1 says how much of a difference is noise. The error is the largest "
                "difference from the scalar variant, relative to the largest magnitude."
            } },
            body: scrolling(&table),
        },
    ];
    page::page("speck bench ops", &header, &sections).into_string()
}

/// Work a second in units of 10⁹; a dash for none.
pub(crate) fn rate(work: u64, seconds: f64) -> String {
    if work == 0 { "-".to_owned() } else { format!("{:.1}", work as f64 / seconds / 1e9) }
}

/// An error; a dash where there was nothing to compare with.
pub(crate) fn error(error: Option<f64>) -> String {
    match error {
        None => "-".to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(error) => format!("{error:.0e}"),
    }
}

/// A difference in units in the last place; a dash where nothing was compared.
pub(crate) fn units(ulps: Option<u64>) -> String {
    ulps.map_or("-".to_owned(), |ulps| ulps.to_string())
}

/// The names of the variants, the control left out.
fn variants(rows: &[Row]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for row in rows.iter().filter(|row| row.variant != "control") {
        if !names.contains(&row.variant.as_str()) {
            names.push(&row.variant);
        }
    }
    names
}

fn roofline(rows: &[Row], peaks: &Peaks, variants: &[&str]) -> Result<String, String> {
    let dots: Vec<(usize, (f64, f64))> = rows
        .iter()
        .filter(|row| row.flops > 0 && row.bytes > 0)
        .filter_map(|row| {
            let colour = variants.iter().position(|variant| *variant == row.variant)?;
            let intensity = row.flops as f64 / row.bytes as f64;
            Some((colour, (intensity, row.flops as f64 / row.seconds / 1e9)))
        })
        .collect();
    if dots.is_empty() {
        return Err("no op with floating-point work was timed".to_owned());
    }
    let ridge = peaks.flops / peaks.bandwidth;
    let xs = || dots.iter().map(|(_, (x, _))| *x).chain([ridge]);
    let ys = || dots.iter().map(|(_, (_, y))| *y).chain([peaks.flops / 1e9]);
    let low = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::INFINITY, f64::min) / 2.0;
    let high = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max) * 2.0;
    let (left, right) = (low(&mut xs()), high(&mut xs()));
    let (bottom, top) = (low(&mut ys()), high(&mut ys()));
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let font = |units: u32| ("sans-serif", units * ZOOM).into_font().color(&TEXT);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (760 * ZOOM, 400 * ZOOM)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(4 * ZOOM)
            .margin_right(14 * ZOOM)
            .x_label_area_size(46 * ZOOM)
            .y_label_area_size(70 * ZOOM)
            .build_cartesian_2d((left..right).log_scale(), (bottom..top).log_scale())
            .map_err(|error| told(&error))?;
        chart
            .configure_mesh()
            .bold_line_style(GRID.stroke_width(ZOOM))
            .light_line_style(TRANSPARENT)
            .axis_style(AXIS.stroke_width(ZOOM))
            .label_style(font(15))
            .axis_desc_style(font(16))
            .x_label_formatter(&|x| power(*x))
            .y_label_formatter(&|y| power(*y))
            .x_desc("FLOP a byte")
            .y_desc("GFLOP/s")
            .draw()
            .map_err(|error| told(&error))?;
        let roof = |x: f64| (x * peaks.bandwidth).min(peaks.flops) / 1e9;
        // The roof leaves the frame at the bottom where it is below all dots.
        let start = (bottom * 1e9 / peaks.bandwidth).max(left);
        let line = [start, ridge, right].map(|x| (x, roof(x)));
        chart
            .draw_series(LineSeries::new(line, LEVEL.stroke_width(2 * ZOOM)))
            .map_err(|error| told(&error))?;
        for (colour, point) in dots {
            let fill = RGBColor(1, BAND_ROLE, (colour % COLOURS) as u8).filled();
            chart
                .draw_series([Circle::new(point, 4 * ZOOM, fill)])
                .map_err(|error| told(&error))?;
        }
        area.present().map_err(|error| told(&error))?;
    }
    Ok(style(&svg, "work a second over work a byte, with the limits of the machine"))
}

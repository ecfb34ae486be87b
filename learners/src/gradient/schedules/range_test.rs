//! The search for a rate.

use super::{HIGHEST, Place, Schedule, ScheduleEntry};
use speck_models::Dimension;

pub(super) const ENTRY: ScheduleEntry = ScheduleEntry {
    name: "range_test",
    summary: "from rate up to max_lr over the steps, each step by the same factor or the same amount: good rates are those below where the loss falls fastest",
    source: "Smith, \"Cyclical Learning Rates for Training Neural Networks\", 2015, section 3.3",
    dimensions: &[
        HIGHEST,
        Dimension::choice(
            "rise",
            "by a factor or an amount",
            &["exponential", "linear"],
            "exponential",
        ),
    ],
    make: |settings| {
        Box::new(RangeTest {
            highest: settings.float("max_lr"),
            linear: settings.text("rise") == "linear",
        })
    },
};

struct RangeTest {
    highest: f64,
    linear: bool,
}

impl Schedule for RangeTest {
    fn rate(&self, place: Place, _: &[f64]) -> f64 {
        let highest = if self.highest == 0.0 { 10.0 * place.base } else { self.highest };
        let last = place.total.saturating_sub(1).max(1);
        let done = place.step.min(last) as f64 / last as f64;
        match self.linear || place.base == 0.0 {
            true => place.base + (highest - place.base) * done,
            false => place.base * (highest / place.base).powf(done),
        }
    }
}

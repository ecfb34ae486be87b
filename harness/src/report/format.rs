//! Numbers and settings as text.

use crate::metrics;
use serde_json::Value;

/// How a metric is written and which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// A fraction, written in per cent; more is better.
    Fraction,
    /// A fraction, written in per cent; less is better.
    Shortfall,
    /// A difference of fractions, written in percentage points with its sign.
    Gain,
    /// Any other number.
    Plain,
    /// A whole number of steps.
    Steps,
}

impl Unit {
    /// The unit of a metric of a battery or protocol, by its name.
    pub fn of(metric: &str) -> Self {
        if let Some(info) = metrics::info(metric) {
            return match metric {
                "calibration" => Self::Shortfall,
                _ if info.higher_is_better => Self::Fraction,
                _ => Self::Plain,
            };
        }
        let has = |words: &[&str]| words.iter().any(|word| metric.contains(word));
        if has(&["steps"]) {
            Self::Steps
        } else if has(&["gain"]) {
            Self::Gain
        } else if has(&["forgetting"]) {
            Self::Shortfall
        } else if has(&["before", "after", "final", "area"]) {
            // An area is the mean performance over the steps.
            Self::Fraction
        } else {
            Self::Plain
        }
    }

    /// What stands behind the name of the metric in a heading.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Fraction | Self::Shortfall => "%",
            Self::Gain => "points",
            Self::Plain => "",
            Self::Steps => "steps",
        }
    }

    /// The number as text, without the sign of the unit.
    pub fn text(self, value: f64) -> String {
        match self {
            Self::Fraction | Self::Shortfall => percent(value),
            Self::Gain => match percent(value.abs()) {
                zero if zero == "0" => zero,
                text if value < 0.0 => format!("−{text}"),
                text => format!("+{text}"),
            },
            Self::Plain => plain(value),
            Self::Steps => thousands(value),
        }
    }

    /// Half the width of an interval as text: "0" only for no width at all.
    pub fn margin(self, value: f64) -> String {
        let points = match self {
            Self::Fraction | Self::Shortfall | Self::Gain => value * 100.0,
            Self::Plain if value != 0.0 => return plain(value),
            Self::Plain | Self::Steps => return thousands(value),
        };
        match points {
            0.0 => "0".to_string(),
            0.0..0.05 => "<0.1".to_string(),
            0.05..99.95 => format!("{points:.1}"),
            _ => format!("{points:.0}"),
        }
    }
}

/// A fraction in per cent with one decimal, without the sign; more decimals
/// near the ends, so that only all is written as 100 and only nothing as 0.
pub(super) fn percent(value: f64) -> String {
    let hundredfold = value * 100.0;
    if value == 1.0 {
        "100".to_string()
    } else if value == 0.0 {
        "0".to_string()
    } else if (0.9995..1.0).contains(&value) {
        format!("{:.2}", (hundredfold * 100.0).floor().min(9999.0) / 100.0)
    } else if value > 0.0 && value < 0.0005 {
        format!("{:.2}", (hundredfold * 100.0).ceil() / 100.0)
    } else {
        signed(format!("{hundredfold:.1}"))
    }
}

/// About three significant digits.
fn plain(value: f64) -> String {
    let size = value.abs();
    signed(if !value.is_finite() {
        format!("{value}")
    } else if size >= 1000.0 {
        return thousands(value);
    } else if size >= 100.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 1.0 || value == 0.0 {
        format!("{value:.2}")
    } else if size >= 0.001 {
        format!("{value:.3}")
    } else {
        format!("{value:.1e}")
    })
}

/// A whole number, its thousands apart.
pub(super) fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            // A narrow no-break space.
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("−{text}") } else { text }
}

/// A real minus sign.
fn signed(text: String) -> String {
    text.replace('-', "−")
}

/// A setting as an experiment file has it, texts without their quotes.
pub(super) fn setting(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_all_is_a_hundred_and_only_nothing_is_zero() {
        let cases = [
            (1.0, "100"),
            (0.999_999, "99.99"),
            (0.9996, "99.96"),
            (0.9994, "99.9"),
            (0.5, "50.0"),
            (0.000_001, "0.01"),
            (0.0, "0"),
            (-0.25, "−25.0"),
        ];
        for (value, text) in cases {
            assert_eq!(Unit::Fraction.text(value), text);
        }
        assert_eq!(Unit::Gain.text(-0.1), "−10.0");
        assert_eq!(Unit::Gain.text(0.1), "+10.0");
        assert_eq!(Unit::Gain.text(-0.0), "0");
    }

    #[test]
    fn only_no_width_is_zero() {
        let cases = [(0.0, "0"), (1e-6, "<0.1"), (0.0005, "0.1"), (0.123, "12.3"), (1.0168, "102")];
        for (value, text) in cases {
            assert_eq!(Unit::Fraction.margin(value), text);
        }
        assert_eq!(Unit::Plain.margin(0.0), "0");
        assert_eq!(Unit::Steps.margin(2.4), "2");
    }

    #[test]
    fn plain_numbers() {
        let cases = [
            (12_345.6, "12\u{202f}346"),
            (123.4, "123"),
            (1.234, "1.23"),
            (0.0, "0.00"),
            (0.000_12, "1.2e−4"),
            (f64::INFINITY, "inf"),
        ];
        for (value, text) in cases {
            assert_eq!(Unit::Plain.text(value), text);
        }
        assert_eq!(Unit::Steps.text(1_234_567.0), "1\u{202f}234\u{202f}567");
    }

    #[test]
    fn metrics_have_their_units() {
        let cases = [
            ("exact hit", Unit::Fraction),
            ("f1 rows", Unit::Fraction),
            ("pixel distance", Unit::Plain),
            ("calibration", Unit::Shortfall),
            ("brier", Unit::Plain),
            ("steps to threshold", Unit::Steps),
            ("gain", Unit::Gain),
            ("area", Unit::Fraction),
        ];
        for (metric, unit) in cases {
            assert_eq!(Unit::of(metric), unit, "{metric}");
        }
    }
}

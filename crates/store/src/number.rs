//! Numbers as tables and messages show them. Files have full precision; see `history` and `predictions`.

/// With `decimals` decimals, and with an exponent if it is huge; empty if there is no number.
#[must_use]
pub fn decimals(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(String::new, |value| {
        if value.abs() < 1e6 {
            format!("{value:.decimals$}")
        } else {
            format!("{value:.decimals$e}")
        }
    })
}

/// With commas between thousands: 286,810.
#[must_use]
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A share from 0 to 1 in percent. Only exactly 1 is 100% and only exactly 0 is 0%.
#[must_use]
pub fn percent(share: f64) -> String {
    let percent = (share * 100.0).round();
    if share < 1.0 && percent >= 100.0 {
        ">99%".to_owned()
    } else if share > 0.0 && percent < 1.0 {
        "<1%".to_owned()
    } else {
        format!("{percent:.0}%")
    }
}

/// A short duration: 0.4 s, 12.5 s, 3 min 07 s, 2 h 05 min.
#[must_use]
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// A number of bytes: 512 B, 1.5 KiB, 177.3 MiB.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would be shown as 1024.0.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A learning rate with four significant digits, and with an exponent if it would start with many zeros.
#[must_use]
pub fn significant(value: f64) -> String {
    let rounded: f64 = format!("{value:.3e}").parse().unwrap_or(value);
    if rounded != 0.0 && !(1e-4..1e6).contains(&rounded.abs()) {
        format!("{rounded:e}")
    } else {
        rounded.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped_from_the_right() {
        let shown = [0, 7, 999, 1_000, 55_000, 286_810, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "7", "999", "1,000", "55,000", "286,810", "1,234,567"]);
    }

    #[test]
    fn percents_do_not_round_to_certainty() {
        let shown = [0.0, 0.001, 0.014, 0.5, 0.994, 0.999, 1.0].map(percent);
        assert_eq!(shown, ["0%", "<1%", "1%", "50%", "99%", ">99%", "100%"]);
    }

    #[test]
    fn sizes_have_the_unit_that_suits_them() {
        let shown = [0, 1023, 1024, 1536, 1_048_524, 1_048_525, 185_913_344, 1 << 40].map(bytes);
        assert_eq!(
            shown,
            [
                "0 B",
                "1023 B",
                "1.0 KiB",
                "1.5 KiB",
                "1023.9 KiB",
                "1.0 MiB",
                "177.3 MiB",
                "1.0 TiB"
            ]
        );
        assert_eq!(bytes(u64::MAX), "16777216.0 TiB");
    }

    #[test]
    fn durations_and_rates_are_short() {
        let shown = [0.42, 12.5, 59.96, 187.0, 7_500.0].map(duration);
        assert_eq!(shown, ["0.4 s", "12.5 s", "1 min 00 s", "3 min 07 s", "2 h 05 min"]);
        let shown = [0.01, 0.0, 0.000_333_333, 1.0e-5, 0.123_456].map(significant);
        assert_eq!(shown, ["0.01", "0", "0.0003333", "1e-5", "0.1235"]);
    }
}

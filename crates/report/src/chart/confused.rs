use kiln_store::number::percent;
use kiln_store::{ConfusedPair, TestReport, escape, grouped};

use super::svg::{Anchor, Rect, Svg, text_width};

/// The largest number of pairs in the chart.
const MAX_PAIRS: usize = 30;
/// Longer class names are cut to this many characters.
const LONGEST_NAME: usize = 28;
const TOP: f64 = 78.0;
/// The height of a row.
const ROW: f64 = 24.0;
/// The length of the longest bar.
const LONGEST_BAR: f64 = 300.0;

/// `confusion.svg` of a test with too many classes for a matrix: a bar for each of the most often confused pairs.
#[must_use]
pub fn confused_chart(title: &str, report: &TestReport) -> String {
    let pairs = report.confused_pairs();
    let shown = &pairs[..pairs.len().min(MAX_PAIRS)];
    let class = |index: usize| report.per_class.get(index);
    let name = |index: usize| class(index).map_or("?", |class| class.class.as_str());
    let support = |pair: &ConfusedPair| class(pair.label).map_or(0, |class| class.support);
    let short = |index| escape::shorten(name(index), LONGEST_NAME);
    let names: Vec<String> = shown
        .iter()
        .map(|pair| format!("{} as {}", short(pair.label), short(pair.predicted)))
        .collect();
    let numbers: Vec<String> = shown
        .iter()
        .map(|pair| format!("{} of {}", grouped(pair.count), grouped(support(pair))))
        .collect();
    let widest = |texts: &[String]| {
        texts.iter().map(|text| text_width(text, 13.0)).fold(0.0, f64::max).ceil()
    };
    let left = 32.0 + widest(&names);
    let most = shown.first().map_or(1, |pair| pair.count).max(1) as f64;
    let title = escape::shorten(title, 72);
    let width = (left + LONGEST_BAR + widest(&numbers) + 40.0)
        .max(48.0 + text_width(&title, 16.0) * 1.08)
        .max(520.0);
    let height = TOP + ROW * shown.len().max(1) as f64 + 20.0;

    let classes = grouped(report.per_class.len() as u64);
    let description = format!("Most often confused of {classes} classes: {title}");
    let mut svg = Svg::new(width, height, &description);
    svg.text("title", (24.0, 32.0), Anchor::Start, &title);
    let heading = match (shown.len(), pairs.len()) {
        (0, _) => "no test image was classified wrongly".to_owned(),
        (shown, all) if shown < all => format!(
            "{classes} classes: the {shown} most often confused of {} pairs, true as predicted",
            grouped(all as u64)
        ),
        _ => format!("{classes} classes: all confused pairs, true as predicted"),
    };
    svg.text("muted", (24.0, 54.0), Anchor::Start, &heading);
    for (index, ((pair, words), numbers)) in shown.iter().zip(&names).zip(&numbers).enumerate() {
        let y = TOP + index as f64 * ROW;
        let baseline = y + ROW / 2.0 + 4.5;
        let length = LONGEST_BAR * pair.count as f64 / most;
        svg.text("", (left - 8.0, baseline), Anchor::End, words);
        let share = match support(pair) {
            0 => String::new(),
            support => format!(" ({})", percent(pair.count as f64 / support as f64)),
        };
        svg.rect(&Rect {
            class: "cell",
            x: left,
            y: y + 3.0,
            width: length.max(1.0),
            height: ROW - 6.0,
            opacity: Some(0.75),
            title: Some(format!(
                "true {}, predicted {}: {numbers}{share}",
                name(pair.label),
                name(pair.predicted)
            )),
            ..Rect::default()
        });
        svg.text("muted", (left + length + 8.0, baseline), Anchor::Start, numbers);
    }
    svg.finish()
}

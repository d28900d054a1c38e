use kiln_report::Terminal;
use kiln_statistics::Standing;
use kiln_store::escape::{control, markdown};
use kiln_store::number::decimals;

use crate::cells;
use crate::comparison::Comparison;
use crate::effects::{Effect, EffectLevel, SettingInteraction};
use crate::terminal::standing_color;
use crate::text_table::{self, TextColumn};

/// The effects of the settings as a table for a terminal, with a sentence for each pair of settings that interact; empty
/// if the combinations are no grid.
#[must_use]
pub fn effects_text(comparison: &Comparison, terminal: Terminal) -> String {
    let levels = levels(comparison);
    if levels.is_empty() {
        return String::new();
    }
    let mut columns = vec![
        TextColumn::words("setting", settings(comparison, &levels)),
        TextColumn::words("value", levels.iter().map(|(_, level)| value(level))),
        TextColumn::numbers(
            comparison.ranking.heading(),
            levels.iter().map(|(_, level)| mean(level)),
        ),
        TextColumn::words(
            "best?",
            levels.iter().map(|(_, level)| cells::standing(&level.standing)),
        ),
        TextColumn::words("behind", levels.iter().map(|(_, level)| cells::behind(&level.standing))),
    ];
    for (row, (_, level)) in levels.iter().enumerate() {
        if let Some(color) = standing_color(&level.standing) {
            columns[3].set_color(row, color);
        }
    }
    let is_wide = |columns: &[TextColumn]| text_table::width(columns) > usize::from(terminal.width);
    if is_wide(&columns) {
        columns.iter_mut().for_each(TextColumn::narrow_heading);
    }
    if is_wide(&columns) {
        columns.pop();
    }
    let mut text = terminal.wrap(&control(&heading(comparison)));
    text.push_str(&text_table::draw(&columns.iter().collect::<Vec<_>>(), terminal));
    for sentence in interactions(comparison) {
        text.push_str(&terminal.wrap(&control(&sentence)));
    }
    text
}

/// The effects as a Markdown table, after an empty line; empty if the combinations are no grid.
pub(crate) fn effects_markdown(comparison: &Comparison) -> String {
    let levels = levels(comparison);
    if levels.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\n{}\n\n| setting | value | {} | best? | behind |\n|---|---|--:|---|---|\n",
        markdown(&heading(comparison)),
        markdown(comparison.ranking.heading())
    );
    for ((_, level), setting) in levels.iter().zip(settings(comparison, &levels)) {
        let standing = cells::standing(&level.standing);
        let standing = match level.standing {
            Standing { may_be_best: true, .. } => format!("**{standing}**"),
            _ => standing,
        };
        text.push_str(&format!(
            "| {} | {} | {} | {standing} | {} |\n",
            markdown(&setting),
            markdown(&value(level)),
            mean(level),
            cells::behind(&level.standing)
        ));
    }
    for sentence in interactions(comparison) {
        text.push_str(&format!("\n{}\n", markdown(&sentence)));
    }
    text
}

/// A sentence for each pair of settings that interact.
#[must_use]
pub fn interactions(comparison: &Comparison) -> Vec<String> {
    let label = |column: usize| comparison.columns.get(column).map_or("", |column| &column.label);
    let sentence = |found: &SettingInteraction| {
        let p_value = if found.p_value < 0.001 {
            "p < 0.001".to_owned()
        } else {
            format!("p = {:.3}", found.p_value)
        };
        format!(
            "{} and {} interact ({p_value}): what one of them does depends on the other, so read the table of all combinations, too.",
            label(found.columns.0),
            label(found.columns.1)
        )
    };
    let found = comparison.effects.interactions.iter();
    found.filter(|found| found.p_value < comparison.level).map(sentence).collect()
}

fn heading(comparison: &Comparison) -> String {
    format!(
        "Effects: {} of each value, as the mean over the values of the other settings and the seeds",
        comparison.ranking.heading()
    )
}

fn levels(comparison: &Comparison) -> Vec<(&Effect, &EffectLevel)> {
    let effects = comparison.effects.settings.iter();
    effects.flat_map(|effect| effect.levels.iter().map(move |level| (effect, level))).collect()
}

/// The name of each level's setting, in the first row of the setting only.
fn settings(comparison: &Comparison, levels: &[(&Effect, &EffectLevel)]) -> Vec<String> {
    let is_first =
        |place: usize| place == 0 || levels[place - 1].0.column != levels[place].0.column;
    let name = |(place, (effect, _)): (usize, &(&Effect, &EffectLevel))| {
        let column = comparison.columns.get(effect.column).filter(|_| is_first(place));
        column.map(|column| column.label.clone()).unwrap_or_default()
    };
    levels.iter().enumerate().map(name).collect()
}

fn value(level: &EffectLevel) -> String {
    level.value.clone().unwrap_or_else(|| "(not set)".to_owned())
}

fn mean(level: &EffectLevel) -> String {
    decimals(Some(level.standing.mean), 4)
}

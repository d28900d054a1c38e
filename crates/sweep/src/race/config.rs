use kiln_config::{ConfigError, Table};

/// The largest number of seeds of a race.
const MAX_SEEDS: usize = 1_000;

/// The number of seeds, unless the file or the seeds of the sweep say more.
const SEEDS: usize = 10;

/// The looks before the last one, as far as they are below the number of seeds.
const LOOKS: [usize; 3] = [3, 5, 7];

/// How a sweep races its combinations.
///
/// All combinations start with the first seeds. At each look, those that cannot be the best are stopped, by the procedure
/// of [`kiln_statistics::compare_with_best`] at `level` divided by the number of looks. The others get more seeds, until
/// one is left, all that are left are equivalent, or the seeds are used up. See López-Ibáñez et al., "The irace package",
/// Operations Research Perspectives 3 (2016), 43–58.
#[derive(Debug, Clone, PartialEq)]
pub struct RaceConfig {
    /// The largest number of seeds of a combination; at least 2.
    pub seeds: usize,
    /// The numbers of seeds after which the combinations are compared: ascending, from 2 to `seeds`, which is the last.
    pub looks: Vec<usize>,
    /// The race ends if every combination that is left is within this validation accuracy of the best one.
    pub indifference: f64,
    /// The largest probability that the best combination is stopped, over all looks.
    pub level: f64,
}

/// The `[race]` table as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RaceTable {
    seeds: Option<usize>,
    looks: Option<Vec<usize>>,
    indifference: f64,
    level: f64,
}

impl Default for RaceTable {
    fn default() -> Self {
        Self { seeds: None, looks: None, indifference: 0.002, level: 0.05 }
    }
}

impl RaceTable {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let default = Self::default();
        let seeds: Option<usize> = table.optional("seeds")?;
        if let (Some(seeds), Some(value)) = (seeds, table.value("seeds"))
            && !(2..=MAX_SEEDS).contains(&seeds)
        {
            return Err(value.expected(&format!("a whole number from 2 to {MAX_SEEDS}")));
        }
        let looks: Option<Vec<usize>> = table.optional("looks")?;
        if let (Some(looks), Some(value)) = (&looks, table.value("looks")) {
            let is_ascending = looks.windows(2).all(|pair| pair[0] < pair[1]);
            let first = looks.first().copied().unwrap_or_default();
            let last = looks.last().copied().unwrap_or_default();
            if !is_ascending || first < 2 || last > MAX_SEEDS {
                let expected = "ascending numbers of seeds, 2 or more, such as [3, 5, 10]";
                return Err(value.expected(expected));
            }
            if let Some(seeds) = seeds.filter(|seeds| *seeds != last) {
                let message =
                    format!("the last look is after {last} seeds, but `seeds` is {seeds}");
                return Err(value.error(message).help("make the last look the number of seeds"));
            }
        }
        let expected = "a number, 0 or more";
        let indifference =
            table.checked("indifference", default.indifference, expected, |it| *it >= 0.0)?;
        let expected = "a number above 0 and below 1";
        let is_level = |level: &f64| *level > 0.0 && *level < 1.0;
        let level = table.checked("level", default.level, expected, is_level)?;
        Ok(Self { seeds, looks, indifference, level })
    }

    /// Whether the table says how many seeds there are.
    pub(crate) fn has_seeds(&self) -> bool {
        self.seeds.is_some() || self.looks.is_some()
    }

    /// Completes the table for a sweep that lists so many seeds itself.
    pub(crate) fn complete(&self, listed: usize) -> RaceConfig {
        let last_look = self.looks.as_ref().and_then(|looks| looks.last().copied());
        let seeds = self.seeds.or(last_look).unwrap_or(SEEDS.max(listed).min(MAX_SEEDS));
        let looks = self.looks.clone().unwrap_or_else(|| {
            LOOKS.into_iter().filter(|look| *look < seeds).chain([seeds]).collect()
        });
        RaceConfig { seeds, looks, indifference: self.indifference, level: self.level }
    }
}

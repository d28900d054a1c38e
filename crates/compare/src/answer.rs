//! Which combinations may be the best.

use kiln_statistics::Standing;
use kiln_store::grouped;
use kiln_store::number::{decimals, significant};

/// The answer of a comparison. The [`Standing`] of each combination has the details.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The significance level: the best combination is among the possible winners with probability 1 − `level`.
    pub level: f64,
    /// The number of combinations that were judged.
    pub judged: usize,
    /// The number of other combinations with finished runs, of which the answer says nothing.
    pub unjudged: usize,
    /// The number of judged combinations that may be the best.
    pub possible_winners: usize,
    /// The number of judged combinations that are worse than the best.
    pub worse: usize,
    /// Whether all have the same seeds, so that what a seed does to all of them could be subtracted.
    pub centered: bool,
    /// The smallest step between two values of the metric that ranks, such as 1 / images for an accuracy; 0 if unknown.
    pub resolution: f64,
    /// The gain of more seeds; `None` if the winner is known.
    pub more_seeds: Option<MoreSeeds>,
}

/// How many more seeds would separate how small differences.
#[derive(Debug, Clone, PartialEq)]
pub struct MoreSeeds {
    /// The number of seeds that each combination has, at least.
    pub seeds: usize,
    /// The difference from the best that this number of seeds finds in four of five cases.
    pub difference: f64,
    /// New seeds, which no run of the comparison has.
    pub new_seeds: Vec<u64>,
    /// The difference that would be found with the new seeds as well.
    pub new_difference: f64,
    /// The command that trains the new seeds, if the caller knows one. This crate sets none.
    pub command: Option<String>,
}

/// A next step that would tell more about which combination is the best.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextStep {
    /// The effect of the command, or other advice if there is no command.
    pub sentence: String,
    /// The command, quoted for a shell.
    pub command: Option<String>,
}

impl MoreSeeds {
    /// "With 3 seeds, differences of 0.0092 are found in 4 of 5 cases; 7 more seeds would separate differences of 0.0046."
    #[must_use]
    pub fn sentence(&self) -> String {
        let count = |count: usize, one: &str, many: &str| {
            format!("{count} {}", if count == 1 { one } else { many })
        };
        let digits = |difference| decimals(Some(difference), 4);
        format!(
            "With {}, differences of {} are found in 4 of 5 cases; {} would separate differences of {}.",
            count(self.seeds, "seed", "seeds"),
            digits(self.difference),
            count(self.new_seeds.len(), "more seed", "more seeds"),
            digits(self.new_difference)
        )
    }
}

impl Answer {
    /// "95 % sure: the best setting is among these 5. The other 11 are not better than the best of them."
    #[must_use]
    pub fn sentence(&self) -> String {
        let sure = format!("{} % sure", significant(100.0 * (1.0 - self.level)));
        let others = self.judged - self.possible_winners;
        let count = |count: usize| grouped(count as u64);
        let mut sentence = match (self.possible_winners, others) {
            (winners, 0) => format!(
                "Each of the {} settings may be the best: the seeds do not show which one is.",
                count(winners)
            ),
            (1, 1) => format!("{sure}: the marked setting is the best. The other is not better."),
            (1, others) => format!(
                "{sure}: the marked setting is the best. The other {} are not better.",
                count(others)
            ),
            (winners, 1) => format!(
                "{sure}: the best setting is among these {}. The other is not better than the best of them.",
                count(winners)
            ),
            (winners, others) => format!(
                "{sure}: the best setting is among these {}. The other {} are not better than the best of them.",
                count(winners),
                count(others)
            ),
        };
        match self.unjudged {
            0 => {}
            1 => sentence.push_str(" One more setting is not judged."),
            more => sentence.push_str(&format!(" {} more settings are not judged.", count(more))),
        }
        sentence
    }
}

/// The verdict about a combination: "possible winner", "worse", "not the best".
#[must_use]
pub fn standing_words(standing: &Standing) -> &'static str {
    match standing {
        Standing { may_be_best: true, .. } => "possible winner",
        Standing { worse: true, .. } => "worse",
        _ => "not the best",
    }
}

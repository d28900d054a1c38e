//! Groups of images that a split keeps together: those of one patient, film or author.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use kiln_config::{ConfigError, FromValue, Value};
use rand_core::Rng;
use regex::Regex;
use serde::{Serialize, Serializer};

use crate::split::shuffle;
use crate::{DataError, Part, SplitError};

/// A regular expression that finds the group of an image in its file name. In TOML, a string.
#[derive(Debug, Clone)]
pub struct Group(Regex);

impl Group {
    /// The group that a file name belongs to: the text of the first capture group, or of the whole match if the expression
    /// has no capture groups. `path` is relative to the dataset, with `/` between its parts. An expression with a `/` is
    /// matched against it, any other one against its last part.
    pub(crate) fn of<'a>(&self, path: &'a str) -> Option<&'a str> {
        let name = match path.rsplit_once('/') {
            Some((_, name)) if !self.0.as_str().contains('/') => name,
            _ => path,
        };
        let found = self.0.captures(name)?;
        // A capture group that takes no part in the match, as in `a|(b)`, names no group.
        let group = if found.len() > 1 { found.get(1)? } else { found.get(0)? };
        Some(group.as_str())
    }
}

impl PartialEq for Group {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl fmt::Display for Group {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.as_str())
    }
}

impl Serialize for Group {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_str().serialize(serializer)
    }
}

impl FromStr for Group {
    type Err = String;

    /// Reads a regular expression. The error says what is wrong with it.
    fn from_str(text: &str) -> Result<Self, String> {
        Regex::new(text).map(Self).map_err(|error| {
            // The crate draws the place below the pattern; its last line says what is wrong.
            let error = error.to_string();
            let problem = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("invalid regular expression: {problem}")
        })
    }
}

impl FromValue for Group {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        String::from_value(value)?.parse().map_err(|problem: String| value.error(problem))
    }
}

/// Rows in groups that are kept together.
pub(crate) struct Groups {
    /// The rows of each group, in order of their first rows.
    rows: Vec<Vec<u32>>,
    /// The number of rows that belong to no group. Each of them is a group of its own.
    pub(crate) without_match: usize,
}

impl Groups {
    /// The groups of these rows.
    ///
    /// # Errors
    ///
    /// The images have no file names, or none of the names has a group.
    pub(crate) fn new(
        group: &Group,
        rows: &[u32],
        file_names: Option<&[String]>,
    ) -> Result<Self, DataError> {
        let names = file_names.ok_or(DataError::Split(SplitError::GroupWithoutNames))?;
        let mut groups = Self { rows: Vec::new(), without_match: 0 };
        let mut places: HashMap<&str, usize> = HashMap::new();
        for &row in rows {
            match group.of(&names[row as usize]) {
                Some(name) => {
                    let place = *places.entry(name).or_insert(groups.rows.len());
                    if place == groups.rows.len() {
                        groups.rows.push(Vec::new());
                    }
                    groups.rows[place].push(row);
                }
                None => {
                    groups.rows.push(vec![row]);
                    groups.without_match += 1;
                }
            }
        }
        match rows.first() {
            Some(&first) if places.is_empty() => {
                Err(DataError::Split(SplitError::GroupWithoutMatch {
                    group: group.to_string(),
                    example: names[first as usize].clone(),
                }))
            }
            _ => Ok(groups),
        }
    }

    /// Draws groups with about `count` rows for `part`, and removes them. At least one group is drawn if `count` is not 0,
    /// and at least `left` groups are left.
    ///
    /// The groups come in random order. Each is taken if that brings the number of drawn rows of each stratum nearer to the
    /// stratum's share of `count`: if it reduces Σ (drawn − share)² / share. `stratum` is the class of a row for a
    /// stratified draw, and otherwise the same for all rows.
    ///
    /// scikit-learn's `StratifiedGroupKFold` also assigns group after group to the part where it reduces the deviation
    /// from the shares most, but begins with the groups of the most uneven classes. Here, the order is random, because the
    /// same large groups would be drawn for every seed.
    ///
    /// # Errors
    ///
    /// There are not more than `left` groups.
    pub(crate) fn draw(
        &mut self,
        part: Part,
        count: usize,
        left: usize,
        stratum: impl Fn(u32) -> usize,
        rng: &mut impl Rng,
    ) -> Result<Vec<u32>, DataError> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let groups = self.rows.len();
        if groups <= left {
            return Err(DataError::Split(SplitError::TooFewGroups { part, groups }));
        }
        let mut order: Vec<u32> = (0..).take(groups).collect();
        shuffle(&mut order, rng);

        let all = self.rows.iter().flatten();
        let mut totals: Vec<usize> = Vec::new();
        for &row in all {
            let stratum = stratum(row);
            if totals.len() <= stratum {
                totals.resize(stratum + 1, 0);
            }
            totals[stratum] += 1;
        }
        let share_of_all = count as f64 / totals.iter().sum::<usize>() as f64;
        let shares: Vec<f64> = totals.iter().map(|total| *total as f64 * share_of_all).collect();
        // The rows of a group in each of its strata, in ascending order of the strata.
        let strata = |rows: &[u32]| {
            let mut strata: Vec<usize> = rows.iter().map(|row| stratum(*row)).collect();
            strata.sort_unstable();
            let runs = strata.chunk_by(|a, b| a == b);
            runs.map(|run| (run[0], run.len() as f64)).collect::<Vec<_>>()
        };
        let mut drawn = vec![0.0; totals.len()];
        let mut taken = vec![false; groups];
        let mut number = 0;
        // The group that deviates least, should none bring the numbers nearer to the shares.
        let mut nearest = (f64::INFINITY, 0);
        for group in order.into_iter().map(|group| group as usize) {
            let strata = strata(&self.rows[group]);
            // (d + r − s)² − (d − s)² = r (2 (d − s) + r), for d drawn rows, r more rows, and a share of s.
            let change: f64 = strata
                .iter()
                .map(|&(stratum, rows)| {
                    rows * (2.0 * (drawn[stratum] - shares[stratum]) + rows) / shares[stratum]
                })
                .sum();
            if change < 0.0 && number < groups - left {
                strata.iter().for_each(|&(stratum, rows)| drawn[stratum] += rows);
                taken[group] = true;
                number += 1;
            } else if change < nearest.0 {
                nearest = (change, group);
            }
        }
        if number == 0 {
            taken[nearest.1] = true;
        }
        let mut places = taken.iter();
        let (drawn, rest) =
            std::mem::take(&mut self.rows).into_iter().partition(|_| places.next() == Some(&true));
        self.rows = rest;
        let drawn: Vec<Vec<u32>> = drawn;
        Ok(drawn.concat())
    }
}

use crate::error::{Result, StoreError};
use crate::run::RunDirectory;
use crate::{files, predictions};

/// Which test images a run classified correctly: its `predictions.csv` without the probabilities. Comparing a
/// thousand runs does not need them, and reading them would dominate its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcomes {
    /// The class names, by index.
    pub class_names: Vec<String>,
    /// The true class of each image.
    pub labels: Vec<u16>,
    /// Whether the prediction is correct.
    pub right: Vec<bool>,
}

impl Outcomes {
    /// Reads the labels and predictions of a run's `predictions.csv` and checks the file against its recorded checksum.
    ///
    /// # Errors
    ///
    /// Those of [`RunDirectory::check_file`]; [`StoreError::Io`] or [`StoreError::Unreadable`] if it cannot be read, [`StoreError::Malformed`] with the line if it
    /// is not what [`write`](fn@predictions::write) writes.
    pub fn read(run: &RunDirectory) -> Result<Self> {
        run.check_file("predictions.csv")?;
        let path = run.predictions_path();
        let text = files::read(&path, predictions::MAX_BYTES)?;
        let malformed = |line, problem: String| StoreError::malformed(&path, line, problem);
        // Class names may be quoted and contain anything; the rows after the header contain numbers only.
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().map_err(|error| malformed(1, error.to_string()))?;
        let class_names = match predictions::class_names(&path, header)? {
            Some(names) => names,
            // Of many classes, only the report has the names.
            None => {
                run.check_file("report.json")?;
                let report = run.read_report()?.ok_or_else(|| {
                    malformed(
                        1,
                        "the names of its classes are in report.json, which is missing".to_owned(),
                    )
                })?;
                report.per_class.into_iter().map(|class| class.class).collect()
            }
        };
        let (start, first_line) = (reader.position().byte() as usize, reader.position().line());
        let rows = text.get(start..).unwrap_or_default();
        if !rows.is_empty() && !rows.ends_with('\n') {
            return Err(malformed(first_line, "the last line is incomplete".to_owned()));
        }
        let mut outcomes = Self { class_names, labels: Vec::new(), right: Vec::new() };
        for (line, row) in (first_line..).zip(rows.lines()) {
            outcomes.push(row).map_err(|problem| malformed(line, problem))?;
        }
        Ok(outcomes)
    }

    fn push(&mut self, row: &str) -> Result<(), String> {
        let mut cells = row.split(',');
        let next = self.labels.len();
        let index = cells.next().unwrap_or_default();
        if index.parse() != Ok(next) {
            return Err(format!("index `{index}` where {next} comes next"));
        }
        let label = self.class(cells.next())?;
        let predicted = self.class(cells.next())?;
        self.labels.push(label);
        self.right.push(label == predicted);
        Ok(())
    }

    fn class(&self, cell: Option<&str>) -> Result<u16, String> {
        let cell = cell.unwrap_or_default();
        let class = cell.parse::<u16>().ok();
        let class = class.filter(|class| usize::from(*class) < self.class_names.len());
        class.ok_or_else(|| {
            format!("`{cell}` is not the index of one of the {} classes", self.class_names.len())
        })
    }
}

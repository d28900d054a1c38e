use kiln_store::{FileLock, RunDirectory, last_lines};
use serde_json::{Map, Value};

use crate::plan::{Plan, PlannedRun};

/// The largest log that is read, in bytes.
const MAX_LOG_BYTES: u64 = 64 << 20;

/// How many lines of standard error are shown for a failed run.
const MAX_SHOWN_LINES: usize = 8;

/// How many events of `log.jsonl` are shown. They are fewer, because each is a sentence of its own, and only the last ones
/// are about the failure.
const MAX_SHOWN_EVENTS: usize = 4;

/// The last lines that a run wrote to standard error, or if there are none, the last events of its `log.jsonl`.
pub(crate) fn log_tail(plan: &Plan, run: &PlannedRun, lock: &FileLock) -> Vec<String> {
    let standard_error = lock.tail(MAX_SHOWN_LINES);
    if !standard_error.is_empty() {
        return standard_error;
    }
    let directory = RunDirectory::open(plan.path_of(run)).ok();
    let log = directory
        .and_then(|directory| kiln_config::read_text(&directory.log_path(), MAX_LOG_BYTES).ok());
    let events = last_lines(&log.unwrap_or_default(), MAX_SHOWN_EVENTS);
    events.iter().map(|line| to_sentence(line)).collect()
}

/// Formats a line of `log.jsonl` as a sentence, such as `epoch 3: accuracy 0.9125, loss 0.25`. A line that is not a JSON
/// object is returned as it is.
fn to_sentence(line: &str) -> String {
    let Ok(Value::Object(fields)) = serde_json::from_str(line) else {
        return line.to_owned();
    };
    let text = |key: &str| fields.get(key).and_then(Value::as_str);
    let message = text("message").unwrap_or_default();
    if let Some(reason) = text("reason") {
        return format!("{}: {reason}", text("status").unwrap_or(message));
    }
    let subject = match fields.get("epoch") {
        Some(epoch) => format!("epoch {epoch}"),
        None => message.to_owned(),
    };
    let details = details(&fields);
    if details.is_empty() { subject } else { format!("{subject}: {details}") }
}

/// The fields of an event that are not part of every event, as `NAME VALUE, NAME VALUE`.
fn details(fields: &Map<String, Value>) -> String {
    let is_detail = |key: &str| {
        !matches!(key, "message" | "timestamp" | "level" | "target" | "epoch" | "seconds")
    };
    let detail = |(key, value): (&String, &Value)| match value {
        Value::String(text) => format!("{key} {text}"),
        Value::Number(number) if number.is_f64() => {
            // Four decimals, as in the progress of a run.
            format!("{key} {:.4}", number.as_f64().unwrap_or(f64::NAN))
        }
        value => format!("{key} {value}"),
    };
    let details = fields.iter().filter(|(key, _)| is_detail(key)).map(detail);
    details.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::to_sentence;

    #[test]
    fn events_become_sentences() {
        for (line, sentence) in [
            (
                r#"{"timestamp":"T","level":"INFO","message":"epoch","epoch":3,"loss":0.25,"accuracy":0.91254,"seconds":1.5,"target":"t"}"#,
                "epoch 3: accuracy 0.9125, loss 0.2500",
            ),
            (
                r#"{"message":"ended","status":"diverged","reason":"the loss became NaN","seconds":1.0}"#,
                "diverged: the loss became NaN",
            ),
            (r#"{"message":"failed","reason":"the disk is full"}"#, "failed: the disk is full"),
            (r#"{"message":"checkpoint","epochs":3,"step":0}"#, "checkpoint: epochs 3, step 0"),
            (r#"{"message":"a warning","level":"WARN"}"#, "a warning"),
            ("not JSON", "not JSON"),
        ] {
            assert_eq!(to_sentence(line), sentence);
        }
    }
}

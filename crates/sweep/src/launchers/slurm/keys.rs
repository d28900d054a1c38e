//! The table `[slurm]`. What only the cluster knows, such as the names of its partitions, is checked by `sbatch`.

use crate::launchers::queue::{JobKey, Rule, ValueKind};

/// No node has what a worker asks for.
const NODE: &str = "node configuration";

/// Every key of the table, in the order of the batch script.
#[rustfmt::skip]
pub(super) const KEYS: &[JobKey] = &[
    JobKey { name: "workers", option: None, kind: ValueKind::Count, refusals: &["job array", "submit limit"] },
    JobKey { name: "partition", option: Some("partition"), kind: ValueKind::Text(Rule::NAME), refusals: &["partition"] },
    JobKey { name: "account", option: Some("account"), kind: ValueKind::Text(Rule::NAME), refusals: &["account"] },
    JobKey { name: "qos", option: Some("qos"), kind: ValueKind::Text(Rule::NAME), refusals: &["qos"] },
    JobKey { name: "time", option: Some("time"), kind: ValueKind::Text(TIME), refusals: &["time limit", "--time"] },
    JobKey { name: "cpus_per_task", option: Some("cpus-per-task"), kind: ValueKind::Count, refusals: &["cpu count", "cpus", NODE] },
    JobKey { name: "mem", option: Some("mem"), kind: ValueKind::Text(MEMORY), refusals: &["memory", "--mem", NODE] },
    JobKey { name: "gres", option: Some("gres"), kind: ValueKind::Text(Rule::NAME), refusals: &["gres", "generic resource", NODE] },
    JobKey { name: "constraint", option: Some("constraint"), kind: ValueKind::Text(Rule::ANY), refusals: &["feature", "constraint", NODE] },
    JobKey { name: "nice", option: Some("nice"), kind: ValueKind::Number(-2_147_483_645, 2_147_483_645), refusals: &["nice"] },
    JobKey { name: "arguments", option: None, kind: ValueKind::Lines(OPTION), refusals: &["unrecognized option", "invalid option", "ambiguous"] },
    JobKey { name: "setup", option: None, kind: ValueKind::Lines(Rule::ANY), refusals: &[] },
];

const TIME: Rule = Rule {
    is_valid: |text| {
        let is_unlimited =
            ["unlimited", "infinite"].iter().any(|word| text.eq_ignore_ascii_case(word));
        is_unlimited || seconds(text).is_some()
    },
    expected: "a time limit: minutes such as 30, \"2:00:00\", \"1-12:00:00\" (1 day and 12 hours), or \"unlimited\"",
};

const MEMORY: Rule = Rule {
    is_valid: |text| {
        let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
        let is_unit = ["", "k", "m", "g", "t"].iter().any(|it| unit.eq_ignore_ascii_case(it));
        is_unit && unit.len() < text.len()
    },
    expected: "an amount of memory: megabytes such as 4000, or \"4G\"",
};

/// The number of tasks has a key, because the workers divide the runs by it, and the time limit, because it decides when Slurm
/// signals them.
const OPTION: Rule = Rule {
    is_valid: |text| {
        let has_key = ["--array", "-a", "--time=", "--time ", "-t"];
        text.starts_with('-') && !has_key.iter().any(|it| text.starts_with(it))
    },
    expected: "an option of sbatch such as \"--exclusive\"; for --array, set workers; for --time, set time",
};

/// The seconds of a time limit as `sbatch` writes it: minutes, `MM:SS`, `HH:MM:SS`, `D-HH`, `D-HH:MM` or `D-HH:MM:SS`.
pub(super) fn seconds(time: &str) -> Option<u64> {
    let numbers = |text: &str| -> Option<Vec<u64>> {
        text.split(':').map(|part| part.parse::<u64>().ok()).collect()
    };
    let (days, rest) = match time.split_once('-') {
        Some((days, rest)) => (Some(days.parse::<u64>().ok()?), numbers(rest)?),
        None => (None, numbers(time)?),
    };
    let [hours, minutes, seconds] = match (days, rest.as_slice()) {
        (Some(_), [hours]) => [*hours, 0, 0],
        (Some(_), [hours, minutes]) => [*hours, *minutes, 0],
        (None, [minutes]) => [0, *minutes, 0],
        (None, [minutes, seconds]) => [0, *minutes, *seconds],
        (_, [hours, minutes, seconds]) => [*hours, *minutes, *seconds],
        _ => return None,
    };
    let hours = days.unwrap_or(0).checked_mul(24)?.checked_add(hours)?;
    let minutes = hours.checked_mul(60)?.checked_add(minutes)?;
    minutes.checked_mul(60)?.checked_add(seconds)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn time_limits_are_read_as_sbatch_reads_them() {
        for (time, expected) in [
            ("30", Some(1800)),
            ("1:30", Some(90)),
            ("2:00:00", Some(7200)),
            ("1-0", Some(86_400)),
            ("1-2:30", Some(95_400)),
            ("1-02:30:01", Some(95_401)),
            ("UNLIMITED", None),
            ("", None),
            ("99999999999999999999-1", None),
            ("99999999999999999-1", None),
        ] {
            assert_eq!(seconds(time), expected, "{time}");
        }
    }
}

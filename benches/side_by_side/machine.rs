//! Describes the machine, and restricts processes to some of its cores.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The cores that processes are restricted to, in the format of `taskset`. Without `taskset`, processes run on any core.
pub(crate) struct Cores {
    /// The core of a run.
    one: Option<String>,
    /// The two cores of a sweep.
    two: Option<String>,
}

/// The cores on which a process may run.
#[derive(Clone, Copy)]
pub(crate) enum Affinity {
    OneCore,
    TwoCores,
    Any,
}

impl Cores {
    /// Chooses the last of the cores that this process may use, since the first ones handle more interrupts.
    pub(crate) fn find() -> Self {
        let allowed = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let allowed = allowed.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let cores = allowed.map(parse_list).unwrap_or_default();
        let has_taskset = Command::new("taskset").arg("--version").output().is_ok();
        let last = |count: usize| {
            let chosen = cores.get(cores.len().checked_sub(count)?..)?;
            let numbers: Vec<String> = chosen.iter().map(u32::to_string).collect();
            has_taskset.then(|| numbers.join(","))
        };
        Self { one: last(1), two: last(2) }
    }

    /// A command that runs a program on these cores.
    pub(crate) fn command(&self, program: &Path, affinity: Affinity) -> Command {
        let cores = match affinity {
            Affinity::OneCore => self.one.as_ref(),
            Affinity::TwoCores => self.two.as_ref(),
            Affinity::Any => None,
        };
        let Some(cores) = cores else { return Command::new(program) };
        let mut command = Command::new("taskset");
        command.arg("--cpu-list").arg(cores).arg(program);
        command
    }

    pub(crate) fn describe(&self) -> String {
        let name = |cores: &Option<String>| cores.clone().unwrap_or_else(|| "any".to_owned());
        format!("one: {}; two: {}", name(&self.one), name(&self.two))
    }
}

/// Parses a list such as `0-3,8`.
fn parse_list(list: &str) -> Vec<u32> {
    let parts = list.trim().split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    parts.flatten().collect()
}

/// The properties of the machine by name. Properties that the system does not report are omitted.
pub(crate) fn describe() -> Vec<(&'static str, String)> {
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let value = text.lines().find(|line| line.starts_with(name))?.split_once(':')?.1;
        Some(value.trim().to_owned())
    };
    let memory = field(&file("/proc/meminfo"), "MemTotal").and_then(|total| {
        let kibibytes: f64 = total.strip_suffix("kB")?.trim().parse().ok()?;
        Some(format!("{:.1} GiB", kibibytes / 1024.0 / 1024.0))
    });
    let cores = std::thread::available_parallelism().ok().map(|cores| cores.to_string());
    let kernel = first_line("uname", &["-s", "-r", "-m"]);
    let found = [
        ("CPU", field(&file("/proc/cpuinfo"), "model name")),
        ("Cores", cores),
        ("Memory", memory),
        ("Kernel", kernel),
    ];
    found.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// The first line that a program prints, if it succeeds.
pub(crate) fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.lines().next().map(str::to_owned))?
}

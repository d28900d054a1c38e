//! The machine: what it is, and which of its cores are used.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Cores to keep a process on, as `taskset` wants them. Without that program processes run anywhere.
pub(crate) struct Cores {
    /// One core: what a run has.
    one: Option<String>,
    /// Two: what a sweep has.
    two: Option<String>,
}

#[derive(Clone, Copy)]
pub(crate) enum On {
    OneCore,
    TwoCores,
    /// Wherever the system puts it.
    Any,
}

impl Cores {
    /// The last of the cores that this process may use: interrupts prefer the first.
    pub(crate) fn find() -> Self {
        let allowed = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let allowed = allowed.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let cores = allowed.map(listed).unwrap_or_default();
        let pins = Command::new("taskset").arg("--version").output().is_ok();
        let last = |count: usize| {
            let of_them = cores.get(cores.len().checked_sub(count)?..)?;
            let words: Vec<String> = of_them.iter().map(u32::to_string).collect();
            pins.then(|| words.join(","))
        };
        Self { one: last(1), two: last(2) }
    }

    /// The program, held to its cores.
    pub(crate) fn command(&self, program: &Path, on: On) -> Command {
        let cores = match on {
            On::OneCore => self.one.as_ref(),
            On::TwoCores => self.two.as_ref(),
            On::Any => None,
        };
        let Some(cores) = cores else { return Command::new(program) };
        let mut command = Command::new("taskset");
        command.arg("--cpu-list").arg(cores).arg(program);
        command
    }

    pub(crate) fn describe(&self) -> String {
        let held = |cores: &Option<String>| cores.clone().unwrap_or_else(|| "any".to_owned());
        format!("one: {}; two: {}", held(&self.one), held(&self.two))
    }
}

/// A list such as `0-3,8`.
fn listed(list: &str) -> Vec<u32> {
    let parts = list.trim().split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    parts.flatten().collect()
}

/// What the machine is, line by line; what cannot be found out is left out.
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
    let kernel = said("uname", &["-s", "-r", "-m"]);
    let found = [
        ("CPU", field(&file("/proc/cpuinfo"), "model name")),
        ("Cores", cores),
        ("Memory", memory),
        ("Kernel", kernel),
    ];
    found.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// The first line that a program says of itself.
pub(crate) fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| said.lines().next().map(str::to_owned))?
}

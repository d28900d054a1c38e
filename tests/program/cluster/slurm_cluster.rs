//! A Slurm of several nodes on this machine, for the tests in `slurm`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::processes::{is_alive, try_signal};
use crate::project::{CommandOutput, Project};

/// The machine has few processors, so one cluster at a time is enough.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Longer than any of these tests takes, even on a busy machine.
pub(super) const LIMIT: Duration = Duration::from_secs(600);

/// Polls until the condition holds. Every look asks Slurm or starts the program, so there are few.
pub(super) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LIMIT, "timed out while waiting for {what}");
        sleep(Duration::from_millis(100));
    }
}

/// How long a node is silent until Slurm gives it up, in seconds: long enough for a busy machine.
pub(super) const NODE_TIMEOUT: u32 = 120;

/// A cluster, which ends with this value.
pub(super) struct Cluster {
    directory: tempfile::TempDir,
    nodes: usize,
    /// The jobs that were queued again, and when this was noticed.
    requeued: RefCell<BTreeMap<String, Instant>>,
    _guard: MutexGuard<'static, ()>,
}

impl Cluster {
    /// Starts a cluster with these nodes; `None` if Slurm cannot run here.
    pub(super) fn start(nodes: usize) -> Option<Self> {
        Self::with(nodes, 1, NODE_TIMEOUT, "")
    }

    /// Like [`start`](Self::start), with so many workers at a time on each node, however many processors there are, so many
    /// seconds of silence until a node counts as failed, and a line of slurm.conf.
    pub(super) fn with(nodes: usize, processors: usize, timeout: u32, line: &str) -> Option<Self> {
        let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let is_installed = |program: &str| {
            let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
            found.is_ok_and(|output| output.status.success())
        };
        let missing =
            ["slurmctld", "slurmd", "sbatch", "munged"].into_iter().find(|it| !is_installed(it));
        if let Some(missing) = missing.or((!is_root()).then_some("root")) {
            assert!(std::env::var_os("KILN_REQUIRE_SLURM").is_none(), "needs {missing}");
            skip(missing);
            return None;
        }
        start_munge();
        let directory = tempfile::tempdir().unwrap();
        let cluster = Self { directory, nodes, requeued: RefCell::default(), _guard: guard };
        let text = cluster.text_of_configuration(processors, timeout);
        fs::write(cluster.configuration(), format!("{text}{line}\n")).unwrap();
        cluster.start_controller();
        (1..=nodes).for_each(|node| cluster.start_node(node));
        wait_until("the nodes", || {
            cluster
                .run("sinfo", &["-h", "-t", "idle", "-o", "%D"])
                .lines()
                .any(|it| it.trim() == nodes.to_string())
        });
        Some(cluster)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn configuration(&self) -> PathBuf {
        self.path("slurm.conf")
    }

    /// Jobs of the partition `urgent` preempt those of `main`.
    fn text_of_configuration(&self, processors: usize, timeout: u32) -> String {
        static NEXT_PORT: AtomicU16 = AtomicU16::new(0);
        let port = 21_000
            + (std::process::id() % 300) as u16 * 100
            + NEXT_PORT.fetch_add(20, Ordering::Relaxed) % 100;
        let home = self.directory.path().display();
        fs::create_dir(self.path("state")).unwrap();
        let mut text = format!(
            "ClusterName=test\nSlurmctldHost=localhost(127.0.0.1)\nSlurmctldPort={port}\nAuthType=auth/munge\n\
             SlurmUser=root\nSlurmdUser=root\nStateSaveLocation={home}/state\nSlurmdSpoolDir={home}/spool-%n\n\
             SlurmctldPidFile={home}/controller.pid\nSlurmdPidFile={home}/%n.pid\n\
             SlurmctldLogFile={home}/controller.log\nSlurmdLogFile={home}/%n.log\n\
             ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nJobAcctGatherType=jobacct_gather/none\n\
             AccountingStorageType=accounting_storage/none\nSelectType=select/cons_tres\n\
             SelectTypeParameters=CR_Core\nSlurmdParameters=config_overrides\nPreemptType=preempt/partition_prio\nPreemptMode=REQUEUE\n\
             JobRequeue=1\nReturnToService=2\nKillWait=10\nSlurmdTimeout={timeout}\nMaxArraySize=101\n"
        );
        for node in 1..=self.nodes {
            fs::create_dir(self.path(&format!("spool-n{node}"))).unwrap();
            writeln!(text, "NodeName=n{node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={} CPUs={processors} State=UNKNOWN", port + node as u16).unwrap();
        }
        for (partition, rest) in
            [("main", "Default=YES PriorityTier=1"), ("urgent", "PriorityTier=10")]
        {
            writeln!(
                text,
                "PartitionName={partition} Nodes=n[1-{}] MaxTime=INFINITE State=UP {rest}",
                self.nodes
            )
            .unwrap();
        }
        text
    }

    pub(super) fn start_controller(&self) {
        self.daemon("slurmctld", &[]);
    }

    pub(super) fn start_node(&self, node: usize) {
        self.daemon("slurmd", &["-N", &format!("n{node}")]);
    }

    fn daemon(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(program);
        command.arg("-f").arg(self.configuration()).args(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        assert!(self.prepared(&mut command).status().unwrap().success(), "{program}");
    }

    fn prepared<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("SLURM_CONF", self.configuration())
    }

    /// The output of a command of Slurm.
    pub(super) fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.prepared(Command::new(program).args(arguments)).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    pub(super) fn kiln(&self, project: &Project, arguments: &[&str]) -> CommandOutput {
        let mut command = project.command();
        CommandOutput::from(self.prepared(command.args(arguments)).output().unwrap())
    }

    pub(super) fn kiln_ok(&self, project: &Project, arguments: &[&str]) -> CommandOutput {
        let output = self.kiln(project, arguments);
        assert_eq!(output.status, 0, "{arguments:?}: {}{}", output.stdout, output.stderr);
        output
    }

    /// Slurm lets a job that was queued again wait for two minutes. This makes it start after two seconds: in the second in
    /// which it ended, its credential is still revoked, and Slurm would end it instead of starting it.
    pub(super) fn hurry(&self) {
        let pending = self.run("squeue", &["-h", "-r", "-t", "PENDING", "-o", "%A|%r"]);
        let jobs = pending.lines().filter_map(|line| line.trim().strip_suffix("|BeginTime"));
        let jobs: Vec<String> = jobs.map(str::to_owned).collect();
        let mut requeued = self.requeued.borrow_mut();
        requeued.retain(|job, _| jobs.contains(job));
        for job in jobs {
            let since = *requeued.entry(job.clone()).or_insert_with(Instant::now);
            if since.elapsed() > Duration::from_secs(2) {
                self.run("scontrol", &["update", &format!("JobId={job}"), "StartTime=now"]);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.run("squeue", &["-h"]).trim().is_empty()
    }

    /// Waits until no worker is in the queue.
    pub(super) fn wait_for_end(&self) {
        wait_until("the end of the workers", || {
            self.hurry();
            self.is_empty()
        });
    }

    /// The process of a daemon.
    pub(super) fn process(&self, name: &str) -> Option<u32> {
        fs::read_to_string(self.path(&format!("{name}.pid"))).ok()?.trim().parse().ok()
    }

    pub(super) fn end(&self, name: &str) {
        if let Some(process) = self.process(name) {
            try_signal(process, "-TERM");
            wait_until("the end of a daemon", || !is_alive(process));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.run("scancel", &["--me"]);
        let start = Instant::now();
        while !self.is_empty() && start.elapsed() < Duration::from_secs(60) {
            sleep(Duration::from_millis(200));
        }
        (1..=self.nodes).for_each(|node| self.end(&format!("n{node}")));
        self.end("controller");
    }
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout == b"0\n")
}

/// Starts the service that Slurm's daemons identify themselves with, unless it runs.
fn start_munge() {
    let works = || {
        let mut munge = Command::new("munge");
        munge.arg("-n").stdout(Stdio::null()).stderr(Stdio::null());
        munge.status().is_ok_and(|status| status.success())
    };
    if !works() {
        let script =
            "mkdir -p /run/munge && chown munge: /run/munge && su -s /bin/sh munge -c munged";
        let _ = Command::new("sh").args(["-c", script]).status();
        wait_until("munge", works);
    }
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn skip(missing: &str) {
    eprintln!("skipped: this test starts a Slurm, which needs {missing}");
}

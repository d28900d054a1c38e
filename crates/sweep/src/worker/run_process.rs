use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;

use kiln_store::{FileLock, RunRecord};

use crate::SweepError;
use crate::launchers::LaunchOptions;
use crate::plan::Plan;
use crate::worker::protocol::{RunCommand, RunMessage, RunRequest};

/// The variable that shows a process its GPUs.
pub(crate) const VISIBLE_DEVICES: &str = "CUDA_VISIBLE_DEVICES";

/// The GPUs that this process sees, if the environment lists them.
#[must_use]
pub fn visible_devices() -> Vec<String> {
    let list = std::env::var(VISIBLE_DEVICES).unwrap_or_default();
    list.split(',').map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect()
}

/// The process that trains a run.
#[derive(Debug)]
pub(crate) struct RunProcess {
    /// The sweep's lock on the run.
    pub(crate) lock: FileLock,
    /// The run's record before the process was started.
    pub(crate) record_before: Option<RunRecord>,
    /// Whether the sweep has asked the process to pause the run.
    pub(crate) is_paused: bool,
    /// The reason of a failure, as the process reported it.
    pub(crate) failure: Option<String>,
    /// The device that the process has for itself, as an index into the devices of the worker.
    pub(crate) device: Option<usize>,
    child: Child,
    /// Closing the input makes the process stop.
    input: Option<ChildStdin>,
}

/// A message of a process, or its end.
#[derive(Debug)]
pub(crate) struct RunEvent {
    /// The index of the run in the plan.
    pub(crate) run: usize,
    /// The message; `None` if the output of the process has ended.
    pub(crate) message: Option<RunMessage>,
}

impl RunProcess {
    /// Starts `kiln work` for the run with index `run`, on one of the worker's devices if it has any. A thread forwards the
    /// messages of the process to `events`.
    pub(crate) fn start(
        options: &LaunchOptions,
        plan: &Plan,
        run: usize,
        resume: bool,
        device: Option<usize>,
        mut lock: FileLock,
        events: Sender<RunEvent>,
    ) -> Result<Self, SweepError> {
        let program = &options.program;
        let cannot_start = |cause| SweepError::io("start", program, cause);
        let planned = &plan.runs[run];
        let request = RunRequest {
            config: planned.config.clone(),
            unwritten: planned.experiment.device.unwritten(),
            id: planned.id.clone(),
            fingerprint: planned.dataset.fingerprint.clone(),
            data_directory: plan.data_directory.clone(),
            runs_directory: plan.runs_directory.clone(),
            awaits_commands: plan.prune.is_some(),
            resume,
            threads: planned.experiment.device.threads.unwrap_or(options.threads),
            lock: lock.token().clone(),
            shared: plan.shared_directory(run),
        };
        // This fails for a path that is not UTF-8, which JSON cannot represent.
        let request =
            serde_json::to_string(&request).map_err(|error| cannot_start(error.into()))?;
        let mut command = Command::new(program);
        command
            .arg("work")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(lock.standard_error().map_err(cannot_start)?);
        // A separate process group keeps Ctrl-C on the terminal from reaching the process. The sweep handles Ctrl-C
        // and stops the process through its input.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        if let Some(device) = device.and_then(|device| options.devices.get(device)) {
            command.env(VISIBLE_DEVICES, device);
        }
        let record_before = plan.run_record(planned);
        let mut child = command.spawn().map_err(cannot_start)?;
        // The process of the run gives the heartbeat itself, so that the run outlives its worker.
        lock.hand_over_heartbeat();
        let input = child.stdin.take();
        let mut process =
            Self { lock, record_before, is_paused: false, failure: None, device, input, child };
        process.write_line(&request);
        if let Some(output) = process.child.stdout.take() {
            let forward = move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    // Lines that are not messages come from libraries that print to standard output.
                    let message = serde_json::from_str(&line).ok();
                    if message.is_some() && events.send(RunEvent { run, message }).is_err() {
                        return;
                    }
                }
                let _ = events.send(RunEvent { run, message: None });
            };
            if let Err(cause) = std::thread::Builder::new().spawn(forward) {
                process.kill();
                let _ = process.child.wait();
                return Err(cannot_start(cause));
            }
        }
        Ok(process)
    }

    pub(crate) fn send(&mut self, command: RunCommand) {
        self.is_paused |= command == RunCommand::Pause;
        self.write_line(command.as_json());
    }

    fn write_line(&mut self, line: &str) {
        if let Some(input) = &mut self.input {
            // Writing fails if the process has ended. The event of its end will follow.
            let _ = input.write_all(format!("{line}\n").as_bytes());
        }
    }

    /// Makes the process end the run after the current step.
    pub(crate) fn stop(&mut self) {
        self.input = None;
    }

    /// Kills the process.
    pub(crate) fn kill(&mut self) {
        // Killing fails if the process has ended already.
        let _ = self.child.kill();
    }

    /// Waits until the process has exited. Call it only after the output of the process has ended.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus, SweepError> {
        // A process that still waits for a command would never exit.
        self.input = None;
        self.child.wait().map_err(|cause| SweepError::io("wait for", Path::new("a run"), cause))
    }
}

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;

use kiln_store::{Claim, RunRecord};

use crate::SweepError;
use crate::plan::{Member, Plan};
use crate::protocol::{Answer, Message, Order};

/// The process of a run.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) claim: Claim,
    /// The run's record before it was started.
    pub(crate) before: Option<RunRecord>,
    /// Why it fails, in its own words.
    pub(crate) failure: Option<String>,
    child: Child,
    /// Closed to tell the run to stop.
    input: Option<ChildStdin>,
}

/// What comes from the process of a member; without a message it has ended.
#[derive(Debug)]
pub(crate) struct Word {
    pub(crate) member: usize,
    pub(crate) message: Option<Message>,
}

impl Process {
    /// Starts `program work` for a member. Its words go to `words`, from a thread of their own.
    pub(crate) fn start(
        program: &Path,
        plan: &Plan,
        (index, member): (usize, &Member),
        resumes: bool,
        claim: Claim,
        words: Sender<Word>,
    ) -> Result<Self, SweepError> {
        let refused = |cause| SweepError::io("start", program, cause);
        let order = Order {
            config: member.config.clone(),
            id: member.id.clone(),
            data: plan.data.clone(),
            runs: plan.runs.clone(),
            asks: plan.prune.is_some(),
            resumes,
            held: claim.held().clone(),
        };
        // A path that is not UTF-8 has no JSON.
        let order = serde_json::to_string(&order).map_err(|error| refused(error.into()))?;
        let mut command = Command::new(program);
        command
            .arg("work")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(claim.standard_error().map_err(refused)?);
        // A group of its own: Ctrl-C on the terminal is for the sweep, which tells its runs itself.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let before = plan.run_record(member);
        let mut child = command.spawn().map_err(refused)?;
        let mut process = Self { claim, before, failure: None, input: child.stdin.take(), child };
        process.write_line(&order);
        if let Some(output) = process.child.stdout.take() {
            let listening = std::thread::Builder::new().spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    // What is no message was printed by something that does not know the protocol.
                    let message = serde_json::from_str(&line).ok();
                    if message.is_some() && words.send(Word { member: index, message }).is_err() {
                        return;
                    }
                }
                let _ = words.send(Word { member: index, message: None });
            });
            if let Err(cause) = listening {
                process.kill();
                let _ = process.child.wait();
                return Err(refused(cause));
            }
        }
        Ok(process)
    }

    pub(crate) fn answer(&mut self, answer: Answer) {
        self.write_line(answer.as_json());
    }

    /// A process that cannot be written to has ended, and its end is on its way.
    fn write_line(&mut self, line: &str) {
        if let Some(input) = &mut self.input {
            let _ = input.write_all(format!("{line}\n").as_bytes());
        }
    }

    /// Tells the run to stop after its step.
    pub(crate) fn stop(&mut self) {
        self.input = None;
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
    }

    /// Waits for the end of a process whose output has ended.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus, SweepError> {
        self.input = None;
        self.child.wait().map_err(|cause| SweepError::io("wait for", Path::new("a run"), cause))
    }
}

//! The output of `kiln sweep` after workers were submitted to a queue, and `--wait`.

use std::num::NonZeroUsize;
use std::process::ExitCode;

use kiln_store::{duration, quoted};
use kiln_sweep::{
    FollowEnd, Plan, Submission, SubmissionOutcome, Submissions, SweepResult, follow,
};

use crate::commands::sweep::lines::{print_line, status_command};
use crate::commands::sweep::progress::SweepProgress;
use crate::commands::sweep::{Launch, SweepControl, summary};
use crate::options::GlobalOptions;
use crate::output::{count, print, status};

/// Prints the job, and if the command waits for it, its progress and the results. The last line of standard output is the
/// directory of the sweep.
pub(super) fn report(
    launch: &Launch,
    options: &GlobalOptions,
    plan: &Plan,
    outcome: &SubmissionOutcome,
    control: &SweepControl,
) -> anyhow::Result<ExitCode> {
    let path = quoted(&plan.directory.display().to_string());
    if let Some(text) = summary::reused(&outcome.reused) {
        print_line(text)?;
    }
    let runs = count(outcome.done + outcome.remaining, "run");
    match &outcome.submission {
        Some(Submission { job, workers, .. }) => {
            let others = match outcome.workers {
                0 => String::new(),
                others => format!(", in addition to {others}"),
            };
            print_line(format!(
                "{runs}: {} done, {} to do; submitted job {job} with {}{others}",
                outcome.done,
                outcome.remaining,
                count(*workers, "worker"),
            ))?;
        }
        None if outcome.remaining == 0 => print_line(format!("{runs}: all done"))?,
        None => print_line(format!(
            "{runs}: {} done, {} to do by {} in the queue; no more are needed",
            outcome.done,
            outcome.remaining,
            count(outcome.workers, "worker"),
        ))?,
    }
    let is_open = outcome.remaining > 0 || outcome.submission.is_some();
    if launch.waits && is_open {
        return wait(launch, options, plan, outcome, control);
    }
    if is_open && !options.quiet {
        status_command(&format!("its state: kiln status {path}; to end it: kiln cancel {path}"));
    }
    print(plan.directory.display())?;
    Ok(ExitCode::SUCCESS)
}

/// Shows the progress of the workers until the sweep is done.
fn wait(
    launch: &Launch,
    options: &GlobalOptions,
    plan: &Plan,
    outcome: &SubmissionOutcome,
    control: &SweepControl,
) -> anyhow::Result<ExitCode> {
    let (result, end) = follow_workers(launch, options, plan, outcome, control);
    if end != FollowEnd::SearchEnded {
        return report_end(launch, plan, &result, end, control);
    }
    // The worker that has ended the search knows what the runs cost. This finds its decision.
    match plan.next_stage(NonZeroUsize::MIN, 0.0)? {
        Some(race) => {
            summary::print_search(&race, &result)?;
            let (result, end) = follow_workers(launch, options, &race, outcome, control);
            report_end(launch, &race, &result, end, control)
        }
        None => report_end(launch, plan, &result, FollowEnd::Done, control),
    }
}

fn follow_workers(
    launch: &Launch,
    options: &GlobalOptions,
    plan: &Plan,
    outcome: &SubmissionOutcome,
    control: &SweepControl,
) -> (SweepResult, FollowEnd) {
    let submissions = Submissions::read_all(&plan.directory);
    let own = submissions.iter().find(|it| it.queue.name() == launch.launcher.name());
    let job = outcome.submission.as_ref().or_else(|| own?.jobs.last());
    let group = launch.launcher.queue().zip(job).map(|(queue, job)| queue.group(&job.job));
    let group = group.unwrap_or_default();
    let mut progress = SweepProgress::of_submitted(options.quiet, plan, control.has_runs.clone());
    control.has_runs.set_elsewhere();
    let retry_failed = outcome.retry_failed;
    let result = follow(plan, &group, retry_failed, &mut progress, &control.requests, || {
        // Without an answer, the workers may still be there.
        submissions.iter().any(|it| it.workers().map_or(true, |workers| !workers.is_empty()))
    });
    control.has_runs.set(false);
    progress.close();
    result
}

fn report_end(
    launch: &Launch,
    plan: &Plan,
    result: &SweepResult,
    end: FollowEnd,
    control: &SweepControl,
) -> anyhow::Result<ExitCode> {
    let path = quoted(&plan.directory.display().to_string());
    match end {
        FollowEnd::Done | FollowEnd::SearchEnded => {
            summary::print_result(plan, result)?;
            Ok(launch.exit_code(result, false, control))
        }
        FollowEnd::Stopped => {
            status_command(&format!(
                "the job continues; its state: kiln status {path}; to end it: kiln cancel {path}"
            ));
            print(plan.directory.display())?;
            Ok(control.stop_signal.exit_code())
        }
        FollowEnd::NoWorkers => {
            let left = result.outcomes.iter().filter(|outcome| outcome.is_none()).count();
            status(format_args!(
                "after {}, {} not done, and no worker is left in the queue",
                duration(result.seconds),
                if left == 1 { "1 run is".to_owned() } else { format!("{left} runs are") },
            ));
            status_command(&format!(
                "why a worker ended: {path}/.kiln/{}; to submit more, repeat the command",
                launch.launcher.name()
            ));
            print(plan.directory.display())?;
            Ok(ExitCode::FAILURE)
        }
    }
}

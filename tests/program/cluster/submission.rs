//! Submitting, the settings of a job, `kiln status` and `kiln cancel`, with stand-ins for the commands of Slurm.

use std::fs;
use std::io::Read;
use std::process::{Child, Stdio};

use super::stand_ins::StandIns;
use super::{SWEEP, project_with};
use crate::processes::{signal, wait_until};
use crate::project::{CommandOutput, Project};

#[test]
fn settings_come_from_the_site_the_sweep_file_and_the_command_line() {
    let sweep = format!(
        "{SWEEP}[slurm]\nworkers = 5\ntime = \"2:00:00\"\nsetup = [\"module load kiln\", \"export A=1\"]\n"
    );
    let project = project_with(&sweep);
    project.write(
        "kiln.toml",
        "[slurm]\npartition = \"cpu\"\naccount = \"lab\"\ntime = \"1:00:00\"\nmem = 4000\nworkers = 2\n",
    );
    let slurm = StandIns::new(&project);
    slurm.write("config", "RequeueExit             = 99,100\n");
    let arguments =
        ["sweep", "sweep.toml", "--launcher=slurm", "slurm.account=other", "slurm.nice=10"];
    let script = slurm.kiln_ok(&[arguments.as_slice(), &["--dry-run"]].concat()).stdout;
    for line in [
        "#SBATCH --array=0-4",
        "#SBATCH --partition=cpu",
        "#SBATCH --account=other",
        "#SBATCH --time=2:00:00",
        "#SBATCH --mem=4000",
        "#SBATCH --nice=10",
        "#SBATCH --open-mode=append",
        "#SBATCH --requeue",
        "#SBATCH --signal=B:USR2@120",
        "module load kiln",
        "export A=1",
    ] {
        assert!(script.lines().any(|it| it == line), "`{line}` is missing:\n{script}");
    }
    assert!(script.starts_with("#!/bin/bash\n"), "{script}");
    let last = script.lines().last().unwrap();
    assert!(last.starts_with("exec ") && last.contains("--requeue-status 99"), "{script}");
    assert!(!project.path("runs").exists(), "a dry run writes nothing");

    let output = slurm.kiln_ok(&arguments);
    assert!(
        output.stdout.contains("12 runs: 0 done, 12 to do; submitted job 4711 with 5 workers"),
        "{}",
        output.stdout
    );
    assert!(output.stderr.contains("kiln status runs/rates"), "{}", output.stderr);
    assert_eq!(output.last_line(), "runs/rates");
    assert_eq!(project.read("runs/rates/.kiln/slurm/job-4711.sh"), script);
    assert_eq!(project.read_json("runs/rates/.kiln/slurm/job-4711.json")["workers"], 5);
}

#[test]
fn wrong_settings_are_errors_with_their_place() {
    let project = project_with(&format!("{SWEEP}[slurm]\nworkers = 0\n"));
    let slurm = StandIns::new(&project);
    let arguments = ["sweep", "sweep.toml", "--launcher=slurm"];
    let check = |arguments: &[&str], parts: &[&str]| {
        let output = slurm.kiln(arguments);
        assert_eq!(output.status, 2, "{arguments:?}: {}{}", output.stdout, output.stderr);
        for part in parts {
            assert!(output.stderr.contains(part), "`{part}` is missing:\n{}", output.stderr);
        }
    };
    check(&arguments, &["sweep.toml:8", "workers"]);
    project.write("sweep.toml", format!("{SWEEP}[slurm]\npartion = \"main\"\n"));
    check(&arguments, &["unknown key `partion`", "did you mean `partition`"]);
    project.write("sweep.toml", format!("{SWEEP}[slurm]\npartition = \"a\\n#SBATCH --uid=0\"\n"));
    check(&arguments, &["one line of text"]);
    project.write("sweep.toml", SWEEP);
    fn with(argument: &str) -> Vec<&str> {
        vec!["sweep", "sweep.toml", "--launcher=slurm", argument]
    }
    check(&with("slurm.partion=main"), &["unknown key `slurm.partion`", "`slurm.partition`"]);
    check(&with("slurm.workers=many"), &["slurm.workers=many"]);
    for (key, wrong, expected) in [
        ("time", "soon", "expected a time limit"),
        ("time", "1:2:3:4", "1-12:00:00"),
        ("mem", "lots", "expected an amount of memory"),
        ("mem", "4X", "4G"),
        ("partition", "a b", "expected a name without spaces"),
        ("nice", "1.5", "expected a whole number from"),
        ("arguments", "exclusive", "expected an option of sbatch"),
        ("arguments", "--array=1-9", "for --array, set workers"),
        ("arguments", "--time=5", "for --time, set time"),
    ] {
        check(&with(&format!("slurm.{key}=\"{wrong}\"")), &[expected, "command line:1"]);
        project.write("sweep.toml", format!("{SWEEP}[slurm]\n{key} = \"{wrong}\"\n"));
        check(&arguments, &[expected, "sweep.toml:8"]);
        project.write("sweep.toml", SWEEP);
        project.write("kiln.toml", format!("[slurm]\n{key} = \"{wrong}\"\n"));
        check(&arguments, &[expected, "kiln.toml:2"]);
        std::fs::remove_file(project.path("kiln.toml")).unwrap();
    }
    for right in
        ["time=30", "time=1-0", "time=UNLIMITED", "mem=4000", "mem=4g", "arguments=--exclusive"]
    {
        slurm.kiln_ok(&[with(&format!("slurm.{right}")), vec!["--dry-run"]].concat());
    }
    check(&with("--jobs=2"), &["--jobs is for the local launcher", "slurm.workers"]);
    check(&["sweep", "sweep.toml", "slurm.workers=2"], &["--launcher slurm"]);
    check(&["sweep", "sweep.toml", "--wait"], &["--launcher slurm"]);
    project.write("kiln.toml", "[slrum]\nworkers = 2\n");
    check(&arguments, &["kiln.toml", "slrum"]);
    assert!(!project.path("runs/rates/.kiln/slurm").exists());
}

#[test]
fn refusals_are_reported_with_slurms_words_and_the_key_to_change() {
    let project = project_with(SWEEP);
    let slurm = StandIns::new(&project);
    for (message, key) in [
        ("Batch job submission failed: Invalid partition name specified", "slurm.partition"),
        (
            "Batch job submission failed: Invalid account or account/partition combination specified",
            "slurm.account",
        ),
        ("Batch job submission failed: Invalid qos specification", "slurm.qos"),
        (
            "Batch job submission failed: Requested time limit is invalid (missing or exceeds some limit)",
            "slurm.time",
        ),
        ("Batch job submission failed: Invalid feature specification", "slurm.constraint"),
        (
            "Batch job submission failed: Invalid generic resource (gres) specification",
            "slurm.gres",
        ),
        ("Batch job submission failed: Memory required by task is not available", "slurm.mem"),
        ("Batch job submission failed: Invalid job array specification", "slurm.workers"),
        ("CPU count per node can not be satisfied", "slurm.cpus_per_task"),
        (
            "Batch job submission failed: Requested node configuration is not available",
            "slurm.cpus_per_task",
        ),
        (
            "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
            "slurm.workers",
        ),
    ] {
        slurm.write("message", &format!("sbatch: error: {message}\n"));
        slurm.set("sbatch", "cat message >&2; exit 1");
        let output = slurm.kiln(&["sweep", "sweep.toml", "--launcher=slurm"]);
        assert_eq!(output.status, 1, "{}", output.stderr);
        assert!(
            output.stderr.contains(&format!("error: Slurm refuses the job: {message}")),
            "{}",
            output.stderr
        );
        assert!(
            output.stderr.contains(&format!("help: change {key}"))
                || output.stderr.contains(&format!(" or {key};")),
            "{message}: {}",
            output.stderr
        );
    }
    for (message, problem, help) in [
        (
            "Batch job submission failed: Unable to contact slurm controller (connect failure)",
            "error: Slurm cannot be reached: Batch job",
            "login node",
        ),
        (
            "Batch job submission failed: Socket timed out on send/recv operation",
            "error: Slurm did not answer in time: Batch job",
            "squeue --me",
        ),
    ] {
        slurm.write("message", &format!("sbatch: error: {message}\n"));
        let output = slurm.kiln(&["sweep", "sweep.toml", "--launcher=slurm"]);
        assert_eq!(output.status, 1, "{}", output.stderr);
        assert!(output.stderr.contains(problem), "{}", output.stderr);
        assert!(output.stderr.contains(help), "{}", output.stderr);
    }
    let left: Vec<_> = fs::read_dir(project.path("runs/rates/.kiln/slurm")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    // A stand-in that cannot be started, as on a machine without Slurm.
    fs::remove_file(project.path("slurm-commands/sbatch")).unwrap();
    let mut command = slurm.command();
    command.env("PATH", project.path("slurm-commands"));
    let output = command.args(["sweep", "sweep.toml", "--launcher=slurm"]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("cannot start sbatch") && text.contains("login node"), "{text}");
}

#[test]
fn submitting_again_adds_no_more_workers_than_there_are_runs() {
    let project = project_with(SWEEP);
    let slurm = StandIns::new(&project);
    let submit =
        |workers: &str| slurm.kiln_ok(&["sweep", "sweep.toml", "--launcher=slurm", workers]).stdout;
    assert!(submit("slurm.workers=8").contains("submitted job 4711 with 8 workers"));
    let queue = |job: &str, count: usize| -> String {
        (0..count).map(|index| format!("{job}|{index}|PENDING||Resources\n")).collect()
    };
    slurm.write("queue", &queue("4711", 8));
    let output = submit("slurm.workers=8");
    assert!(output.contains("submitted job 4712 with 4 workers, in addition to 8"), "{output}");
    slurm.write("queue", &(queue("4711", 8) + &queue("4712", 4)));
    let output = submit("slurm.workers=8");
    assert!(output.contains("12 to do by 12 workers in the queue; no more are needed"), "{output}");
    slurm.write("queue", "");
    project.kiln_ok(&["sweep", "sweep.toml"]);
    assert!(submit("slurm.workers=8").contains("12 runs: all done"));
    let status = slurm.kiln_ok(&["status", "rates"]).stdout;
    assert!(status.ends_with("no workers in the queue; the last job was 4712\n"), "{status}");
    assert_eq!(slurm.read("next").trim(), "4713");
}

#[test]
fn workers_of_another_declaration_are_not_counted() {
    let project = project_with(SWEEP);
    let slurm = StandIns::new(&project);
    let submit = ["sweep", "sweep.toml", "--launcher=slurm", "slurm.workers=12"];
    slurm.kiln_ok(&submit);
    slurm.write("queue", "4711|0|PENDING||Resources\n4711|1|PENDING||Resources\n");
    // They read the declaration that they were started with, and do not know the other seeds.
    let more = [submit.as_slice(), &["seed=1,2,3,4,5,6,7,8,9"]].concat();
    let output = slurm.kiln_ok(&more).stdout;
    assert!(output.contains("submitted job 4712 with 12 workers\n"), "{output}");
}

#[test]
fn workers_that_are_about_to_end_are_not_counted() {
    let project = project_with(SWEEP);
    let slurm = StandIns::new(&project);
    let submit = ["sweep", "sweep.toml", "--launcher=slurm", "slurm.workers=12"];
    slurm.kiln_ok(&submit);
    slurm.write("queue", "4711|0|COMPLETING|n7|None\n4711|1|RUNNING|n7|None\n");
    let output = slurm.kiln_ok(&submit).stdout;
    assert!(output.contains("submitted job 4712 with 11 workers, in addition to 1"), "{output}");
}

#[test]
fn the_id_of_a_job_is_found_among_other_lines() {
    let project = project_with(SWEEP);
    let slurm = StandIns::new(&project);
    slurm.set("sbatch", "echo 'Charged to lab.'; echo '4711;cluster'; echo 'Have a nice day'");
    let submit = ["sweep", "sweep.toml", "--launcher=slurm"];
    let output = slurm.kiln_ok(&submit);
    assert!(output.stdout.contains("submitted job 4711 with 8 workers"), "{}", output.stdout);
    assert_eq!(project.read_json("runs/rates/.kiln/slurm/job-4711.json")["job"], "4711");
    slurm.set("sbatch", "echo 'Accepted'");
    let output = slurm.kiln(&submit);
    assert_eq!(output.status, 1);
    assert!(output.stderr.contains("sbatch printed no job id: Accepted"), "{}", output.stderr);
    assert!(output.stderr.contains("squeue --me"), "{}", output.stderr);
}

#[test]
fn a_job_that_cannot_be_recorded_is_canceled() {
    let project = project_with(SWEEP);
    let slurm = StandIns::new(&project);
    // A directory in the place of the record.
    let record = project.path("runs/rates/.kiln/slurm/job-4711.json/");
    slurm.set("sbatch", &format!("mkdir -p '{}'; echo 4711", record.display()));
    let output = slurm.kiln(&["sweep", "sweep.toml", "--launcher=slurm"]);
    assert_eq!(output.status, 1, "{}", output.stdout);
    assert!(
        output.stderr.contains("canceled job 4711, because its record cannot be written: "),
        "{}",
        output.stderr
    );
    assert_eq!(slurm.read("canceled"), "4711\n");
}

#[test]
fn settings_win_over_the_environment_of_the_user() {
    let project = project_with(SWEEP);
    let slurm = StandIns::new(&project);
    slurm.set("sbatch", "env | grep -E '^(SBATCH|SLURM)_' | sort > environment; echo 4711");
    slurm.set("squeue", "env | grep '^SQUEUE_' > squeue-environment; cat queue");
    let mut command = slurm.command();
    command
        .args(["sweep", "sweep.toml", "--launcher=slurm", "slurm.partition=cpu", "slurm.time=30"])
        .args(["slurm.mem=4G", "slurm.arguments=--mail-type=END"])
        .envs([
            // The settings of the sweep and of Kiln itself.
            ("SBATCH_PARTITION", "gpu"),
            ("SBATCH_TIMELIMIT", "1"),
            ("SBATCH_MEM_PER_NODE", "1"),
            ("SBATCH_MAIL_TYPE", "ALL"),
            ("SBATCH_ARRAY_INX", "0-99"),
            ("SBATCH_OPEN_MODE", "truncate"),
            ("SBATCH_NO_REQUEUE", "1"),
            ("SBATCH_SIGNAL", "TERM@5"),
            // Not set in the sweep.
            ("SBATCH_ACCOUNT", "lab"),
            // The job that this command runs in.
            ("SLURM_CPUS_PER_TASK", "64"),
            ("SQUEUE_STATES", "RUNNING"),
        ]);
    let output = CommandOutput::from(command.output().unwrap());
    assert_eq!(output.status, 0, "{}", output.stderr);
    assert_eq!(slurm.read("environment"), "SBATCH_ACCOUNT=lab\n");
    let mut command = slurm.command();
    command.args(["status", "rates"]).env("SQUEUE_STATES", "RUNNING");
    assert!(command.status().unwrap().success());
    assert_eq!(slurm.read("squeue-environment"), "");
}

#[test]
fn a_directory_that_sbatch_cannot_name_is_refused() {
    let project = project_with(SWEEP);
    let slurm = StandIns::new(&project);
    for runs in ["back\\slash", "two\nlines"] {
        let runs = format!("--runs={runs}");
        let output = slurm.kiln(&["sweep", "sweep.toml", "--launcher=slurm", &runs]);
        assert_eq!(output.status, 1, "{}", output.stdout);
        assert!(output.stderr.contains("error: sbatch cannot write to "), "{}", output.stderr);
        assert!(output.stderr.contains("help: set --runs"), "{}", output.stderr);
    }
    assert_eq!(slurm.read("next").trim(), "4711", "nothing was submitted");
}

#[test]
fn jobs_of_other_sweeps_with_the_same_id_are_left_alone() {
    let project = project_with(SWEEP);
    let slurm = StandIns::new(&project);
    let submit = ["sweep", "sweep.toml", "--launcher=slurm", "slurm.workers=2"];
    slurm.kiln_ok(&submit);
    // The cluster was set up again and counts from the beginning.
    slurm.write("next", "4711");
    slurm.kiln_ok(&[submit.as_slice(), &["name=other", "seed=7"]].concat());
    let script = |sweep: &str| project.path(format!("runs/{sweep}/.kiln/slurm/submitted-1.sh"));
    slurm.write("queue", &format!("4711|0|RUNNING|n7|None|{}\n", script("other").display()));
    let workers = |sweep: &str| slurm.kiln_ok(&["status", sweep]).stdout;
    assert!(workers("other").contains("1 worker running in job 4711"), "{}", workers("other"));
    assert!(
        workers("rates").contains("the last job was 4711; to train the remaining runs, submit"),
        "{}",
        workers("rates")
    );
    let output = slurm.kiln_ok(&["cancel", "rates"]);
    assert!(output.stderr.contains("no worker of this sweep is in the queue"), "{}", output.stderr);
    assert_eq!(slurm.read("canceled"), "");
    slurm.kiln_ok(&["cancel", "other"]);
    assert_eq!(slurm.read("canceled"), "4711\n");
}

#[test]
fn finished_runs_of_other_sweeps_are_reused_before_the_job_is_submitted() {
    let project = project_with(SWEEP);
    let slurm = StandIns::new(&project);
    project.kiln_ok(&["sweep", "sweep.toml", "name=before", "learning_rate=0.1"]);
    let output = slurm.kiln_ok(&["sweep", "sweep.toml", "--launcher=slurm"]).stdout;
    assert!(output.contains("reused 3 finished runs of before"), "{output}");
    assert!(output.contains("12 runs: 3 done, 9 to do"), "{output}");
}

#[test]
fn status_shows_runs_from_files_and_workers_from_the_queue() {
    let project = project_with(SWEEP);
    let slurm = StandIns::new(&project);
    slurm.kiln_ok(&["sweep", "sweep.toml", "--launcher=slurm", "slurm.workers=2"]);
    slurm.write("queue", "4711|0|RUNNING|n7|None\n4711|1|PENDING||Priority\n");
    // The sweep remembers the data once its files are a little older than the clock of the file system can tell.
    wait_until("the record of the data", || {
        project.kiln_ok(&["sweep", "sweep.toml", "learning_rate=0.1"]);
        let known = fs::read_to_string(project.path("runs/rates/.kiln/data.json"));
        known.is_ok_and(|known| known.contains("\"fingerprint\""))
    });
    // The other declaration of the directory is a sweep of its own.
    let output = slurm.kiln_ok(&["status", "rates", "--sweep=1"]);
    assert!(output.stdout.contains("rates: 12 runs: 3 finished, 9 waiting"), "{}", output.stdout);
    assert!(output.stdout.contains("1 worker running in job 4711"), "{}", output.stdout);
    assert!(output.stdout.contains("1 worker pending (Priority) in job 4711"), "{}", output.stdout);
    let json = slurm.kiln_ok(&["status", "runs/rates", "--json"]).json();
    assert_eq!(json["format_version"], 1);
    assert_eq!(json["sweeps"][0]["numbers"]["finished"], 3);
    assert_eq!(json["sweeps"][0]["runs"].as_array().unwrap().len(), 12);
    assert_eq!(json["workers"][1]["reason"], "Priority");
    // The data is not needed, and neither is Slurm.
    fs::rename(project.path("data"), project.path("moved")).unwrap();
    slurm.set("squeue", "echo 'squeue: error: Unable to contact slurm controller' >&2; exit 1");
    let output = slurm.kiln_ok(&["status", "rates", "--sweep=1"]);
    assert!(output.stdout.contains("3 finished, 9 waiting"), "{}", output.stdout);
    assert!(output.stderr.contains("Unable to contact slurm controller"), "{}", output.stderr);
    let output = slurm.kiln(&["status", "experiment.toml"]);
    assert_eq!(output.status, 1);
    assert!(output.stderr.contains("not the directory of a sweep"), "{}", output.stderr);
}

#[test]
fn cancel_ends_the_jobs_that_are_in_the_queue() {
    let project = project_with(SWEEP);
    let slurm = StandIns::new(&project);
    slurm.kiln_ok(&["sweep", "sweep.toml", "--launcher=slurm", "slurm.workers=2"]);
    slurm.kiln_ok(&["sweep", "sweep.toml", "--launcher=slurm", "slurm.workers=2"]);
    slurm.write("queue", "4712|0|RUNNING|n7|None\n4712|1|PENDING||Priority\n");
    let output = slurm.kiln_ok(&["cancel", "rates"]);
    assert!(output.stderr.contains("canceled 2 workers in 1 job"), "{}", output.stderr);
    assert_eq!(slurm.read("canceled"), "4712\n");
    // The job ends by itself at the same time.
    slurm.write("queue", "4711|0|RUNNING|n7|None\n");
    let message =
        "scancel: error: Kill job error on job id 4711: Job/step already completing or completed";
    slurm.set("scancel", &format!(": > queue; echo '{message}' >&2; exit 1"));
    slurm.kiln_ok(&["cancel", "rates"]);
    slurm.write("queue", "4711|0|RUNNING|n7|None\n");
    slurm.set("scancel", "echo 'scancel: error: Access/permission denied' >&2; exit 1");
    let output = slurm.kiln(&["cancel", "rates"]);
    assert_eq!(output.status, 1);
    assert!(
        output.stderr.contains("scancel failed: Access/permission denied"),
        "{}",
        output.stderr
    );
    slurm.set("scancel", "exit 3");
    let output = slurm.kiln(&["cancel", "rates"]);
    assert!(output.stderr.contains("scancel failed: exit status: 3"), "{}", output.stderr);
    slurm.write("queue", "");
    let output = slurm.kiln_ok(&["cancel", "rates"]);
    assert!(output.stderr.contains("no worker of this sweep is in the queue"), "{}", output.stderr);
}

/// Starts a command that submits the sweep and waits for its end, and returns when the job is submitted.
fn submit_and_wait(project: &Project, slurm: &StandIns<'_>) -> Child {
    let mut command = slurm.command();
    command.args(["sweep", "sweep.toml", "--launcher=slurm", "--wait"]);
    let waiting = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the job", || project.path("runs/rates/.kiln/slurm/job-4711.json").exists());
    waiting
}

#[test]
fn ctrl_c_leaves_the_job_running() {
    let project = project_with(SWEEP);
    let slurm = StandIns::new(&project);
    let waiting = submit_and_wait(&project, &slurm);
    signal(waiting.id(), "-INT");
    let output = CommandOutput::from(waiting.wait_with_output().unwrap());
    assert_eq!(output.status, 130, "{}", output.stderr);
    assert!(output.stderr.contains("the job continues"), "{}", output.stderr);
    assert!(output.stderr.contains("kiln cancel runs/rates"), "{}", output.stderr);
    assert_eq!(slurm.read("canceled"), "");
}

#[test]
fn ctrl_c_during_the_submission_leaves_no_job_without_a_record() {
    let project = project_with(SWEEP);
    let slurm = StandIns::new(&project);
    slurm.set("sbatch", "touch called; while [ ! -e answer ]; do sleep 0.01; done; echo 4711");
    for wait in [false, true] {
        let mut command = slurm.command();
        command.args(["sweep", "sweep.toml", "--launcher=slurm"]);
        command.args(wait.then_some("--wait"));
        // A process group of its own, as in a shell: Ctrl-C signals all processes of the group.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut submitting = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until("sbatch", || project.path("slurm-commands/called").exists());
        let group = format!("-{}", submitting.id());
        let killed = std::process::Command::new("kill").args(["-INT", "--", &group]).status();
        assert!(killed.unwrap().success());
        // The answer comes when the signal was handled.
        let (mut stderr, mut message) = (submitting.stderr.take().unwrap(), String::new());
        while !message.contains("waiting until the job is submitted") {
            let mut byte = [0];
            stderr.read_exact(&mut byte).unwrap();
            message.push(byte[0].into());
        }
        slurm.write("answer", "");
        stderr.read_to_string(&mut message).unwrap();
        let output = CommandOutput::from(submitting.wait_with_output().unwrap());
        assert_eq!(output.status, if wait { 130 } else { 0 }, "{message}");
        assert!(output.stdout.contains("submitted job 4711"), "{}", output.stdout);
        assert!(message.contains("kiln cancel runs/rates"), "{message}");
        assert!(project.path("runs/rates/.kiln/slurm/job-4711.json").exists());
        for file in ["called", "answer"] {
            fs::remove_file(project.path("slurm-commands").join(file)).unwrap();
        }
        fs::remove_file(project.path("runs/rates/.kiln/slurm/job-4711.json")).unwrap();
    }
}

#[test]
fn wait_ends_when_no_worker_is_left() {
    let project = project_with(SWEEP);
    let slurm = StandIns::new(&project);
    // The runs end while the command waits.
    let waiting = submit_and_wait(&project, &slurm);
    project.kiln_ok(&["sweep", "sweep.toml", "-q"]);
    let output = CommandOutput::from(waiting.wait_with_output().unwrap());
    assert_eq!(output.status, 0, "{}", output.stderr);
    assert!(output.stdout.contains("12 runs: 12 finished"), "{}", output.stdout);
    assert!(output.stdout.contains("best by validation"), "{}", output.stdout);
    // Workers that end without having done anything.
    let arguments = ["sweep", "sweep.toml", "seed=7", "--launcher=slurm", "--wait"];
    let output = slurm.kiln(&arguments);
    assert_eq!(output.status, 1, "{}", output.stderr);
    assert!(output.stderr.contains("no worker is left in the queue"), "{}", output.stderr);
    let waiting = "4 runs waiting for workers; why they wait: kiln status runs/rates";
    assert!(output.stderr.contains(waiting), "{}", output.stderr);
}

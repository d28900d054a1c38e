//! The commands, one module each, and the help that `kiln --help` shows for them.

pub(crate) mod cancel;
pub(crate) mod clean;
pub(crate) mod compare;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod data;
pub(crate) mod data_check;
pub(crate) mod data_fetch;
pub(crate) mod doctor;
pub(crate) mod evaluate;
pub(crate) mod export;
pub(crate) mod ls;
pub(crate) mod man;
pub(crate) mod note;
pub(crate) mod predict;
pub(crate) mod resume;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod summary;
pub(crate) mod sweep;
pub(crate) mod verify;
pub(crate) mod work;
pub(crate) mod worker;

use clap::{Parser, Subcommand};

use crate::options::GlobalOptions;
use crate::version;

/// Train image-classification experiments, one or many at a time, and compare the results
///
/// An experiment is a TOML file with the data, the layers and the optimizer of a network. Every run writes its results
/// to a separate directory.
#[derive(Debug, Parser)]
#[command(
    name = "kiln",
    version = version::VERSION.as_str(),
    after_help = "Examples:\n  \
        kiln run configs/fashion-mnist.toml     train a network, evaluate it once on the test set\n  \
        kiln show fashion-mnist/last            show the report of the last run\n  \
        kiln sweep configs/fashion-mnist.toml learning_rate=0.01,0.1 seed=1,2,3\n  \
        kiln compare runs/fashion-mnist         compare all runs of the experiment\n\n\
        Exit status:\n  \
        0    success\n  \
        1    a run failed, or a file is missing or damaged\n  \
        2    the command line or the configuration is wrong\n  \
        130  interrupted by Ctrl-C (143 if by SIGTERM)"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) options: GlobalOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train an experiment, then evaluate it once on the test set
    ///
    /// The experiment and its data are checked before anything is written. The last line of standard output is the run
    /// directory, which contains the history, the test report, pictures and the weights.
    ///
    /// Ctrl-C stops the run after the current step and writes a checkpoint, from which `kiln resume` continues. A
    /// second Ctrl-C stops it immediately. SIGTERM behaves like Ctrl-C. SIGUSR1 writes a checkpoint and continues.
    #[command(after_help = "Examples:\n  \
        kiln run configs/fashion-mnist.toml\n  \
        kiln run configs/fashion-mnist.toml learning_rate=0.03 hidden.repeat=5 seed=7\n  \
        kiln run configs/fashion-mnist.toml 'optimizer={type=\"adam\"}' name=with-adam\n  \
        kiln run configs/fashion-mnist.toml epochs=40 --from fashion-mnist/last\n  \
        kiln run configs/fashion-mnist.toml --tag baseline --note 'before the new labels'")]
    Run(run::RunArguments),
    /// Train an experiment with every combination of values, several runs at a time
    ///
    /// The values come from a sweep file, from the command line, or from both. Each run is trained in a separate
    /// process, and a run that fails does not affect the others. If the command is repeated, only the runs that are missing,
    /// interrupted or failed are trained. The last line of standard output is the directory of the sweep.
    ///
    /// Ctrl-C stops all runs after their current step and writes checkpoints. A second Ctrl-C stops them immediately.
    #[command(after_help = "Examples:\n  \
        kiln sweep configs/fashion-mnist.toml learning_rate=0.01,0.1 hidden.repeat=1,3 seed=1,2,3\n  \
        kiln sweep configs/sweeps/learning-rate-depth.toml --dry-run\n  \
        kiln sweep configs/fashion-mnist.toml 'optimizer={type=\"sgd\"},{type=\"adam\"}'\n  \
        kiln sweep configs/sweeps/learning-rate-depth.toml --launcher slurm slurm.workers=20")]
    Sweep(sweep::SweepArguments),
    /// Resume a run or a sweep that was interrupted or has failed
    ///
    /// A run is resumed from its last checkpoint. Apart from times, the result is byte-for-byte identical to that of an
    /// uninterrupted run. A sweep also trains the runs that are missing. The last line of standard output is the
    /// directory.
    #[command(after_help = "Examples:\n  \
        kiln resume runs/fashion-mnist/20261124-101500\n  \
        kiln resume runs/learning-rate-depth")]
    Resume(resume::ResumeArguments),
    /// Show how far a sweep is: which runs wait, where others run, and why workers are in the queue
    ///
    /// The files of the sweep say everything about its runs, so the command works on every machine that shares them. The
    /// queue is only asked about the workers of a job.
    #[command(after_help = "Examples:\n  \
        kiln status runs/learning-rate-depth\n  \
        kiln status learning-rate-depth --json")]
    Status(status::StatusArguments),
    /// End the job of a sweep; its runs write checkpoints and can be resumed
    #[command(after_help = "Example:\n  \
        kiln cancel runs/learning-rate-depth")]
    Cancel(cancel::CancelArguments),
    /// Train one run of a sweep; the request on standard input describes it
    #[command(hide = true)]
    Work,
    /// Train free runs of a sweep in a task of a job
    #[command(hide = true)]
    Worker(worker::WorkerArguments),
    /// Show the layers, shapes, parameters, FLOPs and memory of an experiment
    ///
    /// Nothing is trained.
    #[command(after_help = "Example:\n  \
        kiln summary configs/fashion-mnist.toml hidden.repeat=5")]
    Summary(summary::SummaryArguments),
    /// Compare runs and sweeps: which settings are better, by how much, and whether that is noise
    ///
    /// Runs that differ only in the seed form one row. Rows are ranked by the validation accuracy of the weights that the
    /// runs keep; test results are not used for ranking. With several seeds, the rows that may be the best are marked, and
    /// each row shows how far it is behind. Single runs have no verdict, because two seeds of one setting can differ as
    /// much. Two runs alone are compared in detail, by class and image.
    #[command(after_help = "Examples:\n  \
        kiln compare runs/learning-rate-depth\n  \
        kiln compare runs/learning-rate-depth --html report.html\n  \
        kiln compare 'runs/*/*' --baseline learning_rate=0.01,hidden.repeat=3 --csv > table.csv\n  \
        kiln compare runs/search --rank-by val_loss --rank-at best\n  \
        kiln compare runs --tag candidate\n  \
        kiln compare runs/fashion-mnist/ID runs/fashion-mnist/OTHER")]
    Compare(compare::CompareArguments),
    /// Show the comparison as a live page in a browser: runs appear and curves grow while a sweep works
    ///
    /// The address is printed; open it in a browser. Each run has a page of its own. The server only reads, answers only this machine unless --bind
    /// is given, and loads nothing from the network. Ctrl-C ends it.
    #[command(after_help = "Examples:\n  \
        kiln serve\n  \
        kiln serve runs/learning-rate-depth --port 9000\n  \
        kiln serve runs --bind 0.0.0.0")]
    Serve(serve::ServeArguments),
    /// Retrain a run and check that it reproduces the recorded results exactly
    ///
    /// The run is trained in a temporary directory, and its own directory is not changed. An incomplete run is compared
    /// up to the last epoch of its history.
    #[command(after_help = "Example:\n  \
        kiln verify runs/fashion-mnist/20261124-101500\n\n\
        Exit status: 0 if the results are identical, 1 if they differ")]
    Verify(verify::VerifyArguments),
    /// Check runs and sweeps for damaged, stale and unfinished files, and advise what to do
    ///
    /// Files are compared with the checksums that the run recorded. Nothing is changed without --clean.
    #[command(after_help = "Examples:\n  \
        kiln doctor runs\n  \
        kiln doctor runs/learning-rate-depth --json\n  \
        kiln doctor runs --clean\n\n\
        Exit status: 0 if everything is intact or resumable, 1 if something is damaged or cannot be checked")]
    Doctor(doctor::DoctorArguments),
    /// Show the settings, the history and the test report of a run
    #[command(after_help = "Examples:\n  \
        kiln show runs/fashion-mnist/20261124-101500\n  \
        kiln show fashion-mnist/last\n  \
        kiln show learning-rate-depth/best")]
    Show(show::ShowArguments),
    /// Write a note about a run, or give it tags
    ///
    /// `kiln ls`, `kiln show` and `kiln compare` show them, and `kiln ls --tag` and `kiln compare --tag` select runs by them.
    /// They can change at any time, also while the run trains. No result depends on them. Without a text and options, the
    /// command prints the note and the tags.
    #[command(after_help = "Examples:\n  \
        kiln note fashion-mnist/last 'overfits after epoch 8; try dropout'\n  \
        kiln note fashion-mnist/best --tag best-so-far\n  \
        kiln note fashion-mnist/last --untag best-so-far --remove")]
    Note(note::NoteArguments),
    /// List runs and sweeps with their status, settings, key numbers and size
    #[command(after_help = "Examples:\n  \
        kiln ls\n  \
        kiln ls runs/learning-rate-depth\n  \
        kiln ls runs/learning-rate-depth --tag best-so-far")]
    Ls(ls::LsArguments),
    /// Free the space of checkpoints and weights that are no longer needed
    ///
    /// Without --yes, the command only lists what it would remove. It removes checkpoints and the weights before training
    /// of runs that have ended; with --keep, also the weights of all but the best runs. Reports, histories and predictions
    /// stay, and runs that can be resumed are left alone.
    #[command(after_help = "Examples:\n  \
        kiln clean runs/learning-rate-depth\n  \
        kiln clean runs/learning-rate-depth --keep best=10 --yes")]
    Clean(clean::CleanArguments),
    /// Classify images with a finished run
    ///
    /// Images are converted to the size and the channels that the network was trained on; a note says how. For each
    /// image, the most probable classes are printed. An image of the dataset gets the same probabilities as in
    /// predictions.csv.
    #[command(after_help = "Examples:\n  \
        kiln predict fashion-mnist/last boot.png shirt.jpg\n  \
        kiln predict fashion-mnist/last photos --csv > photos.csv\n  \
        kiln predict fashion-mnist/last 'drawings/*.png' --invert --top 5")]
    Predict(predict::PredictArguments),
    /// Evaluate a finished run on other labeled images
    ///
    /// The images are read like those of the training, and classes are matched by name. The report is written to a
    /// directory below that of the run, whose path is the last line of standard output; the run's own report does not
    /// change. `run.json` records every evaluation, because numbers that were looked at often are no longer those of
    /// unseen images.
    #[command(after_help = "Examples:\n  \
        kiln evaluate photos/best new-photos\n  \
        kiln evaluate mnist/last ./my-digits.npz --part all")]
    Evaluate(evaluate::EvaluateArguments),
    /// Write runs for other programs: ONNX, TensorBoard
    ///
    /// --onnx writes the network of a finished run, which ONNX Runtime and many other programs read: with the
    /// normalization of the images, the class names and the size of the images in the file. Before it is written, its
    /// results are compared with those of the run.
    ///
    /// --tensorboard writes the histories, hyperparameters, results and pictures of runs. A repeated export replaces the
    /// files.
    ///
    /// The last line of standard output is what was written.
    #[command(after_help = "Examples:\n  \
        kiln export fashion-mnist/best --onnx clothes.onnx\n  \
        kiln export photos/last --onnx photos.onnx --bytes\n  \
        kiln export runs/learning-rate-depth --tensorboard events && tensorboard --logdir events")]
    Export(export::ExportArguments),
    /// Print every key of an experiment with its default and its possible values
    #[command(after_help = "Examples:\n  \
        kiln config\n  \
        kiln config > experiment.toml     start a new experiment")]
    Config,
    /// List, download, check and preview datasets
    Data {
        #[command(subcommand)]
        command: data::DataCommand,
    },
    /// Print the completion script for a shell
    #[command(after_help = "Example:\n  \
        kiln completions bash > ~/.local/share/bash-completion/completions/kiln")]
    Completions(completions::CompletionsArguments),
    /// Write the man pages to a directory
    ///
    /// There is a page for each command. They have the text of `--help`.
    #[command(after_help = "Example:\n  \
        kiln man ~/.local/share/man/man1 && man kiln-run")]
    Man(man::ManArguments),
}

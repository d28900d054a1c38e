//! Runs the measurements. The subjects take turns.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use kiln_store::RunRecord;

use crate::kiln::Kiln;
use crate::options::Part;
use crate::peers::Peers;
use crate::samples::{Samples, Subject, Value};

pub(crate) struct Benchmark<'a> {
    pub(crate) kiln: Kiln<'a>,
    pub(crate) peers: Peers<'a>,
    pub(crate) samples: Samples,
    /// The record of a run of Kiln, with versions, commit and engine.
    pub(crate) record: RunRecord,
    /// A CSV file that gets each value at once, so that half an hour of measurements is not lost with the process.
    log: File,
}

impl Part {
    /// The subjects of this part, in the order of their turns.
    fn subjects(self) -> &'static [Subject] {
        match self {
            Self::Step | Self::Run => {
                &[Subject::Kiln, Subject::Jax, Subject::PyTorch, Subject::Keras]
            }
            Self::Sweep => &[Subject::Kiln, Subject::Jax, Subject::KilnOneByOne, Subject::PyTorch],
            Self::Commands | Self::Evaluation => &[Subject::Kiln],
        }
    }
}

impl<'a> Benchmark<'a> {
    /// Trains an epoch with Kiln, and creates the log.
    pub(crate) fn new(kiln: Kiln<'a>, peers: Peers<'a>, log: &Path) -> anyhow::Result<Self> {
        let record = kiln.warm_up()?;
        let mut log = File::create(log)?;
        writeln!(log, "part,repetition,subject,quantity,value")?;
        Ok(Self { kiln, peers, samples: Samples::default(), record, log })
    }

    /// Measures all parts. A peer that fails is not measured again. If Kiln fails, that is an error.
    pub(crate) fn run(&mut self, parts: &[Part], repetitions: usize) -> anyhow::Result<()> {
        for part in parts {
            for repetition in 1..=repetitions {
                for subject in part.subjects() {
                    let values = match self.turn(*part, *subject) {
                        Some(Ok(values)) => values,
                        Some(Err(error)) if self.peers.get(*subject).is_some() => {
                            self.peers.remove(*subject, &error);
                            continue;
                        }
                        Some(Err(error)) => return Err(error).context(subject.name()),
                        None => continue,
                    };
                    for value in values {
                        self.record_value(*part, repetition, *subject, value)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Measures one part of one subject. `None` if the subject is a peer that is not available.
    fn turn(&self, part: Part, subject: Subject) -> Option<anyhow::Result<Vec<Value>>> {
        let kiln = &self.kiln;
        Some(match (subject, part) {
            (Subject::Kiln, Part::Step) => kiln.step(),
            (Subject::Kiln, Part::Run) => kiln.run(),
            (Subject::Kiln, Part::Sweep) => kiln.sweep(),
            (Subject::Kiln, Part::Commands) => kiln.commands(),
            (Subject::Kiln, Part::Evaluation) => kiln.evaluation(),
            (Subject::KilnOneByOne, _) => kiln.one_by_one(),
            (peer, Part::Step) => self.peers.get(peer)?.step(),
            (peer, Part::Run) => self.peers.get(peer)?.run(),
            (peer, Part::Sweep) => self.peers.get(peer)?.sweep(),
            (_, Part::Commands | Part::Evaluation) => return None,
        })
    }

    fn record_value(
        &mut self,
        part: Part,
        repetition: usize,
        subject: Subject,
        value: Value,
    ) -> anyhow::Result<()> {
        let (quantity, number) = value;
        let (part, name) = (part.name(), subject.name());
        println!("{part} {repetition}  {name}: {} {}", quantity.name(), quantity.format(number));
        writeln!(self.log, "{part},{repetition},\"{name}\",\"{}\",{number}", quantity.name())?;
        self.samples.add(subject, value);
        Ok(())
    }
}

//! The contenders take turns.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use kiln_store::RunRecord;

use crate::kiln::Kiln;
use crate::options::Part;
use crate::peers::Peers;
use crate::samples::{Samples, Subject, Value};

pub(crate) struct Contest<'a> {
    pub(crate) kiln: Kiln<'a>,
    pub(crate) peers: Peers<'a>,
    pub(crate) samples: Samples,
    /// What Kiln's run says of the program: versions, commit, engine.
    pub(crate) record: RunRecord,
    /// Each value as it comes: what is measured in half an hour is not lost with the process.
    log: File,
}

impl Part {
    /// Who is measured, in the order of their turns.
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

impl<'a> Contest<'a> {
    /// Every value goes to the log as well, a CSV file.
    pub(crate) fn new(kiln: Kiln<'a>, peers: Peers<'a>, log: &Path) -> anyhow::Result<Self> {
        let record = kiln.warm_up()?;
        let mut log = File::create(log)?;
        writeln!(log, "part,repetition,subject,quantity,value")?;
        Ok(Self { kiln, peers, samples: Samples::default(), record, log })
    }

    /// A peer that fails is given up; that Kiln fails is an error.
    pub(crate) fn hold(&mut self, parts: &[Part], repetitions: usize) -> anyhow::Result<()> {
        for part in parts {
            for repetition in 1..=repetitions {
                for subject in part.subjects() {
                    let values = match self.turn(*part, *subject) {
                        Some(Ok(values)) => values,
                        Some(Err(error)) if self.peers.get(*subject).is_some() => {
                            self.peers.give_up(*subject, &error);
                            continue;
                        }
                        Some(Err(error)) => return Err(error).context(subject.name()),
                        None => continue,
                    };
                    for value in values {
                        self.note(*part, repetition, *subject, value)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// `None` of a peer that is not there.
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

    fn note(
        &mut self,
        part: Part,
        repetition: usize,
        subject: Subject,
        value: Value,
    ) -> anyhow::Result<()> {
        let (quantity, number) = value;
        let (part, name) = (part.name(), subject.name());
        println!("{part} {repetition}  {name}: {} {}", quantity.name(), quantity.tell(number));
        writeln!(self.log, "{part},{repetition},\"{name}\",\"{}\",{number}", quantity.name())?;
        self.samples.add(subject, value);
        Ok(())
    }
}

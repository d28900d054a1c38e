//! How a sweep is declared: the keys of a sweep file, and the runs that they expand to.
//!
//! | key of the file | module | adds |
//! |---|---|---|
//! | `[grid]`, `[zip]` | [`axis`] | keys with lists of values, of which a [`series`] is one |
//! | `[random]` | [`random`] | keys whose values are drawn from a [`distribution`] |
//! | `sampler` in `[random]` | [`sampling`] | combinations that are drawn from results while the sweep runs |
//! | `[[exclude]]` | [`pattern`] | which combinations are skipped |
//! | `[[block]]` | [`block`] | several sets of the tables above |
//! | `name`, `experiment`, `[repeat]` | [`sweep`] | the complete file, and the axes of the command line |
//!
//! [`expand`] turns all of this into [`SweepPoint`]s; [`record`] stores the declaration next to the runs.

mod axis;
mod block;
mod distribution;
mod expand;
mod pattern;
mod random;
mod record;
mod sampling;
mod series;
mod setting;
mod sweep;

pub use axis::MAX_RUNS;
pub use expand::SweepPoint;
pub(crate) use expand::{Expansion, InvalidPoint, in_combination};
pub use record::{SkippedRuns, SweepRecord, SweepRecords};
pub(crate) use sampling::{DrawnSample, SearchEnd};
pub use setting::Setting;
pub(crate) use setting::as_arguments;
pub use sweep::{Sweep, is_sweep_file};

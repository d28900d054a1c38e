//! The parameters of a network by their settings.

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use kiln_model::{Architecture, Network, ParameterRole, PlannedParameter};

use crate::engine::EngineSettings;
use crate::optimizers::{ParameterGroup, ParameterSettings};

/// The parameters with other settings than the default.
pub(super) struct Groups {
    /// Those that are not trained.
    pub(super) frozen: Vec<ParamId>,
    pub(super) others: Vec<ParameterGroup>,
}

impl Groups {
    pub(super) fn new(settings: &EngineSettings, network: &Network) -> Result<Self, String> {
        let exclusion = settings.optimizer.exclude_from_weight_decay;
        let mut groups = Self { frozen: Vec::new(), others: Vec::new() };
        for (id, parameter) in identified(&settings.architecture, network)? {
            if parameter.spec.role == ParameterRole::Statistic {
                continue;
            }
            let settings = exclusion.settings_of(&parameter);
            if !settings.trainable {
                groups.frozen.push(id);
            } else if settings != ParameterSettings::default() {
                match groups.others.iter_mut().find(|group| group.settings == settings) {
                    Some(group) => group.ids.push(id),
                    None => groups.others.push(ParameterGroup { settings, ids: vec![id] }),
                }
            }
        }
        Ok(groups)
    }
}

/// The parameters in the order of the weights file, which is also the order of the layers, each with the id that Burn gave
/// it in this process.
pub(super) fn identified<'a>(
    architecture: &'a Architecture,
    network: &Network,
) -> Result<Vec<(ParamId, PlannedParameter<'a>)>, String> {
    struct Visitor(Vec<(ParamId, Vec<usize>)>);
    impl ModuleVisitor for Visitor {
        fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
            self.0.push((parameter.id, parameter.val().dims().to_vec()));
        }
    }
    let mut found = Visitor(Vec::new());
    network.visit(&mut found);
    let mut found = found.0.into_iter();
    let parameters = architecture.planned_parameters().map(|parameter| match found.next() {
        Some((id, shape)) if shape == parameter.spec.shape => Ok((id, parameter)),
        // Ids and names meet only by their order. Comparing the shapes catches a layer that visits them in another one.
        _ => Err(format!("`{}` is at another place in the network", parameter.name)),
    });
    parameters.collect()
}

use std::num::NonZeroUsize;

use burn::tensor::Device;
use kiln_config::{ConfigError, Table};
use kiln_model::Architecture;
use serde::Serialize;

use crate::engine::{Implementation, unsupported};
use crate::optimizers::OptimizerKind;

/// The `[device]` table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DeviceConfig {
    /// The Burn backend.
    pub backend: Backend,
    /// The implementation of a training step.
    pub engine: EngineChoice,
}

kiln_config::keywords! {
    /// The choices of `engine`.
    pub enum EngineChoice as "engine" {
        /// The fused engine if it supports every layer and the optimizer, and the backend is `flex`; otherwise the
        /// generic engine.
        Auto = "auto",
        /// [`Implementation::Generic`].
        Generic = "generic",
        /// [`Implementation::Fused`], or an error if it does not support the backend, the optimizer or a layer.
        Fused = "fused",
    }
}

kiln_config::keywords! {
    /// The Burn backends that Kiln supports.
    pub enum Backend as "backend" {
        /// Burn's own CPU backend; the default.
        Flex = "flex",
        /// The older CPU backend on the ndarray crate.
        Ndarray = "ndarray",
        /// A GPU through Vulkan, Metal or DirectX; needs `--features wgpu`.
        Wgpu = "wgpu",
        /// An NVIDIA GPU; needs `--features cuda`.
        Cuda = "cuda",
    }
}

impl DeviceConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let default = Self::default();
        Ok(Self {
            backend: table.default("backend", default.backend)?,
            engine: table.default("engine", default.engine)?,
        })
    }
}

impl Default for DeviceConfig {
    fn default() -> Self {
        Self { backend: Backend::Flex, engine: EngineChoice::Auto }
    }
}

impl DeviceConfig {
    /// The implementation for this architecture and this optimizer.
    ///
    /// # Errors
    ///
    /// The configuration requires the fused engine; the message names what it does not support.
    pub(crate) fn implementation(
        self,
        architecture: &Architecture,
        optimizer: &OptimizerKind,
    ) -> Result<Implementation, String> {
        self.engine.implementation(self.unsupported(architecture, optimizer))
    }

    /// What the fused engine does not support: the backend, a layer or the optimizer. `None` if it supports the experiment.
    pub(crate) fn unsupported(
        self,
        architecture: &Architecture,
        optimizer: &OptimizerKind,
    ) -> Option<String> {
        match self.backend {
            Backend::Flex => unsupported(architecture, optimizer),
            // A user who chooses another backend wants it to compute, and the fused engine uses none.
            other => Some(format!("device.backend = \"{other}\"")),
        }
    }
}

impl EngineChoice {
    /// The implementation for an experiment in which the fused engine does not support `unsupported`, if anything.
    ///
    /// # Errors
    ///
    /// The choice is the fused engine; the message is `unsupported`.
    pub(crate) fn implementation(
        self,
        unsupported: Option<String>,
    ) -> Result<Implementation, String> {
        match (self, unsupported) {
            (Self::Generic, _) | (Self::Auto, Some(_)) => Ok(Implementation::Generic),
            (Self::Auto | Self::Fused, None) => Ok(Implementation::Fused),
            (Self::Fused, Some(unsupported)) => Err(unsupported),
        }
    }
}

impl Backend {
    /// After how many training steps their logits are read. It does not affect the result.
    pub(crate) const fn read_interval(self) -> NonZeroUsize {
        match self {
            // The logits of a step are on the host anyway.
            Self::Flex | Self::Ndarray => NonZeroUsize::MIN,
            // Reading waits for the device, and the device would wait for the next step.
            Self::Wgpu | Self::Cuda => NonZeroUsize::MIN.saturating_add(15),
        }
    }

    /// The device of the backend, without autodiff.
    ///
    /// # Errors
    ///
    /// This build lacks the backend.
    pub fn device(self) -> Result<Device, String> {
        match self {
            Self::Flex => Ok(Device::flex()),
            #[expect(deprecated, reason = "upstream prefers flex; kept to compare against it")]
            Self::Ndarray => Ok(Device::ndarray()),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => Ok(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
            #[cfg(feature = "cuda")]
            Self::Cuda => Ok(Device::cuda(0)),
            #[cfg(not(all(feature = "wgpu", feature = "cuda")))]
            missing => Err(format!(
                "this build has no `{missing}` backend; build Kiln with `--features {missing}`, or \
                 set device.backend to \"flex\""
            )),
        }
    }
}

use burn::tensor::Device;
use kiln_config::{ConfigError, Table};
use serde::Serialize;

/// The `[device]` table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DeviceConfig {
    /// What computes.
    pub backend: Backend,
}

kiln_config::keywords! {
    /// The Burn backends that Kiln knows.
    pub enum Backend {
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
        Ok(Self { backend: table.default("backend", Backend::Flex)? })
    }
}

impl Default for DeviceConfig {
    fn default() -> Self {
        Self { backend: Backend::Flex }
    }
}

impl Backend {
    /// The backend's device, without autodiff.
    ///
    /// # Errors
    ///
    /// The backend was not compiled in.
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

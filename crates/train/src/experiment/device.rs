use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::Device;
use kiln_config::{ConfigError, Table};
use kiln_kernels::{Instructions, Workspace};
use kiln_model::{Architecture, LayerType};
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
    /// The threads of a step in the fused engine. `None` uses all available cores, in a dense network at most one thread for
    /// each million multiplications of its largest product. Like `simd`, it does not affect the result, so it is not written and not part of the identity of a run.
    #[serde(skip)]
    pub threads: Option<NonZeroUsize>,
    /// The vector instructions of the fused engine. Optimizer updates always use the widest; the results are the same.
    #[serde(skip)]
    pub simd: Simd,
}

kiln_config::keywords! {
    /// The choices of `simd`. All of them give the same bytes.
    pub enum Simd as "simd" {
        /// The widest that the processor has.
        Auto = "auto",
        /// AVX2 with FMA.
        Avx2 = "avx2",
        /// AVX-512.
        Avx512 = "avx512",
    }
}

impl Simd {
    /// The instructions for the kernels.
    ///
    /// # Errors
    ///
    /// The processor does not have them.
    pub(crate) fn instructions(self) -> Result<Instructions, String> {
        let instructions = match self {
            Self::Auto => Instructions::Auto,
            Self::Avx2 => Instructions::Avx2,
            Self::Avx512 => Instructions::Avx512,
        };
        if instructions.available() {
            return Ok(instructions);
        }
        Err(format!("this processor has no {self} instructions; set device.simd to \"auto\""))
    }
}

/// The threads that a step may use in this process; 0 for all cores.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// Limits the threads of training steps in this process. A worker that shares the machine with others calls it before training.
pub fn limit_threads(threads: NonZeroUsize) {
    THREADS.store(threads.get(), Ordering::Relaxed);
}

/// The threads that a step may use.
fn available_threads() -> usize {
    match THREADS.load(Ordering::Relaxed) {
        0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        threads => threads,
    }
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
        // The default stands for a missing key, because it is not accepted.
        let expected = "a whole number from 1 to 256";
        let threads = table
            .checked("threads", NonZeroUsize::MAX, expected, |threads| threads.get() <= 256)?;
        let threads = Some(threads).filter(|threads| *threads != NonZeroUsize::MAX);
        Ok(Self {
            backend: table.default("backend", default.backend)?,
            engine: table.default("engine", default.engine)?,
            threads,
            simd: table.default("simd", default.simd)?,
        })
    }
}

impl Default for DeviceConfig {
    fn default() -> Self {
        Self { backend: Backend::Flex, engine: EngineChoice::Auto, threads: None, simd: Simd::Auto }
    }
}

impl DeviceConfig {
    /// The settings that the TOML of an experiment does not have, because no result depends on them: overrides such as
    /// `device.threads=2`.
    #[must_use]
    pub fn unwritten(self) -> Vec<String> {
        let threads = self.threads.map(|threads| format!("device.threads={threads}"));
        let simd = (self.simd != Simd::Auto).then(|| format!("device.simd={}", self.simd));
        threads.into_iter().chain(simd).collect()
    }

    /// Takes the settings of [`unwritten`](Self::unwritten) from another table.
    pub(crate) fn set_unwritten(&mut self, other: Self) {
        let Self { threads, simd, .. } = other;
        *self = Self { threads, simd, ..*self };
    }

    /// The threads of a step of this implementation.
    pub(crate) fn threads(
        self,
        architecture: &Architecture,
        batch_size: usize,
        step: Implementation,
    ) -> usize {
        match (step, self.threads) {
            // Burn decides on its threads.
            (Implementation::Generic, _) => 1,
            (Implementation::Fused, Some(threads)) => threads.get(),
            (Implementation::Fused, None) => {
                let useful = architecture.nested_layers().map(|(_, layer)| match layer.kind {
                    LayerType::Conv2d(_) | LayerType::DepthwiseConv2d(_) => usize::MAX,
                    LayerType::Dense(_) => {
                        let sizes = [layer.input.len(), layer.output.len(), batch_size];
                        let products = sizes.into_iter().fold(1, usize::saturating_mul);
                        Workspace::useful_threads(products)
                    }
                    _ => 1,
                });
                useful.max().unwrap_or(1).min(available_threads())
            }
        }
    }

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

    /// The backend, layer or optimizer that the fused engine does not support. `None` if it supports the experiment.
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

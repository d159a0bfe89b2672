//! Where networks are trained: always named, never burn's default, which would take any GPU
//! that is compiled in.

use burn::tensor::{Device, DeviceKind};
use sidereal_inference::campaign::DeviceChoice;
use sidereal_inference::weights::Objective;
use std::path::Path;

/// `training.device = "wgpu"`, which cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum NoDevice {
    /// No driver shows one.
    #[error(
        "training.device = \"wgpu\" finds no adapter on this machine; expected a GPU with a Vulkan, Metal or DirectX 12 \
         driver (or use \"cpu\")"
    )]
    NoAdapter,
    /// The program cannot use any.
    #[error(
        "training.device = \"wgpu\", and this sidereal was built without its feature wgpu; build it with that feature, \
         which is one of the default ones (or use \"cpu\")"
    )]
    NotBuilt,
}

/// The device that `choice` means on this machine; `auto` takes a GPU only where there is a real one.
pub fn choose(choice: DeviceChoice) -> Result<Device, NoDevice> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::flex()),
        DeviceChoice::Auto if !may_have_gpu() => Ok(Device::flex()),
        DeviceChoice::Auto => Ok(first_of(&REAL_GPUS).unwrap_or_else(Device::flex)),
        DeviceChoice::Wgpu => first_of(&REAL_GPUS)
            .or_else(|| first_of(&[DeviceKind::Cpu]))
            .ok_or(match cfg!(feature = "wgpu") {
                true => NoDevice::NoAdapter,
                false => NoDevice::NotBuilt,
            }),
    }
}

/// Where a flow of `objective` is trained in a campaign that trains on `device`: one that sees no data on the CPU always,
/// which needs about a millisecond for a whole step of so small a network.
pub(crate) fn of(objective: Objective, device: &Device) -> Device {
    match objective {
        Objective::Simulations => device.clone(),
        Objective::WeightedDraws { .. } | Objective::SurrogateDraws => Device::flex(),
    }
}

/// Whether work goes to wgpu: a GPU, or a software renderer that stands in for one.
pub fn is_wgpu(device: &Device) -> bool {
    *device != Device::flex()
}

/// What kind of device this is, for people.
pub fn name(device: &Device) -> &'static str {
    if is_wgpu(device) { "wgpu" } else { "cpu" }
}

const REAL_GPUS: [DeviceKind; 3] = [
    DeviceKind::DiscreteGpu(0),
    DeviceKind::IntegratedGpu(0),
    DeviceKind::VirtualGpu(0),
];

/// Whether the kernel shows a GPU. Without one only software renderers would answer, and to ask them is slow and brings
/// errors of Mesa's own to standard error.
fn may_have_gpu() -> bool {
    const NODES: [&str; 5] = [
        "/dev/dri",
        "/dev/nvidiactl",
        "/dev/dxg",
        "/dev/mali0",
        "/dev/nvmap",
    ];
    !cfg!(target_os = "linux") || NODES.iter().any(|node| Path::new(node).exists())
}

#[cfg(not(feature = "wgpu"))]
fn first_of(_kinds: &[DeviceKind]) -> Option<Device> {
    None
}

#[cfg(feature = "wgpu")]
fn first_of(kinds: &[DeviceKind]) -> Option<Device> {
    use burn::tensor::DeviceType;
    let found = Device::enumerate(DeviceType::Wgpu).into_vec();
    kinds
        .iter()
        .map(|kind| Device::wgpu(kind.clone()))
        .find(|device| found.contains(device))
}

#[cfg(all(test, feature = "wgpu"))]
mod tests {
    use super::*;

    #[test]
    fn flows_that_see_no_data_stay_on_the_cpu() {
        let gpu = Device::wgpu(DeviceKind::DiscreteGpu(0));
        let draws = Objective::WeightedDraws { exponent: 1.0 };
        assert_eq!(of(draws, &gpu), Device::flex());
        assert_eq!(of(Objective::Simulations, &gpu), gpu);
    }
}

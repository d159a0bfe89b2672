//! The wgpu device trains too: the same losses as on the CPU, within tolerance.
//!
//! Needs a Vulkan driver; `tests/install-vulkan.sh` installs a software one. Autotuning is turned
//! down: on a software renderer burn's default takes a minute to its first step.

mod setup;

use burn::tensor::Device;
use setup::{AfterEpoch, campaign, fit_on};
use sidereal_inference::campaign::DeviceChoice;
use sidereal_trainer::device;
use sidereal_trainer::training::TrainingState;

const TINY: &str = r#"
[featurizer]
kind = "mlp"
layers = 1
hidden = 4
features = 4
[flow]
kind = "maf"
blocks = 1
hidden = 4
layers = 1
components = 1
[training]
max_epochs = 2
batch_size = 120
"#;

#[test]
fn wgpu_trains_as_the_cpu_does() {
    let wgpu = match device::choose(DeviceChoice::Wgpu) {
        Ok(device) => device,
        Err(error) if std::env::var_os("CI").is_none() => {
            eprintln!("skipped: {error}; tests/install-vulkan.sh installs a software driver");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let campaign = campaign(TINY);
    let mut ignore = AfterEpoch(|_: &TrainingState| Ok(()));
    let cpu = fit_on(&Device::flex(), &campaign, 1, None, &mut ignore).expect("on the CPU");
    let gpu = fit_on(&wgpu, &campaign, 1, None, &mut ignore).expect("on wgpu");
    for (cpu, gpu) in cpu
        .summary
        .validation_loss
        .iter()
        .zip(&gpu.summary.validation_loss)
    {
        assert!(
            (cpu - gpu).abs() < 1e-3 * (1.0 + cpu.abs()),
            "CPU {cpu}, wgpu {gpu}"
        );
    }
}

#[test]
fn auto_is_the_cpu_where_there_is_no_real_gpu() {
    let chosen = device::choose(DeviceChoice::Auto).expect("auto always finds a device");
    let wgpu_only_in_software = device::choose(DeviceChoice::Wgpu)
        .is_ok_and(|device| device == Device::wgpu(burn::tensor::DeviceKind::Cpu));
    if wgpu_only_in_software {
        assert!(!device::is_wgpu(&chosen));
    }
}

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
use std::sync::Mutex;

/// One test at a time: the pools of memory are the device's.
static DEVICE: Mutex<()> = Mutex::new(());

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
    let Some(wgpu) = wgpu_or_skip() else {
        return;
    };
    let _alone = DEVICE.lock();
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

/// burn's pools keep pages of memory that nothing uses any more, more and more of them.
#[test]
fn memory_on_the_device_stays_flat() {
    let Some(wgpu) = wgpu_or_skip() else {
        return;
    };
    let _alone = DEVICE.lock();
    let campaign = campaign(&TINY.replace("max_epochs = 2", "max_epochs = 30\npatience = 30"));
    let mut reserved = Vec::new();
    let mut look = AfterEpoch(|_: &TrainingState| {
        let usage = wgpu.memory_pool_usage().expect("wgpu has pools");
        reserved.push(usage.bytes_reserved);
        Ok(())
    });
    fit_on(&wgpu, &campaign, 1, None, &mut look).expect("on wgpu");
    let (early, late) = (reserved[5], reserved[29]);
    assert!(late <= early, "{early} bytes grew to {late}: {reserved:?}");
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

/// A software renderer too; None, said, where there is nothing, which in CI is an error.
fn wgpu_or_skip() -> Option<Device> {
    match device::choose(DeviceChoice::Wgpu) {
        Ok(device) => Some(device),
        Err(error) if std::env::var_os("CI").is_none() => {
            eprintln!("skipped: {error}; tests/install-vulkan.sh installs a software driver");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

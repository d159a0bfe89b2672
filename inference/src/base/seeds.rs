//! Random streams: one ChaCha stream per row and purpose, never per worker, batch or attempt.

use super::ids::{RoundId, RowId, TargetId};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};

/// What a random stream is for; streams of different purposes are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Parameters of a row, drawn from the round's proposal.
    Draw,
    /// Randomness of the forward model itself.
    Simulate,
    /// Noise of the training data; the row is the training row, the round that of the flow.
    TrainingNoise {
        /// Counted from 0.
        epoch: u32,
    },
    /// Fixed noise of the validation data.
    ValidationNoise,
    /// Order of the training rows in an epoch (row 0).
    Shuffle {
        /// Counted from 0.
        epoch: u32,
    },
    /// Split of rows into training and validation (row 0).
    Split,
    /// Initial weights of a network (row 0).
    Initialize,
    /// Bootstrap of the efficiency (row 0).
    Bootstrap,
    /// Draws of a prediction; the row is the draw.
    Predict,
    /// Draws of equal weight from weighted ones (row 0).
    Resample,
    /// Particles of a surrogate's posterior; the round is the number of the flow (row 0).
    Surrogate,
    /// Values of linear parameters, which are not drawn with the row.
    Linear,
    /// Targets of a check of calibration; the row is the target.
    Check,
}

impl Purpose {
    fn words(self) -> (u8, u32) {
        match self {
            Self::Draw => (0, 0),
            Self::Simulate => (1, 0),
            Self::TrainingNoise { epoch } => (2, epoch),
            Self::ValidationNoise => (3, 0),
            Self::Shuffle { epoch } => (4, epoch),
            Self::Split => (5, 0),
            Self::Initialize => (6, 0),
            Self::Bootstrap => (7, 0),
            Self::Predict => (8, 0),
            Self::Resample => (9, 0),
            Self::Surrogate => (10, 0),
            Self::Linear => (11, 0),
            Self::Check => (12, 0),
        }
    }
}

/// The random stream of one row for one purpose.
///
/// The key is SHA-256 of campaign seed, round and purpose; the ChaCha stream number is the row.
pub fn stream(seed: u64, round: RoundId, row: RowId, purpose: Purpose) -> ChaCha8Rng {
    let (tag, counter) = purpose.words();
    let mut hasher = Sha256::new();
    hasher.update(b"sidereal stream 1");
    hasher.update(seed.to_le_bytes());
    hasher.update(round.0.to_le_bytes());
    hasher.update([tag]);
    hasher.update(counter.to_le_bytes());
    let mut rng = ChaCha8Rng::from_seed(hasher.finalize().into());
    rng.set_stream(row.0);
    rng
}

/// The seed of one target of a catalogue: of the catalogue's seed and the target's id alone, so that neither the other
/// targets nor their order show.
pub fn seed_of_target(seed: u64, target: &TargetId) -> u64 {
    let mut hasher = Sha256::new();
    hasher.update(b"sidereal target 1");
    hasher.update(seed.to_le_bytes());
    hasher.update(target.to_string());
    let digest = hasher.finalize();
    let first = digest.iter().take(8).enumerate();
    first.fold(0, |seed, (i, &byte)| seed | u64::from(byte) << (8 * i))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::Rng;

    #[test]
    fn streams_differ_in_every_argument_and_repeat() {
        let base = |seed, round, row, purpose| {
            stream(seed, RoundId(round), RowId(row), purpose).next_u64()
        };
        let first = base(1, 0, 0, Purpose::Draw);
        assert_eq!(first, base(1, 0, 0, Purpose::Draw));
        assert_ne!(first, base(2, 0, 0, Purpose::Draw));
        assert_ne!(first, base(1, 1, 0, Purpose::Draw));
        assert_ne!(first, base(1, 0, 1, Purpose::Draw));
        assert_ne!(first, base(1, 0, 0, Purpose::Simulate));
        assert_ne!(
            base(1, 0, 0, Purpose::Shuffle { epoch: 0 }),
            base(1, 0, 0, Purpose::Shuffle { epoch: 1 })
        );
    }

    /// The first eight bytes of SHA-256, by Python's `hashlib`: changed seeds would change every catalogue.
    #[test]
    fn seeds_of_targets_agree_with_another_implementation() {
        let name = |name: &str| TargetId::Name(name.to_owned());
        assert_eq!(seed_of_target(0, &name("a")), 0xad9d_2345_94cd_f50f);
        assert_eq!(
            seed_of_target(7, &TargetId::Number(-12)),
            0x0df0_6116_8829_b0fb
        );
        assert_eq!(seed_of_target(7, &name("-12")), 0x0df0_6116_8829_b0fb);
    }

    /// SHA-256 and ChaCha8 written out in Python: a changed stream would change every campaign.
    #[test]
    fn streams_agree_with_another_implementation() {
        let table = [
            (
                0,
                0,
                0,
                Purpose::Draw,
                [0xcc68_33d9_2614_23b6, 0xb2fb_45ae_e2a6_fa04],
            ),
            (
                42,
                3,
                (1 << 40) + 7,
                Purpose::TrainingNoise { epoch: 5 },
                [0x0231_1d89_38c9_3ef6, 0x3039_fc0d_310b_7018],
            ),
            (
                u64::MAX,
                0,
                1,
                Purpose::Predict,
                [0x42af_c976_76d5_88ea, 0xece0_ecf8_2c97_44ce],
            ),
        ];
        for (seed, round, row, purpose, expected) in table {
            let mut rng = stream(seed, RoundId(round), RowId(row), purpose);
            assert_eq!([rng.next_u64(), rng.next_u64()], expected, "{purpose:?}");
        }
    }
}

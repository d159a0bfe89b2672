//! Campaign directories on file systems and S3-compatible object stores.
//!
//! [`open`] takes a path or an `s3://bucket/prefix` and gives a [`Directory`](sidereal_inference::records::Directory).
//! Both go through the `object_store` crate; local files and their folders are synced before a write returns.
//!
//! ```
//! # let place = std::env::temp_dir().join(format!("sidereal-doc-{}", std::process::id()));
//! # let location = place.display().to_string();
//! let directory = sidereal_store::create(&location)?;
//! directory.write("rounds/note", "kept")?;
//! assert_eq!(sidereal_store::open(&location)?.read("rounds/note")?, "kept");
//! # std::fs::remove_dir_all(place)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![warn(missing_docs)]

mod blocking;
mod choice;
pub mod conformance;
mod local;
mod open;

pub use blocking::ObjectStorage;
pub use choice::{ChoiceError, StorageChoice};
pub use open::{Kind, OpenError, create, kind, open};

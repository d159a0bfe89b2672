//! The conformance suite on every kind of storage that this crate opens.

use object_store::memory::InMemory;
use sidereal_inference::records::Directory;
use sidereal_store::{ObjectStorage, conformance, create};
use std::sync::Arc;

#[test]
fn file_systems_conform() {
    let root = tempfile::tempdir().expect("temporary directory");
    let location = root.path().join("new/with space").display().to_string();
    conformance::check(&create(&location).expect("open")).expect("conformance");
}

#[test]
fn memory_conforms() {
    conformance::check(&Directory::in_memory()).expect("conformance");
    let store = ObjectStorage::new(Arc::new(InMemory::new()), "memory".to_owned());
    conformance::check(&Directory::new(store)).expect("conformance");
}

//! Generates the wire types from the `.proto` file, without a system protoc.

use prost::Message;
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(["proto/sidereal/v1/coordinator.proto"], ["proto"])?;
    // For reflection: what a client without the .proto file asks for.
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("sidereal.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}

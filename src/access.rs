//! `sidereal access`: makes an access file and its key before any coordinator runs, for a secret store.

use crate::exit::{CommandError, Ending};
use crate::results;
use clap::Args;
use sidereal_proto::access::{Access, AccessFile, SERVER_NAME, Secrets, key_path};
use std::path::PathBuf;

#[derive(Args)]
pub struct AccessArguments {
    /// Access file to write; the private key goes beside it, in a file ending in `.key`
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// host:port that workers and trainers will reach the coordinator at
    #[arg(long, value_name = "HOST:PORT")]
    advertise: String,
}

pub fn run(arguments: &AccessArguments) -> Result<Ending, CommandError> {
    let has_port = arguments
        .advertise
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if !has_port {
        return Err(CommandError::unusable(format!(
            "--advertise {:?}: expected host:port",
            arguments.advertise
        )));
    }
    let key = key_path(&arguments.file);
    if key == arguments.file {
        return Err(CommandError::unusable(format!(
            "{}: expected another name, this is the key's",
            arguments.file.display()
        )));
    }
    let secrets = Secrets::load_or_create(&key).map_err(CommandError::unusable)?;
    let access = Access {
        address: format!("https://{}", arguments.advertise),
        server_name: SERVER_NAME.to_owned(),
        certificate: Some(secrets.certificate),
        token: secrets.token,
    };
    AccessFile::new(access, None, false)
        .store(&arguments.file)
        .map_err(CommandError::unusable)?;
    results::print(&format!(
        "{}\n{}\n",
        arguments.file.display(),
        key.display()
    ));
    Ok(Ending::Done)
}

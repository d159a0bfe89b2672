//! A journal, one record a line without its checksum: refused with a reason, or a state that can be told.

use sidereal_coordinator::{read_results, read_status};
use sidereal_inference::base::files::sha256_hex;
use sidereal_inference::records::Directory;

/// Whether its records follow from each other.
pub fn parse(bytes: &[u8]) -> bool {
    let directory = Directory::in_memory();
    let lines = bytes
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty());
    for (sequence, line) in lines.enumerate() {
        // A checksum that does not fit would end every record here.
        let mut record = line.strip_suffix(b"}").unwrap_or(line).to_vec();
        let checksum = sha256_hex(&record);
        record.extend_from_slice(format!(",\"sha256\":\"{checksum}\"}}\n").as_bytes());
        directory
            .write(&format!("journal/{sequence:08}.json"), record)
            .expect("memory takes it");
    }
    let status = read_status(&directory, "fuzzed");
    // The results that it names are not there.
    let _ = read_results(&directory);
    status.is_ok_and(|(status, _)| status.run.is_some())
}

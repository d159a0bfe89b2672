//! What is sent to a child at its start, and how it says that it is ready.

use crate::process::reply::{NoReply, cut};
use crate::process::settings::Hello;
use serde::{Deserialize, Serialize};
use std::io::Read;

const PROTOCOL: u32 = 1;

/// A longer `ready` is nonsense.
const MOST_BYTES: usize = 1 << 20;

/// What an interpreter is started with: it reads the rest from descriptor 3.
pub const BOOT: &str = "\
import os
def read(n):
    found = b''
    while len(found) < n:
        piece = os.read(3, n - len(found))
        if not piece:
            raise SystemExit(1)
        found += piece
    return found
exec(compile(read(int(read(8))), '_child.py', 'exec'))
";

const CHILD: &str = include_str!("../../../python/src/sidereal_inference/_child.py");

/// What [`BOOT`] reads.
pub fn python_source() -> Vec<u8> {
    format!("{:08}{CHILD}", CHILD.len()).into_bytes()
}

#[derive(Serialize)]
struct Numbered<'a> {
    protocol: u32,
    #[serde(flatten)]
    hello: &'a Hello,
}

/// The frame that says hello.
pub fn hello_frame(hello: &Hello) -> Result<Vec<u8>, String> {
    let numbered = Numbered {
        protocol: PROTOCOL,
        hello,
    };
    let json = serde_json::to_vec(&numbered).map_err(|error| error.to_string())?;
    let length = u32::try_from(json.len())
        .map_err(|_| format!("the observation has {} bytes, more than 4 GB", json.len()))?;
    Ok([&length.to_le_bytes()[..], &json].concat())
}

#[derive(Deserialize)]
struct Ready {
    protocol: u32,
    program: Option<String>,
    error: Option<String>,
}

/// Reads the frame that says ready, and gives what program the child is, or what keeps it from starting.
pub fn read_ready(stream: &mut impl Read) -> Result<Result<String, String>, NoReply> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let found = u32::from_le_bytes(length) as usize;
    if found > MOST_BYTES {
        return Err(NoReply::nonsense(format!(
            "found a greeting of {found} bytes, expected at most {MOST_BYTES}"
        )));
    }
    let mut json = vec![0; found];
    stream.read_exact(&mut json)?;
    let ready: Ready = serde_json::from_slice(&json)
        .map_err(|error| NoReply::Nonsense(cut(&format!("its greeting: {error}"))))?;
    if ready.protocol != PROTOCOL {
        return Err(NoReply::nonsense(format!(
            "it speaks protocol {}, expected {PROTOCOL}",
            ready.protocol
        )));
    }
    Ok(match ready.error {
        Some(error) => Err(error),
        None => Ok(cut(&ready.program.unwrap_or_default())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(json: &str) -> Vec<u8> {
        [&(json.len() as u32).to_le_bytes()[..], json.as_bytes()].concat()
    }

    fn read(bytes: &[u8]) -> Result<Result<String, String>, NoReply> {
        read_ready(&mut &*bytes)
    }

    #[test]
    fn ready_is_a_program_or_an_error() {
        let ready = frame(r#"{"protocol": 1, "program": "Python 3.11.7"}"#);
        assert_eq!(read(&ready), Ok(Ok("Python 3.11.7".to_owned())));
        let error = frame(r#"{"protocol": 1, "error": "no module"}"#);
        assert_eq!(read(&error), Ok(Err("no module".to_owned())));
        assert_eq!(read(&ready[..9]), Err(NoReply::Ended));
    }

    #[test]
    fn another_greeting_is_nonsense() {
        let nonsense = |bytes: &[u8]| match read(bytes) {
            Err(NoReply::Nonsense(message)) => message,
            other => panic!("found {other:?}"),
        };
        assert_eq!(
            nonsense(b"Hello, world"),
            "found a greeting of 1819043144 bytes, expected at most 1048576"
        );
        assert_eq!(
            nonsense(&frame(r#"{"protocol": 2}"#)),
            "it speaks protocol 2, expected 1"
        );
        assert_eq!(
            nonsense(&frame("{}")),
            "its greeting: missing field `protocol` at line 1 column 2"
        );
    }
}

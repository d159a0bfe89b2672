//! The token that every call carries as `authorization: Bearer <token>`.

use subtle::ConstantTimeEq;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Puts the token on every call of a client.
#[derive(Debug, Clone)]
pub struct AddToken {
    value: MetadataValue<Ascii>,
}

/// The token holds characters that a header cannot carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("token holds characters that are not visible ASCII")]
pub struct TokenError;

impl AddToken {
    /// Refuses a token that a header cannot carry.
    pub fn new(token: &str) -> Result<Self, TokenError> {
        let mut value: MetadataValue<Ascii> =
            format!("Bearer {token}").parse().map_err(|_| TokenError)?;
        value.set_sensitive(true);
        Ok(Self { value })
    }
}

impl Interceptor for AddToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.value.clone());
        Ok(request)
    }
}

/// Whether a call carries `token`; takes equally long wherever the two differ.
pub fn carries_token(metadata: &MetadataMap, token: &str) -> bool {
    let Some(value) = metadata.get("authorization") else {
        return false;
    };
    let Some(found) = value.as_bytes().strip_prefix(b"Bearer ") else {
        return false;
    };
    // Only the length shows in the time that this takes.
    found.ct_eq(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata_of(mut interceptor: AddToken) -> MetadataMap {
        interceptor
            .call(Request::new(()))
            .expect("request passes")
            .into_parts()
            .0
    }

    #[test]
    fn token_is_accepted_only_whole_and_exact() {
        let metadata = metadata_of(AddToken::new("secret").expect("token"));
        assert!(carries_token(&metadata, "secret"));
        for other in ["secres", "tecret", "secre", "secrets", ""] {
            assert!(!carries_token(&metadata, other), "{other}");
        }
        assert!(!carries_token(&MetadataMap::new(), "secret"));
        let mut basic = MetadataMap::new();
        basic.insert("authorization", MetadataValue::from_static("Basic secret"));
        assert!(!carries_token(&basic, "secret"));
        assert_eq!(AddToken::new("line\nbreak").err(), Some(TokenError));
    }
}

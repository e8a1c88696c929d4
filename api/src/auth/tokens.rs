//! Access tokens: HS256, naming a user and a session and nothing else.
//!
//! Whether the session lives, and which role the user has, is asked of the store with each request: a token is
//! never an authority, so nothing has to be waited out after a log-out.

use domain::{SharedClock, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

const ISSUER: &str = "security-analytics";

/// What a token says.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Claims {
    iss: String,
    aud: String,
    iat: i64,
    exp: i64,
    sub: String,
    /// The session.
    pub(crate) sid: String,
}

impl Claims {
    /// The user's id.
    pub(crate) fn user_id(&self) -> Option<i64> {
        self.sub.parse().ok()
    }
}

/// Makes and reads tokens.
pub(crate) struct Tokens {
    sign: EncodingKey,
    verify: Vec<DecodingKey>,
    validation: Validation,
    clock: SharedClock,
}

impl Tokens {
    /// The first secret signs, all verify: a rotated secret stays readable for as long as its tokens live.
    pub(crate) fn new(secrets: &[Vec<u8>], clock: SharedClock) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[ISSUER]);
        validation.set_required_spec_claims(&["iss", "aud", "exp", "sub"]);
        validation.leeway = 0;
        // The crate would ask the machine's clock; the expiry is judged below by ours.
        validation.validate_exp = false;
        let first = secrets.first().map_or(&[][..], Vec::as_slice);
        let verify = secrets.iter().map(|secret| DecodingKey::from_secret(secret)).collect();
        Self { sign: EncodingKey::from_secret(first), verify, validation, clock }
    }

    /// A token for a session that ends at `expires`.
    pub(crate) fn issue(&self, user_id: i64, session: &str, expires: Timestamp) -> Result<String, String> {
        let claims = Claims {
            iss: ISSUER.into(),
            aud: ISSUER.into(),
            iat: self.clock.now().micros() / domain::SECOND,
            exp: expires.micros() / domain::SECOND,
            sub: user_id.to_string(),
            sid: session.to_owned(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.sign).map_err(|e| e.to_string())
    }

    /// The claims of a token that is ours and has not expired.
    pub(crate) fn read(&self, token: &str) -> Option<Claims> {
        let claims =
            self.verify.iter().find_map(|key| jsonwebtoken::decode::<Claims>(token, key, &self.validation).ok())?;
        let now = self.clock.now().micros() / domain::SECOND;
        (claims.claims.exp > now).then_some(claims.claims)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use domain::{HOUR, ManualClock};

    use super::*;

    #[test]
    fn tokens_expire_rotate_and_do_not_cross() {
        let clock = Arc::new(ManualClock::at(Timestamp::from_micros(1_700_000_000 * domain::SECOND)));
        let (old, new) = (vec![1; 32], vec![2; 32]);
        let before = Tokens::new(std::slice::from_ref(&old), clock.clone());
        let rotated = Tokens::new(&[new.clone(), old], clock.clone());
        let other = Tokens::new(&[new], clock.clone());
        let token = before.issue(7, "s", domain::Clock::now(&*clock).plus(HOUR)).unwrap();
        assert_eq!(rotated.read(&token).unwrap().user_id(), Some(7));
        assert!(other.read(&token).is_none());
        clock.advance(HOUR);
        assert!(rotated.read(&token).is_none());
        assert!(rotated.read("eyJhbGciOiJub25lIn0.e30.").is_none());
    }
}

//! Signatures of Standard Webhooks (standardwebhooks.com): HMAC-SHA256 over id, time and body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Stands before a secret in its text form.
const PREFIX: &str = "whsec_";
/// Bytes of a secret; the specification allows 24 to 64.
const BYTES: usize = 32;

/// A secret that is no secret: it was not made by [`new_secret`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the stored secret cannot be read; make a new one")]
pub(crate) struct BadSecret;

/// A new secret, in the form in which receivers take it.
#[must_use]
pub fn new_secret() -> String {
    let bytes: [u8; BYTES] = rand::random();
    format!("{PREFIX}{}", STANDARD.encode(bytes))
}

/// The header `webhook-signature`: one signature for each secret, so that a receiver may know the old one or the new.
/// `seconds`: the header `webhook-timestamp`, Unix time.
pub(crate) fn signatures(secrets: &[String], id: &str, seconds: i64, body: &[u8]) -> Result<String, BadSecret> {
    let each: Result<Vec<String>, BadSecret> =
        secrets.iter().map(|secret| signature(secret, id, seconds, body)).collect();
    Ok(each?.join(" "))
}

fn signature(secret: &str, id: &str, seconds: i64, body: &[u8]) -> Result<String, BadSecret> {
    let key = secret.strip_prefix(PREFIX).and_then(|text| STANDARD.decode(text).ok()).ok_or(BadSecret)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| BadSecret)?;
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body);
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;

    #[test]
    fn the_vector_of_the_specification() {
        let signed = signatures(&[SECRET.to_owned()], ID, 1_614_265_330, BODY);
        assert_eq!(signed.as_deref(), Ok("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn two_secrets_sign_side_by_side() {
        let both = signatures(&[new_secret(), SECRET.to_owned()], ID, 1_614_265_330, BODY).expect("signed");
        let parts: Vec<&str> = both.split(' ').collect();
        assert_eq!(parts.len(), 2);
        assert_ne!(parts[0], parts[1]);
        assert_eq!(parts[1], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_are_new_each_time_and_no_other_text_is_one() {
        assert_ne!(new_secret(), new_secret());
        assert_eq!(new_secret().len(), PREFIX.len() + 44);
        for wrong in ["", "whsec_%", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert_eq!(signatures(&[wrong.to_owned()], ID, 0, BODY), Err(BadSecret), "{wrong}");
        }
    }
}

//! What every handler can reach.

use std::ops::Deref;
use std::sync::Arc;

use domain::SharedClock;
use store::Store;

use crate::auth::password::Hasher;
use crate::auth::tokens::Tokens;
use crate::config::Config;
use crate::hooks::Hooks;
use crate::idempotency::Turns;
use crate::limit::Limits;

/// The API's state, cheap to clone.
#[derive(Clone)]
pub struct AppState(Arc<Inner>);

/// The parts behind [`AppState`].
pub struct Inner {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) clock: SharedClock,
    pub(crate) tokens: Tokens,
    pub(crate) hasher: Hasher,
    pub(crate) limits: Limits,
    pub(crate) turns: Turns,
    pub(crate) hooks: Hooks,
    /// Held while stored activities go through the engine.
    pub(crate) reprocessing: tokio::sync::Mutex<()>,
}

/// Why the API cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// No secret, or one that can be guessed.
    #[error("JWT_SECRET_KEY must have at least 32 bytes")]
    WeakSecret,
    /// bcrypt refuses its cost.
    #[error("bcrypt: {0}")]
    Bcrypt(#[from] bcrypt::BcryptError),
}

impl AppState {
    /// Puts the state together. Takes as long as one password hash.
    ///
    /// # Errors
    /// When a secret is too short or the cost of bcrypt is out of its range.
    pub fn new(config: Config, store: Store, clock: SharedClock, hooks: Hooks) -> Result<Self, SetupError> {
        if config.jwt_secrets.is_empty() || config.jwt_secrets.iter().any(|secret| secret.len() < 32) {
            return Err(SetupError::WeakSecret);
        }
        let tokens = Tokens::new(&config.jwt_secrets, clock.clone());
        let hasher = Hasher::new(config.bcrypt_cost, config.bcrypt_slots, 256)?;
        let limits = Limits::new(config.rate_limit);
        Ok(Self(Arc::new(Inner {
            config,
            store,
            clock,
            tokens,
            hasher,
            limits,
            turns: Turns::default(),
            hooks,
            reprocessing: tokio::sync::Mutex::new(()),
        })))
    }
}

impl Deref for AppState {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

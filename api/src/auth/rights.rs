//! Rights, as types that handlers name in their arguments.
//!
//! To add one: a unit struct and its line in [`rights!`]; then ask for `Allowed<YourRight>` in a handler. What depends
//! on whose row it is ("own") is decided in the handler, which knows the row.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use domain::Role;

use super::caller::{Caller, Identity};
use crate::problem::Problem;

/// A right that a role has or has not.
pub(crate) trait Right: Send + Sync + 'static {
    /// Its name, in the OpenAPI document.
    const NAME: &'static str;
    /// The sentence of the refusal.
    const REFUSAL: &'static str;
    /// Whether the role has it.
    fn held_by(role: Role) -> bool;
}

macro_rules! rights {
    ($($(#[$doc:meta])* $name:ident: $($role:ident)|+ => $refusal:literal;)+) => {$(
        $(#[$doc])*
        pub(crate) struct $name;
        impl Right for $name {
            const NAME: &'static str = stringify!($name);
            const REFUSAL: &'static str = $refusal;
            fn held_by(role: Role) -> bool {
                matches!(role, $(Role::$role)|+)
            }
        }
    )+};
}

rights! {
    /// Any user who is logged in.
    LoggedIn: Admin | Supervisor | Employee | Contractor => "You are not allowed to do this.";
    /// Create, change and delete items.
    ManageInventory: Admin | Supervisor => "Only an Admin or a Supervisor may change the inventory.";
    /// Orders at all; whose, the handler decides.
    UseOrders: Admin | Supervisor | Employee => "Contractors have no access to orders.";
    /// Create and delete users; of which role, the handler decides.
    ManageUsers: Admin | Supervisor => "Only an Admin or a Supervisor may manage users.";
    /// Scores, flags, alerts and rules.
    SeeAnalytics: Admin | Supervisor => "Only an Admin or a Supervisor may see analytics.";
    /// Exceptions, keys, webhooks, dead letters and everything that could blind the watch.
    Administer: Admin => "Only an Admin may do this.";
}

/// Proof that the caller has the right `R`; without it the request is refused, and the refusal recorded.
pub(crate) struct Allowed<R>(pub(crate) Arc<Caller>, pub(crate) PhantomData<R>);

impl<R: Right, S: Send + Sync> FromRequestParts<S> for Allowed<R> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match parts.extensions.get::<Identity>() {
            Some(Identity::User(caller)) if R::held_by(caller.user.role) => Ok(Self(caller.clone(), PhantomData)),
            Some(Identity::User(_)) => Err(Problem::forbidden(R::REFUSAL).with_reason("no_right")),
            Some(Identity::Key(_)) => {
                Err(Problem::forbidden("An API key may only post events.").with_reason("no_right"))
            }
            None => Err(Problem::unauthorized("Log in to continue.")),
        }
    }
}

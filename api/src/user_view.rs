//! A user as clients see one: never with a password hash.

use domain::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use store::UserRow;

use crate::words::RoleName;

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = User::example)]
pub(crate) struct User {
    pub(crate) user_id: i64,
    pub(crate) username: String,
    #[schema(required)]
    email: Option<String>,
    #[schema(required)]
    full_name: Option<String>,
    role_id: i64,
    #[schema(value_type = RoleName)]
    role_name: &'static str,
    is_active: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl User {
    /// Somebody, for the OpenAPI document.
    pub(crate) fn example() -> Value {
        json!({
            "user_id": 6, "username": "ann", "email": "ann@example.org", "full_name": "Ann Archer", "role_id": 3,
            "role_name": "Employee", "is_active": true, "created_at": "2026-03-01T08:15:00.000000Z"
        })
    }
}

impl From<&UserRow> for User {
    fn from(row: &UserRow) -> Self {
        Self {
            user_id: row.user_id,
            username: row.username.clone(),
            email: row.email.clone(),
            full_name: row.full_name.clone(),
            role_id: row.role.id(),
            role_name: row.role.name(),
            is_active: row.is_active,
            created_at: row.created_at,
        }
    }
}

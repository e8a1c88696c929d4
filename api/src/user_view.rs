//! A user as clients see one: never with a password hash.

use domain::Timestamp;
use serde::Serialize;
use store::UserRow;

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct User {
    pub(crate) user_id: i64,
    pub(crate) username: String,
    email: Option<String>,
    full_name: Option<String>,
    role_id: i64,
    role_name: &'static str,
    is_active: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
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

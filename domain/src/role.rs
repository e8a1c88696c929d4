//! [`Role`]: what a user is allowed to be.

use std::fmt;
use std::str::FromStr;

/// The four roles, from the one that may do everything to the one that may look at stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Everything.
    Admin,
    /// Daily business, other people's orders, analytics.
    Supervisor,
    /// Their own orders.
    Employee,
    /// Looking at the inventory.
    Contractor,
}

impl Role {
    /// All roles, by id.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Supervisor, Self::Employee, Self::Contractor];

    /// The id on the wire and in the database, 1–4.
    #[must_use]
    pub const fn id(self) -> i64 {
        match self {
            Self::Admin => 1,
            Self::Supervisor => 2,
            Self::Employee => 3,
            Self::Contractor => 4,
        }
    }

    /// The role of an id.
    #[must_use]
    pub fn from_id(id: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.id() == id)
    }

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "Admin",
            Self::Supervisor => "Supervisor",
            Self::Employee => "Employee",
            Self::Contractor => "Contractor",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    /// Reads a name in any case.
    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|role| role.name().eq_ignore_ascii_case(name.trim()))
            .ok_or_else(|| "must be one of Admin, Supervisor, Employee, Contractor".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_read_back() {
        for role in Role::ALL {
            assert_eq!(Role::from_id(role.id()), Some(role));
            assert_eq!(role.name().to_lowercase().parse(), Ok(role));
        }
        assert_eq!(Role::from_id(5), None);
        assert!("root".parse::<Role>().is_err());
    }
}

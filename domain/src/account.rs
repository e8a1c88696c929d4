//! What names and passwords of accounts must be like, wherever they are made.

use crate::username_key;

/// What everybody tries first; longer than seven characters, since shorter ones are refused anyway.
const COMMON: &str = "password password1 password12 password123 passw0rd p@ssw0rd p@ssword 12345678 123456789 \
    1234567890 11111111 00000000 87654321 987654321 123123123 12341234 11223344 88888888 66666666 qwertyui qwertyuiop \
    qwerty123 qwerty12 qwerty1234 1q2w3e4r 1q2w3e4r5t 1qaz2wsx zaq12wsx asdfghjk asdfghjkl zxcvbnm1 iloveyou \
    iloveyou1 sunshine princess football baseball superman batman123 michael1 jennifer trustno1 welcome1 welcome123 \
    letmein1 letmein123 admin123 admin1234 administrator changeme changeme1 changeme123 default1 secret123 master123 \
    abc12345 abcd1234 a1b2c3d4 aa123456 computer internet whatever starwars dragon123 monkey123 shadow123 charlie1 \
    liverpool chelsea1 arsenal1 corvette mercedes maverick steelers hello123 test1234 testtest guest123 user1234 \
    root1234 toor1234 pass1234 password! password1! welcome1! qwerty1! summer2024 winter2024 spring2024 summer2025 \
    winter2025 spring2025 summer2026 winter2026 company123 security samsung1 google123 facebook linkedin";

/// Says which rule a new user name breaks.
///
/// # Errors
/// A sentence that begins with `username`.
pub fn check_username(name: &str) -> Result<(), &'static str> {
    let name = name.trim();
    if !(3..=100).contains(&name.chars().count()) || name.chars().any(invisible) {
        return Err("username must be 3 to 100 characters long, without invisible characters");
    }
    Ok(())
}

/// Says which rule a new password breaks.
///
/// # Errors
/// A sentence that begins with `password`.
pub fn check_password(password: &str, username: &str) -> Result<(), &'static str> {
    if password.chars().count() < 8 {
        return Err("password must be at least 8 characters long");
    }
    // bcrypt reads no further.
    if password.len() > 72 {
        return Err("password must be at most 72 bytes long");
    }
    if password.contains('\0') {
        return Err("password must not contain a NUL character");
    }
    let lower = password.to_lowercase();
    if COMMON.split_whitespace().any(|common| common == lower) {
        return Err("password is among the most common ones; choose another");
    }
    let name = username_key(username);
    if !name.is_empty() && username_key(password).contains(&name) {
        return Err("password must not contain the user name");
    }
    Ok(())
}

/// Characters that make one name look like another.
fn invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_three_to_a_hundred_visible_characters() {
        assert!(check_username("ann").is_ok());
        assert!(check_username(&"é".repeat(100)).is_ok());
        for wrong in ["", " ab ", &"x".repeat(101), "a\u{200b}nn", "a\nb", "ann\0"] {
            assert!(check_username(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn passwords_are_long_uncommon_and_not_the_name() {
        assert!(check_password("correct horse", "ann").is_ok());
        assert!(check_password(&"é".repeat(36), "ann").is_ok());
        for wrong in ["seven77", &"é".repeat(37), "PassWord123", "xxANNxxxx", "12345678\0"] {
            assert!(check_password(wrong, "ann").is_err(), "{wrong:?}");
        }
        assert!(check_password("anything goes", "").is_ok());
    }
}

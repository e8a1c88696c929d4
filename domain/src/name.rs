//! Canonical user names.

use unicode_normalization::{UnicodeNormalization, is_nfkc};

/// The form in which user names are compared, keyed and indexed: NFKC, lower case, trimmed.
#[must_use]
pub fn username_key(name: &str) -> String {
    let name = name.trim();
    // ASCII is in NFKC as it stands, and most names are.
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    // Lower case can leave NFKC (İ becomes two code points), and NFKC can uncover a blank: to the fixed point.
    let mut key: String = name.nfkc().collect();
    for _ in 0..3 {
        let lower: String = key.trim().to_lowercase().nfkc().collect();
        if lower == key {
            break;
        }
        key = lower;
    }
    debug_assert!(is_nfkc(&key));
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_share_a_key() {
        for name in ["Ada", " ada ", "ＡＤＡ", "ada"] {
            assert_eq!(username_key(name), "ada");
        }
        assert_ne!(username_key("andré"), username_key("andre"));
    }

    #[test]
    fn a_key_is_its_own_key() {
        for name in ["İstanbul", "ﬁx", "ẞ", "\u{a0}x\u{a0}", "ΑΣ"] {
            let key = username_key(name);
            assert_eq!(username_key(&key), key, "{name}");
        }
    }
}

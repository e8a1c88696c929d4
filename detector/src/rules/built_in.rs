//! The rules in the binary.

/// Names and texts of the built-in rule files, in order of their names.
pub(super) const FILES: [(&str, &str); 25] = [
    rule("account_seized.yml", include_str!("../../../rules/account_seized.yml")),
    rule("admin_granted.yml", include_str!("../../../rules/admin_granted.yml")),
    rule("bulk_export.yml", include_str!("../../../rules/bulk_export.yml")),
    rule("cloud_audit.yml", include_str!("../../../rules/cloud_audit.yml")),
    rule("contractor_tripwire.yml", include_str!("../../../rules/contractor_tripwire.yml")),
    rule("default_account_probe.yml", include_str!("../../../rules/default_account_probe.yml")),
    rule("detection_tampering.yml", include_str!("../../../rules/detection_tampering.yml")),
    rule("dormant_account.yml", include_str!("../../../rules/dormant_account.yml")),
    rule("guessed_and_in.yml", include_str!("../../../rules/guessed_and_in.yml")),
    rule("guessed_new_source.yml", include_str!("../../../rules/guessed_new_source.yml")),
    rule("guessing_account.yml", include_str!("../../../rules/guessing_account.yml")),
    rule("guessing_many_sources.yml", include_str!("../../../rules/guessing_many_sources.yml")),
    rule("guessing_source.yml", include_str!("../../../rules/guessing_source.yml")),
    rule("large_export.yml", include_str!("../../../rules/large_export.yml")),
    rule("mass_collection.yml", include_str!("../../../rules/mass_collection.yml")),
    rule("mass_deletion.yml", include_str!("../../../rules/mass_deletion.yml")),
    rule("object_enumeration.yml", include_str!("../../../rules/object_enumeration.yml")),
    rule("off_hours.yml", include_str!("../../../rules/off_hours.yml")),
    rule("rapid_actions.yml", include_str!("../../../rules/rapid_actions.yml")),
    rule("refused_attempts.yml", include_str!("../../../rules/refused_attempts.yml")),
    rule("repeated_logins.yml", include_str!("../../../rules/repeated_logins.yml")),
    rule("scripted_reading.yml", include_str!("../../../rules/scripted_reading.yml")),
    rule("session_hijack.yml", include_str!("../../../rules/session_hijack.yml")),
    rule("spraying.yml", include_str!("../../../rules/spraying.yml")),
    rule("user_enumeration.yml", include_str!("../../../rules/user_enumeration.yml")),
];

const fn rule(name: &'static str, text: &'static str) -> (&'static str, &'static str) {
    (name, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_in_the_binary() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../rules");
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".yml"))
            .collect();
        names.sort();
        assert_eq!(FILES.map(|(name, _)| name.to_owned()).to_vec(), names);
    }
}

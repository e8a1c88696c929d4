//! The words that members take, for the OpenAPI document: the types that have them live in `domain` and `store`,
//! which know no HTTP. To add one: its line in [`words!`], and its other home in the test.

use std::borrow::Cow;

use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

macro_rules! words {
    ($($(#[doc = $doc:literal])* $name:ident: $($word:literal),+;)+) => {$(
        $(#[doc = $doc])*
        pub(crate) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let text = [$($doc),*].concat();
                let words = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([$($word),+]));
                words.description(Some(text.trim())).into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )+};
}

words! {
    /// How serious a finding is. Informational ones are signals: they count for risk and are never in the queue.
    Severity: "Informational", "Low", "Medium", "High", "Critical";
    /// How serious a finding in the queue is.
    QueueSeverity: "Low", "Medium", "High", "Critical";
    /// The level of a risk score: from 20, 40, 70 and 90 on.
    RiskLevel: "Normal", "Low Alert", "Medium Alert", "High Alert", "Critical Alert";
    /// A role.
    RoleName: "Admin", "Supervisor", "Employee", "Contractor";
    /// The kind of log that an activity belongs to.
    LogType: "ui_event", "system", "auth", "data_access";
    /// How an action ended.
    Outcome: "success", "failure", "denied";
    /// Where an alert stands by the engine's account.
    AlertState: "open", "closed", "retracted", "merged", "superseded";
    /// Where an alert stands by the analysts' account.
    TriageStatus: "open", "acknowledged", "closed";
    /// What stands first in a list of alerts.
    OrderOfAlerts: "newest", "severity";
    /// What an alert turned out to be.
    Verdict: "true_positive", "benign", "false_positive";
    /// The form of a webhook's messages.
    WebhookFormat: "standard", "slack";
    /// Whether a message to a webhook waits, is taken, or was given up.
    DeliveryState: "pending", "delivered", "dead";
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn listed<T: PartialSchema>() -> Vec<Value> {
        let schema = serde_json::to_value(T::schema()).unwrap();
        schema["enum"].as_array().unwrap().clone()
    }

    fn written(words: impl IntoIterator<Item = impl serde::Serialize>) -> Vec<Value> {
        words.into_iter().map(|word| json!(word)).collect()
    }

    #[test]
    fn they_are_those_of_the_types() {
        use domain::{AlertState as State, LogType as Kind, Outcome as Ending};
        assert_eq!(listed::<Severity>(), written(domain::Severity::ALL));
        assert_eq!(listed::<QueueSeverity>(), written(&domain::Severity::ALL[1..]));
        assert_eq!(listed::<RiskLevel>(), written([0.0, 20.0, 40.0, 70.0, 90.0].map(domain::risk_level)));
        assert_eq!(listed::<RoleName>(), written(domain::Role::ALL.map(domain::Role::name)));
        assert_eq!(listed::<LogType>(), written([Kind::UiEvent, Kind::System, Kind::Auth, Kind::DataAccess]));
        assert_eq!(listed::<Outcome>(), written([Ending::Success, Ending::Failure, Ending::Denied]));
        assert_eq!(listed::<WebhookFormat>(), written(store::WebhookFormat::ALL.map(store::WebhookFormat::as_str)));
        assert_eq!(listed::<DeliveryState>(), written(store::DeliveryState::ALL.map(store::DeliveryState::as_str)));
        let states = [State::Open, State::Closed, State::Retracted, State::Merged, State::Superseded];
        assert_eq!(listed::<AlertState>(), written(states));
    }
}

//! Names → addresses that may be spoken to. Looked at in the moment of connecting, so that a name which leads elsewhere
//! than it did when it was checked (DNS rebinding) leads nowhere.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::address::Networks;

/// A name that leads only to where nothing may be sent. The addresses are not told: who sets up webhooks need not learn
/// what names mean inside.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(&'static str);

/// A name that is reserved for leading nowhere.
#[derive(Debug, thiserror::Error)]
#[error("a name that leads nowhere")]
struct Nowhere;

/// The system's resolver, less what may not be reached.
pub(crate) struct Filtering {
    pub(crate) networks: Arc<Networks>,
    /// Whether what is said is encrypted; plain text is for networks that were named.
    pub(crate) encrypted: bool,
}

impl Resolve for Filtering {
    fn resolve(&self, name: Name) -> Resolving {
        let (networks, encrypted) = (Arc::clone(&self.networks), self.encrypted);
        Box::pin(async move {
            // RFC 6761: no resolver is to be asked.
            if name.as_str().trim_end_matches('.').ends_with(".invalid") {
                return Err(Nowhere.into());
            }
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let kept = permitted(found, &networks, encrypted)?;
            Ok(Box::new(kept.into_iter()) as Addrs)
        })
    }
}

fn permitted(
    found: impl Iterator<Item = SocketAddr>,
    networks: &Networks,
    encrypted: bool,
) -> Result<Vec<SocketAddr>, Refused> {
    let kept: Vec<SocketAddr> = found.filter(|address| networks.permit(address.ip(), encrypted)).collect();
    if kept.is_empty() {
        return Err(Refused(if encrypted {
            "its name leads to no public address; to allow it, add its network to WEBHOOK_ALLOWED_NETWORKS"
        } else {
            "its name leads to no address in WEBHOOK_ALLOWED_NETWORKS, and http:// is for those only"
        }));
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| SocketAddr::new(text.parse().expect("an address"), 0)).collect()
    }

    #[test]
    fn of_several_addresses_those_stay_that_may_be_reached() {
        let found = addresses(&["127.0.0.1", "8.8.8.8", "::ffff:10.0.0.1", "2606:4700::1"]);
        let kept = permitted(found.clone().into_iter(), &Networks::default(), true).expect("some");
        assert_eq!(kept, addresses(&["8.8.8.8", "2606:4700::1"]));
        assert!(permitted(found.clone().into_iter(), &Networks::default(), false).is_err(), "plain text goes nowhere");
        let ten = Networks::new(vec!["10.0.0.0/8".parse().expect("a network")]);
        assert_eq!(permitted(found.into_iter(), &ten, false).expect("one"), addresses(&["::ffff:10.0.0.1"]));
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_leads_nowhere() {
        for encrypted in [true, false] {
            let resolver = Filtering { networks: Arc::default(), encrypted };
            let said = match resolver.resolve(Name::from_str("localhost").expect("a name")).await {
                Ok(_) => panic!("it was resolved"),
                Err(error) => error.to_string(),
            };
            assert!(said.contains("WEBHOOK_ALLOWED_NETWORKS") && !said.contains("127."), "{said}");
        }
        let networks = Networks::new(vec!["127.0.0.0/8".parse().expect("a network")]);
        let resolver = Filtering { networks: Arc::new(networks), encrypted: false };
        let found = resolver.resolve(Name::from_str("localhost").expect("a name")).await.expect("an address");
        assert!(found.count() > 0);
    }
}

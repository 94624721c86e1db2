//! Applies the definitions to an API server: `moongate crds --apply`, which the chart runs before an upgrade.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use tokio::time::{Instant, sleep};
use tracing::info;

use super::manifest::{definitions, tidy};
use crate::cluster::{Unanswered, answer};

/// Whose fields they are; other fields (a conversion, labels of others) stay as they are.
const FIELD_MANAGER: &str = "moongate-crds";
/// Until the API server serves a definition; it takes about a second.
const ESTABLISHED_MAX: Duration = Duration::from_secs(60);

/// Why a definition could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum Unapplied {
    /// The API server was asked in vain.
    #[error("CustomResourceDefinition {0}: {1}")]
    Unanswered(String, Unanswered),
    /// It is applied and not served.
    #[error("CustomResourceDefinition {0} is applied, and not established after a minute: {1}")]
    NotEstablished(String, String),
}

/// Applies all definitions (server-side, as their owner), and waits until the API server serves them.
pub async fn apply(client: Client) -> Result<(), Unapplied> {
    let api: Api<CustomResourceDefinition> = Api::all(client);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    for definition in definitions() {
        let name = definition.metadata.name.clone().unwrap_or_default();
        let mut json = serde_json::to_value(&definition).expect("a definition is serializable");
        tidy(&mut json);
        let applied = answer(api.patch(&name, &params, &Patch::Apply(&json))).await;
        applied.map_err(|e| Unapplied::Unanswered(name.clone(), e))?;
        established(&api, &name).await?;
        info!("applied CustomResourceDefinition {name}");
    }
    Ok(())
}

async fn established(api: &Api<CustomResourceDefinition>, name: &str) -> Result<(), Unapplied> {
    let deadline = Instant::now() + ESTABLISHED_MAX;
    loop {
        let found = answer(api.get(name)).await.map_err(|e| Unapplied::Unanswered(name.into(), e))?;
        let conditions = found.status.and_then(|status| status.conditions).unwrap_or_default();
        if conditions.iter().any(|c| c.type_ == "Established" && c.status == "True") {
            return Ok(());
        }
        if Instant::now() > deadline {
            let why = conditions.iter().filter(|c| c.status != "True").filter_map(|c| c.message.as_deref());
            return Err(Unapplied::NotEstablished(name.into(), why.collect::<Vec<_>>().join("; ")));
        }
        sleep(Duration::from_millis(200)).await;
    }
}

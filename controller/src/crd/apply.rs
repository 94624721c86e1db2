//! Applies the definitions to an API server: `moongate crds --apply`, which the chart runs before an upgrade.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use tokio::time::{Instant, sleep};
use tracing::info;

use super::manifest::{definitions, tidy};

/// Whose fields they are; other fields (a conversion, labels of others) stay as they are.
const FIELD_MANAGER: &str = "moongate-crds";
/// For one request.
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// Until the API server serves a definition; it takes about a second.
const ESTABLISHED_MAX: Duration = Duration::from_secs(60);

/// Why a definition could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum Unapplied {
    /// The API server refuses it or cannot be reached.
    #[error("CustomResourceDefinition {0}: {1}")]
    Refused(String, Box<kube::Error>),
    /// The API server does not answer.
    #[error("CustomResourceDefinition {0}: the API server does not answer")]
    Silent(String),
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
        within(&name, api.patch(&name, &params, &Patch::Apply(&json))).await?;
        established(&api, &name).await?;
        info!("applied CustomResourceDefinition {name}");
    }
    Ok(())
}

async fn established(api: &Api<CustomResourceDefinition>, name: &str) -> Result<(), Unapplied> {
    let deadline = Instant::now() + ESTABLISHED_MAX;
    loop {
        let found = within(name, api.get(name)).await?;
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

async fn within<T>(name: &str, request: impl Future<Output = kube::Result<T>>) -> Result<T, Unapplied> {
    let answer = tokio::time::timeout(REQUEST_MAX, request).await.map_err(|_| Unapplied::Silent(name.into()))?;
    answer.map_err(|e| Unapplied::Refused(name.into(), Box::new(e)))
}

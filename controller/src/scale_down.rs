//! Ends the pods of a Deployment and waits for that: `moongate scale-down`, which the chart runs before it is uninstalled.
//!
//! Helm deletes a Deployment and the rights of its pods in one go: what pods do on the way out is then refused.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams};
use routing::ObjectName;
use tokio::time::{Instant, sleep};
use tracing::info;

use crate::cluster::{Unanswered, answer};

/// Between two looks at the pods.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Why pods still run.
#[derive(Debug, thiserror::Error)]
pub enum NotEnded {
    /// The API server was asked in vain.
    #[error("Deployment {0}: {1}")]
    Unanswered(ObjectName, Unanswered),
    /// They do not end.
    #[error("Deployment {0}: after {1:?} these pods have not ended: {2}")]
    Running(ObjectName, Duration, String),
}

/// Scales a Deployment to nothing and waits until its pods are gone. One that is not there has none.
pub async fn scale_down(client: Client, name: &ObjectName, patience: Duration) -> Result<(), NotEnded> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &name.namespace);
    let none = Patch::Merge(serde_json::json!({"spec": {"replicas": 0}}));
    let unanswered = |e| NotEnded::Unanswered(name.clone(), e);
    let scale = match answer(deployments.patch_scale(&name.name, &PatchParams::default(), &none)).await {
        Err(Unanswered::Refused(e)) if matches!(&*e, kube::Error::Api(status) if status.code == 404) => return Ok(()),
        other => other.map_err(unanswered)?,
    };
    // A Deployment without a selector is not valid.
    let selector = scale.status.and_then(|status| status.selector).unwrap_or_default();
    let pods: Api<Pod> = Api::namespaced(client, &name.namespace);
    let deadline = Instant::now() + patience;
    loop {
        let left = answer(pods.list_metadata(&ListParams::default().labels(&selector))).await.map_err(unanswered)?;
        let left: Vec<String> = left.items.into_iter().filter_map(|pod| pod.metadata.name).collect();
        if left.is_empty() {
            info!("the pods of Deployment {name} have ended");
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(NotEnded::Running(name.clone(), patience, left.join(", ")));
        }
        sleep(LOOK_EVERY).await;
    }
}

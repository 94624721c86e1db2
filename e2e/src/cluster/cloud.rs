//! What a cloud does for a cluster: an address for each Service of type LoadBalancer.

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

/// Addresses that it gives: 10.203.0.1 to 10.203.0.254, which the first node answers for.
const ADDRESSES: u8 = 254;

/// Gives addresses until the client's runtime ends.
pub async fn serve(client: Client) {
    let mut next = 1;
    let services = watcher(Api::<Service>::all(client.clone()), watcher::Config::default());
    let mut services = std::pin::pin!(services.default_backoff().applied_objects());
    while let Some(seen) = services.next().await {
        // What cannot be watched now is watched again after a while: a test ended the API server.
        let Ok(service) = seen else { continue };
        let is_balanced = service.spec.as_ref().is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer"));
        let has = service.status.as_ref().and_then(|s| s.load_balancer.as_ref()).is_some_and(|b| b.ingress.is_some());
        if !is_balanced || has || next > ADDRESSES {
            continue;
        }
        let api = Api::<Service>::namespaced(client.clone(), &service.namespace().unwrap_or_default());
        let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": format!("10.203.0.{next}")}]}}});
        // One that is gone, or an API server that is, gets another try with the next change.
        if api.patch_status(&service.name_any(), &PatchParams::default(), &Patch::Merge(&status)).await.is_ok() {
            next += 1;
        }
    }
}

//! The command line of `moongate controller`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use controller::crd::Selector;
use routing::ObjectName;

use super::LogFormat;

/// Where to find the API server is not asked: the pod's ServiceAccount, or else the kubeconfig ($KUBECONFIG,
/// ~/.kube/config), as for kubectl.
#[derive(Args)]
pub(crate) struct Controller {
    /// The MoongateConfig that holds for the whole table
    #[arg(long, value_name = "NAME", default_value = controller::translate::DEFAULT_NAME)]
    pub(crate) config: String,
    /// IngressClasses with this `spec.controller` are ours
    #[arg(long, value_name = "DOMAIN/NAME", default_value = controller::translate::CONTROLLER)]
    pub(crate) controller_class: String,
    /// The class that is ours by its name: in the old annotation kubernetes.io/ingress.class where there is no such
    /// IngressClass, and where IngressClasses may not be read
    #[arg(long, value_name = "NAME", default_value = controller::translate::DEFAULT_NAME)]
    pub(crate) ingress_class: String,
    /// Watch this namespace only; may be given several times. Takes Roles there and no right to any Secret elsewhere
    #[arg(long, value_name = "NAMESPACE", conflicts_with = "namespace_selector")]
    pub(crate) watch_namespace: Vec<String>,
    /// Serve Ingresses of namespaces with these labels only, such as `team=shop,tier in (gold, silver),!internal`
    #[arg(long, value_name = "SELECTOR")]
    pub(crate) namespace_selector: Option<Selector>,
    /// Serve Ingresses that name no class, also when no class of ours is the default one
    #[arg(long)]
    pub(crate) watch_ingress_without_class: bool,
    /// Where data planes get the table
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:8444")]
    pub(crate) push: SocketAddr,
    /// Where the API server asks whether objects are valid [default: nowhere]
    #[arg(long, value_name = "ADDR")]
    pub(crate) webhook: Option<SocketAddr>,
    /// Where /live, /ready, /metrics and /debug/table are served
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:9090")]
    pub(crate) admin: SocketAddr,
    /// Our own namespace
    #[arg(long, value_name = "NAMESPACE", env = "POD_NAMESPACE", default_value = "moongate")]
    pub(crate) namespace: String,
    /// Our own pod: who leads, and who reports Events
    #[arg(long, value_name = "NAME", env = "POD_NAME", default_value = "moongate-controller")]
    pub(crate) pod: String,
    /// The Lease by which one of several controllers leads
    #[arg(long, value_name = "NAME", default_value = "moongate-controller")]
    pub(crate) lease: String,
    /// A ServiceAccount of data planes; may be given several times [default: moongate-dataplane of our own namespace]
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = object_name)]
    pub(crate) data_plane_service_account: Vec<ObjectName>,
    /// The audience that a data plane's token must have
    #[arg(long, value_name = "AUDIENCE", default_value = "moongate-controller")]
    pub(crate) audience: String,
    /// The Secret that keeps the CA of the push and of the webhook; made if there is none
    #[arg(long, value_name = "NAME", default_value = "moongate-push-tls")]
    pub(crate) push_secret: String,
    /// The ConfigMap in which data planes find what to trust, under ca.crt
    #[arg(long, value_name = "NAME", default_value = "moongate-push-ca")]
    pub(crate) push_ca_configmap: String,
    /// A DNS name that the certificate of the push has besides the fixed one; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) push_dns: Vec<String>,
    /// A directory with tls.crt and tls.key for the push and the webhook, such as a mounted Secret of cert-manager;
    /// read again when they change. Then no CA is made
    #[arg(long, value_name = "DIR")]
    pub(crate) push_tls_dir: Option<PathBuf>,
    /// The ValidatingWebhookConfiguration whose caBundle is kept current
    #[arg(long, value_name = "NAME", conflicts_with = "push_tls_dir")]
    pub(crate) webhook_configuration: Option<String>,
    /// A DNS name by which the API server reaches the webhook; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) webhook_dns: Vec<String>,
    #[command(flatten)]
    pub(crate) publish: Publish,
    /// The certificate for hosts without one, unless MoongateConfig names another
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = object_name)]
    pub(crate) default_ssl_certificate: Option<ObjectName>,
    /// Logs go to stderr
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

/// What Ingresses say in their status about where they can be reached.
#[derive(Args, Clone)]
pub(crate) struct Publish {
    /// The Service in front of the data planes: its addresses become those of Ingresses
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = object_name, group = "published")]
    pub(crate) publish_service: Option<ObjectName>,
    /// An address of Ingresses, an IP or a DNS name; may be given several times
    #[arg(long, value_name = "ADDRESS", group = "published")]
    pub(crate) publish_address: Vec<String>,
    /// The addresses of the nodes on which data planes run become those of Ingresses
    #[arg(long, group = "published")]
    pub(crate) publish_node_addresses: bool,
    /// Write no addresses: another controller serves the same class and writes its own
    #[arg(long, group = "published")]
    pub(crate) no_publish_status: bool,
    /// Take the addresses out again when the last controller ends
    #[arg(long)]
    pub(crate) clear_status_on_exit: bool,
}

/// `namespace/name`.
pub(super) fn object_name(text: &str) -> Result<ObjectName, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(ObjectName::new(namespace, name))
        }
        _ => Err("an object is named NAMESPACE/NAME".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::{Cli, Command};

    #[test]
    fn a_controllers_command_line_is_understood() {
        let parse = |line: &[&str]| Cli::try_parse_from([&["moongate", "controller"], line].concat());
        let Command::Controller(all) = parse(&[
            "--watch-namespace",
            "a",
            "--watch-namespace",
            "b",
            "--webhook",
            "0.0.0.0:9443",
            "--data-plane-service-account",
            "edge/planes",
            "--publish-service",
            "edge/moongate",
        ])
        .unwrap()
        .command
        else {
            panic!("not controller")
        };
        assert_eq!(all.watch_namespace, ["a", "b"]);
        assert_eq!(all.data_plane_service_account[0].to_string(), "edge/planes");
        assert!(all.publish.publish_service.is_some() && all.webhook.is_some());
        let refused = |line: &[&str]| assert!(parse(line).is_err(), "{line:?}");
        refused(&["--watch-namespace", "a", "--namespace-selector", "x=y"]);
        refused(&["--namespace-selector", "x in y"]);
        refused(&["--default-ssl-certificate", "name"]);
        refused(&["--publish-service", "a/b", "--publish-address", "192.0.2.1"]);
        refused(&["--push-tls-dir", "/x", "--webhook-configuration", "y"]);
    }
}

//! `moongate controller`: an API server in, the table for data planes out.

use std::process::ExitCode;

use crate::cli::Controller;
use crate::logging;
use crate::serving::Ending;
use anyhow::Context;
use controller::status::{self, Publish};
use controller::{certs, cluster, lead, run, translate};
use routing::ObjectName;

/// Runs until a signal ends it.
pub(crate) fn run(options: Controller) -> anyhow::Result<ExitCode> {
    logging::start(options.log_format);
    // Translation of ten thousand Ingresses must not keep a probe or a renewal waiting.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build()?;
    runtime.block_on(serve(options))?;
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

async fn serve(options: Controller) -> anyhow::Result<()> {
    let mut ending = Ending::new()?;
    let client = controller::cluster::client().await.context("cannot find the API server")?;
    run::run(client, understand(options), ending.asked()).await?;
    Ok(())
}

/// From the command line to what the parts need.
fn understand(options: Controller) -> run::Options {
    let mut names = options.push_dns;
    names.extend(options.webhook_dns);
    let certificates = match options.push_tls_dir {
        Some(directory) => certs::Origin::Directory(directory),
        None => certs::Origin::Own(certs::Own {
            namespace: options.namespace.clone(),
            secret: options.push_secret,
            config_map: options.push_ca_configmap,
            names,
            webhook: options.webhook_configuration,
        }),
    };
    let mut service_accounts = options.data_plane_service_account;
    if service_accounts.is_empty() {
        service_accounts.push(ObjectName::new(&options.namespace, "moongate-dataplane"));
    }
    let status = status::Options {
        publish: publish(options.publish.clone()),
        clear_on_exit: options.publish.clear_status_on_exit,
        controller: options.controller_class.clone(),
        instance: options.pod.clone(),
        namespace: options.namespace.clone(),
    };
    run::Options {
        scope: cluster::Scope {
            namespaces: options.watch_namespace,
            needs_namespaces: options.namespace_selector.is_some(),
            fallback_class: Some((options.ingress_class.clone(), options.controller_class.clone())),
            default_certificate: options.default_ssl_certificate.clone(),
        },
        translate: translate::Options {
            controller: options.controller_class,
            watch_without_class: options.watch_ingress_without_class,
            implicit_class: None,
            annotation_class: Some(options.ingress_class),
            namespace_selector: options.namespace_selector,
            default_certificate: options.default_ssl_certificate,
            config: options.config,
        },
        lead: lead::Options::new(&options.namespace, options.lease, &options.pod),
        certificates,
        status,
        push: options.push,
        webhook: options.webhook,
        admin: options.admin,
        audience: options.audience,
        service_accounts,
    }
}

fn publish(options: crate::cli::Publish) -> Publish {
    if let Some(service) = options.publish_service {
        Publish::Service(service)
    } else if !options.publish_address.is_empty() {
        Publish::Addresses(options.publish_address)
    } else if options.publish_node_addresses {
        Publish::Nodes
    } else {
        // Also with --no-publish-status: without being told an address there is none to write.
        Publish::Nothing
    }
}

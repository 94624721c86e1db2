//! `moongate controller`: an API server in, the table for data planes out.

use std::process::ExitCode;

use anyhow::Context;
use controller::{certs, cluster, lead, run, translate};
use routing::ObjectName;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Controller;
use crate::logging;

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
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let client = controller::cluster::client().await.context("cannot find the API server")?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    run::run(client, understand(options), stop).await?;
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
        push: options.push,
        webhook: options.webhook,
        admin: options.admin,
        audience: options.audience,
        service_accounts,
    }
}

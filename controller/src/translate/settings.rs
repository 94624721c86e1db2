//! `settings`: what holds for the whole table.

use routing::Key;
use routing::key::ChainKey;
use routing::value::{Settings, Value};

use super::{chain, class};
use crate::reader::{Input, Outcome, Reader};
use crate::translate::Options;

pub(super) fn derive(options: &Options, reader: &Reader<'_>) -> Outcome {
    let mut settings = match reader.config(&options.config) {
        Some(config) => config.spec.settings().0,
        None => Settings::default(),
    };
    if settings.default_certificate.is_none() {
        settings.default_certificate.clone_from(&options.default_certificate);
    }
    if let Some(secret) = &settings.default_certificate {
        reader.name(Key::Certificate(secret.clone()), Input::None);
    }
    settings.server_chains = server_chains(options, reader);
    for chain in &settings.server_chains {
        reader.name(Key::Chain(chain.clone()), Input::None);
    }
    Outcome::Set(Value::Settings(Box::new(settings)))
}

/// The chains of our classes in which some plugin has code for `serverRewrite`, by the class's name.
fn server_chains(options: &Options, reader: &Reader<'_>) -> Vec<ChainKey> {
    let chains = class::all(options, reader).into_iter().map(ChainKey::Class).filter(|chain| {
        let mut plugins = chain::uses(chain, reader).into_iter().map(|(plugin, _)| plugin);
        plugins.any(|key| reader.plugin(&key).is_some_and(|plugin| plugin.spec.phases.server_rewrite.is_some()))
    });
    chains.collect()
}

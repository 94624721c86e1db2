//! What is read because another object names it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Client;
use kube::core::Request;
use kube::core::params::GetParams;
use routing::ObjectName;
use serde_json::value::RawValue;
use tracing::warn;

use super::super::referenced::Fetch;
use super::super::resource::{self, Content};
use super::super::{Reference, Why};
use super::{Collector, Fetched, number, until_read};
use crate::store::object::Secret;
use crate::store::{Kind, Object, ObjectId, Update};

/// For one fetch.
const FETCH_MAX: Duration = Duration::from_secs(30);
/// What is outside of the watched namespaces is read again this often.
const OUTSIDE_REFRESH: Duration = Duration::from_secs(60);
/// Between two attempts of a fetch, at the most.
const RETRY_MAX: Duration = Duration::from_secs(30);

impl Collector {
    pub(super) fn want_default_certificate(&mut self) {
        let Some(name) = self.scope.default_certificate.clone() else { return };
        let id = ObjectId::new(Kind::Secret, name);
        // Whoever names it has a name that no object can have.
        self.name(&ObjectId::new(Kind::MoongateConfig, ObjectName::cluster("")), vec![Reference { id, data: true }]);
    }

    /// Takes what an object names.
    pub(super) fn name(&mut self, by: &ObjectId, references: Vec<Reference>) {
        let (new, gone) = self.referenced.name(by, references);
        for id in gone {
            self.well_formed(&id);
            self.push(id.clone(), Update::Delete(id));
        }
        for id in new {
            if self.is_all_listed() {
                self.fetch(&id, Duration::ZERO);
            }
            if self.started {
                self.held.get_or_insert_with(Instant::now);
            }
            // Until it is known.
            self.push(id.clone(), Update::Unknown(id));
        }
    }

    /// Something is known of a named object.
    pub(super) fn know(&mut self, id: &ObjectId, version: u64, object: Result<Object, String>) {
        let Some(wanted) = self.referenced.get_mut(id) else { return };
        let has_good = wanted.version > 0 && !self.malformed.contains(id);
        wanted.fetch = None;
        wanted.failures = 0;
        wanted.version = version;
        wanted.answered = true;
        let needs_data = wanted.needs_data();
        match object {
            Ok(object) => {
                self.well_formed(id);
                self.push(id.clone(), Update::Apply(without_needless_data(object, needs_data)));
            }
            Err(message) => {
                self.malformed(id, format!("{message}; {}", until_read(id.kind, has_good)));
                if !has_good {
                    self.push(id.clone(), Update::Unknown(id.clone()));
                }
            }
        }
    }

    pub(super) fn fetch(&mut self, id: &ObjectId, delay: Duration) {
        self.tickets += 1;
        let (client, permits, ticket) = (self.client.clone(), self.permits.clone(), self.tickets);
        let asked = id.clone();
        let Some(wanted) = self.referenced.get_mut(id) else { return };
        let task = self.fetches.spawn(async move {
            tokio::time::sleep(delay).await;
            // Never closed.
            let _permit = permits.acquire_owned().await;
            let answer = fetch(&client, &asked).await;
            (asked, ticket, answer)
        });
        self.stats.fetch();
        wanted.fetch = Some(Fetch { ticket, task });
    }

    pub(super) fn fetched(&mut self, id: &ObjectId, ticket: u64, answer: Fetched) {
        let Some(wanted) = self.referenced.get_mut(id) else { return };
        if wanted.fetch.as_ref().is_none_or(|fetch| fetch.ticket != ticket) {
            return;
        }
        wanted.fetch = None;
        match answer {
            Fetched::Found(item) => {
                let version = number(&item.version);
                let is_old = version < wanted.hint;
                self.know(id, version, item.object.unwrap_or_else(|| Err("has no content".into())));
                if is_old {
                    // It changed while it was on its way.
                    self.fetch(id, Duration::from_millis(50));
                } else if self.is_outside(id) {
                    self.fetch(id, OUTSIDE_REFRESH);
                }
            }
            Fetched::Absent => {
                (wanted.version, wanted.answered, wanted.failures) = (0, true, 0);
                self.well_formed(id);
                self.push(id.clone(), Update::Delete(id.clone()));
                if self.is_outside(id) {
                    self.fetch(id, OUTSIDE_REFRESH);
                }
            }
            Fetched::Failed(why) => {
                wanted.answered = true;
                wanted.failures += 1;
                let pause = (Duration::from_millis(200) * (1 << wanted.failures.min(8))).min(RETRY_MAX);
                if wanted.failures == 1 {
                    warn!("cannot read {}: {why}; trying again, what was known of it stays", id.reference());
                }
                self.push(id.clone(), Update::Unknown(id.clone()));
                self.fetch(id, pause);
            }
        }
    }

    /// No watch tells of it.
    fn is_outside(&self, id: &ObjectId) -> bool {
        !self.scope.namespaces.is_empty() && !self.scope.namespaces.contains(&id.name.namespace)
    }
}

/// A Secret of which nothing may be known but that it is there.
pub(super) fn closed_secret(name: ObjectName) -> Object {
    Object::Secret(Arc::new(Secret {
        name,
        data: BTreeMap::new(),
        lua_readable: false,
        certificate: Default::default(),
    }))
}

/// What Lua may not read and nothing else needs is not kept.
fn without_needless_data(object: Object, needs_data: bool) -> Object {
    match object {
        Object::Secret(secret) if !needs_data && !secret.lua_readable => closed_secret(secret.name.clone()),
        other => other,
    }
}

async fn fetch(client: &Client, id: &ObjectId) -> Fetched {
    let path = resource::path(id.kind, Some(&id.name.namespace));
    let request = match Request::new(path).get(&id.name.name, &GetParams::default()) {
        Ok(request) => request,
        // A name that no object can have.
        Err(_) => return Fetched::Absent,
    };
    let answer = match tokio::time::timeout(FETCH_MAX, client.request_text(request)).await {
        Ok(answer) => answer.map_err(Why::from),
        Err(_) => Err(Why::Silent),
    };
    let text = match answer {
        Ok(text) => text,
        Err(Why::NotInstalled) => return Fetched::Absent,
        Err(why) => return Fetched::Failed(why),
    };
    let item = RawValue::from_string(text)
        .map_err(|_| Why::Protocol("it is not JSON".into()))
        .and_then(|raw| resource::decode(id.kind, Content::Every, &raw));
    match item {
        Ok(item) => Fetched::Found(Box::new(item)),
        Err(why) => Fetched::Failed(why),
    }
}

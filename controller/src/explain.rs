//! What happens to a request, and why: what `moongate explain` prints.

mod plugins;
mod url;

use std::fmt::Write;
use std::path::PathBuf;

use routing::router::{Candidate, Router, Verdict};
use routing::value::{Action, Backend, EndpointState, Host, Settings, UpstreamProtocol, Value};
use routing::{Key, ObjectName, PathKind, RouteKey, path};

pub use url::NotAUrl;
use url::Url;

use crate::problem::{ObjectRef, Problem};
use crate::standalone::Standalone;
use crate::store::Kind;
use crate::table::Translator;

/// Rules that did not win are listed up to here: who asks about one request wants those that come close.
const CANDIDATES_MAX: usize = 20;
/// Endpoints that are listed.
const ENDPOINTS_MAX: usize = 20;

/// Explains a request to the table of some files. A `Host` header goes before the URL's host, as it does on the wire.
pub fn explain(paths: &[PathBuf], url: &str, method: &str, headers: &[(String, String)]) -> Result<String, NotAUrl> {
    let url = Url::parse(url)?;
    let standalone = Standalone::open(paths);
    let explained = Explained { standalone: &standalone, table: standalone.translator() };
    Ok(explained.text(&url, method, headers))
}

/// A table about which a question is asked.
struct Explained<'a> {
    standalone: &'a Standalone,
    table: &'a Translator,
}

impl Explained<'_> {
    fn text(&self, url: &Url<'_>, method: &str, headers: &[(String, String)]) -> String {
        let mut out = format!("{method} {}\n\n", url.text);
        let header = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
        let authority = header.map_or(url.authority, |(_, value)| value.as_str());
        let settings = self.settings();
        let host = match path::normalize_host(authority.as_bytes()) {
            Ok(host) => host,
            Err(e) => return out + &format!("answered 400: {e}\n"),
        };
        let target = match path::Target::parse(url.target.as_bytes(), settings.http.merge_slashes) {
            Ok(target) => target,
            Err(e) => return out + &format!("answered 400: {e}\n"),
        };
        let router = self.router();
        line(&mut out, "host", &self.host(&host, &router));
        line(&mut out, "path", &target.path);
        if url.is_https {
            line(&mut out, "certificate", &self.certificate(url, &settings));
        }
        let steps = plugins::server_rewrite(&settings, self.table);
        if !steps.is_empty() {
            line(&mut out, "first", "plugins that run before the route is chosen, and may change what is below");
            steps.iter().for_each(|step| line(&mut out, "", step));
        }
        let candidates = router.explain(&host, &target.path);
        match candidates.iter().find(|c| c.verdict == Verdict::Serves) {
            Some(winner) => self.route(&mut out, &winner.route.key(), url, &host, &settings),
            None => line(&mut out, "route", "none: answered 404"),
        }
        self.candidates(&mut out, &candidates);
        out
    }

    fn settings(&self) -> Settings {
        match self.table.get(&Key::Settings).map(|value| &**value) {
            Some(Value::Settings(settings)) => (**settings).clone(),
            _ => Settings::default(),
        }
    }

    fn router(&self) -> Router<()> {
        let mut router = Router::default();
        for key in self.table.table().0.into_keys() {
            if let Key::Route(key) = key {
                router.set(&key, ());
            }
        }
        router
    }

    fn host(&self, host: &str, router: &Router<()>) -> String {
        match router.host_of(host).map(|matched| matched.name().to_owned()) {
            Some(name) if name == host => host.to_owned(),
            Some(name) => format!("{host}, which has no rules of its own: those of {name} hold"),
            None => format!("{host}, which no rule names"),
        }
    }

    /// What holds for a host, or for the wildcard that covers it.
    fn host_value(&self, host: &str) -> Option<Host> {
        let wildcard = host.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        let names = [Some(host.to_owned()), wildcard];
        names.into_iter().flatten().find_map(|name| match self.table.get(&Key::Host(name)).map(|value| &**value) {
            Some(Value::Host(host)) => Some(host.clone()),
            _ => None,
        })
    }

    fn certificate(&self, url: &Url<'_>, settings: &Settings) -> String {
        // SNI is the URL's host, whatever the Host header says.
        let sni = path::normalize_host(url.authority.as_bytes()).map_or(String::new(), |host| host.into_owned());
        let own = self.host_value(&sni).and_then(|host| host.certificate);
        let is_there = |secret: &ObjectName| self.table.get(&Key::Certificate(secret.clone())).is_some();
        match (own.as_ref().filter(|secret| is_there(secret)), &settings.default_certificate) {
            (Some(secret), _) => format!("Secret {secret}"),
            (None, Some(secret)) if is_there(secret) => format!("the default one, Secret {secret}"),
            (None, _) => "the default one, self-signed".to_owned(),
        }
    }

    fn route(&self, out: &mut String, key: &RouteKey, url: &Url<'_>, host: &str, settings: &Settings) {
        let Some(Value::Route(route)) = self.table.get(&Key::Route(key.clone())).map(|value| &**value) else { return };
        let object = ObjectRef::new(Kind::Ingress.name(), &route.ingress);
        line(out, "route", &format!("{}, of {object}", shown(key)));
        self.losers(out, key, &object);
        let policy = route.policy.over(&settings.http.route);
        let has_tls = self.host_value(host).is_some_and(|host| host.tls);
        if !url.is_https && (policy.force_ssl_redirect || (policy.ssl_redirect && has_tls)) {
            line(out, "redirect", "answered 308 to https, before anything of the route runs");
        }
        let plan = plugins::plan(&route.chains, self.table);
        match &plan.broken {
            _ if matches!(route.action, Action::Refuse { .. }) => {}
            Some(why) => line(out, "refused", &format!("answered 503: {why}")),
            None if plan.steps.is_empty() => line(out, "plugins", "none"),
            None => {
                line(out, "plugins", "in running order");
                plan.steps.iter().for_each(|step| line(out, "", step));
            }
        }
        match &route.action {
            Action::Refuse { status, reason } => line(out, "refused", &format!("answered {status}: {reason}")),
            Action::Forward(backends) => backends.iter().for_each(|backend| self.upstream(out, backend)),
        }
        let problems: Vec<&Problem> = self.standalone.problems().iter().filter(|p| p.object == object).collect();
        if !problems.is_empty() {
            line(out, "problems", &format!("of {object}"));
            problems.iter().for_each(|problem| line(out, "", &problem.to_string()));
        }
    }

    /// Others who claim the route, and why they do not have it.
    fn losers(&self, out: &mut String, key: &RouteKey, winner: &ObjectRef) {
        for ((age, place), _) in self.table.store().claims(key) {
            let object = ObjectRef::new(Kind::Ingress.name(), &age.name);
            let is_of_claim = |p: &&Problem| p.object == object && p.field == place.to_string();
            let mut problems = self.standalone.problems().iter().filter(is_of_claim);
            match problems.find(|p| matches!(p.reason, "PathConflict" | "HostOwned")) {
                Some(problem) => line(out, "", &format!("not {object}, {place}: {}", problem.message)),
                None if object != *winner => line(out, "", &format!("not {object}, {place}: it is not served")),
                None => {}
            }
        }
    }

    fn upstream(&self, out: &mut String, backend: &Backend) {
        let key = Key::Upstream(backend.upstream.clone());
        let Some(Value::Upstream(upstream)) = self.table.get(&key).map(|value| &**value) else { return };
        let protocol = match upstream.protocol {
            UpstreamProtocol::Http => "HTTP/1.1",
            UpstreamProtocol::H2c => "HTTP/2 without TLS",
            UpstreamProtocol::Https { .. } => "HTTP/1.1 over TLS",
        };
        line(out, "upstream", &format!("Service {}, port {}, by {protocol}", upstream.service, upstream.port));
        let endpoints = Key::Endpoints(upstream.endpoints.clone());
        let Some(Value::Endpoints(endpoints)) = self.table.get(&endpoints).map(|value| &**value) else { return };
        if let Some(external) = &endpoints.external {
            line(out, "endpoints", &format!("the addresses of {external}"));
            return;
        }
        let none_is_ready = endpoints.addresses.iter().all(|e| e.state != EndpointState::Ready);
        match (endpoints.addresses.is_empty(), none_is_ready) {
            (true, _) => line(out, "endpoints", "none: answered 503"),
            (false, true) => line(out, "endpoints", "none is ready, so the ones that are shutting down serve"),
            (false, false) => line(out, "endpoints", "in turn"),
        }
        for endpoint in endpoints.addresses.iter().take(ENDPOINTS_MAX) {
            let state = match endpoint.state {
                EndpointState::Ready => "",
                EndpointState::Draining if none_is_ready => "",
                EndpointState::Draining => ", shutting down: gets no new requests",
            };
            let zone = endpoint.zone.as_ref().map_or(String::new(), |zone| format!(", zone {zone}"));
            line(out, "", &format!("{}{zone}{state}", endpoint.address));
        }
        let more = endpoints.addresses.len().saturating_sub(ENDPOINTS_MAX);
        if more > 0 {
            line(out, "", &format!("and {more} more"));
        }
    }

    /// The rules that did not win.
    fn candidates(&self, out: &mut String, candidates: &[Candidate<'_, ()>]) {
        let lost: Vec<_> = candidates.iter().filter(|c| c.verdict != Verdict::Serves).collect();
        if lost.is_empty() {
            return;
        }
        line(out, "considered", "rules that do not serve it");
        for candidate in lost.iter().take(CANDIDATES_MAX) {
            let key = candidate.route.key();
            let of = match self.table.get(&Key::Route(key.clone())).map(|value| &**value) {
                Some(Value::Route(route)) => format!(" of Ingress {}", route.ingress),
                _ => String::new(),
            };
            line(out, "", &format!("{}{of} {}", shown(&key), candidate.verdict));
        }
        let more = lost.len().saturating_sub(CANDIDATES_MAX);
        if more > 0 {
            line(out, "", &format!("and {more} more"));
        }
    }
}

/// A route as people know it.
fn shown(key: &RouteKey) -> String {
    let host = if key.host == "*" { "any host" } else { &key.host };
    match key.kind {
        PathKind::Default => format!("the default backend of {host}"),
        kind => format!("{host} {} ({kind:?})", key.path),
    }
}

/// A line of the answer: a name and what is said of it; without a name it goes on with the one above.
fn line(out: &mut String, name: &str, text: &str) {
    // Writing to a String cannot fail.
    let _ = match name.is_empty() {
        false => writeln!(out, "{name:<12}{text}"),
        true => writeln!(out, "{:<14}{text}", ""),
    };
}

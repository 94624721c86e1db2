//! From `MoongateConfig` to the settings of the table. Total: a field that cannot be used keeps its default and is a
//! problem.

use std::collections::BTreeMap;

use routing::key::ObjectName;
use routing::value::{Cidr, Http, Lua, LuaLimits, RoutePolicyOverrides, Settings, Tls, TlsVersion};

use super::super::{Duration, FieldProblem, Quantity};
use super::{HttpConfig, LimitsConfig, LuaConfig, MinVersion, MoongateConfigSpec, TlsConfig};

/// A year: people write it to mean "never", and clocks still add it without overflow.
const TIMEOUT_MS_MAX: u64 = 365 * 24 * 3_600_000;
/// Tries beyond this say nothing more; 0 means "no limit" in nginx, and this here.
const TRIES_MAX: u32 = 100;
/// The smallest heap in which the libraries that every VM has load.
const MEMORY_BYTES_MIN: u64 = 4 * 1024 * 1024;

/// The smallest budget in which the VMs of some namespaces run.
const BUDGET_BYTES_MIN: u64 = 16 * 1024 * 1024;

/// What a namespace's Lua may have.
#[derive(Clone, Debug, PartialEq)]
pub struct NamespaceRights {
    /// Whether its LuaPlugins take effect at all.
    pub plugins: bool,
    /// Limits of its VMs.
    pub limits: LuaLimits,
    /// Ranges that it may connect to besides public addresses and its own.
    pub allowed: Vec<Cidr>,
}

impl MoongateConfigSpec {
    /// The settings of the whole table, without the chains, which bindings make.
    pub fn settings(&self) -> (Settings, Vec<FieldProblem>) {
        let mut problems = Problems::default();
        let mut settings = Settings::default();
        if let Some(http) = &self.http {
            http.apply(&mut settings.http, &mut problems);
        }
        if let Some(tls) = &self.tls {
            tls.apply(&mut settings.tls);
            settings.default_certificate =
                tls.default_certificate.as_ref().map(|c| ObjectName::new(&c.namespace, &c.name));
        }
        if let Some(lua) = &self.lua {
            lua.apply(&mut settings.lua, &mut problems);
        }
        (settings, problems.0)
    }

    /// What a config that an IngressClass names sets for the routes of the class. Every field that is not per route is
    /// a problem.
    pub fn class_policy(&self) -> (RoutePolicyOverrides, Vec<FieldProblem>) {
        let mut problems = Problems::default();
        let http = self.http.clone().unwrap_or_default();
        let policy = http.route(&mut problems);
        let per_route = HttpConfig {
            client_max_body_size: http.client_max_body_size,
            ssl_redirect: http.ssl_redirect,
            force_ssl_redirect: http.force_ssl_redirect,
            proxy_connect_timeout: http.proxy_connect_timeout,
            proxy_read_timeout: http.proxy_read_timeout,
            proxy_send_timeout: http.proxy_send_timeout,
            proxy_next_upstream_tries: http.proxy_next_upstream_tries,
            proxy_request_buffering: http.proxy_request_buffering,
            ..Default::default()
        };
        let others = MoongateConfigSpec { http: None, ..self.clone() };
        problems.refuse_what_differs("spec.http", &http, &per_route);
        problems.refuse_what_differs("spec", &others, &MoongateConfigSpec::default());
        (policy, problems.0)
    }

    /// What the Lua of a namespace with these labels may have.
    pub fn namespace(&self, labels: &BTreeMap<String, String>) -> (NamespaceRights, Vec<FieldProblem>) {
        let mut problems = Problems::default();
        let lua = self.lua.clone().unwrap_or_default();
        let mut rights = NamespaceRights {
            plugins: lua.namespace_selector.as_ref().is_none_or(|selector| selector.matches(labels)),
            limits: LuaLimits::default(),
            allowed: Vec::new(),
        };
        if let Some(limits) = &lua.namespace_limits {
            limits.apply("spec.lua.namespaceLimits", &mut rights.limits, &mut problems);
        }
        if let Some(network) = &lua.network {
            rights.allowed = problems.ranges("spec.lua.network.allow", &network.allow);
        }
        let selected = lua.namespaces.iter().enumerate().find(|(_, entry)| entry.selector.matches(labels));
        if let Some((index, entry)) = selected {
            let path = format!("spec.lua.namespaces[{index}]");
            if let Some(limits) = &entry.limits {
                limits.apply(&format!("{path}.limits"), &mut rights.limits, &mut problems);
            }
            if let Some(network) = &entry.network {
                rights.allowed.extend(problems.ranges(&format!("{path}.network.allow"), &network.allow));
            }
        }
        (rights, problems.0)
    }
}

impl HttpConfig {
    fn apply(&self, http: &mut Http, problems: &mut Problems) {
        let at = |field: &str| format!("spec.http.{field}");
        let Http { request_head_bytes_max, response_head_bytes_max, .. } = http;
        problems.bytes(at("clientHeaderMaxSize"), self.client_header_max_size, request_head_bytes_max);
        problems.bytes(at("upstreamHeaderMaxSize"), self.upstream_header_max_size, response_head_bytes_max);
        problems.time(at("clientHeaderTimeout"), self.client_header_timeout, &mut http.client_header_timeout_ms);
        problems.time(at("clientBodyTimeout"), self.client_body_timeout, &mut http.client_body_timeout_ms);
        problems.time(at("sendTimeout"), self.send_timeout, &mut http.send_timeout_ms);
        problems.time(at("keepaliveTimeout"), self.keepalive_timeout, &mut http.keepalive_timeout_ms);
        problems.time(
            at("upstreamKeepaliveTimeout"),
            self.upstream_keepalive_timeout,
            &mut http.upstream_keepalive_timeout_ms,
        );
        problems.number(
            at("clientHeaderMaxCount"),
            1..=1000,
            self.client_header_max_count,
            &mut http.request_headers_max,
        );
        problems.number(
            at("http2MaxConcurrentStreams"),
            1..=10_000,
            self.http2_max_concurrent_streams,
            &mut http.http2_streams_max,
        );
        problems.number(
            at("upstreamKeepaliveConnections"),
            0..=100_000,
            self.upstream_keepalive_connections,
            &mut http.upstream_keepalive_connections,
        );
        problems.number(at("keepaliveRequests"), 1..=u64::MAX, self.keepalive_requests, &mut http.keepalive_requests);
        problems.number(
            at("upstreamKeepaliveRequests"),
            1..=u64::MAX,
            self.upstream_keepalive_requests,
            &mut http.upstream_keepalive_requests,
        );
        set(&mut http.underscores_in_headers, self.underscores_in_headers);
        set(&mut http.merge_slashes, self.merge_slashes);
        set(&mut http.use_forwarded_headers, self.use_forwarded_headers);
        set(&mut http.access_log, self.access_log);
        http.trusted_proxies = problems.ranges("spec.http.proxyRealIpCidr", &self.proxy_real_ip_cidr);
        match &self.server_header {
            Some(text) if !text.bytes().all(|b| matches!(b, b' '..=b'~')) => {
                problems.add(at("serverHeader"), "has a character that no header may have: use printable ASCII");
            }
            Some(text) => http.server_header = text.clone(),
            None => {}
        }
        http.route = self.route(problems).over(&http.route);
    }

    /// The fields that routes may override.
    fn route(&self, problems: &mut Problems) -> RoutePolicyOverrides {
        let at = |field: &str| format!("spec.http.{field}");
        let mut tries = None;
        match self.proxy_next_upstream_tries {
            Some(0) => tries = Some(TRIES_MAX),
            Some(number) if number <= TRIES_MAX => tries = Some(number),
            Some(_) => problems.add(at("proxyNextUpstreamTries"), "is not between 0 and 100"),
            None => {}
        }
        let mut time = |field: &str, from: Option<Duration>| {
            let mut ms = None;
            problems.time(at(field), from, &mut ms);
            ms
        };
        RoutePolicyOverrides {
            client_max_body_bytes: self.client_max_body_size.map(Quantity::as_bytes),
            ssl_redirect: self.ssl_redirect,
            force_ssl_redirect: self.force_ssl_redirect,
            connect_timeout_ms: time("proxyConnectTimeout", self.proxy_connect_timeout),
            read_timeout_ms: time("proxyReadTimeout", self.proxy_read_timeout),
            send_timeout_ms: time("proxySendTimeout", self.proxy_send_timeout),
            tries,
            request_buffering: self.proxy_request_buffering,
        }
    }
}

impl TlsConfig {
    fn apply(&self, tls: &mut Tls) {
        match self.min_version {
            Some(MinVersion::Tls12) => tls.min_version = TlsVersion::Tls12,
            Some(MinVersion::Tls13) => tls.min_version = TlsVersion::Tls13,
            None => {}
        }
        tls.redirect_port = self.redirect_port.filter(|port| *port != 443 && *port != 0);
    }
}

impl LuaConfig {
    /// Fields that are accepted and that nothing uses yet.
    pub(crate) fn unused(&self) -> Vec<&'static str> {
        let fields = [
            ("spec.lua.socketConnectTimeout", self.socket_connect_timeout.is_some()),
            ("spec.lua.socketSendTimeout", self.socket_send_timeout.is_some()),
            ("spec.lua.socketReadTimeout", self.socket_read_timeout.is_some()),
            ("spec.lua.socketKeepaliveTimeout", self.socket_keepalive_timeout.is_some()),
            ("spec.lua.socketPoolSize", self.socket_pool_size.is_some()),
            ("spec.lua.socketBufferSize", self.socket_buffer_size.is_some()),
        ];
        fields.into_iter().filter(|(_, given)| *given).map(|(field, _)| field).collect()
    }

    fn apply(&self, lua: &mut Lua, problems: &mut Problems) {
        set(&mut lua.max_pending_timers, self.max_pending_timers);
        set(&mut lua.max_running_timers, self.max_running_timers);
        set(&mut lua.regex_cache_max_entries, self.regex_cache_max_entries);
        set(&mut lua.regex_match_limit, self.regex_match_limit);
        set(&mut lua.check_client_abort, self.check_client_abort);
        set(&mut lua.transform_underscores_in_response_headers, self.transform_underscores_in_response_headers);
        problems.time("spec.lua.maxCpuPerResume".into(), self.max_cpu_per_resume, &mut lua.cpu_per_resume_max_ms);
        match self.memory_budget.map(Quantity::as_bytes) {
            Some(bytes) if bytes < BUDGET_BYTES_MIN => {
                problems.add(
                    "spec.lua.memoryBudget".into(),
                    "is too small for the VMs of a few namespaces: write 16Mi or more",
                );
            }
            bytes => lua.memory_budget_bytes = bytes,
        }
        if let Some(limits) = &self.operator_limits {
            limits.apply("spec.lua.operatorLimits", &mut lua.operator, problems);
        }
    }
}

impl LimitsConfig {
    fn apply(&self, path: &str, limits: &mut LuaLimits, problems: &mut Problems) {
        match self.memory.map(Quantity::as_bytes) {
            Some(bytes) if bytes < MEMORY_BYTES_MIN => {
                problems.add(format!("{path}.memory"), "is too small for the libraries of a VM: write 4Mi or more");
            }
            Some(bytes) => limits.memory_bytes = bytes,
            None => {}
        }
        set(&mut limits.shared_dict_bytes, self.shared_dicts.map(Quantity::as_bytes));
        problems.time(format!("{path}.cpuPerResume"), self.cpu_per_resume, &mut limits.cpu_per_resume_ms);
        problems.time(format!("{path}.cpuPerRequest"), self.cpu_per_request, &mut limits.cpu_per_request_ms);
        problems.number(format!("{path}.workerShare"), 1..=100, self.worker_share, &mut limits.worker_share_percent);
    }
}

/// Collects problems while values that are in order find their way.
#[derive(Default)]
struct Problems(Vec<FieldProblem>);

impl Problems {
    fn add(&mut self, path: String, message: &str) {
        self.0.push(FieldProblem::new(path, message));
    }

    fn time(&mut self, path: String, from: Option<Duration>, to: &mut impl Place) {
        match from.map(Duration::as_ms) {
            Some(0) => self.add(path, "is zero, which would end everything at once: write 1ms or more"),
            Some(ms) if ms > TIMEOUT_MS_MAX => self.add(path, "is longer than a year: write 8760h or less"),
            Some(ms) => to.put(ms),
            None => {}
        }
    }

    fn bytes(&mut self, path: String, from: Option<Quantity>, to: &mut u32) {
        /// Below it ordinary requests fail; above it one connection could hold too much.
        const RANGE: std::ops::RangeInclusive<u64> = 1024..=16 * 1024 * 1024;
        match from.map(Quantity::as_bytes) {
            // The range ends below 2^32.
            Some(bytes) if RANGE.contains(&bytes) => *to = bytes as u32,
            Some(_) => self.add(path, "is not between 1Ki and 16Mi"),
            None => {}
        }
    }

    fn number<T>(&mut self, path: String, range: std::ops::RangeInclusive<T>, from: Option<T>, to: &mut T)
    where
        T: PartialOrd + std::fmt::Display,
    {
        match from {
            Some(number) if range.contains(&number) => *to = number,
            Some(number) => {
                let message = format!("{number} is not between {} and {}", range.start(), range.end());
                self.0.push(FieldProblem::new(path, message));
            }
            None => {}
        }
    }

    fn ranges(&mut self, path: &str, texts: &[String]) -> Vec<Cidr> {
        let mut ranges = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            match text.parse() {
                Ok(range) => ranges.push(range),
                Err(wrong) => self.0.push(FieldProblem::new(format!("{path}[{index}]"), format!("{wrong}"))),
            }
        }
        ranges
    }

    /// A problem for each field of `given` that `accepted` does not have.
    fn refuse_what_differs<T: serde::Serialize>(&mut self, path: &str, given: &T, accepted: &T) {
        let fields = |value: &T| match serde_json::to_value(value) {
            Ok(serde_json::Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        let accepted = fields(accepted);
        for (field, value) in fields(given) {
            if accepted.get(&field) != Some(&value) {
                let message = "holds for the whole release: set it in the MoongateConfig that the release names";
                self.add(format!("{path}.{field}"), message);
            }
        }
    }
}

fn set<T>(to: &mut T, from: Option<T>) {
    if let Some(value) = from {
        *to = value;
    }
}

/// Where a number of milliseconds goes.
trait Place {
    fn put(&mut self, ms: u64);
}

impl Place for u64 {
    fn put(&mut self, ms: u64) {
        *self = ms;
    }
}

impl Place for Option<u64> {
    fn put(&mut self, ms: u64) {
        *self = Some(ms);
    }
}

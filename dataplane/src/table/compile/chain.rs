//! The scripts of a route, from its chains.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use routing::key::{ChainKey, PluginKey};
use routing::value::{Chain, FailurePolicy, Phase, Use};
use routing::{Key, Value};

use super::super::{CompiledPlugin, Meta, Plan, PluginUse, Scope, ServerRewrite, Step, unique};
use super::plugin::Plugins;
use super::scope_of;

/// A plugin's use on a route, at the level where it runs.
struct Placed {
    level: usize,
    plugin: Arc<CompiledPlugin>,
    used: Arc<PluginUse>,
}

/// Compiles the chains of a route and records what was read.
pub(super) fn plan(
    chains: &[ChainKey],
    meta: &Arc<Meta>,
    raw: &BTreeMap<Key, Arc<Value>>,
    plugins: &Plugins,
    reads: &mut BTreeSet<Key>,
) -> Plan {
    let mut plan = Plan::default();
    let placed = place(chains, meta, raw, plugins, reads, &mut plan.broken);
    plan.variables = variables(&placed);
    plan.rewrite = forward(&placed, Phase::Rewrite);
    plan.access = forward(&placed, Phase::Access);
    plan.content = most_specific(&placed, Phase::Content);
    plan.balancer = most_specific(&placed, Phase::Balancer);
    plan.header_filter = backward(&placed, Phase::HeaderFilter);
    plan.body_filter = backward(&placed, Phase::BodyFilter);
    plan.log = backward(&placed, Phase::Log);
    plan.scopes = scopes(&plan);
    plan
}

/// Whose VMs a plan's scripts run in.
fn scopes(plan: &Plan) -> Vec<Scope> {
    let single = plan.content.iter().chain(&plan.balancer);
    let before = plan.rewrite.iter().chain(&plan.access);
    let after = plan.header_filter.iter().chain(&plan.body_filter).chain(&plan.log);
    let all: BTreeSet<&Scope> = before.chain(single).chain(after).map(|step| &step.used.scope).collect();
    all.into_iter().cloned().collect()
}

/// The scripts that run before the route is chosen.
pub(super) fn server_rewrite(
    chains: &[ChainKey],
    meta: &Arc<Meta>,
    raw: &BTreeMap<Key, Arc<Value>>,
    plugins: &Plugins,
) -> ServerRewrite {
    let placed = place(chains, meta, raw, plugins, &mut BTreeSet::new(), &mut None);
    let steps = forward(&placed, Phase::ServerRewrite);
    ServerRewrite { steps, variables: variables(&placed) }
}

/// What the plugins declare; of several that declare the same, the first counts.
fn variables(placed: &[Placed]) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, value) in placed.iter().flat_map(|p| &p.plugin.spec.variables) {
        if !all.iter().any(|(n, _)| n == name) {
            all.push((name.clone(), value.clone().into_bytes()));
        }
    }
    all
}

/// The uses of all chains in running order; a plugin that two chains name stands at the broader one's place with the
/// more specific one's config.
fn place(
    chains: &[ChainKey],
    meta: &Arc<Meta>,
    raw: &BTreeMap<Key, Arc<Value>>,
    plugins: &Plugins,
    reads: &mut BTreeSet<Key>,
    broken: &mut Option<String>,
) -> Vec<Placed> {
    let mut uses: Vec<(usize, &Use)> = Vec::new();
    for (level, chain) in chains.iter().enumerate() {
        let key = Key::Chain(chain.clone());
        if let Some(Value::Chain(chain)) = raw.get(&key).map(Arc::as_ref) {
            for used in uses_of(chain, plugins) {
                match uses.iter_mut().find(|(_, u)| u.plugin == used.plugin) {
                    Some((_, earlier)) => *earlier = used,
                    None => uses.push((level, used)),
                }
            }
        }
        reads.insert(key);
    }
    let mut placed = Vec::with_capacity(uses.len());
    for (level, used) in uses {
        reads.insert(Key::Plugin(used.plugin.clone()));
        match resolve(used, meta, plugins) {
            Ok((plugin, used)) => placed.push(Placed { level, plugin, used }),
            Err(why) if ignorable(&used.plugin, plugins) => {
                tracing::warn!(target: "table", "{why}; the failure policy is Ignore")
            }
            Err(why) => *broken = Some(why),
        }
    }
    placed
}

/// The uses of a chain; where the controller cannot tell whether one can run, it can if what it needs is here.
fn uses_of<'a>(chain: &'a Chain, plugins: &Plugins) -> Vec<&'a Use> {
    let is_here = |used: &&Use| {
        let has_config = plugins.config(&used.binding, &used.plugin).is_some();
        used.broken.is_none() && plugins.get(&used.plugin).is_some() && has_config
    };
    let is_of = |used: &Use, other: &Use| (&used.plugin, &used.binding) == (&other.plugin, &other.binding);
    let told = |used: &Use| chain.uses.iter().find(|other| is_of(used, other));
    match chain.if_held.as_slice() {
        [] => chain.uses.iter().collect(),
        all => all.iter().filter_map(|used| Some(used).filter(is_here).or_else(|| told(used))).collect(),
    }
}

fn ignorable(plugin: &PluginKey, plugins: &Plugins) -> bool {
    plugins.get(plugin).is_some_and(|p| p.spec.failure_policy == FailurePolicy::Ignore)
}

fn resolve(used: &Use, meta: &Arc<Meta>, plugins: &Plugins) -> Result<(Arc<CompiledPlugin>, Arc<PluginUse>), String> {
    if let Some(why) = &used.broken {
        return Err(format!("{}: {why}", used.plugin));
    }
    let plugin = plugins.get(&used.plugin).ok_or_else(|| format!("{} is missing or does not compile", used.plugin))?;
    let config = plugins.config(&used.binding, &used.plugin);
    let config = config.ok_or_else(|| format!("the {} has no config for {} that fits", used.binding, used.plugin))?;
    let used = PluginUse {
        id: unique(),
        plugin: used.plugin.clone(),
        scope: scope_of(&used.plugin),
        config: config.clone(),
        meta: meta.clone(),
        failure_policy: plugin.spec.failure_policy,
        cpu_per_resume_ms: plugin.spec.cpu_per_resume_ms,
    };
    Ok((plugin.clone(), Arc::new(used)))
}

fn step(placed: &Placed, phase: Phase) -> Option<Step> {
    let script = placed.plugin.scripts.get(&phase)?;
    Some(Step { used: placed.used.clone(), script: script.clone() })
}

/// The one of the most specific level, and there the first.
fn most_specific(placed: &[Placed], phase: Phase) -> Option<Step> {
    backward(placed, phase).into_iter().next()
}

/// Broad levels first.
fn forward(placed: &[Placed], phase: Phase) -> Vec<Step> {
    placed.iter().filter_map(|p| step(p, phase)).collect()
}

/// Specific levels first; within a level the order stays.
fn backward(placed: &[Placed], phase: Phase) -> Vec<Step> {
    let mut order: Vec<&Placed> = placed.iter().collect();
    order.sort_by_key(|p| std::cmp::Reverse(p.level));
    order.into_iter().filter_map(|p| step(p, phase)).collect()
}

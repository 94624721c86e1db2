//! Which plugins run for a request, in which phase and order.

use routing::Key;
use routing::key::{BindingKey, ChainKey};
use routing::value::{FailurePolicy, Phase, Plugin, Settings, Use, Value};

use crate::table::Translator;

/// The phases of a route, in the order of a request's life, as `ngx.get_phase()` spells them.
const PHASES: [(Phase, &str); 7] = [
    (Phase::Rewrite, "rewrite"),
    (Phase::Access, "access"),
    (Phase::Content, "content"),
    (Phase::Balancer, "balancer"),
    (Phase::HeaderFilter, "header_filter"),
    (Phase::BodyFilter, "body_filter"),
    (Phase::Log, "log"),
];

/// What runs on a route.
pub(super) struct Plan {
    /// A line for each script.
    pub(super) steps: Vec<String>,
    /// Why the route refuses everything.
    pub(super) broken: Option<String>,
}

/// A use of a plugin that is there.
struct Placed<'a> {
    level: usize,
    place: &'a ChainKey,
    used: &'a Use,
    plugin: &'a Plugin,
}

/// The scripts of a route's chains.
pub(super) fn plan(chains: &[ChainKey], table: &Translator) -> Plan {
    let (placed, broken) = place(chains, table);
    let mut steps = Vec::new();
    for (phase, name) in PHASES {
        let mut of_phase: Vec<&Placed<'_>> = placed.iter().filter(|p| p.plugin.phases.contains_key(&phase)).collect();
        match phase {
            Phase::Content | Phase::Balancer => {
                // The most specific place's; there, the first.
                of_phase.sort_by_key(|p| std::cmp::Reverse(p.level));
                let losing = of_phase.split_off(of_phase.len().min(1));
                steps.extend(of_phase.drain(..).map(|p| shown(name, p)));
                let lost = "does not run: the one above is more specific, or first at its place";
                steps.extend(losing.into_iter().map(|p| format!("{}; {lost}", shown(name, p))));
            }
            Phase::HeaderFilter | Phase::BodyFilter | Phase::Log => {
                of_phase.sort_by_key(|p| std::cmp::Reverse(p.level));
            }
            _ => {}
        }
        steps.extend(of_phase.into_iter().map(|p| shown(name, p)));
    }
    Plan { steps, broken }
}

/// The scripts that run before the route is chosen.
pub(super) fn server_rewrite(settings: &Settings, table: &Translator) -> Vec<String> {
    let (placed, _) = place(&settings.server_chains, table);
    let of_phase = placed.iter().filter(|p| p.plugin.phases.contains_key(&Phase::ServerRewrite));
    of_phase.map(|p| shown("server_rewrite", p)).collect()
}

fn shown(phase: &str, placed: &Placed<'_>) -> String {
    let by = match &placed.used.binding {
        BindingKey::Default(_) => "named by its annotation".to_owned(),
        binding => format!("by {binding}"),
    };
    format!("{phase:<14} {}, attached to {}, {by}", placed.used.plugin, placed.place)
}

/// The uses of all chains in running order. A plugin that two chains name runs once, at the broader one's place, with
/// the more specific one's config.
fn place<'a>(chains: &'a [ChainKey], table: &'a Translator) -> (Vec<Placed<'a>>, Option<String>) {
    let mut uses: Vec<(usize, &ChainKey, &Use)> = Vec::new();
    for (level, place) in chains.iter().enumerate() {
        let Some(Value::Chain(chain)) = table.get(&Key::Chain(place.clone())).map(|value| &**value) else { continue };
        for used in &chain.uses {
            match uses.iter_mut().find(|(.., earlier)| earlier.plugin == used.plugin) {
                Some((.., earlier)) => *earlier = used,
                None => uses.push((level, place, used)),
            }
        }
    }
    let mut broken = None;
    let mut placed = Vec::new();
    for (level, place, used) in uses {
        let plugin = match table.get(&Key::Plugin(used.plugin.clone())).map(|value| &**value) {
            Some(Value::Plugin(plugin)) => Some(plugin),
            _ => None,
        };
        match (plugin, &used.broken) {
            (Some(plugin), None) => placed.push(Placed { level, place, used, plugin }),
            (Some(plugin), Some(_)) if plugin.failure_policy == FailurePolicy::Ignore => {}
            (_, why) => {
                broken = broken.or_else(|| Some(why.clone().unwrap_or_else(|| format!("there is no {}", used.plugin))))
            }
        }
    }
    (placed, broken)
}

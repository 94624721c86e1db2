//! What the push knows of data planes, as statuses need it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::publish::{self, planes::LuaFailure};
use crate::status;

/// Follows the push's view for as long as there is one.
pub(super) fn for_status(mut planes: watch::Receiver<Arc<publish::Planes>>) -> watch::Receiver<Arc<status::Planes>> {
    let (out, view) = watch::channel(Arc::default());
    tokio::spawn(async move {
        while planes.changed().await.is_ok() {
            let now = planes.borrow_and_update().clone();
            out.send_replace(Arc::new(status::Planes { planes: now.planes.values().map(|plane| of(plane)).collect() }));
        }
    });
    view
}

fn of(plane: &publish::Plane) -> status::Plane {
    let failure = |failure: &LuaFailure| status::LuaFailure { at: failure.at, message: failure.message.clone() };
    status::Plane {
        pod: plane.peer.to_string(),
        is_complete: plane.is_complete,
        behind: plane.behind.clone(),
        failed: plane.failed.clone(),
        lua_failures: plane.lua.iter().map(|(plugin, f)| (plugin.clone(), failure(f))).collect(),
    }
}

//! The control side: objects in, routing table and problems out. In this order:
//! - [`problem`]: what is wrong with an object, and what to do
//! - [`crd`]: our custom resources as types, and their definitions
//! - [`annotations`]: what an Ingress's annotations ask for
//! - [`lua_syntax`]: whether a script compiles, without running it
//! - [`schema`]: what a plugin's config may look like
//! - [`files`]: YAML files as the source of objects, in standalone mode
//! - `layered`: maps that lie over others, for what would be if an object were added
//! - [`store`]: the one store of objects, and the facts that can be read of it
//! - [`reader`]: how a key is derived, with a record of what was read
//! - [`translate`]: one function per section of the table
//! - [`table`]: the published table, which follows the store
//! - [`publish`]: the table to the data planes of a cluster
//! - [`status`]: what the objects' statuses and Events say, and who writes them
//! - [`webhook`]: whether the API server should take an object
//! - [`cluster`]: the API server as the source of objects
//! - [`certs`]: the certificates of the push and of the webhook
//! - [`authenticate`]: who a data plane is, by its token
//! - [`lead`]: who leads, by a Lease
//! - [`run`]: all of it as one process
//! - [`scale_down`]: the end of a Deployment's pods, before their rights end
//! - [`standalone`]: files in, commits out
//! - [`check`]: everything that is wrong with files
//! - [`expiry`]: certificates whose time is over or has not come
//! - [`explain`]: what happens to a request, and why
#![forbid(unsafe_code)]

pub mod annotations;
pub mod authenticate;
pub mod certs;
pub mod check;
pub mod cluster;
pub mod crd;
pub mod expiry;
pub mod explain;
pub mod files;
mod layered;
pub mod lead;
pub mod lua_syntax;
pub mod problem;
pub mod publish;
pub mod reader;
pub mod run;
pub mod scale_down;
pub mod schema;
pub mod standalone;
pub mod status;
pub mod store;
pub mod table;
pub mod translate;
pub mod webhook;

pub use problem::{Cause, ObjectRef, Problem, Severity};
pub use table::Translator;

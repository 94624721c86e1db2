//! One watch: lists, then follows, for ever.
//!
//! kube's own `watcher` keeps the resource versions of lists and bookmarks to itself, and a new leader must know how far
//! it has come; it also refuses a whole page for one object that does not deserialize. So this is the same state machine
//! over the same requests: a list that is streamed where the server can (KEP-3157), else in pages; then a watch that is
//! taken up again where it ended, until the server has forgotten that place (410) and everything is listed again.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use kube::Client;
use kube::core::params::{ListParams, WatchParams};
use kube::core::{Request, Status, WatchEvent};
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::Why;
use super::resource::{Content, Item, Watched, decode};
use crate::store::Kind;

/// Objects of a page of a list, as in client-go. A page is in memory as a whole, and twice while it is received.
const PAGE: u32 = 500;
/// Of metadata: somebody's annotations and managed fields come to several hundred KiB an object, which nobody here wants.
const PAGE_OF_METADATA: u32 = 100;
/// Of kinds that are large without ill intent: a certificate's Secret, a script or a list of credentials may have 1.5 MiB
/// (etcd's bound), so a page has 40 MiB at most.
const PAGE_OF_LARGE: u32 = 25;
/// How long the server lets a watch be. Short, since a peer that has vanished without a word is noticed only then.
const WATCH_SECONDS: u32 = 180;
/// Without a word for longer than the server's own limit, the connection is dead.
const IDLE_MAX: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 10);
/// For the head of a response, and for a page.
const RESPONSE_MAX: Duration = Duration::from_secs(60);
/// Between two attempts: from, to.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// A kind that may not be listed, or is not installed, is asked for this often: a person has to do something first.
const DENIED_RETRY: Duration = Duration::from_secs(3);
/// The annotation of the bookmark after the last object of a streamed list.
const INITIAL_END: &str = "k8s.io/initial-events-end";

/// What a watch tells.
#[derive(Debug)]
pub(super) enum Event {
    /// A list begins: what is not seen before [`Event::Listed`] is gone.
    Restart,
    /// An object is as this.
    Seen(Box<Item>),
    /// An object is gone.
    Gone(Box<Item>),
    /// The list is complete.
    Listed {
        /// As of this version.
        version: String,
        /// Whether it came as a stream; else in pages.
        is_streamed: bool,
    },
    /// Nothing else happened up to this version.
    Reached(String),
    /// It did not work; it is being tried again.
    Failed(Why),
    /// It works again, after a failure, without a new list.
    Resumed,
}

/// A watch under way.
pub(super) struct Source {
    pub(super) client: Client,
    /// In the events that it sends.
    pub(super) index: usize,
    pub(super) watched: Watched,
    /// Whether the server can stream a list.
    pub(super) streams: bool,
    pub(super) out: mpsc::Sender<(usize, Event)>,
}

/// Where it has come to.
#[derive(Default)]
struct Place {
    /// Where to go on; none: a list is needed.
    version: Option<String>,
    /// The highest version that was ever told: a list must not be older, or time would run back.
    floor: Option<String>,
    failed: bool,
}

impl Source {
    /// Ends only when no one listens any more.
    pub(super) async fn run(mut self) {
        let mut place = Place::default();
        let mut backoff = BACKOFF.0;
        loop {
            let begun = Instant::now();
            let Err(why) = self.follow(&mut place).await else {
                // A server that ends each watch at once is not asked all the time.
                tokio::time::sleep(BACKOFF.0.saturating_sub(begun.elapsed())).await;
                continue;
            };
            if begun.elapsed() > BACKOFF.1 {
                backoff = BACKOFF.0;
            }
            match why {
                Why::Closed => return,
                Why::Gone => place.version = None,
                Why::NotStreamed => {
                    self.streams = false;
                    continue;
                }
                Why::FromTheFuture => {
                    // The server's data are older than what was seen: it has been restored.
                    place = Place { failed: place.failed, ..Place::default() };
                }
                _ => {}
            }
            let pause = if why.is_denied() { DENIED_RETRY } else { jitter(backoff) };
            place.failed = true;
            if self.tell(Event::Failed(why)).await.is_err() {
                return;
            }
            tokio::time::sleep(pause).await;
            backoff = (backoff * 2).min(BACKOFF.1);
        }
    }

    async fn follow(&self, place: &mut Place) -> Result<(), Why> {
        if place.version.is_none() && !self.streams {
            self.list(place).await?;
        }
        match place.version.clone() {
            Some(version) => self.watch(place, false, &version).await,
            None => {
                let floor = place.floor.clone().unwrap_or_else(|| "0".into());
                self.watch(place, true, &floor).await
            }
        }
    }

    /// A list in pages.
    async fn list(&self, place: &mut Place) -> Result<(), Why> {
        let mut next: Option<String> = None;
        self.tell(Event::Restart).await?;
        loop {
            let Watched { field_selector, label_selector, .. } = &self.watched;
            let params = ListParams {
                field_selector: field_selector.clone(),
                label_selector: label_selector.clone(),
                limit: Some(self.page_size()),
                continue_token: next.take(),
                ..ListParams::default()
            };
            let text = self.page(&params).await?;
            let page = Page::read(&text)?;
            for raw in page.items {
                self.see(raw, place).await?;
            }
            next = page.metadata.next.filter(|token| !token.is_empty());
            if next.is_none() {
                return self.listed(page.metadata.resource_version, place).await;
            }
        }
    }

    fn page_size(&self) -> u32 {
        match (self.watched.content, self.watched.kind) {
            (Content::Metadata, _) => PAGE_OF_METADATA,
            (
                Content::Every | Content::Referenced,
                Kind::Secret
                | Kind::ConfigMap
                | Kind::LuaPlugin
                | Kind::ClusterLuaPlugin
                | Kind::LuaPluginBinding
                | Kind::ClusterLuaPluginBinding
                | Kind::MoongateConfig,
            ) => PAGE_OF_LARGE,
            (
                Content::Every | Content::Referenced,
                Kind::Ingress | Kind::IngressClass | Kind::Service | Kind::EndpointSlice | Kind::Namespace,
            ) => PAGE,
        }
    }

    async fn page(&self, params: &ListParams) -> Result<String, Why> {
        let request = Request::new(&self.watched.path);
        let request = match self.watched.content {
            Content::Metadata => request.list_metadata(params),
            Content::Every | Content::Referenced => request.list(params),
        };
        let request = request.map_err(|e| Why::Protocol(e.to_string()))?;
        Ok(timeout(RESPONSE_MAX, self.client.request_text(request)).await.map_err(|_| Why::Silent)??)
    }

    /// A watch from a version, or one that begins with a list that is at least as new as the version.
    async fn watch(&self, place: &mut Place, is_list: bool, version: &str) -> Result<(), Why> {
        let mut events = pin!(self.events(is_list, version).await?);
        if is_list {
            self.tell(Event::Restart).await?;
        } else {
            self.works(place).await?;
        }
        loop {
            let Some(event) = timeout(IDLE_MAX, events.next()).await.map_err(|_| Why::Silent)? else { break };
            match event? {
                WatchEvent::Added(raw) | WatchEvent::Modified(raw) => self.see(&raw, place).await?,
                WatchEvent::Deleted(raw) => self.gone(&raw, place).await?,
                WatchEvent::Bookmark(mark) if mark.metadata.annotations.contains_key(INITIAL_END) => {
                    self.listed(mark.metadata.resource_version, place).await?;
                }
                WatchEvent::Bookmark(mark) if place.version.is_some() => {
                    place.version = Some(mark.metadata.resource_version.clone());
                    place.floor.clone_from(&place.version);
                    self.tell(Event::Reached(mark.metadata.resource_version)).await?;
                }
                WatchEvent::Bookmark(_) => {}
                WatchEvent::Error(status) if place.version.is_none() && cannot_stream(&status) => {
                    return Err(Why::NotStreamed);
                }
                WatchEvent::Error(status) => return Err(Why::from(kube::Error::Api(status))),
            }
        }
        match place.version {
            Some(_) => Ok(()),
            None => Err(Why::Protocol("the list ended before its end was told".into())),
        }
    }

    async fn events(
        &self,
        is_list: bool,
        version: &str,
    ) -> Result<impl Stream<Item = kube::Result<WatchEvent<Box<RawValue>>>> + use<>, Why> {
        let params = WatchParams {
            field_selector: self.watched.field_selector.clone(),
            label_selector: self.watched.label_selector.clone(),
            timeout: Some(WATCH_SECONDS),
            bookmarks: true,
            send_initial_events: is_list,
        };
        let request = Request::new(&self.watched.path);
        let request = match self.watched.content {
            Content::Metadata => request.watch_metadata(&params, version),
            Content::Every | Content::Referenced => request.watch(&params, version),
        };
        let request = request.map_err(|e| Why::Protocol(e.to_string()))?;
        let events = timeout(RESPONSE_MAX, self.client.request_events(request)).await.map_err(|_| Why::Silent)?;
        match events {
            Ok(events) => Ok(events),
            Err(kube::Error::Api(status)) if is_list && cannot_stream(&status) => Err(Why::NotStreamed),
            Err(e) => Err(e.into()),
        }
    }

    async fn see(&self, raw: &RawValue, place: &mut Place) -> Result<(), Why> {
        let item = decode(self.watched.kind, self.watched.content, raw)?;
        self.advance(&item, place);
        self.tell(Event::Seen(Box::new(item))).await
    }

    async fn gone(&self, raw: &RawValue, place: &mut Place) -> Result<(), Why> {
        let item = decode(self.watched.kind, Content::Metadata, raw)?;
        self.advance(&item, place);
        self.tell(Event::Gone(Box::new(item))).await
    }

    fn advance(&self, item: &Item, place: &mut Place) {
        if place.version.is_some() {
            place.version = Some(item.version.clone());
            place.floor.clone_from(&place.version);
        }
    }

    async fn listed(&self, version: String, place: &mut Place) -> Result<(), Why> {
        if version.is_empty() {
            return Err(Why::Protocol("a list without a resourceVersion".into()));
        }
        place.version = Some(version.clone());
        place.floor = Some(version.clone());
        place.failed = false;
        // Pages come only where there are no streams.
        self.tell(Event::Listed { version, is_streamed: self.streams }).await
    }

    async fn works(&self, place: &mut Place) -> Result<(), Why> {
        match std::mem::replace(&mut place.failed, false) {
            true => self.tell(Event::Resumed).await,
            false => Ok(()),
        }
    }

    async fn tell(&self, event: Event) -> Result<(), Why> {
        self.out.send((self.index, event)).await.map_err(|_| Why::Closed)
    }
}

/// A page of a list, its objects as they came: parts of its text.
#[derive(serde::Deserialize)]
struct Page<'a> {
    metadata: PageMeta,
    #[serde(borrow, default)]
    items: Vec<&'a RawValue>,
}

impl<'a> Page<'a> {
    fn read(text: &'a str) -> Result<Self, Why> {
        serde_json::from_str(text).map_err(|e| Why::Protocol(format!("a list that is none: {}", kind_of(&e))))
    }
}

#[derive(serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
struct PageMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    next: Option<String>,
}

/// Whether the server has no streamed lists: 422 where the feature is off, 500 with an etcd that is too old for it.
fn cannot_stream(status: &Status) -> bool {
    matches!(status.code, 400 | 422 | 500 | 501)
}

fn kind_of(e: &serde_json::Error) -> &'static str {
    match e.classify() {
        serde_json::error::Category::Eof => "it is cut off",
        serde_json::error::Category::Data => "a field is not of its type",
        _ => "it is not JSON",
    }
}

/// Between half of it and all: what failed together is not tried again together.
fn jitter(pause: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    pause.mul_f64(0.5 + (random % 1024) as f64 / 2048.0)
}

impl From<kube::Error> for Why {
    fn from(e: kube::Error) -> Self {
        match e {
            kube::Error::Api(status) => match status.code {
                403 => Self::Forbidden(status.message.clone()),
                404 => Self::NotInstalled,
                410 => Self::Gone,
                504 if status.message.contains("Too large resource version") => Self::FromTheFuture,
                code => Self::Refused(format!("{code} {}", status.message)),
            },
            other => Self::Unreachable(chain(&other)),
        }
    }
}

/// An error and what caused it, as one line; the errors of HTTP clients say little by themselves.
fn chain(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut cause = e.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

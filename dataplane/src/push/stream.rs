//! One stream to a controller: frames in, batches out; what the hub says, in between.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use routing::wire::{
    self, Applied, Broken, CommitFrame, Decoder, FRAME_MAX, FromPlane, HELLO_MAX, Hello, Known, Lead, PROTOCOLS,
    Received, ToPlane, decode_to_plane,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::claims::Id;
use super::connect::{self, ConnectError, Connection};
use super::held::{Batch, Held, Step};
use super::{Metrics, Options};

/// Bytes of one batch: far more than any table, and a bound against a controller that never commits.
const BATCH_MAX: usize = 1024 * 1024 * 1024;

/// What a stream tells the hub.
#[derive(Debug)]
pub(super) enum Event {
    /// It is there, and takes commands.
    Up(mpsc::Sender<Command>),
    /// Its controller claims to lead.
    Lead(Lead),
    /// It does not any more.
    StandBy,
    /// A step.
    Batch(Batch, CommitFrame),
    /// It is gone.
    Down,
}

/// What the hub tells a stream.
#[derive(Debug)]
pub(super) enum Command {
    /// It is followed: the controller is told what is held.
    Tell(Box<Held>),
    /// A step is applied.
    Applied(Applied),
    /// The stream is of no more use.
    Close(&'static str),
}

/// Commands under way: one step's answers.
const COMMANDS: usize = 8;

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("{0}")]
    Connect(#[from] ConnectError),
    #[error("no welcome in time")]
    Slow,
    #[error("{0}")]
    Broken(#[from] Broken),
    #[error("the controller has closed it")]
    Closed,
    #[error("the controller ends it: {0}")]
    Bye(String),
    #[error("the controller is silent")]
    Silent,
    #[error("the controller takes nothing")]
    Stuck,
    #[error("a batch without an end")]
    BatchTooLarge,
    #[error("{0}")]
    Hub(&'static str),
}

impl End {
    /// For the counter.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Connect(e) => e.what(),
            Self::Slow | Self::Silent | Self::Stuck => "timeout",
            Self::Broken(_) | Self::BatchTooLarge => "broken_frame",
            Self::Closed | Self::Bye(_) => "closed",
            Self::Hub(_) => "not_followed",
        }
    }
}

/// The frames that a controller sends.
struct Reader {
    body: Incoming,
    decoder: Decoder,
    metrics: Metrics,
}

/// What a controller sends, with what this version cannot read of it.
enum Read {
    Frame(ToPlane),
    Unreadable(routing::Key, String),
}

impl Reader {
    /// The next frame, and the bytes of its line. May be dropped at its await: nothing is lost.
    async fn next(&mut self) -> Result<(Read, usize), End> {
        loop {
            while let Some(line) = self.decoder.line()? {
                let bytes = line.len();
                match decode_to_plane(line)? {
                    Received::Frame(frame) => return Ok((Read::Frame(frame), bytes)),
                    Received::Unreadable { key, message, .. } => return Ok((Read::Unreadable(key, message), bytes)),
                    Received::Unknown(what) => {
                        self.metrics.skipped();
                        tracing::warn!(target: "push", "{what} is skipped: the controller is newer than this data plane");
                    }
                }
            }
            match self.body.frame().await {
                None | Some(Err(_)) => return Err(End::Closed),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.decoder.push(data);
                    }
                }
            }
        }
    }
}

/// A stream that is welcome.
struct Stream<'a> {
    id: Id,
    options: &'a Options,
    out: mpsc::Sender<Bytes>,
    events: &'a mpsc::Sender<(Id, Event)>,
    /// The token that the controller knows.
    token: String,
    batch: Batch,
    bytes: usize,
}

/// Connects and serves the stream to its end. Tells whether the controller had welcomed it.
pub(super) async fn run(
    id: Id,
    address: SocketAddr,
    options: &Options,
    events: &mpsc::Sender<(Id, Event)>,
    metrics: &Metrics,
) -> (bool, End) {
    let (mut reader, connection) = match timeout(options.times.connect, open(address, options, metrics)).await {
        Err(_) => return (false, End::Slow),
        Ok(Err(end)) => return (false, end),
        Ok(Ok(opened)) => opened,
    };
    let (commands, receiver) = mpsc::channel(COMMANDS);
    let (out, token) = (connection.out.clone(), connection.token.clone());
    let stream = Stream { id, options, out, events, token, batch: Batch::default(), bytes: 0 };
    metrics.controllers.inc();
    // The hub lives as long as the streams do.
    let _ = events.send((id, Event::Up(commands))).await;
    let end = stream.serve(&mut reader, receiver).await;
    metrics.controllers.dec();
    let _ = events.send((id, Event::Down)).await;
    (true, end)
}

/// Up to the controller's welcome.
async fn open(address: SocketAddr, options: &Options, metrics: &Metrics) -> Result<(Reader, Connection), End> {
    let (connection, body) = connect::open(options, address).await?;
    let features = wire::FEATURES.iter().map(|feature| (*feature).to_owned()).collect();
    let hello = Hello { protocols: PROTOCOLS, version: options.version.clone(), features };
    send(&connection.out, &FromPlane::Hello(hello), options).await?;
    let mut reader = Reader { body, decoder: Decoder::new(HELLO_MAX), metrics: metrics.clone() };
    match reader.next().await?.0 {
        Read::Frame(ToPlane::Welcome(welcome)) => {
            tracing::info!(target: "push", %address, version = welcome.version, protocol = welcome.protocol, "connected");
        }
        Read::Frame(ToPlane::Bye { reason }) => return Err(End::Bye(reason)),
        _ => return Err(Broken::NoFrame("the first frame is not a welcome".into()).into()),
    }
    reader.decoder.set_max(FRAME_MAX);
    Ok((reader, connection))
}

impl Stream<'_> {
    async fn serve(mut self, reader: &mut Reader, mut commands: mpsc::Receiver<Command>) -> End {
        let times = &self.options.times;
        let mut look = tokio::time::interval(times.look);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut heard, mut said) = (Instant::now(), Instant::now());
        loop {
            let done = tokio::select! {
                frame = reader.next() => match frame {
                    Err(end) => Err(end),
                    Ok((frame, bytes)) => {
                        heard = Instant::now();
                        self.take(frame, bytes).await.map(|()| false)
                    }
                },
                command = commands.recv() => match command {
                    // The hub has given the stream up.
                    None => Err(End::Closed),
                    Some(command) => self.say(command).await.map(|()| true),
                },
                () = tokio::time::sleep_until((heard + times.silence).into()) => Err(End::Silent),
                () = tokio::time::sleep_until((said + times.keep_alive).into()) => {
                    send(&self.out, &FromPlane::KeepAlive {}, self.options).await.map(|()| true)
                }
                _ = look.tick() => self.renew().await,
            };
            match done {
                Err(end) => return end,
                Ok(has_said) if has_said => said = Instant::now(),
                Ok(_) => {}
            }
        }
    }

    /// What the controller says.
    async fn take(&mut self, read: Read, bytes: usize) -> Result<(), End> {
        self.bytes += bytes;
        if self.bytes > BATCH_MAX {
            return Err(End::BatchTooLarge);
        }
        let event = match read {
            Read::Unreadable(key, message) => {
                self.batch.0.insert(key, Step::Unreadable(message));
                return Ok(());
            }
            Read::Frame(ToPlane::Set(set)) => {
                self.batch.set(set);
                return Ok(());
            }
            Read::Frame(ToPlane::Keep(keep)) => {
                self.batch.0.insert(keep.key, Step::Keep(keep.hash));
                return Ok(());
            }
            Read::Frame(ToPlane::Delete { key }) => {
                self.batch.0.insert(key, Step::Delete);
                return Ok(());
            }
            Read::Frame(ToPlane::Welcome(_) | ToPlane::KeepAlive {}) => return Ok(()),
            Read::Frame(ToPlane::Bye { reason }) => return Err(End::Bye(reason)),
            Read::Frame(ToPlane::Commit(commit)) => Event::Batch(std::mem::take(&mut self.batch), commit),
            Read::Frame(ToPlane::Lead(lead)) => Event::Lead(lead),
            Read::Frame(ToPlane::StandBy {}) => Event::StandBy,
        };
        // What was not committed before a claim, or before its end, is void.
        (self.batch, self.bytes) = (Batch::default(), 0);
        self.events.send((self.id, event)).await.map_err(|_| End::Closed)
    }

    /// What the hub says.
    async fn say(&mut self, command: Command) -> Result<(), End> {
        match command {
            Command::Close(why) => Err(End::Hub(why)),
            Command::Applied(applied) => send(&self.out, &FromPlane::Applied(applied), self.options).await,
            Command::Tell(held) => self.tell(&held).await,
        }
    }

    /// Everything that is held, in parts.
    async fn tell(&self, held: &Held) -> Result<(), End> {
        let pairs = held.pairs();
        let mut parts = pairs.chunks(wire::HELD_MAX);
        loop {
            let part = parts.next().unwrap_or_default();
            let part = part.iter().map(|(key, hash)| (Known::Yes((*key).clone()), *hash)).collect();
            let last = parts.len() == 0;
            let part = wire::Held { applied: held.applied, versions: held.versions.clone(), pairs: part, last };
            send(&self.out, &FromPlane::Held(part), self.options).await?;
            if last {
                return Ok(());
            }
        }
    }

    /// Sends the token again when its file has another one.
    async fn renew(&mut self) -> Result<bool, End> {
        match connect::read_token(self.options) {
            Ok(token) if token != self.token => {
                self.token.clone_from(&token);
                send(&self.out, &FromPlane::Token { token }, self.options).await.map(|()| true)
            }
            // The one that the controller knows may be good for a while.
            _ => Ok(false),
        }
    }
}

async fn send(out: &mpsc::Sender<Bytes>, frame: &FromPlane, options: &Options) -> Result<(), End> {
    let line = wire::encode(frame).expect("what a data plane sends comes in parts");
    match timeout(options.times.silence, out.send(line.into())).await {
        Err(_) => Err(End::Stuck),
        Ok(Err(_)) => Err(End::Closed),
        Ok(Ok(())) => Ok(()),
    }
}

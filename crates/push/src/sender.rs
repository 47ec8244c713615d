//! Delivery: a task for each push, which waits for its turn, asks, and asks again until it is too late.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::limits::{ATTEMPT, ATTEMPTS, BACK_OFF_MOST_MS, BACK_OFF_MS, REQUESTS_AT_ONCE, WAITING};
use crate::message::{Outcome, Provider, Push};
use crate::metrics::{Counters, Status};
use crate::pace::{Pace, Turn};
use crate::services::Services;
use crate::verdict::Verdict;

/// What is called when it is known what became of a push; on the runtime, and it must not block.
pub type Done = Box<dyn FnOnce(&Push, &Outcome) + Send>;

/// Stops a push whose caller gave up: what has not been sent yet is not sent any more.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Stops it.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Delivers pushes. Cheap to clone; all clones are one sender.
#[derive(Clone)]
pub struct Sender {
    runtime: Handle,
    shared: Arc<Shared>,
}

struct Shared {
    services: ArcSwap<Services>,
    lanes: [LaneState; Provider::ALL.len()],
    waiting: AtomicUsize,
    most_waiting: usize,
    started: Instant,
}

struct LaneState {
    pace: Mutex<Pace>,
    counters: Counters,
    /// Places for requests that wait for their answer.
    places: Semaphore,
}

impl Default for LaneState {
    fn default() -> Self {
        let places = Semaphore::new(REQUESTS_AT_ONCE);
        Self { pace: Mutex::default(), counters: Counters::default(), places }
    }
}

/// Counts a push as waiting, for as long as it lives.
struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Sender {
    /// A sender whose tasks run on a runtime.
    #[must_use]
    pub fn new(services: Services, runtime: Handle) -> Self {
        Self::with_room(services, runtime, WAITING)
    }

    /// A sender that lets at most `most_waiting` pushes wait.
    #[must_use]
    pub fn with_room(services: Services, runtime: Handle, most_waiting: usize) -> Self {
        // The rate limit lets a second's worth go at once; a new sender has had that second.
        let started = Instant::now().checked_sub(Duration::from_secs(1)).unwrap_or_else(Instant::now);
        let sender = Self {
            runtime,
            shared: Arc::new(Shared {
                services: ArcSwap::default(),
                lanes: Default::default(),
                waiting: AtomicUsize::new(0),
                most_waiting,
                started,
            }),
        };
        sender.replace(Arc::new(services));
        sender
    }

    /// Takes other services, after a reload. Pushes under way end with those that they began with.
    pub fn replace(&self, services: Arc<Services>) {
        for lane in &self.shared.lanes {
            lane.pace.lock().set_rate(services.rate_per_s());
        }
        self.shared.services.store(services);
    }

    /// Whether some sender takes pushes for a `pn-provider`.
    #[must_use]
    pub fn takes(&self, provider: &str) -> bool {
        self.shared.services.load().provider(provider).is_some()
    }

    /// Delivers a push within `patience`. `done` is called once, in any case; never before this returns.
    pub fn push(&self, push: Push, patience: Duration, done: Done) -> Cancel {
        let cancel = Cancel::default();
        let delivery = self.deliver(push.clone(), patience, cancel.clone());
        self.runtime.spawn(async move {
            let outcome = delivery.await;
            done(&push, &outcome);
        });
        cancel
    }

    /// Delivers a push within `patience`, which begins now; the future has to be run on the sender's runtime.
    pub fn deliver(
        &self,
        push: Push,
        patience: Duration,
        cancel: Cancel,
    ) -> impl Future<Output = Outcome> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        let began = Instant::now();
        async move {
            let services = shared.services.load_full();
            let Some(provider) = services.provider(&push.provider) else { return Outcome::NoSender };
            if shared.waiting.fetch_add(1, Ordering::Relaxed) >= shared.most_waiting {
                shared.waiting.fetch_sub(1, Ordering::Relaxed);
                return Outcome::Full;
            }
            let place = Place(Arc::clone(&shared));
            let Some(lane) = shared.lanes.get(provider.index()) else { return Outcome::NoSender };
            let delivery = Delivery {
                shared: &shared,
                services: &services,
                provider,
                lane,
                push: &push,
                cancel: &cancel,
            };
            let outcome = delivery.run(began + patience).await;
            let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            lane.counters.outcome(&outcome, took_us);
            drop(place);
            if let Outcome::Refused(reason) | Outcome::Failed(reason) = &outcome {
                tracing::warn!("push to {} was not taken: {reason}", provider.name());
            }
            outcome
        }
    }

    /// How many pushes wait for their turn or for an answer.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::Relaxed)
    }

    /// What each service does at this moment.
    #[must_use]
    pub fn status(&self) -> Vec<Status> {
        let services = self.shared.services.load();
        let now_ms = self.shared.now_ms();
        let lanes = Provider::ALL.into_iter().zip(&self.shared.lanes);
        let status = |(provider, lane): (Provider, &LaneState)| Status {
            provider,
            configured: services.has(provider),
            held: lane.pace.lock().is_closed(now_ms),
            lane: lane.counters.read(),
        };
        lanes.map(status).collect()
    }
}

impl Shared {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn instant(&self, at_ms: u64) -> Instant {
        self.started + Duration::from_millis(at_ms)
    }

    fn milliseconds(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }
}

/// A push on its way.
struct Delivery<'a> {
    shared: &'a Shared,
    services: &'a Services,
    provider: Provider,
    lane: &'a LaneState,
    push: &'a Push,
    cancel: &'a Cancel,
}

impl Delivery<'_> {
    async fn run(&self, deadline: Instant) -> Outcome {
        let mut renewed = false;
        let mut last: Option<String> = None;
        let too_late = |last: Option<String>| last.map_or(Outcome::Late, Outcome::Failed);
        for attempt in 0..ATTEMPTS {
            let turn = self.turn(deadline).await;
            let place = match turn {
                true => tokio::time::timeout_at(deadline, self.lane.places.acquire()).await.ok(),
                false => None,
            };
            if self.cancel.is_set() {
                if turn {
                    self.lane.pace.lock().not_tried();
                }
                return Outcome::Cancelled;
            }
            if place.is_none() {
                if turn {
                    self.lane.pace.lock().not_tried();
                }
                return too_late(last);
            }
            let verdict = self.ask(deadline).await;
            drop(place);
            match verdict {
                Verdict::Accepted => return Outcome::Accepted,
                Verdict::Dead => return Outcome::Dead,
                Verdict::Refused(reason) => return Outcome::Refused(reason),
                Verdict::Credentials(reason) if renewed => return Outcome::Refused(reason),
                Verdict::Credentials(reason) => {
                    renewed = true;
                    last = Some(reason);
                    self.services.renew(self.provider, self.push);
                }
                Verdict::Again { reason, after_s, everybody } => {
                    let wait_ms =
                        after_s.map_or(0, |after_s| after_s.saturating_mul(1000)).max(back_off(attempt));
                    let until_ms = self.shared.now_ms().saturating_add(wait_ms);
                    if everybody {
                        self.lane.pace.lock().hold(until_ms);
                    }
                    if until_ms >= self.shared.milliseconds(deadline) {
                        return Outcome::Failed(reason);
                    }
                    last = Some(reason);
                    tokio::time::sleep_until(self.shared.instant(until_ms)).await;
                }
            }
        }
        too_late(last)
    }

    /// Waits for the rate limit and the breaker. False when there is no turn before the deadline.
    async fn turn(&self, deadline: Instant) -> bool {
        let deadline_ms = self.shared.milliseconds(deadline);
        let slot = self.lane.pace.lock().slot(self.shared.now_ms(), deadline_ms);
        let Some(slot_ms) = slot else { return false };
        tokio::time::sleep_until(self.shared.instant(slot_ms)).await;
        loop {
            let turn = self.lane.pace.lock().turn(self.shared.now_ms());
            match turn {
                Turn::Now if Instant::now() < deadline => return true,
                Turn::Now => {
                    self.lane.pace.lock().not_tried();
                    return false;
                }
                Turn::At(at_ms) if at_ms >= deadline_ms || self.cancel.is_set() => return false,
                Turn::At(at_ms) => tokio::time::sleep_until(self.shared.instant(at_ms)).await,
            }
        }
    }

    async fn ask(&self, deadline: Instant) -> Verdict {
        let left = deadline.saturating_duration_since(Instant::now());
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let until_s = now_s + left.as_secs().max(1);
        let sent = || {
            self.lane.counters.sent.fetch_add(1, Ordering::Relaxed);
        };
        let verdict =
            self.services.ask(self.provider, self.push, (now_s, until_s), left.min(ATTEMPT), sent).await;
        let mut pace = self.lane.pace.lock();
        match &verdict {
            Verdict::Again { after_s: None, .. } => pace.failed(self.shared.now_ms()),
            _ => pace.answered(),
        }
        verdict
    }
}

/// The pause after an attempt, in milliseconds.
fn back_off(attempt: u32) -> u64 {
    BACK_OFF_MS.checked_shl(attempt).unwrap_or(u64::MAX).min(BACK_OFF_MOST_MS)
}

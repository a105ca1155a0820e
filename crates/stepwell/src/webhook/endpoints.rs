//! Endpoints, as an application or an API manages them.

use std::{fmt, time::Duration};

use stepwell_core::{
    Error, JobId, Json, Result, Timestamp, limits,
    machine::{NewJob, Once},
    setting::{Expected, PutSetting, Setting, SettingsRequest},
    webhook::{ENDPOINTS, ENDPOINTS_MAX, SECRETS_MAX},
};

use crate::{client::Stepwell, once::Made};

use super::{
    delivery,
    endpoint::{DisabledReason, Endpoint, EndpointChange, NewEndpoint, Stored, StoredSecret},
    health::{self, Health},
    outbox::Outbox,
    secret::Secret,
};

/// How long a replaced secret is still signed with, unless said otherwise.
const OVERLAP: Duration = Duration::from_hours(24);
/// The longest that it can be.
const OVERLAP_MAX: Duration = Duration::from_hours(30 * 24);
/// How often a change is decided anew when somebody else was faster.
const CHANGE_TRIES: usize = 5;

/// The webhooks of a queue: endpoints, deliveries, replays. See [`Stepwell::webhooks`].
pub struct Webhooks<'s> {
    pub(super) stepwell: &'s Stepwell,
}

impl Stepwell {
    /// Who is told of what by signed webhooks, and how that goes.
    ///
    /// ```
    /// # async fn example(stepwell: stepwell::Stepwell) -> stepwell::Result<()> {
    /// use stepwell::webhook::NewEndpoint;
    ///
    /// let made = stepwell.webhooks().create(NewEndpoint::new("https://hooks.example/stepwell")).await?;
    /// // Shown once, to be given to the receiver.
    /// let secret = made.secret.expect("none was given, so one was made");
    /// println!("endpoint {} signs with {}", made.endpoint.id, secret.reveal());
    /// # Ok(()) }
    /// ```
    pub fn webhooks(&self) -> Webhooks<'_> {
        Webhooks { stepwell: self }
    }
}

/// An endpoint whose secret is new.
#[derive(Clone, Debug)]
pub struct NewSecret {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The secret, if it was made here: this is the only time that it is told. One that the caller gave is not
    /// repeated.
    pub secret: Option<Secret>,
    /// Whether the endpoint was made before, by a request that had the same key: then its secret was told before.
    pub is_replayed: bool,
}

/// A delivery that shows whether an endpoint hears anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tested {
    /// The delivery.
    pub delivery: JobId,
    /// Whether it was asked for before, with the same key.
    pub is_replayed: bool,
}

/// A page of endpoints.
#[derive(Clone, Debug, Default)]
pub struct EndpointPage {
    /// The endpoints, in the order of their ids, which is that in which they were made.
    pub items: Vec<Endpoint>,
    /// Where the next page begins; none if this was the last one.
    pub next: Option<String>,
}

impl fmt::Debug for Webhooks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Webhooks")
    }
}

impl Webhooks<'_> {
    pub(super) fn outbox(&self) -> &Outbox {
        &self.stepwell.engine.webhooks
    }
    fn now(&self) -> Timestamp {
        self.stepwell.clock().now()
    }

    /// Makes an endpoint. It is told of what happens from now on.
    ///
    /// If a request with the same key has made one within 24 hours, that is the answer, as it is now and without its
    /// secret: [`rotate_secret`](Self::rotate_secret) gives it another one.
    ///
    /// # Errors
    /// If a field breaks a rule: the URL is not one that webhooks may go to, say; if there are too many endpoints; if
    /// another request had the key; if the endpoint that it has made was removed; or if the store fails.
    pub async fn create(&self, new: NewEndpoint) -> Result<NewSecret> {
        let outbox = self.outbox();
        let (records, once) = (self.stepwell.records(ENDPOINTS), new.once.clone());
        if let Some(once) = &once
            && let Some(before) = records.made(once).await?
        {
            return self.made_before(&before).await;
        }
        let (secret, made) = match new.secret.clone() {
            Some(secret) => (secret, None),
            None => {
                let secret = Secret::fresh(&outbox.entropy);
                (secret.clone(), Some(secret))
            }
        };
        let (now, head) = (self.now(), outbox.store.head());
        let stored = Stored::new(new, &secret, head, now);
        stored.check(&outbox.options.policy)?;
        let known = records.list("", None, false, limits::PAGE_MAX).await?;
        if known.items.len() >= ENDPOINTS_MAX {
            let problem = format!("are {ENDPOINTS_MAX} already, which is the limit; delete one");
            return Err(Error::invalid("endpoints", problem));
        }
        let id = outbox.entropy.job_id(now).to_string();
        let record = records.make(&id, Json::of(&stored)?, once).await?;
        if record.is_replayed {
            return self.made_before(&record).await;
        }
        Ok(NewSecret { endpoint: self.get(&id).await?, secret: made, is_replayed: false })
    }
    async fn made_before(&self, before: &Made) -> Result<NewSecret> {
        Ok(NewSecret { endpoint: self.get(&before.key).await?, secret: None, is_replayed: true })
    }
    /// An endpoint.
    ///
    /// # Errors
    /// If there is none with this id, or the store fails.
    pub async fn get(&self, id: &str) -> Result<Endpoint> {
        let (stored, setting) = self.find(id).await?;
        Ok(stored.show(&setting))
    }
    /// A page of endpoints, after an id.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn list(&self, after: Option<String>, limit: usize) -> Result<EndpointPage> {
        let request = SettingsRequest { after, limit, ..SettingsRequest::of(ENDPOINTS) };
        let limit = request.limit();
        let found = self.outbox().store.settings(request).await?.items;
        let next = (found.len() >= limit).then(|| found.last().map(|last| last.key.clone())).flatten();
        let show = |setting: &Setting| Ok(Stored::read(&setting.value)?.show(setting));
        Ok(EndpointPage { items: found.iter().map(show).collect::<Result<_>>()?, next })
    }
    /// Changes an endpoint, if it is still at `version`, or whatever it is at. What happened before, and has not been
    /// looked at yet, is judged by what it wants now.
    ///
    /// # Errors
    /// If there is none with this id; if it has changed since that version ([`Error::is_version_mismatch`]); if a field
    /// breaks a rule; or if the store fails.
    pub async fn update(&self, id: &str, version: Option<u64>, change: EndpointChange) -> Result<Endpoint> {
        let moves = change.url.is_some();
        let changed = self
            .change(id, version, |stored| {
                stored.change(change.clone());
                stored.check(&self.outbox().options.policy)
            })
            .await?;
        if moves {
            // A pause that was asked for at the old address says nothing about the new one.
            self.outbox().lanes.release(&delivery::queue_of(id));
        }
        Ok(changed)
    }
    /// Removes an endpoint. Deliveries to it that still wait are given up when they are due.
    ///
    /// # Errors
    /// If there is none with this id; if it has changed since that version; or if the store fails.
    pub async fn delete(&self, id: &str, version: Option<u64>) -> Result<()> {
        let (_, setting) = self.find(id).await?;
        let expected = Expected::Version(version.unwrap_or(setting.version));
        let gone = |scope: &str, expected| PutSetting {
            scope: scope.into(),
            key: id.to_owned(),
            value: None,
            expected,
        };
        let puts = vec![gone(ENDPOINTS, expected), gone(health::SCOPE, Expected::Anything)];
        self.outbox().store.put_settings(puts).await.map(drop)
    }
    /// Tells an endpoint of what happens from now on, if it was disabled.
    ///
    /// # Errors
    /// If there is none with this id, or the store fails.
    pub async fn enable(&self, id: &str) -> Result<Endpoint> {
        let head = self.outbox().store.head();
        // A new beginning: five days of failures are counted anew.
        self.stepwell.records(health::SCOPE).put(id, None, Expected::Anything).await?;
        let enabled = self
            .change(id, None, |stored| {
                if !stored.is_enabled() {
                    stored.enable(head);
                }
                Ok(())
            })
            .await?;
        self.outbox().lanes.release(&delivery::queue_of(id));
        Ok(enabled)
    }
    /// Tells an endpoint of nothing more. What happens while it is disabled is not told afterwards, and deliveries to
    /// it that still wait are given up when they are due; they are kept, and can be sent again.
    ///
    /// # Errors
    /// If there is none with this id, or the store fails.
    pub async fn disable(&self, id: &str) -> Result<Endpoint> {
        let now = self.now();
        self.change(id, None, |stored| {
            if stored.is_enabled() {
                stored.disable(DisabledReason::Operator, now);
            }
            Ok(())
        })
        .await
    }
    /// Gives an endpoint a new secret: this one, or one that is made. For a while, 24 hours unless said otherwise and
    /// at most 30 days, deliveries are signed with the old one too, so that the receiver can change over in its own
    /// time.
    ///
    /// # Errors
    /// If there is none with this id; if too many old secrets are still in use; or if the store fails.
    pub async fn rotate_secret(
        &self,
        id: &str,
        secret: Option<Secret>,
        overlap: Option<Duration>,
    ) -> Result<NewSecret> {
        let made = secret.is_none().then(|| Secret::fresh(&self.outbox().entropy));
        let Some(secret) = secret.or_else(|| made.clone()) else { return Err(Error::closed()) };
        let (now, overlap) = (self.now(), overlap.unwrap_or(OVERLAP));
        if overlap > OVERLAP_MAX {
            return Err(Error::invalid("overlap", "is longer than 30 days; change over sooner"));
        }
        let endpoint = self
            .change(id, None, |stored| {
                let until = (now + overlap).as_micros();
                stored.secrets.retain(|old| old.until.is_none_or(|until| until > now.as_micros()));
                for old in &mut stored.secrets {
                    old.until = Some(old.until.map_or(until, |before| before.min(until)));
                }
                stored.secrets.insert(0, StoredSecret { secret: secret.reveal().to_owned(), until: None });
                stored.secrets.retain(|old| old.until.is_none_or(|until| until > now.as_micros()));
                if stored.secrets.len() > SECRETS_MAX {
                    let problem = format!("are {SECRETS_MAX} already; wait until the oldest has ended");
                    return Err(Error::invalid("secrets", problem));
                }
                Ok(())
            })
            .await?;
        Ok(NewSecret { endpoint, secret: made, is_replayed: false })
    }
    /// Sends something to an endpoint, to see whether it arrives. Answers with the id of the delivery.
    ///
    /// # Errors
    /// If there is none with this id, or the store fails.
    pub async fn test(&self, id: &str) -> Result<JobId> {
        self.test_once(id, None).await.map(|tested| tested.delivery)
    }
    /// As [`test`](Self::test), for a request that counts once: `once` is its key, and what tells requests with the
    /// same key apart.
    ///
    /// # Errors
    /// If there is no endpoint with this id; if another request had the key; or if the store fails.
    pub async fn test_once(&self, id: &str, once: Option<(String, String)>) -> Result<Tested> {
        self.find(id).await?;
        let (outbox, now) = (self.outbox(), self.now());
        let mut new: NewJob = delivery::of_test(outbox.entropy.job_id(now), id, now)?;
        new.once = once.map(|(key, fingerprint)| Once { key, fingerprint });
        let queue = new.queue.clone();
        let Some(enqueued) = outbox.store.enqueue(vec![new]).await?.pop() else {
            return Err(Error::closed());
        };
        let enqueued = enqueued?;
        queue.iter().for_each(|queue| outbox.lanes.release(queue));
        Ok(Tested { delivery: enqueued.id, is_replayed: enqueued.replayed })
    }
    /// How an endpoint has been doing.
    ///
    /// # Errors
    /// If there is none with this id, or the store fails.
    pub async fn health(&self, id: &str) -> Result<Health> {
        self.find(id).await?;
        let stored = self.stepwell.records(health::SCOPE).get(id).await?;
        let stored = stored
            .map_or_else(|| Ok(health::Stored::default()), |found| health::Stored::read(&found.value))?;
        let counts = self.outbox().store.counts().await?;
        Ok(stored.show(&counts, &delivery::queue_of(id)))
    }

    async fn find(&self, id: &str) -> Result<(Stored, Setting)> {
        let found = self.outbox().store.setting(ENDPOINTS.into(), id.to_owned()).await?;
        let setting = found.ok_or_else(|| Error::no_such("webhook endpoint", id))?;
        Ok((Stored::read(&setting.value)?, setting))
    }
    async fn change(
        &self,
        id: &str,
        version: Option<u64>,
        change: impl Fn(&mut Stored) -> Result<()>,
    ) -> Result<Endpoint> {
        for nth in 1.. {
            let (mut stored, setting) = self.find(id).await?;
            change(&mut stored)?;
            let expected = Expected::Version(version.unwrap_or(setting.version));
            match self.put(id, &stored, expected).await {
                // Decided on what somebody else has changed meanwhile: decide again, unless the caller must.
                Err(error) if error.is_version_mismatch() && version.is_none() && nth < CHANGE_TRIES => {}
                answer => return answer,
            }
        }
        Err(Error::no_such("webhook endpoint", id))
    }
    async fn put(&self, id: &str, stored: &Stored, expected: Expected) -> Result<Endpoint> {
        let value = Json::of(stored)?;
        let scope = stepwell_core::Name::from(ENDPOINTS);
        let put =
            PutSetting { scope: scope.clone(), key: id.to_owned(), value: Some(value.clone()), expected };
        let versions = self.outbox().store.put_settings(vec![put]).await?;
        let version = versions.first().copied().unwrap_or(0);
        // The store says when it was written.
        let found = self.outbox().store.setting(ENDPOINTS.into(), id.to_owned()).await?;
        let at = found.filter(|found| found.version == version).map_or_else(|| self.now(), |found| found.at);
        let setting = Setting { scope, key: id.to_owned(), version, at, value };
        Ok(stored.show(&setting))
    }
}

//! Tokens as they are stored: without the secret.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use stepwell::{Error, Expected, Json, Name, Result, Stepwell, Timestamp, limits, wire};

use super::{Grant, Scope, secret::Secret};

const TOKENS: &str = "stepwell.token";
const USED: &str = "stepwell.token.used";
/// How long a token that was looked up is believed. A revocation elsewhere takes effect within it.
const BELIEVED: Duration = Duration::from_secs(2);
/// Tokens that are remembered at once; anybody can send a made-up one.
const REMEMBERED_MAX: usize = 10_000;
/// How often the last use is written down.
const USE_NOTED_EVERY: Duration = Duration::from_mins(5);
/// Tokens of one store.
const TOKENS_MAX: usize = 1_000;

/// A token about to be made.
#[derive(Clone, Debug, Default)]
pub struct NewToken {
    /// How people call it.
    pub name: String,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
    /// In which queues only; none means all.
    pub queues: Option<BTreeSet<Name>>,
    /// With jobs of which kinds only; none means all.
    pub kinds: Option<BTreeSet<Name>>,
    /// For how long; none means until it is revoked.
    pub expires_in: Option<Duration>,
}

/// How a token is replaced.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rotation {
    /// How long the earlier token is good beside the new one; nothing ends it at once.
    pub overlap: Duration,
    /// For how long the new one is made; none means as long as the earlier one was.
    pub expires_in: Option<Duration>,
}

/// A token, without its secret.
#[derive(Clone, Debug)]
pub struct TokenRecord {
    /// The part of the token that names it.
    pub id: String,
    /// How people call it.
    pub name: String,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
    /// In which queues only; none means all.
    pub queues: Option<BTreeSet<Name>>,
    /// With jobs of which kinds only; none means all.
    pub kinds: Option<BTreeSet<Name>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to within a few minutes.
    pub last_used_at: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    name: String,
    hash: String,
    scopes: BTreeSet<Scope>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    queues: Option<BTreeSet<Name>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kinds: Option<BTreeSet<Name>>,
    created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
}

struct Known {
    stored: Option<Arc<(String, Grant)>>,
    at: Timestamp,
    use_noted_at: Option<Timestamp>,
}

/// The tokens of a store.
///
/// ```
/// # async fn example(stepwell: stepwell::Stepwell) -> stepwell::Result<()> {
/// use stepwell_http::{NewToken, Scope, Tokens};
///
/// let tokens = Tokens::new(&stepwell);
/// let new = NewToken { name: "ci".into(), scopes: [Scope::JobsEnqueue].into(), ..NewToken::default() };
/// let (record, text) = tokens.create(new).await?;
/// assert!(text.starts_with("sw_"));
/// tokens.revoke(&record.id).await?;
/// # Ok(()) }
/// ```
pub struct Tokens {
    stepwell: Stepwell,
    known: Mutex<HashMap<String, Known>>,
}

impl Tokens {
    /// The tokens of this store.
    #[must_use]
    pub fn new(stepwell: &Stepwell) -> Self {
        Self { stepwell: stepwell.clone(), known: Mutex::default() }
    }

    /// Makes a token, and answers with its text, which is shown this once and stored nowhere.
    ///
    /// # Errors
    /// If a field breaks a rule, there are too many tokens, or the store fails.
    pub async fn create(&self, new: NewToken) -> Result<(TokenRecord, String)> {
        let (secret, stored) = self.fresh(new).await?;
        let value = Some(Json::of(&stored)?);
        self.stepwell.records(TOKENS).put(&secret.id, value, Expected::Absent).await?;
        Ok((record(secret.id.clone(), stored, None), secret.reveal()))
    }
    /// As [`create`](Self::create), for a request that counts once: `once` is its key, and what tells requests with the
    /// same key apart. If a request with this key has made a token within 24 hours, the answer is that token, without
    /// its text: nobody knows it any more but whoever was told of it then.
    ///
    /// # Errors
    /// If a field breaks a rule; if another request had the key; if the token that it has made was revoked; if there
    /// are too many tokens; or if the store fails.
    pub async fn create_once(
        &self,
        new: NewToken,
        once: (String, String),
    ) -> Result<(TokenRecord, Option<String>)> {
        let records = self.stepwell.records(TOKENS);
        if let Some(before) = records.made(&once).await? {
            return Ok((self.find(&before.key).await?, None));
        }
        let (secret, stored) = self.fresh(new).await?;
        let made = records.make(&secret.id, Json::of(&stored)?, Some(once)).await?;
        match made.is_replayed {
            true => Ok((self.find(&made.key).await?, None)),
            false => Ok((record(made.key, stored, None), Some(secret.reveal()))),
        }
    }
    /// Makes a token that may do what an earlier one may, for as long as that was made for or for another time, and
    /// ends the earlier one: at once, or after an overlap in which both are good. Answers with the new one and its
    /// text.
    ///
    /// # Errors
    /// If there is no such token; if there are too many tokens; or if the store fails.
    pub async fn rotate(&self, id: &str, rotation: Rotation) -> Result<(TokenRecord, String)> {
        let Rotation { overlap, expires_in } = rotation;
        let TokenRecord { name, scopes, queues, kinds, created_at, expires_at, .. } = self.find(id).await?;
        let made_for = expires_at.map(|end| end.since(created_at));
        let new = NewToken { name, scopes, queues, kinds, expires_in: expires_in.or(made_for) };
        // Cut off in between, the earlier one is still good.
        let made = self.create(new).await?;
        self.end_after(id, overlap).await?;
        Ok(made)
    }
    /// Ends a token after this time, if it does not end before.
    async fn end_after(&self, id: &str, overlap: Duration) -> Result<()> {
        if overlap.is_zero() {
            return self.revoke(id).await;
        }
        let records = self.stepwell.records(TOKENS);
        let found = records.get(id).await?.ok_or_else(|| Error::no_such("token", id))?;
        let (mut stored, end) = (found.value.decode::<Stored>()?, self.stepwell.clock().now() + overlap);
        if stored.expires_at.is_none_or(|before| end < before) {
            stored.expires_at = Some(end);
            records.put(id, Some(Json::of(&stored)?), Expected::Version(found.version)).await?;
            self.lock().remove(id);
        }
        Ok(())
    }
    async fn fresh(&self, new: NewToken) -> Result<(Secret, Stored)> {
        check(&new)?;
        if self.stepwell.records(TOKENS).list("", None, false, TOKENS_MAX).await?.items.len() >= TOKENS_MAX {
            return Err(Error::invalid("tokens", format!("are {TOKENS_MAX}, the limit; revoke some")));
        }
        let (secret, now) = (Secret::new(&self.stepwell), self.stepwell.clock().now());
        let NewToken { name, scopes, queues, kinds, expires_in } = new;
        let expires_at = expires_in.map(|after| now + after);
        let stored = Stored { name, hash: secret.hash(), scopes, queues, kinds, created_at: now, expires_at };
        Ok((secret, stored))
    }
    async fn find(&self, id: &str) -> Result<TokenRecord> {
        let found =
            self.stepwell.records(TOKENS).get(id).await?.ok_or_else(|| Error::no_such("token", id))?;
        let used = self.stepwell.records(USED).get(id).await?;
        Ok(record(found.key, found.value.decode()?, used.map(|used| used.at)))
    }
    /// Every token, in the order of their ids.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn list(&self) -> Result<Vec<TokenRecord>> {
        let found = self.stepwell.records(TOKENS).list("", None, false, TOKENS_MAX).await?;
        let used = self.stepwell.records(USED).list("", None, false, TOKENS_MAX).await?;
        let used: HashMap<String, Timestamp> =
            used.items.into_iter().map(|setting| (setting.key, setting.at)).collect();
        let read = |setting: stepwell::Setting| {
            let last_used = used.get(&setting.key).copied();
            Ok(record(setting.key, setting.value.decode()?, last_used))
        };
        found.items.into_iter().map(read).collect()
    }
    /// Ends a token. Here it takes effect at once, in other processes within two seconds.
    ///
    /// # Errors
    /// If there is no such token, or the store fails.
    pub async fn revoke(&self, id: &str) -> Result<()> {
        let records = self.stepwell.records(TOKENS);
        let found = records.get(id).await?.ok_or_else(|| Error::no_such("token", id))?;
        records.put(id, None, Expected::Version(found.version)).await?;
        self.lock().remove(id);
        self.stepwell.records(USED).put(id, None, Expected::Anything).await?;
        Ok(())
    }

    /// What a token allows; none if it is none, has ended, or was revoked.
    pub(crate) async fn grant(&self, text: &str) -> Result<Option<Grant>> {
        let Some(secret) = Secret::read(text) else { return Ok(None) };
        let found = self.look_up(&secret.id).await?;
        let Some(known) = found.filter(|known| secret.is(&known.0)) else { return Ok(None) };
        self.note_use(&secret.id);
        Ok(Some(known.1.clone()))
    }
    /// Whether a grant of this token is still good.
    pub(crate) async fn is_good(&self, id: &str) -> Result<bool> {
        Ok(self.look_up(id).await?.is_some())
    }

    async fn look_up(&self, id: &str) -> Result<Option<Arc<(String, Grant)>>> {
        let now = self.stepwell.clock().now();
        let live =
            |known: Arc<(String, Grant)>| known.1.expires_at.is_none_or(|end| now < end).then_some(known);
        if let Some(known) = self.lock().get(id)
            && known.at + BELIEVED > now
        {
            return Ok(known.stored.clone().and_then(live));
        }
        let found = self.stepwell.records(TOKENS).get(id).await?;
        let stored = found.map(|setting| setting.value.decode::<Stored>()).transpose()?;
        let stored = stored.map(|stored| Arc::new((stored.hash.clone(), grant(id, stored))));
        let mut known = self.lock();
        if known.len() >= REMEMBERED_MAX {
            known.retain(|_, known| known.stored.is_some() && known.at + BELIEVED > now);
        }
        let use_noted_at = known.get(id).and_then(|known| known.use_noted_at);
        known.insert(id.to_owned(), Known { stored: stored.clone(), at: now, use_noted_at });
        Ok(stored.and_then(live))
    }

    /// Writes down that a token is in use, now and then, while nobody waits for it.
    fn note_use(&self, id: &str) {
        let now = self.stepwell.clock().now();
        if let Some(known) = self.lock().get_mut(id) {
            if known.use_noted_at.is_some_and(|noted| noted + USE_NOTED_EVERY > now) {
                return;
            }
            known.use_noted_at = Some(now);
        }
        let (stepwell, id) = (self.stepwell.clone(), id.to_owned());
        tokio::spawn(async move {
            // What is lost here is lost for people who look whether a token is still used, and for nobody else.
            stepwell.records(USED).put(&id, Some(Json::null()), Expected::Anything).await.ok();
        });
    }
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        // Nothing that can panic runs under the lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn grant(id: &str, stored: Stored) -> Grant {
    let Stored { name, scopes, queues, kinds, expires_at, .. } = stored;
    Grant { who: id.into(), name: name.into(), scopes, queues, kinds, expires_at }
}

fn record(id: String, stored: Stored, last_used_at: Option<Timestamp>) -> TokenRecord {
    let Stored { name, scopes, queues, kinds, created_at, expires_at, .. } = stored;
    TokenRecord { id, name, scopes, queues, kinds, created_at, expires_at, last_used_at }
}

fn check(new: &NewToken) -> Result<()> {
    let name_ok = |name: &str| {
        !name.is_empty() && name.len() <= limits::NAME_BYTES_MAX && !name.contains(|c: char| c.is_control())
    };
    if !name_ok(&new.name) {
        let limit = limits::NAME_BYTES_MAX;
        return Err(Error::invalid("name", format!("must be 1 to {limit} bytes without control characters")));
    }
    if new.scopes.is_empty() {
        return Err(Error::invalid("scopes", "are none; name at least one"));
    }
    for (field, names) in [("queues", &new.queues), ("kinds", &new.kinds)] {
        let Some(names) = names else { continue };
        if names.is_empty() || names.len() > 100 || !names.iter().all(|name| name_ok(name)) {
            let problem = "must be 1 to 100 names; leave the field out for a token that is not limited";
            return Err(Error::invalid(field, problem));
        }
    }
    if (new.queues.is_some() || new.kinds.is_some()) && new.scopes.contains(&Scope::Admin) {
        return Err(Error::invalid(
            "scopes",
            "cannot hold admin together with queues or kinds: it has no limit",
        ));
    }
    if new.expires_in.is_some_and(|after| after.is_zero() || after > limits::DELAY_MAX) {
        return Err(Error::invalid("expiresInMs", "must be more than nothing and less than a hundred years"));
    }
    Ok(())
}

impl TokenRecord {
    /// When it was made, as RFC 3339 has it.
    #[must_use]
    pub fn created(&self) -> String {
        wire::rfc3339(self.created_at)
    }
}

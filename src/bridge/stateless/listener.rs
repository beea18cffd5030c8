//! One `subscriptions/listen`: what it wants to hear, and everything it is told bears its mark.
//! [MCP 2026-07-28, Subscriptions](https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/subscriptions)

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::base::limit::Limit;
use crate::bridge::mailbox::{Item, Mailbox};
use crate::bridge::stateless::filter::Filter;
use crate::bridge::tenant::Tenant;
use crate::model::principal::Principal;
use crate::protocol::mcp::message::{Message, Param, Params};
use crate::protocol::mcp::meta;
use crate::protocol::mcp::method::Method;
use crate::protocol::mcp::object;
use crate::protocol::mcp::reply;
use crate::protocol::mcp::splice::{Edit, Span};

/// How many listeners one caller may have; another one ends the oldest.
const MAX_PER_CALLER: usize = 16;
/// How many changes wait until a listener was told what it will hear of.
const MAX_EARLY: usize = 100;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 2] = [
    Limit::count("subscriptions/listen of one app", MAX_PER_CALLER, "the oldest is ended"),
    Limit::count("changes before a subscriptions/listen is acknowledged", MAX_EARLY, "those that follow are not told"),
];

/// A listener.
#[derive(Debug)]
pub struct Listener {
    principal: Arc<Principal>,
    /// The id of its request, as written.
    id: Bytes,
    lists: Filter,
    mailbox: Arc<Mailbox>,
    /// What came before it was acknowledged; `None` afterwards.
    early: Mutex<Option<Vec<Bytes>>>,
}

impl Listener {
    /// One that hears nothing before it is acknowledged.
    #[must_use]
    pub fn new(principal: &Arc<Principal>, id: &[u8], lists: Filter, mailbox: Arc<Mailbox>) -> Self {
        let id = Bytes::copy_from_slice(id);
        Self { principal: Arc::clone(principal), id, lists, mailbox, early: Mutex::new(Some(Vec::new())) }
    }

    /// Tells it what it will hear of: its lists, and these resources.
    pub fn acknowledge(&self, uris: Vec<String>) {
        let agreed = Filter { uris, ..self.lists.clone() };
        let params = format!(r#"{{"_meta":{{{}}},"notifications":{}}}"#, self.tag(), agreed.json());
        let text = reply::notification("notifications/subscriptions/acknowledged", Some(&params));
        let mut early = self.early();
        // As a request: it may not be lost. The mailbox is empty, so there is room.
        let _left = self.mailbox.push(Item::Request(text));
        for text in early.take().into_iter().flatten() {
            let _left = self.mailbox.push(Item::Notification(text));
        }
    }

    /// Tells it that a list changed, if it wants to hear of that.
    pub fn list_changed(&self, method: &Method) {
        let wants = match method {
            Method::ToolsChanged => self.lists.tools,
            Method::PromptsChanged => self.lists.prompts,
            Method::ResourcesChanged => self.lists.resources,
            _ => false,
        };
        if wants {
            let params = format!(r#"{{"_meta":{{{}}}}}"#, self.tag());
            self.tell(reply::notification(method.as_str(), Some(&params)));
        }
    }

    /// Passes `notifications/resources/updated` on.
    pub fn resource_updated(&self, message: &Message, params: &Params) {
        if let Some(at) = params.nulls().meta {
            let tag = format!("{{{}}}", self.tag());
            return self.tell(message.rewritten(&mut [Edit { at, with: tag.as_bytes() }]));
        }
        let tag = match params.get(Param::Meta) {
            Some(at) if object::entries(message.json(at)).is_ok_and(|entries| !entries.is_empty()) => self.tag() + ",",
            Some(_) => self.tag(),
            None => format!(r#""_meta":{{{}}},"#, self.tag()),
        };
        // Before the first member: of `_meta`, or of the params, which have at least a URI.
        let Some(object) = params.get(Param::Meta).or(params.whole()) else { return };
        let at = Span::before(object.start() + 1);
        self.tell(message.rewritten(&mut [Edit { at, with: tag.as_bytes() }]));
    }

    /// Ends it, as it should be ended.
    pub fn finish(&self) {
        // MCP 2026-07-28, Graceful Closure.
        let result = format!(r#"{{"resultType":"complete","_meta":{{{}}}}}"#, self.tag());
        self.mailbox.finish(reply::result(&self.id, result.as_bytes()));
    }

    fn tell(&self, text: Bytes) {
        let mut early = self.early();
        match early.as_mut() {
            // MCP 2026-07-28, Acknowledgment: nothing before it.
            Some(early) if early.len() < MAX_EARLY => early.push(text),
            Some(_) => {}
            None => {
                // One that has just left need not hear of it.
                let _left = self.mailbox.push(Item::Notification(text));
            }
        }
    }

    fn early(&self) -> MutexGuard<'_, Option<Vec<Bytes>>> {
        self.early.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tag(&self) -> String {
        format!(r#""{}":{}"#, meta::SUBSCRIPTION_ID, String::from_utf8_lossy(&self.id))
    }
}

/// All listeners.
#[derive(Debug, Default)]
pub struct Listeners(Mutex<Vec<Arc<Listener>>>);

impl Listeners {
    /// Adds one. The oldest of a caller that has too many is ended.
    pub fn add(&self, listener: &Arc<Listener>) {
        let mut all = self.lock();
        let own = |other: &&Arc<Listener>| other.principal.is_same_caller(&listener.principal);
        let surplus = all.iter().filter(own).count() >= MAX_PER_CALLER;
        if let Some(oldest) = all.iter().find(own).filter(|_| surplus).map(Arc::clone) {
            oldest.finish();
            all.retain(|other| !Arc::ptr_eq(other, &oldest));
        }
        all.push(Arc::clone(listener));
    }

    /// Forgets one.
    pub fn remove(&self, listener: &Arc<Listener>) {
        self.lock().retain(|other| !Arc::ptr_eq(other, listener));
    }

    /// Those of a tenant.
    #[must_use]
    pub fn of(&self, tenant: &Tenant) -> Vec<Arc<Listener>> {
        self.lock().iter().filter(|listener| tenant.has_caller(&listener.principal)).map(Arc::clone).collect()
    }

    /// Whether a tenant listens.
    #[must_use]
    pub fn has(&self, tenant: &Tenant) -> bool {
        self.lock().iter().any(|listener| tenant.has_caller(&listener.principal))
    }

    /// Ends all of them.
    pub fn finish(&self) {
        self.lock().drain(..).for_each(|listener| listener.finish());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Listener>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::bridge::mailbox::{Event, Reader};
    use crate::protocol::mcp::message::Kind;

    fn listener(filter: &str) -> (Listener, Reader) {
        let (mailbox, reader) = Mailbox::of_call();
        let lists = Filter::read(filter).unwrap();
        (Listener::new(&Arc::new(Principal::anonymous()), b"\"l\"", lists, mailbox), reader)
    }

    async fn next(reader: &mut Reader) -> Value {
        match reader.next().await {
            Some(Event::Related(text) | Event::Last(text)) => serde_json::from_slice(&text).unwrap(),
            Some(Event::Delayed | Event::Passing(_)) | None => Value::Null,
        }
    }

    #[tokio::test]
    async fn d_21_the_acknowledgement_comes_first_and_all_bears_the_mark() {
        let (listener, mut reader) = listener(r#"{"toolsListChanged":true,"promptsListChanged":false}"#);
        listener.list_changed(&Method::ToolsChanged);
        listener.acknowledge(vec!["x:1".to_owned()]);
        listener.list_changed(&Method::PromptsChanged);
        listener.list_changed(&Method::ToolsChanged);
        for meta in ["", r#""_meta":null,"#, r#""_meta":{"a":1.0},"#] {
            let text = format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{{meta}"uri":"x:1"}}}}"#
            );
            let message = Message::parse(Bytes::from(text)).unwrap();
            let Kind::Notification { params, .. } = message.kind() else { panic!() };
            listener.resource_updated(&message, params);
        }
        listener.finish();
        let tag = |message: &Value| message["_meta"][meta::SUBSCRIPTION_ID].clone();
        let first = next(&mut reader).await;
        assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
        assert_eq!(
            first["params"]["notifications"],
            json!({"toolsListChanged": true, "resourceSubscriptions": ["x:1"]})
        );
        let mut methods = Vec::new();
        for _ in 0..5 {
            let message = next(&mut reader).await;
            assert_eq!(tag(&message["params"]), "l");
            methods.push(message["method"].as_str().unwrap().rsplit('/').next().unwrap().to_owned());
        }
        assert_eq!(methods, ["list_changed", "list_changed", "updated", "updated", "updated"]);
        let last = next(&mut reader).await;
        assert_eq!(
            (&last["id"], &last["result"]["resultType"], tag(&last["result"])),
            (&json!("l"), &json!("complete"), json!("l"))
        );
    }

    #[test]
    fn a_caller_has_so_many_listeners_and_no_more() {
        let listeners = Listeners::default();
        let mut all = Vec::new();
        for _ in 0..=MAX_PER_CALLER {
            let (listener, reader) = listener("{}");
            let listener = Arc::new(listener);
            listeners.add(&listener);
            all.push((listener, reader));
        }
        assert_eq!(listeners.lock().len(), MAX_PER_CALLER);
        assert!(!listeners.lock().iter().any(|other| Arc::ptr_eq(other, &all[0].0)), "the oldest made room");
    }
}

//! `subscriptions/listen`, fed from the connections that sessions share.

use std::sync::Arc;

use crate::bridge::answer::Held;
use crate::bridge::hub::Hub;
use crate::bridge::load::Place;
use crate::bridge::mailbox::Mailbox;
use crate::bridge::pool::Own;
use crate::bridge::post::Caller;
use crate::bridge::stateless::filter::Filter;
use crate::bridge::stateless::listener::Listener;
use crate::bridge::subscribers::Subscriber;
use crate::bridge::upstream::hello::Speaks;
use crate::bridge::{Answer, Bridge, EventStream, Refusal, merge, route, subscribe};
use crate::protocol::mcp::fault::Fault;
use crate::protocol::mcp::message::{Message, Param, Params};

/// A listener's place among the others; when this is dropped, it hears nothing more.
#[derive(Debug)]
pub struct Listening {
    listener: Arc<Listener>,
    hub: Arc<Hub>,
    upstreams: Own,
    _place: Place,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.hub.listeners.remove(&self.listener);
        for (index, uri) in self.hub.forget(&Subscriber::Listener(Arc::clone(&self.listener))) {
            if let Some(upstream) = self.upstreams.iter().find(|upstream| upstream.index == index) {
                subscribe::unsubscribe_later(&self.hub, upstream, uri);
            }
        }
    }
}

impl Bridge {
    pub(super) async fn listen_to_changes(
        &self,
        caller: &Caller,
        message: &Message,
        params: &Params,
    ) -> Result<Answer, Refusal> {
        if !caller.accepts_stream {
            return Err(Refusal::NotAcceptable);
        }
        let id = message.id_or_null();
        let filter = params.get(Param::Notifications).map(|at| Filter::read(message.json(at)));
        let filter = filter.unwrap_or_else(|| Err(Fault::invalid("notifications is missing")));
        let filter = filter.map_err(|fault| Refusal::Malformed { body: fault.body(id) })?;
        let place = self.load.stream(&caller.principal)?;
        self.wait_for_first_try(&caller.own).await;
        let (mailbox, reader) = Mailbox::of_call();
        let lists = filter.of_lists(merge::offers(&caller.own));
        let listener = Arc::new(Listener::new(&caller.principal, id, lists, mailbox));
        let (hub, upstreams) = (Arc::clone(&self.hub), caller.own.clone());
        let listening = Listening { listener: Arc::clone(&listener), hub, upstreams, _place: place };
        let subscribed = filter.uris.iter().map(|uri| self.listen_to_resource(&caller.own, &listener, uri));
        let subscribed = futures_util::future::join_all(subscribed).await;
        let agreed = filter.uris.iter().zip(subscribed).filter(|(_, is_subscribed)| *is_subscribed);
        listener.acknowledge(agreed.map(|(uri, _)| uri.clone()).collect());
        self.hub.listeners.add(&listener);
        let events = EventStream::of_call(None, reader).holding(Some(Held::Listener(listening)));
        Ok(Answer::Stream { events, session_id: None })
    }

    /// Subscribes a listener to a resource, and the upstream if it is not subscribed to yet. False when there is nothing to
    /// hear of it.
    async fn listen_to_resource(&self, own: &Own, listener: &Arc<Listener>, uri: &str) -> bool {
        let Some(upstream) = route::by_uri(own, uri) else { return false };
        let offers = upstream.hello().is_some_and(|hello| hello.offers.subscribe);
        let Some(link) = upstream.link().filter(|_| offers) else { return false };
        let (subscription, subscriber) = ((upstream.index, uri.to_owned()), Subscriber::Listener(Arc::clone(listener)));
        let limit = upstream.settings.timeout.min(self.request_timeout);
        if link.speaks() == Speaks::Stateless {
            return subscribe::listen_for(&link, subscription, subscriber, limit).await;
        }
        let Some(asking) = self.hub.subscribe(subscription, &subscriber) else { return true };
        let params = format!(r#"{{"uri":{}}}"#, serde_json::Value::from(uri));
        if let Err(fault) = link.ask("resources/subscribe", &params, limit).await {
            tracing::debug!(upstream = upstream.name(), %fault, "an upstream did not take a subscription");
            if asking.refused() {
                subscribe::unsubscribe_later(&self.hub, upstream, uri.to_owned());
            }
            return false;
        }
        // Who has left meanwhile waits for this no more.
        !asking.agreed()
    }
}

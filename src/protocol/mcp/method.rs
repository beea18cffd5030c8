//! Methods of the protocol that mean something to the bridge. [MCP 2026-07-28, Schema](https://modelcontextprotocol.io/specification/2026-07-28/schema), and those of 2025-11-25

use bytes::Bytes;

macro_rules! methods {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A method; one that is not known is kept as it is written.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum Method {
            $($(#[$doc])* #[doc = concat!("`", $name, "`")] $variant,)*
            /// Any other.
            Other(Box<str>),
        }

        impl Method {
            /// Reads a name, exactly.
            #[must_use]
            pub fn parse(name: &str) -> Self {
                match name {
                    $($name => Self::$variant,)*
                    other => Self::Other(other.into()),
                }
            }

            /// Its name on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other(name) => name,
                }
            }

            /// The same; of a method that is known, nothing is copied.
            #[must_use]
            pub fn bytes(&self) -> Bytes {
                match self {
                    $(Self::$variant => Bytes::from_static($name.as_bytes()),)*
                    Self::Other(name) => Bytes::copy_from_slice(name.as_bytes()),
                }
            }
        }
    };
}

methods! {
    Initialize = "initialize",
    Discover = "server/discover",
    Listen = "subscriptions/listen",
    Ping = "ping",
    ToolsList = "tools/list",
    ToolsCall = "tools/call",
    PromptsList = "prompts/list",
    PromptsGet = "prompts/get",
    ResourcesList = "resources/list",
    ResourceTemplatesList = "resources/templates/list",
    ResourcesRead = "resources/read",
    ResourcesSubscribe = "resources/subscribe",
    ResourcesUnsubscribe = "resources/unsubscribe",
    CompletionComplete = "completion/complete",
    LoggingSetLevel = "logging/setLevel",
    CreateMessage = "sampling/createMessage",
    Elicit = "elicitation/create",
    RootsList = "roots/list",
    Initialized = "notifications/initialized",
    Cancelled = "notifications/cancelled",
    Progress = "notifications/progress",
    LogMessage = "notifications/message",
    Acknowledged = "notifications/subscriptions/acknowledged",
    ResourceUpdated = "notifications/resources/updated",
    ToolsChanged = "notifications/tools/list_changed",
    PromptsChanged = "notifications/prompts/list_changed",
    ResourcesChanged = "notifications/resources/list_changed",
    RootsChanged = "notifications/roots/list_changed",
}

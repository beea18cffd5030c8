//! The Model Context Protocol, session era: versions, headers, JSON-RPC messages.

//! Everything a client, a browser or an operator can see, through HTTP and the command line. One binary: quick to link.

mod oauth;
mod support;

//! Placeholder of the tests below.

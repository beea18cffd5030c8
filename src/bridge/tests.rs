//! The bridge as a whole.

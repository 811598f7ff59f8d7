//! What travels between agents and relays.

mod bodies;
mod paths;
mod stream;

//! Where a server listens and who may talk to it: for the agent's servers and for `steplog serve`.
//!
//! ```text
//! stack file ─► Endpoint: address, TLS files, token ─► Guard: certificate and token in use ─┐
//!                                                                                           ▼
//!               Socket: TCP or Unix, made here or inherited ─► serve: TLS, HTTP/1.1 and /2 ─► Handler
//! ```
//!
//! # Invariants
//!
//! 1. Where other machines can connect ([`Address::is_local`] is false) there is TLS and a token; an endpoint without
//!    is refused when the stack file is read, and once more when it is opened.
//! 2. A client that says nothing, or not enough, costs one of the server's connections for 30 s and no more; a
//!    handshake never holds up the next client.
//! 3. A client that takes nothing of its answer for [`Limits::write_timeout`] is cut off.
//! 4. The token is kept as its SHA-256 and compared in constant time. Neither it nor the key has a `Debug`
//!    that shows it.
//! 5. A certificate, key or token that is renewed is used from the next connection on after
//!    [`Guard::reload`]; if it is wrong the old one stays.
//!
//! Knows no paths, no requests and no stack: what is answered is the [`Handler`]'s, which also asks
//! [`Guard::allows`], since each protocol says "no" in its own way.

mod address;
mod endpoint;
mod guard;
mod peer;
mod serve;
mod socket;
mod stall;
mod token;

pub use address::{Address, AddressError};
pub(crate) use endpoint::Keys;
pub use endpoint::{Endpoint, Exposed, Tls, TokenSource};
pub use guard::{Guard, GuardError};
pub use peer::Peer;
pub use serve::{Handler, Limits, Server};
pub use socket::{Socket, bind_unix};
pub use token::Token;

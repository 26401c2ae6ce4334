//! The artifact store as log store: objects in a bucket, a container or a folder.
//!
//! ```text
//! config    where the objects go and how they are made
//! open      … to a client that speaks to the store
//! limited   … whose requests do not hang               ship
//! layout    names of objects
//! object    the log object: frames, index, seek table; end.json
//! encode    blocks to frames                          } ship
//! session   one writer's chunks, segments and end     }
//! fetch     one writer's records, back                  read
//! flavor    the keys of the stack file                } stack
//! probe     does it work, with these credentials?     }
//! ```
//!
//! Invariants: an object has its final bytes under its final name or is not there; a chunk's name
//! is its number, so that delivering it twice is delivering it once; live chunks are deleted only
//! when a segment holds them; `end.json` comes last.

pub mod config;
mod encode;
mod failure;
pub mod fetch;
pub(crate) mod flavor;
pub mod gc;
pub mod layout;
mod limited;
pub mod object;
pub mod open;
pub mod probe;
mod session;
pub mod setting;
#[cfg(test)]
pub(crate) mod testing;
pub mod verify;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use object_store::ObjectStore;

pub use self::config::{Codec, Config, Location};
pub use self::encode::BlockEncoder;
pub(crate) use self::failure::without_queries;
use self::limited::Limited;
pub use self::open::OpenError;
use self::session::ArtifactSession;
pub use self::setting::Setting;
use super::{Answer, Limits, LogStore, Patience, Probed, SealAge, Session, StateError};
use crate::record::{Writer, WriterId};

/// The artifact store, to write to.
pub struct ArtifactLogStore {
    store: Arc<dyn ObjectStore>,
    config: Config,
    /// What their encoders work with.
    spares: Arc<encode::Spares>,
    /// Writers that had a session.
    had: Mutex<HashSet<WriterId>>,
}

/// A chunk never has more frames than this, however small they are.
const CHUNK_BLOCKS: usize = 16;

impl ArtifactLogStore {
    /// Makes a client. Makes no request.
    pub fn open(config: Config, patience: Patience) -> Result<Self, OpenError> {
        let inner = config.open_to_deliver()?;
        Ok(Self::on(Arc::new(Limited { inner, patience }), config))
    }

    /// On a client that there is already.
    pub fn on(store: Arc<dyn ObjectStore>, config: Config) -> Self {
        Self { store, config, spares: Arc::default(), had: Mutex::default() }
    }
}

impl LogStore for ArtifactLogStore {
    fn limits(&self) -> Limits {
        let age = match self.config.location {
            Location::Local { .. } => {
                SealAge::Fixed(Duration::from_millis(self.config.local_seal_ms))
            }
            Location::Remote { .. } => SealAge::Growing,
        };
        Limits {
            chunk_bytes: self.config.chunk_bytes,
            chunk_blocks: CHUNK_BLOCKS,
            block_lines: usize::MAX,
            block_bytes: usize::MAX,
            age,
            concurrency: None,
            remembers: true,
        }
    }

    fn session(
        &self,
        writer: &Writer,
        state: &serde_json::Value,
    ) -> Result<Arc<dyn Session>, StateError> {
        let store = Arc::clone(&self.store);
        let first = self.had.lock().unwrap_or_else(PoisonError::into_inner).insert(writer.id);
        let config = self.config.clone();
        let spares = Arc::clone(&self.spares);
        Ok(Arc::new(ArtifactSession::new(store, config, spares, writer.clone(), state, first)?))
    }

    fn probe(&self) -> Answer<'_, Probed> {
        async {
            let probe = probe::probe(&*self.store).await.map_err(|error| error.judge())?;
            let overwrites = "it overwrites objects where it is asked not to";
            Ok(Probed {
                did: "wrote, read and deleted an object",
                warning: (!probe.creates_once).then_some(overwrites),
            })
        }
        .boxed()
    }
}

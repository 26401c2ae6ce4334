//! `end.json`: the mark that all of a writer is in the store.
//!
//! Apart because it is put once, when nothing else is left to do. That it is there already is
//! success if it says the same.

use super::ArtifactSession;
use super::put::{Put, contradiction, create, read_whole};
use crate::record::Nanos;
use crate::stores::artifact::failure::retry;
use crate::stores::artifact::layout;
use crate::stores::artifact::object::{End, Status, VERSION};
use crate::stores::{DeliverError, Ending};

impl ArtifactSession {
    /// Puts the mark.
    pub(super) async fn put_end(&self, ending: &Ending) -> Result<(), DeliverError> {
        let purpose = "put end.json";
        let failed = |error| retry(format!("failed to {purpose}: {error}"));
        let end = self.end(ending).map_err(failed)?;
        let body = serde_json::to_vec(&end).map_err(failed)?;
        let path = layout::end(&self.prefix);
        let store = self.store.as_ref();
        match create(store, &path, body.into(), purpose).await? {
            Put::Created => Ok(()),
            Put::Exists => match read_whole(store, &path, purpose).await? {
                None => Err(contradiction(purpose)),
                Some(there) => match serde_json::from_slice::<End>(&there) {
                    Ok(there) if there.chain == end.chain && there.chunks == end.chunks => Ok(()),
                    _ => Err(DeliverError::Fatal {
                        message: format!("{path} says something else than what was delivered"),
                        advice: "see what wrote it; the spool is kept",
                        not_allowed: false,
                    }),
                },
            },
        }
    }

    fn end(&self, ending: &Ending) -> serde_json::Result<End> {
        let inner = self.inner();
        let state = &inner.state;
        let Ending { exit, totals, chunks } = ending;
        let status = match exit {
            None => Status::Interrupted,
            Some(exit) if exit.is_unknown() => Status::Interrupted,
            Some(exit) if exit.succeeded() => Status::Succeeded,
            Some(_) => Status::Failed,
        };
        let last_known = totals.last_time.max(self.writer.started);
        Ok(End {
            version: VERSION,
            writer: self.writer.clone(),
            status,
            first_error: totals.first_error.clone(),
            lines: totals.lines,
            bytes: totals.raw_bytes,
            levels: totals.levels,
            gaps: totals.gaps,
            masked: exit.as_ref().map_or(0, |exit| exit.masked),
            segments: state.segments.list()?,
            chunks: *chunks,
            chain: state.chain,
            started: self.writer.started,
            ended: exit.as_ref().map_or(last_known, |exit| exit.ended),
            delivered: Nanos::now(),
            exit: exit.clone(),
        })
    }
}

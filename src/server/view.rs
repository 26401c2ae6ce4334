//! What a request points at: its store, run and streams, looked up anew for each request, so that any server
//! can answer any of them.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::App;
use super::call::Call;
use super::problem::{self, Problem};
use super::query::Params;
use super::window::Streams;
use crate::read::find::{self, Found};
use crate::read::store::LogReader;
use crate::read::target::{Name, Selection, Target};

/// A log store that can be read.
#[derive(Clone)]
pub struct Store {
    /// Its name in the stack.
    pub name: String,
    /// Of which flavor.
    pub flavor: String,
    /// What reads it.
    pub reader: Arc<dyn LogReader>,
}

/// A run of a store, and what is selected of it.
pub(super) struct View {
    pub(super) store: Store,
    pub(super) found: Found,
    pub(super) selection: Selection,
    reading: Arc<Semaphore>,
}

impl App {
    /// The store that is asked.
    pub(super) fn store(&self, params: &Params) -> Result<&Store, Problem> {
        let Some(name) = params.one("log_store")? else { return Ok(&self.first) };
        let all = || std::iter::once(&self.first).chain(&self.others);
        all().find(|store| store.name == name).ok_or_else(|| {
            let names: Vec<&str> = all().map(|store| store.name.as_str()).collect();
            Problem::not_found(format!("there is no log store {name:?} that can be read"))
                .next(format!("log stores: {}", names.join(", ")))
        })
    }
}

impl Call {
    /// The run in the path, and of it the streams that are selected: perhaps none.
    pub(super) async fn run(&self, params: &Params) -> Result<View, Problem> {
        let store = self.app.store(params)?.clone();
        let mut selection = params.selection()?;
        let run = match self.run.as_str() {
            "@latest" => Name::Latest,
            "@failed" => Name::Failed,
            id => Name::Id(id.to_owned()),
        };
        let target = Target { run, step: None, attempt: None };
        if let Name::Id(run) = &target.run
            && !self.who.sees(run)
        {
            let shown = problem::shown(run);
            return Err(Problem::forbidden(format!("you may not see run {shown}")));
        }
        let sees = |run: &str| self.who.sees(run);
        let reader = &*store.reader;
        let mut found = find::find(reader, &store.name, &target, &mut selection, &sees).await?;
        if let Some(writer) = params.writer()? {
            found.selected.retain(|stream| stream.writer == writer);
        }
        let reading = Arc::clone(&self.app.reading);
        Ok(View { store, found, selection, reading })
    }

    /// The same; none is an error that says what there is.
    pub(super) async fn view(&self, params: &Params) -> Result<View, Problem> {
        let view = self.run(params).await?;
        if !view.found.selected.is_empty() {
            return Ok(view);
        }
        match params.writer()? {
            Some(writer) if !view.found.all.is_empty() => Err(Problem::not_found(format!(
                "run {} has no writer {writer} in what is selected",
                problem::shown(&view.found.run)
            ))
            .next("which there are: /api/v1/runs/{run}")),
            _ => Err(view.nothing().await),
        }
    }
}

impl View {
    /// Why nothing is selected.
    pub(super) async fn nothing(&self) -> Problem {
        let Self { store, found, selection, .. } = self;
        let why = find::nothing(&*store.reader, &store.name, found, selection).await;
        let problem = Problem::not_found(why);
        if found.all.is_empty() {
            problem.next("it may not have begun: logs/stream waits for it with wait=")
        } else {
            problem
        }
    }

    /// What is selected, to read.
    pub(super) fn streams(&self) -> Streams {
        Streams {
            reader: Arc::clone(&self.store.reader),
            reading: Arc::clone(&self.reading),
            all: self.found.selected.clone(),
        }
    }
}

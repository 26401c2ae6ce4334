//! Damage of every kind, and what is said of it.

use std::sync::Arc;

use object_store::{ObjectStore, ObjectStoreExt};

use super::super::object::Status;
use super::super::testing::{self, Shape};
use super::*;
use crate::read::testing::Spec;
use crate::record::Level;

fn specs() -> Vec<Spec> {
    let level = |n: u64| n.is_multiple_of(7).then_some(Level::Error);
    (0..40).map(|n| Spec { level: level(n), ..Spec::text(&format!("line {n} é")) }).collect()
}

fn shape() -> Shape {
    Shape { segments: vec![0..2, 2..4], ..Shape::finished() }
}

struct World {
    store: Arc<dyn ObjectStore>,
    writer: Writer,
    prefix: Path,
}

impl World {
    async fn new(shape: &Shape) -> Self {
        let store = testing::memory();
        let writer = testing::writer("run", "step", 1);
        testing::put(&*store, &writer, &specs(), shape).await;
        let prefix = layout::writer_prefix(&writer);
        Self { store, writer, prefix }
    }

    async fn verify(&self) -> Report {
        let reader = Reader::new(Arc::clone(&self.store), true);
        let writers = writers(&reader, "run", None).await.unwrap();
        verify(&reader, &writers[0]).await.unwrap()
    }

    async fn change(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.store.get(path).await.unwrap().bytes().await.unwrap().to_vec();
        change(&mut bytes);
        self.store.put(path, bytes.into()).await.unwrap();
    }

    async fn change_end(&self, change: impl FnOnce(&mut End)) {
        let path = layout::end(&self.prefix);
        self.change(&path, |bytes| {
            let mut end: End = serde_json::from_slice(bytes).unwrap();
            change(&mut end);
            *bytes = serde_json::to_vec(&end).unwrap();
        })
        .await;
    }

    fn seg(&self, first: u64, last: u64) -> Path {
        layout::seg(&self.prefix, first, last, Codec::Zstd)
    }

    fn live(&self, n: u64) -> Path {
        layout::live(&self.prefix, n, Codec::Zstd)
    }

    fn chunk(&self, n: u64) -> Vec<u8> {
        let records = testing::records(&self.writer, &specs());
        testing::chunk(&self.writer, n, &records[n as usize * 8..][..8], &shape()).0
    }
}

#[track_caller]
fn found(report: &Report, kind: Option<Kind>, expected: &[&str]) {
    let said: Vec<&str> = report.findings.iter().map(|finding| finding.what.as_str()).collect();
    assert_eq!(report.worst(), kind, "{said:#?}");
    for expected in expected {
        assert!(said.iter().any(|said| said.contains(expected)), "{expected} not in {said:#?}");
    }
}

#[test]
fn sound_writers_of_every_shape_are_sound() {
    testing::block_on(async {
        for codec in [Codec::Zstd, Codec::Gzip] {
            let world = World::new(&Shape { codec, ..shape() }).await;
            let report = world.verify().await;
            found(&report, None, &[]);
            assert_eq!((report.lines, report.chunks, report.objects), (40, 5, 3));
            assert!(report.finished);
        }
        let world = World::new(&Shape { leftovers: true, ..shape() }).await;
        let said = world.verify().await;
        found(&said, Some(Kind::Leftover), &["live/000000000004.ndjson.zst is in a segment too"]);
        for status in [Status::Failed, Status::Interrupted] {
            let world = World::new(&Shape { status: Some(status), ..shape() }).await;
            found(&world.verify().await, None, &[]);
        }
        let world = World::new(&Shape::live()).await;
        let report = world.verify().await;
        found(&report, Some(Kind::Missing), &["end.json is missing"]);
        assert_eq!((report.lines, report.findings.len()), (40, 1));
    });
}

#[test]
fn every_flipped_byte_shows() {
    testing::block_on(async {
        let world = World::new(&shape()).await;
        let path = world.seg(2, 3);
        let len = world.store.head(&path).await.unwrap().size as usize;
        for at in (0..len).step_by(7) {
            world.change(&path, |bytes| bytes[at] ^= 1).await;
            let report = world.verify().await;
            found(
                &report,
                Some(Kind::Damaged),
                &["seg/000000000002-000000000003.ndjson.zst was altered"],
            );
            world.change(&path, |bytes| bytes[at] ^= 1).await;
        }
        found(&world.verify().await, None, &[]);
    });
}

#[test]
fn a_flipped_byte_in_a_live_chunk_shows_by_the_chunks_own_checksum() {
    testing::block_on(async {
        let world = World::new(&Shape::live()).await;
        world.change(&world.live(1), |bytes| bytes[20] ^= 1).await;
        found(
            &world.verify().await,
            Some(Kind::Damaged),
            &["live/000000000001.ndjson.zst chunk 1 was altered (SHA-256)"],
        );
    });
}

#[test]
fn what_is_missing_is_named() {
    testing::block_on(async {
        let world = World::new(&shape()).await;
        world.store.delete(&world.seg(2, 3)).await.unwrap();
        found(
            &world.verify().await,
            Some(Kind::Missing),
            &["seg/000000000002-000000000003.ndjson.zst is missing: lines 16 to 31"],
        );
        let world = World::new(&Shape::live()).await;
        world.store.delete(&world.live(1)).await.unwrap();
        world.store.delete(&world.live(2)).await.unwrap();
        found(
            &world.verify().await,
            Some(Kind::Missing),
            &["chunks 1 to 2 are missing", "lines 8 to 23 are missing"],
        );
    });
}

#[test]
fn what_was_cut_off_shows() {
    testing::block_on(async {
        let world = World::new(&shape()).await;
        world.change(&world.seg(4, 4), |bytes| bytes.truncate(bytes.len() - 3)).await;
        found(&world.verify().await, Some(Kind::Damaged), &["has no index"]);
    });
}

#[test]
fn chunks_exchanged_doubled_or_of_another_writer_show() {
    testing::block_on(async {
        let world = World::new(&Shape::live()).await;
        let (one, two) = (world.chunk(1), world.chunk(2));
        world.store.put(&world.live(1), two.into()).await.unwrap();
        world.store.put(&world.live(2), one.clone().into()).await.unwrap();
        found(
            &world.verify().await,
            Some(Kind::Damaged),
            &["live/000000000001.ndjson.zst holds chunks [2], by its name 1..2"],
        );
        world.store.put(&world.live(1), one.into()).await.unwrap();
        found(&world.verify().await, Some(Kind::Damaged), &["line 8 comes a second time"]);
        let other = World::new(&Shape::live()).await;
        let foreign = other.chunk(1);
        world.store.put(&world.live(1), foreign.into()).await.unwrap();
        let said = format!("live/000000000001.ndjson.zst is of writer {}", other.writer.id);
        found(&world.verify().await, Some(Kind::Damaged), &[&said]);
    });
}

#[test]
fn a_segment_made_anew_without_a_line_shows_by_the_chain() {
    testing::block_on(async {
        let world = World::new(&shape()).await;
        let mut specs = specs();
        specs[9].text = "nothing happened".to_owned();
        let records = testing::records(&world.writer, &specs);
        let chunks: Vec<_> = records
            .chunks(8)
            .zip(0..)
            .map(|(records, n)| testing::chunk(&world.writer, n, records, &shape()))
            .collect();
        let (object, info) = testing::segment(&world.writer, &chunks[0..2], Codec::Zstd);
        world.store.put(&world.seg(0, 1), object.into()).await.unwrap();
        world.change_end(|end| end.segments[0] = info).await;
        found(&world.verify().await, Some(Kind::Damaged), &["chain of checksums", "bytes: "]);
    });
}

#[test]
fn every_claim_of_the_end_is_checked() {
    testing::block_on(async {
        let check = async |change: fn(&mut End), expected: &str| {
            let world = World::new(&shape()).await;
            world.change_end(change).await;
            found(&world.verify().await, Some(Kind::Damaged), &[expected]);
        };
        check(|end| end.lines += 1, "lines: 41 by end.json, 40 by the lines").await;
        check(|end| end.bytes -= 1, "bytes: ").await;
        check(|end| end.levels[4] -= 1, "lines per level: ").await;
        check(|end| end.chunks += 1, "end.json: 6 chunks, but its segments hold 5").await;
        check(|end| end.gaps.count += 1, "gaps: ").await;
        check(|end| end.exit.as_mut().unwrap().bytes_spooled += 9, "that the spool counted").await;
        check(|end| end.segments[1].first += 1, "should be followed by").await;
        check(|end| end.segments[1].lines -= 1, "does not hold the lines").await;
        check(|end| end.writer.origin.step_id.push('x'), "is of another writer").await;
        let world = World::new(&shape()).await;
        world.change(&layout::end(&world.prefix), |bytes| bytes.truncate(20)).await;
        found(&world.verify().await, Some(Kind::Damaged), &["end.json cannot be read"]);
    });
}

#[test]
fn a_leftover_that_differs_is_damage() {
    testing::block_on(async {
        let world = World::new(&shape()).await;
        let wrong = world.chunk(1);
        world.store.put(&world.live(0), wrong.into()).await.unwrap();
        found(
            &world.verify().await,
            Some(Kind::Damaged),
            &["live/000000000000.ndjson.zst is not what the segments hold as chunk 0"],
        );
    });
}

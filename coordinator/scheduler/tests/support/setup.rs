//! Who works, and on what: workers that connect and runs that are submitted.

use super::*;

impl World {
    /// Connects a worker that can do every op.
    pub fn worker(&mut self, name: &str, slots: u32) -> SessionId {
        self.worker_with(name, slots, &OpKind::NAMES)
    }

    /// Connects a worker that can do some kinds of op.
    pub fn worker_with(&mut self, name: &str, slots: u32, ops: &[&str]) -> SessionId {
        self.connect(name, slots, ops, None)
    }

    /// Submits a job over so many rows, cut as its batching says.
    pub fn run(&mut self, id: u64, job: Job, rows: u64) -> RunId {
        self.submit(id, job, rows, None)
    }

    /// Submits a job whose batches of some numbers begin at an ended run's checkpoints behind an op.
    pub fn rerun(
        &mut self,
        id: u64,
        of: RunId,
        job: Job,
        behind: OpId,
        batches: impl IntoIterator<Item = u64>,
    ) -> RunId {
        let mut found = Vec::new();
        for batch in batches.into_iter().map(BatchId::whole) {
            for record in &self.records {
                if let Record::BatchCheckpointed {
                    run,
                    batch: made,
                    checkpoint,
                    ..
                } = record
                    && (*run, *made, checkpoint.op()) == (of, batch, behind)
                {
                    found.push((batch, (**checkpoint).clone()));
                }
            }
        }
        let rows = self.whole_sources[&of].iter().filter_map(Slice::rows).sum();
        self.inherited.insert(RunId(id), found);
        let rerun = Rerun {
            of,
            from: "load".to_owned(),
            behind,
            origins: vec![Origin { run: of, up_to: behind }],
            kept: 0,
            gone: 0,
            by: Asker::Grpc,
        };
        self.submit(id, job, rows, Some(Box::new(rerun)))
    }

    pub(super) fn connect(
        &mut self,
        name: &str,
        slots: u32,
        ops: &[&str],
        reattached: Option<Reattached>,
    ) -> SessionId {
        self.last_sessions += 1;
        let session = SessionId {
            generation: self.config.generation,
            sequence: self.last_sessions,
        };
        let ops: BTreeSet<String> = ops.iter().map(|op| (*op).to_owned()).collect();
        let worker = SimWorker {
            name: name.to_owned(),
            slots,
            ops: ops.clone(),
            alive: true,
            connected: true,
            leases: BTreeMap::new(),
            free: (0..slots).collect(),
            waiting: VecDeque::new(),
        };
        self.workers.insert(session, worker);
        self.tell(Event::SessionOpened(Box::new(NewSession {
            session,
            worker: WorkerName::new(name).expect("is a name"),
            instance: format!("{}-{name}", self.process),
            slots: NonZeroU32::new(slots).expect("has slots"),
            ops,
            exchange_address: format!("http://{name}"),
            hello: self.hello,
            reattached,
        })));
        session
    }

    fn submit(&mut self, id: u64, job: Job, rows: u64, rerun: Option<Box<Rerun>>) -> RunId {
        let run = RunId(id);
        let job = Arc::new(job);
        self.sources.insert(run, slices(&job.batching, rows));
        self.whole_sources.insert(run, slices(&job.batching, rows));
        self.jobs.insert(run, Arc::clone(&job));
        let file = SourceFile {
            path: "/data/in.csv".to_owned(),
            bytes: rows * ROW_BYTES,
            etag: "1".to_owned(),
            data_start: 0,
        };
        let source = Arc::new(FrozenSource {
            files: vec![file],
            columns: vec!["name".to_owned()],
        });
        self.tell(Event::RunSubmitted(Box::new(NewRun {
            run,
            job,
            source,
            seed: 7,
            request_id: None,
            rerun,
        })));
        run
    }
}

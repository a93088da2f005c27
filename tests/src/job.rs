//! Specs for tests, built as values and written as JSON, which is YAML as well.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::scratch::Scratch;

static FILES: AtomicU32 = AtomicU32::new(0);

/// A job's spec in the making.
#[derive(Clone, Debug)]
pub struct Job {
    spec: Value,
}

impl Job {
    /// Begins a job over a CSV file.
    pub fn over(source: impl AsRef<Path>) -> Job {
        let uri = source.as_ref().to_string_lossy().into_owned();
        Job {
            spec: json!({ "name": "job", "source": { "uris": [uri], "csv": {} }, "ops": [] }),
        }
    }

    /// Cuts the source into batches of so many rows.
    #[must_use]
    pub fn rows(self, rows: u32) -> Job {
        self.with("batch", json!({ "rows": rows }))
    }

    /// Sets one field of the schedule.
    #[must_use]
    pub fn schedule(mut self, field: &str, value: impl Into<Value>) -> Job {
        self.spec["schedule"][field] = value.into();
        self
    }

    /// Sets the cap.
    #[must_use]
    pub fn cap(self, cap: u32) -> Job {
        self.schedule("max_concurrent", cap)
    }

    /// Sets a field of the spec.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Job {
        self.spec[field] = value.into();
        self
    }

    /// Adds an op.
    ///
    /// # Panics
    /// If `fields` is no object.
    #[must_use]
    pub fn op(mut self, name: &str, mut fields: Value) -> Job {
        fields["name"] = name.into();
        self.spec["ops"].as_array_mut().expect("ops are a list").push(fields);
        self
    }

    /// Sets a field of an op that is there already.
    ///
    /// # Panics
    /// If there is no op of that name.
    #[must_use]
    pub fn of_op(mut self, name: &str, field: &str, value: impl Into<Value>) -> Job {
        let ops = self.spec["ops"].as_array_mut().expect("ops are a list");
        let op = ops.iter_mut().find(|op| op["name"] == name);
        op.unwrap_or_else(|| panic!("no op {name}"))[field] = value.into();
        self
    }

    /// Adds an op that only takes time.
    #[must_use]
    pub fn wait(self, name: &str, delay: &str) -> Job {
        self.op(name, json!({ "noop": {}, "delay": { "per_batch": delay } }))
    }

    /// Adds a sink that writes one CSV file in input order.
    #[must_use]
    pub fn single_file(self, uri: &str) -> Job {
        self.op(
            "load",
            json!({ "write": { "csv": { "uri": uri, "single_file": true } } }),
        )
    }

    /// Adds a sink that writes nothing anywhere.
    #[must_use]
    pub fn discard(self) -> Job {
        self.op("load", json!({ "write": { "discard": {} } }))
    }

    /// Returns the spec.
    pub fn spec(&self) -> &Value {
        &self.spec
    }

    /// Writes the spec to a file of the test's folder.
    pub fn write(&self, scratch: &Scratch) -> PathBuf {
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        scratch.write(&format!("job-{number}.yaml"), self.spec.to_string())
    }
}

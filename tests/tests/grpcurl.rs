//! The public API as people reach it without any of our code: the real grpcurl, by reflection.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tests::{Cluster, repository, skip, tables};

struct Grpcurl {
    binary: PathBuf,
    cluster: Cluster,
}

impl Grpcurl {
    fn start() -> Option<Grpcurl> {
        let binary = skip::grpcurl()?;
        let mut cluster = Cluster::start(0, 1);
        cluster.add_worker("w1", 4);
        cluster.wait_for_workers(1);
        Some(Grpcurl { binary, cluster })
    }

    fn call(&self, words: &[&str]) -> Output {
        let mut command = Command::new(&self.binary);
        command.arg("-plaintext").args(["-max-time", "60"]).args(words);
        command.output().expect("grpcurl can be called")
    }

    /// Calls a method of JobService and returns its answers.
    fn job_service(&self, method: &str, request: &Value) -> Vec<Value> {
        let name = format!("plumbline.v1.JobService/{method}");
        let output = self.call(&["-d", &request.to_string(), self.cluster.address("grpc"), &name]);
        assert!(
            output.status.success(),
            "{method}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let answers = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
        answers.map(|answer| answer.expect("grpcurl prints JSON")).collect()
    }

    fn say(&self, words: &[&str]) -> String {
        let output = self.call(words);
        assert!(
            output.status.success(),
            "{words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("grpcurl speaks UTF-8")
    }

    fn sample(&self) -> Value {
        let mut job: Value = serde_json::from_str(&repository::text("data/jobs/prio_dynamic_job.json")).expect("JSON");
        let data = repository::file("data/pokemon.csv");
        job["source"]["uris"] = json!([data.to_string_lossy()]);
        job
    }

    fn quick_sample(&self) -> Value {
        let mut job = self.sample();
        for op in 0..2 {
            job["ops"][op]["delay"]["per_row"] = "0.0001s".into();
        }
        job
    }
}

#[test]
fn services_are_listed_and_described() {
    let Some(grpcurl) = Grpcurl::start() else { return };
    let address = grpcurl.cluster.address("grpc").to_owned();
    let services = grpcurl.say(&[&address, "list"]);
    for service in [
        "plumbline.v1.JobService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    ] {
        assert!(services.contains(service), "{service} is listed:\n{services}");
    }
    assert!(
        !services.contains("WorkerService"),
        "workers have a port of their own:\n{services}"
    );
    let methods = grpcurl.say(&[&address, "list", "plumbline.v1.JobService"]);
    for method in [
        "SubmitJob",
        "GetRun",
        "ListRuns",
        "WatchRun",
        "CancelRun",
        "ListBatches",
        "GetBatch",
        "ListWorkers",
    ] {
        assert!(methods.contains(method), "{method} is listed:\n{methods}");
    }
    let described = grpcurl.say(&[&address, "describe", "plumbline.v1.JobSpec"]);
    assert!(described.contains("message JobSpec"), "{described}");
    let health = grpcurl.say(&[&address, "grpc.health.v1.Health/Check"]);
    assert!(health.contains("SERVING"), "{health}");
    grpcurl.cluster.finish();
}

#[test]
fn the_sample_job_is_submitted_watched_and_shown() {
    let Some(grpcurl) = Grpcurl::start() else { return };
    let submitted = grpcurl.job_service("SubmitJob", &json!({ "job": grpcurl.quick_sample() }));
    let run = submitted[0]["runId"].as_str().expect("a run id").to_owned();
    assert_eq!(
        submitted[0]["plan"]["ops"],
        json!(["extract", "transform_1", "transform_2", "load"])
    );
    let updates = grpcurl.job_service("WatchRun", &json!({ "run_id": run, "task_events": true }));
    assert!(updates[0].get("snapshot").is_some(), "first a snapshot: {}", updates[0]);
    let ended = &updates.last().expect("updates came")["ended"];
    assert_eq!(ended["state"], "RUN_STATE_SUCCEEDED");
    assert_eq!(ended["rows"]["loaded"], "801");
    let shown = grpcurl.job_service("GetRun", &json!({ "run_id": run }));
    assert_eq!(shown[0]["run"]["batches"]["committed"], "9");
    let listed = grpcurl.job_service("ListRuns", &json!({ "page_size": 1 }));
    assert_eq!(listed[0]["runs"][0]["id"], run.as_str());
    let workers = grpcurl.job_service("ListWorkers", &json!({}));
    assert_eq!(workers[0]["workers"][0]["name"], "w1");
    let entries = grpcurl.job_service("GetTimeline", &json!({ "run_id": run }));
    let count: usize = entries
        .iter()
        .filter_map(|page| page["entries"].as_array())
        .map(Vec::len)
        .sum();
    assert_eq!(count, 36, "nine batches, and four tasks on each");
    grpcurl.cluster.finish();
}

#[test]
fn a_run_is_cancelled() {
    let Some(grpcurl) = Grpcurl::start() else { return };
    let submitted = grpcurl.job_service("SubmitJob", &json!({ "job": grpcurl.sample() }));
    let run = submitted[0]["runId"].as_str().expect("a run id").to_owned();
    grpcurl.job_service("CancelRun", &json!({ "run_id": run }));
    let report = grpcurl.cluster.wait_for_end(&run);
    assert_eq!(report.state, "cancelled");
    grpcurl.job_service("CancelRun", &json!({ "run_id": run }));
    grpcurl.cluster.finish();
}

#[test]
fn a_live_run_obeys_each_command_once_however_often_it_is_given() {
    let Some(grpcurl) = Grpcurl::start() else { return };
    let submitted = grpcurl.job_service("SubmitJob", &json!({ "job": grpcurl.sample() }));
    let run = submitted[0]["runId"].as_str().expect("a run id").to_owned();
    let of_run = |fields: Value| {
        let mut request = fields;
        request["run_id"] = run.as_str().into();
        request
    };
    let limits = json!({ "max_concurrent": 2, "ops": { "load": { "max_concurrent": 1, "rate": { "limit": 50 } } } });
    let commands = [
        ("PauseRun", json!({}), "RUN_STATE_PAUSED"),
        ("ChangeLimits", limits, "RUN_STATE_PAUSED"),
        ("ResumeRun", json!({}), "RUN_STATE_RUNNING"),
    ];
    for (method, fields, state) in commands {
        for _ in 0..2 {
            let answer = grpcurl.job_service(method, &of_run(fields.clone()));
            assert_eq!(answer[0]["run"]["state"], state, "{method}: {}", answer[0]);
        }
    }
    for _ in 0..2 {
        let set = grpcurl.job_service("SetPool", &json!({ "name": "geocoder", "limit": 3 }));
        assert_eq!(set[0]["pool"]["limit"], 3);
    }
    let pools = grpcurl.job_service("ListPools", &json!({}));
    assert_eq!(pools[0]["pools"].as_array().map(Vec::len), Some(1), "{}", pools[0]);
    for _ in 0..2 {
        grpcurl.job_service("CancelRun", &of_run(json!({ "mode": "CANCEL_MODE_NOW" })));
    }
    assert_eq!(grpcurl.cluster.wait_for_end(&run).state, "cancelled");
    let activity = grpcurl.job_service("ListActivity", &of_run(json!({})));
    let entries = activity[0]["entries"].as_array().expect("entries");
    let told: Vec<&Value> = entries.iter().filter(|entry| entry["by"] == "grpc").collect();
    let kinds: Vec<&Value> = told.iter().map(|entry| &entry["kind"]).collect();
    assert_eq!(kinds, ["pause", "limits", "resume", "cancel"], "{told:#?}");
    grpcurl.cluster.finish();
}

#[test]
fn a_request_id_submits_once() {
    let Some(grpcurl) = Grpcurl::start() else { return };
    let request = json!({ "job": grpcurl.quick_sample(), "request_id": "once" });
    let first = grpcurl.job_service("SubmitJob", &request);
    let second = grpcurl.job_service("SubmitJob", &request);
    assert_eq!(first[0]["runId"], second[0]["runId"]);
    let mut other = request.clone();
    other["job"]["name"] = "another".into();
    let address = grpcurl.cluster.address("grpc");
    let refused = grpcurl.call(&["-d", &other.to_string(), address, "plumbline.v1.JobService/SubmitJob"]);
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("AlreadyExists"),
        "{refused:?}"
    );
    let checked = grpcurl.job_service("SubmitJob", &json!({ "job": grpcurl.sample(), "validate_only": true }));
    assert!(checked[0].get("runId").is_none(), "{}", checked[0]);
    assert_eq!(
        grpcurl.job_service("ListRuns", &json!({}))[0]["runs"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    let run = first[0]["runId"].as_str().expect("a run id").to_owned();
    grpcurl.cluster.wait_for_end(&run);
    grpcurl.cluster.finish();
}

#[test]
fn a_bad_spec_answers_invalid_argument_with_the_fields_path() {
    let Some(grpcurl) = Grpcurl::start() else { return };
    let people = grpcurl.cluster.scratch().write("people.csv", tables::people(3));
    let mut job = grpcurl.quick_sample();
    job["source"]["uris"] = json!([people.to_string_lossy()]);
    let mut no_cap = grpcurl.sample();
    no_cap["schedule"]["max_concurrent"] = 0.into();
    for (job, path) in [(job, "ops[0].select"), (no_cap, "schedule.max_concurrent")] {
        let request = json!({ "job": job }).to_string();
        let output = grpcurl.call(&[
            "-d",
            &request,
            grpcurl.cluster.address("grpc"),
            "plumbline.v1.JobService/SubmitJob",
        ]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success());
        for word in ["InvalidArgument", "google.rpc.BadRequest", path] {
            assert!(said.contains(word), "grpcurl shows {word:?}:\n{said}");
        }
    }
    grpcurl.cluster.finish();
}

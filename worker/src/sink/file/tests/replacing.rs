//! What was there before: results that are replaced, and what a run keeps to go on after its end.

use super::*;

#[test]
fn a_replaced_folder_stays_until_the_run_has_succeeded_and_then_holds_the_new_parts_only() {
    let scene = Scene::new(FileFormat::Csv, SingleFile::Parts);
    let mut committed = scene.commit(0, &["old"]);
    committed.extend(scene.commit(1, &["older"]));
    scene.end(RunState::Succeeded, &committed);
    std::fs::write(scene.target.place.join("notes.txt"), "not ours").expect("is written");
    let before = scene.files();

    let scene = scene.later(8, IfExists::Replace);
    let committed = scene.commit(0, &["cancelled"]);
    assert!(
        scene
            .finish(RunState::Cancelled, &committed)
            .expect("sweeps")
            .is_empty()
    );
    assert_eq!(scene.files(), before);

    let scene = scene.later(9, IfExists::Replace);
    let committed = scene.commit(0, &["new"]);
    scene.end(RunState::Succeeded, &committed);
    assert_eq!(
        scene.names(),
        ["out/_manifest.json", "out/notes.txt", "out/part-000000.csv"]
    );
    assert_eq!(scene.files()["out/part-000000.csv"], "name,\"number, of\"\nnew,1\n");
    assert_eq!(scene.manifest()["run"], "r9");
    scene
        .sink()
        .publish(Some(0.into()), &[committed[0].part.clone()])
        .expect("a late repeat is fine");
    assert!(scene.hidden_is_gone());
}

#[test]
fn a_replaced_single_file_is_there_at_every_moment() {
    let scene = Scene::new(FileFormat::Csv, SingleFile::Join).later(8, IfExists::Replace);
    std::fs::write(&scene.target.place, "old").expect("is written");
    let committed = scene.commit(0, &["new"]);
    assert!(scene.finish(RunState::Failed, &committed).expect("sweeps").is_empty());
    assert_eq!(scene.files()["out"], "old");
    let committed = scene.commit(0, &["new"]);
    scene.end(RunState::Succeeded, &committed);
    assert_eq!(scene.files()["out"], "name,\"number, of\"\nnew,1\n");
}

#[test]
fn a_run_that_cannot_go_on_after_its_end_keeps_nothing_for_that() {
    for state in [RunState::Failed, RunState::CompletedWithFailures] {
        let scene = Scene::new(FileFormat::Csv, SingleFile::Join);
        let committed = scene.commit(0, &["bulbasaur"]);
        let parts = scene
            .finish_with(state, Reopening::Never, &committed)
            .expect("finishes");
        scene.sink().publish(None, &parts).expect("is published");
        assert_eq!(scene.target.place.exists(), state == RunState::CompletedWithFailures);
        assert!(scene.hidden_is_gone(), "{state:?}");
    }
}

#[test]
fn a_single_file_of_a_run_that_goes_on_after_its_end_is_that_of_one_that_never_failed() {
    for state in [RunState::Failed, RunState::CompletedWithFailures] {
        let scene = Scene::new(FileFormat::Csv, SingleFile::Join);
        let first = scene.commit(0, &["bulbasaur"]);
        let last = scene.commit(2, &["squirtle"]);
        let without: Vec<CommittedPart> = first.iter().chain(&last).cloned().collect();
        scene.end(state, &without);
        assert_eq!(scene.target.place.exists(), state == RunState::CompletedWithFailures);
        let mended = scene.commit(1, &["charmander"]);
        let all: Vec<CommittedPart> = first.iter().chain(&mended).chain(&last).cloned().collect();
        scene.end(RunState::Succeeded, &all);
        let text = "name,\"number, of\"\nbulbasaur,1\ncharmander,1\nsquirtle,1\n";
        assert_eq!(scene.files(), BTreeMap::from([("out".to_owned(), text.to_owned())]));
    }
}

#[test]
fn a_replaced_folder_of_a_run_that_goes_on_after_its_end_holds_the_new_parts() {
    for state in [RunState::Failed, RunState::CompletedWithFailures] {
        let scene = Scene::new(FileFormat::Csv, SingleFile::Parts);
        let old = scene.commit(0, &["old"]);
        scene.end(RunState::Succeeded, &old);
        let scene = scene.later(8, IfExists::Replace);
        let first = scene.commit(0, &["bulbasaur"]);
        scene.end(state, &first);
        let second = scene.commit(1, &["charmander"]);
        let all: Vec<CommittedPart> = first.into_iter().chain(second).collect();
        scene.end(RunState::Succeeded, &all);
        let names = ["out/_manifest.json", "out/part-000000.csv", "out/part-000001.csv"];
        assert_eq!(scene.names(), names, "{state}");
        assert_eq!(
            scene.files()["out/part-000000.csv"],
            "name,\"number, of\"\nbulbasaur,1\n"
        );
    }
}

#[test]
fn what_a_failed_run_keeps_goes_when_it_is_forgotten() {
    let scene = Scene::new(FileFormat::Csv, SingleFile::Join);
    let committed = scene.commit(0, &["mew"]);
    scene.end(RunState::CompletedWithFailures, &committed);
    assert!(!scene.hidden_is_gone());
    for _ in 0..2 {
        scene.sink().sweep().expect("is removed");
    }
    assert_eq!(scene.names(), ["out"]);
}

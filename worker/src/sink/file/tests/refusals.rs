//! What is refused or cut short, with the reason, and leaves nothing half-written.

use super::*;

#[test]
fn a_full_disk_fails_the_attempt_leaves_nothing_of_it_and_the_next_one_succeeds() {
    let scene = Scene::new(FileFormat::Csv, SingleFile::Parts);
    std::fs::create_dir_all(&scene.target.hidden).expect("is made");
    let staged = scene.target.staged(Some(0.into()), lease(1));
    std::os::unix::fs::symlink("/dev/full", &staged).expect("is made");
    let stage = |sequence| scene.sink().stage(&rows(&["mew"]), &context(0, sequence));
    let failure = stage(1).expect_err("the disk is full");
    assert_eq!(failure.kind, FailureKind::Retryable);
    assert!(failure.message.contains("free some space"), "{failure}");
    assert!(staged.symlink_metadata().is_err(), "the attempt's file is removed");
    assert_eq!(stage(2).expect("there is space again").len(), 1);
}

#[test]
fn a_full_disk_at_the_end_leaves_no_half_of_a_file_and_the_next_attempt_joins_it() {
    let scene = Scene::new(FileFormat::Csv, SingleFile::Join);
    let committed = scene.commit(0, &["mew"]);
    let joined = scene.target.staged(None, lease(99));
    std::os::unix::fs::symlink("/dev/full", &joined).expect("is made");
    let failure = scene
        .finish(RunState::Succeeded, &committed)
        .expect_err("the disk is full");
    assert!(failure.message.contains("free some space"), "{failure}");
    assert!(joined.symlink_metadata().is_err() && !scene.target.place.exists());
    scene.end(RunState::Succeeded, &committed);
    assert_eq!(scene.files()["out"], "name,\"number, of\"\nmew,1\n");
}

#[test]
fn a_place_that_may_not_be_written_to_is_named_with_what_to_do() {
    let mut scene = Scene::new(FileFormat::Csv, SingleFile::Parts);
    // Nobody may make folders there, not even root.
    scene.target.place = PathBuf::from("/sys/plumbline-test");
    scene.target.hidden = scene.target.place.join(".plumbline-r7");
    let failure = scene
        .sink()
        .stage(&rows(&["mew"]), &context(0, 1))
        .expect_err("is refused");
    assert_eq!(failure.kind, FailureKind::Retryable);
    assert!(failure.message.contains("/sys/plumbline-test"), "{failure}");
}

#[test]
fn a_folder_that_is_removed_while_a_part_is_written_fails_the_attempt_before_it_counts() {
    let scene = Scene::new(FileFormat::Csv, SingleFile::Parts);
    let staged = stage::Staged::create(&scene.target, Some(0.into()), lease(1)).expect("is made");
    std::fs::remove_dir_all(&scene.target.place).expect("is there");
    let failure = staged.seal(1).expect_err("is gone");
    assert_eq!(failure.kind, FailureKind::Retryable);
    assert!(
        failure.message.contains("was removed while it was written"),
        "{failure}"
    );
    let parts = scene.stage(0, 2, &["mew"]);
    assert!(
        Path::new(&parts[0].file).exists(),
        "the next attempt makes the folders anew"
    );
}

#[test]
fn a_part_of_another_place_is_refused() {
    let scene = Scene::new(FileFormat::Csv, SingleFile::Parts);
    let mut parts = scene.stage(0, 1, &["mew"]);
    parts[0].file = "/etc/passwd".to_owned();
    let failure = scene.sink().publish(Some(0.into()), &parts).expect_err("is refused");
    assert!(failure.message.contains("does not lie in"), "{failure}");
}

#[test]
fn a_folder_that_cannot_be_made_is_reported_with_its_path_and_what_to_do() {
    let scene = Scene::new(FileFormat::Csv, SingleFile::Parts);
    std::fs::write(&scene.target.place, "in the way").expect("is written");
    let failure = scene
        .sink()
        .stage(&rows(&["mew"]), &context(0, 1))
        .expect_err("is refused");
    assert_eq!(failure.kind, FailureKind::Retryable);
    assert!(
        failure
            .message
            .contains("a file is where a folder should be: move it away"),
        "{failure}"
    );
}

#[test]
fn an_attempt_that_is_cancelled_leaves_no_file() {
    let scene = Scene::new(FileFormat::Csv, SingleFile::Parts);
    let long = "x".repeat(300 << 10);
    let context = context(0, 1);
    context.cancel.cancel();
    let failure = scene.sink().stage(&rows(&[&long]), &context).expect_err("is cancelled");
    assert_eq!(failure.kind, FailureKind::Cancelled);
    assert!(scene.names().is_empty());
}

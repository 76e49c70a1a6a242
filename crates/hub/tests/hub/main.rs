//! Models from a hub on loopback.

#![allow(clippy::unwrap_used)] // in tests a broken promise is the message

mod server;

use std::path::{Path, PathBuf};
use std::time::Duration;

use server::{Hub, REPOSITORY, Shop, sha256, weights};
use stt_hub::{HubConfig, HubError, resolve};

fn config(endpoint: String, cache: &Path) -> HubConfig {
    HubConfig {
        endpoint,
        ..HubConfig::new(cache.to_owned())
    }
}

/// Resolves the one repository; gives what was told on the way, too.
fn get(config: &HubConfig) -> (Result<PathBuf, HubError>, Vec<String>) {
    let mut told = Vec::new();
    let outcome = resolve(REPOSITORY, config, &mut |progress| told.push(progress.to_string()));
    (outcome, told)
}

fn refused(config: &HubConfig) -> (HubError, String) {
    let error = get(config).0.unwrap_err();
    let text = error.to_string();
    (error, text)
}

/// Fails as well when the cache would pass something off as the model.
fn assert_cache_has_no_model(config: &HubConfig) {
    let offline = HubConfig {
        offline: true,
        ..config.clone()
    };
    let (error, _) = refused(&offline);
    assert!(matches!(error, HubError::Offline { .. }), "{error}");
}

#[test]
fn offline_with_an_empty_cache_names_what_is_missing() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::open(Shop::default());
    let mut config = config(hub.endpoint(), cache.path());
    config.offline = true;
    let (_, text) = refused(&config);
    assert!(
        text.contains(REPOSITORY) && text.contains("config.json, model.bin, vocabulary.json"),
        "{text}"
    );
    assert_eq!(hub.asked().len(), 0);
}

#[test]
fn a_hub_that_is_not_there_is_named_with_what_to_do() {
    let cache = tempfile::tempdir().unwrap();
    let gone = Hub::open(Shop::default()).endpoint();
    let (error, text) = refused(&config(gone.clone(), cache.path()));
    assert!(
        text.contains(&gone) && text.contains(REPOSITORY) && text.contains("check the network"),
        "{text}"
    );
    assert!(std::error::Error::source(&error).is_some());
    let plain = Hub::open(Shop::default());
    let (_, text) = refused(&config(format!("https://{}", plain.address), cache.path()));
    assert!(text.contains("cannot reach https://127.0.0.1"), "no TLS there: {text}");
    let (_, text) = refused(&config("huggingface.co".into(), cache.path()));
    assert!(text.contains("cannot reach huggingface.co"), "{text}");
}

#[test]
fn each_answer_that_refuses_has_its_own_error() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::open(Shop::default());
    let config = config(hub.endpoint(), cache.path());
    for (status, part) in [
        (404, "has no model repository org/model"),
        (
            401,
            "refuses org/model (status 401): it does not exist, or is private or gated; give a token",
        ),
        (403, "refuses org/model (status 403)"),
        (429, "answered with status 429 for org/model"),
        (503, "answered with status 503 for org/model"),
        (300, "does not answer as a hub"),
    ] {
        hub.change(|shop| shop.status = Some(status));
        let (_, text) = refused(&config);
        assert!(text.contains(part), "{status}: {text}");
    }
    assert_cache_has_no_model(&config);
}

#[test]
fn a_repository_of_another_kind_is_told_what_it_lacks() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::open(Shop::default());
    hub.change(|shop| {
        shop.files
            .retain(|(name, _)| !["model.bin", "vocabulary.json"].contains(name))
    });
    let (_, text) = refused(&config(hub.endpoint(), cache.path()));
    assert_eq!(
        text,
        "org/model has no model.bin, vocabulary.json: it is no Whisper model in CTranslate2 form"
    );
}

#[test]
fn names_from_the_hub_never_become_paths_outside_the_cache() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::open(Shop::default());
    let config = config(hub.endpoint(), &cache.path().join("inner"));
    hub.change(|shop| shop.files.push(("vocabulary./../../../../../stolen", b"x".to_vec())));
    get(&config).0.unwrap();
    assert!(hub.asked().iter().all(|asked| !asked.line.contains("stolen")));
    hub.change(|shop| shop.commit = "../../../stolen".into());
    let (outcome, told) = get(&config);
    outcome.unwrap();
    assert!(told[0].contains("the commit is no commit"), "{told:?}");
    assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 1);
}

#[test]
fn fetched_once_then_cached() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::open(Shop::default());
    let mut config = config(hub.endpoint(), cache.path());
    let (directory, told) = get(&config);
    let directory = directory.unwrap();
    let commit = Shop::default().commit;
    let root = cache.path().join("models--org--model");
    assert_eq!(directory, root.join("snapshots").join(&commit));
    assert_eq!(std::fs::read_to_string(root.join("refs/main")).unwrap(), commit);
    for (name, bytes) in Shop::default().files {
        let wanted = !["README.md", ".gitattributes"].contains(&name);
        let found = std::fs::read(directory.join(name)).ok();
        assert_eq!(found, wanted.then_some(bytes), "{name}");
    }
    let link = std::fs::read_link(directory.join("model.bin")).unwrap();
    assert_eq!(link, Path::new("../../blobs").join(sha256(&weights())));
    assert_eq!(told[0], format!("fetching org/model at {commit}, 0.3 MB"));
    assert_eq!(told.last().unwrap(), "org/model: 0.3 of 0.3 MB (100 %)");
    assert_eq!(hub.asked().len(), 1 + 2 * 5);

    let again = get(&config);
    assert_eq!(
        (again.0.unwrap(), again.1),
        (directory.clone(), vec!["org/model is in the cache".to_owned()])
    );
    let lines: Vec<_> = hub.asked().into_iter().map(|asked| asked.line).collect();
    assert_eq!(lines, ["GET /api/models/org/model/revision/main"]);

    config.offline = true;
    assert_eq!(get(&config).0.unwrap(), directory);
    assert_eq!(hub.asked().len(), 0);
}

#[test]
fn a_whole_snapshot_serves_when_the_hub_does_not() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::open(Shop::default());
    let config = config(hub.endpoint(), cache.path());
    let directory = get(&config).0.unwrap();
    hub.change(|shop| shop.status = Some(503));
    let (outcome, told) = get(&config);
    assert_eq!(outcome.unwrap(), directory);
    assert!(
        told[0].starts_with("using org/model from the cache, as it is: "),
        "{told:?}"
    );
    // A newer commit that cannot be had leaves the older one in force.
    hub.change(|shop| {
        let (commit, cut) = ("beef".repeat(10), Some(10));
        let files = vec![
            ("config.json", b"{\"version\":2}".to_vec()),
            ("model.bin", weights()[1..].to_vec()),
            ("tokenizer.json", b"{}".to_vec()),
            ("vocabulary.txt", b"!".to_vec()),
        ];
        *shop = Shop {
            commit,
            cut,
            files,
            ..Shop::default()
        };
    });
    assert_eq!(get(&config).0.unwrap(), directory);
    hub.change(|shop| shop.cut = None);
    let newer = get(&config).0.unwrap();
    assert!(newer.ends_with("beef".repeat(10)));
    assert!(newer.join("vocabulary.txt").exists() && !newer.join("preprocessor_config.json").exists());
    drop(hub);
    assert_eq!(get(&config).0.unwrap(), newer);
}

#[test]
fn the_token_goes_to_the_hub_and_nowhere_else() {
    let cache = tempfile::tempdir().unwrap();
    let store = Hub::open(Shop::default());
    let hub = Hub::open(Shop {
        token: Some("hf_s3cret"),
        elsewhere: Some(store.address),
        ..Shop::default()
    });
    let mut config = config(hub.endpoint(), cache.path());
    let (_, text) = refused(&config);
    assert!(text.contains("give a token that may read it"), "{text}");
    config.token = Some("hf_wrong".into());
    let (_, text) = refused(&config);
    assert!(
        text.contains("the token given may not read it") && !text.contains("hf_wrong"),
        "{text}"
    );
    assert!(!format!("{config:?}").contains("hf_wrong"));
    config.token = Some("hf_s3cret".into());
    let directory = get(&config).0.unwrap();
    assert_eq!(std::fs::read(directory.join("model.bin")).unwrap(), weights());
    let elsewhere = store.asked();
    assert_eq!(elsewhere.len(), 1);
    assert_eq!(elsewhere[0].header("authorization"), None);
}

#[test]
fn a_renamed_repository_is_followed_with_the_token_but_not_in_circles() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::open(Shop {
        token: Some("hf_s3cret"),
        ..Shop::default()
    });
    let mut config = config(hub.endpoint(), cache.path());
    config.token = Some("hf_s3cret".into());
    let directory = resolve("org/old", &config, &mut |_| {}).unwrap();
    assert!(directory.starts_with(cache.path().join("models--org--old")));
    assert_eq!(std::fs::read(directory.join("model.bin")).unwrap(), weights());
    let text = resolve("org/loop", &config, &mut |_| {}).unwrap_err().to_string();
    assert!(text.contains("more than 5 redirects"), "{text}");
}

#[test]
fn a_download_that_breaks_leaves_no_model_and_goes_on_where_it_was() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::open(Shop {
        cut: Some(20_000),
        ..Shop::default()
    });
    let config = config(hub.endpoint(), cache.path());
    let (_, text) = refused(&config);
    assert_eq!(
        text,
        "the download of model.bin of org/model broke after 20000 of 300000 bytes"
    );
    assert_cache_has_no_model(&config);
    hub.asked();
    // Rounds that get on are taken up again within one call.
    hub.change(|shop| shop.cut = Some(100_000));
    let directory = get(&config).0.unwrap();
    assert_eq!(std::fs::read(directory.join("model.bin")).unwrap(), weights());
    let ranges: Vec<_> = hub
        .asked()
        .iter()
        .filter_map(|asked| asked.header("range").map(str::to_owned))
        .collect();
    assert_eq!(ranges, ["bytes=20000-", "bytes=120000-", "bytes=220000-"]);
}

#[test]
fn a_server_without_ranges_starts_over_but_not_for_ever() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::open(Shop {
        cut: Some(100_000),
        ranges: false,
        ..Shop::default()
    });
    let config = config(hub.endpoint(), cache.path());
    let (error, _) = refused(&config);
    assert!(matches!(error, HubError::Broken { received: 100_000, .. }), "{error}");
    hub.change(|shop| shop.cut = None);
    let directory = get(&config).0.unwrap();
    assert_eq!(std::fs::read(directory.join("model.bin")).unwrap(), weights());
}

#[test]
fn a_file_that_is_not_what_was_announced_is_deleted() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::open(Shop {
        forged: Some(("model.bin", vec![7; 300_000])),
        ..Shop::default()
    });
    let config = config(hub.endpoint(), cache.path());
    let (_, text) = refused(&config);
    assert!(text.contains("model.bin of org/model arrived damaged"), "{text}");
    assert_cache_has_no_model(&config);
    // Of small files the hub gives git's hash only.
    let cache = tempfile::tempdir().unwrap();
    let config = self::config(hub.endpoint(), cache.path());
    hub.change(|shop| shop.forged = Some(("config.json", b"{\"lang_ids\":[1".to_vec())));
    let (_, text) = refused(&config);
    assert!(text.contains("config.json of org/model arrived damaged"), "{text}");
    hub.change(|shop| (shop.forged, shop.etag) = (None, Some("abc".into())));
    let (_, text) = refused(&config);
    assert!(text.contains("its etag is neither a SHA-1 nor a SHA-256"), "{text}");
    assert_cache_has_no_model(&config);
    hub.change(|shop| shop.etag = None);
    get(&config).0.unwrap();
}

#[test]
fn a_damaged_cache_is_mended() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::open(Shop::default());
    let config = config(hub.endpoint(), cache.path());
    let directory = get(&config).0.unwrap();
    let blob = std::fs::canonicalize(directory.join("model.bin")).unwrap();
    std::fs::remove_file(&blob).unwrap();
    assert_cache_has_no_model(&config);
    assert_eq!(get(&config).0.unwrap(), directory);
    assert_eq!(std::fs::read(directory.join("model.bin")).unwrap(), weights());
}

#[test]
fn two_at_once_download_once() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::open(Shop::default());
    let config = config(hub.endpoint(), cache.path());
    std::thread::scope(|scope| {
        let both = [(); 2].map(|()| scope.spawn(|| get(&config).0.unwrap()));
        let [one, other] = both.map(|thread| thread.join().unwrap());
        assert_eq!(one, other);
    });
    let downloads = hub.asked();
    let downloads = downloads
        .iter()
        .filter(|asked| asked.line.starts_with("GET /org/model/resolve"));
    assert_eq!(downloads.count(), 5);
}

#[test]
fn a_directory_is_taken_as_it_is_and_another_is_refused_by_name() {
    let place = tempfile::tempdir().unwrap();
    let hub = Hub::open(Shop::default());
    let config = config(hub.endpoint(), place.path());
    let model = place.path().join("mine");
    std::fs::create_dir(&model).unwrap();
    let take = || resolve(model.to_str().unwrap(), &config, &mut |_| {});
    let text = take().unwrap_err().to_string();
    assert!(text.contains("mine holds no model.bin"), "{text}");
    std::fs::write(model.join("model.bin"), "").unwrap();
    assert_eq!(take().unwrap(), model);
    assert_eq!(hub.asked().len(), 0);
}

#[test]
fn a_pinned_commit_is_asked_for_once() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::open(Shop::default());
    let mut config = config(hub.endpoint(), cache.path());
    let commit = Shop::default().commit;
    config.revision = Some(commit.clone());
    let directory = get(&config).0.unwrap();
    assert!(directory.ends_with(&commit));
    assert!(hub.asked()[0].line.ends_with(&format!("/revision/{commit}")));
    assert_eq!(get(&config).0.unwrap(), directory);
    assert_eq!(hub.asked().len(), 0, "a commit never changes");
    config.offline = true;
    assert_eq!(get(&config).0.unwrap(), directory);
    // What main is says nothing about it, and the other way round.
    config.revision = None;
    assert_cache_has_no_model(&config);
}

#[test]
fn a_revision_is_a_tag_or_refused() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::open(Shop::default());
    let mut config = config(hub.endpoint(), cache.path());
    config.revision = Some("v1".into());
    let directory = get(&config).0.unwrap();
    hub.change(|shop| shop.status = Some(503));
    assert_eq!(get(&config).0.unwrap(), directory, "by its name in the cache");
    hub.change(|shop| shop.status = None);
    hub.asked();
    for revision in ["../main", "a/b", "", "v1?x=", "-v"] {
        config.revision = Some(revision.to_owned());
        let (error, text) = refused(&config);
        assert!(matches!(error, HubError::BadRevision { .. }), "{text}");
    }
    assert_eq!(hub.asked().len(), 0);
    config.revision = Some("0".repeat(40));
    let (_, text) = refused(&config);
    assert!(text.contains("has no model repository"), "{text}");
}

#[test]
fn a_known_model_is_the_known_one_unless_its_revision_is_named() {
    let cache = tempfile::tempdir().unwrap();
    let repository = "Systran/faster-whisper-base";
    let hub = Hub::open(Shop {
        repository,
        ..Shop::default()
    });
    let mut config = config(hub.endpoint(), cache.path());
    let text = resolve("base", &config, &mut |_| {}).unwrap_err().to_string();
    assert!(
        text.contains("config.json") && text.contains("MODEL_REVISION"),
        "{text}"
    );
    config.revision = Some("v1".into());
    resolve("base", &config, &mut |_| {}).unwrap();
}

#[test]
fn a_slow_hub_is_given_up_by_its_pace_and_by_the_time_of_all() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::open(Shop {
        wait: Duration::from_millis(20),
        ..Shop::default()
    });
    let mut config = config(hub.endpoint(), cache.path());
    config.pace_window = Duration::from_millis(200);
    config.pace_min = 1_000_000;
    let (error, text) = refused(&config);
    assert!(matches!(error, HubError::TooSlow { .. }), "{text}");
    config.pace_min = 1;
    config.time_max = Duration::from_millis(900);
    let (error, text) = refused(&config);
    assert!(
        matches!(
            error,
            HubError::TimedOut { .. } | HubError::Unreachable { .. } | HubError::Broken { .. }
        ),
        "{text}"
    );
    assert_cache_has_no_model(&config);
    hub.change(|shop| shop.wait = Duration::ZERO);
    get(&config).0.unwrap();
}

#[test]
fn another_process_is_waited_for_within_the_time() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::open(Shop::default());
    let mut config = config(hub.endpoint(), cache.path());
    let root = cache.path().join("models--org--model");
    std::fs::create_dir_all(&root).unwrap();
    let held = std::fs::File::create(root.join("stt-hub.lock")).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    config.time_max = Duration::from_millis(500);
    let (outcome, told) = get(&config);
    let text = outcome.unwrap_err().to_string();
    assert!(
        text.contains("stt-hub.lock") && text.contains("another process"),
        "{text}"
    );
    assert_eq!(told, ["waiting for another process that fetches org/model"]);
    drop(held);
    config.time_max = Duration::from_secs(60);
    get(&config).0.unwrap();
}

//! How the real binary starts, or why it does not.

use std::net::TcpListener;

use crate::support::{Worker, fixture};

/// Runs it to its end: exit code and everything it said.
fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut worker = Worker::start(arguments, variables);
    let code = worker.end().code();
    (code, std::mem::take(&mut worker.said))
}

/// A loopback address where nobody listens.
fn nowhere() -> String {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string()
}

#[test]
fn bad_settings_are_all_told_and_end_it_with_2() {
    for arguments in [&[][..], &["--check"]] {
        let (code, said) = run(
            arguments,
            &[
                ("MAX_ATTEMPTS", "0"),
                ("DEVICE", "gpu"),
                ("KAFKA_CONF_ENABLE_AUTO_COMMIT", "true"),
                ("KAFKA_CONF_SASL_PASWORD", "hunter2"),
                ("AUDIO_URL_ALLOW", "http://media.internal/"),
            ],
        );
        assert_eq!(code, Some(2), "{said}");
        for start in [
            "MAX_ATTEMPTS=0: must be a whole number, 1 to 100",
            "DEVICE=gpu: must be cpu or cuda",
            "KAFKA_CONF_ENABLE_AUTO_COMMIT=true: is set by the worker: ",
            "KAFKA_CONF_SASL_PASWORD=",
            "AUDIO_URL_ALLOW=http://media.internal/: must be host names",
        ] {
            assert!(said.lines().any(|line| line.starts_with(start)), "{start}\n{said}");
        }
        assert_eq!(said.lines().count(), 5, "{said}");
    }
}

#[test]
fn arguments_that_are_not_understood_end_it_with_2() {
    for arguments in [
        &["--embeded-broker"][..],
        &["--embedded-broker-address-file", "x"],
        &["now"],
    ] {
        let (code, said) = run(arguments, &[]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.starts_with("stt-worker: ") && said.contains("--help"), "{said}");
    }
}

#[test]
fn help_tells_every_setting_and_version_its_version() {
    let (code, said) = run(&["--help"], &[("DEVICE", "gpu")]);
    assert_eq!(code, Some(0));
    for variable in stt_settings::VARIABLES {
        let line = said
            .lines()
            .find(|line| line.trim_start().split(' ').next() == Some(variable.name));
        let line = line.unwrap_or_else(|| panic!("{} is not in\n{said}", variable.name));
        assert!(
            variable
                .default
                .is_none_or(|value| line.contains(&format!("[{value}]"))),
            "{line}"
        );
    }
    assert!(said.contains("KAFKA_CONF_<KEY>"));
    let (code, said) = run(&["--version"], &[]);
    assert_eq!(
        (code, said.trim()),
        (Some(0), concat!("stt-worker ", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn check_prints_what_is_in_force_and_no_secret() {
    let (code, said) = run(
        &["--check"],
        &[
            ("WORKER_CONCURRENCY", " 2 "),
            ("LANGUAGES", "mr-IN, hi"),
            ("HF_TOKEN", "hf_abc"),
            ("KAFKA_CONF_SASL_PASSWORD", "hunter2"),
            ("KAFKA_CONF_CLIENT_ID", "me"),
            ("MAX_ATEMPTS", "5"),
        ],
    );
    assert_eq!(code, Some(0), "{said}");
    for line in [
        "WORKER_CONCURRENCY=2",
        "LANGUAGES=mr-IN, hi",
        "TEMPERATURE=0,0.2,0.4,0.6,0.8,1  (default)",
        "MAX_ATTEMPTS=3  (default)",
        "HF_TOKEN=***",
        "KAFKA_CONF_SASL_PASSWORD=***",
        "KAFKA_CONF_CLIENT_ID=me",
        "warning: MAX_ATEMPTS is no setting and has no effect; is MAX_ATTEMPTS meant?",
    ] {
        assert!(said.lines().any(|found| found == line), "{line}\n{said}");
    }
    assert!(!said.contains("hf_abc") && !said.contains("hunter2"), "{said}");
}

#[test]
fn a_broker_that_is_not_there_is_named_and_ends_it_with_1() {
    let (address, tmp_dir) = (nowhere(), tempfile::tempdir().unwrap());
    let (code, said) = run(
        &[],
        &[
            ("KAFKA_BOOTSTRAP_SERVERS", &address),
            ("STARTUP_TIMEOUT_SEC", "2"),
            ("MODEL_SIZE", fixture("model").to_str().unwrap()),
            ("TMP_DIR", tmp_dir.path().to_str().unwrap()),
            ("METRICS_PORT", "0"),
            ("HEALTH_PORT", "0"),
        ],
    );
    assert_eq!(code, Some(1), "{said}");
    let last = said.lines().last().unwrap();
    assert!(
        last.contains("ERROR kafka is not ready: no answer from kafka at "),
        "{said}"
    );
    assert!(last.contains(&address) && last.contains("within 2 s"), "{last}");
    assert_eq!(std::fs::read_dir(tmp_dir.path()).unwrap().count(), 0);
}

#[test]
fn a_model_that_is_none_and_a_port_that_is_taken_are_named() {
    let (no_model, tmp_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let no_model = no_model.path().to_str().unwrap();
    let tmp_dir = tmp_dir.path().to_str().unwrap();
    let common = [
        ("MODEL_SIZE", no_model),
        ("TMP_DIR", tmp_dir),
        ("HF_HUB_OFFLINE", "1"),
        ("METRICS_PORT", "0"),
    ];
    let with = |health_port| [&common[..], &[("HEALTH_PORT", health_port)]].concat();
    let (code, said) = run(&[], &with("0"));
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains(&format!("ERROR the model {no_model} cannot be had: ")),
        "{said}"
    );

    let taken = TcpListener::bind("[::]:0")
        .or_else(|_| TcpListener::bind("0.0.0.0:0"))
        .unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, said) = run(&[], &with(&port));
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains(&format!("ERROR cannot serve health on port {port}: ")),
        "{said}"
    );
}

#[test]
fn threads_without_work_sleep_unless_told_otherwise() {
    let broker = nowhere();
    for (given, wanted) in [(None, "PASSIVE"), (Some("ACTIVE"), "ACTIVE")] {
        let model = fixture("model");
        let mut variables = vec![
            ("MODEL_SIZE", model.to_str().unwrap()),
            ("KAFKA_BOOTSTRAP_SERVERS", &broker),
            ("METRICS_PORT", "0"),
            ("HEALTH_PORT", "0"),
        ];
        variables.extend(given.map(|policy| ("OMP_WAIT_POLICY", policy)));
        let mut worker = Worker::start(&[], &variables);
        worker.says("metrics on port");
        let environment = std::fs::read_to_string(format!("/proc/{}/environ", worker.id())).unwrap();
        let policy = environment
            .split('\0')
            .find_map(|pair| pair.strip_prefix("OMP_WAIT_POLICY="));
        assert_eq!(policy, Some(wanted));
        worker.signal(rustix::process::Signal::TERM);
        assert_eq!(worker.end().code(), Some(0), "{}", worker.said);
    }
}

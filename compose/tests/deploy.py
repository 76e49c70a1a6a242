"""What is deployed is well-formed, agrees with itself, and with what the worker does. `make test-deploy` runs this; nothing is
built and nothing runs for longer than a second."""

import ipaddress
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "compose"
TOOLS = pathlib.Path(sys.executable).parent


def run(*command, text=None, code=0):
    done = subprocess.run([str(part) for part in command], cwd=ROOT, input=text, capture_output=True, text=True, check=False)
    if done.returncode != code:
        raise AssertionError(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def read(path):
    return (ROOT / path).read_text()


def load(path):
    return yaml.safe_load(read(path))


def metrics():
    """Each metric of the table in docs/operations.md, with its labels."""
    page = read("docs/operations.md")
    table = re.search(r"^\| Metric \| Labels \|.*?\n\n", page, re.M | re.S).group(0)
    rows = re.findall(r"^\| `(stt_\w+)` \| (.*?) \|", table, re.M)
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


# Labels that Prometheus adds, and the bounds of histograms.
ADDED = {"instance", "job", "namespace", "pod", "le", "alertname", "alertstate"}
SUFFIXES = ("_bucket", "_sum", "_count")


def check_expression(expression, known):
    """Every metric of the worker in a PromQL expression exists, with these labels."""
    for name, selector in re.findall(r"\b(stt_\w+)\s*(\{[^}]*\})?", expression):
        base = next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), name)
        found = name if name in known else base
        if found not in known:
            raise AssertionError(f"no metric {name} in docs/operations.md: {expression}")
        labels = set(re.findall(r"(\w+)\s*[=!]~?", selector))
        unknown = labels - known[found] - ADDED
        if unknown:
            raise AssertionError(f"{name} has no labels {unknown}: {expression}")
    grouped = re.findall(r"\b(?:by|on|without)\s*\(([^)]*)\)", expression)
    labels = {label.strip() for group in grouped for label in group.split(",") if label.strip()}
    unknown = labels - set().union(*known.values()) - ADDED
    if unknown:
        raise AssertionError(f"no metric has labels {unknown}: {expression}")


class Metrics(unittest.TestCase):
    def test_the_table_is_that_of_the_code(self):
        code = set()
        for path in ["crates/pipeline/src/telemetry.rs", "bins/stt-worker/src/telemetry.rs"]:
            source = read(path).split("#[cfg(test)]")[0]
            code |= set(re.findall(r'"(stt_\w+)"', source))
        self.assertGreater(len(code), 40)
        self.assertEqual(code, set(metrics()))


class Alerts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rules = [rule for group in load("compose/prometheus/alerts.yml")["groups"] for rule in group["rules"]]
        cls.names = [rule["alert"] for rule in cls.rules]

    def test_promtool_accepts_rules_and_configuration(self):
        run("promtool", "check", "rules", "compose/prometheus/alerts.yml")
        run("promtool", "check", "config", "compose/prometheus/prometheus.yml")

    def test_metrics_and_labels_exist(self):
        for rule in self.rules:
            check_expression(rule["expr"], metrics())

    def test_the_check_sees_what_does_not_exist(self):
        for wrong in ["stt_jobs_done_total > 0", 'stt_jobs_failed_total{reason="x"}', "sum by (partition) (stt_jobs_open)"]:
            with self.assertRaises(AssertionError):
                check_expression(wrong, metrics())

    def test_each_has_a_severity_and_a_section_of_the_runbook(self):
        runbook = read("docs/operations.md").partition("\n## Runbook\n")[2].partition("\n## ")[0]
        sections = re.findall(r"^### (\w+)$", runbook, re.M)
        self.assertEqual(sections, self.names)
        for rule in self.rules:
            self.assertIn(rule["labels"]["severity"], {"page", "ticket", "info"})
            anchor = "/docs/operations.md#" + rule["alert"].lower()
            self.assertTrue(rule["annotations"]["runbook_url"].endswith(anchor), rule["alert"])

    def test_they_fire_when_they_should_and_at_no_other_time(self):
        table = load("compose/tests/alerts.yml")
        fired, tests = set(), []
        for scenario in table["scenarios"]:
            series = table["healthy"] | scenario.get("series", {})
            fired |= set(scenario["fires"])
            tests.append({
                "name": scenario["name"],
                "interval": "1m",
                "input_series": [{"series": with_target(name), "values": values} for name, values in series.items()],
                "promql_expr_test": [{
                    "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                    "eval_time": "89m",
                    "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(scenario["fires"])],
                }],
            })
        self.assertEqual(fired, set(self.names), "each alert fires in a scenario")
        rules = str(COMPOSE / "prometheus/alerts.yml")
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            yaml.safe_dump({"rule_files": [rules], "evaluation_interval": "1m", "tests": tests}, file)
            file.flush()
            run("promtool", "test", "rules", file.name)


class Dashboard(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dashboard = json.loads(read("compose/grafana/dashboards/stt-worker.json"))
        cls.panels = [panel for panel in cls.dashboard["panels"] if panel["type"] != "row"]

    def test_metrics_and_labels_exist_and_the_queries_are_promql(self):
        queries = [target["expr"] for panel in self.panels for target in panel["targets"]]
        self.assertGreater(len(queries), 20)
        rules = []
        for query in queries:
            check_expression(query, metrics())
            # Grafana puts values in place of its variables.
            plain = query.replace("$__rate_interval", "5m").replace("$instance", ".*")
            self.assertNotIn("$", plain)
            rules.append({"record": f"panel:query:{len(rules)}", "expr": plain})
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)
            file.flush()
            run("promtool", "check", "rules", file.name)

    def test_panels_have_ids_of_their_own_and_do_not_overlap(self):
        everything = self.dashboard["panels"]
        self.assertEqual(len({panel["id"] for panel in everything}), len(everything))
        cells = [(x, y) for panel in everything for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
                 for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])]
        self.assertEqual(len(set(cells)), len(cells))
        self.assertLess(max(x for x, _ in cells), 24)

    def test_grafana_is_given_the_data_source_and_the_folder(self):
        sources = load("compose/grafana/provisioning/datasources/prometheus.yml")["datasources"]
        self.assertIn("prometheus", [source["uid"] for source in sources])
        folder = load("compose/grafana/provisioning/dashboards/dashboards.yml")["providers"][0]["options"]["path"]
        mounts = [volume.split(":")[1] for volume in load("compose/compose.yml")["services"]["grafana"]["volumes"]]
        self.assertIn(folder, mounts)


def settings():
    """The environment variables that the worker knows."""
    table = set(re.findall(r"^\| `([A-Z][A-Z0-9_]+)` \|", read("docs/configuration.md"), re.M))
    assert len(table) > 40
    return table


def check_settings(names):
    unknown = {name for name in names if name not in settings() and not name.startswith("KAFKA_CONF_")} - {"POD_NAME"}
    if unknown:
        raise AssertionError(f"no settings of docs/configuration.md: {unknown}")


class Compose(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.file = load("compose/compose.yml")
        cls.services = cls.file["services"]
        lines = [line for line in read(".env").splitlines() if line and not line.startswith("#")]
        cls.env = dict(line.split("=", 1) for line in lines)

    def test_compose_finds_the_file_from_the_root(self):
        self.assertTrue((ROOT / self.env["COMPOSE_FILE"]).is_file())
        build = self.services["worker"]["build"]
        self.assertEqual((COMPOSE / build["context"]).resolve(), ROOT)
        self.assertTrue((ROOT / build["dockerfile"]).is_file())
        self.assertIn(f"AS {build['target']}\n", read(build["dockerfile"]))

    def test_images_have_versions_and_all_is_limited(self):
        for name, service in self.services.items():
            if not service["image"].startswith("localhost/"):
                self.assertRegex(service["image"], r"^docker\.io/[a-z/-]+:v?\d+\.\d+\.\d+$")
            self.assertEqual(service["cap_drop"], ["ALL"], name)
            self.assertIn("no-new-privileges:true", service["security_opt"], name)
            self.assertIn("mem_limit", service, name)
            self.assertIn("pids_limit", service, name)
            self.assertIn(service["restart"], {"unless-stopped", "on-failure"}, name)
            for port in service.get("ports", []):
                self.assertTrue(port.startswith("127.0.0.1:"), f"{name} is published to everybody")

    def test_the_worker_has_the_settings_that_it_knows(self):
        worker = self.services["worker"]
        check_settings(worker["environment"])
        for file in ["fixtures", "gpu"]:
            check_settings(load(f"compose/{file}.yml")["services"]["worker"]["environment"])
        self.assertTrue(worker["read_only"])
        self.assertEqual(seconds(worker["stop_grace_period"]), int(worker["environment"]["SHUTDOWN_GRACE_SEC"]) + 20)
        self.assertTrue(any(worker["environment"]["TMP_DIR"].startswith(mount.split(":")[0]) for mount in worker["tmpfs"]))
        self.assertIn("size=", worker["tmpfs"][0])
        self.assertIn("/readyz", worker["healthcheck"]["test"][-1])

    def test_every_variable_has_a_default_and_every_default_a_use(self):
        text = "".join(read(f"compose/{file}.yml") for file in ["compose", "fixtures", "gpu"])
        used = dict(re.findall(r"\$\{(\w+):?-?([^}]*)\}", text))
        self.assertEqual(set(self.env) - {"COMPOSE_FILE"}, set(used) - {"HF_TOKEN", "LOG_LEVEL"})
        for name, default in used.items():
            self.assertEqual(default, self.env.get(name, default), f"{name} has two defaults")

    def test_topics_are_those_of_the_worker(self):
        script = self.services["topics"]["entrypoint"][-1]
        defaults = re.findall(r"^\| `STT_\w+_TOPIC` \| `([^`]+)` \|", read("docs/configuration.md"), re.M)
        self.assertEqual(re.search(r"for topic in ([^;]*);", script).group(1).split(), defaults)
        self.assertIn("--partitions 6", script)

    def test_ports_are_the_defaults(self):
        page = read("docs/configuration.md")
        for name, port in [("METRICS_PORT", 9108), ("HEALTH_PORT", 8081)]:
            self.assertIn(f"| `{name}` | `{port}` |", page)
        self.assertEqual(load("compose/prometheus/prometheus.yml")["scrape_configs"][0]["dns_sd_configs"][0]["port"], 9108)
        self.assertIn("EXPOSE 8081 9108", read("compose/Dockerfile"))

    def test_the_collector_passes_traces_on(self):
        collector = load("compose/otel/collector.yml")
        for pipeline in collector["service"]["pipelines"].values():
            for part, names in pipeline.items():
                self.assertLessEqual(set(names), set(collector[part]))
        self.assertIn("jaeger", self.services)


def seconds(text):
    return int(text.removesuffix("s"))


class Image(unittest.TestCase):
    def test_hadolint_accepts_the_dockerfile(self):
        run(TOOLS / "hadolint", "compose/Dockerfile")

    def test_shellcheck_accepts_the_scripts(self):
        scripts = [path for path in COMPOSE.rglob("*") if path.is_file() and path.read_bytes()[:2] == b"#!"]
        self.assertGreaterEqual(len(scripts), 8)
        run("shellcheck", *scripts)

    def test_everything_that_the_image_needs_is_sent_to_the_builder(self):
        ignored = read(".dockerignore").splitlines()
        self.assertIn("*", ignored)
        for line in re.findall(r"^COPY ((?!--).*) \S+$", read("compose/Dockerfile"), re.M):
            for source in line.split():
                top = source.split("/")[0]
                self.assertTrue(source == "." or f"!{source}" in ignored or f"!{top}" in ignored, source)

    def test_the_plan_keeps_what_decides_about_dependencies(self):
        with tempfile.TemporaryDirectory() as place:
            for name in [".cargo", "Cargo.toml", "Cargo.lock", "crates", "bins"]:
                source, target = ROOT / name, pathlib.Path(place) / name
                shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
            run("compose/plan", place)
            kept = {str(path.relative_to(place)) for path in pathlib.Path(place).rglob("*") if path.is_file()}
            manifests = {str(path.relative_to(ROOT)) for path in [*ROOT.glob("crates/*/Cargo.toml"), *ROOT.glob("bins/*/Cargo.toml")]}
            self.assertLessEqual(manifests | {"Cargo.lock", ".cargo/native.cmake", "bins/stt-worker/src/main.rs"}, kept)
            self.assertEqual((pathlib.Path(place) / "bins/stt-worker/src/main.rs").read_text(), "fn main() {}\n")
            self.assertNotIn("bins/stt-worker/src/run.rs", kept)

    def test_ffmpeg_is_built_with_the_lists_of_the_code(self):
        names = re.search(r"^names\(\) \{\n(.*?)^\}", read("compose/ffmpeg"), re.M | re.S).group(1)
        script = f"formats=crates/audio/src/decode/formats.rs; names() {{ {names} }}; names DEMUXERS; names DECODERS"
        demuxers, decoders = run("bash", "-c", script).splitlines()
        code = re.findall(r"const (\w+): .*?\[\n(.*?)^\];", read("crates/audio/src/decode/formats.rs"), re.M | re.S)
        listed = {name: re.findall(r'^ *"(\w+)"', body, re.M) for name, body in code}
        self.assertEqual(demuxers.split(","), listed["DEMUXERS"])
        self.assertEqual(decoders.split(","), listed["DECODERS"])


class Service(unittest.TestCase):
    """The systemd unit of the Debian package."""

    @classmethod
    def setUpClass(cls):
        text = read("compose/debian/stt-worker.service")
        cls.unit = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))

    def test_it_has_the_time_to_stop(self):
        grace = re.search(r"^\| `SHUTDOWN_GRACE_SEC` \| `(\d+)` \|", read("docs/configuration.md"), re.M).group(1)
        self.assertEqual(int(self.unit["TimeoutStopSec"]), int(grace) + 20)

    def test_settings_are_those_of_the_worker(self):
        names = re.findall(r"^(\w+)=", read("compose/debian/stt-worker.env"), re.M)
        names += re.findall(r"(\w+)=", self.unit["Environment"])
        self.assertGreater(len(names), 5)
        check_settings(names)

    def test_bad_settings_are_not_tried_again(self):
        self.assertEqual(self.unit["RestartPreventExitStatus"], "2")
        self.assertIn("| 2 | bad settings", read("docs/operations.md"))

    @unittest.skipUnless(shutil.which("systemd-analyze"), "systemd is not here")
    def test_systemd_accepts_it(self):
        with tempfile.TemporaryDirectory() as place:
            unit = pathlib.Path(place) / "stt-worker.service"
            unit.write_text(read("compose/debian/stt-worker.service").replace("/usr/bin/stt-worker", "/bin/true"))
            done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
            self.assertEqual(done.stderr, "")


class Kubernetes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.files = sorted((COMPOSE / "tests/rendered").glob("*.yaml"))
        cls.sets = {path.stem: [part for part in yaml.safe_load_all(path.read_text()) if part] for path in cls.files}

    def one(self, name, *kinds):
        found = [part for part in self.sets[name] if part["kind"] in kinds]
        self.assertEqual(len(found), 1, f"{kinds} in {name}")
        return found[0]

    def workloads(self):
        for name in self.sets:
            workload = self.one(name, "Deployment", "StatefulSet")
            yield name, workload, workload["spec"]["template"]["spec"], workload["spec"]["template"]["spec"]["containers"][0]

    def test_what_is_checked_here_is_what_the_sources_make(self):
        hashed = subprocess.run(["bash", "-c", re.search(r"^hash=\$\((.*)\)$", read("compose/tests/render"), re.M).group(1)],
                                cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
        for path in self.files:
            self.assertIn(hashed, path.read_text().splitlines()[0], f"{path.name} is old: make render")
        rule = load("compose/k8s/components/monitoring/prometheusrule.yaml")
        self.assertEqual(rule["spec"], load("compose/prometheus/alerts.yml"), "make render")

    @unittest.skipUnless(shutil.which("helm") and shutil.which("kustomize"), "helm and kustomize are not here")
    def test_rendering_again_gives_the_same(self):
        with tempfile.TemporaryDirectory() as place:
            run("compose/tests/render", place)
            for path in self.files:
                self.assertEqual((pathlib.Path(place) / path.name).read_text(), path.read_text(), path.name)
        run("helm", "lint", "--strict", "compose/helm")

    def test_manifests_are_those_of_kubernetes(self):
        checked = 0
        for name, parts in self.sets.items():
            for part in parts:
                if part["apiVersion"].split("/")[0] in {"monitoring.coreos.com", "keda.sh"}:
                    continue  # their schemas are their operators'; see the tests below
                for version in ["1.27", "1.37"]:
                    kubernetes_validate.validate(part, version, strict=True)
                    checked += 1
        self.assertGreater(checked, 60)

    def test_the_validation_sees_faults(self):
        broken = json.loads(json.dumps(self.one("helm-default", "Deployment")))
        broken["spec"]["template"]["spec"]["terminationGracePeriod"] = 1
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(broken, "1.37", strict=True)

    def test_workers_are_confined(self):
        for name, _, pod, _ in self.workloads():
            self.assertTrue(pod["securityContext"]["runAsNonRoot"])
            self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
            self.assertFalse(pod["automountServiceAccountToken"])
            for each in [*pod["containers"], *pod.get("initContainers", [])]:
                self.assertEqual(each["securityContext"], {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                                           "capabilities": {"drop": ["ALL"]}}, name)

    def test_probes_are_those_of_the_health_page(self):
        page = read("docs/operations.md")
        for _, _, _, container in self.workloads():
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            self.assertEqual(ports, {"health": 8081, "metrics": 9108})
            for probe, path in [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]:
                self.assertEqual(container[probe]["httpGet"], {"path": path, "port": "health"})
                self.assertIn(f"| `{path}` |", page)

    def test_pods_are_given_the_time_to_stop(self):
        for name, _, pod, container in self.workloads():
            grace = float(self.environment(name, container)["SHUTDOWN_GRACE_SEC"])
            self.assertEqual(pod["terminationGracePeriodSeconds"], -(-grace // 1) + 20, name)

    def environment(self, name, container):
        wanted = [source["configMapRef"]["name"] for source in container["envFrom"] if "configMapRef" in source]
        maps = [part["data"] for part in self.sets[name] if part["kind"] == "ConfigMap" and part["metadata"]["name"] in wanted]
        self.assertEqual(len(maps), 1, f"{name}: the settings")
        return maps[0] | {each["name"]: each.get("value") for each in container.get("env", [])}

    def test_settings_are_those_of_the_worker(self):
        for name, _, _, container in self.workloads():
            check_settings(self.environment(name, container))

    def test_volumes_are_there(self):
        for name, workload, pod, container in self.workloads():
            volumes = {volume["name"] for volume in pod["volumes"]}
            volumes |= {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
            self.assertEqual({mount["name"] for mount in container["volumeMounts"]}, volumes, name)
            mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
            self.assertEqual(mounts, {"/models", "/tmp"})

    def test_members_of_a_statefulset_keep_their_names(self):
        found = 0
        for name, workload, _, container in self.workloads():
            environment = self.environment(name, container)
            stateful = workload["kind"] == "StatefulSet"
            found += stateful
            self.assertEqual("KAFKA_CONF_GROUP_INSTANCE_ID" in environment, stateful, name)
            if stateful:
                self.assertEqual((environment["KAFKA_CONF_GROUP_INSTANCE_ID"], environment["TRANSACTIONAL_ID"]), ("$(POD_NAME)",) * 2)
                self.assertEqual(environment["DELIVERY_GUARANTEE"], "exactly-once")
                self.assertEqual(self.one(name, "Service")["metadata"]["name"], workload["spec"]["serviceName"])
        self.assertEqual(found, 2)

    def test_selectors_find_the_pods(self):
        for name, workload, _, _ in self.workloads():
            labels = workload["spec"]["template"]["metadata"]["labels"]
            selectors = [workload["spec"]["selector"]["matchLabels"], self.one(name, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
                         self.one(name, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]]
            selectors += [part["spec"]["selector"]["matchLabels"] for part in self.sets[name] if part["kind"] == "PodMonitor"]
            selectors += [part["spec"]["selector"] for part in self.sets[name] if part["kind"] == "Service"]
            for selector in selectors:
                self.assertLessEqual(selector.items(), labels.items(), name)
            self.assertEqual(labels["app.kubernetes.io/name"], "stt-worker")

    def test_the_way_out_leads_to_public_addresses_only(self):
        closed = ["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
                  "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"]
        edges = [str(edge) for net in map(ipaddress.ip_network, closed) for edge in (net[0], net[-1])]
        private = [*edges, "169.254.169.254", "168.63.129.16", "::1", "fd00:ec2::254", "fe80::1", "64:ff9b::a00:1",
                   "2002:a00:1::", "2001:0:a00:1::"]
        public = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "192.169.0.1", "2606:4700::1111", "2a00:1450::1"]
        for name in self.sets:
            policy = self.one(name, "NetworkPolicy")["spec"]
            self.assertEqual(set(policy["policyTypes"]), {"Ingress", "Egress"})
            rules = [(ipaddress.ip_network(to["ipBlock"]["cidr"]), [ipaddress.ip_network(net) for net in to["ipBlock"]["except"]])
                     for rule in policy["egress"] for to in rule["to"] if "ipBlock" in to]
            for text in private + public:
                address = ipaddress.ip_address(text)
                opened = any(address in net and not any(address in other for other in closed)
                             for net, closed in rules if net.version == address.version)
                self.assertEqual(opened, text in public, f"{name}: {text}")
            audio = next(rule for rule in policy["egress"] if "ipBlock" in rule["to"][0])
            self.assertEqual([port["port"] for port in audio["ports"]], [80, 443])
            self.assertIn("| `AUDIO_URL_PORTS` | `80,443` |", read("docs/configuration.md"))

    def test_scaling_follows_the_workload_its_group_and_its_metrics(self):
        found = 0
        for name, workload, _, container in self.workloads():
            for scaled in [part for part in self.sets[name] if part["kind"] == "ScaledObject"]:
                found += 1
                target = scaled["spec"]["scaleTargetRef"]
                self.assertEqual((target.get("kind", "Deployment"), target["name"]), (workload["kind"], workload["metadata"]["name"]))
                triggers = {trigger["type"]: trigger["metadata"] for trigger in scaled["spec"]["triggers"]}
                self.assertEqual(triggers["kafka"]["bootstrapServers"], self.environment(name, container)["KAFKA_BOOTSTRAP_SERVERS"])
                self.assertEqual((triggers["kafka"]["topic"], triggers["kafka"]["consumerGroup"]), ("stt.jobs", "stt-worker"))
                for values in triggers.values():
                    self.assertTrue(all(isinstance(value, str) for value in values.values()), "KEDA takes text only")
                check_expression(triggers["prometheus"]["query"], metrics())
                if name.startswith("helm"):
                    self.assertNotIn("replicas", workload["spec"], "two would set the number")
        self.assertEqual(found, 3)

    def test_pods_are_scraped_at_their_metrics_as_the_job_of_the_alerts(self):
        found = 0
        for name, workload, _, _ in self.workloads():
            for monitor in [part for part in self.sets[name] if part["kind"] == "PodMonitor"]:
                found += 1
                self.assertEqual([endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]], ["metrics"])
                label = monitor["spec"]["jobLabel"]
                self.assertEqual(workload["spec"]["template"]["metadata"]["labels"][label], "stt-worker")
        self.assertEqual(found, 3)

    @unittest.skipUnless(shutil.which("helm"), "helm is not here")
    def test_the_chart_brings_rules_and_dashboard_whole(self):
        text = run("helm", "template", "stt", "compose/helm", "--kube-version", "1.33.0", "--set", "monitoring.prometheusRule=true",
                   "--set", "monitoring.dashboard=true")
        parts = {part["metadata"]["name"] + part["kind"]: part for part in yaml.safe_load_all(text) if part}
        self.assertEqual(parts["stt-stt-workerPrometheusRule"]["spec"], load("compose/prometheus/alerts.yml"))
        dashboard = parts["stt-stt-worker-dashboardConfigMap"]["data"]["stt-worker.json"]
        self.assertEqual(json.loads(dashboard), json.loads(read("compose/grafana/dashboards/stt-worker.json")))

    def test_the_charts_links_lead_to_rules_and_dashboard(self):
        self.assertEqual(read("compose/helm/files/alerts.yml"), read("compose/prometheus/alerts.yml"))
        self.assertEqual(read("compose/helm/files/dashboard.json"), read("compose/grafana/dashboards/stt-worker.json"))


def with_target(series):
    """The labels that a scrape adds."""
    name, _, labels = series.partition("{")
    labels = [label for label in [labels.rstrip("}")] if label]
    added = [*labels, 'instance="10.0.0.1:9108"', 'job="stt-worker"']
    return name + "{" + ",".join(added) + "}"


if __name__ == "__main__":
    unittest.main(verbosity=2)

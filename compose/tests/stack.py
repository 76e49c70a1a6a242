"""compose/compose.yml, run by podman-compose with the model and clips of fixtures/: a real Apache Kafka in a container, the topics,
the worker, and Prometheus that scrapes it. `make test-compose` runs this; compose/local/base-image makes the images where no
registry is reached."""

import json
import os
import pathlib
import subprocess
import sys
import time
import unittest
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from image import RESULT_KEYS, ROOT, free_port, podman, wait_for  # noqa: E402

PROJECT = "stt-worker-test"
PORTS = {name: str(free_port()) for name in ["KAFKA_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT", "JAEGER_PORT"]}
ENVIRONMENT = {
    **os.environ,
    **PORTS,
    "COMPOSE_FILE": "compose/compose.yml:compose/fixtures.yml",
    "CONTAINERS_CONF": os.environ.get("CONTAINERS_CONF", str(ROOT / "compose/local/containers.conf")),
}


def compose(*arguments, check=True):
    command = [str(pathlib.Path(sys.executable).parent / "podman-compose"), "-p", PROJECT, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=180, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def container(service):
    return f"{PROJECT}_{service}_1"


def inside(*command, code=0):
    done = podman("exec", container("worker"), *command, check=False)
    if done.returncode != code:
        logs = podman("logs", container("worker"), check=False)
        raise AssertionError(f"{command}: exit code {done.returncode}\n{done.stdout}{done.stderr}\n{logs.stderr}")
    return done.stdout


def healthy(service):
    """By the health check that the file names."""
    return podman("healthcheck", "run", container(service), check=False).returncode == 0


class TheStack(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        os.environ["CONTAINERS_CONF"] = ENVIRONMENT["CONTAINERS_CONF"]
        compose("down", "--volumes", check=False)
        cls.addClassCleanup(compose, "down", "--volumes", check=False)
        # In turn, as podman before 4.6 waits for no health check.
        compose("up", "--detach", "--no-build", "kafka")
        wait_for("kafka is healthy", 60, lambda: healthy("kafka"))
        compose("up", "--detach", "--no-build", "--no-deps", "topics")
        code = podman("wait", container("topics")).stdout.strip()
        assert code == "0", podman("logs", container("topics")).stderr
        began = time.monotonic()
        compose("up", "--detach", "--no-build", "--no-deps", "worker", "prometheus")
        wait_for("the worker is healthy", 60, lambda: healthy("worker"))
        print(f"the worker was healthy after {time.monotonic() - began:.1f} s")

    def test_the_topics_have_six_partitions(self):
        topics = podman("exec", container("kafka"), "/opt/kafka/bin/kafka-topics.sh", "--bootstrap-server", "kafka:19092", "--describe").stdout
        for topic in ["stt.jobs", "stt.results", "stt.jobs.dlq"]:
            self.assertRegex(topics, rf"Topic: {topic}\s+.*PartitionCount: 6\b")

    def test_a_job_that_is_produced_within_the_container_comes_back(self):
        text = inside("stt-produce", "--audio-file", "/fixtures/audio/en-009.flac", "--format", "json")
        result = json.loads(text)
        self.assertEqual(list(result), RESULT_KEYS)
        self.assertEqual((result["status"], result["transcriptText"]), ("COMPLETED", "Call Meera at nine o'clock."))
        again = inside("stt-consume", "--from-beginning", "--job-id", result["jobId"], "--max-messages", "1", "--timeout", "20")
        self.assertEqual(json.loads(again), result)

    def test_the_worker_is_confined_as_the_file_says(self):
        about = json.loads(podman("inspect", container("worker")).stdout)[0]
        host = about["HostConfig"]
        self.assertTrue(host["ReadonlyRootfs"])
        self.assertEqual((host["Memory"], host["PidsLimit"]), (3 << 30, 256))
        self.assertIn("no-new-privileges", host["SecurityOpt"])
        self.assertFalse(about["EffectiveCaps"])
        self.assertIn("size=256m", host["Tmpfs"]["/tmp"])
        inside("sh", "-c", "! touch /usr/local/bin/x 2> /dev/null && touch /tmp/x && rm /tmp/x")
        self.assertNotIn("the kernel lacks", podman("logs", container("worker")).stderr)

    def test_prometheus_finds_the_worker_and_has_its_alerts(self):
        inside("stt-produce", "--audio-file", "/fixtures/audio/mr-008.wav", "--format", "json")

        def ask(path, **query):
            url = f"http://127.0.0.1:{PORTS['PROMETHEUS_PORT']}/api/v1/{path}?{urllib.parse.urlencode(query)}"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)["data"]

        def completed():
            found = ask("query", query='sum(stt_jobs_completed_total{job="stt-worker"})')["result"]
            return found and float(found[0]["value"][1]) >= 1

        wait_for("a scrape", 60, completed)
        rules = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
        self.assertGreaterEqual(len(rules), 20)
        self.assertEqual({rule["health"] for rule in rules} - {"unknown"}, {"ok"})


if __name__ == "__main__":
    unittest.main(verbosity=2)

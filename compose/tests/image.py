"""The container image, run by podman as unprivileged as compose/compose.yml and Kubernetes run it, against a real Kafka.

`make test-image` runs this. IMAGE names the image, KAFKA_COMMAND the program that runs Kafka on a port given as its argument
(`make kafka` by default).
"""

import json
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.request
import wave

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMAGE = os.environ.get("IMAGE", "localhost/stt-worker:latest")
SIZE_MAX_MB = 250
RESULT_KEYS = ["jobId", "taskId", "status", "transcriptText", "detectedLanguage", "confidence", "engine", "modelVersion",
               "errorCode", "errorMessage", "completedAt", "correlationId"]
# As in compose/compose.yml; the network is the host's, since Kafka listens on loopback.
LIMITS = ["--read-only", "--read-only-tmpfs=false", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
          "--pids-limit", "256", "--memory", "3g", "--tmpfs", "/tmp:rw,nosuid,nodev,noexec,size=256m,mode=1777",
          "--network", "host"]


def podman(*arguments, check=True, timeout=120):
    done = subprocess.run(["podman", *arguments], capture_output=True, text=True, timeout=timeout, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"podman {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(what, seconds, probe):
    until = time.monotonic() + seconds
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.2)


class Kafka:
    """A real Apache Kafka with the worker's topics."""

    def __init__(self):
        self.port = free_port()
        self.servers = f"127.0.0.1:{self.port}"
        command = os.environ.get("KAFKA_COMMAND")
        command = [command, str(self.port)] if command else ["make", "--no-print-directory", "kafka", f"KAFKA_PORT={self.port}"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if "Apache Kafka is at" in line:
                return
        raise AssertionError(f"{command} ended with {self.process.wait()}")

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.process.stdout.close()


class Worker:
    """A container with a worker, the fixture model and the clips."""

    def __init__(self, servers, *options):
        self.health, self.metrics = free_port(), free_port()
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": servers,
            "MODEL_SIZE": "/fixtures/model",
            "AUDIO_URL_ALLOW": "127.0.0.1/32",
            "HEALTH_PORT": self.health,
            "METRICS_PORT": self.metrics,
            "LOG_LEVEL": "info",
        }
        environment = [part for name, value in settings.items() for part in ("--env", f"{name}={value}")]
        volumes = ["--volume", f"{ROOT}/fixtures:/fixtures:ro"]
        self.id = podman("run", "--detach", *LIMITS, *options, *environment, *volumes, IMAGE).stdout.strip()

    def ready(self):
        def probe():
            state = podman("inspect", "--format", "{{.State.Status}}", self.id).stdout.strip()
            if state != "running":
                raise AssertionError(f"the container is {state}:\n{self.log()}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.health}/readyz", timeout=5) as answer:
                    return answer.status == 200
            except OSError:
                return False

        wait_for("ready", 60, probe)

    def run(self, *command, code=0, timeout=120):
        done = podman("exec", self.id, *command, check=False, timeout=timeout)
        if done.returncode != code:
            raise AssertionError(f"{command}: exit code {done.returncode}, not {code}\n{done.stdout}{done.stderr}\n{self.log()}")
        return done.stdout

    def log(self):
        done = podman("logs", self.id)
        return done.stdout + done.stderr

    def processes(self):
        """The status of each process of the container, as the kernel tells it."""
        text = self.run("bash", "-c", "for p in /proc/[0-9]*; do cat $p/status 2> /dev/null; echo; done")
        each = [dict(re.findall(r"^(\w+):\s*(.*)$", block, re.M)) for block in text.split("\n\n")]
        return [status for status in each if status]

    def remove(self):
        podman("rm", "--force", "--time", "0", self.id)


class TheImage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.about = json.loads(podman("image", "inspect", IMAGE).stdout)[0]

    def test_is_small(self):
        size = self.about["Size"] / 1e6
        print(f"{IMAGE}: {size:.0f} MB")
        self.assertLessEqual(size, SIZE_MAX_MB)

    def test_starts_the_worker_without_a_shell_and_not_as_root(self):
        config = self.about["Config"]
        self.assertEqual(config["Entrypoint"], ["stt-worker"])
        self.assertRegex(config["User"], r"^[1-9]\d*:[1-9]\d*$")

    def test_says_what_it_is(self):
        labels = self.about["Labels"]
        for name in ["title", "description", "source", "licenses", "version", "revision", "created", "base.name"]:
            self.assertTrue(labels.get(f"org.opencontainers.image.{name}"), name)
        version = podman("run", "--rm", *LIMITS, IMAGE, "--version").stdout.split()[1]
        self.assertEqual(labels["org.opencontainers.image.version"], version)

    def test_holds_the_tools_and_a_bill_of_materials(self):
        for tool in ["stt-produce", "stt-consume"]:
            self.assertIn("Usage", podman("run", "--rm", *LIMITS, "--entrypoint", tool, IMAGE, "--help").stdout)
        for place in ["stt-worker", "ffmpeg"]:
            path = f"/usr/local/share/doc/{place}/sbom.cdx.json"
            bill = json.loads(podman("run", "--rm", *LIMITS, "--entrypoint", "cat", IMAGE, path).stdout)
            self.assertEqual(bill["bomFormat"], "CycloneDX")
            names = {component["name"] for component in bill["components"]}
            self.assertLessEqual({"ffmpeg"} if place == "ffmpeg" else {"rdkafka", "OpenNMT/CTranslate2", "onednn-src"}, names)

    def test_links_every_library_that_it_needs(self):
        needs = podman("run", "--rm", *LIMITS, "--entrypoint", "ldd", IMAGE, "/usr/local/bin/stt-worker").stdout
        self.assertNotIn("not found", needs)
        self.assertIn("/usr/local/lib/libavcodec.so.59", needs)

    def test_reports_bad_settings(self):
        done = podman("run", "--rm", *LIMITS, "--env", "BATCH_SIZE=many", IMAGE, "--check", check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("BATCH_SIZE", done.stderr)


class AWorkerInIt(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.kafka = Kafka()
        cls.addClassCleanup(cls.kafka.stop)
        cls.worker = Worker(cls.kafka.servers)
        cls.addClassCleanup(cls.worker.remove)
        cls.worker.ready()

    def produce(self, file, *options, code=0):
        text = self.worker.run("stt-produce", "--audio-file", file, "--format", "json", *options, code=code)
        return json.loads(text)

    def test_transcribes_a_job_that_is_produced_within_the_container(self):
        result = self.produce("/fixtures/audio/mr-008.wav", "--language-hint", "mr-IN")
        self.assertEqual(list(result), RESULT_KEYS)
        self.assertEqual(result["status"], "COMPLETED")
        self.assertEqual(result["transcriptText"], "जॉन बँक मध्ये आहे.")
        self.assertEqual((result["detectedLanguage"], result["engine"]), ("mr", "faster-whisper"))
        self.assertIsNone(result["errorCode"])
        again = self.worker.run("stt-consume", "--from-beginning", "--job-id", result["jobId"], "--max-messages", "1",
                                "--timeout", "20")
        self.assertEqual(json.loads(again), result)

    def test_fails_what_is_no_audio_and_writes_a_dead_letter(self):
        result = self.produce("/fixtures/README.md", code=4)
        self.assertEqual((result["status"], result["errorCode"]), ("FAILED", "AUDIO_UNSUPPORTED_FORMAT"))
        letter = json.loads(self.worker.run("stt-consume", "--dlq", "--from-beginning", "--job-id", result["jobId"],
                                            "--max-messages", "1", "--timeout", "20"))
        self.assertEqual(letter["errorCode"], "AUDIO_UNSUPPORTED_FORMAT")

    def test_decodes_each_format_of_the_fixtures(self):
        clips = [clip for clip in sorted((ROOT / "fixtures/audio").glob("en-0*")) if clip.is_file()]
        self.assertGreaterEqual(len({clip.suffix for clip in clips}), 8)
        files = [part for clip in clips for part in ("--audio-file", f"/fixtures/audio/{clip.name}")]
        lines = self.worker.run("stt-produce", *files, "--format", "json").splitlines()
        self.assertEqual({json.loads(line)["status"] for line in lines}, {"COMPLETED"})
        self.assertEqual(len(lines), len(clips))

    def test_keeps_a_large_download_in_its_tmpfs(self):
        with tempfile.TemporaryDirectory() as place:
            path = pathlib.Path(place) / "long.wav"
            with wave.open(str(path), "wb") as audio:
                audio.setparams((1, 2, 48_000, 0, "NONE", ""))
                audio.writeframes(bytes(2 * 48_000 * 110))  # 10.6 MB of silence; over 8 MiB go to TMP_DIR
            podman("exec", "--interactive", self.worker.id, "true")
            with path.open("rb") as audio:
                subprocess.run(["podman", "exec", "--interactive", self.worker.id, "bash", "-c", "cat > /tmp/long.wav"],
                               stdin=audio, check=True)
        result = self.produce("/tmp/long.wav")
        self.assertEqual((result["status"], result["transcriptText"]), ("COMPLETED", ""))
        self.worker.run("rm", "/tmp/long.wav")

    def test_shuts_its_decoders_in(self):
        self.produce("/fixtures/audio/en-009.flac")
        decoders = [status for status in self.worker.processes() if status["Name"] == "stt-decode"]
        self.assertTrue(decoders, "no decoder waits for its next job")
        worker = next(status for status in self.worker.processes() if status["Name"] == "stt-worker")
        for status in decoders:
            self.assertEqual(status["Seccomp"], "2")  # a filter
            # The worker's own filter comes on top of the container's.
            self.assertEqual(int(status["Seccomp_filters"]), int(worker["Seccomp_filters"]) + 1)
            self.assertEqual(status["NoNewPrivs"], "1")
            self.assertEqual(int(status["CapEff"], 16), 0)
            self.assertEqual(int(status["CapBnd"], 16), 0)
            self.assertNotIn("0", status["Uid"].split())
        # It warns when seccomp or Landlock are missing; see the next test.
        self.assertNotIn("the kernel lacks", self.worker.log())

    def test_says_when_the_container_has_no_landlock(self):
        profile = json.loads(pathlib.Path("/usr/share/containers/seccomp.json").read_text())
        for rule in profile["syscalls"]:
            rule["names"] = [name for name in rule["names"] if not name.startswith("landlock_")]
        profile["syscalls"] = [rule for rule in profile["syscalls"] if rule["names"]]
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(profile, file)
            file.flush()
            worker = Worker(self.kafka.servers, "--security-opt", f"seccomp={file.name}", "--env", "KAFKA_GROUP_ID=without-landlock")
            self.addCleanup(worker.remove)
            worker.ready()
            # Both groups do the job; what counts is this worker's log.
            self.produce("/fixtures/audio/en-009.flac")
            wait_for("a warning about Landlock", 20, lambda: re.search("the kernel lacks.*Landlock", worker.log()))

    def test_serves_metrics_that_prometheus_reads(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.worker.metrics}/metrics", timeout=5) as answer:
            text = answer.read()
        self.assertIn(b"stt_jobs_received_total", text)
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
        # 1 is a parsing error, 3 an opinion about names.
        self.assertIn(done.returncode, (0, 3), done.stderr.decode())

    def test_stays_within_its_limits(self):
        stats = json.loads(podman("stats", "--no-stream", "--format", "json", self.worker.id).stdout)[0]
        print(f"worker with the fixture model: {stats['pids']} tasks, {stats['mem_usage']}")
        self.assertLess(int(stats["pids"]), 128)

    def test_z_stops_in_order_within_its_grace(self):
        began = time.monotonic()
        podman("stop", "--time", "45", self.worker.id)
        self.assertLess(time.monotonic() - began, 15)
        self.assertEqual(podman("inspect", "--format", "{{.State.ExitCode}}", self.worker.id).stdout.strip(), "0")
        self.assertIn("stopped:", self.worker.log())


if __name__ == "__main__":
    os.environ.setdefault("CONTAINERS_CONF", str(ROOT / "compose/local/containers.conf"))
    unittest.main(verbosity=2)

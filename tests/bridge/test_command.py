"""`ctl bridge` as a person or a program meets it: a process of its own, with what it prints and how it ends."""

from __future__ import annotations

import asyncio
import datetime
import fcntl
import io
import ipaddress
import json
import os
import pty
import re
import signal
import ssl
import struct
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cloud_standin import EMAIL, KEY, PASSWORD, Cloud, cloud_server, token
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from model_standin import model_server
from samples import REPOSITORY
from scene import run
from test_running import NGROK, agent, environment, is_gone

from ctl.__main__ import run as main


class Command:
    """The program at work in a folder of its own."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(REPOSITORY),
            "CTL_BRIDGE_PASSWORD": PASSWORD,
            **variables,
        }
        self.said = b""

    @asynccontextmanager
    async def __call__(self, *words: str, terminal: int | None = None) -> AsyncIterator[asyncio.subprocess.Process]:
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "ctl", "bridge", *words),
            cwd=self.folder,
            env=self.variables,
            stdin=asyncio.subprocess.DEVNULL if terminal is None else terminal,
            stdout=pipe,
            stderr=asyncio.subprocess.STDOUT if terminal is None else terminal,
        )
        try:
            yield self.process
        finally:
            if self.process.returncode is None:
                self.process.kill()
            await self.process.wait()

    async def until(self, text: str) -> None:
        assert self.process.stdout
        while text.encode() not in self.said:
            line = await self.process.stdout.readline()
            assert line, self.said.decode()
            self.said += line

    async def end(self, sign: int | None = None) -> tuple[int, str]:
        """The exit code, and all that was said."""
        if sign is not None:
            self.process.send_signal(sign)
        assert self.process.stdout
        self.said += await self.process.stdout.read()
        code = await self.process.wait()
        said = self.said.decode()
        assert "Traceback" not in said and "never awaited" not in said and PASSWORD not in said, said
        return code, said


def words(cloud: Cloud, url: str, *more: str) -> list[str]:
    return ["--to", cloud.base, "--api", cloud.base, "--ollama", url, "--email", EMAIL, *more]


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_line_for_each_change_until_ctrl_c(tmp_path: Path, sign: int) -> None:
    async def work() -> None:
        ctl = Command(tmp_path)
        async with cloud_server() as cloud, model_server() as model, ctl(*words(cloud, model.url)):
            await ctl.until("in use: the cloud")
            await ctl.end(sign)
            code, said = await ctl.end()
            assert code == 130
            lines = [re.sub(r"^\d\d:\d\d:\d\d  ", "", line) for line in said.splitlines()]
            assert lines[:-1] == [
                f"the model server answers: {model.url}",
                "in use: the local server",
                f"connected to {cloud.base}",
                "in use: the cloud",
            ]
            assert lines[-1].startswith("error: ")
            assert cloud.asked[-1] == "POST /auth/logout" and cloud.refresh == ""

    run(work)


def test_events_for_programs(tmp_path: Path) -> None:
    async def work() -> None:
        (tmp_path / ".env").write_text(f"CTL_BRIDGE_PASSWORD={PASSWORD}\n")
        ctl = Command(tmp_path)
        del ctl.variables["CTL_BRIDGE_PASSWORD"]
        async with (
            cloud_server() as cloud,
            model_server() as model,
            ctl(*words(cloud, model.url, "--json", "--listen", "127.0.0.1:0")),
        ):
            await ctl.until('"way": "cloud"')
            code, said = await ctl.end(signal.SIGINT)
        events = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        assert code == 130
        assert [event["event"] for event in events] == ["door", "local", "using", "connected", "using"]
        assert all(datetime.datetime.fromisoformat(event["at"]).tzinfo for event in events)

    run(work)


def test_a_refused_login_is_told(tmp_path: Path) -> None:
    async def work() -> None:
        ctl = Command(tmp_path)
        async with (
            cloud_server(Cloud(password="another-one")) as cloud,
            model_server() as model,
            ctl(*words(cloud, model.url)),
        ):
            code, said = await ctl.end()
        assert code == 5 and f"error: the login of {EMAIL} was refused" in said and "hint:" in said

    run(work)


def test_a_token_from_the_environment(tmp_path: Path) -> None:
    async def work() -> None:
        ctl = Command(tmp_path, CTL_BRIDGE_TOKEN=token())
        async with cloud_server() as cloud, model_server() as model:
            async with ctl("--to", cloud.base, "--api", cloud.base, "--ollama", model.url):
                await ctl.until("in use: the cloud")
                assert (await ctl.end(signal.SIGINT))[0] == 130
            assert "POST /auth/login" not in cloud.asked

    run(work)


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--to", "http://ai.example.com"], 2, "is not encrypted"),
        (["--to", "https://ai.example.com/chat"], 2, "has a path"),
        (["--to", "https://localhost"], 2, "--api"),
        (["--to", "ai.example.com", "--api", "http://api.example.com"], 2, "is not encrypted"),
        (["--to", "ai.example.com", "--ollama", "http://models.example.com"], 2, "is not encrypted"),
        (["--to", "ai.example.com", "--listen", "0.0.0.0:11435"], 2, "not an address of this machine alone"),
        (["--to", "ai.example.com", "--listen", "11435x"], 2, "is no address"),
        (["--to", "ai.example.com", "--ca", "nowhere.pem"], 2, "nowhere.pem"),
        (["--to", "ai.example.com", "--ca", "empty.pem"], 2, "no certificate"),
        (["--to", "ai.example.com"], 2, "who logs in?"),
        (["--to", "ai.example.com", "--email", EMAIL, "--ngrok"], 1, "ngrok is not installed"),
        (["--to", "ai.example.com", "--token-command", "exit 7"], 5, "ended with 7"),
        ([], 2, "--to"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    code: int,
    message: str,
) -> None:
    for name in [name for name in os.environ if name.startswith("CTL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.pem").write_text("")
    assert main(["bridge", *more]) == code
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("https://nowhere.invalid", "nowhere.invalid: the name is not known to the DNS, or this machine is offline"),
        ("https://127.0.0.1:9", "127.0.0.1:9: nothing listens there (connection refused)"),
    ],
)
def test_a_server_that_is_not_found_is_waited_for(tmp_path: Path, to: str, message: str) -> None:
    async def work() -> None:
        ctl = Command(tmp_path)
        async with ctl("--to", to, "--api", to, "--email", EMAIL, "--ollama", "http://127.0.0.1:9"):
            told = f"{message}; trying again"  # the model is not there either, and told of by itself
            await ctl.until(told)
            code, said = await ctl.end(signal.SIGINT)
            assert code == 130 and said.count(told) == 1  # not once for every attempt

    run(work)


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's certificate for 127.0.0.1 that is its own authority."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "cloud of the tests")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, KEY.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(KEY, hashes.SHA256())
    )
    pem, key = folder / "ca.pem", folder / "key.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    return context, pem


def test_a_certificate_that_is_not_trusted_and_one_that_is(tmp_path: Path) -> None:
    async def work() -> None:
        context, pem = certificate(tmp_path)
        async with cloud_server(tls=context) as cloud, model_server() as model:
            ctl = Command(tmp_path)
            async with ctl(*words(cloud, model.url)):
                code, said = await ctl.end()
                assert code == 5 and "its certificate is not trusted" in said and "--ca FILE" in said
            ctl = Command(tmp_path)
            async with ctl(*words(cloud, model.url, "--ca", str(pem))):
                await ctl.until("in use: the cloud")  # https and wss
                exchange = await cloud.ask("GET", "/api/version")
                assert (await exchange.head).status == 200
                assert (await ctl.end(signal.SIGINT))[0] == 130

    run(work)


def test_a_server_that_does_not_speak_tls(tmp_path: Path) -> None:
    async def work() -> None:
        ctl = Command(tmp_path)
        async with cloud_server() as cloud, model_server() as model:
            to = cloud.base.replace("http:", "https:")
            async with ctl("--to", to, "--api", to, "--email", EMAIL, "--ollama", model.url):
                await ctl.until("it does not speak TLS as it should")
                assert (await ctl.end(signal.SIGINT))[0] == 130

    run(work)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_ngrok_ends_with_us(tmp_path: Path, sign: int) -> None:
    async def work() -> None:
        file = tmp_path / "ngrok.json"
        path = f"{Path(NGROK).parent}:{os.environ['PATH']}"
        ctl = Command(tmp_path, **{**environment(file), "PATH": path})
        async with cloud_server(Cloud(refuses={"/ws/desktop": 502})) as cloud, model_server() as model:
            async with ctl(*words(cloud, model.url, "--ngrok")):
                await ctl.until("in use: the ngrok tunnel")
                ctl.process.send_signal(sign)
                await ctl.process.wait()
            while not is_gone(agent(file)["pid"]):
                await asyncio.sleep(0.05)
            if sign == signal.SIGINT:
                assert cloud.tunnels[-1] is None

    run(work)


@pytest.mark.parametrize("columns", [40, 100])
def test_the_view_on_a_terminal(tmp_path: Path, columns: int) -> None:
    async def work() -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        seen = bytearray()
        loop = asyncio.get_running_loop()
        loop.add_reader(ours, lambda: seen.extend(os.read(ours, 65536)))
        ctl = Command(tmp_path, TERM="xterm")
        del ctl.variables["CTL_BRIDGE_PASSWORD"]
        async with (
            cloud_server() as cloud,
            model_server() as model,
            ctl("--to", cloud.base, "--api", cloud.base, "--ollama", model.url, terminal=theirs),
        ):
            for question, answer in ((b"E-mail: ", EMAIL), (b"Password: ", PASSWORD)):
                while question not in seen:
                    await asyncio.sleep(0.02)
                await asyncio.sleep(0.2)
                os.write(ours, f"{answer}\n".encode())
            assert await (await cloud.ask("GET", "/v1/models")).rest()
            while b"1 request" not in seen:
                await asyncio.sleep(0.05)
            ctl.process.send_signal(signal.SIGINT)
            assert await ctl.process.wait() == 130
        loop.remove_reader(ours)
        os.close(ours)
        os.close(theirs)
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
        assert "in use" in text and "the cloud" in text and PASSWORD not in text and "Traceback" not in text
        assert max(len(line.rstrip("\r")) for line in text.splitlines() if "E-mail" not in line) <= columns

    run(work)

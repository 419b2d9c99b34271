"""A small Hugging Face hub on loopback: what huggingface_hub asks of one."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

COMMIT = 40 * "a"
LARGE = (".safetensors",)  # what the hub keeps as LFS objects


class Hub(ThreadingHTTPServer):
    """Its state: files of each repository by name, and whether that is private."""

    def __init__(self, token: str):
        super().__init__(("127.0.0.1", 0), Handler)
        self.token = token
        self.files: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.objects: dict[str, bytes] = {}
        self.messages: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_):
        pass

    def answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def answer_json(self, content) -> None:
        self.answer(200, json.dumps(content).encode(), Content_Type="application/json")

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_PUT(self) -> None:
        content = self.body()
        assert hashlib.sha256(content).hexdigest() == self.path.removeprefix("/objects/")
        self.server.objects[self.path.removeprefix("/objects/")] = content
        self.answer(200)

    def do_POST(self) -> None:
        body = self.body()
        if self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self.answer(401, b"{}", X_Error_Message="Invalid username or password.")
        elif self.path == "/api/repos/create":
            wanted = json.loads(body)
            repo = f"{wanted['organization']}/{wanted['name']}"
            self.server.files.setdefault(repo, {})
            # The client says it as `private` or as `visibility`, by its version.
            visible = wanted.get("visibility", "private" if wanted.get("private") else "public")
            self.server.private.setdefault(repo, visible == "private")
            self.answer_json({"url": f"{self.server.address}/{repo}", "id": repo, "name": repo})
        elif self.path == "/api/validate-yaml":
            self.answer_json({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            files = [
                {
                    "path": each["path"],
                    "uploadMode": "lfs" if each["path"].endswith(LARGE) else "regular",
                    "shouldIgnore": False,
                }
                for each in json.loads(body)["files"]
            ]
            self.answer_json({"files": files})
        elif self.path.endswith("/info/lfs/objects/batch"):
            objects = [
                {
                    **each,
                    "actions": {"upload": {"href": f"{self.server.address}/objects/{each['oid']}"}},
                }
                for each in json.loads(body)["objects"]
            ]
            self.answer_json({"transfer": "basic", "objects": objects})
        elif "/commit/" in self.path:
            repo = "/".join(self.path.split("/")[3:5])
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "header":
                    self.server.messages.append(value["summary"])
                elif line["key"] == "file":
                    assert value["encoding"] == "base64"
                    self.server.files[repo][value["path"]] = base64.b64decode(value["content"])
                else:
                    content = self.server.objects[value["oid"]]
                    self.server.files[repo][value["path"]] = content
            url = f"{self.server.address}/{repo}/commit/{COMMIT}"
            self.answer_json({"success": True, "commitOid": COMMIT, "commitUrl": url})
        else:
            self.answer(404)

    def do_GET(self) -> None:
        """A file: /owner/name/resolve/revision/path; of `main` and of the commit alike."""
        _, owner, name, verb, revision, *path = self.path.split("/")
        content = self.server.files.get(f"{owner}/{name}", {}).get("/".join(path))
        if verb != "resolve" or content is None or revision not in ("main", COMMIT):
            self.answer(404, X_Error_Code="EntryNotFound")
            return
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        self.answer(200, content, ETag=etag, X_Repo_Commit=COMMIT)

    do_HEAD = do_GET


@contextmanager
def hub(token: str = "hf_secret") -> Iterator[Hub]:
    """A hub that runs until the block ends; this token may write to it."""
    with Hub(token) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()

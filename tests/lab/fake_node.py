"""A node that answers as it is told: what real ones do but rarely."""

import http.server
import json
import threading


class FakeNode:
    """`script` is a list of answers, one a request, each a dict of

      status, members, headers   what to say
      silent                     True: to take the request and hang up without a word
      slow_s                     to wait before that

    When it is at its end: 200 with the value "ok". `asked` is what came: (verb, path, members).
    """

    def __init__(self, *script):
        self.script = list(script)
        self.asked = []
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                fake.asked.append((self.command, self.path, json.loads(body) if body else None))
                fake.answer(self)

            do_GET = do_PUT = do_DELETE = handle_any

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # a client that did not wait
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        self.halted = threading.Event()
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.halted.set()
        self.server.shutdown()
        self.server.server_close()

    def answer(self, handler):
        step = self.script.pop(0) if self.script else {}
        self.halted.wait(step.get("slow_s", 0))
        if step.get("silent"):
            handler.close_connection = True
            return
        body = json.dumps(step.get("members", {"value": "ok", "causal-metadata": {"seen": len(self.asked)}})).encode()
        handler.send_response(step.get("status", 200))
        for name, text in {"Content-Length": len(body), **step.get("headers", {})}.items():
            handler.send_header(name, str(text))
        handler.end_headers()
        handler.wfile.write(body)

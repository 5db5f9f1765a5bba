"""An identity provider by pysaml2 over HTTP: a page that asks for a password, and pysaml2 for everything that is SAML.

Usage: web.py FOLDER PORT, with FOLDER/idp.key, idp.crt, users.json and sp.xml (the service provider's metadata). The environment says
what browsers see (BASE) and what is sent: SIGNR=1 signs the Response too, ENC=1 encrypts the assertion.
"""
import html
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import idp

with open(idp.FOLDER + "/users.json") as f:
    USERS = json.load(f)

LOGIN = """<!doctype html><title>Sign in</title><form method="post"><input id="username" name="username">
<input id="password" name="password" type="password">%s<button id="submit_button">Sign in</button></form>"""
ANSWER = """<!doctype html><title>Signed in</title><form method="post" action="%s">%s</form><script>document.forms[0].submit()</script>"""


def hidden(fields):
    return "".join('<input type="hidden" name="%s" value="%s">' % (k, html.escape(v)) for k, v in fields.items() if v)


def sign_in(user, binding, fields):
    server = idp.server()
    sp = server.metadata.with_descriptor("spsso")
    entity = next(iter(sp))
    cmd = {"binding": binding, "sp": entity, "message": fields["SAMLRequest"], "relay_state": fields.get("RelayState", ""),
           "sigalg": fields.get("SigAlg"), "signature": fields.get("Signature")}
    request = idp.read_authn_request(server, cmd)
    answer = {
        "attributes": user["Attributes"], "in_response_to": request["id"], "destination": request["acs"], "sp": entity,
        "name_id": user["Attributes"]["email"][0], "sign_assertion": True, "sign_response": os.environ.get("SIGNR") == "1",
    }
    if os.environ.get("ENC") == "1":
        # pysaml2 on its own would choose 3DES, which is not accepted.
        answer.update(encrypt=True, block="http://www.w3.org/2009/xmlenc11#aes256-gcm", session_key="aes-256",
                      transport="http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p")
    response = idp.base64.b64encode(idp.respond(server, answer)["xml"].encode()).decode()
    return ANSWER % (html.escape(request["acs"]), hidden({"SAMLResponse": response, "RelayState": fields.get("RelayState", "")}))


class Handler(BaseHTTPRequestHandler):
    def send(self, content, kind="text/html", status=200):
        body = content.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if urlsplit(self.path).path == "/metadata":
            self.send(idp.metadata(idp.server(), None)["xml"], "application/xml")
        else:
            self.send(LOGIN % "")

    def do_POST(self):
        posted = {k: v[0] for k, v in parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()).items()}
        queried = {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
        binding, fields = ("redirect", queried) if "SAMLRequest" in queried else ("post", posted)
        for user in USERS:
            if (user["Name"], user["Password"]) == (posted.get("username"), posted.get("password")):
                try:
                    self.send(sign_in(user, binding, fields))
                except Exception:
                    self.send(idp.traceback.format_exc(), "text/plain", 500)
                    raise
                return
        self.send(LOGIN % hidden({k: posted.get(k) for k in ("SAMLRequest", "RelayState")}))


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()

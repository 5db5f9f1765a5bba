"""An identity provider by pysaml2 on stdin and stdout: one JSON command a line, one JSON answer a line.

Usage: idp.py FOLDER, where FOLDER has idp.key, idp.crt and sp.xml (the service provider's metadata).
"""
import base64
import functools
import json
import logging
import os
import sys
import traceback

import saml2.entity
import saml2.sigver
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT
from saml2.config import IdPConfig
from saml2.saml import NameID
from saml2.server import Server
from saml2.sigver import verify_redirect_signature

logging.disable(logging.CRITICAL)
FOLDER = sys.argv[1]
BASE = os.environ.get("BASE", "https://pysaml2.example.com")
PLAIN_PART = saml2.sigver.pre_encryption_part
PLAIN_ENCRYPT = saml2.sigver.CryptoBackendXmlSec1.encrypt_assertion


def server():
    conf = IdPConfig()
    conf.load({
        "entityid": BASE + "/idp",
        "key_file": FOLDER + "/idp.key",
        "cert_file": FOLDER + "/idp.crt",
        "xmlsec_binary": "/usr/bin/xmlsec1",
        "metadata": {"local": [FOLDER + "/sp.xml"]},
        "service": {"idp": {
            "want_authn_requests_signed": True,
            "endpoints": {
                "single_sign_on_service": [(BASE + "/sso", BINDING_HTTP_REDIRECT), (BASE + "/sso/post", BINDING_HTTP_POST)],
                "single_logout_service": [(BASE + "/slo", BINDING_HTTP_REDIRECT), (BASE + "/slo/post", BINDING_HTTP_POST)],
            },
            "policy": {"default": {"lifetime": {"minutes": 5}, "attribute_restrictions": None,
                                   "name_form": "urn:oasis:names:tc:SAML:2.0:attrname-format:basic"}},
        }},
    })
    return Server(config=conf)


def metadata(idp, _):
    from saml2.metadata import entity_descriptor
    return {"xml": str(entity_descriptor(idp.config))}


def algorithms(cmd):
    """Choose what xmlsec1 encrypts with: pysaml2 has no setting for it."""
    part = {}
    if cmd.get("block"):
        part["msg_enc"] = cmd["block"]
    if cmd.get("transport"):
        part["key_enc"] = cmd["transport"]
    saml2.entity.pre_encryption_part = functools.partial(PLAIN_PART, **part)
    chosen = cmd.get("session_key", "des-192")

    def encrypt(self, statement, enc_key, template, key_type=None, node_xpath=None, node_id=None):
        return PLAIN_ENCRYPT(self, statement, enc_key, template, chosen, node_xpath, node_id)

    saml2.sigver.CryptoBackendXmlSec1.encrypt_assertion = encrypt


def respond(idp, cmd):
    algorithms(cmd)
    extra = {}
    if cmd.get("encrypt"):
        extra = {"encrypt_assertion": True, "encrypt_assertion_self_contained": cmd.get("self_contained", True)}
    response = idp.create_authn_response(
        cmd["attributes"], cmd["in_response_to"], cmd["destination"], cmd["sp"],
        name_id=NameID(format="urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress", text=cmd["name_id"]),
        authn={"class_ref": "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport", "authn_auth": BASE},
        sign_response=cmd["sign_response"], sign_assertion=cmd["sign_assertion"],
        sign_alg="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", digest_alg="http://www.w3.org/2001/04/xmlenc#sha256", **extra)
    return {"xml": str(response)}


def verify_query(idp, cmd):
    """Check the signature of the Redirect binding with the certificates of the service provider's metadata."""
    message = {"SAMLRequest": cmd["message"], "RelayState": cmd["relay_state"], "SigAlg": cmd["sigalg"], "Signature": cmd["signature"]}
    certs = idp.metadata.certs(cmd["sp"], "any", "signing")
    if not any(verify_redirect_signature(message, idp.sec.sec_backend, cert) for cert in certs):
        raise ValueError("the query's signature does not verify with %d certificates" % len(certs))
    # This version looks for an XML signature whatever the binding is.
    idp.config.setattr("idp", "want_authn_requests_signed", False)


def read_authn_request(idp, cmd):
    if cmd["binding"] == "post":
        request = idp.parse_authn_request(cmd["message"], BINDING_HTTP_POST)
    else:
        verify_query(idp, cmd)
        request = idp.parse_authn_request(cmd["message"], BINDING_HTTP_REDIRECT)
    m = request.message
    return {"id": m.id, "issuer": m.issuer.text, "acs": m.assertion_consumer_service_url,
            "name_id_policy": m.name_id_policy is not None, "force_authn": m.force_authn or ""}


def logout_request(idp, cmd):
    name_id = NameID(format=cmd["format"], text=cmd["name_id"])
    req_id, req = idp.create_logout_request(cmd["destination"], cmd["sp"], name_id=name_id, session_indexes=cmd["indexes"], sign=False)
    binding = BINDING_HTTP_POST if cmd["binding"] == "post" else BINDING_HTTP_REDIRECT
    if cmd["binding"] == "post":
        req_id, req = idp.create_logout_request(cmd["destination"], cmd["sp"], name_id=name_id, session_indexes=cmd["indexes"], sign=True,
                                                sign_alg="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", digest_alg="http://www.w3.org/2001/04/xmlenc#sha256")
        return {"value": base64.b64encode(str(req).encode()).decode(), "id": req_id}
    info = idp.apply_binding(binding, str(req), cmd["destination"], relay_state=cmd["relay_state"], sign=True,
                             sigalg="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256")
    return {"url": dict(info["headers"])["Location"], "id": req.id}


def read_logout_request(idp, cmd):
    if cmd["binding"] == "post":
        request = idp.parse_logout_request(cmd["message"], BINDING_HTTP_POST)
    else:
        verify_query(idp, cmd)
        request = idp.parse_logout_request(cmd["message"], BINDING_HTTP_REDIRECT)
    m = request.message
    return {"id": m.id, "name_id": m.name_id.text, "indexes": [i.text for i in m.session_index]}


COMMANDS = {f.__name__: f for f in (metadata, respond, read_authn_request, logout_request, read_logout_request)}


def main():
    idp = server()
    for line in sys.stdin:
        cmd = json.loads(line)
        try:
            answer = COMMANDS[cmd["command"]](idp, cmd)
        except Exception as e:  # the test reads why
            answer = {"error": "%s: %s" % (type(e).__name__, e), "trace": traceback.format_exc()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

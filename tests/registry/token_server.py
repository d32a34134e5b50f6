"""A token server for docker-registry (distribution's docs/spec/auth/token.md and jwt.md): whoever knows the password gets a
token, signed with the key of the certificate that the registry trusts.

    token_server.py PORT CERTIFICATE KEY NAME:PASSWORD
"""
import base64
import json
import sys
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, HTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

port, certificate, key_file, user = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
key = serialization.load_pem_private_key(open(key_file, "rb").read(), None)
der = x509.load_pem_x509_certificate(open(certificate, "rb").read()).public_bytes(serialization.Encoding.DER)


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def token(service, access):
    now = int(time.time())
    header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
    claims = {"iss": "tests", "sub": user.split(":")[0], "aud": service, "exp": now + 60, "nbf": now - 5, "iat": now,
              "jti": str(now), "access": access}
    signed = b".".join(encode(json.dumps(part).encode()) for part in (header, claims))
    return (signed + b"." + encode(key.sign(signed, padding.PKCS1v15(), hashes.SHA256()))).decode()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
        right = self.headers.get("Authorization") == "Basic " + base64.b64encode(user.encode()).decode()
        access = []
        for scope in query.get("scope", []):
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        body = json.dumps({"token": token(query["service"][0], access)} if right else {"details": "no"}).encode()
        self.send_response(200 if right else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


HTTPServer(("127.0.0.1", port), Handler).serve_forever()

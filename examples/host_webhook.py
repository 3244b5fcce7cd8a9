"""A host application that is told by Usher what changes for people, and prints it.

pip install flask
usher webhook add "Sample host" --environment minut --url https://host.example/usher
SIGNING_SECRET=whsec_... flask --app examples/host_webhook.py run
"""

import base64
import hashlib
import hmac
import json
import os
import time

from flask import Flask, abort, request

app = Flask(__name__)
key = base64.b64decode(os.environ["SIGNING_SECRET"].removeprefix("whsec_"))
last = {}  # Of each organisation; keep it where the rest of your data is, and write both at once.


def verified(headers, body):
    sent = headers.get("webhook-timestamp", "")
    if not sent.isdecimal() or abs(time.time() - int(sent)) > 300:  # noqa: TID251 - a program of its own
        abort(401)
    signed = b".".join([headers.get("webhook-id", "").encode(), sent.encode(), body])
    good = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    if not any(hmac.compare_digest(good, one) for one in headers.get("webhook-signature", "").split()):
        abort(401)
    return json.loads(body)


@app.post("/usher")
def told():
    data = verified(request.headers, request.get_data())["data"]
    for event in data.get("events", []):
        sequence = event.get("sequence", event.get("to"))
        if sequence > last.get(data["organisation_id"], -1):  # What came before came twice.
            print(json.dumps({**event, "organisation_id": data["organisation_id"]}), flush=True)
            last[data["organisation_id"]] = sequence
    return "", 204

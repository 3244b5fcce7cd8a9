"""A host application that signs people in over Usher, and prints what it is told of them.

    pip install flask authlib requests
    usher client add "Sample host" --environment minut \
        --redirect-uri http://localhost:5000/callback --logout-uri http://localhost:5000/bye
    ISSUER=http://127.0.0.1:8000 CLIENT_ID=... CLIENT_SECRET=... flask --app examples/host_app.py run
"""

import json
import os

from authlib.integrations.flask_client import OAuth
from flask import Flask, redirect, session, url_for

app = Flask(__name__)
app.secret_key = os.urandom(32)
usher = OAuth(app).register(
    "usher",
    server_metadata_url=f"{os.environ['ISSUER']}/.well-known/openid-configuration",
    client_id=os.environ["CLIENT_ID"],
    client_secret=os.environ["CLIENT_SECRET"],
    client_kwargs={"scope": "openid email profile", "code_challenge_method": "S256"},
)


@app.get("/")
def start():
    return usher.authorize_redirect(url_for("callback", _external=True))


@app.get("/callback")
def callback():
    token = usher.authorize_access_token()  # Proves state, PKCE, signature, issuer, audience, end and nonce.
    session["id_token"] = token["id_token"]
    print(json.dumps(token["userinfo"], indent=2), flush=True)
    return token["userinfo"]


@app.get("/logout")
def logout():
    hint = session.pop("id_token", None)
    if hint is None:
        return redirect(url_for("bye"))
    return usher.logout_redirect(url_for("bye", _external=True), id_token_hint=hint)


@app.get("/bye")
def bye():
    return "Signed out."

"""An IP camera for tests: gst-rtsp-server with one shared stream. Takes its settings as one JSON argument."""

import json
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

settings = json.loads(sys.argv[1])
Gst.init(None)

server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(str(settings["port"]))

factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(settings["launch"])
factory.set_shared(True)
protocols = GstRtsp.RTSPLowerTrans.TCP if settings["transport"] == "tcp" else GstRtsp.RTSPLowerTrans.UDP
if settings["transport"] != "any":
    factory.set_protocols(protocols)

if settings.get("user") or settings.get("cert"):
    auth = GstRtspServer.RTSPAuth()
    if settings.get("cert"):
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_files(settings["cert"], settings["key"]))
    role = "viewer"
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", role)
    if settings.get("user"):
        if settings["auth"] == "digest":
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
            auth.add_digest(settings["user"], settings["password"], token)
        else:
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
            auth.add_basic(GstRtspServer.RTSPAuth.make_basic(settings["user"], settings["password"]), token)
    else:
        auth.set_default_token(token)
    server.set_auth(auth)
    factory.add_role_from_structure(
        Gst.Structure.from_string(f"{role}, media.factory.access=true, media.factory.construct=true")[0]
    )

server.get_mount_points().add_factory("/stream", factory)
if server.attach(None) == 0:
    sys.exit(f"port {settings['port']} is taken")
print("ready", flush=True)
GLib.MainLoop().run()

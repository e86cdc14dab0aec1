"""OpenStack Swift with its S3 API in one process, for tests: `swift-server.py FOLDER PORT`.

Runs Swift's own proxy (with its s3api, tempauth and slo middleware) and its account, container and object servers,
all on one eventlet hub, with rings of one device and one replica, and a stand-in for memcached. Data is kept in
FOLDER, which must allow user xattrs, so a killed process can be started again on it. PORT 0 takes a free one.
Prints `ready PORT` when it serves.
"""
import ctypes
import os
import signal
import socket
import sys

# The kernel ends this process when the test that started it is gone (PR_SET_PDEATHSIG).
ctypes.CDLL(None).prctl(1, signal.SIGKILL)

import eventlet  # noqa: E402
from swift.common import utils  # noqa: E402

utils.eventlet_monkey_patch()
utils.HASH_PATH_PREFIX = b'sluice'
utils.HASH_PATH_SUFFIX = b'sluice'

from eventlet import wsgi  # noqa: E402
from swift.account.server import AccountController  # noqa: E402
from swift.common.http_protocol import SwiftHttpProtocol  # noqa: E402
from swift.common.middleware import catch_errors, copy, gatekeeper, listing_formats, slo, tempauth  # noqa: E402
from swift.common.middleware.s3api import s3api  # noqa: E402
from swift.common.ring import RingBuilder  # noqa: E402
from swift.container.server import ContainerController  # noqa: E402
from swift.obj.server import ObjectController  # noqa: E402
from swift.proxy.server import Application  # noqa: E402

ACCESS_KEY_USER = 'user_test_tester'
SECRET = 'testing'


class Memory:
    """What Swift asks of memcached, in a dict."""

    def __init__(self):
        self.values = {}

    def get(self, key, **_):
        return self.values.get(key)

    def set(self, key, value, **_):
        self.values[key] = value

    def incr(self, key, delta=1, **_):
        self.values[key] = int(self.values.get(key, 0)) + delta
        return self.values[key]

    def decr(self, key, delta=1, **_):
        return self.incr(key, -delta)

    def delete(self, key, **_):
        self.values.pop(key, None)

    def set_multi(self, mapping, *_, **__):
        self.values.update(mapping)

    def get_multi(self, keys, *_, **__):
        return [self.values.get(key) for key in keys]


class Quiet:
    """wsgi.server's log."""

    def write(self, *_):
        pass

    info = debug = write


def build_ring(folder, name, port):
    builder = RingBuilder(2, 1, 0)
    builder.add_dev({'id': 0, 'region': 1, 'zone': 1, 'ip': '127.0.0.1', 'port': port, 'device': 'sda', 'weight': 1})
    builder.rebalance(seed=1)
    builder.get_ring().save(os.path.join(folder, '%s.ring.gz' % name))


def serve(listener, app):
    return eventlet.spawn(
        wsgi.server, listener, app, log=Quiet(), protocol=SwiftHttpProtocol, log_output=False, keepalive=True
    )


def main(folder, port):
    rings = os.path.join(folder, 'rings')
    devices = os.path.join(folder, 'devices')
    os.makedirs(rings, exist_ok=True)
    os.makedirs(os.path.join(devices, 'sda'), exist_ok=True)
    common = {
        'devices': devices,
        'swift_dir': rings,
        'mount_check': 'false',
        'log_level': 'ERROR',
        'log_address': os.path.join(folder, 'no-syslog'),
        'allowed_headers': 'Content-Disposition, Content-Encoding, X-Delete-At, X-Object-Manifest, '
        'X-Static-Large-Object, Cache-Control, Content-Language, Expires, X-Robots-Tag',
        'recon_cache_path': folder,
        # Speed: this is no place to keep anything.
        'fallocate_reserve': '0',
    }
    listeners = {}
    for name, controller in (
        ('account', AccountController),
        ('container', ContainerController),
        ('object', ObjectController),
    ):
        listener = eventlet.listen(('127.0.0.1', 0))
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        build_ring(rings, name, listener.getsockname()[1])
        listeners[name] = (listener, controller(common))
    for listener, app in listeners.values():
        serve(listener, app)

    memory = Memory()
    app = Application(dict(common, account_autocreate='true', allow_account_management='true'))
    app = slo.filter_factory(common)(app)
    app = copy.filter_factory(common)(app)
    app = tempauth.filter_factory(common, **{ACCESS_KEY_USER: SECRET + ' .admin'})(app)
    app = s3api.filter_factory(common, location='us-east-1', auth_pipeline_check='false', s3_acl='false')(app)
    app = listing_formats.filter_factory(common)(app)
    app = gatekeeper.filter_factory(common)(app)
    app = catch_errors.filter_factory(common)(app)

    def with_memory(environ, start_response):
        environ['swift.cache'] = memory
        return app(environ, start_response)

    listener = eventlet.listen(('127.0.0.1', port), reuse_addr=True)
    server = serve(listener, with_memory)
    print('ready %d' % listener.getsockname()[1], flush=True)
    server.wait()


main(sys.argv[1], int(sys.argv[2]))

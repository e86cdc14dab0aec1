"""Publishes a test picture (640 x 480, 30 fps) and silence over WHIP with aiortc, until standard input ends."""
import asyncio
import sys
import urllib.parse
import urllib.request

from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack


def request(method, url, body=None):
    headers = {"content-type": "application/sdp"} if body else {}
    message = urllib.request.Request(url, data=body, method=method, headers=headers)
    with urllib.request.urlopen(message, timeout=10) as response:
        return response.headers.get("location"), response.read().decode()


async def main(url):
    connection = RTCPeerConnection()
    connection.addTrack(AudioStreamTrack())
    connection.addTrack(VideoStreamTrack())
    await connection.setLocalDescription(await connection.createOffer())
    offer = connection.localDescription.sdp.encode()
    location, answer = await asyncio.to_thread(request, "POST", url, offer)
    await connection.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))
    await asyncio.to_thread(sys.stdin.read)
    await asyncio.to_thread(request, "DELETE", urllib.parse.urljoin(url, location))
    await connection.close()


asyncio.run(main(sys.argv[1]))

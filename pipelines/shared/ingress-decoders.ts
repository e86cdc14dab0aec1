/** From a demuxer's stream to raw media, as text for GStreamer (pure). */

/**
 * Decoders by FFmpeg's codec names. They run in their caller's thread: frame threads would hold frames back, one a
 * thread. Damaged pictures are not shown.
 */
const DECODERS: Readonly<Record<string, string>> = {
  h264: 'h264parse ! avdec_h264 max-threads=1 output-corrupt=false',
  hevc: 'h265parse ! avdec_h265 thread-type=slice output-corrupt=false',
  vp8: 'vp8dec threads=1',
  mjpeg: 'jpegdec',
  mpeg4: 'mpeg4videoparse ! avdec_mpeg4 max-threads=1 output-corrupt=false',
  aac: 'aacparse ! avdec_aac',
  mp3: 'mpegaudioparse ! avdec_mp3',
  opus: 'opusparse ! opusdec',
};

/**
 * @param codec as FFmpeg names it; one that is unknown is found out by `decodebin`
 * @param name unique, for the decodebin
 */
export function decoder(codec: string | undefined, name: string): string {
  return DECODERS[codec ?? ''] ?? `decodebin name=${name}  ${name}.src_0`;
}

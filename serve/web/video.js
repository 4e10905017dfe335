// Encoded frames to pictures: H.264 through WebCodecs, JPEG through the browser's own reader.

import { Codec } from "./protocol.js";

const PROBE = "avc1.42c01f"; // what the service sends, at the level of 720p

/** The codecs that this browser shows, best first. WebCodecs are there for pages of https and of this machine only. */
export async function supportedCodecs() {
  if (!window.VideoDecoder) return [Codec.JPEG];
  const { supported } = await VideoDecoder.isConfigSupported({ codec: PROBE }).catch(() => ({ supported: false }));
  return supported ? [Codec.H264, Codec.JPEG] : [Codec.JPEG];
}

/**
 * Decodes one stream, in order. A picture is what can be drawn and has to be closed. `decoded` counts pictures by codec.
 */
export class Video {
  constructor() {
    this.h264 = null;
    this.decoded = { [Codec.H264]: 0, [Codec.JPEG]: 0 };
  }

  /** A promise of the picture of a frame that comes in this VideoFormat; rejected where there is none. */
  decode(frame, format) {
    if (format.codec !== Codec.H264) return this.count(Codec.JPEG, decodeJpeg(frame));
    if (this.h264?.isBroken) this.h264 = null;
    this.h264 ??= new H264();
    return this.count(Codec.H264, this.h264.decode(frame, format));
  }

  count(codec, picture) {
    picture.then(() => { this.decoded[codec] += 1; }, () => {});
    return picture;
  }

  /** What comes next is a key frame, and what is not decoded yet is not wanted. */
  reset() {
    this.h264?.close();
    this.h264 = null;
  }
}

const decodeJpeg = (frame) => createImageBitmap(new Blob([frame.data], { type: "image/jpeg" }));

class H264 {
  constructor() {
    this.waiting = new Map(); // a frame's number, as its time stamp → what to do with its picture
    this.count = 0; // frames' own ids may come twice
    this.configured = null;
    this.isBroken = false;
    this.decoder = new VideoDecoder({
      output: (picture) => this.give(picture),
      error: (error) => this.fail(error),
    });
  }

  decode(frame, format) {
    return new Promise((resolve, reject) => {
      const timestamp = this.count++;
      this.waiting.set(timestamp, { resolve, reject });
      try {
        this.configure(format);
        const type = frame.key_frame ? "key" : "delta";
        this.decoder.decode(new EncodedVideoChunk({ type, timestamp, data: frame.data }));
      } catch (error) {
        this.fail(error);
      }
    });
  }

  configure(format) {
    if (this.configured === format) return;
    const { codec_string: codec, width: codedWidth, height: codedHeight } = format;
    // Without a description, frames are Annex B.
    this.decoder.configure({ codec, codedWidth, codedHeight, optimizeForLatency: true });
    this.configured = format;
  }

  give(picture) {
    const waits = this.waiting.get(picture.timestamp);
    this.waiting.delete(picture.timestamp);
    if (waits) waits.resolve(picture);
    else picture.close();
  }

  fail(error) {
    this.isBroken = true;
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }

  close() {
    this.fail(new DOMException("not wanted any more", "AbortError"));
    if (this.decoder.state !== "closed") this.decoder.close();
  }
}

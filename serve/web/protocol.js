// The stream protocol of serve/protocol/*.proto: a table of fields, and a small codec driven by it.
// 64-bit integers are plain numbers: ids and microseconds stay below 2 ** 53.

export const PROTOCOL_VERSION = 2;

// Each field: number, name, type; '*' marks repeated ones, '?' those whose absence tells something. tests/serve/test_web.py holds it to the .proto file.
const SCHEMA = {
  ClientMessage: "1 hello Hello, 2 event Event, 3 report BufferReport, 4 heartbeat Heartbeat, 5 bye Bye",
  ServerMessage: "1 welcome Welcome, 2 accepted Accepted, 3 applied Applied, 4 frame Frame, 5 status Status, " +
    "6 heartbeat Heartbeat, 7 error Error, 8 bye Bye, 9 format VideoFormat, 10 branched Branched",
  Hello: "1 protocol_version uint32, 2 client string, 3 token string, 4 ticket string, 5 resume_token string, " +
    "6 next_frame_id uint64, 7 video VideoRequest",
  VideoRequest: "1 codecs enum*, 2 max_width uint32, 3 max_height uint32, 4 max_kbit_per_s uint32",
  Welcome: "1 protocol_version uint32, 2 session_id string, 3 role enum, 4 preset string, 5 trained bool, " +
    "6 frame_rate float, 7 first_chunk_frames uint32, 8 frames_per_chunk uint32, 9 format VideoFormat, " +
    "10 intrinsics CameraIntrinsics, 11 next_frame_id uint64, 12 last_event_id uint64, 13 applied_event_id uint64, " +
    "14 resume_token string, 15 grace_s float, 16 heartbeat_s float, 17 limits StreamLimits",
  CameraIntrinsics: "1 fx float, 2 fy float, 3 cx float, 4 cy float, 5 width uint32, 6 height uint32",
  StreamLimits: "1 message_bytes uint32, 2 messages_per_s float, 3 pending_events uint32, 4 prompt_chars uint32, " +
    "5 script_frames uint32",
  Event: "1 event_id uint64, 2 client_time_us uint64, 3 controls Controls, 4 script Script, 5 pause Pause, 6 play Play, " +
    "7 reset Reset, 8 rewind Rewind",
  Controls: "1 keyboard Keyboard, 2 mouse Mouse, 3 camera CameraTarget, 4 prompt Prompt",
  Keyboard: "1 forward bool, 2 back bool, 3 left bool, 4 right bool",
  Mouse: "1 pitch float, 2 yaw float, 3 pitch_motion float, 4 yaw_motion float",
  CameraTarget: "1 pose CameraPose, 2 release Release, 3 look_only bool",
  Release: "",
  CameraPose: "1 x float, 2 y float, 3 z float, 4 pitch_degrees float, 5 yaw_degrees float",
  Prompt: "1 text string",
  Script: "1 frames ActionFrame*, 2 pause_after bool",
  ActionFrame: "1 forward bool, 2 back bool, 3 left bool, 4 right bool, 5 camera_pitch float, 6 camera_yaw float",
  Pause: "",
  Play: "",
  Reset: "",
  Rewind: "1 chunk uint32, 2 branch uint32?",
  BufferReport: "1 next_frame_id uint64, 2 buffered_ms uint32, 3 stalled_ms uint32, 4 round_trip_ms uint32",
  Heartbeat: "1 client_time_us uint64",
  Bye: "1 reason string, 2 reconnect bool",
  Accepted: "1 event_id uint64, 2 client_time_us uint64",
  Applied: "1 branch uint32, 2 chunk uint32, 3 first_frame_id uint64, 4 num_frames uint32, 5 events AppliedEvent*, " +
    "6 remembered RememberedView*",
  AppliedEvent: "1 event_id uint64, 2 frame_id uint64",
  RememberedView: "1 frame uint32, 2 camera CameraPose, 3 overlap float",
  Branched: "1 branch uint32, 2 parent uint32, 3 chunk uint32, 4 next_frame_id uint64",
  VideoFormat: "1 codec enum, 2 width uint32, 3 height uint32, 4 codec_string string",
  Frame: "1 frame_id uint64, 2 position WorldPosition, 3 presentation_time_us uint64, 4 codec enum, 5 key_frame bool, " +
    "6 data bytes, 7 client_time_us uint64, 8 action ActionFrame, 9 camera CameraPose, 10 stages StageTimes",
  WorldPosition: "1 branch uint32, 2 chunk uint32, 3 frame uint32",
  StageTimes: "1 queue_ms float, 2 plan_ms float, 3 retrieve_ms float, 4 step_ms float*, 5 commit_ms float, " +
    "6 decode_ms float, 7 encode_ms float",
  Status: "1 state enum, 2 queue_position uint32, 3 branch uint32, 4 chunk uint32, 5 step uint32, 6 num_steps uint32, " +
    "7 viewers uint32",
  Error: "1 code string, 2 message string, 3 hint string, 4 retryable bool, 5 world_lost bool, 6 event_id uint64, " +
    "7 version_mismatch VersionMismatch",
  VersionMismatch: "1 client_version uint32, 2 oldest_supported uint32, 3 newest_supported uint32",
};

export const Codec = { JPEG: 1, H264: 2, RAW_RGB: 3 };
export const Role = { PLAYER: 1, VIEWER: 2 };
export const State = { QUEUED: 1, WARMING_UP: 2, PLAYING: 3, RECOVERING: 4, ENDED: 5, PAUSED: 6 };

const VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5;
const WIRE = { uint32: VARINT, uint64: VARINT, enum: VARINT, bool: VARINT, float: FIXED32, string: BYTES, bytes: BYTES };
const DEFAULTS = { uint32: 0, uint64: 0, enum: 0, bool: false, float: 0, string: "", bytes: new Uint8Array() };

const TABLE = {};
for (const [message, fields] of Object.entries(SCHEMA)) {
  TABLE[message] = fields.split(", ").filter(Boolean).map((field) => {
    const [number, name, type] = field.split(" ");
    const kind = type.replace(/[*?]/, "");
    const [repeated, optional] = [type.endsWith("*"), type.endsWith("?")];
    return { number: Number(number), name, kind, repeated, optional, wire: WIRE[kind] ?? BYTES };
  });
}

const utf8 = new TextEncoder();
const text = new TextDecoder();

/** Bytes of a message. Fields that are missing or have their default value are left out. */
export function encode(message, values) {
  const out = [];
  for (const field of TABLE[message]) {
    const value = values[field.name];
    if (value === undefined || value === null) continue;
    for (const item of field.repeated ? value : [value]) {
      if (!field.repeated && !field.optional && item === DEFAULTS[field.kind]) continue;
      writeVarint(out, field.number * 8 + field.wire);
      writeValue(out, field, item);
    }
  }
  return Uint8Array.from(out);
}

function writeValue(out, field, value) {
  if (field.wire === VARINT) return writeVarint(out, Number(value));
  if (field.wire === FIXED32) return out.push(...new Uint8Array(new Float32Array([value]).buffer));
  const bytes = field.kind === "string" ? utf8.encode(value) : field.kind === "bytes" ? value : encode(field.kind, value);
  writeVarint(out, bytes.length);
  for (const byte of bytes) out.push(byte);
}

function writeVarint(out, value) {
  // Bit operators would cut at 32 bits.
  while (value >= 128) {
    out.push((value % 128) + 128);
    value = Math.floor(value / 128);
  }
  out.push(value);
}

/** The values in a message's bytes; unknown fields are skipped, missing ones have their default, messages null. */
export function decode(message, bytes) {
  const values = {};
  for (const field of TABLE[message]) values[field.name] = field.repeated ? [] : field.optional ? null : DEFAULTS[field.kind] ?? null;
  const reader = new Reader(bytes);
  while (!reader.done) {
    const tag = reader.varint();
    const field = TABLE[message].find((candidate) => candidate.number === Math.floor(tag / 8));
    if (!field) reader.skip(tag % 8);
    else if (!field.repeated) values[field.name] = readValue(reader, field);
    else if (tag % 8 === BYTES && field.wire !== BYTES) {
      const packed = new Reader(reader.bytes());
      while (!packed.done) values[field.name].push(readValue(packed, field));
    } else values[field.name].push(readValue(reader, field));
  }
  return values;
}

function readValue(reader, field) {
  if (field.wire === VARINT) return field.kind === "bool" ? reader.varint() !== 0 : reader.varint();
  if (field.wire === FIXED32) return reader.float();
  const bytes = reader.bytes();
  return field.kind === "string" ? text.decode(bytes) : field.kind === "bytes" ? bytes : decode(field.kind, bytes);
}

class Reader {
  constructor(bytes) {
    this.data = bytes;
    this.at = 0;
  }

  get done() {
    return this.at >= this.data.length;
  }

  varint() {
    let value = 0, scale = 1, byte;
    do {
      byte = this.take(1)[0];
      value += (byte % 128) * scale;
      scale *= 128;
    } while (byte >= 128);
    return value;
  }

  float() {
    const four = this.take(4);
    return new DataView(four.buffer, four.byteOffset, 4).getFloat32(0, true);
  }

  bytes() {
    return this.take(this.varint());
  }

  skip(wire) {
    if (wire === VARINT) this.varint();
    else if (wire === BYTES) this.bytes();
    else this.take(wire === FIXED64 ? 8 : 4);
  }

  take(count) {
    if (this.at + count > this.data.length) throw new RangeError("the message ends too early");
    this.at += count;
    return this.data.subarray(this.at - count, this.at);
  }
}

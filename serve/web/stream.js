// One session's connection: it comes back by itself, and an event is kept and sent again until the world has applied it.

import { PROTOCOL_VERSION, State, decode, encode } from "./protocol.js";

const RETRY_MS = [200, 400, 800, 1500, 3000, 5000, 8000, 10000];
const HEARTBEAT_MS = 2000;

/** Microseconds of this page's monotonic clock. */
export const nowUs = () => Math.round(performance.now() * 1000);

export class Stream {
  /**
   * Handlers: link(isUp), welcome(Welcome), frame(Frame), branched(Branched), status(Status), roundTrip(ms), and
   * ended(problem), where a problem is { message, hint } or null when the session came to its end in good order.
   */
  constructor(ticket, handlers) {
    this.ticket = ticket;
    this.handlers = handlers;
    this.pending = new Map();
    this.lastEventId = 0;
    this.nextFrameId = 0;
    this.failures = 0;
    this.problem = null;
    this.isOver = false;
    this.isWelcome = false;
    this.roundTripMs = 0;
    this.heartbeats = setInterval(() => this.send({ heartbeat: { client_time_us: nowUs() } }), HEARTBEAT_MS);
    this.connect();
  }

  connect() {
    this.isWelcome = false;
    this.socket = new WebSocket(this.ticket.stream_url);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => {
      const hello = { protocol_version: PROTOCOL_VERSION, token: this.ticket.token, client: "web" };
      this.transmit({ hello });
    };
    this.socket.onmessage = (event) => this.receive(event.data);
    this.socket.onclose = () => this.lost();
  }

  /** Hold these controls from now on; motion in them is spent once. */
  hold(controls) {
    this.act({ controls });
  }

  /** Send an event, given by its action: it is kept until it is applied. */
  act(action) {
    const event = { event_id: ++this.lastEventId, client_time_us: nowUs(), ...action };
    this.pending.set(event.event_id, event);
    this.send({ event });
  }

  /** All frames below this have been shown; how much waits behind them, and how long there was nothing to show. */
  report(nextFrameId, bufferedMs, stalledMs) {
    const report = { next_frame_id: nextFrameId, buffered_ms: bufferedMs, stalled_ms: stalledMs };
    this.send({ report: { ...report, round_trip_ms: Math.round(this.roundTripMs) } });
  }

  /** Leave for good. */
  close(reason) {
    this.send({ bye: { reason } });
    this.end(null, false);
  }

  send(message) {
    if (this.isWelcome) this.transmit(message);
  }

  transmit(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(encode("ClientMessage", message));
  }

  receive(data) {
    let message;
    try {
      message = decode("ServerMessage", new Uint8Array(data));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.end({ message: "The service sent something unreadable.", hint: "Reload this page." }, true);
      return;
    }
    this.take(message);
  }

  take(message) {
    if (message.welcome) this.welcomed(message.welcome);
    else if (message.frame) this.frame(message.frame);
    else if (message.applied) for (const event of message.applied.events) this.pending.delete(event.event_id);
    else if (message.branched) this.branched(message.branched);
    else if (message.heartbeat) this.heartbeat(message.heartbeat);
    else if (message.error) this.failed(message.error);
    else if (message.bye) this.end(null, true);
    else if (message.status) this.status(message.status);
  }

  welcomed(welcome) {
    this.isWelcome = true;
    this.failures = 0;
    this.problem = null;
    this.lastEventId = Math.max(this.lastEventId, welcome.last_event_id);
    for (const id of [...this.pending.keys()]) if (id <= welcome.applied_event_id) this.pending.delete(id);
    for (const event of this.pending.values()) this.transmit({ event });
    this.handlers.link(true);
    this.handlers.welcome(welcome);
  }

  frame(frame) {
    if (frame.frame_id < this.nextFrameId) return;
    this.nextFrameId = frame.frame_id + 1;
    this.handlers.frame(frame);
  }

  branched(branched) {
    this.nextFrameId = Math.max(this.nextFrameId, branched.next_frame_id);
    this.handlers.branched(branched);
  }

  heartbeat({ client_time_us: sentUs }) {
    this.roundTripMs = (nowUs() - sentUs) / 1000;
    this.handlers.roundTrip(this.roundTripMs);
  }

  status(status) {
    this.handlers.status(status);
    if (status.state === State.ENDED) this.end(null, true);
  }

  failed(error) {
    this.problem = error;
    if (!error.retryable) this.end(error, true);
  }

  lost() {
    if (this.isOver) return;
    this.isWelcome = false;
    this.handlers.link(false);
    if (this.failures >= RETRY_MS.length) {
      const nobody = { message: "The service does not answer any more.", hint: "Check that it runs, then start again." };
      this.end(this.problem ?? nobody, true);
      return;
    }
    setTimeout(() => this.isOver || this.connect(), RETRY_MS[this.failures++]);
  }

  end(problem, isToBeTold) {
    if (this.isOver) return;
    this.isOver = true;
    clearInterval(this.heartbeats);
    this.socket.close();
    if (isToBeTold) this.handlers.ended(problem);
  }
}

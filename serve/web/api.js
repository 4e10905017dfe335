// The service's HTTP side: worlds are opened, copied, kept, lent and closed here.

const NO_SERVICE = { message: "The service does not answer.", hint: "Check that it runs, then try again." };

/** What the service answered; throws { message, hint } where that is a problem. */
export async function call(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw NO_SERVICE;
  }
  if (response.status === 204) return {};
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw body.error ?? { message: `The service answered ${response.status}.`, hint: "" };
  return body;
}

/** Whether sessions are admitted already; false also while nobody can tell. */
export async function isReady() {
  const response = await fetch("/healthz").catch(() => null);
  return response === null || response.status !== 503;
}

/** A closed tab cannot be told from one that is loaded again: its world goes when it has had no player for so long. */
const LIMITS = { idle_s: 120 };

/** Open a session from fields, and an image file if there is one; `key` is the operator's, where one is needed. */
export function openSession({ image, ...fields }, key = "") {
  const { headers, ...options } = json({ ...fields, limits: LIMITS });
  const authorization = key ? { Authorization: `Bearer ${key}` } : {};
  if (!image) return call("/v1/sessions", { ...options, headers: { ...headers, ...authorization } });
  const body = new FormData();
  for (const [field, value] of Object.entries({ ...fields, limits: JSON.stringify(LIMITS), image })) body.append(field, value);
  return call("/v1/sessions", { method: "POST", body, headers: authorization });
}

/** What only the holder of a session's token can ask for. */
export class Owner {
  constructor({ session_id, token }) {
    this.rights = { session_id, token };
    this.path = `/v1/sessions/${encodeURIComponent(session_id)}`;
    this.authorization = { Authorization: `Bearer ${token}` };
  }

  /** Give the session back; works while the page goes away, too. */
  end() {
    return fetch(this.path, { method: "DELETE", keepalive: true, headers: this.authorization }).catch(() => {});
  }

  /** A link's content, for somebody who watches: { ticket, stream_url, expires_at_s }. */
  viewerTicket(validS) {
    return this.ask("tickets", { role: "ROLE_VIEWER", valid_s: validS });
  }

  /** A place that worlds can start from: { snapshot_id, branch, chunk }. */
  snapshot() {
    return this.ask("snapshots", {});
  }

  /** Another session that goes on from here: as openSession's answer. */
  fork() {
    return this.ask("fork", {});
  }

  ask(verb, fields) {
    const { headers, ...options } = json(fields);
    return call(`${this.path}/${verb}`, { ...options, headers: { ...headers, ...this.authorization } });
  }
}

const json = (fields) => ({
  method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(fields),
});

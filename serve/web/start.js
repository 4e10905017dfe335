// The first view: choose a place, say what it is, and open a session.

const $ = (id) => document.getElementById(id);
const SEEDS = 1e6;
const NO_SERVICE = { message: "The service does not answer.", hint: "Check that it runs, then try again." };

/** What the service answered, or an exception { message, hint }. */
async function call(path, options) {
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

/** Give the session back; works while the page goes away, too. */
export const endSession = ({ session_id, token }) =>
  fetch(`/v1/sessions/${encodeURIComponent(session_id)}`, {
    method: "DELETE", keepalive: true, headers: { Authorization: `Bearer ${token}` },
  }).catch(() => {});

export class StartForm {
  /** `opened(ticket, imageUrl)` gets the session that was opened and the picture it starts from. */
  constructor(opened) {
    this.opened = opened;
    this.samples = [];
    this.chosen = null; // a sample, or { file, image_url } of an upload
    $("start").addEventListener("submit", (event) => {
      event.preventDefault();
      this.open();
    });
    this.load();
  }

  async load() {
    try {
      const [{ samples }, { presets }] = await Promise.all([call("/v1/samples"), call("/v1/presets")]);
      this.samples = samples;
      this.describe(presets[0]);
      this.showPlaces();
      this.choose(samples[0]);
    } catch (problem) {
      this.complain(problem);
    }
  }

  /** What runs here, and the seed of the world that is being played. */
  describe(preset, seed = null) {
    this.preset = preset;
    const parts = [preset.preset, `${preset.width}×${preset.height}`, `${preset.frame_rate} frames/s`];
    if (seed !== null) parts.push(`seed ${seed}`);
    $("preset").textContent = parts.join(" · ");
    $("untrained").hidden = preset.trained;
    $("prompt").maxLength = preset.prompt_chars;
  }

  showPlaces() {
    $("places").replaceChildren(...this.samples.map((sample) => this.tile(sample)), this.uploadTile());
  }

  tile(place) {
    const label = element("label", "place");
    const radio = element("input");
    Object.assign(radio, { type: "radio", name: "place", value: place.name });
    radio.addEventListener("change", () => this.choose(place));
    const picture = element("img");
    Object.assign(picture, { src: place.image_url, alt: place.name });
    const name = element("span");
    name.textContent = place.name.replaceAll("-", " ");
    label.append(radio, picture, name);
    place.radio = radio;
    return label;
  }

  uploadTile() {
    const label = element("label", "place upload");
    const input = element("input");
    Object.assign(input, { type: "file", accept: "image/*" });
    input.addEventListener("change", () => this.upload(input.files[0]));
    label.addEventListener("dragover", (event) => event.preventDefault());
    label.addEventListener("drop", (event) => {
      event.preventDefault();
      this.upload(event.dataTransfer.files[0]);
    });
    const words = element("span");
    words.textContent = "your own picture";
    label.append(input, element("i", "plus"), words);
    return label;
  }

  upload(file) {
    if (!file) return;
    const place = { name: file.name, prompt: "", image_url: URL.createObjectURL(file), file };
    this.samples = [...this.samples.filter((sample) => !sample.file), place];
    this.showPlaces();
    this.choose(place);
  }

  choose(place) {
    const isOwnPrompt = $("prompt").value && $("prompt").value !== this.chosen?.prompt;
    if (!isOwnPrompt) $("prompt").value = place.prompt;
    this.chosen = place;
    place.radio.checked = true;
    $("go").disabled = false;
  }

  async open() {
    $("problem").hidden = true;
    $("go").disabled = true;
    $("go").textContent = "Opening …";
    try {
      const { fields, options } = this.request();
      const ticket = await call("/v1/sessions", options);
      this.describe(this.preset, fields.seed);
      this.opened(ticket, this.chosen.image_url);
    } catch (problem) {
      this.complain(problem);
    } finally {
      $("go").disabled = false;
      $("go").textContent = "Start walking";
    }
  }

  request() {
    // A seed chosen here can be shown, and typed in again.
    const seed = $("seed").value === "" ? Math.floor(Math.random() * SEEDS) : Number($("seed").value);
    const fields = { prompt: $("prompt").value, seed };
    if (!this.chosen.file) {
      const body = JSON.stringify({ ...fields, sample: this.chosen.name });
      return { fields, options: { method: "POST", headers: { "Content-Type": "application/json" }, body } };
    }
    const body = new FormData();
    for (const [name, value] of Object.entries(fields)) body.append(name, value);
    body.append("image", this.chosen.file);
    return { fields, options: { method: "POST", body } };
  }

  complain(problem) {
    // What is no { message, hint } of ours is a fault of this page.
    if (problem instanceof Error) throw problem;
    $("problem").hidden = false;
    $("problem").querySelector("b").textContent = problem.message;
    $("problem").querySelector("span").textContent = problem.hint;
    $("problem").scrollIntoView({ block: "nearest" });
  }
}

function element(kind, className = "") {
  const made = document.createElement(kind);
  made.className = className;
  return made;
}

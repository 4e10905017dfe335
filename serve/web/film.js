// The chunks so far as a strip of small pictures: where the world can go back to.

const WIDTH = 112;

export class Film {
  /** `chosen(chunk)` gets how many chunks to keep. */
  constructor(strip, screen, chosen) {
    this.strip = strip;
    this.screen = screen;
    this.chosen = chosen;
    this.branch = 0;
    strip.replaceChildren();
  }

  /** A frame is on the screen: the first one of a chunk is kept. */
  shown({ position: { chunk, frame } }) {
    if (frame === 0 || this.strip.children.length === 0) this.keep(chunk);
  }

  branched({ chunk }) {
    for (const button of [...this.strip.children]) if (Number(button.dataset.chunk) >= chunk) button.remove();
  }

  keep(chunk) {
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width: WIDTH, height: Math.round((WIDTH * this.screen.height) / this.screen.width) });
    canvas.getContext("2d").drawImage(this.screen, 0, 0, canvas.width, canvas.height);
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.chunk = chunk;
    button.title = chunk === 0 ? "Back to the start" : `Back to the beginning of chunk ${chunk + 1}`;
    button.append(canvas, chunk === 0 ? "start" : String(chunk + 1));
    button.addEventListener("click", () => this.chosen(chunk));
    this.strip.append(button);
    this.strip.scrollLeft = this.strip.scrollWidth;
  }
}

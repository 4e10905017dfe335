// What a page that is loaded again goes on with: written as the page goes, taken as it comes, and kept in this tab alone.

const LEFT = "worldloom.left";

/** `world` is what Play.left() gives; its place is kept for `graceS` seconds. */
export function keepWorld(world) {
  sessionStorage.setItem(LEFT, JSON.stringify({ ...world, leftAt: Date.now() }));
}

/** The world that this tab has left, once, while its place is kept; else null. */
export function takeWorld() {
  const text = sessionStorage.getItem(LEFT);
  sessionStorage.removeItem(LEFT);
  const world = text && JSON.parse(text);
  return world && Date.now() - world.leftAt < 1000 * world.graceS ? world : null;
}

// The HTTP interface as a page, drawn from the service's own openapi.json and nothing else.

const $ = (id) => document.getElementById(id);

/** An element with a text or children in it. */
function make(kind, ...content) {
  const made = document.createElement(kind);
  made.append(...content);
  return made;
}

const nameOf = (ref) => ref.split("/").at(-1);

/** A schema in a few words, and links to the types that it names. */
function kind(schema) {
  if (!schema) return ["nothing"];
  if (schema.$ref) {
    const link = make("a", nameOf(schema.$ref));
    link.href = `#${nameOf(schema.$ref)}`;
    return [link];
  }
  if (schema.enum) return [schema.enum.map((value) => JSON.stringify(value)).join(" | ")];
  if ("const" in schema) return [JSON.stringify(schema.const)];
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return choices.flatMap((choice, index) => (index ? [" | ", ...kind(choice)] : kind(choice)));
  if (schema.type === "array") return [...kind(schema.items), " []"];
  if (schema.properties) return [`{ ${Object.keys(schema.properties).join(", ")} }`];
  return [`${schema.format ?? schema.type ?? "anything"}${limits(schema)}`];
}

function limits({ minimum, maximum, default: standard }) {
  const told = [["from", minimum], ["to", maximum], ["default", standard]].filter(([, value]) => value !== undefined && value !== null);
  return told.length ? `, ${told.map(([name, value]) => `${name} ${written(value)}`).join(", ")}` : "";
}

/** A limit; the largest integers are powers of two, or one less, and more than this page can count to. */
function written(value) {
  const isHuge = Number.isInteger(value) && !Number.isSafeInteger(value);
  return isHuge ? `2^${Math.log2(value).toFixed()}` : JSON.stringify(value);
}

/** Text in which `backticks` mark code. */
const prose = (text) => (text ?? "").split("`").map((part, index) => (index % 2 ? make("code", part) : part));

/** Rows of [name, what it holds, what it means]. */
function table(rows) {
  return make("table", ...rows.map(([name, held, meaning]) => (
    make("tr", make("td", make("code", name)), make("td", ...held), make("td", ...prose(meaning))))));
}

function fields(schema) {
  const required = schema.required ?? [];
  const rows = Object.entries(schema.properties ?? {}).map(([name, field]) => (
    [required.includes(name) ? `${name} *` : name, kind(field), field.description]));
  return rows.length ? table(rows) : make("p", ...kind(schema));
}

/** What goes in or comes out, by media type; an object that has no name of its own is shown field by field. */
function content(bodies) {
  return Object.entries(bodies ?? {}).map(([type, { schema }]) => {
    const said = make("p", make("code", type), " ");
    if (!schema?.properties) {
      said.append(...kind(schema));
      return said;
    }
    return make("div", said, fields(schema));
  });
}

function verb(method, path, { summary, description, parameters = [], requestBody, responses, security }) {
  const inside = make("div", make("p", ...prose(description)));
  if (security) inside.append(make("p", "Needs ", make("code", "Authorization: Bearer …"), "."));
  if (parameters.length) {
    const rows = parameters.map(({ name, in: place, schema, description }) => [name, [`${place}: `, ...kind(schema)], description]);
    inside.append(make("h3", "Parameters"), table(rows));
  }
  if (requestBody) inside.append(make("h3", "Body"), ...content(requestBody.content));
  for (const [status, response] of Object.entries(responses)) {
    inside.append(make("h3", `${status} ${response.description}`), ...content(response.content));
  }
  return make("details", make("summary", make("b", method.toUpperCase()), make("code", path), make("span", summary ?? "")), inside);
}

function type([name, schema]) {
  const inside = make("div", make("p", ...prose(schema.description)), fields(schema));
  const made = make("details", make("summary", make("code", name)), inside);
  made.id = name;
  return made;
}

/** A link to a type opens it. */
function follow() {
  const target = location.hash && $(location.hash.slice(1));
  if (target) target.open = true;
}

const api = await (await fetch("openapi.json")).json();
$("title").textContent = `${api.info.title}: ${api.info.summary ?? "HTTP"}`;
$("about").append(...prose(api.info.description));
$("verbs").append(...Object.entries(api.paths).flatMap(([path, methods]) => (
  Object.entries(methods).map(([method, operation]) => verb(method, path, operation)))));
$("types").append(...Object.entries(api.components?.schemas ?? {}).map(type));
addEventListener("hashchange", follow);
follow();

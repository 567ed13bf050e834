// The page. It keeps itself equal to the database, whatever happens in between:
//
//   board    what the changefeeds said, a Map for each; the web side passes them on as they come
//   token    names the last change of a note that this page has; after a cut, the feed goes on from there
//   pending  commands of this page that the feed has not shown yet: drawn at once, sent again after a cut. By the id
//            that each has, the database does it once, however often it comes
//
// Everything on the screen is drawn from these three, by `draw`. Text of people only ever becomes `textContent`.

const FEEDS = ["notes", "columns", "minutes", "latest", "people"];
const COLORS = ["sun", "coral", "rose", "lilac", "sky", "mint"];
const HERE_MS = 80, SILENCE_MS = 45_000, RESUMED_MS = 10_000, RETRY_MS = [200, 5_000];
const VERBS = { add: "added", edit: "wrote", move: "moved", paint: "coloured", remove: "removed" };

const $ = (id) => document.getElementById(id);
const emptyMaps = () => Object.fromEntries(FEEDS.map((feed) => [feed, new Map()]));

let board = emptyMaps();
let coming = board; // what a new connection tells first; shown when it is whole
let token = null;
const pending = new Map();

// ---- the connection -------------------------------------------------------------------------------------------

let socket = null, me = null, live = false, paused = false, retry = RETRY_MS[0], heard = 0;
let caughtUp = null; // keys of the notes that changed while the connection was away; null: nothing to catch up
let seen = 0, connections = 0, settling = 0;
let toldName = null; // the name that the web side knows this page by
let ahead = 0; // this clock of that of the board, in milliseconds
const myself = { name: localStorage.name || someName(), hue: Number(localStorage.hue) || random(360) };
Object.assign(localStorage, myself);

function connect() {
  const one = (socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/board`));
  heard = performance.now();
  one.onopen = () => {
    toldName = myself.name;
    one.send(JSON.stringify({ type: "hello", ...myself, after: token }));
  };
  one.onmessage = ({ data }) => one === socket && receive(JSON.parse(data));
  one.onclose = ({ code, reason }) => one === socket && away(code, reason);
}

function away(code, reason) {
  socket?.close();
  socket = null;
  live = false;
  if (code === 1009) pending.clear(); // a message larger than any that this page can write
  if (code === 1008 || code === 1009) say(reason || "A message was too large.");
  if (!paused) setTimeout(() => !paused && !socket && connect(), retry * (0.7 + Math.random() * 0.6));
  retry = Math.min(retry * 1.6, RETRY_MS[1]);
  link(paused ? "paused" : "away", paused ? "Paused" : "Away, trying again");
  drawSoon();
}

function link(state, words) {
  $("link").dataset.state = state;
  $("link").title = `${seen} changes, ${connections} connections since this page was opened`;
  if ($("link").lastChild.textContent !== words) $("link").lastChild.textContent = words;
}

/** Whether it was sent; while the connection is away, nothing is. */
function send(message) {
  if (!live || socket?.readyState !== WebSocket.OPEN) return false;
  socket.send(JSON.stringify(message));
  return true;
}

function receive(message) {
  heard = performance.now();
  if (message.feed === "welcome") welcome(message);
  else if (message.feed === "known") pending.delete(message.id);
  else if (message.feed === "refused") refused(message);
  else message.rows.forEach((row) => follow(message.feed, row));
  drawSoon();
}

function welcome({ me: id, now, resumed, columns, text_max }) {
  me = id;
  ahead = Date.now() - now * 1000;
  connections += 1;
  coming = emptyMaps();
  if (resumed) coming.notes = board.notes;
  else token = null;
  caughtUp = resumed ? (caughtUp ?? []) : null;
  if (!$("columns").children.length) columns.forEach((name) => makeColumn(name, text_max));
}

function follow(feed, row) {
  if (row.state === "ready") {
    board[feed] = coming[feed];
    if (feed === "notes") wentLive();
  } else if (!row.state) {
    apply(coming[feed], row);
    if (feed === "notes") noteChanged(row);
  }
  token = row.resume_token ?? token; // only now: what it names has been applied
}

function apply(map, { group, old_val, new_val }) {
  if (group !== undefined) return new_val === null ? map.delete(group) : map.set(group, new_val);
  if (old_val) map.delete(old_val.id);
  if (new_val) map.set(new_val.id, new_val);
}

function noteChanged({ old_val, new_val }) {
  if (old_val === undefined) return; // an initial value
  seen += 1;
  if (!live) caughtUp?.push((new_val ?? old_val).id);
  for (const command of pending.values()) {
    const gone = !new_val && command.type === "remove" && command.note === old_val.id;
    const mine = gone || new_val?.last === command.id;
    if (!mine) continue;
    pending.delete(command.id);
    if (command.sent) $("trip").textContent = `${(performance.now() - command.sent).toFixed(1)} ms`;
  }
  if (live) link($("link").dataset.state, $("link").lastChild.textContent);
}

function wentLive() {
  if (live) return; // ready again: a newer token, after others have written much
  live = true;
  retry = RETRY_MS[0];
  const count = caughtUp?.length;
  const words = caughtUp ? `Resumed, ${count} ${count === 1 ? "change" : "changes"} caught up` : "Live";
  link(caughtUp ? "resumed" : "live", words);
  clearTimeout(settling);
  if (caughtUp) settling = setTimeout(() => live && link("live", "Live"), RESUMED_MS);
  tellName();
  for (const command of pending.values()) transmit(command);
  tellHere({});
}

function refused({ id, why }) {
  pending.delete(id);
  say(why);
}

// ---- commands -------------------------------------------------------------------------------------------------

function command(type, note, fields = {}) {
  const one = { type, id: crypto.randomUUID(), note, fields };
  pending.set(one.id, one);
  transmit(one);
  drawSoon();
}

function transmit(one) {
  if (send({ type: one.type, id: one.id, note: one.note, ...one.fields })) one.sent = performance.now();
}

/** The notes as they will be when everything pending is done. */
function expected() {
  const notes = new Map(board.notes);
  for (const { type, note, fields } of pending.values()) {
    if (type === "remove") notes.delete(note);
    else if (type === "add" || notes.has(note)) notes.set(note, { id: note, ...notes.get(note), ...fields });
  }
  return notes;
}

const byRank = (a, b) => a.rank - b.rank || (a.id < b.id ? -1 : 1);
const inColumn = (name) => [...expected().values()].filter((note) => note.column === name).sort(byRank);

/** A rank between two notes, either of which may be missing. */
function between(before, after) {
  if (!before) return after ? after.rank - 1 : 0;
  return after ? (before.rank + after.rank) / 2 : before.rank + 1;
}

function add(column, text) {
  const color = COLORS[random(COLORS.length)], rank = between(inColumn(column).at(-1));
  command("add", crypto.randomUUID(), { text, column, rank, color });
}

function moveTo(note, column, place) {
  const others = inColumn(column).filter((other) => other.id !== note.id);
  command("move", note.id, { column, rank: between(others[place - 1], others[place]) });
}

function paint(note) {
  command("paint", note.id, { color: COLORS[(COLORS.indexOf(note.color) + 1) % COLORS.length] });
}

function remove({ id, text, column, rank, color }) {
  command("remove", id);
  say("Removed.", () => command("add", id, { text, column, rank, color }));
}

// ---- drawing --------------------------------------------------------------------------------------------------

const elements = new Map(); // of notes
const cursors = new Map(); // of people
let drawing = false, asked = false;

function drawSoon() {
  if (!asked) requestAnimationFrame(draw);
  asked = true;
}

function draw() {
  asked = false;
  const notes = expected(), places = measure(), focused = document.activeElement;
  drawing = true;
  for (const [id, element] of elements) if (!notes.has(id)) forget(id, element);
  const sorted = [...notes.values()].sort(byRank);
  for (const column of $("columns").children) {
    drawColumn(column, sorted.filter((note) => note.column === column.dataset.name));
  }
  if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
  drawing = false;
  glide(places);
  drawPeople();
  drawFigures();
  drawLatest();
  showCaughtUp();
}

function drawColumn(column, notes) {
  const list = column.querySelector("ul");
  column.querySelector("output").textContent = board.columns.get(column.dataset.name) ?? 0;
  let next = list.firstElementChild;
  for (const note of notes) {
    const element = elements.get(note.id) ?? makeNote(note.id);
    drawNote(element, note);
    if (element === drag?.element) continue; // it is where the pointer is
    if (next === drag?.element) next = next?.nextElementSibling ?? null;
    if (element === next) next = next.nextElementSibling;
    else list.insertBefore(element, next);
  }
}

function drawNote(element, note) {
  element.note = note;
  element.dataset.color = note.color;
  element.classList.toggle("pending", [...pending.values()].some((one) => one.note === note.id));
  const text = element.querySelector("p"), area = element.querySelector("textarea");
  if (text.textContent !== note.text) text.textContent = note.text;
  const meanwhile = element.querySelector(".meanwhile");
  meanwhile.hidden = area.hidden || area.dataset.from === note.text;
  meanwhile.textContent = meanwhile.hidden ? "" : `Meanwhile: ${note.text}`;
  const writer = [...board.people.values()].find((one) => one.editing === note.id && one.id !== me);
  element.classList.toggle("busy", Boolean(writer));
  element.querySelector(".writer").textContent = writer ? `${writer.name} writes` : "";
  if (writer) element.style.setProperty("--hue-of-writer", writer.hue);
}

function forget(id, element) {
  const neighbour = element.nextElementSibling ?? element.previousElementSibling;
  if (element === document.activeElement) neighbour?.focus();
  elements.delete(id);
  if (drag?.element === element) endDrag();
  element.remove();
}

const measure = () => new Map([...elements.values()].map((element) => [element, element.getBoundingClientRect()]));

/** What moved glides from where it was. */
function glide(places) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  for (const element of elements.values()) {
    const old = places.get(element), now = element.getBoundingClientRect();
    if (!old) element.animate({ opacity: [0, 1], scale: [0.9, 1] }, { duration: 180, easing: "ease-out" });
    else if (element !== drag?.element && Math.hypot(old.x - now.x, old.y - now.y) > 1) {
      const from = `translate(${old.x - now.x}px, ${old.y - now.y}px)`;
      element.animate({ transform: [from, "none"], zIndex: [2, 2] }, { duration: 220, easing: "ease-out" });
    }
  }
}

function drawPeople() {
  const people = [...board.people.values()].sort((a, b) => (b.id === me) - (a.id === me) || (a.id < b.id ? -1 : 1));
  const others = people.length > 6 ? ` and ${people.length - 6}` : "";
  $("people").replaceChildren(...people.slice(0, 6).map(avatar), others);
  for (const [id, element] of cursors) {
    if (board.people.get(id)?.column) continue;
    cursors.delete(id);
    element.remove();
  }
  for (const person of people) if (person.id !== me && person.column) drawCursor(person);
}

function avatar({ id, name, hue }) {
  const element = document.createElement("span");
  element.className = "avatar";
  element.title = id === me ? `${name} (you)` : name;
  element.textContent = name.trim().split(/\s+/).map((word) => [...word][0]).slice(0, 2).join("").toUpperCase();
  element.style.setProperty("--hue", hue);
  return element;
}

function drawCursor({ id, name, hue, column, x, y }) {
  const layer = document.querySelector(`.column[data-name="${column}"] .cursors`);
  const element = cursors.get(id) ?? document.createElement("span");
  cursors.set(id, element);
  if (element.parentNode !== layer) layer?.append(element);
  if (element.textContent !== name) element.textContent = name;
  element.style.setProperty("--hue", hue);
  element.classList.toggle("left", x > 0.7); // the name stays within the column
  element.style.left = `${x * 100}%`;
  element.style.top = `${y}px`;
}

const clock = () => Date.now() - ahead;

function drawFigures() {
  const counts = [...board.columns.values()], total = counts.reduce((a, b) => a + b, 0);
  const done = board.columns.get("done") ?? 0;
  $("total").textContent = total;
  $("done").textContent = total ? `${Math.round((100 * done) / total)} %` : "–";
  $("progress").value = total ? done / total : 0;
  $("present").textContent = board.people.size;
  const minute = Math.floor(clock() / 60_000), rates = [];
  for (let ago = 29; ago >= 0; ago -= 1) rates.push(board.minutes.get(minute - ago) ?? 0);
  const most = Math.max(5, ...rates);
  $("rate").textContent = rates.at(-1);
  while ($("spark").children.length < rates.length) $("spark").append(document.createElement("i"));
  rates.forEach((rate, at) => ($("spark").children[at].style.height = `${Math.max(6, (100 * rate) / most)}%`));
}

function drawLatest() {
  const newest = [...board.latest.values()].sort((a, b) => b.at - a.at);
  const lines = newest.map(({ who, verb, text, column, at }) => {
    const line = document.createElement("li"), by = document.createElement("b"), what = document.createElement("q");
    const where = verb === "move" ? ` to ${title(column)}` : "";
    [by.textContent, what.textContent] = [who, text];
    line.append(time(at), by, ` ${VERBS[verb]}${where} `, what);
    return line;
  });
  $("latest").replaceChildren(...lines);
}

function time(at) {
  const element = document.createElement("time");
  const minutes = Math.max(0, Math.floor((clock() / 1000 - at) / 60));
  element.textContent = minutes ? `${minutes} min` : "now";
  return element;
}

/** After a cut: which notes are not as they were. */
function showCaughtUp() {
  if (!live || !caughtUp) return;
  for (const id of caughtUp) {
    const element = elements.get(id);
    element?.classList.add("caught");
    element?.addEventListener("animationend", () => element.classList.remove("caught"), { once: true });
  }
  caughtUp = null;
}

const title = (column) => column[0].toUpperCase() + column.slice(1);

function makeColumn(name, textMax) {
  const column = $("column").content.cloneNode(true).firstElementChild;
  const area = column.querySelector("textarea");
  column.dataset.name = name;
  column.setAttribute("aria-label", title(name));
  column.querySelector("h2 span").textContent = title(name);
  area.maxLength = textMax;
  area.setAttribute("aria-label", `Add a note to ${title(name)}`);
  area.addEventListener("keydown", (event) => {
    if (event.key === "Escape") area.blur();
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (area.value.trim()) add(name, area.value.trim().toWellFormed());
    area.value = "";
  });
  $("columns").append(column);
}

function makeNote(id) {
  const element = $("note").content.cloneNode(true).firstElementChild;
  const area = element.querySelector("textarea");
  elements.set(id, element);
  area.maxLength = document.querySelector(".column textarea").maxLength;
  element.querySelector(".paint").onclick = () => paint(element.note);
  element.querySelector(".edit").onclick = () => write(element);
  element.querySelector(".remove").onclick = () => remove(element.note);
  element.ondblclick = (event) => void (event.target.closest("button, textarea") || write(element));
  element.onkeydown = (event) => void (event.target === element && noteKey(event, element));
  element.onpointerdown = (event) => startDrag(event, element);
  // (`void`, because what an on… handler returns may undo the event.)
  area.onblur = () => void (drawing || written(element, true));
  area.onkeydown = (event) => {
    if (event.isComposing || (event.key !== "Escape" && (event.key !== "Enter" || event.shiftKey))) return;
    event.preventDefault();
    written(element, event.key === "Enter");
    element.focus();
  };
  return element;
}

// ---- writing, and the keys ------------------------------------------------------------------------------------

function write(element) {
  const area = element.querySelector("textarea");
  area.dataset.from = area.value = element.note.text;
  element.querySelector("p").hidden = true;
  area.hidden = false;
  area.focus();
  area.select();
  tellHere({ editing: element.note.id });
}

function written(element, keep) {
  const area = element.querySelector("textarea"), text = area.value.trim().toWellFormed();
  if (area.hidden) return;
  area.hidden = true;
  element.querySelector("p").hidden = false;
  tellHere({ editing: null });
  if (keep && text && text !== area.dataset.from) command("edit", element.note.id, { text });
  drawSoon();
}

const STEPS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
const ACTS = {
  Enter: write,
  c: (element) => paint(element.note),
  Delete: (element) => remove(element.note),
  Backspace: (element) => remove(element.note),
};

function noteKey(event, element) {
  const { note } = element;
  const act = ACTS[event.key], step = STEPS[event.key];
  if (event.ctrlKey || event.metaKey || (!act && !step)) return;
  event.preventDefault();
  if (act) return act(element);
  const lists = [...document.querySelectorAll(".column ul")];
  const across = lists.indexOf(element.parentNode) + step[0], list = lists[across];
  const place = [...element.parentNode.children].indexOf(element) + step[1];
  if (!list) return;
  if (!event.altKey) (list.children[Math.min(place, list.children.length - 1)] ?? element).focus();
  else if (place >= 0) moveTo(note, list.parentNode.dataset.name, Math.min(place, list.children.length));
}

document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, textarea, dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "?") $("hints").showModal();
  if (event.key !== "n") return;
  event.preventDefault();
  (event.target.closest(".column") ?? document).querySelector("form textarea").focus();
});

// ---- dragging -------------------------------------------------------------------------------------------------

let drag = null;

function startDrag(event, element) {
  const { target, clientX: x, clientY: y } = event;
  const held = event.pointerType === "mouse" ? !target.closest("button, textarea") : target.matches(".grip");
  if (event.button || !held) return;
  const box = element.getBoundingClientRect();
  drag = { element, ghost: null, x, y, dx: x - box.x, dy: y - box.y };
}

function continueDrag({ clientX: x, clientY: y }) {
  if (!drag.ghost) {
    if (Math.hypot(x - drag.x, y - drag.y) < 5) return;
    drag.ghost = drag.element.cloneNode(true);
    drag.ghost.classList.add("ghost");
    drag.ghost.style.width = `${drag.element.offsetWidth}px`;
    document.body.append(drag.ghost);
    drag.element.classList.add("dragged");
    getSelection().empty();
  }
  drag.ghost.style.translate = `${x - drag.dx}px ${y - drag.dy}px`;
  if (x < 30 || x > innerWidth - 30) $("columns").scrollBy(x < 30 ? -12 : 12, 0);
  const list = document.elementFromPoint(x, y)?.closest(".column")?.querySelector("ul");
  if (!list) return;
  const below = [...list.children].find((other) => {
    const box = other.getBoundingClientRect();
    return other !== drag.element && y < box.y + box.height / 2;
  });
  if (drag.element.nextElementSibling === (below ?? null) && drag.element.parentNode === list) return;
  const places = measure();
  list.insertBefore(drag.element, below ?? null);
  glide(places);
}

function endDrag(drop = false) {
  const { element, ghost } = drag;
  drag = null;
  if (!ghost) return;
  ghost.remove();
  element.classList.remove("dragged");
  const place = [...element.parentNode.children].indexOf(element);
  if (drop) moveTo(element.note, element.closest(".column").dataset.name, place);
  drawSoon();
}

document.addEventListener("pointermove", (event) => {
  if (drag) continueDrag(event);
  const column = event.target.closest?.(".column"), box = column?.getBoundingClientRect();
  if (!box) return here.column && tellHere({ column: null });
  const x = Math.min(1, Math.max(0, (event.clientX - box.x) / box.width));
  tellHere({ column: column.dataset.name, x, y: Math.max(0, event.clientY - box.y) });
});
document.addEventListener("pointerup", () => drag && endDrag(true));
document.addEventListener("pointercancel", () => drag && endDrag());
document.addEventListener("keydown", (event) => event.key === "Escape" && drag && endDrag());
document.addEventListener("pointerleave", () => tellHere({ column: null }));

// ---- who is here ----------------------------------------------------------------------------------------------

const here = { column: null, x: 0, y: 0, editing: null };
let telling = 0;

function tellHere(part) {
  Object.assign(here, part);
  telling ||= setTimeout(() => {
    telling = 0;
    send({ type: "here", ...here });
  }, HERE_MS);
}

// The feed of people tells every few seconds that we are here, so silence means a connection that died unnoticed.
setInterval(() => {
  if (socket && performance.now() - heard > SILENCE_MS) away();
  drawSoon();
}, 5_000);
addEventListener("online", () => !socket && !paused && connect());

function someName() {
  const first = ["Amber", "Brisk", "Calm", "Deft", "Early", "Fond", "Glad", "Keen", "Lucky", "Quiet"];
  const second = ["Badger", "Crane", "Dolphin", "Finch", "Heron", "Lynx", "Otter", "Robin", "Swift", "Wren"];
  return `${first[random(10)]} ${second[random(10)]}`;
}

function random(below) {
  return Math.floor(Math.random() * below);
}

// ---- the head of the page -------------------------------------------------------------------------------------

let hiding = 0;

function say(words, undo) {
  const [text, button] = $("toast").children;
  text.textContent = words;
  button.hidden = !undo;
  button.onclick = () => (undo(), ($("toast").hidden = true));
  $("toast").hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => ($("toast").hidden = true), 6_000);
}

$("pause").onclick = () => {
  paused = !paused;
  $("pause").textContent = paused ? "Resume" : "Pause";
  if (paused) away();
  else connect();
};

function tellName() {
  if (toldName !== myself.name && send({ type: "me", name: myself.name })) toldName = myself.name;
}

const nameField = document.querySelector("#me input");
nameField.value = myself.name;
nameField.onchange = () => {
  nameField.value = myself.name = nameField.value.trim() || someName();
  Object.assign(localStorage, myself);
  tellName();
};
nameField.onkeydown = (event) => void (event.key === "Enter" && nameField.blur());

const root = document.documentElement;
if (localStorage.scheme) root.style.colorScheme = localStorage.scheme;
$("theme").onclick = () => {
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const dark = (root.style.colorScheme || system) === "dark";
  root.style.colorScheme = localStorage.scheme = dark ? "light" : "dark";
};
$("help").onclick = () => $("hints").showModal();

connect();

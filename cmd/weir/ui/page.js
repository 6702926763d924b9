// The page's uploads: a row for each, a few at a time.
"use strict";

const most = 3; // at a time: browsers open six connections to a server
const tries = 8;
const drop = document.getElementById("drop");
const form = drop.querySelector("form");
const picker = form.querySelector("input[name=file]");
const folders = form.querySelector("input[webkitdirectory]"); // only where uploads go into the folder shown
const into = drop.dataset.into || ""; // the folder shown
const list = document.getElementById("uploads");
const told = document.getElementById("told");
const note = document.getElementById("note");
const sum = document.getElementById("sum");
const title = document.title;
const rows = new Map(); // by key
const mostRows = 60; // more would make the page slow
let backlog = []; // files that have no row yet, each with its folder
const past = { files: 0, bytes: 0 }; // uploads whose rows made way for others
pieces.allow(Number(drop.dataset.request));

class Row {
  constructor(upload) {
    this.upload = upload;
    this.state = "waiting";
    this.tried = 0;
    this.item = document.createElement("li");
    this.name = part("span", "name");
    const inside = upload.folder.startsWith(into) ? upload.folder.slice(into.length) : upload.folder;
    const label = this.label = inside + upload.name;
    this.name.title = label;
    // The end of a name tells more than its middle, which is what is left out.
    const letters = [...label];
    this.name.append(part("span", "", letters.slice(0, -8).join("")), part("span", "", letters.slice(-8).join("")));
    this.buttons = part("span", "buttons");
    this.bar = part("progress");
    this.bar.max = 1;
    this.bar.value = 0;
    this.bar.setAttribute("aria-label", label);
    this.line = part("p");
    this.item.append(this.name, this.buttons, this.bar, this.line);
    list.append(this.item);
    rows.set(upload.key, this);
    upload.moved = () => this.moved();
  }

  // to puts the row into a state, with what can be done about it.
  to(state, text, ...buttons) {
    this.state = state;
    this.item.className = state;
    this.line.textContent = text;
    const focused = this.buttons.contains(document.activeElement);
    this.buttons.replaceChildren(...buttons.map(([label, act]) => {
      const b = part("button", "", label);
      b.type = "button";
      b.setAttribute("aria-label", `${label} ${this.label}`);
      b.onclick = act;
      return b;
    }));
    if (focused && this.buttons.firstChild) this.buttons.firstChild.focus();
    summarize();
  }

  get cancelButton() { return ["Cancel", () => this.cancel()]; }
  get resumeButton() { return ["Resume", () => this.wait()]; }

  ready() {
    clearTimeout(this.timer);
    this.to("waiting", `${bytes(this.upload.size)}, waits for its turn`, this.cancelButton);
  }

  wait() {
    this.ready();
    next();
  }

  async run() {
    this.to("going", this.progress(), ["Pause", () => this.pause()], this.cancelButton);
    this.seen = { at: performance.now(), offset: undefined, speed: 0 };
    try {
      if (!(await this.upload.go())) return;
      this.finish();
    } catch (error) {
      this.fail(error);
    }
    next();
  }

  // moved shows progress four times a second: more is restless.
  moved() {
    if (this.state !== "going" || this.soon) return;
    this.soon = setTimeout(() => this.show(), this.seen.offset === undefined ? 0 : 250);
  }

  show() {
    this.soon = 0;
    if (this.state !== "going") return;
    this.tried = 0;
    const { offset } = this.upload, now = performance.now(), seen = this.seen;
    const past = now - seen.at;
    if (seen.offset !== undefined && past > 0) {
      const speed = ((offset - seen.offset) * 1000) / past;
      seen.speed = seen.speed ? 0.7 * seen.speed + 0.3 * speed : speed;
    }
    [seen.offset, seen.at] = [offset, now];
    this.line.textContent = this.progress();
    summarize();
  }

  progress() {
    const { size, offset } = this.upload, speed = this.seen ? this.seen.speed : 0;
    this.bar.value = size ? offset / size : 1;
    const parts = [`${bytes(offset)} of ${bytes(size)}`];
    if (speed > 0) parts.push(bytes(speed) + "/s", clock((size - offset) / speed));
    return parts.join(" · ");
  }

  pause() {
    this.upload.stop();
    this.to("paused", `Paused at ${bytes(this.upload.offset)} of ${bytes(this.upload.size)}`, this.resumeButton, this.cancelButton);
    next();
  }

  fail(error) {
    if (error instanceof Failure) {
      this.upload.discard();
      const largest = Number(drop.dataset.max);
      if (error.status === 413 && this.upload.size > largest && largest > 0) {
        error.message = `Not uploaded: it has ${bytes(this.upload.size)}, and ${bytes(largest)} is the most here`;
      }
      this.to("failed", error.message, ["Dismiss", () => this.remove()]);
      say(`${this.label} was refused: ${error.message}`);
      return;
    }
    if (this.tried >= tries) {
      this.to("failed", error.message, ["Try again", () => { this.tried = 0; this.wait(); }], this.cancelButton);
      say(`${this.label} failed: ${error.message}`);
      return;
    }
    const seconds = Math.min(15, 2 ** this.tried++);
    this.to("paused", `${error.message}. Next try in ${seconds} s`, ["Try now", () => this.wait()], this.cancelButton);
    this.timer = setTimeout(() => this.wait(), seconds * 1000);
  }

  finish() {
    const { size } = this.upload;
    this.bar.value = 1;
    this.to("done", `Done, ${bytes(size)}${into ? "" : `, kept in ${drop.dataset.inbox}`}`, ["Dismiss", () => this.remove()]);
    say(`${this.label} is uploaded`);
    refresh();
  }

  // interrupted shows an upload that a reload cut off: the page may not open the
  // file again by itself.
  interrupted() {
    this.bar.value = this.upload.size ? this.upload.offset / this.upload.size : 0;
    this.to("paused", `Interrupted at ${bytes(this.upload.offset)} of ${bytes(this.upload.size)}. Choose the same file again to go on.`,
      ["Choose", () => picker.click()], this.cancelButton);
  }

  cancel() {
    clearTimeout(this.timer);
    this.upload.discard();
    this.remove();
    next();
  }

  remove() {
    const after = (this.item.nextElementSibling || this.item.previousElementSibling);
    const focused = this.item.contains(document.activeElement);
    this.item.remove();
    rows.delete(this.upload.key);
    if (focused) ((after && after.querySelector("button")) || picker).focus();
    summarize();
  }
}

function part(tag, kind, text) {
  const e = document.createElement(tag);
  if (kind) e.className = kind;
  if (text) e.textContent = text;
  return e;
}

function say(text) { told.textContent = text; }

// next runs what waits, in its order.
function next() {
  const all = [...rows.values()];
  let open = all.filter((r) => r.state !== "done").length;
  while (backlog.length && open < mostRows / 2) {
    const { file, folder } = backlog.shift();
    if (enter(file, folder)) open++;
  }
  for (const r of all) {
    if (rows.size <= mostRows) break;
    if (r.state !== "done") continue;
    past.files++;
    past.bytes += r.upload.size;
    r.remove();
  }
  const now = [...rows.values()];
  let free = most - now.filter((r) => r.state === "going").length;
  for (const r of now) if (free > 0 && r.state === "waiting") { free--; r.run(); }
}

// summarize tells of all uploads together when there are several.
function summarize() {
  const all = [...rows.values()].filter((r) => r.state !== "failed");
  const files = all.length + past.files + backlog.length;
  const done = all.filter((r) => r.state === "done").length + past.files;
  const add = (list, size) => list.reduce((n, r) => n + size(r), 0);
  const total = past.bytes + add(all, (r) => r.upload.size) + add(backlog, (b) => b.file.size);
  const moved = past.bytes + add(all, (r) => (r.state === "done" ? r.upload.size : r.upload.offset));
  sum.hidden = files < 2;
  sum.textContent = `${done} of ${files} files · ${bytes(moved)} of ${bytes(total)}`;
  const open = all.some((r) => r.state === "going");
  document.title = open && total ? `${Math.floor((100 * moved) / total)}% · ${title}` : title;
}

// refresh brings the list up to date, and marks what is new in it. While files come one
// after the other it does so from time to time.
let stale = false, refreshing = false;
async function refresh() {
  stale = true;
  if (refreshing) return;
  refreshing = true;
  try {
    while (stale) {
      stale = false;
      const link = (row) => { const a = row.querySelector("a"); return a && a.getAttribute("href"); };
      const rows = (list) => [...list.querySelectorAll("tbody tr")];
      const known = new Set(rows(document.getElementById("list")).filter((r) => !r.classList.contains("new")).map(link));
      const fresh = await show(location.pathname + location.search);
      if (fresh) for (const row of rows(fresh)) if (link(row) && !known.has(link(row))) row.classList.add("new");
      await new Promise((done) => setTimeout(done, 300));
    }
  } catch { /* the server is away: the list stays */ } finally {
    refreshing = false;
  }
}

// enter makes a row for a file, or goes on with the one there is. It reports whether the
// file waits now.
function enter(file, folder) {
  const there = rows.get(memory.key(file, folder));
  if (there && ["going", "waiting"].includes(there.state)) return false;
  if (there && there.state === "paused") {
    there.upload.file = file;
    there.ready();
    return true;
  }
  if (there) there.remove();
  new Row(new Upload(file, null, folder)).ready();
  return true;
}

// take takes files, each with the path of its folder below the one shown.
function take(files) {
  for (const [file, path] of files) backlog.push({ file, folder: into && into + path });
  summarize();
  next();
}

// What an earlier visit has left. What another tab is sending is asked for when
// it rests: asking interrupts it.
function recall() {
  for (const key of memory.keys()) {
    locked(key, async () => {
      const kept = memory.get(key);
      if (!kept || rows.has(key)) return;
      const upload = new Upload(null, { key, ...kept });
      try {
        if ((await upload.find()) && !rows.has(key)) new Row(upload).interrupted();
      } catch { /* the server is away: the next visit asks again */ }
    });
  }
}

form.onsubmit = (e) => {
  e.preventDefault();
  take([...picker.files].map((f) => [f, ""]));
  form.reset();
};
picker.onchange = () => form.requestSubmit();
if (folders) {
  folders.onchange = () => {
    take([...folders.files].map((f) => [f, f.webkitRelativePath.slice(0, f.webkitRelativePath.lastIndexOf("/") + 1)]));
    form.reset();
  };
}

// files lists the files of a dropped folder, and of those in it.
async function* files(folder, path) {
  const reader = folder.createReader();
  const read = (of, method) => new Promise((done, fail) => of[method](done, fail));
  for (;;) {
    const entries = await read(reader, "readEntries"); // some at a time
    if (!entries.length) return;
    for (const e of entries) {
      if (e.isDirectory) yield* files(e, path + e.name + "/");
      else yield [await read(e, "file"), path];
    }
  }
}

async function dropped(entries) {
  let unread = 0;
  for (const e of entries) {
    try {
      const some = [];
      for await (const file of files(e, e.name + "/")) some.push(file);
      take(some);
    } catch {
      unread++;
    }
  }
  note.hidden = !unread;
  if (unread) note.textContent = "A folder could not be read, and was left out.";
}

addEventListener("dragover", (e) => { e.preventDefault(); drop.classList.add("over"); });
addEventListener("dragleave", (e) => { if (!e.relatedTarget) drop.classList.remove("over"); });
addEventListener("drop", (e) => {
  e.preventDefault();
  drop.classList.remove("over");
  const entry = (i) => i.webkitGetAsEntry && i.webkitGetAsEntry();
  const items = [...e.dataTransfer.items].filter((i) => i.kind === "file");
  const trees = items.map(entry).filter((e) => e && e.isDirectory);
  const single = items.filter((i) => !(entry(i) || {}).isDirectory).map((i) => [i.getAsFile(), ""]);
  note.hidden = true;
  if (trees.length && !into) {
    note.hidden = false;
    note.textContent = "Folders cannot be uploaded here. Drop the files that are in them.";
  } else if (trees.length) {
    dropped(trees); // the entries are gone when this function has returned
  }
  take(single);
});
recall();

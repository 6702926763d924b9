// The page's uploads: a row for each, a few at a time.
"use strict";

const most = 3; // at a time: browsers open six connections to a server
const tries = 8;
const drop = document.getElementById("drop");
const form = drop.querySelector("form");
const picker = form.querySelector("input");
const list = document.getElementById("uploads");
const told = document.getElementById("told");
const note = document.getElementById("note");
const sum = document.getElementById("sum");
const title = document.title;
const rows = new Map(); // by key

class Row {
  constructor(upload) {
    this.upload = upload;
    this.state = "waiting";
    this.tried = 0;
    this.item = document.createElement("li");
    this.name = part("span", "name");
    this.name.title = upload.name;
    // The end of a name tells more than its middle, which is what is left out.
    const letters = [...upload.name];
    this.name.append(part("span", "", letters.slice(0, -8).join("")), part("span", "", letters.slice(-8).join("")));
    this.buttons = part("span", "buttons");
    this.bar = part("progress");
    this.bar.max = 1;
    this.bar.value = 0;
    this.bar.setAttribute("aria-label", upload.name);
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
      b.setAttribute("aria-label", `${label} ${this.upload.name}`);
      b.onclick = act;
      return b;
    }));
    if (focused && this.buttons.firstChild) this.buttons.firstChild.focus();
    summarize();
  }

  get cancelButton() { return ["Cancel", () => this.cancel()]; }
  get resumeButton() { return ["Resume", () => this.wait()]; }

  wait() {
    clearTimeout(this.timer);
    this.to("waiting", `${bytes(this.upload.size)}, waits for its turn`, this.cancelButton);
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
      say(`${this.upload.name} was refused: ${error.message}`);
      return;
    }
    if (this.tried >= tries) {
      this.to("failed", error.message, ["Try again", () => { this.tried = 0; this.wait(); }], this.cancelButton);
      say(`${this.upload.name} failed: ${error.message}`);
      return;
    }
    const seconds = Math.min(15, 2 ** this.tried++);
    this.to("paused", `${error.message}. Next try in ${seconds} s`, ["Try now", () => this.wait()], this.cancelButton);
    this.timer = setTimeout(() => this.wait(), seconds * 1000);
  }

  finish() {
    const { name, size } = this.upload;
    this.bar.value = 1;
    this.to("done", `Done, ${bytes(size)}, kept in ${drop.dataset.inbox}`, ["Dismiss", () => this.remove()]);
    say(`${name} is uploaded`);
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
  let free = most - all.filter((r) => r.state === "going").length;
  for (const r of all) if (free > 0 && r.state === "waiting") { free--; r.run(); }
}

// summarize tells of all uploads together when there are several.
function summarize() {
  const all = [...rows.values()].filter((r) => r.state !== "failed");
  const done = all.filter((r) => r.state === "done").length;
  const total = all.reduce((n, r) => n + r.upload.size, 0);
  const moved = all.reduce((n, r) => n + (r.state === "done" ? r.upload.size : r.upload.offset), 0);
  sum.hidden = all.length < 2;
  sum.textContent = `${done} of ${all.length} files · ${bytes(moved)} of ${bytes(total)}`;
  const open = all.some((r) => r.state === "going");
  document.title = open && total ? `${Math.floor((100 * moved) / total)}% · ${title}` : title;
}

// refresh brings the table up to date, and marks what is new in it.
async function refresh() {
  const answer = await fetch(location.pathname, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const old = document.querySelector("tbody"), fresh = page.querySelector("tbody");
  const link = (row) => { const a = row.querySelector("a"); return a && a.getAttribute("href"); };
  const known = new Set([...old.rows].filter((r) => !r.classList.contains("new")).map(link));
  for (const row of fresh.rows) if (link(row) && !known.has(link(row))) row.className = "new";
  old.replaceWith(fresh);
  document.getElementById("counts").textContent = page.getElementById("counts").textContent;
}

function take(files) {
  for (const file of files) {
    const there = rows.get(memory.key(file));
    if (there && ["going", "waiting"].includes(there.state)) continue;
    if (there && there.state === "paused") {
      there.upload.file = file;
      there.wait();
      continue;
    }
    if (there) there.remove();
    new Row(new Upload(file)).wait();
  }
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
  take(picker.files);
  form.reset();
};
picker.onchange = () => form.requestSubmit();

addEventListener("dragover", (e) => { e.preventDefault(); drop.classList.add("over"); });
addEventListener("dragleave", (e) => { if (!e.relatedTarget) drop.classList.remove("over"); });
addEventListener("drop", (e) => {
  e.preventDefault();
  drop.classList.remove("over");
  const folder = (i) => i.webkitGetAsEntry && i.webkitGetAsEntry() && i.webkitGetAsEntry().isDirectory;
  const items = [...e.dataTransfer.items].filter((i) => i.kind === "file");
  const files = items.filter((i) => !folder(i));
  note.hidden = files.length === items.length;
  note.textContent = note.hidden ? "" : "Folders cannot be uploaded here. Drop the files that are in them.";
  take(files.map((i) => i.getAsFile()));
});
recall();

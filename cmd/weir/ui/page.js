// Uploads by the tus protocol, version 1.0 (https://tus.io/protocols/resumable-upload).
// An upload that breaks, is paused, or is cut off by a reload goes on where the
// server says it has got to.
"use strict";

const endpoint = "/_upload/";
const tus = { "Tus-Resumable": "1.0.0" };
const list = document.getElementById("uploads");
const drop = document.getElementById("drop");
const form = drop.querySelector("form");
const picker = form.querySelector("input");

// memory keeps the addresses of unfinished uploads over a reload.
const memory = {
  key: (file) => ["weir", location.host, file.name, file.size, file.lastModified].join(":"),
  get(file) { try { return localStorage.getItem(this.key(file)); } catch { return null; } },
  set(file, url) { try { localStorage.setItem(this.key(file), url); } catch { /* goes on without */ } },
  drop(file) { try { localStorage.removeItem(this.key(file)); } catch { /* nothing was kept */ } },
};

const units = ["B", "KiB", "MiB", "GiB", "TiB"];
function bytes(n) {
  let i = 0;
  for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return (i === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)) + " " + units[i];
}

function base64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}

// Failure is what no further try can change.
class Failure extends Error {}

class Upload {
  constructor(file) {
    this.file = file;
    this.offset = 0;
    this.tries = 0;
    this.row = document.createElement("li");
    this.row.innerHTML = '<span class="name"></span><progress max="1" value="0"></progress>' +
      '<span><button type="button" class="pause">Pause</button> <button type="button" class="cancel">Cancel</button></span><p class="state"></p>';
    this.row.querySelector(".name").textContent = file.name;
    this.row.querySelector("progress").setAttribute("aria-label", file.name);
    this.bar = this.row.querySelector("progress");
    this.state = this.row.querySelector(".state");
    this.button = this.row.querySelector(".pause");
    this.button.onclick = () => (this.paused ? this.go() : this.pause());
    this.row.querySelector(".cancel").onclick = () => this.cancel();
    list.append(this.row);
  }

  say(text, kind) {
    this.state.textContent = text;
    this.row.className = kind || "";
  }

  pause() {
    this.paused = true;
    this.button.textContent = "Resume";
    clearTimeout(this.timer);
    if (this.request) this.request.abort();
    this.say(`paused at ${bytes(this.offset)} of ${bytes(this.file.size)}`, "paused");
  }

  async cancel() {
    this.pause();
    memory.drop(this.file);
    this.row.remove();
    if (this.url) {
      try { await fetch(this.url, { method: "DELETE", headers: tus }); } catch { /* it expires by itself */ }
    }
  }

  async go() {
    this.paused = false;
    this.button.textContent = "Pause";
    try {
      await this.locate();
      while (!this.paused && this.offset < this.file.size) await this.send();
      if (!this.paused) this.finish();
    } catch (error) {
      if (this.paused) return;
      if (error instanceof Failure || this.tries >= 8) {
        this.button.hidden = error instanceof Failure;
        this.paused = true;
        this.button.textContent = "Try again";
        this.tries = 0;
        this.say(error.message, "failed");
        return;
      }
      const wait = Math.min(15, 2 ** this.tries++);
      this.say(`${error.message}; trying again in ${wait} s`, "paused");
      this.timer = setTimeout(() => this.go(), wait * 1000);
    }
  }

  // locate finds out how far the server is, or makes a new upload.
  async locate() {
    this.url = this.url || memory.get(this.file);
    if (this.url) {
      const answer = await fetch(this.url, { method: "HEAD", headers: tus });
      if (answer.ok) {
        this.offset = Number(answer.headers.get("Upload-Offset"));
        return;
      }
      if (answer.status >= 500) throw new Error(`the server says ${answer.status}`);
      memory.drop(this.file);
    }
    this.offset = 0;
    const answer = await fetch(endpoint, {
      method: "POST",
      headers: { ...tus, "Upload-Length": this.file.size, "Upload-Metadata": "filename " + base64(this.file.name) },
    });
    await this.check(answer.status, () => answer.text());
    this.url = new URL(answer.headers.get("Location"), location.href).pathname;
    memory.set(this.file, this.url);
  }

  async check(status, text) {
    if (status >= 200 && status < 300) return;
    const said = (await text()).split("\n")[0].slice(0, 200);
    const message = said || `the server says ${status}`;
    if (status === 409 || status === 423 || status === 429 || status >= 500 && status !== 507) throw new Error(message);
    throw new Failure(message);
  }

  // send sends the rest in one request, until it is all there or breaks.
  send() {
    const from = this.offset, began = performance.now();
    return new Promise((resolve, reject) => {
      const r = (this.request = new XMLHttpRequest());
      r.open("PATCH", this.url);
      r.setRequestHeader("Tus-Resumable", "1.0.0");
      r.setRequestHeader("Upload-Offset", from);
      r.setRequestHeader("Content-Type", "application/offset+octet-stream");
      r.upload.onprogress = (e) => {
        this.tries = 0;
        this.offset = from + e.loaded;
        const speed = e.loaded / Math.max(0.001, (performance.now() - began) / 1000);
        this.bar.value = this.file.size ? this.offset / this.file.size : 1;
        const left = Math.ceil((this.file.size - this.offset) / speed);
        this.say(`${bytes(this.offset)} of ${bytes(this.file.size)}, ${bytes(speed)}/s, ${left} s left`);
      };
      r.onload = () => {
        this.check(r.status, async () => r.responseText).then(() => {
          this.offset = Number(r.getResponseHeader("Upload-Offset"));
          resolve();
        }, reject);
      };
      r.onerror = () => reject(new Error("the connection broke"));
      r.onabort = () => reject(new Error("paused"));
      r.send(this.file.slice(from));
    });
  }

  finish() {
    memory.drop(this.file);
    this.bar.value = 1;
    this.row.querySelector(".pause").remove();
    this.row.querySelector(".cancel").remove();
    this.say(`done, ${bytes(this.file.size)}`, "done");
    refresh();
  }
}

// refresh brings the table up to date.
async function refresh() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.querySelector("tbody").replaceWith(page.querySelector("tbody"));
}

function take(files) {
  for (const file of files) new Upload(file).go();
}

form.onsubmit = (e) => {
  e.preventDefault();
  take(picker.files);
  form.reset();
};
picker.onchange = () => form.requestSubmit();
form.querySelector("button").hidden = true;

addEventListener("dragover", (e) => { e.preventDefault(); drop.classList.add("over"); });
addEventListener("dragleave", (e) => { if (!e.relatedTarget) drop.classList.remove("over"); });
addEventListener("drop", (e) => {
  e.preventDefault();
  drop.classList.remove("over");
  take(e.dataTransfer.files);
});

// Uploads by the tus protocol, version 1.0 (https://tus.io/protocols/resumable-upload).
// An upload that breaks, is paused, or is cut off by a reload goes on where the
// server says it has got to.
"use strict";

const endpoint = "/_upload/";
const tus = { "Tus-Resumable": "1.0.0" };

// memory keeps the addresses of unfinished uploads over a reload. A browser that
// keeps nothing uploads all the same.
const memory = {
  prefix: "weir:",
  key(file) { return this.prefix + [file.name, file.size, file.lastModified].join(":"); },
  get(key) { try { return JSON.parse(localStorage.getItem(key)); } catch { return null; } },
  set(key, value) { try { localStorage.setItem(key, JSON.stringify(value)); } catch { /* as said */ } },
  drop(key) { try { localStorage.removeItem(key); } catch { /* as said */ } },
  keys() { try { return Object.keys(localStorage).filter((k) => k.startsWith(this.prefix)); } catch { return []; } },
};

// locked runs what holds the lock of a key, which all tabs share. A browser has
// locks only where the connection is safe, or to this machine.
function locked(key, run) {
  return navigator.locks ? navigator.locks.request(key, run) : run();
}

const units = ["B", "KiB", "MiB", "GiB", "TiB"];
function bytes(n) {
  let i = 0;
  for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return (i === 0 || n >= 100 ? Math.round(n) : n.toFixed(1).replace(/\.0$/, "")) + " " + units[i];
}

function clock(seconds) {
  if (!isFinite(seconds)) return "";
  if (seconds < 60) return Math.ceil(seconds) + " s left";
  if (seconds < 3600) return Math.ceil(seconds / 60) + " min left";
  return (seconds / 3600).toFixed(1) + " h left";
}

function base64(text) {
  let raw = "";
  for (const b of new TextEncoder().encode(text)) raw += String.fromCharCode(b);
  return btoa(raw);
}

// Failure is what no further try can change.
class Failure extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

// Upload sends one file. Its owner sets moved, which is called as bytes go, and
// runs go, which returns when all is there, and throws a Failure, or an Error
// when another try may help. After stop, go returns false.
class Upload {
  constructor(file, kept) {
    this.key = file ? memory.key(file) : kept.key;
    this.name = file ? file.name : kept.name;
    this.size = file ? file.size : kept.size;
    this.file = file;
    this.url = (memory.get(this.key) || {}).url;
    this.offset = 0;
    this.turn = 0;
    this.moved = () => {};
  }

  stop() {
    this.turn++;
    if (this.request) this.request.abort();
  }

  // go sends under the lock of the upload, so that the page in another tab leaves
  // it alone.
  async go() {
    const turn = ++this.turn;
    const going = this.going;
    const went = locked(this.key, async () => {
      await going; // an earlier turn may still wait for the server
      return this.run(turn);
    });
    this.going = went.catch(() => {});
    return went;
  }

  async run(turn) {
    const ended = () => turn !== this.turn;
    try {
      if (ended()) return false;
      const found = await this.find();
      if (ended()) return false;
      if (!found) await this.create();
      while (!ended() && this.offset < this.size) await this.send(turn);
    } catch (error) {
      if (!ended()) throw error;
    }
    if (ended()) return false;
    memory.drop(this.key);
    return true;
  }

  // discard ends the upload on the server too, also one that is only being made.
  async discard() {
    this.stop();
    const url = await this.forget();
    this.url = undefined;
    if (!url) return;
    try { await fetch(url, { method: "DELETE", headers: tus }); } catch { /* it expires by itself */ }
  }

  // forget waits for what is under way, and returns the address there was.
  async forget() {
    memory.drop(this.key);
    await this.going;
    const { url } = this;
    if (url && (memory.get(this.key) || {}).url === url) memory.drop(this.key);
    return url;
  }

  // find asks the server how far it is, if it knows of the upload.
  async find() {
    if (!this.url) return false;
    const answer = await reach(this.url, { method: "HEAD", headers: tus });
    if (answer.ok) {
      this.offset = Number(answer.headers.get("Upload-Offset"));
      this.moved();
      return true;
    }
    if (![403, 404, 410].includes(answer.status)) check(answer.status, "");
    memory.drop(this.key);
    this.url = undefined;
    return false;
  }

  async create() {
    this.offset = 0;
    const answer = await reach(endpoint, {
      method: "POST",
      headers: { ...tus, "Upload-Length": this.size, "Upload-Metadata": "filename " + base64(this.name) },
    });
    check(answer.status, answer.ok ? "" : await answer.text());
    this.url = new URL(answer.headers.get("Location"), location.href).pathname;
    memory.set(this.key, { url: this.url, name: this.name, size: this.size });
  }

  // send sends the rest in one request, until it is all there or breaks.
  send(turn) {
    const from = this.offset;
    return new Promise((resolve, reject) => {
      const r = (this.request = new XMLHttpRequest());
      r.open("PATCH", this.url);
      r.setRequestHeader("Tus-Resumable", "1.0.0");
      r.setRequestHeader("Upload-Offset", from);
      r.setRequestHeader("Content-Type", "application/offset+octet-stream");
      r.upload.onprogress = (e) => {
        if (turn !== this.turn) return;
        this.offset = from + e.loaded;
        this.moved();
      };
      r.onload = () => {
        try {
          check(r.status, r.responseText);
          this.offset = Number(r.getResponseHeader("Upload-Offset"));
          resolve();
        } catch (error) {
          reject(error);
        }
      };
      r.onerror = () => reject(new Error("The connection broke"));
      r.onabort = () => reject(new Error("stopped"));
      r.send(this.file.slice(from));
    });
  }
}

// reach is fetch with an error that people understand.
async function reach(url, options) {
  try {
    return await fetch(url, options);
  } catch {
    throw new Error("The server cannot be reached");
  }
}

// check throws what the server said, if it refused.
function check(status, text) {
  if (status >= 200 && status < 300) return;
  const said = text.split("\n")[0].replace(/^ERR_[A-Z_]+: /, "").slice(0, 200);
  const message = said ? said[0].toUpperCase() + said.slice(1) : `The server says ${status}`;
  const passes = [408, 409, 423, 429].includes(status) || (status >= 500 && status !== 507);
  throw passes ? new Error(message) : new Failure(message, status);
}

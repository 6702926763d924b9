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
  key(file, folder) { return this.prefix + [folder + file.name, file.size, file.lastModified].join(":"); },
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

const KiB = 1024, MiB = 1024 * KiB;

// pieces decides how much to send in one request. It sends all there is, until a server on
// the way refuses that much (413), or breaks the connection at the same size or a round
// one. Then it sends less, remembers that for a day, and tries more after some successes,
// but never what was refused.
const pieces = {
  least: 64 * KiB,
  key: "weir-piece",
  size: Infinity, // of the next piece
  most: Infinity, // what may be allowed
  won: 0, // pieces of this size that have arrived
  broke: -1, // bytes that arrived before the last break

  recall() {
    const kept = memory.get(this.key);
    if (!kept || !(Date.now() - kept.at < 24 * 3600 * 1000)) return memory.drop(this.key);
    [this.size, this.most] = [kept.size, kept.most || Infinity];
  },
  remember() {
    memory.set(this.key, { size: this.size, most: isFinite(this.most) ? this.most : 0, at: Date.now() });
  },

  // allow takes the limit that the server announces.
  allow(n) {
    if (!(n > 0)) return;
    this.most = Math.min(this.most, n);
    this.size = Math.min(this.size, n);
  },

  // refused notes that n bytes are too much, and reports whether less may do.
  refused(n) {
    if (n <= this.least) return false;
    this.most = Math.min(this.most, n - 1);
    if (this.size > this.most) this.size = Math.max(this.least, Math.min(64 * MiB, power(n / 2)));
    this.won = 0;
    this.remember();
    return true;
  },

  // broken notes that the connection broke after the server had got n bytes of a piece of
  // size bytes.
  broken(n, size) {
    const before = this.broke;
    this.broke = n;
    if (size <= MiB) return;
    if (n === 0 && before === 0) this.refused(size); // it was refused, and the answer was lost
    if (n < this.least || (!round(n) && Math.abs(n - before) > n / 16)) return;
    this.size = Math.max(this.least, power(n));
    this.most = Math.min(this.most, Math.max(this.size, n));
    this.won = 0;
    this.remember();
  },

  passed(n) {
    this.broke = -1;
    if (n < this.size || ++this.won < 4 || !isFinite(this.size)) return;
    this.won = 0;
    if (this.size * 2 > this.most) return;
    this.size *= 2;
    this.remember();
  },
};

// power is the largest power of two that is not above n.
function power(n) { return 2 ** Math.floor(Math.log2(Math.max(1, n))); }

// round reports whether n is about a size that people set as a limit. What a server on the
// way holds when it breaks off is missing.
function round(n) {
  for (const unit of [MiB, 1e6]) {
    for (const times of [1, 2, 4, 5, 8, 10, 16, 20, 25, 32, 50, 64, 100, 128, 200, 256, 500, 512, 1000, 1024]) {
      const limit = unit * times;
      if (n <= limit && n > limit - 128 * KiB) return true;
    }
  }
  return false;
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
  constructor(file, kept, folder = "") {
    this.key = file ? memory.key(file, folder) : kept.key;
    this.name = file ? file.name : kept.name;
    this.folder = file ? folder : kept.folder || ""; // a path below the uploads
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
      if (found && this.cut) pieces.broken(this.offset - this.cut.from, this.cut.size);
      this.cut = undefined;
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
    if (![403, 404, 410].includes(answer.status)) throw refusal(answer.status, "");
    memory.drop(this.key);
    this.url = undefined;
    return false;
  }

  async create() {
    this.offset = 0;
    const answer = await reach(endpoint + (this.folder ? "?" + new URLSearchParams({ folder: this.folder }) : ""), {
      method: "POST",
      headers: { ...tus, "Upload-Length": this.size, "Upload-Metadata": "filename " + base64(this.name) },
    });
    if (!answer.ok) throw refusal(answer.status, said((name) => answer.headers.get(name), await answer.text()));
    pieces.allow(announced(answer.headers.get("Upload-Limit")));
    this.url = new URL(answer.headers.get("Location"), location.href).pathname;
    memory.set(this.key, { url: this.url, name: this.name, size: this.size, folder: this.folder });
  }

  // send sends a piece. It returns when the server has it, or wants a smaller one.
  send(turn) {
    const from = this.offset, size = Math.min(this.size - from, pieces.size);
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
        const there = r.getResponseHeader("Upload-Offset");
        if (r.status >= 200 && r.status < 300 && there !== null) {
          this.offset = Number(there);
          pieces.passed(size);
          resolve();
        } else if (r.status === 413 && pieces.refused(size)) {
          this.offset = from;
          resolve();
        } else {
          this.offset = from;
          reject(refusal(r.status, said((name) => r.getResponseHeader(name), r.responseText)));
        }
      };
      r.onerror = () => {
        this.cut = { from, size };
        reject(new Error("The connection broke"));
      };
      r.onabort = () => reject(new Error("stopped"));
      r.send(this.file.slice(from, from + size));
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

// announced is the limit of a request in Upload-Limit.
function announced(limit) {
  const found = /(?:^|[,\s])max-append-size=(\d+)/.exec(limit || "");
  return found ? Number(found[1]) : 0;
}

// said is what weir says of a refusal. What another server on the way says is not for
// people, and can be anything.
function said(header, text) {
  if (!header("Tus-Resumable") || !(header("Content-Type") || "").startsWith("text/plain")) return "";
  const line = text.split("\n")[0].replace(/^ERR_[A-Z_]+: /, "").slice(0, 200);
  return line && line[0].toUpperCase() + line.slice(1);
}

const meanings = {
  401: "Your password is required again: reload the page",
  403: "You may not upload here",
  404: "The server does not know this upload any more",
  413: "It is too large for the server, or for one on the way to it",
  421: "The server does not answer under this name",
  429: "Too many requests",
  500: "The server could not store it",
  502: "The server cannot be reached",
  503: "The server is busy",
  504: "The server did not answer in time",
  507: "There is not enough space on the server",
};

// refusal is the error of a status: a Failure, or an Error if another try may help.
function refusal(status, text) {
  const message = text || meanings[status] || `The server refused it (${status})`;
  const passes = status < 400 || [408, 409, 423, 425, 429].includes(status) || (status >= 500 && status !== 507);
  return passes ? new Error(message) : new Failure(message, status);
}

pieces.recall();

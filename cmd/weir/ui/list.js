// The listing: times where the reader is, and a filter that works while one types.
// Without this script the page shows UTC and has a button to filter.
"use strict";

const two = (n) => String(n).padStart(2, "0");

// localize shows the times of a part of the page in the reader's time zone.
function localize(part) {
  for (const t of part.querySelectorAll("time[datetime]")) {
    const d = new Date(t.dateTime);
    if (isNaN(d)) continue;
    t.textContent = `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${two(d.getHours())}:${two(d.getMinutes())}`;
    t.title = d.toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" });
  }
  const zone = part.querySelector(".zone");
  if (zone) zone.remove();
}

// show replaces the list by that of another address of this folder, and returns the new
// one. It returns nothing if a newer call has overtaken this one.
let shows = 0;
async function show(address) {
  const turn = ++shows;
  const answer = await fetch(address, { headers: { Accept: "text/html" } });
  if (!answer.ok || turn !== shows) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("list");
  if (!fresh || turn !== shows) return;
  localize(fresh);
  document.getElementById("list").replaceWith(fresh);
  return fresh;
}

const filter = document.getElementById("filter");
const words = filter.querySelector("[name=q]");
let asked = words.value.trim(), pause;

async function sift() {
  const q = words.value.trim();
  if (q === asked) return;
  asked = q;
  filter.classList.toggle("used", q !== "");
  const query = new URLSearchParams(new FormData(filter));
  query.set("q", q);
  if (!q) query.delete("q");
  const address = location.pathname + (query.size ? "?" + query : "");
  try {
    if (await show(address)) history.replaceState(null, "", address);
  } catch { /* the server is away: the list stays */ }
}

words.addEventListener("input", () => {
  clearTimeout(pause);
  pause = setTimeout(sift, 120);
});
filter.addEventListener("submit", (e) => {
  e.preventDefault();
  clearTimeout(pause);
  sift();
});
addEventListener("keydown", (e) => {
  if (e.key !== "/" || e.ctrlKey || e.metaKey || e.altKey || e.target.closest("input, textarea")) return;
  e.preventDefault();
  words.focus();
});
localize(document);

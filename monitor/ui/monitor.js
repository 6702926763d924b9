'use strict'
// The page of package monitor: it reads the history once, and then a snapshot and
// its changes as server-sent events. The package's documentation has the format.
const $ = id => document.getElementById(id)
let state = null
let closed = false

function merge(into, patch) {
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete into[key]
    else if (typeof value === 'object' && !Array.isArray(value)) into[key] = merge(into[key] ?? {}, value)
    else into[key] = value
  }
  return into
}

const sizes = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
function bytes(n) {
  let i = 0
  while (n >= 1024 && i < sizes.length - 1) { n /= 1024; i++ }
  return (i === 0 ? n.toFixed(0) : n.toFixed(1)) + ' ' + sizes[i]
}
const rate = (n, unit) => (unit === 'items' ? n.toLocaleString() : bytes(n)) + '/s'
const percent = x => Math.round(100 * x) + '%'
const ids = o => Object.keys(o).map(Number).sort((a, b) => a - b)

function make(tag, text, cls) {
  const e = document.createElement(tag)
  if (text !== undefined) e.textContent = text
  if (cls) e.className = cls
  return e
}

function table(heads, rows) {
  const t = make('table'), top = t.createTHead().insertRow(), body = t.createTBody()
  for (const h of heads) top.append(make('th', h))
  for (const { cells, cls } of rows) {
    const tr = body.insertRow()
    if (cls) tr.className = cls
    for (const c of cells) {
      const td = tr.insertCell()
      c instanceof Node ? td.append(c) : td.textContent = c
    }
  }
  const scroll = make('div', undefined, 'scroll')
  scroll.append(t)
  return scroll
}

function fill(p) {
  const m = make('meter')
  m.max = p.limit || 1
  m.value = p.used
  m.title = bytes(p.used) + (p.limit ? ' of ' + bytes(p.limit) : '')
  return m
}

function flow(f) {
  const box = make('article')
  box.append(make('h2', `flow ${f.id} ${f.name} · ${f.state} · ${f.wall.toFixed(1)} s`))
  box.append(make('p', f.sentence))
  if (f.error) box.append(make('p', f.error))
  box.append(table(['stage', 'busy', 'blocked', 'starved', 'outside', 'in', 'out'], ids(f.stages).map(i => {
    const s = f.stages[i]
    return { cls: f.verdict.stage === i ? 'bottleneck' : '', cells: [s.name, ...s.shares.slice(0, 4).map(percent), rate(s.in_rate, s.unit), rate(s.out_rate, s.out_unit)] }
  })))
  if (ids(f.pipes).length) {
    box.append(table(['pipe', 'fill', 'held', 'limit'], ids(f.pipes).map(i => {
      const p = f.pipes[i]
      return { cells: [p.name, fill(p), bytes(p.used), p.limit ? bytes(p.limit) : p.items + ' items'] }
    })))
  }
  return box
}

function group(name, g) {
  const box = make('article')
  box.append(make('h2', `transfers ${name}: ${g.active} on their way, ${g.succeeded} succeeded, ${g.failed} failed`))
  const rows = ids(g.rows).map(i => g.rows[i]).sort((a, b) => b.waited - a.waited)
  if (rows.length) {
    box.append(table(['client', 'file', 'state', 'moved', 'rate', 'unsent', 'waited'], rows.map(r => ({
      cells: [r.client, r.name, r.state, bytes(r.moved) + (r.size >= 0 ? ' of ' + bytes(r.size) : ''), rate(r.rate), bytes(r.unsent), r.waited.toFixed(0) + ' s']
    }))))
  }
  if (g.hidden) box.append(make('p', `${g.hidden} more, which have waited less`, 'quiet'))
  return box
}

function draw() {
  if (!state) return
  const s = state
  $('state').textContent = s.closed ? 'ended' : s.state
  $('sentence').textContent = s.sentence + (s.since && s.time > s.since ? ` (since ${(s.time - s.since).toFixed(0)} s)` : '')
  $('numbers').textContent = `${rate(s.in)} in · ${rate(s.out)} out · ${bytes(s.memory.used)} of ${bytes(s.memory.limit)} in buffers · process ${bytes(s.process.rss || s.process.heap)}`
  const flows = Object.values(s.flows).sort((a, b) => b.running - a.running || b.id - a.id)
  $('flows').replaceChildren(...flows.map(flow))
  $('transfers').replaceChildren(...Object.entries(s.transfers).map(([name, g]) => group(name, g)))
  $('events').replaceChildren(...ids(s.events).reverse().map(i => {
    const e = s.events[i]
    return make('li', new Date(e.time * 1000).toLocaleTimeString() + '  ' + e.text)
  }))
}

async function start() {
  try {
    const h = await (await fetch('history.json')).json()
    $('history').textContent = `history: ${h.points.length} s, ${bytes(h.bytes)} of ${bytes(h.limit)}`
  } catch { /* the events below say what is wrong */ }
  const source = new EventSource('events')
  source.addEventListener('snapshot', e => { state = JSON.parse(e.data); draw() })
  source.addEventListener('patch', e => {
    merge(state, JSON.parse(e.data))
    if (state.closed && !closed) { closed = true; source.close() }
    draw()
  })
  source.addEventListener('error', () => { if (!closed) $('state').textContent = 'no connection; what is shown is the last that is known' })
}
start()

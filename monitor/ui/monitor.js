'use strict'
// The page of package monitor. It gets snapshots from worker.js, which all pages
// of a browser share, and keeps the last 10 minutes of them. In a saved report
// the data is in the page. The package's documentation has the format.
const $ = id => document.getElementById(id)
const inReport = $('data') !== null

let state = null // the latest snapshot
let link = 'connecting' // also: live, polling, lost, ended, replaced, saved
let lostAt = null
let points = [] // the last 10 minutes, the oldest first: see Point in the package
let frozen = null // {state, points, transfer} while the picture is frozen
let seconds = location.hash === '#600' ? 600 : 60
let cursorAt = null // the time under the pointer
let chosen = null // the flow the user wants to see: 'flow 12' or 'files 7'
let transfer = null // {subject, flow, samples}: the transfer that is shown
let recording = false // of a trace
let program = null

// see takes a snapshot.
function see(next, how) {
  if (link === 'ended' || link === 'replaced') return
  link = how
  lostAt = how === 'lost' ? lostAt ?? new Date() : null
  if (next && next !== state) {
    if (program !== null && next.program.start !== program) {
      link = 'replaced' // by another program at the same address: what is shown is kept
    } else {
      program = next.program.start
      state = next
      keep(pointOf(next))
    }
  }
  redraw()
}

// pointOf makes of a snapshot what the history has of one.
function pointOf(s) {
  return {
    t: s.time, i: s.in, o: s.out, u: s.memory.used, l: s.memory.limit, h: s.process.heap, r: s.process.rss,
    f: Object.values(s.flows).filter(f => f.running).map(f => ({ id: f.id, i: f.in, o: f.out, b: f.verdict.stage, s: ids(f.stages).map(i => f.stages[i].shares.map(x => Math.round(100 * x))) })),
  }
}

// keep appends a point. Of older than a minute one a second is enough.
function keep(p) {
  const last = points.at(-1)
  if (last && p.t - last.t < 0.2) return
  points.push(p)
  while (points.length && points[0].t < p.t - 601) points.shift()
  if (points.length > 1200) {
    let before = 0
    points = points.filter(q => {
      if (q.t < p.t - 61 && q.t - before < 0.9) return false
      before = q.t
      return true
    })
  }
}

async function loadHistory() {
  try {
    const h = await (await fetch('history.json')).json()
    const first = points.length ? points[0].t : Infinity
    points = h.points.filter(p => p.t < first - 0.2).concat(points)
    redraw()
  } catch { /* what comes says what is wrong */ }
}

// subjectOf is what the picture shows.
function subjectOf(s) {
  if (chosen && (s.flows[chosen.slice(5)] || !chosen.startsWith('flow '))) return chosen
  if (s.subject) return s.subject
  const last = ids(s.flows).at(-1)
  return last === undefined ? '' : 'flow ' + last
}

// loadTransfer asks for the stages of the transfer that is shown, once a second.
let loading = false
async function loadTransfer() {
  const subject = state && link !== 'ended' && link !== 'replaced' && !document.hidden ? subjectOf(state) : ''
  if (!subject || subject.startsWith('flow ') || loading) return
  loading = true
  const at = subject.lastIndexOf(' ')
  try {
    const answer = await fetch(`transfer.json?group=${encodeURIComponent(subject.slice(0, at))}&id=${subject.slice(at + 1)}`)
    if (!answer.ok) throw new Error()
    const flow = await answer.json()
    const row = state.transfers[subject.slice(0, at)]?.rows[subject.slice(at + 1)]
    if (row) flow.name = `${row.kind} of ${row.name}, ${row.client}`
    const last = transfer?.subject === subject ? transfer : { subject, samples: [] }
    const sample = { t: state.time, b: flow.verdict.stage, s: ids(flow.stages).map(i => recent(flow.stages[i], last.flow?.stages[i])) }
    ids(flow.stages).forEach((i, n) => { flow.stages[i].shares = sample.s[n].map(x => x / 100) })
    last.flow = flow
    last.samples.push(sample)
    if (last.samples.length > 600) last.samples.shift()
    transfer = last
  } catch {
    if (chosen === subject) chosen = null // it has ended
  }
  loading = false
  redraw()
}

// recent is how a stage has spent its time since before, in percent.
function recent(s, before) {
  const spent = s.seconds.map((x, i) => Math.max(0, x - (before?.seconds[i] ?? 0)))
  const sum = spent.reduce((a, b) => a + b, 0)
  return sum > 0 ? spent.map(x => Math.round(100 * x / sum)) : s.shares.map(x => Math.round(100 * x))
}

function make(tag, text, cls) {
  const e = document.createElement(tag)
  if (text !== undefined) e.textContent = text
  if (cls) e.className = cls
  return e
}

// say sets a text only if it changes, so that a selection stays.
function say(e, text) { if (e.textContent !== text) e.textContent = text }

// fillRows makes the rows of a table body what they should be, with as few
// changes as it can. A row is {cells, act}. In a narrow window each row is a card,
// where each cell has the head of its column.
function fillRows(body, rows) {
  while (body.rows.length > rows.length) body.deleteRow(-1)
  rows.forEach((r, n) => {
    const tr = body.rows[n] ?? body.insertRow()
    tr.role = 'row'
    while (tr.cells.length < r.cells.length) {
      const td = tr.insertCell()
      td.role = 'cell'
      const head = body.heads[tr.cells.length - 1]
      td.dataset.head = shortHeads[head] ?? head
    }
    r.cells.forEach((text, i) => {
      const td = tr.cells[i], cls = r.classes?.[i] ?? ''
      if (i === 0 && r.act) {
        if (!td.firstElementChild) {
          const b = make('button')
          b.type = 'button'
          b.addEventListener('click', () => b.act())
          td.replaceChildren(b)
        }
        td.firstElementChild.act = r.act
        say(td.firstElementChild, text)
      } else if (cls.includes('name')) {
        // An element of its own keeps the order of its characters, see the style of .name.
        if (!td.firstElementChild) td.replaceChildren(make('bdi'))
        say(td.firstElementChild, text)
      } else say(td, text)
      if (td.className !== cls) td.className = cls
      if (/client|name/.test(cls) && td.title !== text) td.title = text // there may be no room for all of it
    })
  })
}

const words = new Set(['client', 'direction', 'file', 'state', 'flow', 'verdict']) // heads of columns that have no numbers
const shortHeads = { 'waited for room': 'waited', 'writers waited': 'waited' } // in cards
function table(cls, heads) {
  const scroll = make('div', undefined, cls === 'stages' ? 'scroll' : 'scroll tall'), t = make('table', undefined, cls), head = t.createTHead(), top = head.insertRow()
  for (const h of heads) top.append(make('th', h, words.has(h) ? 'text' : ''))
  scroll.append(t)
  const body = t.createTBody()
  body.heads = heads
  // Where the rows are cards they have no table layout, and some browsers then take
  // them for no table.
  t.role = 'table'
  head.role = body.role = 'rowgroup'
  top.role = 'row'
  for (const th of top.cells) th.role = 'columnheader'
  scroll.addEventListener('scroll', () => showMore(scroll))
  return { scroll, body }
}

// showMore lets a box that scrolls fade where it goes on.
function showMore(box) {
  const right = box.scrollWidth - box.clientWidth - box.scrollLeft > 1, left = box.scrollLeft > 1
  const below = box.scrollHeight - box.clientHeight - box.scrollTop > 1
  const more = [left && 'left', right && 'right', below && 'below'].filter(Boolean).join(' ')
  if ((box.dataset.more ?? '') !== more) box.dataset.more = more
}

const glyphs = { 'idle': '○', 'measuring': '…', 'keeping up': '●', 'pushing back': '◀', 'stalled': '■', 'succeeded': '✓', 'failed': '✕', 'canceled': '⊘' }

function linkText() {
  switch (link) {
    case 'ended': return 'The program has ended. The page keeps its data.'
    case 'replaced': return 'The program has ended. Another one runs at this address; reload the page to see it.'
    case 'lost': return `No connection since ${lostAt.toLocaleTimeString('en-GB')}; retrying. The page keeps its data.`
    case 'polling': return 'No event stream (too many viewers?); updated every 2 s.'
    case 'saved': return 'A saved report.'
  }
  return ''
}

function sinceText(s, since) { return since && s.time > since ? ` (since ${span(Math.floor(s.time - since)).replace('.0', '')})` : '' }

// inItems reports whether a flow moves items and no bytes: then its own rates are
// shown, since those of the snapshot are of bytes.
const inItems = f => !!f && ids(f.stages).map(i => f.stages[i]).every(x => (x.kind === 'source' || x.unit === 'items') && (x.kind === 'sink' || x.out_unit === 'items'))
function numbersText(s, f) {
  const active = Object.values(s.transfers).reduce((n, g) => n + g.active, 0)
  const rates = inItems(f) && f.running && !s.in && !s.out ? `${rate(f.in, 'items')} in · ${rate(f.out, 'items')} out` : `${rate(s.in)} in · ${rate(s.out)} out`
  return `${rates} · ${bytes(s.memory.used)}${s.memory.limit ? ' of ' + bytes(s.memory.limit) : ''} in buffers · process ${bytes(s.process.rss || s.process.heap)}` +
    (Object.keys(s.transfers).length ? ` · ${active.toLocaleString('en')} transfers` : '') + (s.running > 1 ? ` · ${s.running} flows run` : '')
}
const flowName = f => `flow ${f.id}${f.name ? ' · ' + f.name : ''}`

let planned = false
function redraw() {
  if (planned) return
  planned = true
  requestAnimationFrame(() => { planned = false; draw() })
}

function draw() {
  const s = frozen?.state ?? state
  say($('link'), linkText() + (frozen ? ` Frozen at ${clock(s.time)}.` : ''))
  document.body.classList.toggle('frozen', frozen !== null)
  if (!s) return
  const pts = frozen?.points ?? points
  $('state').dataset.state = s.state
  say($('state'), `${glyphs[s.state] ?? ''} ${s.state}`)
  sentence(s)
  document.title = `${glyphs[s.state] ?? ''} ${s.state} · ${s.program.name}`

  const subject = subjectOf(s), known = frozen ? frozen.transfer : transfer
  let f = subject.startsWith('flow ') ? s.flows[subject.slice(5)] : known?.subject === subject ? known.flow : null
  let samples = []
  if (f && subject.startsWith('flow ')) {
    samples = pts.flatMap(p => (p.f ?? []).filter(x => x.id === f.id).map(x => ({ t: p.t, s: x.s, b: x.b })))
  } else if (f) samples = known.samples
  say($('numbers'), numbersText(s, f))
  drawFlow(f, s)
  const now = samples.length && f && !f.running && Object.values(s.flows).every(x => !x.running) ? Math.max(samples.at(-1).t, pts.at(-1)?.t - seconds) : s.time
  strips(f, samples, now, seconds, cursorAt)
  chart('memory', pts, now, seconds, cursorAt, [{ key: 'u', name: 'in buffers', color: 'blocked', area: true }], bytes, 'l')
  chart('process', pts, now, seconds, cursorAt, [{ key: 'r', name: 'resident', color: 'first' }, { key: 'h', name: 'heap', color: 'second', dash: [2, 3] }], bytes)
  const items = inItems(f) && !s.in && !s.out
  const flows = items ? pts.map(p => ({ t: p.t, ...(p.f ?? []).find(x => x.id === f.id) })) : pts
  chart('throughput', flows, now, seconds, cursorAt, [{ key: 'i', name: 'in', color: 'first' }, { key: 'o', name: 'out', color: 'second', dash: [2, 3] }], x => rate(x, items ? 'items' : 'bytes'))
  drawReadout(f, samples, pts)
  drawTransfers(s)
  drawFlows(s)
  drawEvents(s)
  for (const box of document.querySelectorAll('#picture, #events, .scroll')) showMore(box)
}

// sentence shows the verdict. It takes no less height than before while it is about the same
// thing: what is below it must not move when a number in it gets shorter.
let about = ''
function sentence(s) {
  const h = $('sentence'), now = `${s.state} ${s.subject} ${innerWidth}`
  if (about !== now) {
    about = now
    h.style.minHeight = ''
  }
  say(h, s.sentence + sinceText(s, s.since))
  h.style.minHeight = `${h.offsetHeight}px`
}

// beginText says what the page will show, while it has nothing to show.
function beginText(s) {
  return Object.keys(s.transfers).length
    ? 'Download a file from this server, or upload one: here you will see what it waits for, and below it the clients, the slowest first.'
    : 'Run a flow in this program, as with flow.Run(ctx): here you will see its stages, the buffers between them, and which stage is slow.'
}

let details = null // the tables with the numbers of stages, buffers and edges
function drawFlow(f, s) {
  if (!f) {
    say($('flowname'), s.subject.startsWith('flow ') || !s.subject ? Object.keys(s.transfers).length ? 'Nothing is running' : 'No flow has run yet' : 'Transfer')
    const begin = s.subject ? '' : beginText(s)
    if ($('picture').textContent !== begin || $('picture').firstElementChild?.tagName !== 'P') $('picture').replaceChildren(make('p', begin, 'quiet'))
    return
  }
  say($('flowname'), (f.id && s.flows[f.id] === f ? flowName(f) : f.name) + ` · ${f.running ? 'runs for' : f.state + ' after'} ${span(f.wall)}` + (chosen ? ' (chosen)' : ''))
  const box = $('picture'), { scrollLeft } = box
  box.replaceChildren(picture(f, box.clientWidth))
  box.scrollLeft = scrollLeft
  if (!$('details').open) return
  details ??= [
    table('stages', ['stage', 'busy', 'blocked', 'starved', 'outside', 'in', 'out', 'waited for room', 'workers']),
    table('stages', ['buffer', 'held', 'peak', 'writers waited', 'for']),
    table('stages', ['edge', 'held', 'at most', 'lag', 'full']),
  ]
  if (!$('tables').hasChildNodes()) $('tables').append(...details.map(t => t.scroll))
  const [stages, pipes, edges] = details
  fillRows(stages.body, ids(f.stages).map(i => {
    const x = f.stages[i]
    return { cells: [(f.verdict.stage === i ? '▶ ' : '') + x.name, ...x.shares.slice(0, 4).map(percent), x.kind === 'source' ? '' : rate(x.in_rate, x.unit), x.kind === 'sink' ? '' : rate(x.out_rate, x.out_unit), x.blocked.toLocaleString('en') + ' times', String(x.workers)], classes: ['', 'share', 'share', 'share', 'share', 'half', 'half', 'half', 'half'] }
  }))
  fillRows(pipes.body, ids(f.pipes).map(i => {
    const p = f.pipes[i]
    return { cells: [p.name, held(p), bytes(p.peak), p.blocked.toLocaleString('en') + ' times', span(p.blocked_seconds)], classes: ['', 'held long', 'half', 'half', 'half'] }
  }))
  const behind = ids(f.stages).filter(i => f.stages[i].edge)
  edges.scroll.hidden = behind.length === 0
  fillRows(edges.body, behind.map(i => {
    const e = f.stages[i].edge
    return { cells: [e.name, bytes(e.held), bytes(e.max), bytes(e.lag), e.refused.toLocaleString('en') + ' times'], classes: ['', 'half', 'half', 'half', 'half'] }
  }))
}

function drawReadout(f, samples, pts) {
  if (cursorAt === null) { say($('readout'), 'Point at a time, or use the arrow keys, to read its values.'); return }
  const nearest = list => list.reduce((best, x) => best === null || Math.abs(x.t - cursorAt) < Math.abs(best.t - cursorAt) ? x : best, null)
  const p = nearest(pts), q = nearest(samples)
  let text = clock(cursorAt)
  if (q && f && Math.abs(q.t - cursorAt) < 2) {
    text += ' · ' + ids(f.stages).map((i, n) => q.s[n] ? `${f.stages[i].name} ${stateNames[main(q.s[n])]} ${q.s[n][main(q.s[n])]}%` : '').filter(Boolean).slice(0, 6).join(', ')
  }
  if (p && Math.abs(p.t - cursorAt) < 2) text += ` · ${bytes(p.u)} in buffers · ${rate(p.i)} in, ${rate(p.o)} out`
  say($('readout'), text)
}

// choose shows a flow or a transfer, or if it is chosen already, what is slow.
function choose(subject) {
  chosen = chosen === subject ? null : subject
  loadTransfer()
  redraw()
  // In a narrow window the picture is far above the card.
  if (chosen && innerWidth <= 640) $('flowname').scrollIntoView()
}

const groups = {} // by name: the parts of the page that show it
function drawTransfers(s) {
  for (const name of Object.keys(groups)) if (!s.transfers[name]) { groups[name].box.remove(); delete groups[name] }
  for (const [name, g] of Object.entries(s.transfers)) {
    const rows = Object.entries(g.rows).sort((a, b) => b[1].waited - a[1].waited || a[0] - b[0])
    if (!groups[name]) {
      const box = make('article'), head = make('h2'), sums = make('p', undefined, 'quiet'), t = table('transfers', ['client', 'direction', 'file', 'state', 'moved', 'rate', 'unsent', 'waited'])
      box.append(head, sums, t.scroll)
      $('transfers').append(box)
      groups[name] = { box, head, sums, ...t }
    }
    const show = groups[name]
    say(show.head, `Transfers: ${name}`)
    const shown = rows.reduce((sum, [, r]) => sum + r.rate, 0), unsent = rows.reduce((sum, [, r]) => sum + r.unsent, 0)
    say(show.sums, `${g.active.toLocaleString('en')} active, ${g.succeeded.toLocaleString('en')} succeeded, ${g.failed.toLocaleString('en')} failed · ${bytes(g.bytes_out)} sent, ${bytes(g.bytes_in)} received. ` +
      (g.hidden ? `The table shows only the ${rows.length} of ${g.active.toLocaleString('en')} that have waited longest for their clients; together they move ${rate(shown)} and have ${bytes(unsent)} unsent.` : `Sorted by the time spent waiting for the client.`))
    fillRows(show.body, rows.map(([id, r]) => ({
      act: () => choose(`${name} ${id}`),
      cells: [r.client, r.kind === 'upload' ? '↑ upload' : '↓ download', r.name, r.state, bytes(r.moved) + (r.size >= 0 ? ' of ' + bytes(r.size) : ''), rate(r.rate), bytes(r.unsent), span(r.waited)],
      classes: ['client', 'way word', 'text name', 'state word', 'moved', 'rate', 'unsent', 'waited'],
    })))
  }
}

let flowTable = null
function drawFlows(s) {
  const flows = Object.values(s.flows)
  const ended = flows.filter(f => !f.running).sort((a, b) => (b.start + b.wall) - (a.start + a.wall))
  $('last').hidden = ended.length === 0
  if (ended.length) {
    const f = ended[0]
    const source = ids(f.stages).map(i => f.stages[i]).filter(x => x.kind === 'source'), sink = ids(f.stages).map(i => f.stages[i]).filter(x => x.kind === 'sink')
    const add = (list, n, unit) => list.length ? total(list.reduce((sum, x) => sum + x[n], 0), list[0][unit]) : ''
    const lines = [
      `${glyphs[f.state] ?? ''} ${flowName(f)} ${f.state} after ${span(f.wall)}, at ${clock(f.start + f.wall)}`,
      f.error ? `Error: ${f.error}` : f.sentence,
      `${add(source, 'out', 'out_unit')} in, ${add(sink, 'in', 'unit')} out · peak ${bytes(f.peak)} of ${bytes(f.ceiling + f.holders * f.largest)} in buffers`,
      ids(f.stages).map(i => f.stages[i]).map(x => `${x.name} ${stateNames[main(x.shares)]} ${percent(x.shares[main(x.shares)])}`).join(' → '),
    ]
    const card = $('card')
    card.className = 'card'
    while (card.children.length > lines.length) card.lastChild.remove()
    lines.forEach((line, i) => say(card.children[i] ?? card.appendChild(make('p')), line))
  }
  $('flows').hidden = flows.length < 2
  const list = flows.sort((a, b) => b.running - a.running || b.id - a.id)
  if (!flowTable) $('flows').insertBefore((flowTable = table('flows', ['flow', 'state', 'in', 'out', 'held', 'verdict'])).scroll, $('moreflows'))
  fillRows(flowTable.body, list.map(f => ({
    act: () => choose('flow ' + f.id),
    cells: [flowName(f), `${glyphs[f.state] ?? ''} ${f.state}`, f.running ? flowRate(f, 'source') : '', f.running ? flowRate(f, 'sink') : '', f.running ? bytes(f.used) : '', f.error ?? f.sentence],
    classes: ['flow', 'state word', 'in', 'out', 'held', 'verdict text'],
  })))
  say($('moreflows'), s.running > list.filter(f => f.running).length ? `${s.running} flows run; the table shows the oldest ${list.filter(f => f.running).length}.` : '')
}
function flowRate(f, kind) {
  const list = ids(f.stages).map(i => f.stages[i]).filter(x => x.kind === kind)
  return list.length ? rate(list.reduce((sum, x) => sum + (kind === 'source' ? x.out_rate : x.in_rate), 0), kind === 'source' ? list[0].out_unit : list[0].unit) : ''
}

function drawEvents(s) {
  const box = $('events'), list = ids(s.events).reverse()
  if (box.dataset.last === list.join()) return
  box.dataset.last = list.join()
  $('happened').hidden = list.length === 0
  box.replaceChildren(...list.map(i => {
    const li = make('li'), at = make('time', clock(s.events[i].time))
    li.append(at, s.events[i].text)
    return li
  }))
}

// The controls.

function freeze() {
  frozen = frozen ? null : state && { state: structuredClone(state), points: points.slice(), transfer: structuredClone(transfer) }
  $('freeze').setAttribute('aria-pressed', String(frozen !== null))
  say($('freeze'), frozen ? 'Resume' : 'Freeze')
  redraw()
}

function window_(n) {
  seconds = n
  $('short').setAttribute('aria-pressed', String(n === 60))
  $('long').setAttribute('aria-pressed', String(n === 600))
  if (!inReport) history.replaceState(null, '', n === 600 ? '#600' : location.pathname + location.search)
  redraw()
}

let saidTimer = 0
function told(text) {
  say($('said'), text)
  clearTimeout(saidTimer)
  saidTimer = setTimeout(() => say($('said'), ''), 8000)
}

// diagnosis is what the page says, as text.
function diagnosis(s) {
  const lines = [`${s.state}: ${s.sentence}${sinceText(s, s.since)}`, numbersText(s, s.flows[s.subject.slice(5)]), `${s.program.name}, process ${s.program.pid}, ${new Date(s.time * 1000).toISOString()}`]
  const stagesOf = f => {
    for (const i of ids(f.stages)) {
      const x = f.stages[i]
      lines.push('  ' + x.name.padEnd(18) + x.shares.slice(0, 4).map((share, n) => ` ${stateNames[n]} ${percent(share).padStart(4)}`).join('') + '  ' + (x.kind === 'sink' ? rate(x.in_rate, x.unit) : rate(x.out_rate, x.out_unit)))
    }
    for (const i of ids(f.pipes)) lines.push(`  buffer ${f.pipes[i].name}: ${held(f.pipes[i])}`)
  }
  for (const f of Object.values(s.flows).filter(f => f.running || 'flow ' + f.id === s.subject)) {
    lines.push('', `${flowName(f)}, ${f.state}, ${span(f.wall)}`, '  ' + f.sentence + sinceText(s, f.since))
    if (f.error) lines.push('  error: ' + f.error)
    stagesOf(f)
  }
  const known = frozen ? frozen.transfer : transfer
  if (known && known.subject === s.subject) {
    lines.push('', known.flow.name)
    stagesOf(known.flow)
  }
  for (const [name, g] of Object.entries(s.transfers)) {
    lines.push('', `transfers ${name}: ${g.active} active, ${g.succeeded} succeeded, ${g.failed} failed`)
    for (const r of Object.values(g.rows).sort((a, b) => b.waited - a.waited).slice(0, 20)) lines.push(`  ${r.client}  ${r.state}, ${bytes(r.moved)} at ${rate(r.rate)}, waited ${span(r.waited)}  ${r.name}`)
  }
  const events = ids(s.events).slice(-20)
  if (events.length) lines.push('', 'events')
  for (const i of events) lines.push(`  ${clock(s.events[i].time)}  ${s.events[i].text}`)
  return lines.join('\n') + '\n'
}

async function copy() {
  const s = frozen?.state ?? state
  if (!s) return
  const text = diagnosis(s)
  try {
    await navigator.clipboard.writeText(text)
    told('Copied.')
  } catch { // no secure context, or not allowed
    const area = make('textarea', text)
    document.body.append(area)
    area.select()
    told(document.execCommand('copy') ? 'Copied.' : 'The browser does not allow copying.')
    area.remove()
    $('copy').focus()
  }
}

// The parts of a saved report are loaded at the start: the program may have
// ended when they are needed.
const parts = inReport ? null : Promise.all(['./', 'monitor.css', 'draw.js', 'monitor.js'].map(async name => (await fetch(name)).text()))

function download(blob, name) {
  const a = make('a'), url = URL.createObjectURL(blob)
  a.href = url
  a.download = name
  a.click()
  setTimeout(() => URL.revokeObjectURL(url), 60000)
}
const stamp = t => new Date(t * 1000).toISOString().slice(0, 19).replaceAll(':', '').replace('T', '-')

async function save() {
  const s = frozen?.state ?? state
  if (!s) return
  try {
    const [page, css, ...js] = await parts
    const data = JSON.stringify({ state: s, points: frozen?.points ?? points, transfer: frozen ? frozen.transfer : transfer, chosen }).replaceAll('<', '\\u003c')
    const policy = '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; script-src \'unsafe-inline\'; style-src \'unsafe-inline\'; img-src data:">'
    // Functions, since replacements have a meaning in strings.
    const text = page
      .replace('<meta charset="utf-8">', m => m + '\n' + policy)
      .replace('<link rel="stylesheet" href="monitor.css">', () => '<style>\n' + css + '</style>')
      .replace('<script src="draw.js"></' + 'script>', () => '<script type="application/json" id="data">' + data + '</' + 'script>\n<script>\n' + js[0] + '</' + 'script>')
      .replace('<script src="monitor.js"></' + 'script>', () => '<script>\n' + js[1] + '</' + 'script>')
    download(new Blob([text], { type: 'text/html' }), `weir-${stamp(s.time)}.html`)
    told('Saved.')
  } catch {
    told('The report could not be saved.')
  }
}

async function trace() {
  try {
    if (!recording) {
      const answer = await fetch('trace', { method: 'POST' })
      if (!answer.ok) throw new Error(await answer.text())
      recording = true
      say($('trace'), 'Save trace')
      told('Recording. Save the trace when you have seen what is wrong.')
      return
    }
    const answer = await fetch('trace')
    if (!answer.ok) {
      recording = false
      say($('trace'), 'Record trace')
      throw new Error(await answer.text())
    }
    download(await answer.blob(), `weir-${stamp(state.time)}.trace`)
    told('Saved. Open it with: go tool trace FILE')
  } catch (e) {
    told('No trace: ' + (e.message.trim() || 'no answer'))
  }
}

$('freeze').addEventListener('click', freeze)
$('short').addEventListener('click', () => window_(60))
$('long').addEventListener('click', () => window_(600))
$('copy').addEventListener('click', copy)
$('save').addEventListener('click', save)
$('trace').addEventListener('click', trace)
$('details').addEventListener('toggle', redraw)
addEventListener('resize', redraw)
for (const id of ['picture', 'events']) $(id).addEventListener('scroll', () => showMore($(id)))
// After a click the space bar freezes again, instead of pressing the button.
$('controls').addEventListener('click', e => { if (e.detail > 0) e.target.blur() })
addEventListener('keydown', e => {
  const on = e.target
  if (e.key === ' ' && !e.ctrlKey && !e.altKey && !e.metaKey && !on.closest('button, a, summary, input, textarea')) {
    e.preventDefault()
    freeze()
  }
  if (on.id === 'time' && (e.key === 'ArrowLeft' || e.key === 'ArrowRight')) {
    e.preventDefault()
    const now = (frozen?.state ?? state)?.time ?? 0, step = seconds / 60 * (e.key === 'ArrowLeft' ? -1 : 1)
    cursorAt = Math.min(now, Math.max(now - seconds, (cursorAt ?? now) + step))
    redraw()
  }
  // In a table the arrow keys go from row to row.
  const row = on.closest?.('tbody tr')
  if (row && on.tagName === 'BUTTON' && (e.key === 'ArrowUp' || e.key === 'ArrowDown')) {
    const next = e.key === 'ArrowUp' ? row.previousElementSibling : row.nextElementSibling
    e.preventDefault()
    next?.querySelector('button')?.focus()
  }
  if (e.key === 'Escape' && cursorAt !== null) { cursorAt = null; redraw() }
})
for (const id of ['strips', 'memory', 'process', 'throughput']) {
  $(id).addEventListener('pointermove', e => {
    const t = $(id).timeAt?.(e.offsetX)
    if (t !== undefined) { cursorAt = t; redraw() }
  })
  $(id).addEventListener('pointerleave', () => { cursorAt = null; redraw() })
}

function connect() {
  if (typeof SharedWorker === 'undefined') {
    // Each page asks for itself: no connection stays open.
    const ask = async () => {
      try {
        const answer = await fetch('status.json')
        if (!answer.ok) throw new Error()
        const next = await answer.json()
        see(next, next.closed ? 'ended' : 'live')
      } catch { see(null, 'lost') }
      if (link !== 'ended' && link !== 'replaced') setTimeout(ask, document.hidden ? 5000 : 1000)
    }
    ask()
    return
  }
  const worker = new SharedWorker('worker.js', { name: 'weir' })
  worker.port.onmessage = m => see(m.data.state, m.data.link)
  worker.port.postMessage('hello')
  addEventListener('pagehide', () => worker.port.postMessage('bye'))
  addEventListener('pageshow', e => { if (e.persisted) worker.port.postMessage('hello') })
}

if (inReport) {
  const data = JSON.parse($('data').textContent)
  ;({ state, points, transfer, chosen } = data)
  link = 'saved'
  for (const id of ['freeze', 'save', 'trace', 'footer']) $(id).hidden = true
} else {
  loadHistory()
  connect()
  setInterval(loadTransfer, 1000)
}
window_(seconds)

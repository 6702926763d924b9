'use strict'
// All open pages of a browser share this worker, and it has one connection: a
// browser opens at most six to a server, downloads included. It hands each new
// snapshot to every page. Without events it asks for status.json.
const ports = new Set()
let state = null // the latest snapshot
let link = 'connecting'
let running = false
let heard = 0 // when the last event came

function merge(into, patch) {
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete into[key]
    else if (typeof value === 'object' && !Array.isArray(value)) into[key] = merge(into[key] ?? {}, value)
    else into[key] = value
  }
  return into
}

function tell(port) { port.postMessage({ state, link }) }
function tellAll() { for (const port of ports) tell(port) }
const pause = ms => new Promise(done => setTimeout(done, ms))

// events listens until the connection ends.
function events() {
  return new Promise(done => {
    const source = new EventSource('events')
    heard = Date.now()
    const watch = setInterval(() => { if (Date.now() - heard > 20000 || ports.size === 0) end() }, 2000)
    function end() { clearInterval(watch); source.close(); done() }
    function got(next) {
      heard = Date.now()
      state = next
      link = state.closed ? 'ended' : 'live'
      tellAll()
      if (state.closed) end()
    }
    source.addEventListener('snapshot', e => got(JSON.parse(e.data)))
    source.addEventListener('patch', e => got(merge(state, JSON.parse(e.data))))
    source.addEventListener('error', end)
  })
}

// poll asks once. It returns false if there is no answer.
async function poll() {
  try {
    const answer = await fetch('status.json')
    if (!answer.ok) throw new Error(answer.status)
    state = await answer.json()
    link = state.closed ? 'ended' : 'polling'
    tellAll()
    return true
  } catch {
    link = 'lost'
    tellAll()
    return false
  }
}

async function run() {
  if (running) return
  running = true
  while (ports.size > 0 && link !== 'ended') {
    await events()
    // The server may have no place for another viewer, or a proxy may hold
    // events back.
    for (let i = 0; i < 5 && ports.size > 0 && link !== 'ended'; i++) {
      await poll()
      await pause(2000)
    }
  }
  running = false
}

onconnect = e => {
  const port = e.ports[0]
  port.onmessage = m => {
    if (m.data === 'bye') { ports.delete(port); return }
    ports.add(port)
    if (link === 'live' || link === 'polling') tell(port)
    else {
      // The page has just been loaded, so there is a program: perhaps a new one.
      state = null
      link = 'connecting'
    }
    run()
  }
}

'use strict'
// How the page draws: a flow as SVG, and what happened over time on canvases.

const stateNames = ['busy', 'blocked', 'starved', 'outside', 'unknown']
const stateGlyphs = ['█', '▒', '·', '░', '?']
const sizes = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
function bytes(n) {
  let i = 0
  while (n >= 1023.95 && i < sizes.length - 1) { n /= 1024; i++ }
  return n.toFixed(1).replace(/\.0$/, '') + ' ' + sizes[i]
}
const rate = (n, unit) => (unit === 'items' ? Number(n.toPrecision(3)).toLocaleString('en') + ' items' : bytes(n)) + '/s'
const percent = x => Math.round(100 * x) + '%'
const ids = o => Object.keys(o).map(Number).sort((a, b) => a - b)
const clock = t => new Date(t * 1000).toLocaleTimeString('en-GB')
function span(s) {
  if (s < 60) return s.toFixed(s < 10 ? 1 : 0) + ' s'
  if (s < 3600) return Math.floor(s / 60) + ' min ' + Math.floor(s % 60) + ' s'
  return Math.floor(s / 3600) + ' h ' + Math.floor(s % 3600 / 60) + ' min'
}
function cut(text, n) { return text.length > n ? text.slice(0, Math.max(1, n - 1)) + '…' : text }

// main returns what a stage does most.
function main(shares) {
  let best = 0
  for (let i = 1; i < 5; i++) if (shares[i] > shares[best]) best = i
  return best
}

function svg(tag, attributes, ...children) {
  const e = document.createElementNS('http://www.w3.org/2000/svg', tag)
  for (const [k, v] of Object.entries(attributes ?? {})) e.setAttribute(k, v)
  e.append(...children)
  return e
}

// upsOf returns the stages before stage i. Transfers do not tell: their stages
// are in a row.
function upsOf(f, i) {
  const s = f.stages[i]
  return (s.ups ?? (s.kind !== 'source' && i > 0 ? [i - 1] : [])).filter(u => f.stages[u])
}

// layout places the stages: along the flow in columns, branches beside each other
// in lanes. A pipe belongs to the edge or to the stage that its name ends with.
function layout(f) {
  const at = {}
  const place = i => {
    if (at[i]) return at[i]
    at[i] = { col: 0, lane: 0 } // ends a circle, which no flow has
    for (const up of upsOf(f, i)) at[i].col = Math.max(at[i].col, place(up).col + 1)
    return at[i]
  }
  const list = ids(f.stages)
  list.forEach(place)
  const taken = new Set()
  for (const i of [...list].sort((a, b) => at[a].col - at[b].col || a - b)) {
    const ups = upsOf(f, i)
    let lane = ups.length ? Math.min(...ups.map(u => at[u].lane)) : 0
    while (taken.has(at[i].col + ':' + lane)) lane++
    taken.add(at[i].col + ':' + lane)
    at[i].lane = lane
  }
  const tanks = {} // 'up>to' or '>to' → pipes
  for (const p of ids(f.pipes).map(i => f.pipes[i])) {
    const [from, to] = p.name.split(' → ')
    const i = list.find(i => f.stages[i].name === to)
    if (i === undefined) continue
    const up = upsOf(f, i).find(u => f.stages[u].name === from.replace(/\[\d+\]$/, ''))
    ;(tanks[(up ?? '') + '>' + i] ??= []).push(p)
  }
  return { list, at, tanks, cols: 1 + Math.max(0, ...list.map(i => at[i].col)), lanes: 1 + Math.max(0, ...list.map(i => at[i].lane)) }
}

// picture draws a flow into width pixels: from left to right, or from top to
// bottom where that is narrow.
function picture(f, width) {
  const l = layout(f)
  if (l.list.length === 0) return svg('svg', { width, height: 190 })
  const down = width < 640
  const gapOf = []
  for (const key of Object.keys(l.tanks)) {
    const to = Number(key.split('>')[1]), n = Math.min(3, l.tanks[key].length)
    const more = key.startsWith('>') ? 0 : (l.tanks['>' + to]?.length ?? 0)
    gapOf[l.at[to].col] = Math.max(gapOf[l.at[to].col] ?? 0, Math.min(4, n + more))
  }
  const B = down ? { w: Math.max(98, Math.min(340, (width - 44 - 12 * (l.lanes - 1)) / l.lanes)), h: 84 } : { w: 150, h: 92 }
  const T = down ? { w: 44, h: 26, step: 34 } : { w: 34, h: 60, step: 66 }
  // along is where each column begins in the direction of the flow, across where
  // each lane does.
  const along = []
  let end = 0
  const measure = () => {
    end = down ? 16 : 4
    for (let c = 0; c < l.cols; c++) {
      if (c > 0) end += 34 + T.step * (gapOf[c] ?? 0)
      along[c] = end
      end += down ? B.h : B.w
    }
  }
  measure()
  if (!down && end + 4 > width) { // smaller boxes, before it must scroll
    B.w = Math.max(118, Math.floor(B.w - (end + 4 - width) / l.cols))
    measure()
  }
  const across = lane => down ? 36 + lane * (B.w + 12) : 18 + lane * (B.h + 34)
  const boxOf = i => {
    const { col, lane } = l.at[i]
    return down ? { x: across(lane), y: along[col] } : { x: along[col], y: across(lane) }
  }
  const w = down ? Math.max(width, across(l.lanes - 1) + B.w + 4) : end + 4
  const h = down ? end + 8 : across(l.lanes - 1) + B.h + 34
  const root = svg('svg', { width: w, height: h, viewBox: `0 0 ${w} ${h}`, role: 'img', 'aria-label': describe(f) })
  const point = (a, c) => down ? [c, a] : [a, c]
  const path = points => root.append(svg('path', { class: 'edge', d: 'M' + points.map(p => point(...p).join(' ')).join('L') }))
  const middle = lane => across(lane) + (down ? B.w : B.h) / 2
  const depth = down ? B.h : B.w

  const tank = (p, a, lane) => {
    const c = middle(lane) - (down ? T.w : T.h) / 2
    const [x, y] = point(a, c)
    const full = p.fill
    const g = svg('g', {}, svg('title', {}, `${p.name}: ${held(p)}`))
    const level = full * T.h
    g.append(svg('rect', { class: 'tank', x, y, width: T.w, height: T.h, rx: 3 }))
    if (level > 0) g.append(svg('rect', { class: full >= 0.5 ? 'level' : 'low', x: x + 1, y: y + T.h - level + 1, width: T.w - 2, height: Math.max(1, level - 2), rx: 2 }))
    const size = p.most ? items(p.most) : p.limit > 0 ? bytes(p.limit) : bytes(p.used)
    const first = p.limit > 0 || p.most ? percent(full) : items(p.items)
    if (down) {
      g.append(svg('text', { class: 'small', x: x + T.w + 6, y: y + 17 }, l.lanes > 1 ? first : `${first} of ${size}`))
    } else {
      g.append(svg('text', { class: 'small', x: x + T.w / 2, y: y - 5, 'text-anchor': 'middle' }, first))
      g.append(svg('text', { class: 'small', x: x + T.w / 2, y: y + T.h + 13, 'text-anchor': 'middle' }, size))
    }
    root.append(g)
  }

  for (const i of l.list) {
    const to = l.at[i], begin = along[to.col]
    const shared = (l.tanks['>' + i] ?? []).slice(0, 3)
    const entry = begin - shared.length * T.step - (shared.length ? 6 : 0) // where edges that meet are one
    for (const up of upsOf(f, i)) {
      const from = l.at[up], start = along[from.col] + depth
      const lane = Math.max(from.lane, to.lane)
      path([[start, middle(from.lane)], [start + 12, middle(from.lane)], [start + 12, middle(lane)], [entry - 10, middle(lane)], [entry - 10, middle(to.lane)], [begin, middle(to.lane)]])
      const own = (l.tanks[up + '>' + i] ?? []).slice(0, 3)
      own.forEach((p, n) => tank(p, entry - 14 - (own.length - n) * T.step + (T.step - (down ? T.h : T.w)) / 2, lane))
    }
    shared.forEach((p, n) => tank(p, entry + n * T.step + (T.step - (down ? T.h : T.w)) / 2, to.lane))
  }
  for (const i of l.list) {
    const s = f.stages[i], { x, y } = boxOf(i), slow = f.verdict.stage === i
    const g = svg('g', { class: slow ? 'stage slow' : 'stage', 'data-stage': s.name }, svg('title', {}, describeStage(s)))
    g.append(svg('rect', { class: 'box', x, y, width: B.w, height: B.h, rx: 7 }))
    const chars = Math.floor((B.w - 20) / 8)
    g.append(svg('text', { class: 'name', x: x + 10, y: y + 24 }, cut(s.name, chars)))
    let left = x + 10
    const inner = B.w - 20
    s.shares.forEach((share, n) => {
      const width = Math.min(share * inner, x + 10 + inner - left)
      if (width >= 0.5) g.append(svg('rect', { class: 's' + n, x: left, y: y + 34, width, height: 14 }))
      left += Math.max(0, width)
    })
    g.append(svg('rect', { class: 'frame', x: x + 10, y: y + 34, width: inner, height: 14 }))
    const most = main(s.shares)
    g.append(svg('text', { x: x + 10, y: y + 64 }, `${stateNames[most]} ${percent(s.shares[most])}`))
    const speed = s.kind === 'sink' ? rate(s.in_rate, s.unit) : rate(s.out_rate, s.out_unit)
    const amount = s.kind === 'sink' ? total(s.in, s.unit) : total(s.out, s.out_unit)
    g.append(svg('text', { class: 'small', x: x + 10, y: y + 79 }, (f.running ? speed : amount) + (s.workers > 1 ? ` · ×${s.workers}` : '')))
    if (slow) {
      g.append(svg('rect', { class: 'tag', x: x + B.w - 86, y: y - 11, width: 80, height: 20, rx: 4 }))
      g.append(svg('text', { class: 'tagtext', x: x + B.w - 46, y: y + 4, 'text-anchor': 'middle' }, 'bottleneck'))
    }
    root.append(g)
  }
  // The arrow of what is pushed back, from the bottleneck to its source.
  const slow = f.verdict.stage
  if (f.stages[slow] && f.verdict.waiting_share > 0.1) {
    let source = slow
    for (let n = 0; n < 100 && upsOf(f, source).length; n++) source = upsOf(f, source)[0]
    if (source !== slow) {
      const from = along[l.at[slow].col] + depth / 2, to = along[l.at[source].col] + depth / 2
      if (down) {
        root.append(svg('path', { class: 'push', 'marker-end': 'url(#back)', d: `M32 ${from}H14V${to}H34` }))
        root.append(svg('text', { class: 'pushtext', transform: `translate(9 ${(from + to) / 2}) rotate(-90)`, 'text-anchor': 'middle' }, 'pushing back'))
      } else {
        const y = across(l.lanes - 1) + B.h + 18
        const y0 = across(l.at[slow].lane) + B.h, y1 = across(l.at[source].lane) + B.h
        root.prepend(svg('path', { class: 'push', 'marker-end': 'url(#back)', d: `M${from} ${y0}V${y}H${to}V${y1 + 2}` }))
        root.append(svg('text', { class: 'pushtext', x: (from + to) / 2, y: y + 13, 'text-anchor': 'middle' }, `pushing back: ${f.verdict.waiting} waits ${percent(f.verdict.waiting_share)}`))
      }
    }
  }
  return root
}

const items = n => n.toLocaleString('en') + (n === 1 ? ' item' : ' items')
const total = (n, unit) => unit === 'items' ? items(n) : bytes(n)
const held = p => bytes(p.used) + (p.most ? `, ${p.items} of ${items(p.most)}` : p.limit ? ' of ' + bytes(p.limit) : ` in ${items(p.items)}`) + (p.most || p.limit ? ` (${percent(p.fill)} full)` : '')
const describeStage = s => `${s.name}${s.workers > 1 ? `, ${s.workers} workers` : ''}: ` + stateNames.map((n, i) => [n, s.shares[i]]).filter(x => x[1] > 0).map(([n, x]) => `${n} ${percent(x)}`).join(', ')
const describe = f => `${ids(f.stages).map(i => describeStage(f.stages[i])).join('; ')}. ${f.sentence}`

// Canvases.

let inks = null
function ink() {
  if (inks) return inks
  const style = getComputedStyle(document.body)
  // light-dark() has to be resolved by a property that takes colours.
  const probe = document.createElement('i')
  document.body.append(probe)
  inks = {}
  for (const name of ['busy', 'blocked', 'starved', 'outside', 'unknown', 'line', 'quiet', 'text', 'paper', 'first', 'second', 'area', 'ceiling', 'strong']) {
    probe.style.color = `var(--${name})`
    inks[name] = getComputedStyle(probe).color
  }
  probe.remove()
  inks.font = style.fontFamily || 'sans-serif'
  const tile = (w, h, draw) => {
    const c = document.createElement('canvas')
    c.width = w
    c.height = h
    draw(c.getContext('2d'))
    return c
  }
  inks.tiles = [
    inks.busy,
    tile(6, 6, x => { x.fillStyle = inks.blocked; x.fillRect(0, 0, 6, 6); x.strokeStyle = '#ffffff90'; x.lineWidth = 1.3; for (const d of [-6, 0, 6]) { x.beginPath(); x.moveTo(d, 6); x.lineTo(d + 6, 0); x.stroke() } }),
    tile(5, 5, x => { x.fillStyle = inks.starved; x.fillRect(0, 0, 5, 5); x.fillStyle = '#4a7aa5'; x.fillRect(0, 4, 5, 1) }),
    tile(5, 5, x => { x.fillStyle = inks.outside; x.fillRect(0, 0, 5, 5); x.fillStyle = '#5b636b'; x.fillRect(1, 1, 2, 2) }),
    inks.unknown,
  ]
  return inks
}
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { inks = null; redraw() })

// canvas prepares one for drawing, in CSS pixels.
function canvas(id, height) {
  const c = document.getElementById(id), ratio = devicePixelRatio || 1
  if (height) c.style.height = height + 'px'
  const w = c.clientWidth, h = c.clientHeight
  if (c.width !== Math.round(w * ratio) || c.height !== Math.round(h * ratio)) {
    c.width = Math.round(w * ratio)
    c.height = Math.round(h * ratio)
  }
  const x = c.getContext('2d')
  x.setTransform(ratio, 0, 0, ratio, 0, 0)
  x.clearRect(0, 0, w, h)
  x.font = '12px ' + ink().font
  return { c, x, w, h }
}

// frame maps time to pixels, and draws the cursor and the axis.
function frame(k, left, right, now, seconds) {
  k.left = left
  k.right = k.w - right
  k.X = t => left + (k.right - left) * (1 - (now - t) / seconds)
  k.c.timeAt = px => now - seconds * (1 - (px - left) / (k.right - left))
}
function cursor(k, t, bottom) {
  if (t === null || k.X(t) < k.left || k.X(t) > k.right) return
  k.x.fillStyle = ink().strong
  k.x.fillRect(Math.round(k.X(t)), 0, 1, bottom)
}
function axis(k, seconds, y) {
  k.x.fillStyle = ink().quiet
  k.x.textAlign = 'left'
  k.x.fillText(seconds > 60 ? '10 min ago' : seconds + ' s ago', k.left, y)
  k.x.textAlign = 'right'
  k.x.fillText('now', k.right, y)
  k.x.textAlign = 'left'
}

// strips draws a row for each stage: the height of a colour is the part of the
// time. samples are {t, s, b}: shares in percent, and the bottleneck.
function strips(f, samples, now, seconds, at) {
  const list = f ? ids(f.stages).slice(0, 24) : []
  const row = 22, narrow = document.getElementById('strips').clientWidth < 640
  const k = canvas('strips', Math.max(3, list.length) * row + 18)
  const left = narrow ? 84 : 150, right = narrow ? 0 : 112
  frame(k, left, right, now, seconds)
  const patterns = ink().tiles.map(t => typeof t === 'string' ? t : k.x.createPattern(t, 'repeat'))
  list.forEach((i, n) => {
    const y = n * row, s = f.stages[i], slow = f.verdict.stage === i
    k.x.fillStyle = ink().text
    k.x.font = (slow ? '650 ' : '') + '13px ' + ink().font
    k.x.fillText(cut((slow ? '▶ ' : '') + s.name, narrow ? 11 : 20), 0, y + 14)
    k.x.font = '12px ' + ink().font
    if (!narrow) {
      const most = main(s.shares)
      k.x.fillStyle = ink().quiet
      k.x.fillText(`${stateGlyphs[most]} ${stateNames[most]} ${percent(s.shares[most])}`, k.right + 8, y + 14)
    }
    k.x.strokeStyle = ink().line
    k.x.strokeRect(left + .5, y + .5, k.right - left - 1, row - 5)
    let before = null
    for (const sample of samples) {
      const from = before !== null && sample.t - before < 2.6 ? before : Math.max(f.start || 0, sample.t - 1)
      before = sample.t
      const shares = sample.s[i]
      if (!shares || sample.t < now - seconds) continue
      const x0 = Math.round(Math.max(left, k.X(from))), width = Math.max(1, Math.round(k.X(sample.t)) - x0)
      let bottom = y + row - 4
      for (let j = 0; j < 5; j++) {
        const height = Math.min(shares[j], 100) / 100 * (row - 4)
        if (height < .5) continue
        k.x.fillStyle = patterns[j]
        k.x.fillRect(x0, Math.max(y, bottom - height), width, Math.min(height, bottom - y))
        bottom -= height
      }
      if (sample.b === i) {
        k.x.fillStyle = ink().strong
        k.x.fillRect(x0, y + row - 4, width, 2.5)
      }
    }
  })
  axis(k, seconds, Math.max(3, list.length) * row + 12)
  k.x.textAlign = 'center'
  k.x.fillStyle = ink().quiet
  if (!narrow) k.x.fillText('underlined: it is the bottleneck', (k.left + k.right) / 2, Math.max(3, list.length) * row + 12)
  k.x.textAlign = 'left'
  cursor(k, at, Math.max(3, list.length) * row)
  k.c.setAttribute('aria-label', f ? 'States over time. Now: ' + describe(f) : 'No flow')
}

// chart draws values over time. The vertical axis begins at 0.
function chart(id, points, now, seconds, at, lines, format, ceiling) {
  const k = canvas(id)
  frame(k, 0, 0, now, seconds)
  const shown = points.filter(p => p.t >= now - seconds - 1.5)
  const limit = ceiling ? shown.reduce((n, p) => Math.max(n, p[ceiling] ?? 0), 0) : 0
  let top = limit
  for (const p of shown) for (const line of lines) top = Math.max(top, p[line.key] ?? 0)
  const most = top
  const bottom = k.h - 16
  top = (top || 1) * (bottom - 2) / (bottom - 16) // the label is above the line
  const Y = v => bottom - (bottom - 2) * v / top
  k.x.strokeStyle = ink().line
  k.x.strokeRect(.5, .5, k.w - 1, bottom - .5)
  const trace = (key, close) => {
    let before = null
    k.x.beginPath()
    for (const p of shown) {
      const x = Math.max(0, k.X(p.t)), y = Y(p[key] ?? 0)
      if (before === null || p.t - before.t > 2.6) {
        if (close && before) k.x.lineTo(Math.max(0, k.X(before.t)), bottom)
        k.x.moveTo(x, close ? bottom : y)
      }
      k.x.lineTo(x, y)
      before = p
    }
    if (close && before) k.x.lineTo(Math.max(0, k.X(before.t)), bottom)
  }
  for (const line of lines) {
    if (line.area) {
      trace(line.key, true)
      k.x.fillStyle = ink().area
      k.x.fill()
    }
    trace(line.key, false)
    k.x.strokeStyle = ink()[line.color]
    k.x.lineWidth = line.dash ? 2 : 1.8
    k.x.setLineDash(line.dash ?? [])
    k.x.stroke()
    k.x.setLineDash([])
  }
  k.x.fillStyle = ink().quiet
  if (limit > 0) {
    trace(ceiling, false)
    k.x.strokeStyle = ink().ceiling
    k.x.lineWidth = 2
    k.x.setLineDash([6, 4])
    k.x.stroke()
    k.x.setLineDash([])
    k.x.fillStyle = ink().ceiling
    k.x.fillText(format(limit), 5, Y(limit) - 4)
  } else if (most > 0) {
    k.x.fillText(format(most), 5, Y(most) - 4)
  }
  k.x.fillStyle = ink().quiet
  k.x.fillText('0', 5, bottom - 4)
  k.x.lineWidth = 1
  axis(k, seconds, k.h - 3)
  cursor(k, at, bottom)
  const last = shown.at(-1)
  k.c.setAttribute('aria-label', last ? lines.map(line => `${line.name} ${format(last[line.key] ?? 0)}`).join(', ') + (limit ? `, ceiling ${format(limit)}` : '') : 'no data')
}

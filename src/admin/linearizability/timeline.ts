import type { KeyProblem } from './check.js'
import { explain } from './explanation.js'
import type { Model } from './model.js'
import type { Operation } from './operation.js'
import { describeProblem, span } from './picture.js'

/** Between two moments at which something begins or ends; times are drawn evenly, so that what is dense stays readable. */
const STEP_PX = 34
const ROW_PX = 30
const LABEL_PX = 90
/** A long history is cut to what surrounds the trouble. */
const OPERATIONS_SHOWN = 150

type Fate = 'placed' | 'stuck' | 'unknown' | 'later'

const FATES: Readonly<Record<Fate, string>> = {
  placed: 'in the longest order, with its place',
  stuck: 'had to come next and cannot',
  unknown: 'no answer: took effect at any time, or never',
  later: 'called later',
}

/** A page without anything from outside: who did what and when, on the key in trouble. */
export function timelinePage<S, C, A>(problem: KeyProblem<C, A>, model: Model<S, C, A>): string {
  const { stuck, placed } = explain(problem, model)
  const stuckOnes = new Set(stuck.map(({ operation }) => operation))
  const places = new Map(placed.map(({ operation }, i) => [operation, i + 1]))
  const shown = around(problem.operations, stuck[0]?.operation)
  const fate = (operation: Operation<C, A>): Fate => {
    if (places.has(operation)) return 'placed'
    if (operation.answer === null) return 'unknown'
    return stuckOnes.has(operation) ? 'stuck' : 'later'
  }
  const bars = drawing(shown, (operation) => {
    const place = places.get(operation)
    const text = `${place === undefined ? '' : `${place}. `}${model.describe(operation.call, operation.answer)}`
    return { fate: fate(operation), text }
  })
  const legend = Object.entries(FATES).map(([name, meaning]) => `<span class="${name}">${meaning}</span>`)
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escaped(problem.key)}: not linearizable</title>
<style>${STYLE}</style></head>
<body><h1>Key ${escaped(problem.key)}</h1>
<p class="legend">${legend.join(' ')}</p>
<div class="scroll">${bars}</div>
<pre>${escaped(describeProblem(problem, model))}</pre>
</body></html>
`
}

function drawing<C, A>(
  operations: readonly Operation<C, A>[],
  look: (operation: Operation<C, A>) => { readonly fate: Fate; readonly text: string },
): string {
  const moments = operations.flatMap(({ calledAt, answeredAt }) => (answeredAt === Infinity ? [calledAt] : [calledAt, answeredAt]))
  const columns = new Map([...new Set(moments)].sort((a, b) => a - b).map((moment, i) => [moment, LABEL_PX + i * STEP_PX]))
  const end = LABEL_PX + (columns.size + 4) * STEP_PX
  const rows = lanes(operations)
  const bars = rows.flatMap(({ operations: inRow }, row) =>
    inRow.map((operation) => {
      const { fate, text } = look(operation)
      const x = columns.get(operation.calledAt)!
      const width = (columns.get(operation.answeredAt) ?? end) - x
      const y = row * ROW_PX
      const title = `${operation.client}: ${text}\n${span(operation)}`
      return `<g class="${fate}"><title>${escaped(title)}</title><rect x="${x}" y="${y + 3}" width="${width}" height="${ROW_PX - 6}" rx="4"/><svg x="${x}" y="${y}" width="${width}" height="${ROW_PX}"><text x="5" y="${ROW_PX / 2 + 4}">${escaped(text)}</text></svg></g>`
    }),
  )
  const labels = rows.map(({ client }, row) => `<text x="0" y="${row * ROW_PX + ROW_PX / 2 + 4}">${escaped(client)}</text>`)
  return `<svg width="${end}" height="${rows.length * ROW_PX}" xmlns="http://www.w3.org/2000/svg">${labels.join('')}${bars.join('')}</svg>`
}

/** A row per client, and more of them for one that has several operations under way at once. */
function lanes<C, A>(operations: readonly Operation<C, A>[]): { client: string; operations: Operation<C, A>[]; free: number }[] {
  const rows: { client: string; operations: Operation<C, A>[]; free: number }[] = []
  for (const operation of operations) {
    let row = rows.find(({ client, free }) => client === operation.client && free < operation.calledAt)
    if (!row) rows.push((row = { client: operation.client, operations: [], free: -Infinity }))
    row.operations.push(operation)
    row.free = operation.answeredAt
  }
  return rows.sort((a, b) => a.client.localeCompare(b.client, 'en', { numeric: true }))
}

function around<C, A>(operations: readonly Operation<C, A>[], trouble: Operation<C, A> | undefined): readonly Operation<C, A>[] {
  const at = trouble ? operations.indexOf(trouble) : operations.length
  const start = Math.max(0, Math.min(at - Math.floor((OPERATIONS_SHOWN * 2) / 3), operations.length - OPERATIONS_SHOWN))
  return operations.slice(start, start + OPERATIONS_SHOWN)
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}

const STYLE = `
body { font: 14px/1.5 system-ui, sans-serif; margin: 2em; color: #1b1f24; background: #fff }
h1 { font-size: 1.3em } .scroll { overflow-x: auto; padding: 1em 0 } pre { font-size: 12px; overflow-x: auto }
svg text { font: 12px ui-monospace, monospace } .legend span { padding: 2px 8px; border-radius: 4px; margin-right: 8px }
.placed rect { fill: #cdeccf } .stuck rect { fill: #ffb4ab } .unknown rect { fill: #ffe9a8 } .later rect { fill: #e4e7eb }
.legend .placed { background: #cdeccf } .legend .stuck { background: #ffb4ab } .legend .unknown { background: #ffe9a8 } .legend .later { background: #e4e7eb }`

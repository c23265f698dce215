// Loaded into a test's process before the test. Puts counting doubles in the place of uvu and of the assertion libraries, and
// makes a process that outlives its tests say what keeps it alive.
import { register } from 'node:module'
import { isMainThread } from 'node:worker_threads'
import { report, state } from './report.mjs'

const leakGraceMs = 3000

if (isMainThread && state.enabled) {
  register('./resolve-hooks.mjs', import.meta.url)
  process.on('exit', () => report({ event: 'exit', assertions: state.assertions, unrun: [...state.unrun.values()].flat() }))
  state.whenIdle = () => {
    const timer = setTimeout(() => {
      if (state.pendingSuites > 0) return
      report({ event: 'leak', handles: openHandles() })
      process.exit(process.exitCode || 1)
    }, leakGraceMs)
    timer.unref()
    return timer
  }
}

function openHandles() {
  const names = process
    ._getActiveHandles()
    .filter((handle) => !isStandardStream(handle))
    .map(describe)
  const timers = process.getActiveResourcesInfo().filter((name) => name === 'Timeout' || name === 'Immediate')
  return [...names, ...timers]
}

function isStandardStream(handle) {
  return handle === process.stdout || handle === process.stderr || handle === process.stdin
}

function describe(handle) {
  const name = handle.constructor?.name ?? 'handle'
  if (name === 'ChildProcess') return `ChildProcess ${handle.pid} (${(handle.spawnargs ?? []).join(' ')})`
  if (name === 'Server') return `Server on ${JSON.stringify(handle.address())}`
  if (name === 'Socket') return `Socket ${handle.localPort ?? ''} to ${handle.remoteAddress ?? ''}:${handle.remotePort ?? ''}`
  return name
}

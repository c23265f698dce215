import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Processes whose environment carries the token, after up to `graceMs` for those that are just ending. Reads /proc; where there
 * is none, it finds nothing.
 */
export async function leftProcesses(token, graceMs) {
  const deadline = Date.now() + graceMs
  for (;;) {
    const found = existsSync('/proc/self/environ') ? scan(token) : []
    if (found.length === 0 || Date.now() >= deadline) return found
    await sleep(50)
  }
}

function scan(token) {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  return pids.flatMap((pid) =>
    read(`/proc/${pid}/environ`).includes(token)
      ? [{ pid: Number(pid), command: read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim() }]
      : [],
  )
}

function read(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // The process ended, or belongs to somebody else.
    return ''
  }
}

// Runs every command of the pages again and writes what it printed into them, so that no page shows what raftctl does not do.
//   node scripts/run-docs.mjs README.md docs/operate.md     rewrites the outputs
//   node scripts/run-docs.mjs --check README.md             runs them, changes nothing; fails when one ends otherwise than the page says
//
// A page's commands stand in blocks that begin with ```console, each on a line of its own after "$ ". A command that is meant
// to fail is followed by "(exit N)" as the last line of its output. Every page runs in a home and a directory of its own, from top to bottom.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const check = process.argv.includes('--check')
const pages = process.argv.slice(2).filter((word) => !word.startsWith('--'))
const COLUMNS = 112
const EXIT = /^\(exit (\d+)\)$/
const COMMAND_TIMEOUT_MS = 60_000
const ESCAPE = new RegExp(`${String.fromCharCode(27)}\\[[0-9;?]*[A-Za-z]`, 'g')

if (pages.length === 0) {
  console.error('usage: node scripts/run-docs.mjs [--check] PAGE.md…')
  process.exit(2)
}
let wrong = 0
let ran = 0
function runPage(page) {
  const place = new Place()
  try {
    const text = readFileSync(page, 'utf8')
    const fresh = text.replaceAll(/^```console\n([\s\S]*?)^```$/gm, (_, block) => `\`\`\`console\n${runBlock(page, block, place)}\`\`\``)
    if (!check) writeFileSync(page, fresh)
  } finally {
    place.clear()
  }
}

function runBlock(page, block, place) {
  const lines = []
  for (const { command, expected } of commandsOf(block)) {
    const { output, exitCode } = place.run(command)
    ran++
    if (exitCode !== expected) {
      wrong++
      console.error(`${page}: exit ${exitCode}, not ${expected}: $ ${command}\n${output}`)
    }
    lines.push(`$ ${command}`, ...(output === '' ? [] : output.split('\n')), ...(exitCode === 0 ? [] : [`(exit ${exitCode})`]))
  }
  return `${lines.join('\n')}\n`
}

/** What is typed, and how the page says that it ends. */
function commandsOf(block) {
  const found = []
  for (const line of block.split('\n')) {
    if (line.startsWith('$ ')) found.push({ command: line.slice(2), expected: 0 })
    else if (EXIT.test(line) && found.length > 0) found.at(-1).expected = Number(EXIT.exec(line)[1])
  }
  return found
}

/** A home, a directory and a raftctl on the path, for one page. */
class Place {
  constructor() {
    this.home = mkdtempSync(join(tmpdir(), 'raftctl-docs-'))
    this.running = []
    const bin = join(this.home, '.bin')
    mkdirSync(bin)
    writeFileSync(join(bin, 'raftctl'), `#!/bin/sh\nexec "${process.execPath}" "${join(root, 'bin/run.js')}" "$@"\n`)
    chmodSync(join(bin, 'raftctl'), 0o755)
    const { HOME, XDG_DATA_HOME, XDG_CONFIG_HOME, XDG_STATE_HOME, XDG_CACHE_HOME, CI, ...kept } = process.env
    this.env = { ...kept, HOME: this.home, PATH: `${bin}:${process.env.PATH}`, NO_COLOR: '1', TERM: 'xterm-256color', LC_ALL: 'C.UTF-8' }
  }

  /** In a terminal, so that it prints what a person would see; what ends with & runs on beside the page. */
  run(command) {
    if (command.endsWith('&')) return this.leaveRunning(command.slice(0, -1))
    const script = `stty cols ${COLUMNS} rows 50; ${command}`
    const done = spawnSync('script', ['-qec', `bash -c ${quoted(script)}`, '/dev/null'], {
      cwd: this.home,
      env: this.env,
      encoding: 'utf8',
      timeout: COMMAND_TIMEOUT_MS,
      input: '',
    })
    return { output: this.tidied(done.stdout), exitCode: done.status ?? -1 }
  }

  leaveRunning(command) {
    const child = spawn('bash', ['-c', command], { cwd: this.home, env: this.env, stdio: 'ignore', detached: true })
    child.unref()
    this.running.push(child.pid)
    return { output: '', exitCode: 0 }
  }

  /** Without what differs between machines: this home, and what a progress bar drew over. */
  tidied(output) {
    return output
      .replaceAll('\r\n', '\n')
      .split('\n')
      .map((line) =>
        line
          .slice(line.lastIndexOf('\r') + 1)
          .replaceAll(ESCAPE, '')
          .trimEnd(),
      )
      .join('\n')
      .replaceAll(this.home, '~')
      .replaceAll(homedir(), '~')
      .trim()
  }

  clear() {
    for (const pid of this.running) {
      try {
        // Asked politely, chaos would verify a cluster that is about to go.
        process.kill(-pid, 'SIGKILL')
      } catch {
        // It has ended by itself.
      }
    }
    const list = spawnSync(process.execPath, [join(root, 'bin/run.js'), 'cluster', 'ls', '--json'], { env: this.env, encoding: 'utf8' })
    for (const { name } of JSON.parse(list.stdout).data?.clusters ?? [])
      execFileSync(process.execPath, [join(root, 'bin/run.js'), 'cluster', 'rm', name, '--yes'], { env: this.env, stdio: 'ignore' })
    rmSync(this.home, { recursive: true, force: true })
  }
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`
}

for (const page of pages) runPage(page)
console.log(`${ran} commands of ${pages.length} pages, ${wrong} ended otherwise than the page says`)
process.exitCode = wrong > 0 || ran === 0 ? 1 : 0
